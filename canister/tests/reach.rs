//! What the rules answer by themselves, without wasm: batches, the journal, blocks, consent messages, pages,
//! proofs.

mod world;

use candid::{CandidType, Nat, Principal};
use ic_certification::LookupResult;
use ic_stable_structures::DefaultMemoryImpl;
use icrc_ledger_types::icrc::generic_value::ICRC3Value;
use icrc_ledger_types::icrc3::blocks::GetBlocksRequest;
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec,
};
use icrc_ledger_types::icrc21::responses::ConsentMessage;
use perun_canister::consent::METHODS;
use perun_canister::http::{HttpRequest, Surroundings};
use perun_canister::journal::JournalNumber;
use perun_canister::verdict::Answer;
use perun_canister::{Adjudicator, Settlement};
use perun_canister_api::{DisputeError, DisputeManyError, InitArgs, Rank, convert};
use perun_protocol::{Amount, ChallengeDuration, Nonce, Params, SecretKey, Timestamp};
use serde_bytes::ByteBuf;
use world::{ALICE, BOB, CHALLENGE_S, FEE, TestChannel, asset_id, key, user};

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const ME: Principal = Principal::from_slice(&[2, 2]);
const LEDGER: Principal = Principal::from_slice(&[1, 1]);

fn adjudicator() -> Adjudicator {
    let args = InitArgs {
        ledgers: vec![LEDGER],
        min_challenge_duration_s: 60,
        max_challenge_duration_s: 86_400,
    };
    let memory = DefaultMemoryImpl::default();
    let mut adjudicator = Adjudicator::install(memory, ME, args).unwrap();
    adjudicator.observe(NOW);
    adjudicator
}

fn channel(nonce: u8) -> TestChannel {
    let keys = vec![key(1), key(2)];
    let params = Params::new(
        Nonce::from_bytes([nonce; 32]),
        keys.iter().map(SecretKey::participant).collect(),
        vec![asset_id(&LEDGER)],
        ChallengeDuration::from_secs(CHALLENGE_S).unwrap(),
        convert::principal(ME).unwrap(),
    );
    TestChannel {
        params: params.unwrap(),
        keys,
    }
}

/// A channel with 100 of each.
fn funded(adjudicator: &mut Adjudicator, nonce: u8) -> TestChannel {
    let channel = channel(nonce);
    for part in [ALICE, BOB] {
        let request = channel.by_approval(0, part, 100);
        let deposit = adjudicator.check_deposit(user(0), &request).unwrap();
        let number = adjudicator.reserve_pull(&deposit, Amount::new(FEE), NOW);
        let number = number.unwrap();
        adjudicator.begin_attempt(number, NOW).unwrap();
        let settled = adjudicator.settle(number, Answer::Paid(Some(1)), NOW);
        assert!(matches!(settled, Settlement::Deposited(_)));
    }
    channel
}

fn consent(
    adjudicator: &Adjudicator,
    method: &str,
    argument: impl CandidType,
) -> Result<String, Icrc21Error> {
    let request = ConsentMessageRequest {
        method: method.into(),
        arg: candid::encode_one(argument).unwrap(),
        user_preferences: ConsentMessageSpec {
            metadata: ConsentMessageMetadata {
                language: "en".into(),
                utc_offset_minutes: None,
            },
            device_spec: None,
        },
    };
    let info = adjudicator.consent(&request, NOW)?;
    match info.consent_message {
        ConsentMessage::GenericDisplayMessage(text) => Ok(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_of_many_claims_is_judged_as_if_alone() {
    let mut adjudicator = adjudicator();
    let known = funded(&mut adjudicator, 1);
    let claim =
        |channel: &TestChannel, version| channel.disputing(version, &[50, 150], &[100, 100]);
    let claims = [
        claim(&channel(9), 1),
        claim(&known, 2),
        known.refund_claim(BOB),
        claim(&known, 3),
    ];
    let results = adjudicator.dispute_many(&claims, NOW).unwrap();
    let ranks: Vec<_> = results
        .into_iter()
        .map(|result| result.map(|registered| registered.rank))
        .collect();
    let outdated = DisputeError::Outdated {
        registered: Rank::State(2),
        submitted: Rank::Refund,
    };
    let expected = [
        Err(DisputeError::UnknownChannel),
        Ok(Rank::State(2)),
        Err(outdated),
        Ok(Rank::State(3)),
    ];
    assert_eq!(ranks, expected);
    let most = vec![claim(&known, 4); 100];
    assert_eq!(adjudicator.dispute_many(&most, NOW).unwrap().len(), 100);
    let too_many = vec![claim(&known, 4); 101];
    let refused = adjudicator.dispute_many(&too_many, NOW);
    let max = DisputeManyError::TooMany {
        given: 101,
        max: 100,
    };
    assert_eq!(refused, Err(max));
}

#[test]
fn the_journal_is_looked_through_piece_by_piece() {
    let mut adjudicator = adjudicator();
    let mut numbers = Vec::new();
    for nonce in 0..25 {
        let request = channel(nonce).by_approval(0, ALICE, 100);
        let deposit = adjudicator.check_deposit(user(0), &request).unwrap();
        let number = adjudicator.reserve_pull(&deposit, Amount::new(FEE), NOW);
        numbers.push(number.unwrap());
        adjudicator
            .begin_attempt(numbers[nonce as usize], NOW)
            .unwrap();
    }
    let half_minute_ns = 30_000_000_000;
    for (pause_ns, is_due) in [(half_minute_ns - 1, false), (half_minute_ns, true)] {
        let now = NOW.saturating_add_nanos(pause_ns);
        let due = |from, limit| {
            let due = adjudicator.due(from, limit, now);
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

#[test]
fn blocks_are_given_by_ranges_until_a_page_is_full() {
    let mut adjudicator = adjudicator();
    assert!(!adjudicator.has_blocks());
    for nonce in 0..60 {
        funded(&mut adjudicator, nonce);
    }
    assert!(adjudicator.has_blocks());
    let range = |start: u128, length: u128| GetBlocksRequest {
        start: Nat::from(start),
        length: Nat::from(length),
    };
    let ids = |ranges: &[GetBlocksRequest]| -> Vec<u64> {
        let page = adjudicator.blocks(ranges);
        assert_eq!(page.log_length, Nat::from(120_u8));
        assert!(page.archived_blocks.is_empty());
        let ids = page.blocks.iter().map(|block| block.id.0.to_owned());
        ids.map(|id| id.try_into().unwrap()).collect()
    };
    assert_eq!(ids(&[range(3, 2)]), [3, 4]);
    assert_eq!(ids(&[range(118, 9), range(0, 1)]), [118, 119, 0]);
    let nowhere = [range(0, 0), range(120, 1), range(1 << 100, 1)];
    assert!(ids(&nowhere).is_empty());
    assert_eq!(ids(&[range(119, 1 << 100)]), [119]);
    assert_eq!(ids(&[range(0, 1 << 100)]), (0..100).collect::<Vec<_>>());
    let full: Vec<_> = (0..100).collect();
    assert_eq!(ids(&[range(0, 60), range(60, 60)]), full);
    // Each has the hash of the one before it, also where a range begins.
    let page = adjudicator.blocks(&[range(0, 3), range(2, 2)]);
    let blocks: Vec<_> = page.blocks.iter().map(|block| &block.block).collect();
    let parent = |block: &ICRC3Value| match block {
        ICRC3Value::Map(fields) => fields.get("phash").cloned(),
        other => panic!("{other:?}"),
    };
    let hash = |block: &ICRC3Value| Some(ICRC3Value::Blob(ByteBuf::from(block.clone().hash())));
    assert_eq!(parent(blocks[0]), None);
    for (before, behind) in [(0, 1), (1, 2), (1, 3), (2, 4)] {
        assert_eq!(parent(blocks[behind]), hash(blocks[before]));
    }
}

#[test]
fn every_method_that_changes_anything_has_a_message() {
    let mut adjudicator = adjudicator();
    let channel = funded(&mut adjudicator, 1);
    let dispute = channel.disputing(2, &[50, 150], &[100, 100]);
    let last = channel.concluding(3, &[50, 150], &[100, 100]);
    let asked = [
        consent(&adjudicator, "deposit", channel.by_account(0, ALICE)),
        consent(&adjudicator, "dispute", dispute.clone()),
        consent(&adjudicator, "dispute_many", vec![dispute]),
        consent(&adjudicator, "conclude", last),
        consent(
            &adjudicator,
            "withdraw",
            channel.withdrawing(0, BOB, user(9)),
        ),
    ];
    assert_eq!(asked.len(), METHODS.len());
    for text in asked {
        let text = text.unwrap();
        assert!(text.contains(&channel.id().to_string()), "{text}");
        assert!(text.contains("This cannot be taken back."), "{text}");
        assert!(text.is_ascii(), "{text}");
    }
}

#[test]
fn a_message_never_repeats_words_of_the_request() {
    let adjudicator = adjudicator();
    let words = "**Amount:** 0";
    let refused = consent(&adjudicator, words, ()).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
    let refused = consent(&adjudicator, "deposit", words).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
}

#[test]
fn a_message_says_how_long_what_is_registered_can_be_refuted() {
    let mut adjudicator = adjudicator();
    let channel = funded(&mut adjudicator, 1);
    let dispute = |version| channel.disputing(version, &[50, 150], &[100, 100]);
    adjudicator.dispute(&dispute(1), NOW).unwrap();
    let text = consent(&adjudicator, "dispute", dispute(2)).unwrap();
    assert!(
        text.contains("`version 1, which can be refuted for 10 min more`"),
        "{text}"
    );
}

#[test]
fn without_a_certificate_the_page_claims_no_proof() {
    let adjudicator = adjudicator();
    let around = |certificate| Surroundings {
        now: NOW,
        certificate,
        stable_bytes: 3,
        heap_bytes: 4,
    };
    let request = |url: &str| HttpRequest {
        method: "GET".into(),
        url: url.into(),
        headers: vec![],
        body: ByteBuf::new(),
        certificate_version: None,
    };
    let has_proof = |certificate| {
        let answer = adjudicator.answer_http(&request("/"), &around(certificate));
        let mut headers = answer.headers.iter();
        headers.any(|(name, _)| name == "ic-certificate")
    };
    assert!(!has_proof(None));
    assert!(has_proof(Some(vec![1])));
    let metrics = adjudicator.answer_http(&request("/metrics?x"), &around(None));
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("\nperun_adjudicator_stable_memory_bytes 3\n"));
    assert!(metrics.contains("\nperun_adjudicator_heap_memory_bytes 4\n"));
}

/// What is not shown must not hide that something is absent.
#[test]
fn the_certified_tree_proves_what_is_absent_beside_the_page() {
    let mut adjudicator = adjudicator();
    let hash = [b"last_block_hash".as_slice()];
    let tip = adjudicator.tip_witness();
    assert_eq!(tip.lookup_path(hash), LookupResult::Absent);
    assert_eq!(tip.digest(), adjudicator.certified_root());

    let channel = funded(&mut adjudicator, 1);
    let tip = adjudicator.tip_witness();
    assert!(matches!(tip.lookup_path(hash), LookupResult::Found(_)));
    assert_eq!(tip.digest(), adjudicator.certified_root());

    let id = channel.id();
    let registration = [b"registrations".as_slice(), id.as_bytes()];
    let witness = adjudicator.registration_witness(id);
    assert_eq!(witness.lookup_path(registration), LookupResult::Absent);
    assert_eq!(witness.digest(), adjudicator.certified_root());
    let dispute = channel.disputing(1, &[50, 150], &[100, 100]);
    adjudicator.dispute(&dispute, NOW).unwrap();
    let witness = adjudicator.registration_witness(id);
    assert!(matches!(
        witness.lookup_path(registration),
        LookupResult::Found(_)
    ));
    let clock = [b"clock".as_slice()];
    assert!(matches!(witness.lookup_path(clock), LookupResult::Found(_)));
    assert_eq!(witness.digest(), adjudicator.certified_root());
}
