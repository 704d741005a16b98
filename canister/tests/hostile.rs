//! Callers who want to cost the adjudicator something, on the real wasm: what is refused costs next to
//! nothing beyond being decoded, and leaves nothing.
//!
//! Callers are free, so what a refused call may cost is the price of an attack. Its parts:
//!
//! | part | bound by |
//! |---|---|
//! | decoding | the longest request, and the decoder's quotas |
//! | signatures of whoever is named as a signer | one verification for a refused claim or payout |
//! | everything else | 0.3 M instructions |
//!
//! Decoding is measured by a call of the same method whose argument has the same form and length and is
//! refused by the first check behind the decoder. What another refused call costs more than that one is
//! what it costs beyond decoding (the answer is encoded in both).
//!
//! What a call does on its way for channels whose time has come (to close windows that have ended, at most a
//! hundred, and to finish one channel) is not counted here: it is done once for each, whoever comes.

mod world;

use std::time::Duration;

use candid::{CandidType, Principal};
use icrc_ledger_types::icrc1::account::Account;
use perun_canister::finished::RETENTION_NS;
use perun_canister_api::{
    Asset, ChannelRequest, Claim, ConcludeRequest, DepositAccountRequest, DepositRequest,
    DisputeRequest, EventsRequest, WithdrawRequest, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Signature, UnverifiedSignedState};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_bytes::ByteBuf;
use world::{ALICE, BOB, TestChannel, World, user};

/// What a refused call may cost beyond decoding.
const BOUND: u64 = 300_000;
/// One verification of a signature (`canister/COSTS.md`), and something for the digest.
const VERIFICATION: u64 = 4_130_000 * 11 / 10;

/// How many events can stand behind the last claim of a channel that is finished, but for the end and the
/// first payouts.
const LATE_EVENTS: usize = 44;

/// All that a stranger could make grow: pages of stable memory, bytes of heap, channels, events, open
/// ledger calls.
fn size(world: &mut World) -> [u64; 5] {
    let info = world.info();
    let canister = world.ic.canister(world.adjudicator).unwrap();
    let heap_bytes = canister.heap_bytes as u64;
    [
        canister.stable_pages,
        heap_bytes,
        info.channels,
        info.events,
        info.journal,
    ]
}

/// Calls, and counts what the adjudicator executes for it, in all messages and callbacks, and before it
/// accepts it.
fn cost(world: &mut World, caller: Principal, method: &str, argument: Vec<u8>) -> u64 {
    world.ic.clear_executions();
    let _ = world.ic.update(caller, world.adjudicator, method, argument);
    let executions = world.ic.executions();
    executions
        .filter(|run| run.canister == world.adjudicator)
        .map(|run| run.instructions)
        .sum()
}

fn bytes(argument: impl CandidType) -> Vec<u8> {
    candid::encode_one(argument).unwrap()
}

/// An open channel, a disputed one and a concluded one.
fn scene() -> (World, [TestChannel; 3]) {
    let mut world = World::new();
    let open = world.funded(1, [60, 40]);
    let disputed = world.funded(2, [60, 40]);
    let claim = disputed.disputing(3, &[50, 50], &[60, 40]);
    world.dispute(claim).unwrap();
    let concluded = world.funded(3, [60, 40]);
    let last = concluded.concluding(1, &[50, 50], &[60, 40]);
    world.conclude(last).unwrap();
    (world, [open, disputed, concluded])
}

/// What a method's argument costs to be read: the same bytes, refused first thing.
struct Refused {
    what: &'static str,
    method: &'static str,
    argument: Vec<u8>,
    /// Of the same form and length, refused by the first check.
    first_thing: Vec<u8>,
    /// How many signatures have to be verified before it can be refused.
    signatures: u64,
}

/// A state's first check is its encoding: the same request with a flag that is none.
fn broken(request: &DisputeRequest) -> DisputeRequest {
    let Claim::State(state) = &request.claim else {
        unreachable!("states only");
    };
    let mut state = state.clone();
    state[40] = 2;
    let claim = Claim::State(state);
    DisputeRequest { claim }
}

fn refusals(world: &World, [open, disputed, concluded]: &[TestChannel; 3]) -> Vec<Refused> {
    let unknown = world.channel(77);
    let mut refusals = Vec::new();
    let mut refuse = |what, method, argument, first_thing, signatures| {
        refusals.push(Refused {
            what,
            method,
            argument,
            first_thing,
            signatures,
        });
    };
    let mut dispute = |what, request: DisputeRequest, signatures| {
        let first_thing = bytes(broken(&request));
        refuse(what, "dispute", bytes(request), first_thing, signatures);
    };
    dispute(
        "a state of an unknown channel",
        unknown.disputing(1, &[60, 40], &[60, 40]),
        0,
    );
    dispute(
        "a state that is outdated",
        disputed.disputing(3, &[50, 50], &[60, 40]),
        0,
    );
    dispute(
        "a state of a concluded channel",
        concluded.disputing(9, &[50, 50], &[60, 40]),
        0,
    );
    dispute(
        "a state beyond the deposits",
        open.disputing(9, &[60, 4_000], &[60, 4_000]),
        0,
    );
    let mut forged = UnverifiedSignedState::from(disputed.signed(9, &[0, 100], &[60, 40]));
    forged.signatures[ALICE] = Signature::from_bytes([7; 64]);
    let claim = Claim::State(ByteBuf::from(forged.encode()));
    dispute(
        "a state with a forged signature",
        DisputeRequest { claim },
        1,
    );
    let mut nobody = UnverifiedSignedState::from(disputed.signed(9, &[0, 100], &[60, 40]));
    nobody.signatures[BOB] = Signature::from_bytes([7; 64]);
    let claim = Claim::State(ByteBuf::from(nobody.encode()));
    dispute(
        "a state with the last signature forged",
        DisputeRequest { claim },
        2,
    );

    let refund = |channel: &TestChannel, id: &[u8]| {
        let mut request = channel.refund_claim(ALICE);
        if let Claim::Refund { channel, .. } = &mut request.claim {
            *channel = ByteBuf::from(id);
        }
        bytes(request)
    };
    let long_id = [0; 33];
    for (what, channel) in [
        ("a refund claim for an unknown channel", &unknown),
        ("a refund claim against a state", disputed),
        ("a refund claim for a concluded channel", concluded),
    ] {
        let id = channel.id_bytes();
        let first_thing = refund(channel, &long_id);
        refuse(what, "dispute", refund(channel, &id), first_thing, 0);
    }

    let conclude = |channel: &TestChannel, final_state: Option<ByteBuf>, is_broken: bool| {
        let channel = match is_broken {
            true => ByteBuf::from(long_id),
            false => channel.id_bytes(),
        };
        bytes(ConcludeRequest {
            channel,
            final_state,
        })
    };
    let last = |channel: &TestChannel, version| {
        let request = channel.concluding(version, &[50, 50], &[60, 40]);
        request.final_state
    };
    for (what, channel, state) in [
        ("concluding an open channel", open, None),
        ("concluding in the window", disputed, None),
        ("concluding an unknown channel", &unknown, None),
        ("an outdated final state", disputed, last(disputed, 1)),
        ("a final state of another channel", open, last(disputed, 9)),
        ("another final state", concluded, last(concluded, 5)),
    ] {
        let (good, first) = (
            conclude(channel, state.clone(), false),
            conclude(channel, state, true),
        );
        refuse(what, "conclude", good, first, 0);
    }

    let mut withdraw = |what, request: WithdrawRequest, signatures| {
        let first_thing = WithdrawRequest {
            channel: ByteBuf::from(long_id),
            ..request.clone()
        };
        refuse(
            what,
            "withdraw",
            bytes(request),
            bytes(first_thing),
            signatures,
        );
    };
    withdraw(
        "a payout of an unknown channel",
        unknown.withdrawing(0, ALICE, user(9)),
        0,
    );
    withdraw(
        "a payout of an open channel",
        open.withdrawing(0, ALICE, user(9)),
        0,
    );
    withdraw(
        "a payout in the window",
        disputed.withdrawing(0, ALICE, user(9)),
        0,
    );
    let mut redirected = concluded.withdrawing(0, ALICE, user(9));
    redirected.receiver = Account::from(user(66));
    withdraw("a redirected payout", redirected, 1);
    let mut nobody = concluded.withdrawing(0, ALICE, user(9));
    nobody.part = 9;
    withdraw("a payout for nobody", nobody, 0);
    let mut other = concluded.withdrawing(0, ALICE, user(9));
    other.asset = Asset::Icrc(user(3));
    withdraw("a payout of another asset", other, 0);

    let mut deposit = |what, request: DepositRequest| {
        let mut first_thing = request.clone();
        first_thing.params[32] = 255;
        refuse(what, "deposit", bytes(request), bytes(first_thing), 0);
    };
    let mut nobody = open.by_account(0, ALICE);
    nobody.part = 9;
    deposit("a deposit for nobody", nobody);
    let mut other = open.by_account(0, ALICE);
    other.asset = Asset::Icrc(user(3));
    deposit("a deposit of another asset", other);
    deposit("a deposit of nothing", open.by_approval(0, ALICE, 0));
    deposit(
        "a deposit into a dispute",
        disputed.by_approval(0, ALICE, 5),
    );
    let mut unexpected = open.by_approval_once(0, ALICE, 5);
    unexpected.part = 0;
    deposit("a deposit sent again", unexpected);

    for (what, method) in [
        ("an unknown channel", "query_holdings"),
        ("an unknown channel's state", "query_state"),
    ] {
        let ask = |channel: &[u8]| {
            let channel = ByteBuf::from(channel);
            bytes(ChannelRequest { channel })
        };
        refuse(what, method, ask(&[5; 32]), ask(&long_id), 0);
    }
    refusals
}

#[test]
fn what_is_refused_costs_little_beyond_decoding() {
    let (mut world, channels) = scene();
    let before = size(&mut world);
    let mut worst = 0;
    println!("| refused | decoding | beyond | signatures |\n|---|---|---|---|");
    for refused in refusals(&world, &channels) {
        let decoding = cost(&mut world, user(3), refused.method, refused.first_thing);
        let whole = cost(&mut world, user(3), refused.method, refused.argument);
        let signatures = refused.signatures;
        let beyond = whole.saturating_sub(decoding);
        println!(
            "| {} | {decoding} | {beyond} | {signatures} |",
            refused.what
        );
        let beside = beyond.saturating_sub(signatures * VERIFICATION);
        assert!(beside <= BOUND, "{}: {beside}", refused.what);
        worst = worst.max(beside);
    }
    println!("the worst: {worst}");
    assert_eq!(size(&mut world), before);
}

/// Each claim of a batch is refused at the price of one that comes alone.
#[test]
fn a_batch_of_what_is_refused_costs_little_beyond_decoding() {
    const CLAIMS: u64 = 60;
    let (mut world, [open, disputed, concluded]) = scene();
    let before = size(&mut world);
    let batch = |request: &DisputeRequest| bytes(vec![request; CLAIMS as usize]);
    for (what, request) in [
        (
            "unknown",
            world.channel(77).disputing(1, &[60, 40], &[60, 40]),
        ),
        ("outdated", disputed.disputing(3, &[50, 50], &[60, 40])),
        ("too late", concluded.disputing(9, &[50, 50], &[60, 40])),
        ("beyond", open.disputing(9, &[60, 4_000], &[60, 4_000])),
    ] {
        let decoding = cost(
            &mut world,
            user(3),
            "dispute_many",
            batch(&broken(&request)),
        );
        let whole = cost(&mut world, user(3), "dispute_many", batch(&request));
        let each = whole.saturating_sub(decoding) / CLAIMS;
        println!("{what}: {each} for each of {CLAIMS}");
        assert!(each <= BOUND, "{what}: {each}");
    }
    assert_eq!(size(&mut world), before);
}

/// What stood in a finished channel is looked for in the event log, however much came after it.
#[test]
fn a_claim_on_a_finished_channel_costs_little_to_refuse() {
    let (mut world, [_, _, concluded]) = scene();
    let sweep = concluded.by_account(0, ALICE);
    let payout = concluded.withdrawing(0, ALICE, user(9));
    world
        .withdraw(concluded.withdrawing(0, BOB, user(9)))
        .unwrap();
    world.withdraw(payout.clone()).unwrap();
    // As many events as a finished channel can have behind its last claim.
    let account = convert::account_to_candid(&concluded.deposit_account(ALICE));
    for _ in 0..LATE_EVENTS / 2 {
        world.transfer(0, user(0), account, 30);
        world.deposit(sweep.clone()).unwrap();
        world.withdraw(payout.clone()).unwrap();
    }
    world.ic.advance(Duration::from_nanos(RETENTION_NS));
    world.funded(4, [60, 40]);
    assert_eq!(world.registered(&concluded).unwrap().signed_state, None);
    let before = size(&mut world);
    let request = concluded.disputing(9, &[50, 50], &[60, 40]);
    let decoding = cost(&mut world, user(3), "dispute", bytes(broken(&request)));
    let whole = cost(&mut world, user(3), "dispute", bytes(request));
    let beyond = whole - decoding;
    println!("behind {LATE_EVENTS} events: {beyond}");
    assert!(beyond <= BOUND, "{beyond}");
    assert_eq!(size(&mut world), before);
}

#[test]
fn what_is_for_controllers_costs_little_for_others_to_ask() {
    let (mut world, _) = scene();
    let nothing = world::no_arguments();
    let whole = cost(&mut world, user(3), "cycles_runway", nothing);
    assert!(whole <= BOUND, "{whole}");
}

#[test]
fn garbage_is_refused_cheaply_and_leaves_nothing() {
    let (mut world, _) = scene();
    let before = size(&mut world);
    let mut worst = (0, String::new(), 0);
    // What receiving a byte costs the canister anyway, in cycles, and so in instructions.
    const PER_BYTE: u64 = 2_000;
    for (number, garbage) in garbage().into_iter().enumerate() {
        for (method, _) in world::methods() {
            for caller in [user(3), Principal::anonymous()] {
                let cost = cost(&mut world, caller, &method, garbage.clone());
                let bound = 1_000_000 + PER_BYTE * garbage.len() as u64;
                assert!(cost <= bound, "{method}, {number}: {cost} of {bound}");
                worst = worst.max((cost, method.clone(), number));
            }
        }
    }
    println!("the worst garbage: {worst:?}");
    assert_eq!(size(&mut world), before);
}

/// Bytes that are no request of any method, each made to cost its reader something.
fn garbage() -> Vec<Vec<u8>> {
    const MAX: usize = 16 * 1024;
    let mut all = vec![
        vec![],
        b"DIDL".to_vec(),
        b"DIDL\0\0".to_vec(),
        vec![0xff; MAX],
        [&b"DIDL"[..], &[0xff; 100]].concat(),
    ];
    // A vector of 2^32 - 1 nothings: short to write, long to read.
    all.push(b"DIDL\x01\x6d\x7f\x01\x00\xff\xff\xff\xff\x0f".to_vec());
    // Of empty records, likewise.
    all.push(b"DIDL\x02\x6d\x01\x6c\x00\x01\x00\xff\xff\xff\xff\x0f".to_vec());
    // Optionals in optionals in optionals, as deep as fits.
    let mut deep = b"DIDL".to_vec();
    let types = 2_000_u16;
    leb128(&mut deep, types.into());
    for index in 1..=types {
        deep.push(0x6e);
        leb128(&mut deep, u64::from(index.min(types - 1)));
    }
    deep.extend([1, 0]);
    deep.extend(vec![1; MAX - deep.len()]);
    all.push(deep);
    // A type that is itself.
    all.push(b"DIDL\x01\x6e\x00\x01\x00\x01\x01\x01\x01\x01\x01\x00".to_vec());
    // Many values where one is asked for, which a reader may skip.
    let mut many = b"DIDL\x00".to_vec();
    leb128(&mut many, 5_000);
    many.extend(vec![0x7e; 5_000]);
    many.extend(vec![1; 5_000]);
    all.push(many);
    // A record with thousands of fields.
    let mut wide = b"DIDL\x01\x6c".to_vec();
    leb128(&mut wide, 2_500);
    for field in 0..2_500 {
        leb128(&mut wide, field);
        wide.push(0x7e);
    }
    wide.extend([1, 0]);
    wide.extend(vec![1; 2_500]);
    all.push(wide);
    // A large number.
    let mut large = b"DIDL\x00\x01\x7d".to_vec();
    large.extend(vec![0xff; 16_000]);
    large.push(1);
    all.push(large);
    // Text that is none.
    let mut text = b"DIDL\x00\x01\x71".to_vec();
    leb128(&mut text, 16_000);
    text.extend(vec![0xc3; 16_000]);
    all.push(text);
    // Anything, with a good beginning or without; always the same, so that a failure can be repeated.
    let mut runner = TestRunner::deterministic();
    let random = prop::collection::vec(any::<u8>(), 0..300);
    for _ in 0..40 {
        let bytes = random.new_tree(&mut runner).unwrap().current();
        all.push([&b"DIDL"[..], &bytes].concat());
        all.push(bytes);
    }
    all
}

fn leb128(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[test]
fn questions_about_everything_leave_nothing() {
    let (mut world, [open, ..]) = scene();
    let before = size(&mut world);
    for number in 0..50_u8 {
        let channel = ByteBuf::from([number; 32]);
        let account = DepositAccountRequest {
            channel: channel.clone(),
            part: number % 16,
            asset: open.asset(0),
            share: u128::MAX,
        };
        let page = EventsRequest {
            channel: Some(channel.clone()),
            start: u64::MAX - u64::from(number),
            length: u32::MAX,
        };
        for (method, argument) in [
            ("deposit_account", bytes(account)),
            ("query_holdings", bytes(ChannelRequest { channel })),
            ("query_events", bytes(page)),
            ("info", candid::encode_args(()).unwrap()),
        ] {
            cost(&mut world, Principal::anonymous(), method, argument);
        }
    }
    assert_eq!(size(&mut world), before);
}

#[test]
fn deposits_without_money_leave_nothing() {
    let (mut world, _) = scene();
    let mut dearest = 0;
    // Each names a new channel of sixteen, and a door with nothing behind it.
    for nonce in 100..110 {
        let channel = world.channel_of(nonce, 16, 1);
        for request in [
            channel.by_approval(0, ALICE, 1_000),
            channel.by_account(0, BOB),
        ] {
            if nonce == 100 {
                // The first answers are the longest so far: what they need stays on the heap.
                cost(&mut world, user(9), "deposit", bytes(request));
                continue;
            }
            let before = size(&mut world);
            dearest = dearest.max(cost(&mut world, user(9), "deposit", bytes(request)));
            assert_eq!(size(&mut world), before);
        }
    }
    println!("a deposit of sixteen without money: {dearest}");
}
