//! What is asked before money moves.

use std::io::{self, Write as _};

use super::Context;
use crate::cli::answer::harmless;
use crate::cli::decimal::Decimal;
use crate::cli::failure::Failure;

impl Context {
    /// Asks before money moves, if it is above the limit of its currency.
    pub fn confirm(&self, amount: &str, currency: &str, what: &str) -> Result<(), Failure> {
        match self.config.limit(currency) {
            Some(limit) => self.confirm_above(&limit, amount, currency, what),
            // A ledger without its symbol: which limit is its is not known.
            None if self.is_plaintext() && self.config.has_limits() => {
                self.confirm_above(&Decimal::ZERO, amount, currency, what)
            }
            None => Ok(()),
        }
    }

    /// Asks before money moves whose amount was not typed by the user, unless it is below the limit.
    pub fn confirm_foreign(&self, amount: &str, currency: &str, what: &str) -> Result<(), Failure> {
        let limit = self.config.limit(currency).unwrap_or(Decimal::ZERO);
        self.confirm_above(&limit, amount, currency, what)
    }

    fn confirm_above(
        &self,
        limit: &Decimal,
        amount: &str,
        currency: &str,
        what: &str,
    ) -> Result<(), Failure> {
        let amount: Decimal = amount
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        if self.call.yes || amount <= *limit {
            return Ok(());
        }
        let needed =
            format!("{what} moves {amount} {currency}, and above {limit} it has to be confirmed");
        if !self.may_ask {
            return Err(Failure::NotConfirmed(format!(
                "{needed}: repeat it with --yes"
            )));
        }
        eprint!("{} [y/N] ", harmless(&format!("{needed}. Do it?")));
        let _ = io::stderr().flush();
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        let is_yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
        if read.is_ok() && is_yes {
            Ok(())
        } else {
            Err(Failure::NotConfirmed(
                "not confirmed; nothing was done".into(),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::context;

    use super::*;

    #[test]
    fn what_is_above_the_limit_is_not_done_without_a_yes() {
        let code =
            |context: Context, amount| context.confirm(amount, "ICP", "it").map_err(|f| f.code());
        assert_eq!(code(context(Some("1.5"), false), "1.5"), Ok(()));
        assert_eq!(code(context(Some("1.5"), false), "1.50000001"), Err(5));
        assert_eq!(code(context(Some("1.5"), true), "100"), Ok(()));
        assert_eq!(code(context(None, false), "100"), Ok(()));
        assert_eq!(code(context(Some("1.5"), false), "lots"), Err(2));
        let foreign = |context: Context, amount| {
            context
                .confirm_foreign(amount, "ICP", "it")
                .map_err(|failure| failure.code())
        };
        assert_eq!(foreign(context(None, false), "0.1"), Err(5));
        assert_eq!(foreign(context(Some("1"), false), "0.1"), Ok(()));
        assert_eq!(foreign(context(None, true), "0.1"), Ok(()));
    }
}
