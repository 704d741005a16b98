//! Looking through the journal.

use perun_canister::journal::JournalNumber;
use perun_protocol::Amount;

use crate::rules::{ALICE, FEE, World, user};

#[test]
fn the_journal_is_looked_through_piece_by_piece() {
    let mut world = World::new();
    let begun = world.read(|_, now| now);
    let mut numbers = Vec::new();
    for nonce in 0..25 {
        let request = world.channel(nonce).by_approval(0, ALICE, 100);
        let number = world.mutate(|adjudicator, now| {
            let deposit = adjudicator.check_deposit(user(0), &request).unwrap();
            let number = adjudicator.reserve_pull(&deposit, Amount::new(FEE), now);
            let number = number.unwrap();
            adjudicator.begin_attempt(number, now).unwrap();
            number
        });
        numbers.push(number);
    }
    let half_minute_ns = 30_000_000_000;
    for (pause_ns, is_due) in [(half_minute_ns - 1, false), (half_minute_ns, true)] {
        let now = begun.saturating_add_nanos(pause_ns);
        let due = |from, limit| {
            let due = world.read(|adjudicator, _| adjudicator.due(from, limit, now));
            (due.numbers, due.next)
        };
        let expected = |numbers: &[JournalNumber]| match is_due {
            true => numbers.to_vec(),
            false => vec![],
        };
        let start = JournalNumber(0);
        assert_eq!(due(start, 20), (expected(&numbers[..20]), numbers[20]));
        assert_eq!(due(numbers[20], 20), (expected(&numbers[20..]), start));
        // A piece that is full may not be the last.
        let behind = JournalNumber(numbers[24].0 + 1);
        assert_eq!(due(numbers[20], 5), (expected(&numbers[20..]), behind));
        assert_eq!(due(behind, 5), (vec![], start));
    }
}
