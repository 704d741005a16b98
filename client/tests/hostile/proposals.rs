//! Proposals: too many, absurd, expired, and one among them that is meant.

use std::time::Duration;

use perun_client::client::Config;
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::{Message, Proposal, RejectCode, Terms};
use perun_protocol::{
    Amount, App, AssetId, Balances, ChallengeDuration, Participant, Principal, Timestamp,
};
use tokio::time::timeout;

use crate::Honest;
use crate::mallory::{LONG, Mallory};
use crate::world::{ALICE, CHALLENGE_S, account, key, table};

/// What Mallory proposes if nothing is wrong with it.
fn proposal(honest: &Honest, number: u32) -> Proposal {
    let mut nonce_share = [0; 32];
    nonce_share[..4].copy_from_slice(&number.to_be_bytes());
    let now = honest.world.time();
    Proposal {
        terms: Terms {
            adjudicator: honest.ours.params().adjudicator(),
            assets: vec![honest.alice.ledger],
            challenge_duration: ChallengeDuration::from_secs(CHALLENGE_S.0).unwrap(),
            app: PAYMENT_APP,
            aux: [0; 32],
            balances: table([5, 5]),
            funding: table([5, 5]),
            fund_by: now.saturating_add_nanos(600_000_000_000),
        },
        participant: Participant::Secp256k1(key(7).public_key()),
        nonce_share,
        expires_at: now.saturating_add_nanos(60_000_000_000),
    }
}

fn message(proposal: &Proposal) -> Message {
    Message::Proposal(Box::new(proposal.clone()))
}

async fn rejection(mallory: &mut Mallory, proposal: &Proposal) -> RejectCode {
    match mallory.hear_message().await {
        Message::ProposalRejection(rejection) => {
            assert_eq!(rejection.proposal, proposal.id(), "{rejection:?}");
            rejection.code
        }
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_proposals_wait_and_no_more() {
    let honest = Honest::new().await;
    let mut proposals = honest.alice.client.proposals();
    let mut mallory = Mallory::new(7, &honest.alice).await;
    let limit = Config::new(account(ALICE)).max_proposals_per_peer;
    let first = proposal(&honest, 0);
    for number in 0..3_000 {
        let proposal = match number {
            0 => first.clone(),
            number => proposal(&honest, number),
        };
        mallory.say(&message(&proposal));
        if number as usize >= limit {
            let code = rejection(&mut mallory, &proposal).await;
            assert_eq!(code, RejectCode::Busy, "{number}");
        }
    }
    // The same once more is the same.
    mallory.say(&message(&first));
    mallory.hears_nothing().await;
    // Others are heard meanwhile.
    let mut other = Mallory::new(6, &honest.alice).await;
    other.say(&message(&proposal(&honest, 10_000)));
    other.hears_nothing().await;
    let mut waiting = Vec::new();
    for _ in 0..=limit {
        waiting.push(timeout(LONG, proposals.next()).await.unwrap().unwrap());
    }
    let from = waiting.pop().unwrap().peer();
    assert_eq!(from, key(6).public_key());
    let more = timeout(Duration::from_millis(50), proposals.next()).await;
    assert!(more.is_err());
    // Every answer makes place for another.
    waiting.pop().unwrap().reject("no");
    mallory.hear_message().await;
    let another = proposal(&honest, 20_000);
    mallory.say(&message(&another));
    let heard = timeout(LONG, proposals.next()).await.unwrap().unwrap();
    assert_eq!(heard.expires_at(), another.expires_at);
    drop(waiting);
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_terms_are_bad_terms() {
    let honest = Honest::new().await;
    let mut proposals = honest.alice.client.proposals();
    let mut mallory = Mallory::new(7, &honest.alice).await;
    let good = proposal(&honest, 0);
    let with = |change: &dyn Fn(&mut Proposal)| {
        let mut proposal = good.clone();
        change(&mut proposal);
        proposal
    };
    let units = |amounts: &[u128]| amounts.iter().copied().map(Amount::new).collect();
    let wide = |parts: usize, amounts: &[u128]| Balances::new(parts, units(amounts)).unwrap();
    let other_ledger = AssetId::Icrc(Principal::from_slice(&[7; 10]).unwrap());
    let ours = Participant::Secp256k1(honest.alice.identity());
    let absurd: Vec<(&str, Proposal)> = vec![
        (
            "three parts",
            with(&|p| p.terms.balances = wide(3, &[1, 2, 3])),
        ),
        (
            "two rows",
            with(&|p| p.terms.balances = wide(2, &[1, 2, 3, 4])),
        ),
        (
            "funding of others",
            with(&|p| p.terms.funding = wide(3, &[5, 5, 0])),
        ),
        (
            "funding of more",
            with(&|p| p.terms.funding = table([5, 100_000])),
        ),
        (
            "funding of less",
            with(&|p| p.terms.funding = table([0, 5])),
        ),
        (
            "of everything",
            with(&|p| p.terms.balances = table([u128::MAX, 0])),
        ),
        ("no assets", with(&|p| p.terms.assets.clear())),
        (
            "an asset twice",
            with(&|p| {
                p.terms.assets = vec![honest.alice.ledger; 2];
                p.terms.balances = wide(2, &[5, 5, 5, 5]);
                p.terms.funding = wide(2, &[5, 5, 5, 5]);
            }),
        ),
        (
            "another adjudicator",
            with(&|p| {
                p.terms.adjudicator = Principal::from_slice(&[9; 10]).unwrap();
            }),
        ),
        ("against ourselves", with(&|p| p.participant = ours)),
        (
            "for ever",
            with(&|p| {
                p.expires_at = Timestamp::from_nanos(u64::MAX);
                p.terms.fund_by = Timestamp::from_nanos(u64::MAX);
            }),
        ),
        (
            "deposits before the answer",
            with(&|p| p.terms.fund_by = Timestamp::from_nanos(0)),
        ),
        (
            "too short",
            with(&|p| {
                p.terms.challenge_duration = ChallengeDuration::from_secs(1).unwrap();
            }),
        ),
    ];
    for (how, proposal) in &absurd {
        mallory.say(&message(proposal));
        let code = rejection(&mut mallory, proposal).await;
        assert_eq!(code, RejectCode::BadTerms, "{how}");
    }
    let expired: [Timestamp; 2] = [Timestamp::from_nanos(0), honest.world.time()];
    for expires_at in expired {
        let proposal = with(&|p| p.expires_at = expires_at);
        mallory.say(&message(&proposal));
        let code = rejection(&mut mallory, &proposal).await;
        assert_eq!(code, RejectCode::TimedOut);
    }
    // The owner has heard of none of them. What only the adjudicator knows is found when he accepts.
    let accept = |proposal: Proposal| {
        mallory.say(&message(&proposal));
        proposal
    };
    let unknown = accept(with(&|p| p.terms.assets = vec![other_ledger]));
    let plain = accept(with(&|p| p.terms.app = App::None));
    let asked = timeout(LONG, proposals.next()).await.unwrap().unwrap();
    assert_eq!(asked.terms(), &unknown.terms);
    let refused = timeout(LONG, asked.accept()).await.unwrap();
    assert!(refused.is_err());
    let code = rejection(&mut mallory, &unknown).await;
    assert_eq!(code, RejectCode::BadTerms);
    let asked = timeout(LONG, proposals.next()).await.unwrap().unwrap();
    assert_eq!(asked.our_deposit(), [Amount::new(5)]);
    assert_eq!(asked.terms(), &plain.terms);
    asked.reject("no");
    assert_eq!(rejection(&mut mallory, &plain).await, RejectCode::Declined);
    honest.end().await;
}

/// Tables that cannot be tables are no messages.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_overflow_are_no_messages() {
    let honest = Honest::new().await;
    let good = proposal(&honest, 0);
    let bytes = message(&good).encode();
    let row = [
        vec![2],
        [0; 15].to_vec(),
        vec![5],
        [0; 15].to_vec(),
        vec![5],
    ]
    .concat();
    let at = bytes
        .windows(row.len())
        .position(|window| window == row)
        .unwrap();
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = bytes.clone();
        change(&mut bytes[at..at + row.len()]);
        bytes
    };
    let absurd = [
        with(&|row| row[1..].fill(0xff)),
        with(&|row| row[0] = 0),
        with(&|row| row[0] = 1),
        with(&|row| row[0] = 3),
        with(&|row| row[0] = 255),
    ];
    for bytes in absurd {
        let mut mallory = Mallory::new(7, &honest.alice).await;
        mallory.say_bytes(&bytes).unwrap();
        let reason = mallory.hear_goodbye().await;
        assert!(reason.starts_with("no message of type 1"), "{reason}");
    }
    honest.end().await;
}
