//! Strangers: bytes that are no messages, messages about what is none of their business, silence.

use std::time::Duration;

use perun_protocol::payment::Batch;
use perun_protocol::wire::{
    Acceptance, Message, PaymentRequest, PaymentRequestRejection, ProposalRejection, RejectCode,
    Sync, Text, TurnPass, TurnRequest, Update, UpdateAcceptance, UpdateRejection,
};
use perun_protocol::{
    Amount, AssetIdx, ChannelId, PartIdx, Participant, Signature, Timestamp, UnverifiedSignedState,
    Version,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::Honest;
use crate::mallory::{Heard, LONG, Mallory};

const MEBI: usize = 1024 * 1024;

/// Bytes that are no message, each in another way.
fn nonsense() -> Vec<Vec<u8>> {
    let all = |byte: u8| vec![byte; MEBI];
    let behind = |head: &[u8], byte: u8| {
        let mut bytes = all(byte);
        bytes[..head.len()].copy_from_slice(head);
        bytes
    };
    let mut random = vec![0; MEBI];
    let mut seed = 1u64;
    for byte in &mut random {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (seed >> 56) as u8;
    }
    let valid = Message::TurnPass(TurnPass {
        channel: ChannelId::from_bytes([1; 32]),
        turn: 7,
    });
    let mut nonsense = vec![
        vec![],
        vec![0],
        all(0),
        all(0xff),
        // Arrays, maps, tags and texts in each other, with and without an end.
        all(0x81),
        all(0x9f),
        all(0xbf),
        all(0xc1),
        all(0x7f),
        random,
        // An array of two of which the second is any of those, for a type that is known and one
        // that is not.
        behind(&[0x82, 0x01], 0x81),
        behind(&[0x82, 0x18, 0x63], 0x81),
        behind(&[0x82, 0x18, 0x63], 0x9f),
        behind(&[0x82, 0x18, 0x63], 0xbf),
        behind(&[0x82, 0x18, 0x63], 0xd8),
        // An unknown field of a known message, deeply nested.
        behind(&[0x82, 0x08, 0xbf, 0x18, 0x63], 0x9f),
        // So many entries, bytes and characters promised, and none there.
        vec![
            0x82, 0x01, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        vec![
            0x82, 0x01, 0xa1, 0x02, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        vec![
            0x82, 0x18, 0x63, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        b"{\"method\": \"pay\"}".to_vec(),
        // More than a message.
        [valid.encode(), vec![0]].concat(),
    ];
    let valid = valid.encode();
    nonsense.extend((0..valid.len()).map(|length| valid[..length].to_vec()));
    nonsense
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_the_connection_and_nothing_else() {
    let honest = Honest::new().await;
    for (number, bytes) in nonsense().into_iter().enumerate() {
        let mut mallory = Mallory::new(7, &honest.alice).await;
        let begun = Instant::now();
        mallory.say_bytes(&bytes).unwrap();
        let reason = mallory.hear_goodbye().await;
        assert!(reason.starts_with("no message"), "{number}: {reason}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{number}: {took:?}");
    }
    // It is no reason not to talk to Mallory again.
    let mut mallory = Mallory::new(7, &honest.alice).await;
    mallory.say(&unknown_update(ChannelId::from_bytes([1; 32])));
    assert!(matches!(
        mallory.hear_message().await,
        Message::UpdateRejection(_)
    ));
    honest.end().await;
}

fn unknown_update(channel: ChannelId) -> Message {
    Message::UpdateAcceptance(UpdateAcceptance {
        channel,
        version: Version::new(3),
        part: PartIdx::new(0),
        signature: Signature::from_bytes([1; 64]),
        asks_turn: false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_newer_software_are_skipped() {
    let honest = Honest::new().await;
    let mut mallory = Mallory::new(7, &honest.alice).await;
    for kind in [0, 12, 16, 21, 300, u16::MAX] {
        for _ in 0..500 {
            let unknown = Message::Unknown { kind }.encode();
            mallory.say_patiently(&unknown).await.unwrap();
        }
    }
    mallory.hears_nothing().await;
    mallory.say(&unknown_update(ChannelId::from_bytes([1; 32])));
    mallory.hear_message().await;
    honest.end().await;
}

/// Every message that names a channel, about this one.
fn about(channel: ChannelId, newest: UnverifiedSignedState) -> Vec<Message> {
    let signature = Signature::from_bytes([1; 64]);
    let version = Version::new(1);
    vec![
        Message::Update(Box::new(Update {
            channel,
            version,
            skipped: 0,
            turn: 0,
            is_final: true,
            passes_turn: true,
            payments: Batch::default(),
            signature,
        })),
        unknown_update(channel),
        Message::UpdateRejection(UpdateRejection {
            channel,
            version,
            code: RejectCode::UnknownChannel,
            text: Text::new("forget it"),
        }),
        Message::Sync(Box::new(Sync {
            channel,
            turn: 1 << 31,
            newest,
            pending: None,
            offered: None,
            witness: None,
            signed_through: Some(Version::new(u64::MAX)),
            wants_answer: true,
        })),
        Message::TurnRequest(TurnRequest { channel, turn: 0 }),
        Message::TurnPass(TurnPass { channel, turn: 0 }),
        Message::PaymentRequest(PaymentRequest {
            channel,
            id: 1,
            asset: AssetIdx::new(0),
            amount: Amount::new(1),
            memo: Text::new("for nothing"),
            expires_at: Timestamp::from_nanos(u64::MAX),
        }),
        Message::PaymentRequestRejection(PaymentRequestRejection {
            channel,
            id: 1,
            code: RejectCode::Declined,
            text: Text::default(),
        }),
    ]
}

/// Of a channel of others Mallory learns as much as of one that does not exist, and changes as much.
#[tokio::test(flavor = "multi_thread")]
async fn channels_of_others_are_out_of_reach() {
    let honest = Honest::new().await;
    let mut mallory = Mallory::new(7, &honest.alice).await;
    let newest = UnverifiedSignedState::from(honest.ours.newest().unwrap());
    let nowhere = ChannelId::from_bytes([9; 32]);
    let theirs = honest.ours.id();
    for _ in 0..100 {
        let pairs = about(nowhere, newest.clone());
        for (none, one) in pairs.iter().zip(about(theirs, newest.clone())) {
            mallory.say(none);
            mallory.say(&one);
        }
        // An update, an acceptance and a sync wait for an answer.
        for _ in 0..3 {
            let answers = [mallory.hear_message().await, mallory.hear_message().await];
            let codes = answers.map(|answer| match answer {
                Message::UpdateRejection(rejection) => (rejection.code, rejection.text),
                answer => panic!("{answer:?}"),
            });
            assert_eq!(codes[0].0, RejectCode::UnknownChannel);
            assert_eq!(codes[0], codes[1]);
        }
    }
    mallory.hears_nothing().await;
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_asked_for_are_dropped() {
    let honest = Honest::new().await;
    let mut mallory = Mallory::new(7, &honest.alice).await;
    for number in 0..200 {
        mallory.say(&Message::Acceptance(Acceptance {
            proposal: [number; 32],
            part: PartIdx::new(1),
            participant: Participant::Secp256k1(honest.alice.identity()),
            nonce_share: [number; 32],
        }));
        mallory.say(&Message::ProposalRejection(ProposalRejection {
            proposal: [number; 32],
            code: RejectCode::Other(u16::MAX),
            text: Text::new(&"ä".repeat(500)),
        }));
        match mallory.hear_message().await {
            Message::ProposalRejection(rejection) => {
                assert_eq!(rejection.code, RejectCode::UnknownProposal);
                assert_eq!(rejection.proposal, [number; 32]);
            }
            answer => panic!("{answer:?}"),
        }
    }
    mallory.hears_nothing().await;
    honest.end().await;
}

/// Mallory asks and never reads the answers.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_never_reads_answers_loses_the_connection() {
    let honest = Honest::new().await;
    let mallory = Mallory::new(7, &honest.alice).await;
    let question = unknown_update(ChannelId::from_bytes([1; 32])).encode();
    let begun = Instant::now();
    let mut events = honest.alice.client.events();
    let is_gone = async {
        loop {
            let event = events.next().await;
            if let Ok(notification) = event
                && let perun_client::events::ClientEvent::Disconnected { .. } = notification.event
            {
                return;
            }
        }
    };
    let asking = async {
        let mut asked = 0u64;
        while mallory.say_patiently(&question).await.is_ok() {
            asked += 1;
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{asked} are answered"
            );
            if asked.is_multiple_of(1000) {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = is_gone => {}
        () = asking => {}
    }
    honest.end().await;
}

/// Many who connect and say nothing, some who say a byte from time to time.
#[tokio::test(flavor = "multi_thread")]
async fn the_silent_and_the_slow_hold_up_nobody() {
    let honest = Honest::new().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(honest.alice.address).await.unwrap());
    }
    let mut shaken = Vec::new();
    for number in 20..40 {
        let connecting = Mallory::new(number, &honest.alice);
        shaken.push(tokio::time::timeout(LONG, connecting).await.unwrap());
    }
    for _ in 0..10 {
        for slow in &mut crowd {
            let _ = slow.write_all(&[0]).await;
        }
        sleep(Duration::from_millis(20)).await;
        let again = Mallory::new(40, &honest.alice);
        tokio::time::timeout(LONG, again).await.unwrap();
    }
    honest.end().await;
}

/// Mallory connects again and again under one name.
#[tokio::test(flavor = "multi_thread")]
async fn one_who_comes_again_and_again_has_one_connection() {
    let honest = Honest::new().await;
    let mut older = Mallory::new(7, &honest.alice).await;
    for _ in 0..100 {
        let newer = Mallory::new(7, &honest.alice).await;
        loop {
            match older.hear().await {
                Heard::Message(_) => {}
                Heard::Goodbye(reason) => {
                    assert_eq!(reason, "a newer connection has taken its place");
                    break;
                }
                Heard::End => break,
            }
        }
        older = newer;
    }
    honest.end().await;
}
