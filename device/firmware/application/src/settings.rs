//! Settings: a text of lines `key = value`; `#` begins a comment.
//!
//! ```text
//! peer        = 02ab…cd@10.0.0.1:1337   # 66 hex digits; without @address:port it only dials us
//! node        = 03ef…01@10.0.0.1:1338   # each may come several times
//! adjudicator = 80000000001000010101    # principals are hex digits of their bytes
//! asset       = 80000000001000020101
//! receiver    = 1d…02                   # or principal.subaccount, with 64 hex digits of the latter
//! ```
//!
//! | key | what | without it |
//! |---|---|---|
//! | `peer` | whom we open channels with; the first one is whom buttons mean | refused |
//! | `node` | who funds and watches for us, and who else watches | refused |
//! | `adjudicator` | the canister that decides disputes | refused |
//! | `asset` | the ledger whose tokens we pay with | refused |
//! | `receiver` | the account that our money is paid out to | refused |
//! | `balance` | `ours/theirs`, in units, of a channel that we propose | `100000/100000` |
//! | `challenge-secs` | how long a registered state can be refuted, in a channel that we propose | `3600` |
//! | `pay` | units that a press pays or asks for | `100` |
//! | `per-payment` | most units of one payment | no bound |
//! | `per-period`, `period-secs` | most units within a period | no bound |
//! | `max-deposit` | most units that we deposit in one channel | ours of `balance` |
//! | `ask-above` | from how many units on a payment waits for approval | none waits |
//! | `receive-only` | `yes`: never pay | `no` |
//! | `quick` | `yes`: everything within seconds, for demos and tests | `no` |
//! | `address` | `dhcp`, or `10.0.0.2/24` and perhaps a gateway behind a space | `dhcp` |
//! | `listen` | the TCP port on which peers can dial us | they can't |
//!
//! Settings that don't say what they mean are refused with the line and what it should be: a board
//! that pays money must not guess.

mod error;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use embassy_net::{Config, DhcpConfig, Ipv4Address, Ipv4Cidr, StaticConfigV4};
use perun_protocol::{Account, Amount, ChallengeDuration, Principal, PublicKey};

use crate::link::Remote;

pub use error::{Fault, SettingsError};

/// How many peers and nodes with an address there can be.
pub(crate) const MAX_DIALLED: usize = 4;

/// Peers and nodes that settings can name, each.
const MAX_NAMED: usize = 8;

/// What a board is told about its place in the world.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Whom we open channels with.
    pub peers: Vec<Contact>,
    /// Who funds and watches.
    pub nodes: Vec<Contact>,
    /// The canister that decides disputes.
    pub adjudicator: Principal,
    /// The ledger whose tokens we pay with.
    pub asset: Principal,
    /// The account that our money is paid out to.
    pub receiver: Account,
    /// Deposits of a channel that we propose: ours, theirs.
    pub balance: [Amount; 2],
    /// How long a state of such a channel can be refuted.
    pub challenge: ChallengeDuration,
    /// What a press pays or asks for.
    pub pay: Amount,
    /// What the device may do with its money.
    pub policy: Policy,
    /// Whether everything happens within seconds, as demos and tests want it.
    pub quick: bool,
    /// How the board gets its address.
    pub address: Address,
    /// The TCP port on which peers can dial us.
    pub listen: Option<u16>,
}

/// A peer or node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact {
    /// Its off-chain identity.
    pub key: PublicKey,
    /// Where we dial it; `None` if it dials us.
    pub address: Option<SocketAddrV4>,
}

/// Bounds of what a device pays.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Most units of one payment.
    pub per_payment: Option<Amount>,
    /// Most units within a period.
    pub per_period: Option<PerPeriod>,
    /// Payments above wait for approval.
    pub ask_above: Option<Amount>,
    /// Most units that are deposited in one channel; as many as in a channel of our own otherwise.
    pub max_deposit: Option<Amount>,
    /// Never pay.
    pub receive_only: bool,
}

/// Most units within a period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PerPeriod {
    /// So many.
    pub units: Amount,
    /// Its length.
    pub period_secs: u32,
}

/// How a board gets its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Address {
    /// From the network.
    Dhcp,
    /// From the settings.
    Fixed {
        /// It and its network.
        address: Ipv4Cidr,
        /// Where other networks are reached.
        gateway: Option<Ipv4Address>,
    },
}

impl Settings {
    /// Reads settings; refused if any line is wrong or one is missing.
    pub fn parse(text: &str) -> Result<Self, SettingsError<'_>> {
        parse::settings(text)
    }

    /// How to configure the network stack.
    pub fn network(&self) -> Config {
        match self.address {
            Address::Dhcp => Config::dhcpv4(DhcpConfig::default()),
            Address::Fixed { address, gateway } => Config::ipv4_static(StaticConfigV4 {
                address,
                gateway,
                dns_servers: Default::default(),
            }),
        }
    }

    /// Whom we dial; at most [`MAX_DIALLED`].
    pub(crate) fn dialled(&self) -> impl Iterator<Item = Remote> {
        let contacts = self.peers.iter().chain(&self.nodes);
        contacts.filter_map(|contact| {
            Some(Remote {
                key: contact.key,
                address: contact.address?,
            })
        })
    }
}
