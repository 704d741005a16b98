//! The books of a walkthrough: what each account had, gave and got, checked against the ledger.
//!
//! Invariant: an account's balance is what it had, less deposits and their fees, plus payouts; a
//! ledger that says otherwise ends the walkthrough.

use std::fmt;

use perun_client::WithdrawReceipt;
use perun_protocol::{Account, Amount};

use crate::{Failure, Stage};

/// A figure is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mismatch {
    /// Which figure.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// The books of the accounts of a stage.
pub(crate) struct Books {
    pages: Vec<Page>,
    /// Fees that the ledger took.
    fees: Amount,
}

struct Page {
    names: String,
    account: Account,
    before: Amount,
    /// Deposits, and the fees beside them.
    spent: Amount,
    /// What payouts brought.
    received: Amount,
}

/// The figures at the end, all checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// What each participant was paid, less the fee.
    pub paid: Vec<Amount>,
    /// All fees that the ledger took.
    pub fees: Amount,
    /// What all accounts had together before.
    pub before: Amount,
    /// What all accounts have together now.
    pub after: Amount,
}

impl Books {
    /// Opens the books with what the ledger says.
    pub(crate) async fn open(stage: &Stage) -> Result<Self, Failure> {
        let mut pages = Vec::new();
        for (names, account) in stage.accounts() {
            let before = stage.ledger.balance(&account).await?;
            tracing::info!("Ledger balance of {names}: {}", stage.show(before));
            pages.push(Page {
                names,
                account,
                before,
                spent: Amount::ZERO,
                received: Amount::ZERO,
            });
        }
        Ok(Self {
            pages,
            fees: Amount::ZERO,
        })
    }

    /// An account deposited `amount`, for which the ledger took `fees` from it.
    pub(crate) fn deposited(
        &mut self,
        account: &Account,
        amount: Amount,
        fees: Amount,
    ) -> Result<(), Failure> {
        self.fees = sum([self.fees, fees])?;
        let page = self.page(account)?;
        page.spent = sum([page.spent, amount, fees])?;
        Ok(())
    }

    /// An account was paid.
    pub(crate) fn paid(
        &mut self,
        account: &Account,
        receipt: &WithdrawReceipt,
    ) -> Result<(), Failure> {
        self.fees = sum([self.fees, receipt.fee])?;
        let page = self.page(account)?;
        page.received = sum([page.received, receipt.paid])?;
        Ok(())
    }

    fn page(&mut self, account: &Account) -> Result<&mut Page, Failure> {
        let page = self.pages.iter_mut().find(|page| page.account == *account);
        Ok(page.ok_or("the books have no page for this account")?)
    }

    /// Closes the books: every balance must be what they say, and all that is missing must be fees.
    pub(crate) async fn close(self, stage: &Stage, paid: Vec<Amount>) -> Result<Closing, Failure> {
        let (mut all_before, mut all_after) = (Amount::ZERO, Amount::ZERO);
        for page in &self.pages {
            let after = stage.ledger.balance(&page.account).await?;
            let (before, spent, received) = (page.before, page.spent, page.received);
            tracing::info!(
                "Ledger balance of {}: {} = {} - {} deposited and its fees + {} paid out",
                page.names,
                stage.show(after),
                stage.show(before),
                stage.show(spent),
                stage.show(received),
            );
            let expected = sum([before, received])?.checked_sub(spent);
            let expected = expected.ok_or("an account can't have spent more than it had")?;
            let what = format!("the ledger balance of {}", page.names);
            check(stage, what, expected, after)?;
            all_before = sum([all_before, before])?;
            all_after = sum([all_after, after])?;
        }
        tracing::info!("The ledger has taken {} of fees", stage.show(self.fees));
        let missing = all_before.checked_sub(all_after).unwrap_or_default();
        check(stage, "what is missing".into(), self.fees, missing)?;
        Ok(Closing {
            paid,
            fees: self.fees,
            before: all_before,
            after: all_after,
        })
    }
}

/// Checks one figure.
pub(crate) fn check(
    stage: &Stage,
    what: String,
    expected: Amount,
    found: Amount,
) -> Result<(), Mismatch> {
    if expected == found {
        return Ok(());
    }
    Err(Mismatch {
        what,
        expected: stage.show(expected),
        found: stage.show(found),
    })
}

pub(crate) fn sum<const N: usize>(amounts: [Amount; N]) -> Result<Amount, Failure> {
    Ok(Amount::checked_sum(amounts).ok_or("a sum exceeds 128 bits")?)
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            expected,
            found,
        } = self;
        write!(f, "{what} should be {expected}, but is {found}")
    }
}

impl std::error::Error for Mismatch {}
