//! From text to settings, line by line.

use alloc::vec::Vec;

use perun_protocol::{Amount, ChallengeDuration};

use super::error::{Fault, SettingsError};
use super::{Address, Contact, MAX_DIALLED, MAX_NAMED, PerPeriod, Policy, Settings, value};

/// What the lines so far have said.
#[derive(Default)]
struct Draft {
    peers: Vec<Contact>,
    nodes: Vec<Contact>,
    adjudicator: Option<perun_protocol::Principal>,
    asset: Option<perun_protocol::Principal>,
    receiver: Option<perun_protocol::Account>,
    balance: Option<[Amount; 2]>,
    challenge: Option<ChallengeDuration>,
    pay: Option<Amount>,
    per_payment: Option<Amount>,
    per_period: Option<Amount>,
    period_secs: Option<u32>,
    ask_above: Option<Amount>,
    max_deposit: Option<Amount>,
    receive_only: Option<bool>,
    quick: Option<bool>,
    address: Option<Address>,
    listen: Option<u16>,
}

pub(super) fn settings(text: &str) -> Result<Settings, SettingsError<'_>> {
    let mut draft = Draft::default();
    for (index, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if !content.is_empty() {
            draft.read(content).map_err(|fault| SettingsError {
                line: Some(index + 1),
                fault,
            })?;
        }
    }
    draft
        .finish()
        .map_err(|fault| SettingsError { line: None, fault })
}

impl Draft {
    fn read<'a>(&mut self, line: &'a str) -> Result<(), Fault<'a>> {
        let (key, found) = line.split_once('=').ok_or(Fault::NoPair(line))?;
        let (key, found) = (key.trim(), found.trim());
        let pair = Pair { key, found };
        match key {
            "peer" => {
                let peer = pair.read(value::contact, CONTACT)?;
                self.check_room("peers", self.peers.len(), peer)?;
                self.peers.push(peer);
            }
            "node" => {
                let node = pair.read(value::contact, CONTACT)?;
                self.check_room("nodes", self.nodes.len(), node)?;
                self.nodes.push(node);
            }
            "adjudicator" => pair.once(&mut self.adjudicator, value::principal, PRINCIPAL)?,
            "asset" => pair.once(&mut self.asset, value::principal, PRINCIPAL)?,
            "receiver" => pair.once(&mut self.receiver, value::account, ACCOUNT)?,
            "balance" => pair.once(&mut self.balance, value::balance, "ours/theirs, in units")?,
            "challenge-secs" => pair.once(&mut self.challenge, challenge, "1 to 31536000")?,
            "pay" => pair.once(&mut self.pay, payment, "a number of units above 0")?,
            "per-payment" => pair.once(&mut self.per_payment, value::amount, UNITS)?,
            "per-period" => pair.once(&mut self.per_period, value::amount, UNITS)?,
            "period-secs" => pair.once(&mut self.period_secs, above_zero, "1 to 4294967295")?,
            "ask-above" => pair.once(&mut self.ask_above, value::amount, UNITS)?,
            "max-deposit" => pair.once(&mut self.max_deposit, value::amount, UNITS)?,
            "quick" => pair.once(&mut self.quick, value::choice, "yes or no")?,
            "receive-only" => pair.once(&mut self.receive_only, value::choice, "yes or no")?,
            "address" => pair.once(&mut self.address, value::address, ADDRESS)?,
            "listen" => pair.once(&mut self.listen, above_zero, "a TCP port")?,
            _ => return Err(Fault::UnknownKey(key)),
        }
        Ok(())
    }

    /// Whether one more peer or node, of which there are `named`, can be served.
    fn check_room<'a>(
        &self,
        what: &'static str,
        named: usize,
        next: Contact,
    ) -> Result<(), Fault<'a>> {
        if named == MAX_NAMED {
            let most = MAX_NAMED;
            return Err(Fault::TooMany { what, most });
        }
        let contacts = self.peers.iter().chain(&self.nodes);
        let dialled = contacts.filter(|contact| contact.address.is_some());
        if next.address.is_some() && dialled.count() == MAX_DIALLED {
            return Err(Fault::TooMany {
                what: "peers and nodes with an address",
                most: MAX_DIALLED,
            });
        }
        Ok(())
    }

    fn finish<'a>(self) -> Result<Settings, Fault<'a>> {
        if self.peers.is_empty() {
            return Err(Fault::Missing("peer"));
        }
        if self.nodes.is_empty() {
            return Err(Fault::Missing("node"));
        }
        let per_period = match (self.per_period, self.period_secs) {
            (Some(units), Some(period_secs)) => Some(PerPeriod { units, period_secs }),
            (None, None) => None,
            (Some(_), None) => return Err(without("per-period", "period-secs")),
            (None, Some(_)) => return Err(without("period-secs", "per-period")),
        };
        let dialled_only = self.peers.iter().all(|peer| peer.address.is_none());
        if dialled_only && self.listen.is_none() {
            return Err(without("peer", "listen"));
        }
        Ok(Settings {
            peers: self.peers,
            nodes: self.nodes,
            adjudicator: self.adjudicator.ok_or(Fault::Missing("adjudicator"))?,
            asset: self.asset.ok_or(Fault::Missing("asset"))?,
            receiver: self.receiver.ok_or(Fault::Missing("receiver"))?,
            balance: self.balance.unwrap_or([Amount::new(100_000); 2]),
            challenge: self.challenge.unwrap_or(CHALLENGE),
            pay: self.pay.unwrap_or(Amount::new(100)),
            policy: Policy {
                per_payment: self.per_payment,
                per_period,
                ask_above: self.ask_above,
                max_deposit: self.max_deposit,
                receive_only: self.receive_only.unwrap_or(false),
            },
            quick: self.quick.unwrap_or(false),
            address: self.address.unwrap_or(Address::Dhcp),
            listen: self.listen,
        })
    }
}

const CHALLENGE: ChallengeDuration = ChallengeDuration::from_secs(60 * 60).expect("within bounds");

const ACCOUNT: &str = "a principal in hex digits, perhaps a point and 64 digits of a subaccount";
const ADDRESS: &str = "dhcp, or like 10.0.0.2/24, perhaps a space and a gateway";
const CONTACT: &str = "66 hex digits of a public key, perhaps with @address:port";
const PRINCIPAL: &str = "2 to 58 hex digits of a principal";
const UNITS: &str = "a number of units";

fn without<'a>(key: &'static str, other: &'static str) -> Fault<'a> {
    Fault::Without { key, other }
}

fn challenge(text: &str) -> Option<ChallengeDuration> {
    value::number(text).and_then(ChallengeDuration::from_secs)
}

fn payment(text: &str) -> Option<Amount> {
    value::amount(text).filter(|amount| !amount.is_zero())
}

fn above_zero<T: core::str::FromStr + Default + PartialEq>(text: &str) -> Option<T> {
    value::number(text).filter(|number| *number != T::default())
}

/// A line that is `key = value`.
#[derive(Clone, Copy)]
struct Pair<'a> {
    key: &'a str,
    found: &'a str,
}

impl<'a> Pair<'a> {
    fn read<T>(
        self,
        read: impl FnOnce(&str) -> Option<T>,
        wanted: &'static str,
    ) -> Result<T, Fault<'a>> {
        let Self { key, found } = self;
        read(found).ok_or(Fault::Value { key, wanted, found })
    }

    fn once<T>(
        self,
        slot: &mut Option<T>,
        read: impl FnOnce(&str) -> Option<T>,
        wanted: &'static str,
    ) -> Result<(), Fault<'a>> {
        let value = self.read(read, wanted)?;
        if slot.replace(value).is_some() {
            return Err(Fault::Repeated(self.key));
        }
        Ok(())
    }
}
