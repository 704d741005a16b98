//! Time that passes, and moments that are the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use perun_protocol::AssetIdx;

use super::{Outcome, Sim};
use crate::cast::{TICK_NS, cast};
use crate::stage::MessageId;
use crate::step::{Call, Claim, Step};

impl Sim {
    /// Time passes. The honest refute before it is too late.
    pub(super) fn advance(&mut self, ns: u64) {
        let mut before = Vec::new();
        for channel in 0..cast().channels.len() {
            if let Some(state) = self.books.refutation(channel) {
                let standing = self.registered(channel).expect("it is registered");
                if self.stage.now_ns() + ns >= standing.timeout_ns {
                    let claim = Claim::State { channel, state };
                    let refuted = self.apply(Step::Call(Call::Dispute(claim)));
                    assert!(matches!(refuted, Some(Outcome::Dispute(Ok(_)))));
                }
            }
            before.push(self.registered(channel));
        }
        self.stage.advance(ns);
        for (channel, before) in before.into_iter().enumerate() {
            let Some(before) = before.filter(|before| !before.concluded) else {
                continue;
            };
            let after = self.registered(channel).expect("it stays registered");
            let now_ns = self.stage.now_ns();
            // A gap: nothing ran, and the window was open when it began.
            let is_gap = ns > 2 * TICK_NS && before.timeout_ns > now_ns - ns;
            let least_ns = before.timeout_ns + if is_gap { ns } else { 0 };
            assert!(
                after.timeout_ns >= least_ns,
                "channel {channel}: a gap counted"
            );
        }
    }

    /// The hash of all that decides what can happen from now on. What only counts (calls, messages,
    /// events) is left out, so that different ways to the same moment are seen to meet.
    pub fn summary(&self) -> u64 {
        let stage = &self.stage;
        let mut hasher = DefaultHasher::new();
        stage.now_ns().hash(&mut hasher);
        self.books.channels.hash(&mut hasher);
        let key = |message: &MessageId| {
            let message = self.messages.get(message);
            message.map(|message| message.past.finish())
        };
        let waiting = stage.waiting.borrow();
        for queue in stage.requests.borrow().iter() {
            queue.len().hash(&mut hasher);
            for (call, question) in queue {
                let waiting = waiting.get(call).filter(|waiting| waiting.reply.is_none());
                (waiting.and_then(|waiting| key(&waiting.message)), question).hash(&mut hasher);
            }
        }
        let mut texts: Vec<_> = waiting
            .values()
            .map(|waiting| {
                let key = key(&waiting.message);
                format!("{key:?} {:?} {:?}", waiting.question, waiting.reply)
            })
            .collect();
        texts.extend(
            stage
                .alarms
                .borrow()
                .iter()
                .map(|alarm| format!("{alarm:?}")),
        );
        texts.extend(
            self.messages
                .keys()
                .map(|message| format!("{:?}", key(message))),
        );
        let adjudicator = stage.adjudicator();
        for channel in &cast().channels {
            for asset in (0..channel.assets).map(|asset| AssetIdx::new(asset as u8)) {
                let entry = adjudicator.in_flight(channel.id, asset);
                let entry = entry.and_then(|number| adjudicator.entry(number));
                texts.push(format!("{entry:?}"));
            }
        }
        texts.sort_unstable();
        texts.hash(&mut hasher);
        for ledger in stage.ledgers.borrow().iter() {
            ledger.hash_into(&mut hasher);
        }
        hasher.finish()
    }
}
