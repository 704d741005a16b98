//! Settings of a board that is to deal with the counterpart: lines `key = value`.

use std::fmt;

use perun_protocol::{Account, Amount, ChallengeDuration, Principal};

use super::contact::{Contact, Hex};

/// What a board is told. Its human adds what only he knows.
#[derive(Clone, Debug)]
pub struct BoardSettings {
    /// The counterpart.
    pub peer: Contact,
    /// Who funds and watches for the board.
    pub nodes: Vec<Contact>,
    /// The canister that decides disputes.
    pub adjudicator: Principal,
    /// The ledger whose tokens are paid.
    pub asset: Principal,
    /// Where the board's money is paid out to.
    pub receiver: Option<Account>,
    /// Deposits of a channel that the board proposes: its own, the counterpart's.
    pub balance: [Amount; 2],
    /// How long a state of such a channel can be refuted.
    pub challenge: ChallengeDuration,
}

impl fmt::Display for BoardSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "peer = {}", self.peer)?;
        for node in &self.nodes {
            writeln!(f, "node = {node}")?;
        }
        writeln!(f, "adjudicator = {}", Hex(self.adjudicator.as_slice()))?;
        writeln!(f, "asset = {}", Hex(self.asset.as_slice()))?;
        if let Some(Account { owner, subaccount }) = &self.receiver {
            write!(f, "receiver = {}", Hex(owner.as_slice()))?;
            match subaccount {
                [0, ..] if *subaccount == [0; 32] => writeln!(f)?,
                _ => writeln!(f, ".{}", Hex(subaccount))?,
            }
        }
        let [ours, theirs] = self.balance;
        writeln!(f, "balance = {}/{}", ours.units(), theirs.units())?;
        writeln!(f, "challenge-secs = {}", self.challenge.secs())
    }
}
