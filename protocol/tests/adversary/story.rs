//! A history of one honest machine and a peer that holds its own key and does what it likes.
//!
//! The peer has a machine too, whose messages it may keep, repeat, reorder and forge, and which it
//! restores from old copies on purpose. It can complete every proposal that it was ever sent, and
//! register every state that both have signed. The honest side crashes, but loses nothing that it
//! has stored, and it watches the adjudicator in time.
//!
//! What it is promised, and is checked here:
//! - It never signs two states of one version, and stores before it sends (audited by the world).
//! - It never panics, comes to rest after each input, and does not grow.
//! - At any time it can end the channel and gets at least what [`Channel::secured`] said. That is
//!   never less than what it deposited and what it was told that it received, less what it paid.

use perun_protocol::channel::Event;
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::wire::{
    Message, PaymentRequest, Reason, RejectCode, Sync, Text, TurnPass, TurnRequest, Update,
    UpdateRejection,
};
use perun_protocol::{AssetIdx, SignedState, State, UnverifiedSignedState, Version};

use crate::world::liar::successor;
use crate::world::*;

/// More outputs than one input can have.
const MAX_OUTPUTS: usize = 24;
/// More bytes than a snapshot of a channel of one asset has.
const MAX_SNAPSHOT: usize = 2_048;
/// How many messages the liar keeps to repeat.
const MAX_KEPT: usize = 16;

struct Story<'a> {
    bytes: &'a [u8],
    world: Quick,
    /// Who is honest.
    honest: usize,
    /// States that both have signed, as far as the liar knows.
    known: Vec<SignedState>,
    /// Everything that the honest side has ever proposed.
    proposed: Vec<State>,
    /// Messages of the liar's machine.
    kept: Vec<Message>,
    copy: Option<Store>,
    /// What the honest side has asked to be paid.
    paid: u128,
    /// What it was told that it received.
    received: u128,
    deposited: u128,
    /// What was secured last while that could still be enforced.
    secured: u128,
    /// What it is asked about.
    asked: Option<Version>,
}

/// Plays the history that `bytes` tell.
pub fn play(bytes: &[u8]) {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let honest = usize::from(kind & 1);
    let mut plan = Plan::of([50, 50]);
    if kind & 2 != 0 {
        plan = plan.asking(honest);
    }
    if kind & 4 != 0 {
        plan = plan.with_app(PAYMENT_APP);
    }
    let mut world = Quick::agreed_with(&plan, BOTH.map(Stamp::of));
    world.sides[1 - honest].is_watching = false;
    world.sides[1 - honest].is_honest = false;
    let mut story = Story {
        bytes,
        honest,
        known: vec![],
        proposed: vec![],
        kept: vec![],
        copy: None,
        paid: 0,
        received: 0,
        deposited: 0,
        secured: 0,
        asked: None,
        world,
    };
    if kind & 8 == 0 {
        // Most stories begin with an open channel.
        story
            .world
            .adjudicator
            .deposit(0, part(1 - honest), amount(50));
        story.world.connect();
        story.world.drive();
        let now = story.world.now;
        let view = story.world.adjudicator.view(now);
        story.world.channel_mut(1 - honest).handle_view(now, view);
        story.world.drive();
        assert!(story.world.channel(honest).is_open());
    }
    story.settle();
    while let Some(action) = story.next() {
        story.act(action);
        story.settle();
    }
    story.end();
}

impl Story<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % bound.max(1)
    }

    fn liar(&self) -> usize {
        1 - self.honest
    }

    fn act(&mut self, action: u8) {
        let (honest, liar, now) = (self.honest, self.liar(), self.world.now);
        match action % 32 {
            0..=5 => {
                self.world.deliver(honest);
            }
            6..=9 => {
                self.world.deliver(liar);
            }
            10 => {
                self.world.queues[honest].pop_front();
            }
            11 => {
                let queue = &mut self.world.queues[honest];
                if let Some(first) = queue.pop_front() {
                    queue.push_back(first);
                }
            }
            12 => {
                let index = self.below(self.kept.len());
                if let Some(message) = self.kept.get(index) {
                    let message = message.clone();
                    self.world.receive(honest, message);
                }
            }
            13..=15 => {
                let units = self.below(9) as u128;
                if self.world.try_pay(honest, units).is_ok() {
                    self.paid += units;
                }
            }
            16 => {
                let units = self.below(9) as u128;
                let _ = self.world.try_pay(liar, units);
            }
            17 => {
                if self.world.is_linked {
                    self.world.cut();
                }
                self.world.connect();
            }
            18 => {
                if self.below(2) == 0 {
                    self.world.sides[honest].store.flush();
                }
                if !self.world.sides[honest].store.is_empty() {
                    self.world.crash(honest);
                    self.asked = None;
                }
            }
            19 => match self.copy.take() {
                Some(copy) if !copy.is_empty() => self.world.roll_back(liar, copy),
                _ => self.copy = Some(self.world.copy_of(liar)),
            },
            20 => {
                let index = self.below(self.known.len());
                let is_rare = self.below(8) == 0;
                if let Some(signed) = self.known.get(index).filter(|_| is_rare) {
                    self.world.adjudicator.dispute(now, signed);
                }
            }
            21 => self.wait(SECOND),
            22 => {
                let minutes = 1 + self.below(3) as u64;
                self.wait(minutes * MINUTE);
            }
            23 => {
                let view = self.world.adjudicator.view(now);
                self.world.channel_mut(liar).handle_view(now, view);
            }
            24 => self.forge_sync(),
            25 => self.forge_update(),
            26 => self.answer_falsely(),
            27 => self.garble(),
            28 => self.decide(),
            29 => match self.below(6) {
                0 => {
                    let by = now.saturating_add_nanos(30 * SECOND);
                    let _ = self.world.channel_mut(honest).close(now, by);
                }
                1 => self.world.channel_mut(honest).cancel_queued(),
                2 => {
                    let view = self.world.adjudicator.view(now);
                    self.world.channel_mut(honest).handle_view(START, view);
                }
                3 => self.world.adjudicator.deposit(0, part(liar), amount(50)),
                4 => self.world.adjudicator.gap(5 * MINUTE),
                _ => {
                    let by = now.saturating_add_nanos(30 * SECOND);
                    let _ = self.world.channel_mut(liar).close(now, by);
                }
            },
            30 => self.small_lies(),
            _ => {
                let liars = self.world.channel(liar).newest().is_some();
                if liars && self.below(16) == 0 {
                    let _ = self.world.channel_mut(liar).force_close(now);
                }
            }
        }
    }

    /// Everything that the two want to be done is done, and the honest side is looked at.
    fn settle(&mut self) {
        let (honest, liar) = (self.honest, self.liar());
        let mut outputs = 0;
        loop {
            if let Some(pending) = self.world.channel(honest).pending()
                && !self.proposed.contains(pending)
            {
                self.proposed.push(pending.clone());
            }
            if !self.world.carry_out(honest) {
                break;
            }
            outputs += 1;
            assert!(outputs <= MAX_OUTPUTS, "one input has too many outputs");
        }
        let arrived = self.world.queues[honest].len();
        self.world.carry_out_all(liar);
        for message in self.world.queues[honest].iter().skip(arrived) {
            self.kept.push(message.clone());
        }
        let superfluous = self.kept.len().saturating_sub(MAX_KEPT);
        self.kept.drain(..superfluous);
        for side in BOTH {
            if let Some(newest) = self.world.channel(side).newest()
                && !self.known.contains(newest)
            {
                let newest = newest.clone();
                self.known.push(newest);
            }
        }
        for event in self.world.take_events(honest) {
            match event {
                Event::Received { payments, .. } => {
                    self.received += payments.total(AssetIdx::new(0)).units();
                }
                Event::Offered { version, .. } => self.asked = Some(version),
                _ => {}
            }
        }
        self.world.take_events(liar);
        self.world.sides[honest].misbehaved.clear();
        self.world.sides[liar].misbehaved.clear();
        let stored = self.world.sides[honest].store.snapshot_length();
        assert!(stored <= MAX_SNAPSHOT, "a snapshot of {stored} bytes");
        self.deposited = self.deposit_of(honest);
        if let [secured] = self.world.channel(honest).secured()[..] {
            // What is shown when the window is over comes too late for everybody.
            let timeout = self.world.adjudicator.timeout();
            if timeout.is_none_or(|timeout| self.world.now < timeout) {
                self.secured = secured.units();
            }
            let floor = (50 + self.received).saturating_sub(self.paid);
            assert!(
                secured.units() >= floor,
                "secured is {secured}, received {}, paid {}",
                self.received,
                self.paid
            );
        }
    }

    fn deposit_of(&self, side: usize) -> u128 {
        let holdings = self.world.adjudicator.holdings();
        holdings.at(AssetIdx::new(0), part(side)).unwrap().units()
    }

    /// Time passes while the honest side watches.
    fn wait(&mut self, nanos: u64) {
        let honest = self.honest;
        self.world.now = self.world.now.saturating_add_nanos(nanos);
        let now = self.world.now;
        for side in BOTH {
            self.world.channel_mut(side).handle_timeout(now);
        }
        let due = self.world.channel(honest).poll_timeout();
        assert!(
            due.is_none_or(|due| due > now),
            "never done with an instant"
        );
        self.settle();
        self.watch();
    }

    /// The honest side sees the adjudicator as it is, and asks of it what it wants.
    fn watch(&mut self) {
        for _ in 0..4 {
            self.world.look(self.honest);
            self.settle();
            if !self.world.call(self.honest) {
                break;
            }
            self.settle();
        }
    }

    /// A sync in which some things are true.
    fn forge_sync(&mut self) {
        if self.world.channel(self.liar()).newest().is_none() {
            return;
        }
        let mut sync = Sync {
            wants_answer: self.below(2) == 0,
            ..self.world.sync_of(self.liar())
        };
        match self.below(4) {
            0 => sync.turn = sync.turn.saturating_sub(1),
            1 => sync.turn += self.below(4) as u64,
            _ => {}
        }
        if let 0 = self.below(2)
            && let index = self.below(self.known.len())
            && let Some(signed) = self.known.get(index)
        {
            sync.newest = signed.clone().into();
        }
        match self.below(6) {
            0 => sync.signed_through = None,
            1 => sync.signed_through = Some(version(u64::from(self.next().unwrap_or(0)))),
            2 => sync.signed_through = Some(version(1 << (self.below(64)))),
            _ => {}
        }
        // A proposal of the honest side is shown, or something it never signed.
        let index = self.below(self.proposed.len());
        if let Some(state) = self.proposed.get(index).cloned() {
            match self.below(8) {
                0 => sync.witness = Some(self.world.witness(state, self.honest)),
                1 => sync.offered = Some(self.world.witness(state, self.honest)),
                2 => sync.witness = Some(self.world.witness(state, self.liar())),
                3 => {
                    let signed = self.world.complete_in_secret(&state);
                    sync.newest = UnverifiedSignedState::from(signed.clone());
                    self.known.push(signed);
                }
                _ => {}
            }
        }
        if self.below(3) == 0 {
            sync.pending = self.update();
        }
        self.world
            .receive(self.honest, Message::Sync(Box::new(sync)));
    }

    /// A proposal by the liar that may or may not be good.
    fn update(&mut self) -> Option<Update> {
        let (honest, liar) = (self.honest, self.liar());
        let base = self.world.channel(honest).newest()?.state().clone();
        if base.is_final() {
            return None;
        }
        let has = base.allocation().balances.at(AssetIdx::new(0), part(liar));
        let units = (self.below(12) as u128).min(has?.units());
        let skipped = match self.below(8) {
            0 => 1 << self.below(40),
            1 => self.below(5) as u64,
            2 => {
                let highest = self.world.channel(honest).highest_signed()?;
                highest.number() - base.version().number()
            }
            _ => 0,
        };
        let next = version(
            base.version()
                .number()
                .checked_add(skipped)?
                .checked_add(1)?,
        );
        let has_app = self.world.channel(honest).params().app() == PAYMENT_APP;
        let payments = if units == 0 {
            vec![]
        } else {
            vec![payment(units)]
        };
        let is_final = units == 0 || self.below(16) == 0;
        let state = successor(&base, has_app, liar, next, &payments, is_final);
        let turn = self.world.channel(honest).turn().0;
        let mut update = Update {
            channel: state.channel(),
            version: next,
            skipped,
            turn,
            is_final,
            passes_turn: self.below(3) == 0,
            payments: batch(&payments),
            signature: self.world.acceptance_by(liar, &state).signature,
        };
        match self.below(12) {
            0 => update.signature = perun_protocol::Signature::from_bytes([9; 64]),
            1 => update.payments = batch(&[payment(1_000)]),
            2 => update.turn = self.below(8) as u64,
            3 => update.is_final = !update.is_final,
            _ => {}
        }
        Some(update)
    }

    fn forge_update(&mut self) {
        if let Some(update) = self.update() {
            self.world
                .receive(self.honest, Message::Update(Box::new(update)));
        }
    }

    /// Accepts or rejects something that the honest side has proposed some time.
    fn answer_falsely(&mut self) {
        let index = self.below(self.proposed.len());
        let newest = self.proposed.len().checked_sub(1);
        let index = if self.below(2) == 0 {
            newest
        } else {
            Some(index)
        };
        let state = index.and_then(|index| self.proposed.get(index)).cloned();
        let Some(state) = state else {
            return;
        };
        if self.below(2) == 0 {
            let mut acceptance = self.world.acceptance_by(self.liar(), &state);
            acceptance.asks_turn = self.below(2) == 0;
            if self.below(8) == 0 {
                acceptance.part = part(self.honest);
            }
            // Whoever has accepted knows the state.
            let signed = self.world.complete_in_secret(&state);
            self.known.push(signed);
            let message = Message::UpdateAcceptance(acceptance);
            self.world.receive(self.honest, message);
        } else {
            let number = self.below(15) as u16;
            let rejection = UpdateRejection {
                channel: state.channel(),
                version: state.version(),
                code: RejectCode::from_number(number),
                text: Text::default(),
            };
            let message = Message::UpdateRejection(rejection);
            self.world.receive(self.honest, message);
        }
    }

    /// A message with one byte changed, if it is one still.
    fn garble(&mut self) {
        let index = self.below(self.kept.len());
        let Some(message) = self.kept.get(index) else {
            return;
        };
        let mut bytes = message.encode();
        let place = (usize::from(self.next().unwrap_or(0)) * 7 + self.below(7)) % bytes.len();
        bytes[place] ^= 1 << self.below(8);
        if let Ok(message) = Message::decode(&bytes) {
            let now = self.world.now;
            let honest = self.world.channel_mut(self.honest);
            let _ = honest.handle_message(now, message);
        }
    }

    /// The honest owner answers what it is asked.
    fn decide(&mut self) {
        let Some(version) = self.asked.take() else {
            return;
        };
        let (now, honest) = (self.world.now, self.honest);
        let agrees = self.below(2) == 0;
        let channel = self.world.channel_mut(honest);
        let _ = if agrees {
            channel.accept_update(now, version)
        } else {
            channel.reject_update(now, version, &Reason::new(RejectCode::Declined, "no"))
        };
    }

    fn small_lies(&mut self) {
        let channel = self.world.channel(self.honest).id();
        let turn = self.world.channel(self.honest).turn().0;
        let turn = (turn + self.below(4) as u64).saturating_sub(1);
        let message = match self.below(4) {
            0 => Message::TurnPass(TurnPass { channel, turn }),
            1 => Message::TurnRequest(TurnRequest { channel, turn }),
            2 => Message::Unknown { kind: 77 },
            _ => Message::PaymentRequest(PaymentRequest {
                channel,
                id: turn,
                asset: AssetIdx::new(self.below(3) as u8),
                amount: amount(turn.into()),
                memo: Text::default(),
                expires_at: self.world.now.saturating_add_nanos(SECOND),
            }),
        };
        self.world.receive(self.honest, message);
    }

    /// The honest side ends the channel; the liar registers what it likes while it can.
    fn end(mut self) {
        let honest = self.honest;
        for state in &self.proposed {
            // A proposal that was signed can always be completed.
            self.known.push(self.world.complete_in_secret(state));
        }
        self.watch();
        let channel = self.world.channel(honest);
        if channel.is_closed() && channel.newest().is_none() {
            assert_eq!(self.deposited, 0, "abandoned with money in it");
            return;
        }
        let secured = self.secured;
        let now = self.world.now;
        let _ = self.world.channel_mut(honest).force_close(now);
        self.settle();
        self.world.cut();
        for _ in 0..16 {
            for index in 0..self.known.len() {
                let now = self.world.now;
                let signed = self.known[index].clone();
                self.world.adjudicator.dispute(now, &signed);
            }
            self.watch();
            self.wait(10 * MINUTE);
        }
        let deposited = self.deposit_of(honest);
        let channel = self.world.channel(honest);
        if channel.newest().is_none() {
            assert_eq!(deposited, 0, "a deposit without version 0");
            return;
        }
        assert!(channel.is_closed(), "the channel never ends: {channel:?}");
        let paid = self.world.adjudicator.paid(0, honest);
        let is_funded = deposited == 50 && self.deposit_of(self.liar()) >= 50;
        let promised = if is_funded {
            secured
        } else {
            deposited.min(secured)
        };
        if paid < promised {
            println!("newest {:?}", channel.newest().unwrap().state());
            println!(
                "registered {:?} refused {:?}",
                self.world.adjudicator.registered(),
                self.world.adjudicator.refused
            );
            for s in &self.known {
                println!(
                    "known {} {:?}",
                    s.version().number(),
                    s.state()
                        .allocation()
                        .balances
                        .iter()
                        .map(|x| x.2.units())
                        .collect::<Vec<_>>()
                );
            }
        }
        assert!(paid >= promised, "{paid} is paid, {promised} was secured");
    }
}
