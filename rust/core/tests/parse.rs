//! Everything that parses: amounts, read as an oracle reads them, and names.

use outlay_core::amount::{AmountError, MAX_AMOUNT, MAX_SCALE, parse, plain, plain_sum, whole};
use outlay_core::{Config, Error, Ledger, MAX_NAME, NameError, NewWallet};
use proptest::prelude::*;

#[path = "../fuzz/oracle.rs"]
mod oracle;

fn scales() -> impl Strategy<Value = u8> {
    0..=MAX_SCALE
}

/// Small ones, large ones, and those beside the edge.
fn amounts() -> impl Strategy<Value = u64> {
    prop_oneof![0..=MAX_AMOUNT, 0..1_000_u64, MAX_AMOUNT - 1_000..=MAX_AMOUNT]
}

/// Decimal numbers in every spelling, many of them with an edge of the range in their digits.
fn numbers() -> impl Strategy<Value = String> {
    let digits = prop_oneof![
        "[0-9]{0,25}",
        "0{0,30}[1-9]{0,2}0{0,30}",
        (MAX_AMOUNT - 3..MAX_AMOUNT + 3).prop_map(|digits| digits.to_string()),
        (1..10_u128, 0..30_u128).prop_map(|(n, more)| ((n << 64) - 10 + more).to_string()),
        any::<u64>().prop_map(|digits| digits.to_string()),
    ];
    let exponent = prop_oneof![Just(String::new()), "[eE][+-]?[0-9]{1,2}", "e-?[0-9]{0,40}"];
    ("[+-]?", digits, any::<prop::sample::Index>(), any::<bool>(), "0{0,12}", exponent).prop_map(
        |(sign, mut digits, place, point, zeros, exponent)| {
            if point {
                digits.insert(place.index(digits.len() + 1), '.');
            }
            format!("{sign}{digits}{zeros}{exponent}")
        },
    )
}

fn create(ledger: &Ledger, name: &str) -> Result<(), Error> {
    let new =
        NewWallet { parent: None, name, budget: 0, shared: false, hard: true, metadata: None };
    let id = ledger.create(new)?;
    assert_eq!((ledger.find(None, name), ledger.path(id).as_str()), (Some(id), name));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What is printed is read back as it was, at every scale, by the parser and by the oracle.
    #[test]
    fn what_is_printed_is_read_back(amount in amounts(), scale in scales()) {
        let text = plain(amount, scale);
        prop_assert_eq!(parse(&text, scale), Ok(amount));
        prop_assert_eq!(oracle::amount(&text, scale), Ok(amount));
        prop_assert!(!text.contains(['e', '-', '+']) && text.starts_with(|c: char| c != '.'));
        let (_, fraction) = text.split_once('.').unwrap_or(("", "1"));
        prop_assert!(!fraction.ends_with('0') && !fraction.is_empty() && fraction.len() <= 9);
    }

    /// A decimal number, however it is spelled, is the amount that the oracle says, or its error.
    #[test]
    fn the_oracle_agrees_on_numbers(text in numbers(), scale in scales()) {
        prop_assert_eq!(parse(&text, scale), oracle::amount(&text, scale));
    }

    /// So is a text of the characters that numbers are made of, in any order.
    #[test]
    fn the_oracle_agrees_on_scrambled_numbers(text in "[0159.eE+-]{0,12}", scale in scales()) {
        prop_assert_eq!(parse(&text, scale), oracle::amount(&text, scale));
    }

    /// So is any text at all; nothing makes the parser panic.
    #[test]
    fn the_oracle_agrees_on_any_text(text in any::<String>(), scale in scales()) {
        prop_assert_eq!(parse(&text, scale), oracle::amount(&text, scale));
    }

    /// A whole number is the amount that its digits are.
    #[test]
    fn whole_numbers_are_their_digits(
        units in prop_oneof![any::<i64>(), -3..10_000_000_000_i64],
        scale in scales(),
    ) {
        prop_assert_eq!(whole(units, scale), parse(&units.to_string(), scale));
    }

    /// A sum of any size and sign is printed exactly.
    #[test]
    fn sums_are_printed_exactly(sum in any::<i128>(), scale in scales()) {
        let text = plain_sum(sum, scale);
        let (units, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{units}{fraction:0<width$}", width = usize::from(scale));
        prop_assert_eq!(digits.parse::<i128>(), Ok(sum));
    }

    /// A name is one to 256 bytes without a slash or a control character; it is kept as it is.
    #[test]
    fn a_name_is_taken_or_told_why(
        name in prop_oneof![any::<String>(), "\\PC{0,3}", "[ab/\0-\u{a1}]{0,3}", "[aé]{120,260}"],
    ) {
        let bad = name.chars().find(|&c| c == '/' || c < ' ' || ('\x7f'..'\u{a0}').contains(&c));
        let expected = match (name.len(), bad) {
            (0, _) => Err(Error::Name(NameError::Empty)),
            (length, _) if length > MAX_NAME => Err(Error::Name(NameError::TooLong)),
            (_, Some(found)) => Err(Error::Name(NameError::Character(found))),
            _ => Ok(()),
        };
        prop_assert_eq!(create(&Ledger::new(Config::default()), &name), expected);
    }
}

/// The exponent may be as far away as the digits that make up for it.
#[test]
fn a_long_text_is_read_to_its_end() {
    for zeros in [1_000, 999_999, 2_000_000] {
        let (far, nines) = ("0".repeat(zeros), "9".repeat(zeros));
        for text in [
            format!("0.{far}1e{}", zeros + 1),
            format!("1{far}e-{zeros}"),
            format!("{far}1.{far}"),
            format!("1e{far}0"),
        ] {
            assert_eq!(parse(&text, 9), Ok(1_000_000_000), "{zeros} zeros");
            assert_eq!(oracle::amount(&text, 9), Ok(1_000_000_000));
        }
        assert_eq!(parse(&nines, 9), Err(AmountError::TooLarge { scale: 9 }));
        assert_eq!(parse(&format!("0.{nines}"), 9), Err(AmountError::TooPrecise { scale: 9 }));
    }
}

/// At every scale the largest amount is taken, and the next one is not.
#[test]
fn the_range_ends_where_it_says() {
    for scale in 0..=MAX_SCALE {
        let beyond = plain_sum(i128::from(MAX_AMOUNT) + 1, scale);
        assert_eq!(parse(&plain(MAX_AMOUNT, scale), scale), Ok(MAX_AMOUNT));
        assert_eq!(parse(&beyond, scale), Err(AmountError::TooLarge { scale }));
    }
}
