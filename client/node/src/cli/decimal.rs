//! Exact decimals, whatever the currency: compared and added as they are written.
//!
//! The node knows how many digits a currency has. To know which of two amounts is larger, and whether
//! figures add up, that is not needed.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A number that is not negative, with as many digits as it was written with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decimal {
    /// Digits without leading zeros: empty for 0.
    whole: String,
    /// Digits without zeros at the end.
    fraction: String,
}

/// A text is no decimal number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotADecimal(String);

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self {
        whole: String::new(),
        fraction: String::new(),
    };

    /// Their sum.
    pub fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        self.digit_by_digit(other, |one, two| {
            let sum = one + two + carry;
            carry = sum / 10;
            sum % 10
        })
    }

    /// What is left of it without the other, if it is not less.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        if self < other {
            return None;
        }
        let mut borrowed = 0;
        Some(self.digit_by_digit(other, |one, two| {
            let taken = two + borrowed;
            borrowed = u8::from(one < taken);
            one + 10 * borrowed - taken
        }))
    }

    /// From the last digit on, and one beyond the first.
    fn digit_by_digit(&self, other: &Self, mut digit: impl FnMut(u8, u8) -> u8) -> Self {
        let places = self.fraction.len().max(other.fraction.len());
        let whole = self.whole.len().max(other.whole.len()) + 1;
        let digits = |number: &Self| {
            let text = format!("{:0>whole$}{:0<places$}", number.whole, number.fraction);
            text.into_bytes().into_iter().rev()
        };
        let pairs = digits(self).zip(digits(other));
        let made = pairs.map(|(one, two)| char::from(digit(one - b'0', two - b'0') + b'0'));
        let made: Vec<char> = made.collect();
        let (fraction, whole) = made.split_at(places);
        let text = |digits: &[char]| digits.iter().rev().collect::<String>();
        Self::of(&text(whole), &text(fraction))
    }

    fn of(whole: &str, fraction: &str) -> Self {
        Self {
            whole: whole.trim_start_matches('0').to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        }
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(NotADecimal(text.to_owned())),
            Some(parts) => parts,
            None => (text, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return Err(NotADecimal(text.to_owned()));
        }
        Ok(Self::of(whole, fraction))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let whole = (self.whole.len(), &self.whole).cmp(&(other.whole.len(), &other.whole));
        // Without zeros at the end, the order of fractions is that of texts.
        whole.then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            &self.whole
        };
        let point = if self.fraction.is_empty() { "" } else { "." };
        write!(f, "{whole}{point}{}", self.fraction)
    }
}

impl fmt::Display for NotADecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no amount; one is written like 242 or 0.0001",
            self.0
        )
    }
}

impl std::error::Error for NotADecimal {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1 ICP", "1.2.3"] {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_compared_and_not_texts() {
        assert!(decimal("9") < decimal("10"));
        assert!(decimal("0.09") < decimal("0.1"));
        assert!(decimal("1") < decimal("1.00000001"));
        assert_eq!(decimal("007.10"), decimal("7.1"));
        assert_eq!(decimal("0.0").to_string(), "0");
    }

    proptest! {
        #[test]
        fn they_add_like_numbers(one: u32, two: u32, places in 0_u32..6) {
            let units = 10_u64.pow(places);
            let written = |units_of: u64| {
                let places = places as usize;
                let fraction = if places == 0 { String::new() } else { format!(".{:0>places$}", units_of % units) };
                decimal(&format!("{}{fraction}", units_of / units))
            };
            let (one, two) = (u64::from(one), u64::from(two));
            prop_assert_eq!(written(one).plus(&written(two)), written(one + two));
            prop_assert_eq!(written(one).cmp(&written(two)), one.cmp(&two));
            let left = one.checked_sub(two).map(written);
            prop_assert_eq!(written(one).minus(&written(two)), left);
        }
    }
}
