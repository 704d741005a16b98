//! Two machines, the queues between them, their stores, an adjudicator, and one clock moved by hand.
//!
//! ```text
//!  Side 0: machine, store ──queue──> Side 1: machine, store
//!      │    <──queue──                  │
//!      └──────── Adjudicator ───────────┘
//! ```
//!
//! The world carries outputs out exactly as their order demands: what is not persisted is gone after
//! a crash, what was to be persisted later may be. And it audits: whatever leaves a side with a
//! signature on it must be in its store by then, and no side ever signs two states of one version.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub mod adjudicator;
pub mod liar;
pub mod signing;
pub mod store;

use std::collections::{BTreeMap, VecDeque};

use perun_protocol::channel::{AdjudicatorCall, Channel, Event, Limits, Output, Setup};
use perun_protocol::channel::{PayError, PeerMisbehaved};
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::signature::{K256, Verifier};
use perun_protocol::wire::{Acceptance, Message, Proposal, Terms};
use perun_protocol::{
    Account, Amount, App, AssetId, AssetIdx, Balances, ChallengeDuration, PartIdx, Principal,
    SecretKey, Signature, SignedState, Signer, Timestamp, Version,
};

pub use self::adjudicator::Adjudicator;
pub use self::signing::{Stamp, Stamps};
pub use self::store::Store;

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
pub const BOTH: [usize; 2] = [ALICE, BOB];

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// When every story begins.
pub const START: Timestamp = Timestamp::from_nanos(1_000_000 * SECOND);

/// How much fits into one update over the link.
pub const MAX_BATCH: usize = 4_096;

/// The limits that stories begin with: updates are accepted without asking.
pub const LIMITS: Limits = Limits {
    max_view_age_ns: MINUTE,
    retry_ns: 2 * SECOND,
    silence_ns: 20 * SECOND,
    decide_ns: None,
};

pub fn part(side: usize) -> PartIdx {
    PartIdx::new(side as u8)
}

pub fn amount(units: u128) -> Amount {
    Amount::new(units)
}

pub fn version(number: u64) -> Version {
    Version::new(number)
}

/// `units` of the first asset.
pub fn payment(units: u128) -> Payment {
    payment_in(0, units)
}

pub fn payment_in(asset: u8, units: u128) -> Payment {
    Payment {
        asset: AssetIdx::new(asset),
        amount: amount(units),
        memo: None,
    }
}

pub fn batch(payments: &[Payment]) -> Batch {
    let mut batch = Batch::new();
    for payment in payments {
        batch.push(payment, Batch::MAX_LENGTH).unwrap();
    }
    batch
}

/// A canister's principal.
pub fn canister(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1]).unwrap()
}

/// Where the payouts of a side go.
pub fn receiver(side: usize) -> Account {
    Account::of(Principal::from_slice(&[0xA0 + side as u8; 29]).unwrap())
}

/// The secret key of a side.
pub fn secret_key(side: usize) -> SecretKey {
    SecretKey::from_bytes(&[side as u8 + 1; 32]).unwrap()
}

/// What a story's channel is to be.
#[derive(Clone)]
pub struct Plan {
    /// For each asset what the two deposit.
    pub funding: Vec<[u128; 2]>,
    pub app: App,
    pub limits: [Limits; 2],
    pub funds_last: [bool; 2],
}

impl Plan {
    /// One asset, no app.
    pub fn of(funding: [u128; 2]) -> Self {
        Self {
            funding: vec![funding],
            app: App::None,
            limits: [LIMITS; 2],
            funds_last: [false; 2],
        }
    }

    /// This side's owner decides on every update, within ten seconds.
    pub fn asking(mut self, side: usize) -> Self {
        self.limits[side].decide_ns = Some(10 * SECOND);
        self
    }

    pub fn with_app(self, app: App) -> Self {
        Self { app, ..self }
    }

    fn terms(&self) -> Terms {
        let amounts = self.funding.iter().flatten().copied().map(amount);
        let balances = Balances::new(2, amounts.collect()).unwrap();
        let assets = (0..self.funding.len()).map(|index| AssetId::Icrc(canister(index as u8 + 1)));
        Terms {
            adjudicator: canister(0xAD),
            assets: assets.collect(),
            challenge_duration: ChallengeDuration::from_secs(3_600).unwrap(),
            app: self.app,
            aux: [0; 32],
            funding: balances.clone(),
            balances,
            fund_by: START.saturating_add_nanos(10 * MINUTE),
        }
    }

    /// What the two sides store about the channel, and what the acceptor answers.
    pub fn setups<S: Signer>(&self, keys: &[S; 2]) -> ([Setup; 2], Acceptance) {
        let participant =
            |side: usize| perun_protocol::Participant::Secp256k1(keys[side].public_key());
        let proposal = Proposal {
            terms: self.terms(),
            participant: participant(ALICE),
            nonce_share: [0x0A; 32],
            expires_at: START.saturating_add_nanos(MINUTE),
        };
        let acceptance = Acceptance {
            proposal: proposal.id(),
            part: Proposal::ACCEPTOR,
            participant: participant(BOB),
            nonce_share: [0x0B; 32],
        };
        let (params, initial) = proposal.channel(&acceptance).unwrap();
        let setup = |side: usize| Setup {
            params: params.clone(),
            part: part(side),
            initial: initial.clone(),
            expires_at: proposal.expires_at,
            fund_by: proposal.terms.fund_by,
            receiver: receiver(side),
            funds_last: self.funds_last[side],
        };
        ([setup(ALICE), setup(BOB)], acceptance)
    }
}

/// One participant: the machine, what is stored, and what its owner was told.
#[derive(Debug)]
pub struct Side<S, V> {
    pub channel: Channel<S, V>,
    pub store: Store,
    pub signer: S,
    pub limits: Limits,
    pub events: Vec<Event>,
    /// What is to be asked of the adjudicator.
    pub call: Option<AdjudicatorCall>,
    /// Whether it follows the adjudicator and can call it.
    pub is_watching: bool,
    /// Whether it is held against it what it signs.
    pub is_honest: bool,
    /// The number of the adjudicator's changes seen.
    seen: Option<u64>,
    /// What was asked last, when, and after how many changes: nobody asks twice in vain at once.
    asked: Option<(Timestamp, u64, AdjudicatorCall)>,
    /// The version and our signature on it, for all that have left.
    signed: BTreeMap<Version, Signature>,
    /// Whatever the peer was accused of.
    pub misbehaved: Vec<PeerMisbehaved>,
}

/// The world of one channel.
#[derive(Debug)]
pub struct World<S, V> {
    pub now: Timestamp,
    pub sides: [Side<S, V>; 2],
    /// What was sent to each side and has not arrived.
    pub queues: [VecDeque<Message>; 2],
    pub is_linked: bool,
    pub adjudicator: Adjudicator,
}

/// A world with real keys.
pub type Pair = World<SecretKey, K256>;

impl Pair {
    /// Both have agreed on what the channel is to be, nobody has signed, and there is no link.
    pub fn agreed(plan: &Plan) -> Self {
        Self::agreed_with(plan, BOTH.map(secret_key))
    }

    /// The link is there and whatever can happen has.
    pub fn opened(plan: &Plan) -> Self {
        Self::agreed(plan).open()
    }

    /// A channel of one asset, funded and open.
    pub fn funded(funding: [u128; 2]) -> Self {
        Self::opened(&Plan::of(funding))
    }
}

/// A world without cryptography, for what is played hundreds of times.
pub type Quick = World<Stamp, Stamps>;

impl Quick {
    pub fn opened(plan: &Plan) -> Self {
        Self::agreed_with(plan, BOTH.map(Stamp::of)).open()
    }

    pub fn funded(funding: [u128; 2]) -> Self {
        Self::opened(&Plan::of(funding))
    }
}

impl<S: Signer + Clone, V: Verifier> World<S, V> {
    pub fn agreed_with(plan: &Plan, keys: [S; 2]) -> Self {
        let ([alice, bob], acceptance) = plan.setups(&keys);
        let adjudicator = Adjudicator::new(&alice.params);
        let [first, second] = keys;
        let stores = [Store::new(&alice), Store::new(&bob)];
        let channels = [
            Channel::propose(alice, plan.limits[ALICE], first.clone()).unwrap(),
            Channel::accept(bob, plan.limits[BOB], second.clone(), acceptance).unwrap(),
        ];
        let mut sides = channels
            .into_iter()
            .zip(stores)
            .zip([first, second])
            .zip(plan.limits)
            .map(|(((channel, store), signer), limits)| Side {
                channel,
                store,
                signer,
                limits,
                events: vec![],
                call: None,
                is_watching: true,
                is_honest: true,
                seen: None,
                asked: None,
                signed: BTreeMap::new(),
                misbehaved: vec![],
            });
        let sides = [sides.next().unwrap(), sides.next().unwrap()];
        Self {
            now: START,
            sides,
            queues: Default::default(),
            is_linked: false,
            adjudicator,
        }
    }

    fn open(mut self) -> Self {
        self.connect();
        self.drive();
        for side in BOTH {
            assert!(self.channel(side).is_open());
            assert!(self.channel(side).is_synced());
        }
        self
    }

    pub fn channel(&self, side: usize) -> &Channel<S, V> {
        &self.sides[side].channel
    }

    pub fn channel_mut(&mut self, side: usize) -> &mut Channel<S, V> {
        &mut self.sides[side].channel
    }

    // The link.

    pub fn connect(&mut self) {
        self.cut();
        self.is_linked = true;
        for side in BOTH {
            let now = self.now;
            self.channel_mut(side).handle_connected(now, MAX_BATCH);
        }
    }

    /// The link breaks; whatever is under way is lost.
    pub fn cut(&mut self) {
        self.is_linked = false;
        self.queues = Default::default();
        for side in BOTH {
            self.channel_mut(side).handle_disconnected();
        }
    }

    /// Hands over the next message to a side, if there is one.
    pub fn deliver(&mut self, to: usize) -> bool {
        let Some(message) = self.queues[to].pop_front() else {
            return false;
        };
        self.receive(to, message);
        true
    }

    /// What arrives at a side, from wherever. Messages travel as bytes.
    pub fn receive(&mut self, to: usize, message: Message) {
        let decoded = Message::decode(&message.encode()).unwrap();
        assert_eq!(decoded, message);
        let now = self.now;
        if let Err(misbehaved) = self.channel_mut(to).handle_message(now, decoded) {
            self.sides[to].misbehaved.push(misbehaved);
        }
    }

    // Outputs.

    /// Carries out the next output of a side.
    pub fn carry_out(&mut self, of: usize) -> bool {
        let Some(output) = self.channel_mut(of).poll_output() else {
            return false;
        };
        match output {
            Output::Persist(record) => self.sides[of].store.persist(record),
            Output::PersistLater(record) => self.sides[of].store.persist_later(record),
            Output::Send(message) => {
                self.audit_message(of, &message);
                if self.is_linked {
                    self.queues[1 - of].push_back(message);
                }
            }
            Output::Call(call) => {
                if let AdjudicatorCall::Dispute(signed) | AdjudicatorCall::ConcludeFinal(signed) =
                    &call
                {
                    self.audit(of, signed.version(), signed.signatures()[of]);
                }
                self.sides[of].call = Some(call);
            }
            Output::Notify(event) => self.sides[of].events.push(event),
        }
        true
    }

    pub fn carry_out_all(&mut self, of: usize) {
        while self.carry_out(of) {}
    }

    fn audit_message(&mut self, of: usize, message: &Message) {
        match message {
            Message::Update(update) => self.audit(of, update.version, update.signature),
            Message::UpdateAcceptance(acceptance) => {
                assert_eq!(acceptance.part, part(of));
                self.audit(of, acceptance.version, acceptance.signature);
            }
            Message::Sync(sync) => {
                let newest = &sync.newest;
                self.audit(of, newest.state.version(), newest.signatures[of]);
                if let Some(update) = &sync.pending {
                    self.audit(of, update.version, update.signature);
                }
            }
            _ => {}
        }
    }

    /// A signature leaves. Signatures are deterministic, so two of them are on two states.
    fn audit(&mut self, of: usize, version: Version, signature: Signature) {
        let side = &mut self.sides[of];
        if !side.is_honest {
            return;
        }
        let before = side.signed.insert(version, signature);
        assert!(
            before.is_none_or(|before| before == signature),
            "side {of} has signed two states of version {}",
            version.number()
        );
        let restored: Channel<S, V> = side.store.restore(side.limits, side.signer.clone());
        assert!(
            restored.highest_signed() >= Some(version),
            "side {of} sends a signature on version {} that it has not stored",
            version.number()
        );
    }

    // The adjudicator.

    /// Lets a side see the adjudicator as it is now.
    pub fn look(&mut self, side: usize) {
        let view = self.adjudicator.view(self.now);
        self.sides[side].seen = Some(self.adjudicator.changes);
        let now = self.now;
        self.channel_mut(side).handle_view(now, view);
    }

    /// Carries out what a side wants of the adjudicator, and looks.
    pub fn call(&mut self, side: usize) -> bool {
        let Some(call) = self.sides[side].call.clone() else {
            return false;
        };
        let asked = (self.now, self.adjudicator.changes, call.clone());
        if self.sides[side].asked.as_ref() == Some(&asked) {
            return false;
        }
        self.sides[side].asked = Some(asked);
        self.sides[side].call = None;
        if call == AdjudicatorCall::Fund {
            let needed = self.channel(side).setup().initial.funding().clone();
            for (asset, missing) in self.adjudicator.missing(&needed, side) {
                self.adjudicator.deposit(asset, part(side), missing);
            }
        } else {
            self.adjudicator.carry_out(self.now, part(side), &call);
        }
        for asset in self.adjudicator.kept_of(part(side)) {
            self.channel_mut(side).handle_kept(asset);
        }
        self.look(side);
        true
    }

    fn follow(&mut self, side: usize) -> bool {
        if self.sides[side].seen == Some(self.adjudicator.changes) {
            return false;
        }
        self.look(side);
        true
    }

    // Time.

    /// Everything that can happen without time passing.
    pub fn drive(&mut self) {
        for _ in 0..10_000 {
            let mut is_quiet = true;
            for side in BOTH {
                while self.carry_out(side) {
                    is_quiet = false;
                }
                if self.sides[side].is_watching && (self.follow(side) || self.call(side)) {
                    is_quiet = false;
                }
                self.carry_out_all(side);
                if self.deliver(side) {
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// Time passes, and everything happens when it is due. Who watches is told that nothing has
    /// happened at the adjudicator if so.
    pub fn wait(&mut self, nanos: u64) {
        let until = self.now.saturating_add_nanos(nanos);
        self.drive();
        loop {
            let due = BOTH
                .into_iter()
                .filter_map(|side| self.channel(side).poll_timeout());
            let next = due.min().unwrap_or(until).min(until).max(self.now);
            self.now = next;
            for side in BOTH {
                if self.sides[side].is_watching
                    && self.sides[side].seen == Some(self.adjudicator.changes)
                {
                    self.channel_mut(side).handle_quiet(next, next);
                }
                self.channel_mut(side).handle_timeout(next);
                let due = self.channel(side).poll_timeout();
                assert!(
                    due.is_none_or(|due| due > next),
                    "side {side} is never done with an instant"
                );
            }
            self.drive();
            if next == until {
                return;
            }
        }
    }

    // Crashes.

    /// A side loses everything but what is stored, and starts again. The link is gone.
    pub fn crash(&mut self, side: usize) {
        self.cut();
        self.restart_from(side, None);
    }

    /// A copy of what a side has stored by now.
    pub fn copy_of(&mut self, side: usize) -> Store {
        self.sides[side].store.flush();
        self.sides[side].store.clone()
    }

    /// A side is restored from an old copy of its store.
    pub fn roll_back(&mut self, side: usize, copy: Store) {
        self.cut();
        self.restart_from(side, Some(copy));
    }

    fn restart_from(&mut self, side: usize, copy: Option<Store>) {
        let side = &mut self.sides[side];
        match copy {
            Some(copy) => side.store = copy,
            None => side.store.lose_later(),
        }
        side.channel = side.store.restore(side.limits, side.signer.clone());
        side.call = None;
        side.seen = None;
    }

    // What stories say.

    pub fn try_pay(&mut self, from: usize, units: u128) -> Result<u64, PayError> {
        let now = self.now;
        self.channel_mut(from).pay(now, &payment(units))
    }

    /// Pays, and nothing more happens.
    pub fn pay(&mut self, from: usize, units: u128) -> u64 {
        self.try_pay(from, units).unwrap()
    }

    pub fn close(&mut self, side: usize) {
        let now = self.now;
        let by = now.saturating_add_nanos(30 * SECOND);
        self.channel_mut(side).close(now, by).unwrap();
    }

    pub fn force_close(&mut self, side: usize) {
        let now = self.now;
        self.channel_mut(side).force_close(now).unwrap();
    }

    /// The events of a side since this was asked last.
    pub fn take_events(&mut self, side: usize) -> Vec<Event> {
        std::mem::take(&mut self.sides[side].events)
    }

    pub fn newest(&self, side: usize) -> &SignedState {
        self.channel(side).newest().unwrap()
    }

    /// What the two have of an asset in the newest state of a side.
    pub fn balances_of(&self, side: usize, asset: u8) -> [u128; 2] {
        let balances = &self.newest(side).state().allocation().balances;
        BOTH.map(|of| balances.at(AssetIdx::new(asset), part(of)).unwrap().units())
    }

    /// Both agree on the newest state, and these are its balances.
    #[track_caller]
    pub fn assert_agreed(&self, balances: [u128; 2]) {
        for side in BOTH {
            assert_eq!(self.balances_of(side, 0), balances, "side {side}");
            assert_eq!(self.channel(side).pending(), None, "side {side}");
            assert!(self.channel(side).is_synced(), "side {side}");
        }
        assert_eq!(self.newest(ALICE), self.newest(BOB));
        self.assert_nobody_misbehaved();
    }

    #[track_caller]
    pub fn assert_nobody_misbehaved(&self) {
        for side in BOTH {
            assert_eq!(self.sides[side].misbehaved, [], "seen by side {side}");
        }
    }

    /// Both are done, and this is what the first ledger has paid them.
    #[track_caller]
    pub fn assert_paid_out(&self, amounts: [u128; 2]) {
        for side in BOTH {
            assert!(self.channel(side).is_closed(), "side {side}");
        }
        assert_eq!(BOTH.map(|side| self.adjudicator.paid(0, side)), amounts);
    }
}
