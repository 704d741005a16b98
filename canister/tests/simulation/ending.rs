//! The end of a history: nothing fails any more, and everybody gets home.

use perun_canister::flow::System as _;
use perun_canister_api::{DepositError, EventsRequest, WithdrawError, block_hash, convert};

use super::books::{Book, Phase};
use super::cast::{account_of_receiver, cast};
use super::history::LONG_NS;
use super::ledger::Mood;
use super::sim::{Outcome, Sim};
use super::step::{Call, Claim, Place, Step};

/// Longer than it takes to find out about everything.
const PATIENCE_NS: u64 = 26 * 3_600 * 1_000_000_000;

pub fn end(sim: &mut Sim) {
    for ledger in sim.stage.ledgers.borrow_mut().iter_mut() {
        ledger.mood = Mood::Willing;
        ledger.skew_ns = 0;
    }
    settle(sim);
    assert!(
        !sim.stage.adjudicator().has_journal(),
        "after a day something is still unknown"
    );
    let places: Vec<_> = (0..cast().channels.len()).flat_map(places_of).collect();
    for &place in &places {
        let answer = sim.run(Call::Sweep { place });
        match answer {
            Outcome::Deposit(Ok(_) | Err(DepositError::BelowFee { .. })) => {}
            answer => panic!("{place:?}: {answer:?}"),
        }
    }
    for channel in 0..cast().channels.len() {
        if matches!(sim.books.channels[channel].phase, Phase::Open) {
            let claim = match sim.books.newest(channel) {
                Some(state) => Claim::State { channel, state },
                None => Claim::Refund { channel, part: 0 },
            };
            let answer = sim.run(Call::Dispute(claim));
            assert!(matches!(answer, Outcome::Dispute(Ok(_))), "{answer:?}");
        }
    }
    settle(sim);
    for &place in &places {
        if matches!(sim.books.channels[place.channel].phase, Phase::Unknown) {
            continue;
        }
        let answer = sim.run(Call::Withdraw { place });
        match answer {
            Outcome::Withdraw(
                Ok(_) | Err(WithdrawError::NothingToWithdraw | WithdrawError::BelowFee { .. }),
            ) => {}
            answer => panic!("{place:?}: {answer:?}"),
        }
    }
    settle(sim);
    finish(sim);
    for &place in &places {
        // The first place of each that is finished, which it is no longer then.
        if sim.books.channels[place.channel].is_finished() {
            pay_late(sim, place);
        }
    }
    for channel in 0..cast().channels.len() {
        sim.books.check(&sim.stage, channel);
    }
    check_dust(sim, &places);
    check_log(sim);
}

fn places_of(channel: usize) -> impl Iterator<Item = Place> {
    let shape = &cast().channels[channel];
    (0..shape.assets).flat_map(move |asset| {
        (0..shape.parts).map(move |part| Place {
            channel,
            asset,
            part,
        })
    })
}

/// Lets the canister do what it does by itself, until it has nothing left to do.
fn settle(sim: &mut Sim) {
    let end_ns = sim.stage.now_ns() + PATIENCE_NS;
    loop {
        sim.finish_everything();
        let now_ns = sim.stage.now_ns();
        let next = {
            let alarms = sim.stage.alarms.borrow();
            let next = alarms.iter().enumerate();
            next.min_by_key(|(_, alarm)| alarm.due_ns)
                .map(|(index, alarm)| (index, alarm.due_ns))
        };
        match next {
            Some((index, due_ns)) if due_ns <= now_ns => {
                sim.apply(Step::Fire(index));
            }
            Some((_, due_ns)) if due_ns <= end_ns => {
                sim.apply(Step::Advance {
                    ns: due_ns - now_ns,
                });
            }
            Some(_) => panic!("busy for longer than a day"),
            None if sim.has_timers_to_arm() => {
                // All timers were lost; after a while any message finds out.
                assert!(now_ns < end_ns, "nobody looks after what is unknown");
                sim.apply(Step::Advance { ns: 61_000_000_000 });
                sim.run(Call::Conclude { channel: 0 });
            }
            None => return,
        }
    }
}

/// Waits until the record of every channel of which nothing is left is gone.
fn finish(sim: &mut Sim) {
    sim.apply(Step::Advance { ns: LONG_NS });
    let is_over = |sim: &Sim| !sim.books.channels.iter().any(Book::will_finish);
    // Each message looks at one payout after which nothing was left.
    for _ in 0..sim.books.seen {
        if is_over(sim) {
            return;
        }
        sim.run(Call::Conclude { channel: 0 });
    }
    assert!(is_over(sim), "what is paid out is kept");
}

/// As little as reaches anybody.
fn pay_late(sim: &mut Sim, place: Place) {
    let fee = sim.stage.ledgers.borrow()[place.asset].fee;
    sim.apply(Step::PayIn {
        place,
        user: 0,
        amount: 2 * fee + 1,
    });
    let answer = sim.run(Call::Sweep { place });
    assert!(matches!(answer, Outcome::Deposit(Ok(_))), "{answer:?}");
    let answer = sim.run(Call::Withdraw { place });
    assert!(matches!(answer, Outcome::Withdraw(Ok(_))), "{answer:?}");
}

/// What is left is what nobody could be paid.
fn check_dust(sim: &Sim, places: &[Place]) {
    let ledgers = sim.stage.ledgers.borrow();
    for place in places {
        let ledger = &ledgers[place.asset];
        let book = &sim.books.channels[place.channel];
        let left = book.held[place.asset][place.part];
        assert!(left <= ledger.fee, "{place:?} has {left} left");
        let shape = &cast().channels[place.channel];
        let unswept = ledger.balance(&shape.deposit_accounts[place.part]);
        assert!(unswept <= ledger.fee, "{place:?} has {unswept} unswept");
        let paid = sim
            .books
            .paid
            .get(&(place.channel, place.asset, place.part));
        let received = ledger.balance(&account_of_receiver(place.channel, place.part));
        assert_eq!(received, paid.copied().unwrap_or(0), "{place:?}");
    }
}

/// The whole log, read once more, is the one that was read on the way; and each channel's part of it.
fn check_log(sim: &Sim) {
    let adjudicator = sim.stage.adjudicator();
    let read = |channel: Option<usize>| {
        let (mut start, mut records) = (0, Vec::new());
        loop {
            let request = EventsRequest {
                channel: channel
                    .map(|channel| convert::channel_to_candid(&cast().channels[channel].id)),
                start,
                length: 100,
            };
            let page = adjudicator.events(&request, sim.stage.now());
            let page = page.expect("the request is in order");
            if page.events.is_empty() {
                return records;
            }
            records.extend(page.events);
            start = page.next;
        }
    };
    let all = read(None);
    let tip = all.iter().fold(None, |parent, record| {
        Some(block_hash(record, parent.as_ref()))
    });
    assert_eq!(tip, sim.books.tip, "the log was changed");
    for channel in 0..cast().channels.len() {
        let id = cast().channels[channel].id;
        let of_channel = all.iter().filter(|record| record.channel == *id.as_bytes());
        assert!(read(Some(channel)).iter().eq(of_channel));
    }
}
