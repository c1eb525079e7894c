//! Amounts: integer numbers of the ledger's smallest unit. Text in, integers inside, text out.
//!
//! With the usual scale of nine an amount counts *nanos*, so `"0.07"` is 70,000,000. There are no
//! floats: a float goes through its shortest decimal form, which is what its author wrote.

use std::fmt;

/// The largest amount: 4.6 billion units at nine places. Also the most money one ledger can hold.
pub const MAX_AMOUNT: u64 = (1 << 62) - 1;

/// The largest number of decimal places.
pub const MAX_SCALE: u8 = 9;

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// Not a decimal number.
    NotANumber,
    /// Below zero.
    Negative,
    /// Zero, where something must be paid.
    Zero,
    /// More decimal places than the ledger's scale.
    TooPrecise {
        /// The ledger's scale.
        scale: u8,
    },
    /// Above [`MAX_AMOUNT`].
    TooLarge {
        /// The ledger's scale.
        scale: u8,
    },
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AmountError::NotANumber => f.write_str("it is not a decimal number"),
            AmountError::Negative => f.write_str("an amount cannot be negative"),
            AmountError::Zero => f.write_str("an amount to pay must be more than zero"),
            AmountError::TooPrecise { scale } => {
                write!(f, "it has more than {scale} decimal places; round it first")
            }
            AmountError::TooLarge { scale } => {
                write!(f, "it is above {}, the most a ledger can hold", plain(MAX_AMOUNT, *scale))
            }
        }
    }
}

impl std::error::Error for AmountError {}

/// A whole number of units, as an amount.
pub fn whole(units: i64, scale: u8) -> Result<u64, AmountError> {
    let units = u64::try_from(units).map_err(|_| AmountError::Negative)?;
    units
        .checked_mul(10u64.pow(u32::from(scale)))
        .filter(|&amount| amount <= MAX_AMOUNT)
        .ok_or(AmountError::TooLarge { scale })
}

/// The amount that a decimal number says: digits, at most one point, an optional exponent.
///
/// Zeros behind the last significant place are free: `"0.1000000000000"` is fine at any scale.
pub fn parse(text: &str, scale: u8) -> Result<u64, AmountError> {
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if units.is_empty() && fraction.is_empty() {
        return Err(AmountError::NotANumber);
    }
    let places = exponent - fraction.len() as i64 + i64::from(scale);
    match scaled(units.bytes().chain(fraction.bytes()), places, scale) {
        Ok(1..) | Err(AmountError::TooLarge { .. }) if negative => Err(AmountError::Negative),
        amount => amount,
    }
}

fn exponent_of(text: &str) -> Result<i64, AmountError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(AmountError::NotANumber);
    }
    // No text has so many digits that a larger exponent would mean anything else.
    const FAR: i64 = 1 << 60;
    let size = digits.parse::<i64>().unwrap_or(FAR).min(FAR);
    Ok(if text.starts_with('-') { -size } else { size })
}

/// The digits as an integer, shifted by `places` decimal places; what is cut off must be zeros.
fn scaled(digits: impl Iterator<Item = u8>, places: i64, scale: u8) -> Result<u64, AmountError> {
    let mut value: u64 = 0;
    let mut zeros: u32 = 0;
    let mut overflow = false;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(AmountError::NotANumber);
        }
        if digit == b'0' {
            zeros = zeros.saturating_add(1);
            continue;
        }
        match push(value, zeros.saturating_add(1), u64::from(digit - b'0')) {
            Some(longer) => value = longer,
            None => overflow = true,
        }
        zeros = 0;
    }
    if value == 0 && !overflow {
        return Ok(0);
    }
    // `value` ends in a digit other than zero, so every place that is missing here is significant.
    let places = places + i64::from(zeros);
    if places < 0 {
        return Err(AmountError::TooPrecise { scale });
    }
    let shifted = if overflow { None } else { push(value, places.min(64) as u32, 0) };
    shifted.filter(|&amount| amount <= MAX_AMOUNT).ok_or(AmountError::TooLarge { scale })
}

fn push(value: u64, places: u32, digit: u64) -> Option<u64> {
    let shift = if value == 0 { 1 } else { 10u64.checked_pow(places)? };
    value.checked_mul(shift)?.checked_add(digit)
}

/// An amount as people write it: `"45"`, `"0.07"`, never an exponent, no zeros to spare.
#[must_use]
pub fn plain(amount: u64, scale: u8) -> String {
    plain_sum(i128::from(amount), scale)
}

/// The same for a sum of amounts, or a difference.
#[must_use]
pub fn plain_sum(sum: i128, scale: u8) -> String {
    let unit = 10u128.pow(u32::from(scale));
    let sign = if sum < 0 { "-" } else { "" };
    let (units, rest) = (sum.unsigned_abs() / unit, sum.unsigned_abs() % unit);
    if rest == 0 {
        return format!("{sign}{units}");
    }
    let fraction = format!("{rest:0width$}", width = usize::from(scale));
    format!("{sign}{units}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_amounts_in_many_ways() {
        for (text, nanos) in [
            ("5", 5_000_000_000),
            ("5.00", 5_000_000_000),
            ("+0.07", 70_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("0.000000001", 1),
            ("0.1000000000000", 100_000_000),
            ("1e3", 1_000_000_000_000),
            ("1.5E-8", 15),
            ("0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("4611686018.427387903", MAX_AMOUNT),
            ("0000000000000000000000000000000000000005", 5_000_000_000),
        ] {
            assert_eq!(parse(text, 9), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_told_why() {
        use AmountError::*;
        for (text, why) in [
            ("", NotANumber),
            ("abc", NotANumber),
            ("nan", NotANumber),
            ("inf", NotANumber),
            ("-", NotANumber),
            (".", NotANumber),
            ("1.2.3", NotANumber),
            ("1_000", NotANumber),
            (" 1", NotANumber),
            ("1e", NotANumber),
            ("1e+", NotANumber),
            ("١", NotANumber),
            ("-1", Negative),
            ("-0.5", Negative),
            ("0.0000000001", TooPrecise { scale: 9 }),
            ("1e-10", TooPrecise { scale: 9 }),
            ("0.30000000000000004", TooPrecise { scale: 9 }),
            ("4611686018.427387904", TooLarge { scale: 9 }),
            ("1e30", TooLarge { scale: 9 }),
            ("1e99999999999999999999", TooLarge { scale: 9 }),
            ("99999999999999999999999999999", TooLarge { scale: 9 }),
        ] {
            assert_eq!(parse(text, 9), Err(why), "{text}");
        }
    }

    #[test]
    fn tokens_have_no_places() {
        assert_eq!(parse("12", 0), Ok(12));
        assert_eq!(parse("12.5", 0), Err(AmountError::TooPrecise { scale: 0 }));
        assert_eq!(whole(7, 0), Ok(7));
    }

    #[test]
    fn what_is_printed_parses_back() {
        for scale in [0, 2, 9] {
            for amount in
                [0, 1, 7, 10, 99, 100, 70_000_000, 1_000_000_000, 45_000_000_000, MAX_AMOUNT]
            {
                assert_eq!(parse(&plain(amount, scale), scale), Ok(amount));
            }
        }
        assert_eq!(plain(45_000_000_000, 9), "45");
        assert_eq!(plain(70_000_000, 9), "0.07");
    }
}
