//! What an amount says, worked out as in school: a list of digits and a place for the point.
//!
//! It shares nothing with the parser but the names of the errors. What is below zero and too large
//! is told that it is below zero.

use outlay_core::amount::{AmountError, MAX_AMOUNT};

/// The parts of a decimal number.
struct Number {
    negative: bool,
    digits: Vec<u8>,
    /// How many of the digits stand behind the point; below zero, how many zeros are to be added.
    places: i128,
}

/// The amount that `text` says, or why it is none.
pub fn amount(text: &str, scale: u8) -> Result<u64, AmountError> {
    let Number { negative, mut digits, mut places } = read(text).ok_or(AmountError::NotANumber)?;
    while digits.last() == Some(&0) {
        digits.pop();
        places -= 1;
    }
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    let digits = &digits[leading..];
    if digits.is_empty() {
        return Ok(0);
    }
    if places > i128::from(scale) {
        return Err(AmountError::TooPrecise { scale });
    }
    if negative {
        return Err(AmountError::Negative);
    }
    let zeros = usize::try_from(i128::from(scale) - places).unwrap_or(usize::MAX);
    if digits.len().saturating_add(zeros) > 20 {
        return Err(AmountError::TooLarge { scale });
    }
    let zeros = std::iter::repeat_n(&0, zeros);
    let value = digits.iter().chain(zeros).fold(0, |sum, &digit| sum * 10 + u128::from(digit));
    u64::try_from(value)
        .ok()
        .filter(|&amount| amount <= MAX_AMOUNT)
        .ok_or(AmountError::TooLarge { scale })
}

/// One walk over the characters: sign, digits, point, digits, e, sign, digits.
fn read(text: &str) -> Option<Number> {
    let mut rest = text.chars().peekable();
    let negative = rest.next_if(|&sign| sign == '-').is_some();
    if !negative {
        rest.next_if_eq(&'+');
    }
    let mut digits = Vec::new();
    let mut places = 0;
    let mut behind = 0;
    while let Some(found) = rest.next_if(|&c| c.is_ascii_digit() || (c == '.' && behind == 0)) {
        if found == '.' {
            behind = 1;
        } else {
            digits.push(found as u8 - b'0');
            places += behind;
        }
    }
    if digits.is_empty() {
        return None;
    }
    if rest.next_if(|&e| e == 'e' || e == 'E').is_some() {
        let below = rest.next_if(|&sign| sign == '-').is_some();
        if !below {
            rest.next_if_eq(&'+');
        }
        let mut exponent: i128 = 0;
        rest.peek()?;
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            // No text has so many digits that a larger exponent would mean something else.
            exponent = (exponent * 10 + i128::from(digit as u8 - b'0')).min(1 << 100);
        }
        places += if below { exponent } else { -exponent };
    }
    rest.next().is_none().then_some(Number { negative, digits, places })
}
