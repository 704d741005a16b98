//! Random histories: whatever can happen, in whatever order.

use perun_canister::finished::RETENTION_NS;
use perun_canister::flow::Task;

use super::books::{Book, Phase};
use super::cast::{TICK_NS, USERS, cast, funding};
use super::ledger::Mood;
use super::random::Random;
use super::sim::Sim;
use super::step::{Call, Claim, MANY, Place, Step};
use super::world::FEE;

/// When all histories begin, ns since 1970.
pub const BEGINNING_NS: u64 = 1_767_225_600_000_000_000;

const SECOND_NS: u64 = 1_000_000_000;
/// A day longer than the record of a channel that was paid out is kept.
pub const LONG_NS: u64 = RETENTION_NS + 24 * 3_600 * SECOND_NS;
/// The fees that ledgers change between.
pub const FEES: [u128; 3] = [FEE, 3, 25];
/// More messages than these are not under way at once.
const MAX_UNDER_WAY: usize = 6;

/// A history of so many steps, and its end. Everything follows from the seed.
pub fn play(seed: u64, steps: u64, is_told: bool) -> Sim {
    let mut random = Random::new(seed);
    // Some channels have only participants that never look.
    let watched = random.next();
    let mut sim = Sim::new(BEGINNING_NS, |channel| watched >> channel & 3 != 0);
    sim.is_told = is_told;
    for ledger in 0..2 {
        let skew_ns = random.pick(&[0, 20 * SECOND_NS as i64, -20 * SECOND_NS as i64]);
        sim.stage.ledgers.borrow_mut()[ledger].skew_ns = skew_ns;
    }
    // How much goes wrong in this history, in percent.
    let trouble = random.pick(&[3, 10, 30]);
    while sim.steps < steps {
        let step = choose(&sim, &mut random, trouble);
        if let Some(step) = step {
            sim.apply(step);
        }
    }
    super::ending::end(&mut sim);
    sim
}

fn choose(sim: &Sim, random: &mut Random, trouble: usize) -> Option<Step> {
    let is_trouble = random.below(100) < trouble;
    match random.below(100) {
        0..34 if sim.messages_under_way() < MAX_UNDER_WAY => Some(Step::Call(call(sim, random))),
        0..60 => deliver(sim, random, is_trouble),
        60..82 => go_on(sim, random, is_trouble),
        82..88 => fire(sim, random, is_trouble),
        88..93 => Some(advance(sim, random, is_trouble)),
        93..96 => Some(of_users(random)),
        96 if is_trouble || random.one_in(4) => {
            Some(random.pick(&[Step::Upgrade, Step::UpgradeAtOnce]))
        }
        97 if is_trouble || random.one_in(4) => {
            let fee = random.pick(&FEES);
            let ledger = random.below(2);
            Some(Step::ChangeFee { ledger, fee })
        }
        98 => {
            let moods = [Mood::Willing, Mood::Busy, Mood::Stopped];
            let mood = if is_trouble {
                random.pick(&moods)
            } else {
                Mood::Willing
            };
            let ledger = random.below(2);
            Some(Step::ChangeMood { ledger, mood })
        }
        _ => sign(sim, random),
    }
}

pub fn place(random: &mut Random) -> Place {
    let channel = random.below(cast().channels.len());
    let shape = &cast().channels[channel];
    Place {
        channel,
        asset: random.below(shape.assets),
        part: random.below(shape.parts),
    }
}

pub fn call(sim: &Sim, random: &mut Random) -> Call {
    let place = place(random);
    let channel = place.channel;
    let book = &sim.books.channels[channel];
    let signed = book.signed;
    // Mostly what makes sense in this phase.
    let kind = match (&book.phase, random.below(100)) {
        (_, 0..10) => random.below(8),
        (Phase::Unknown | Phase::Open, 10..75) => random.below(2),
        (Phase::Unknown | Phase::Open, 75..77) => 2 + random.below(3),
        // Few are over before they have come far, or nobody would ever sign a final state.
        (Phase::Open, 77..85) if signed == cast().channels[channel].states.len() => {
            2 + random.below(3)
        }
        (Phase::Unknown | Phase::Open, _) => 7,
        (Phase::Registered { .. }, 10..25) => 1,
        (Phase::Registered { .. }, 25..50) => 2 + random.below(3),
        (Phase::Registered { .. }, _) => 4 + random.below(4),
        (Phase::Concluded { .. }, 10..25) => 1,
        (Phase::Concluded { .. }, 25..85) => 5,
        (Phase::Concluded { .. }, _) => 4 + random.below(4),
    };
    match kind {
        0 => Call::Pull {
            place,
            user: random.below(USERS),
            amount: amount(sim, random, place),
            expected: match random.below(3) {
                0 => Some(book.held[place.asset][place.part]),
                1 => Some(0),
                _ => None,
            },
        },
        1 => Call::Sweep { place },
        2 | 3 if random.one_in(3) => Call::DisputeMany([(); MANY].map(|()| {
            let channel = random.below(cast().channels.len());
            claim(sim, random, channel)
        })),
        2 | 3 => Call::Dispute(claim(sim, random, channel)),
        4 if signed > 0 && random.one_in(2) => Call::ConcludeBy {
            channel,
            state: signed - 1,
        },
        4 => Call::Conclude { channel },
        5 => Call::Withdraw { place },
        6 => match self::place(random) {
            other if other == place => Call::Withdraw { place },
            other => Call::Steal { place, other },
        },
        _ => Call::Ask { channel },
    }
}

/// Mostly a state that all have signed, old ones too.
fn claim(sim: &Sim, random: &mut Random, channel: usize) -> Claim {
    let signed = sim.books.channels[channel].signed;
    match random.below(8) {
        kind if kind == 0 || signed == 0 => Claim::Refund {
            channel,
            part: random.below(cast().channels[channel].parts),
        },
        1 => Claim::Forged {
            channel,
            state: random.below(signed),
        },
        2 | 3 => Claim::State {
            channel,
            state: signed - 1,
        },
        _ => Claim::State {
            channel,
            state: random.below(signed),
        },
    }
}

/// What is missing for a state, or anything.
fn amount(sim: &Sim, random: &mut Random, place: Place) -> u128 {
    let shape = &cast().channels[place.channel];
    let state = random.pick(&[0, 3]);
    let needed = funding(shape.assets, shape.parts, state)[place.asset][place.part];
    let held = sim.books.channels[place.channel].held[place.asset][place.part];
    match needed.saturating_sub(held) {
        missing if missing > 0 && !random.one_in(4) => missing,
        _ => 1 + random.below(60) as u128,
    }
}

/// Something happens on a ledger's side of a call.
fn deliver(sim: &Sim, random: &mut Random, is_trouble: bool) -> Option<Step> {
    let requests = sim.stage.requests.borrow();
    let mut ledger = random.below(2);
    if requests[ledger].is_empty() {
        ledger = 1 - ledger;
    }
    let (call, _) = *requests[ledger].front()?;
    if is_trouble {
        let told = random.one_in(2);
        return Some(match random.one_in(2) {
            true => Step::DropRequest { ledger, told },
            false => Step::LoseReply(call),
        });
    }
    Some(Step::Execute(ledger))
}

/// An answered call goes on, or fails to.
fn go_on(sim: &Sim, random: &mut Random, is_trouble: bool) -> Option<Step> {
    let waiting = sim.stage.waiting.borrow();
    let answered: Vec<_> = waiting
        .iter()
        .filter(|(_, waiting)| waiting.reply.is_some())
        .map(|(call, _)| *call)
        .collect();
    if answered.is_empty() {
        // A callback may trap before there is an answer, as when its deadline passes.
        let (&call, _) = waiting.iter().nth(random.below(waiting.len().max(1)))?;
        return is_trouble.then_some(Step::Trap(call));
    }
    let call = random.pick(&answered);
    Some(match is_trouble {
        true if random.one_in(2) => Step::Trap(call),
        true => Step::LoseReply(call),
        false => Step::GoOn(call),
    })
}

fn fire(sim: &Sim, random: &mut Random, is_trouble: bool) -> Option<Step> {
    let now_ns = sim.stage.now_ns();
    let alarms = sim.stage.alarms.borrow();
    let due: Vec<_> = (0..alarms.len())
        .filter(|&index| alarms[index].due_ns <= now_ns)
        .collect();
    let index = *due.get(random.below(due.len().max(1)))?;
    let is_lost = is_trouble && !matches!(alarms[index].task, Task::LearnFees);
    Some(if is_lost {
        Step::LoseTimer(index)
    } else {
        Step::Fire(index)
    })
}

/// Mostly a moment; sometimes a gap; seldom so long that ledgers forget, or that a channel is finished.
fn advance(sim: &Sim, random: &mut Random, is_trouble: bool) -> Step {
    let ns = match random.below(20) {
        0 if is_trouble => 3_600 * SECOND_NS * (1 + random.below(30) as u64),
        1 | 2 if is_trouble => SECOND_NS * (1 + random.below(300) as u64),
        3..8 => 30 * SECOND_NS,
        8 if sim.books.channels.iter().any(Book::will_finish) => {
            random.pick(&[LONG_NS / 2, LONG_NS])
        }
        _ => TICK_NS / 2 + random.next() % TICK_NS,
    };
    // No call is under way for longer than five minutes.
    let is_idle = sim.messages_under_way() == 0
        && sim
            .stage
            .requests
            .borrow()
            .iter()
            .all(|queue| queue.is_empty());
    let ns = if is_idle { ns } else { ns.min(30 * SECOND_NS) };
    Step::Advance { ns }
}

pub fn of_users(random: &mut Random) -> Step {
    let place = place(random);
    let user = random.below(USERS);
    match random.one_in(2) {
        true => Step::Approve {
            ledger: place.asset,
            user,
            amount: 10 + random.below(2_000) as u128,
        },
        false => Step::PayIn {
            place,
            user,
            amount: 5 + random.below(120) as u128,
        },
    }
}

/// The participants of a channel that can sign their next state, while nothing is registered: nearly
/// always one that they could enforce.
pub fn sign(sim: &Sim, random: &mut Random) -> Option<Step> {
    let channels = cast().channels.len();
    let first = random.below(channels);
    let is_reckless = random.one_in(20);
    let can_sign = |channel: &usize| {
        let book = &sim.books.channels[*channel];
        let is_open = matches!(book.phase, Phase::Unknown | Phase::Open);
        let next = book.signed;
        is_open
            && next < cast().channels[*channel].states.len()
            && (next == 0 || is_reckless || sim.books.is_covered(*channel, next))
    };
    let mut channels = (first..first + channels).map(|channel| channel % channels);
    let channel = channels.find(can_sign)?;
    Some(Step::Sign { channel })
}
