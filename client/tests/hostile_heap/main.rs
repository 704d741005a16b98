//! What hostile messages cost in memory: while they come, and after.

#![allow(
    unsafe_code,
    reason = "an allocator that counts can be had in no other way"
)]

#[path = "../hostile/mallory.rs"]
#[allow(dead_code, reason = "each test file uses its part of it")]
mod mallory;
#[path = "../world/mod.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mallory::Mallory;
use perun_canister_api::convert;
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::{
    Message, Proposal, RejectCode, Terms, Text, TurnRequest, UpdateAcceptance, UpdateRejection,
};
use perun_protocol::{
    ChallengeDuration, ChannelId, PartIdx, Participant, Principal, Signature, Timestamp, Version,
};
use tokio::time::sleep;
use world::{ALICE, Person, World, key, table};

/// Counts what is allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(by: usize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the same.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KIBI: usize = 1024;
const MEBI: usize = 1024 * KIBI;

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// A client that does nothing by itself while it is measured.
async fn idle() -> (World, Person) {
    let world = World::new().await;
    let start = world.user(ALICE).with(|config| {
        config.poll_interval = Duration::from_secs(20);
    });
    let alice = start.start().await;
    (world, alice)
}

/// The kinds of hostile messages that leave the connection as it is, by number.
fn hostile(number: u32, adjudicator: Principal, now: Timestamp) -> Vec<u8> {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    let channel = ChannelId::from_bytes(bytes);
    let signature = Signature::from_bytes([1; 64]);
    match number % 6 {
        0 => Message::Unknown { kind: 99 },
        1 => Message::UpdateAcceptance(UpdateAcceptance {
            channel,
            version: Version::new(1),
            part: PartIdx::new(0),
            signature,
            asks_turn: true,
        }),
        2 => Message::TurnRequest(TurnRequest { channel, turn: 1 }),
        3 => Message::UpdateRejection(UpdateRejection {
            channel,
            version: Version::new(1),
            code: RejectCode::Busy,
            text: Text::new(&"no".repeat(100)),
        }),
        _ => Message::Proposal(Box::new(Proposal {
            terms: Terms {
                adjudicator,
                assets: vec![perun_protocol::AssetId::Icrc(
                    Principal::from_slice(&[8; 10]).unwrap(),
                )],
                challenge_duration: ChallengeDuration::from_secs(60).unwrap(),
                app: PAYMENT_APP,
                aux: [0; 32],
                balances: table([1, 1]),
                funding: table([1, 1]),
                fund_by: now,
            },
            participant: Participant::Secp256k1(key(7).public_key()),
            nonce_share: bytes,
            expires_at: now.saturating_add_nanos(3_600_000_000_000),
        })),
    }
    .encode()
}

/// How much a run of `act` leaves behind, after one that may fill what is filled once.
async fn left_behind(mut act: impl AsyncFnMut()) -> (isize, usize) {
    act().await;
    sleep(Duration::from_millis(500)).await;
    let before = live();
    PEAK.store(before, Ordering::Relaxed);
    act().await;
    sleep(Duration::from_millis(500)).await;
    let after = live();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    (after as isize - before as isize, peak)
}

/// One test, for the heap is everybody's.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_leave_the_heap_as_it_was() {
    let (world, alice) = idle().await;
    // Nobody looks at proposals, but they wait.
    let _proposals = alice.client.proposals();
    let now = world.time();
    let adjudicator = convert::principal(world.adjudicator).unwrap();

    // Ten thousand messages over one connection.
    let mut number = 0;
    let mut mallory = Mallory::new(7, &alice).await;
    let (left, peak) = left_behind(async || {
        for _ in 0..10_000 {
            number += 1;
            mallory
                .say_patiently(&hostile(number, adjudicator, now))
                .await
                .unwrap();
            if number % 6 == 1 {
                // An answer for every question, so that all before it are dealt with too.
                loop {
                    if let Message::UpdateRejection(_) = mallory.hear_message().await {
                        break;
                    }
                }
            }
        }
    })
    .await;
    println!("10,000 messages: {left} bytes left, peak {peak}");
    assert!(left < 64 * KIBI as isize, "{left}");
    assert!(peak < 4 * MEBI, "{peak}");

    // A mebibyte of nonsense, over two hundred connections.
    let nested: Vec<Vec<u8>> = [
        &[0x9f][..],
        &[0x82, 0x18, 0x63],
        &[0x82, 0x08, 0xbf, 0x18, 0x63],
    ]
    .iter()
    .map(|head| {
        let mut bytes = vec![0x9f; MEBI];
        bytes[..head.len()].copy_from_slice(head);
        bytes
    })
    .collect();
    let (left, peak) = left_behind(async || {
        for number in 0..200 {
            let mut mallory = Mallory::new(7, &alice).await;
            mallory.say_bytes(&nested[number % 3]).unwrap();
            mallory.hear_goodbye().await;
        }
    })
    .await;
    println!("200 mebibytes of nonsense: {left} bytes left, peak {peak}");
    assert!(left < 64 * KIBI as isize, "{left}");
    assert!(peak < 64 * MEBI, "{peak}");

    // Strangers who connect, say a mebibyte and stay.
    let before = live();
    let mut crowd = Vec::new();
    let harmless = {
        let mut bytes = vec![0; MEBI];
        // An array of two: type 99, and a byte string of what is left.
        bytes[..8].copy_from_slice(&[0x82, 0x18, 0x63, 0x5a, 0x00, 0x0f, 0xff, 0xf8]);
        bytes
    };
    for number in 10..40 {
        let mut mallory = Mallory::new(number, &alice).await;
        mallory.say_bytes(&harmless).unwrap();
        mallory.say_bytes(&hostile(1, adjudicator, now)).unwrap();
        mallory.hear_message().await;
        crowd.push(mallory);
    }
    sleep(Duration::from_millis(500)).await;
    let each = live().saturating_sub(before) / crowd.len();
    println!("a stranger who stays: {each} bytes (both ends)");
    assert!(each < 256 * KIBI, "{each}");
    drop(crowd);

    // A link whose queue is never empty.
    let (left, peak) = left_behind(late).await;
    println!("a peer that is always late: {left} bytes left, peak {peak}");
    assert!(left < 64 * KIBI as isize, "{left}");
    assert!((MEBI..16 * MEBI).contains(&peak), "{peak}");
}

/// Sends 200 MB to somebody who is always a little late.
async fn late() {
    use perun_client::link::{FrameKind, SendError, TcpConfig, TcpTransport, Transport as _};
    let config = TcpConfig {
        max_queued: 2 * MEBI,
        ..TcpConfig::default()
    };
    let bind = |number| TcpTransport::bind(key(number), ("127.0.0.1", 0), config);
    let (one, other) = (bind(1).await.unwrap(), bind(2).await.unwrap());
    let address = other.local_address().to_string();
    let dialling = one.connect(key(2).public_key(), &address);
    let (dialled, accepted) = tokio::join!(dialling, other.accept());
    let (dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    let receiving = tokio::spawn(async move {
        let mut count = 0;
        while let Ok(Some(length)) = std::future::poll_fn(|context| {
            let polled = accepted.receiver.poll_receive(context);
            polled.map_ok(|frame| frame.map(|(_, message)| message.len()))
        })
        .await
        {
            assert_eq!(length, 50_000);
            count += 1;
            if count == 4_000 {
                return;
            }
            if count % 4 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let message = vec![1; 50_000];
    let mut count = 0;
    while count < 4_000 {
        match dialled.sender.send(FrameKind::Message, &message) {
            Ok(()) => count += 1,
            // It is filled up again before it is empty.
            Err(SendError::Full { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    receiving.await.unwrap();
}
