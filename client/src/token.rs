//! Amounts as people write them: exact decimals, no floating point.

use std::fmt;

use perun_protocol::Amount;

/// How a ledger's amounts are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The token's symbol, e.g. "ICP".
    pub symbol: String,
    /// How many digits follow the point.
    pub decimals: u8,
}

/// Why a text is no amount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ParseAmountError {
    /// It is not digits, or digits with one point between them.
    NotANumber,
    /// It has more digits behind the point than the token.
    TooFine {
        /// How many the token has.
        decimals: u8,
    },
    /// It does not fit 128 bits in the smallest unit.
    TooLarge,
}

impl Token {
    /// The amount with its symbol, exact and without needless zeros: "242 ICP", "0.0001 ICP".
    pub fn show(&self, amount: Amount) -> String {
        let digits = amount.units().to_string();
        let decimals = usize::from(self.decimals);
        // At least one digit stands before the point.
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{whole}{point}{fraction} {}", self.symbol)
    }

    /// The amount that a text without symbol means: "242" or "0.0001".
    pub fn parse(&self, text: &str) -> Result<Amount, ParseAmountError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(ParseAmountError::NotANumber),
            Some(parts) => parts,
            None => (text, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return Err(ParseAmountError::NotANumber);
        }
        let decimals = usize::from(self.decimals);
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > decimals {
            return Err(ParseAmountError::TooFine {
                decimals: self.decimals,
            });
        }
        let digits = format!("{whole}{fraction:0<decimals$}");
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Amount::ZERO);
        }
        let units = significant.parse();
        units
            .map(Amount::new)
            .map_err(|_| ParseAmountError::TooLarge)
    }
}

impl fmt::Display for ParseAmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => write!(f, "an amount is written like 242 or 0.0001"),
            Self::TooFine { decimals } => {
                write!(f, "this token has only {decimals} digits behind the point")
            }
            Self::TooLarge => write!(f, "the amount does not fit 128 bits"),
        }
    }
}

impl std::error::Error for ParseAmountError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(decimals: u8) -> Token {
        Token {
            symbol: "ICP".into(),
            decimals,
        }
    }

    #[test]
    fn amounts_are_written_exactly() {
        let shown = |decimals, units| token(decimals).show(Amount::new(units));
        assert_eq!(shown(8, 0), "0 ICP");
        assert_eq!(shown(8, 24_200_000_000), "242 ICP");
        assert_eq!(shown(8, 10_000), "0.0001 ICP");
        assert_eq!(shown(8, 123_456_789), "1.23456789 ICP");
        assert_eq!(shown(0, 120), "120 ICP");
        assert_eq!(shown(40, 1), format!("0.{}1 ICP", "0".repeat(39)));
        let most = "340282366920938463463.374607431768211455 ICP";
        assert_eq!(shown(18, u128::MAX), most);
    }

    #[test]
    fn other_texts_are_refused() {
        let parsed = |text| token(8).parse(text);
        assert_eq!(parsed("0.5"), Ok(Amount::new(50_000_000)));
        assert_eq!(parsed("007.10"), Ok(Amount::new(710_000_000)));
        assert_eq!(parsed("1.000000000"), Ok(Amount::new(100_000_000)));
        for text in [
            "", ".", ".5", "5.", "1.2.3", "-1", "+1", "1e3", " 1", "1 ICP", "٣",
        ] {
            assert_eq!(parsed(text), Err(ParseAmountError::NotANumber), "{text:?}");
        }
        let too_fine = ParseAmountError::TooFine { decimals: 8 };
        assert_eq!(parsed("0.000000001"), Err(too_fine));
        let huge = "9".repeat(40);
        assert_eq!(parsed(&huge), Err(ParseAmountError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(units: u128, decimals: u8) {
            let token = token(decimals);
            let shown = token.show(Amount::new(units));
            let number = shown.strip_suffix(" ICP").unwrap();
            prop_assert_eq!(token.parse(number), Ok(Amount::new(units)));
        }

        #[test]
        fn no_text_panics(text: String, decimals: u8) {
            let _ = token(decimals).parse(&text);
        }
    }
}
