//! The states of the explored world and what can happen in each.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter;
use std::rc::Rc;

use perun_protocol::channel::{Limits, Output};
use perun_protocol::view::{Status, View};
use perun_protocol::wire::{Message, Reason, RejectCode};
use perun_protocol::{AssetIdx, Timestamp};

use crate::machine::{Machine, Mixer};
use crate::world::{BOTH, MAX_BATCH, Plan, Quick, SECOND, Stamp, payment};

/// How often each thing may happen.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    /// Payments that each side makes.
    pub payments: [u8; 2],
    /// How often each side wants to close.
    pub closings: [u8; 2],
    /// How often owners who are asked say no.
    pub refusals: u8,
    /// How often the link breaks without a crash.
    pub cuts: u8,
    /// How often each side crashes, after any of its outputs.
    pub crashes: [u8; 2],
    /// How often an old copy of a side is made and restored.
    pub copies: [u8; 2],
    /// How often a message arrives twice.
    pub repeats: u8,
    /// How often as much time passes as to make a side send again what was not answered.
    pub ticks: u8,
}

/// What is wrong with those who carry the outputs out, so that the exploration has something to find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    None,
    /// Messages are sent before anything is stored.
    SendsFirst,
    /// What is to be stored before the next output is stored some time.
    StoresLater,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Action {
    Deliver(usize),
    Repeat(usize),
    Pay(usize),
    Close(usize),
    Agree(usize),
    Refuse(usize),
    Cut,
    Connect,
    /// A crash with nothing left to do.
    Crash(usize, Loss),
    Copy(usize),
    Restore(usize),
    Tick,
}

/// An action, and the crash in the middle of it, if there was one.
#[derive(Clone, Copy)]
struct Move {
    action: Action,
    crash: Option<Crash>,
}

/// A crash in the middle of an action.
#[derive(Clone, Copy, Debug)]
struct Crash {
    /// How many outputs were carried out.
    after: usize,
    loss: Loss,
    /// Whether what was under way to the peer still arrived there.
    arrives: bool,
}

/// Whether what was to be stored later was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Loss {
    Lost,
    Stored,
}

/// How a state was reached, the last move first.
struct Trace {
    last: Option<(Move, Rc<Trace>)>,
}

#[derive(Clone)]
struct Node {
    now: Timestamp,
    sides: [Rc<Machine>; 2],
    digests: [u64; 2],
    queues: [VecDeque<Rc<Message>>; 2],
    is_linked: bool,
    budget: Budget,
    fault: Fault,
}

pub struct Exploration {
    limits: [Limits; 2],
    seen: HashSet<u64>,
    todo: Vec<(Node, Rc<Trace>)>,
}

impl Exploration {
    pub fn new(plan: &Plan, budget: Budget, fault: Fault) -> Self {
        let mut pair = Quick::opened(plan);
        let sides = BOTH.map(|side| {
            let store = Rc::new(pair.copy_of(side));
            Rc::new(Machine {
                channel: pair.channel(side).clone(),
                store,
                copy: None,
                held: Rc::default(),
                asked: None,
                resolved: 0,
                made: 0,
                ended: None,
                disputes: false,
            })
        });
        let node = Node {
            now: pair.now,
            digests: [0, 1].map(|side: usize| sides[side].digest()),
            sides,
            queues: Default::default(),
            is_linked: true,
            budget,
            fault,
        };
        let root = Rc::new(Trace { last: None });
        Self {
            limits: plan.limits,
            seen: HashSet::from([node.digest()]),
            todo: vec![(node, root)],
        }
    }

    /// Enters every state; returns how many there are and how many moves lead to them.
    pub fn run(mut self) -> (usize, usize) {
        let mut moves = 0;
        while let Some((node, trace)) = self.todo.pop() {
            for action in node.actions() {
                let (crashed, outputs) = self.play(&node, &trace, action, None);
                moves += 1;
                // The same again, with a crash after each of the outputs but the last; after that it
                // is an action of its own.
                let Some(side) = crashed else {
                    continue;
                };
                if node.budget.crashes[side] == 0 {
                    continue;
                }
                for after in 1..outputs {
                    for (loss, arrives) in [
                        (Loss::Lost, false),
                        (Loss::Lost, true),
                        (Loss::Stored, false),
                        (Loss::Stored, true),
                    ] {
                        let crash = Crash {
                            after,
                            loss,
                            arrives,
                        };
                        self.play(&node, &trace, action, Some(crash));
                        moves += 1;
                    }
                }
            }
        }
        (self.seen.len(), moves)
    }

    /// Plays one move and notes the state that it leads to. Returns who acted, if only one did, and
    /// how many outputs that had.
    fn play(
        &mut self,
        node: &Node,
        trace: &Rc<Trace>,
        action: Action,
        crash: Option<Crash>,
    ) -> (Option<usize>, usize) {
        let last = Move { action, crash };
        let mut next = node.clone();
        let played = next.act(action, crash, &self.limits);
        let result = played.and_then(|acted| next.check().map(|()| acted));
        let acted = match result {
            Ok(acted) => acted,
            Err(fault) => {
                let trace = Trace {
                    last: Some((last, trace.clone())),
                };
                panic!("{fault}, after\n{trace}");
            }
        };
        for side in BOTH {
            if !Rc::ptr_eq(&next.sides[side], &node.sides[side]) {
                next.digests[side] = next.sides[side].digest();
            }
        }
        let digest = next.digest();
        if self.seen.insert(digest) {
            if digest.is_multiple_of(16)
                && let Err(fault) = next.comes_to_rest()
            {
                let before = Rc::new(Trace {
                    last: Some((last, trace.clone())),
                });
                panic!("{fault}, after\n{before}");
            }
            let last = Some((last, trace.clone()));
            self.todo.push((next, Rc::new(Trace { last })));
        }
        acted
    }
}

impl Node {
    fn digest(&self) -> u64 {
        let mut hasher = Mixer::default();
        (self.now, self.digests, &self.queues).hash(&mut hasher);
        (self.is_linked, self.budget).hash(&mut hasher);
        hasher.finish()
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![];
        let budget = &self.budget;
        for side in BOTH {
            if !self.queues[side].is_empty() {
                actions.push(Action::Deliver(side));
                if budget.repeats > 0 {
                    actions.push(Action::Repeat(side));
                }
            }
            let machine = &self.sides[side];
            if budget.payments[side] > 0 && machine.channel.is_open() {
                actions.push(Action::Pay(side));
            }
            if budget.closings[side] > 0 && machine.channel.is_open() {
                actions.push(Action::Close(side));
            }
            if machine.asked.is_some() {
                actions.push(Action::Agree(side));
                if budget.refusals > 0 {
                    actions.push(Action::Refuse(side));
                }
            }
            if budget.crashes[side] > 0 {
                actions.push(Action::Crash(side, Loss::Lost));
                if machine.store.has_later() {
                    actions.push(Action::Crash(side, Loss::Stored));
                }
            }
            if budget.copies[side] > 0 {
                actions.push(if machine.copy.is_none() {
                    Action::Copy(side)
                } else {
                    Action::Restore(side)
                });
            }
        }
        if !self.is_linked {
            actions.push(Action::Connect);
        } else if budget.cuts > 0 {
            actions.push(Action::Cut);
        }
        if budget.ticks > 0 {
            actions.push(Action::Tick);
        }
        actions
    }

    fn act(
        &mut self,
        action: Action,
        crash: Option<Crash>,
        limits: &[Limits; 2],
    ) -> Result<(Option<usize>, usize), String> {
        let now = self.now;
        let side = match action {
            Action::Deliver(side) => {
                let message = self.queues[side].pop_front().expect("there is a message");
                self.receive(side, &message)?;
                side
            }
            Action::Repeat(side) => {
                self.budget.repeats -= 1;
                let message = self.queues[side][0].clone();
                self.receive(side, &message)?;
                side
            }
            Action::Pay(side) => {
                self.budget.payments[side] -= 1;
                // Different amounts, so that no two states are equal by chance.
                let units = 1 + u128::from(self.budget.payments[side]) + 3 * side as u128;
                self.change(side, |machine| {
                    let paid = machine.channel.pay(now, &payment(units));
                    machine.made = paid.map_err(|error| format!("side {side}: {error}"))?;
                    Ok(())
                })?;
                side
            }
            Action::Close(side) => {
                self.budget.closings[side] -= 1;
                let by = Timestamp::from_nanos(u64::MAX);
                self.change(side, |machine| {
                    let closed = machine.channel.close(now, by);
                    closed.map_err(|error| format!("side {side}: {error}"))
                })?;
                side
            }
            Action::Agree(side) => {
                self.change(side, |machine| {
                    let version = machine.asked.take().expect("it is asked");
                    // It may be over meanwhile.
                    let _ = machine.channel.accept_update(now, version);
                    Ok(())
                })?;
                side
            }
            Action::Refuse(side) => {
                self.budget.refusals -= 1;
                self.change(side, |machine| {
                    let version = machine.asked.take().expect("it is asked");
                    let reason = Reason::new(RejectCode::Declined, "");
                    let _ = machine.channel.reject_update(now, version, &reason);
                    Ok(())
                })?;
                side
            }
            Action::Cut => {
                self.budget.cuts -= 1;
                self.cut();
                return Ok((None, 0));
            }
            Action::Connect => {
                self.is_linked = true;
                for side in BOTH {
                    self.change(side, |machine| {
                        machine.channel.handle_connected(now, MAX_BATCH);
                        Ok(())
                    })?;
                    self.carry_out(side, usize::MAX);
                }
                return Ok((None, 0));
            }
            Action::Crash(side, loss) => {
                self.budget.crashes[side] -= 1;
                self.restart(side, loss, limits);
                return Ok((None, 0));
            }
            Action::Copy(side) => {
                self.change(side, |machine| {
                    machine.copy = Some(machine.store.clone());
                    Ok(())
                })?;
                return Ok((None, 0));
            }
            Action::Restore(side) => {
                self.budget.copies[side] -= 1;
                self.change(side, |machine| {
                    machine.store = machine.copy.take().expect("there is a copy");
                    Ok(())
                })?;
                self.restart(side, Loss::Lost, limits);
                return Ok((None, 0));
            }
            Action::Tick => {
                self.budget.ticks -= 1;
                self.now = now.saturating_add_nanos(2 * SECOND);
                let now = self.now;
                for side in BOTH {
                    self.change(side, |machine| {
                        machine.channel.handle_quiet(now, now);
                        machine.channel.handle_timeout(now);
                        Ok(())
                    })?;
                    self.carry_out(side, usize::MAX);
                }
                return Ok((None, 0));
            }
        };
        let outputs = match crash {
            None => self.carry_out(side, usize::MAX),
            Some(Crash {
                after,
                loss,
                arrives,
            }) => {
                self.budget.crashes[side] -= 1;
                self.carry_out(side, after);
                while arrives && let Some(message) = self.queues[1 - side].pop_front() {
                    self.receive(1 - side, &message)?;
                    self.carry_out(1 - side, usize::MAX);
                }
                self.restart(side, loss, limits);
                0
            }
        };
        Ok((Some(side), outputs))
    }

    /// A message arrives at a side.
    fn receive(&mut self, side: usize, message: &Message) -> Result<(), String> {
        let now = self.now;
        self.change(1 - side, |sender| sender.hold(1 - side, message))?;
        self.change(side, |machine| {
            let result = machine.channel.handle_message(now, message.clone());
            result.map_err(|misbehaved| format!("side {side} says: {misbehaved}"))
        })
    }

    /// Changes one side.
    fn change<T>(
        &mut self,
        side: usize,
        change: impl FnOnce(&mut Machine) -> Result<T, String>,
    ) -> Result<T, String> {
        let machine = Rc::make_mut(&mut self.sides[side]);
        let result = change(machine)?;
        Ok(result)
    }

    /// Carries out so many outputs; returns how many there were.
    fn carry_out(&mut self, side: usize, count: usize) -> usize {
        let machine = Rc::make_mut(&mut self.sides[side]);
        let mut outputs: Vec<_> = iter::from_fn(|| machine.channel.poll_output()).collect();
        if self.fault == Fault::SendsFirst {
            outputs.sort_by_key(|output| !matches!(output, Output::Send(_)));
        }
        let mut done = 0;
        for output in outputs.into_iter().take(count) {
            done += 1;
            let output = match output {
                Output::Persist(record) if self.fault == Fault::StoresLater => {
                    Output::PersistLater(record)
                }
                other => other,
            };
            if let Some(message) = machine.carry_out(output)
                && self.is_linked
            {
                self.queues[1 - side].push_back(Rc::new(message));
            }
        }
        done
    }

    fn cut(&mut self) {
        self.is_linked = false;
        self.queues = Default::default();
        for side in BOTH {
            let machine = Rc::make_mut(&mut self.sides[side]);
            machine.channel.handle_disconnected();
            self.carry_out(side, usize::MAX);
        }
    }

    fn restart(&mut self, side: usize, loss: Loss, limits: &[Limits; 2]) {
        let machine = Rc::make_mut(&mut self.sides[side]);
        let store = Rc::make_mut(&mut machine.store);
        match loss {
            Loss::Lost => store.lose_later(),
            Loss::Stored => store.flush(),
        }
        machine.channel = store.restore(limits[side], Stamp::of(side));
        (machine.asked, machine.resolved, machine.made) = (None, 0, 0);
        let holdings = machine.channel.setup().initial.funding().clone();
        let (at, status) = (self.now, Status::Open { holdings });
        machine.channel.handle_view(at, View { at, status });
        // A wish to close is not stored, an order to dispute is.
        machine.disputes |= !machine.channel.is_open();
        self.cut();
    }

    /// What must hold in every state. That nobody signs two states of one version is checked when
    /// messages arrive ([`Machine::hold`]).
    fn check(&self) -> Result<(), String> {
        let [alice, bob] = BOTH.map(|side| &self.sides[side].channel);
        let may_propose = [alice, bob]
            .map(|channel| channel.is_synced() && channel.turn().1 && channel.pending().is_none());
        if may_propose == [true, true] {
            return Err("both have the turn".into());
        }
        let [ours, theirs] = [alice, bob].map(|channel| channel.newest().expect("it is open"));
        if ours.version() == theirs.version() && ours != theirs {
            return Err("two newest states of one version".into());
        }
        for (ahead, behind) in [(alice, bob), (bob, alice)] {
            let newest = ahead.newest().map(|signed| signed.version());
            // Whoever signs the newest state knows that, unless it is an old copy.
            if behind.is_synced() && behind.highest_signed() < newest {
                return Err("a side does not know what it has signed".into());
            }
        }
        if self.is_linked && self.queues.iter().all(VecDeque::is_empty) {
            self.check_at_rest()?;
        }
        Ok(())
    }

    /// If nobody does anything but read, everything under way is read some time: no two messages
    /// answer each other for ever. (Tried for a part of the states only, in one order.)
    fn comes_to_rest(&self) -> Result<(), String> {
        let mut node = self.clone();
        for count in 0..200 {
            let sides = [count % 2, 1 - count % 2];
            let Some(side) = sides
                .into_iter()
                .find(|side| !node.queues[*side].is_empty())
            else {
                return Ok(());
            };
            let message = node.queues[side].pop_front().expect("it is not empty");
            node.receive(side, &message)?;
            node.carry_out(side, usize::MAX);
        }
        Err("messages answer each other for ever".into())
    }

    /// What must hold when nothing is under way: the two agree, and nobody waits for anything but an
    /// owner.
    fn check_at_rest(&self) -> Result<(), String> {
        if self.sides.iter().any(|machine| machine.disputes) {
            // The adjudicator decides, which is not here.
            return Ok(());
        }
        let waits_for_owner = self.sides.iter().any(|machine| machine.asked.is_some());
        let [alice, bob] = BOTH.map(|side| &self.sides[side].channel);
        if alice.newest() != bob.newest() {
            return Err("at rest with different newest states".into());
        }
        for (side, machine) in self.sides.iter().enumerate() {
            let channel = &machine.channel;
            if !channel.is_synced() {
                return Err(format!("at rest, and side {side} is not synced"));
            }
            if waits_for_owner {
                continue;
            }
            if channel.pending().is_some() {
                return Err(format!("at rest, and side {side} waits for an answer"));
            }
            let available = channel.available(AssetIdx::new(0));
            if available != channel.balance().first().copied() {
                return Err(format!("at rest, and payments of side {side} wait"));
            }
            if machine.resolved < machine.made {
                return Err(format!(
                    "at rest, and a payment of side {side} has no outcome"
                ));
            }
            let is_final = channel
                .newest()
                .is_some_and(|newest| newest.state().is_final());
            if !channel.is_open() && !is_final {
                return Err(format!("at rest, and side {side} still wants to close"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, before)) = &self.last else {
            return Ok(());
        };
        before.fmt(f)?;
        write!(f, "  {:?}", last.action)?;
        if let Some(crash) = last.crash {
            write!(f, ", {crash:?}")?;
        }
        writeln!(f)
    }
}
