//! Messages that await: from one await to the next, to the answer, or to a trap.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _};
use std::task::{Context, Poll, Waker};

use perun_canister::flow;
use perun_canister::journal::JournalNumber;
use perun_canister::verdict::Answer;
use perun_canister_api::{DepositError, WithdrawError};

use super::{Hashing, Message, Outcome, Sim};
use crate::cast::cast;
use crate::coverage::{Fate, Sort};
use crate::stage::{CallId, MessageId, Question, Reply, Waiting};
use crate::step::{Call, Step};

impl Sim {
    /// Lets a message begin, and run until it awaits something.
    pub(super) fn begin(
        &mut self,
        sort: Sort,
        channel: Option<usize>,
        step: &Step,
        future: impl Future<Output = Outcome> + 'static,
    ) -> Option<Outcome> {
        let id = self.next_message;
        self.next_message += 1;
        let mut past = DefaultHasher::new();
        step.hash(&mut past);
        let message = Message {
            sort,
            channel,
            future: Box::pin(future),
            own: Vec::new(),
            expected: match step {
                Step::Call(Call::Pull {
                    place,
                    expected: Some(holding),
                    ..
                }) => Some((*place, *holding)),
                _ => None,
            },
            past,
        };
        self.messages.insert(id, message);
        self.poll(id)
    }

    /// Lets a message run until it awaits something or is answered.
    pub(super) fn poll(&mut self, id: MessageId) -> Option<Outcome> {
        let message = self.messages.get_mut(&id).expect("it is under way");
        self.stage.running.set(id);
        let polled = message
            .future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        // What happened comes before what was written down, and before what is answered.
        self.books.read_log(&self.stage);
        if let Some(number) = self.stage.reserved.take() {
            message.own.push(number);
            if let Some((place, expected)) = message.expected {
                let held = &self.books.channels[place.channel].held;
                let held = held[place.asset][place.part];
                assert_eq!(held, expected, "a deposit that was to happen once");
            }
        }
        let Poll::Ready(outcome) = polled else {
            return None;
        };
        let message = self.messages.remove(&id).expect("it is under way");
        if let Some(channel) = message.channel {
            self.check_answer(channel, &message.own, &outcome);
        }
        Some(outcome)
    }

    /// An answer says what happened to the money.
    pub(super) fn check_answer(&self, channel: usize, own: &[JournalNumber], outcome: &Outcome) {
        let (block, is_pending) = match outcome {
            Outcome::Deposit(Ok(receipt)) => (Some(receipt.block), false),
            Outcome::Withdraw(Ok(receipt)) => (Some(receipt.block), false),
            Outcome::Deposit(Err(DepositError::Pending { .. }))
            | Outcome::Withdraw(Err(WithdrawError::Pending { .. })) => (None, true),
            Outcome::Deposit(Err(_)) | Outcome::Withdraw(Err(_)) => (None, false),
            _ => return,
        };
        let ledgers = self.stage.ledgers.borrow();
        let executed = |number: &JournalNumber| {
            let assets = &ledgers[..cast().channels[channel].assets];
            assets.iter().find_map(|ledger| ledger.executed(number.0))
        };
        let adjudicator = self.stage.adjudicator();
        let mut settled = own.iter().rev();
        if let Some(block) = block {
            let number = settled.next().expect("who is told Ok has moved money");
            let executed = executed(number).expect("who is told Ok has moved money");
            assert!(block.is_none_or(|block| block == u128::from(executed)));
            assert!(adjudicator.entry(*number).is_none());
        } else if is_pending {
            settled.next();
        }
        for number in settled {
            assert_eq!(executed(number), None, "refused, but executed: {outcome:?}");
            assert!(
                adjudicator.entry(*number).is_none(),
                "refused, but kept: {outcome:?}"
            );
        }
    }

    pub(super) fn go_on(&mut self, call: CallId) -> Option<Outcome> {
        let waiting = self.stage.hand(call).expect("it waits");
        let fate = match waiting.reply.as_ref().expect("it is answered") {
            Reply::Transfer(Answer::NotDelivered(_)) => Fate::NotDelivered,
            Reply::Transfer(Answer::Lost) => match self.is_executed(&waiting) {
                true => Fate::ReplyLost,
                false if waiting.in_transit => Fate::CallLate,
                false => Fate::CallLost,
            },
            Reply::Amount(Err(_)) => Fate::CallLost,
            Reply::Transfer(_) | Reply::Amount(Ok(_)) => Fate::Answered,
        };
        self.meet(&waiting, fate);
        let message = self.messages.get_mut(&waiting.message).expect("it waits");
        let _ = write!(Hashing(&mut message.past), "{:?}", waiting.reply);
        self.poll(waiting.message)
    }

    /// The callback is rolled back, and the message with it as far as it was not.
    pub(super) fn trap(&mut self, call: CallId) {
        let waiting = self.stage.discard(call).expect("it waits");
        let fate = match self.is_executed(&waiting) {
            true => Fate::Trapped,
            false => Fate::TrappedUnexecuted,
        };
        self.meet(&waiting, fate);
        self.messages.remove(&waiting.message);
    }

    pub(super) fn meet(&mut self, waiting: &Waiting, fate: Fate) {
        if let Some(message) = self.messages.get(&waiting.message) {
            self.books.coverage.hit(message.sort, waiting.at, fate);
        }
    }

    pub(super) fn is_executed(&self, waiting: &Waiting) -> bool {
        match &waiting.question {
            Question::Transfer(transfer) => {
                let ledgers = self.stage.ledgers.borrow();
                ledgers
                    .iter()
                    .any(|ledger| ledger.executed(transfer.memo).is_some())
            }
            _ => !waiting.in_transit,
        }
    }

    pub(super) fn upgrade(&mut self) {
        let waiting: Vec<_> = self.stage.waiting.borrow().values().cloned().collect();
        for waiting in &waiting {
            self.meet(waiting, Fate::Upgraded);
        }
        self.messages.clear();
        let root = self.stage.adjudicator().certified_root();
        self.stage.replace_instance();
        assert_eq!(self.stage.adjudicator().certified_root(), root);
        flow::start(&*self.stage);
    }

    /// A message from its beginning to its answer, while nothing else happens.
    pub fn run(&mut self, call: Call) -> Outcome {
        let mut outcome = self.apply(Step::Call(call));
        while outcome.is_none() {
            let step = self.next_to_finish().expect("it waits for something");
            outcome = self.apply(step);
        }
        outcome.expect("it is answered")
    }

    /// Fires all timers that are due, and all that become due by that.
    pub fn fire_all(&mut self) {
        loop {
            self.finish_everything();
            let now_ns = self.stage.now_ns();
            let alarms = self.stage.alarms.borrow();
            let due = alarms.iter().position(|alarm| alarm.due_ns <= now_ns);
            drop(alarms);
            match due {
                Some(alarm) => self.apply(Step::Fire(alarm)),
                None => return,
            };
        }
    }

    /// Answers all calls, in order, until none is left.
    pub fn finish_everything(&mut self) {
        while let Some(step) = self.next_to_finish() {
            self.apply(step);
        }
    }

    /// The next step towards answering all calls, in order.
    pub fn next_to_finish(&self) -> Option<Step> {
        let requests = self.stage.requests.borrow();
        if let Some(ledger) = requests.iter().position(|queue| !queue.is_empty()) {
            return Some(Step::Execute(ledger));
        }
        let (&call, _) = self.stage.waiting.borrow().first_key_value()?;
        Some(Step::GoOn(call))
    }
}
