//! After the ledger call: what its answer means for the channel.

use perun_canister_api::{DepositReceipt, LedgerRefusal, WithdrawReceipt};
use perun_protocol::{Account, Amount, AssetIdx, ChannelId, Timestamp};

use crate::Adjudicator;
use crate::event::Change;
use crate::journal::{Entry, JournalNumber, Kind};
use crate::verdict::{Answer, Verdict};

/// What became of a journal entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// The deposit arrived.
    Deposited(DepositReceipt),
    /// The payout arrived.
    Withdrawn(WithdrawReceipt),
    /// The money did not move.
    Refused(LedgerRefusal),
    /// Nobody knows yet; it will be sent again.
    Unknown,
    /// It will not execute any more; the balance of the channel's funds tells whether it did.
    ByBalance,
}

impl Adjudicator {
    /// The entry that is under way for a channel and asset.
    pub fn in_flight(&self, channel: ChannelId, asset: AssetIdx) -> Option<JournalNumber> {
        self.store.in_flight(channel, asset)
    }

    /// An entry whose outcome is not known yet.
    pub fn entry(&self, number: JournalNumber) -> Option<Entry> {
        self.store.entry(number)
    }

    /// Looks at `limit` entries from `start` on: which of them should be tried again by now, and
    /// where to go on looking.
    pub fn due(&self, start: JournalNumber, limit: usize, now: Timestamp) -> Due {
        let entries = self.store.entries(start, limit);
        let next = match entries.last() {
            Some((last, _)) if entries.len() == limit => JournalNumber(last.0 + 1),
            _ => JournalNumber(0),
        };
        let due = entries
            .iter()
            .filter(|(_, entry)| entry.next_retry() <= now);
        Due {
            numbers: due.map(|(number, _)| *number).collect(),
            next,
        }
    }

    /// Whether any outcome is not known yet: then the timer must look after it.
    pub fn has_journal(&self) -> bool {
        self.store.entry_count() > 0
    }

    /// Where the funds of a channel lie.
    pub fn funds_account(&self, channel: ChannelId) -> Account {
        Account::of_funds(self.name(), channel)
    }

    /// From which account to which the transfer of an entry goes.
    pub fn route(&self, entry: &Entry) -> (Account, Account) {
        let funds = self.funds_account(entry.channel);
        match entry.kind {
            Kind::Pull { from, .. } => (from, funds),
            Kind::Sweep { .. } => {
                let swept = Account::of_deposit_for(self.name(), entry.channel, entry.part);
                (swept, funds)
            }
            Kind::Payout { receiver } => (funds, receiver),
        }
    }

    /// Writes an entry down under a new number.
    pub(crate) fn reserve(&mut self, entry: Entry) -> JournalNumber {
        let number = self.store.take_journal_number();
        self.store.set_entry(number, &entry);
        number
    }

    /// Notes that an entry is about to be sent, and returns it; `None` if its outcome became known
    /// meanwhile.
    pub fn begin_attempt(&mut self, number: JournalNumber, now: Timestamp) -> Option<Entry> {
        let mut entry = self.store.entry(number)?;
        entry.sends = entry.sends.saturating_add(1);
        entry.last_sent = now;
        self.store.set_entry(number, &entry);
        Some(entry)
    }

    /// Draws the consequences of the ledger's answer to the latest attempt.
    pub fn settle(&mut self, number: JournalNumber, answer: Answer, now: Timestamp) -> Settlement {
        let Some(entry) = self.store.entry(number) else {
            return Settlement::Unknown;
        };
        match answer.verdict(entry.sends, entry.is_expired(now)) {
            Verdict::Paid(block) => self.confirm(number, entry, block, now),
            Verdict::Refused(refusal) => self.restore(number, entry, refusal),
            Verdict::Unknown => Settlement::Unknown,
            Verdict::ByBalance => Settlement::ByBalance,
        }
    }

    /// Settles an entry that will not execute any more by the `balance` of the channel's funds
    /// account: it executed if the balance is what it should be after it.
    ///
    /// Somebody who paid into the funds account directly can make it look otherwise, at the
    /// expense of that payment: the balance never falls below what is owed.
    pub fn settle_by_balance(
        &mut self,
        number: JournalNumber,
        balance: Amount,
        now: Timestamp,
    ) -> Settlement {
        let Some(entry) = self.store.entry(number) else {
            return Settlement::Unknown;
        };
        let channel = self.store.channel(entry.channel);
        let owed = channel.and_then(|channel| channel.total(entry.asset));
        let owed = owed.unwrap_or(Amount::ZERO);
        let executed = match entry.kind {
            Kind::Payout { .. } => owed
                .checked_add(entry.debit())
                .is_none_or(|all| balance < all),
            Kind::Pull { .. } | Kind::Sweep { .. } => owed
                .checked_add(entry.amount)
                .is_some_and(|all| balance >= all),
        };
        if executed {
            return self.confirm(number, entry, None, now);
        }
        let message = "the ledger's answer was lost, and its balance shows no transfer".into();
        self.restore(number, entry, LedgerRefusal::Other { message })
    }

    /// The transfer happened.
    fn confirm(
        &mut self,
        number: JournalNumber,
        entry: Entry,
        block: Option<u128>,
        now: Timestamp,
    ) -> Settlement {
        self.store.remove_entry(number);
        let id = entry.channel;
        let (channel, change, settlement) = match entry.kind {
            Kind::Pull { params, .. } | Kind::Sweep { params } => {
                let mut channel = self.channel_of(id, &params);
                let holding = channel
                    .credit(entry.asset, entry.part, entry.amount)
                    .expect("reserving has checked that it fits");
                let asset = channel.params().assets()[entry.asset.index()];
                let change = Change::Deposited {
                    asset,
                    part: entry.part,
                    amount: entry.amount,
                    holding,
                    block,
                };
                let receipt = DepositReceipt {
                    credited: entry.amount.units(),
                    holding: holding.units(),
                    block,
                };
                (channel, change, Settlement::Deposited(receipt))
            }
            Kind::Payout { receiver } => {
                let channel = self.store.channel(id);
                let channel = channel.expect("a channel that pays is stored");
                self.note_if_paid_out(id, &channel, now);
                let change = Change::Withdrawn {
                    asset: channel.params().assets()[entry.asset.index()],
                    part: entry.part,
                    receiver,
                    paid: entry.amount,
                    fee: entry.fee,
                    block,
                };
                let receipt = WithdrawReceipt {
                    paid: entry.amount.units(),
                    fee: entry.fee.units(),
                    block,
                };
                (channel, change, Settlement::Withdrawn(receipt))
            }
        };
        self.record(now, id, channel, change);
        settlement
    }

    /// The transfer did not happen and will not.
    fn restore(
        &mut self,
        number: JournalNumber,
        entry: Entry,
        refusal: LedgerRefusal,
    ) -> Settlement {
        self.store.remove_entry(number);
        if matches!(entry.kind, Kind::Payout { .. }) {
            let stored = self.store.channel(entry.channel);
            let mut channel = stored.expect("a channel that pays is stored");
            channel
                .credit(entry.asset, entry.part, entry.debit())
                .expect("it was there before");
            self.store.set_channel(entry.channel, channel);
        }
        Settlement::Refused(refusal)
    }
}

/// Journal entries that a timer should look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// The entries whose pause is over.
    pub numbers: Vec<JournalNumber>,
    /// Where to go on looking; the beginning again behind the journal's end.
    pub next: JournalNumber,
}
