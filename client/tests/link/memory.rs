//! The transport in memory, with and without faults.

use std::time::Duration;

use perun_client::link::memory::{FaultCounts, Faults, MemoryConfig, Network};
use perun_client::link::{Connection, FrameKind, LinkError, SendError, Transport as _};
use tokio::time::{Instant, sleep};

use crate::{LONG, identity, memory, next};

async fn connected(network: &Network) -> [Connection; 2] {
    let (one, other) = (memory(network, 1), memory(network, 2));
    let dialling = one.connect(identity(2), "2");
    let (dialled, accepted) = tokio::join!(dialling, other.accept());
    [dialled.unwrap(), accepted.unwrap()]
}

fn send(connection: &Connection, number: u16) -> Result<(), SendError> {
    let message = number.to_be_bytes();
    connection.sender.send(FrameKind::Message, &message)
}

/// What arrives of `count` messages, one each millisecond, until nothing comes any more.
async fn arriving(network: &Network, count: u16) -> Vec<u16> {
    let [one, mut other] = connected(network).await;
    let sending = async {
        for number in 0..count {
            let _ = send(&one, number);
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_secs(1)).await;
        one.sender.close();
    };
    let receiving = async {
        let mut numbers = Vec::new();
        while let Ok(Some((_, message))) = next(&mut other.receiver).await {
            numbers.push(u16::from_be_bytes([message[0], message[1]]));
        }
        numbers
    };
    tokio::join!(sending, receiving).1
}

#[tokio::test(start_paused = true)]
async fn without_faults_everything_arrives_in_order() {
    let network = Network::new(1);
    let in_order: Vec<u16> = (0..500).collect();
    assert_eq!(arriving(&network, 500).await, in_order);
    // However long each would take.
    network.set_faults(Faults {
        delay: Duration::ZERO..=Duration::from_millis(100),
        ..Faults::NONE
    });
    assert_eq!(arriving(&network, 500).await, in_order);
    assert_eq!(network.fault_counts(), FaultCounts::default());
}

const LOSING: Faults = Faults {
    drop: 0.2,
    ..Faults::NONE
};

#[tokio::test(start_paused = true)]
async fn every_fault_does_what_it_says() {
    let network = Network::new(1);
    network.set_faults(LOSING);
    let arrived = arriving(&network, 500).await;
    assert!(arrived.is_sorted() && (350..450).contains(&arrived.len()));
    let dropped = network.fault_counts().dropped;
    assert_eq!(dropped, 500 - arrived.len() as u64);

    let network = Network::new(1);
    network.set_faults(Faults {
        repeat: 0.2,
        ..Faults::NONE
    });
    let mut arrived = arriving(&network, 500).await;
    assert_eq!(network.fault_counts().repeated, arrived.len() as u64 - 500);
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived.len(), 500);

    let network = Network::new(1);
    network.set_faults(Faults {
        reorder: 0.2,
        ..Faults::NONE
    });
    let mut arrived = arriving(&network, 500).await;
    let overtaken = arrived.windows(2).filter(|two| two[0] > two[1]).count();
    assert!(overtaken > 50, "{overtaken}");
    arrived.sort_unstable();
    assert!(arrived.into_iter().eq(0..500));

    let network = Network::new(1);
    network.set_faults(Faults {
        cut: 0.02,
        ..Faults::NONE
    });
    let arrived = arriving(&network, 500).await;
    assert!(arrived.len() < 300 && arrived.is_sorted());
    assert_eq!(network.fault_counts().cut, 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_has_the_same_faults() {
    let faults = Faults {
        drop: 0.1,
        repeat: 0.1,
        reorder: 0.1,
        cut: 0.001,
        delay: Duration::from_millis(1)..=Duration::from_millis(30),
        held_up: Duration::from_millis(50),
    };
    let mut outcomes = Vec::new();
    for seed in [1, 1, 2, 3] {
        let network = Network::new(seed);
        network.set_faults(faults.clone());
        let arrived = arriving(&network, 500).await;
        outcomes.push((arrived, network.fault_counts()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
    assert_ne!(outcomes[2], outcomes[3]);
}

#[tokio::test(start_paused = true)]
async fn directions_have_their_own_faults() {
    let network = Network::new(1);
    let all = Faults {
        drop: 1.0,
        ..Faults::NONE
    };
    network.set_faults_from(identity(1), identity(2), all);
    let [mut one, mut other] = connected(&network).await;
    send(&one, 1).unwrap();
    send(&other, 2).unwrap();
    assert_eq!(next(&mut one.receiver).await.unwrap().unwrap().1, [0, 2]);
    network.set_faults(Faults::NONE);
    send(&one, 3).unwrap();
    assert_eq!(next(&mut other.receiver).await.unwrap().unwrap().1, [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn faults_by_hand() {
    let network = Network::new(1);
    let [mut one, mut other] = connected(&network).await;
    // Between others.
    assert_eq!(network.cut(&identity(1), &identity(3)), 0);
    send(&one, 1).unwrap();
    network.partition(identity(1), identity(2));
    send(&one, 2).unwrap();
    let transport = memory(&network, 1);
    let begun = Instant::now();
    let awaited = transport.connect(identity(2), "2").await;
    assert!(matches!(awaited, Err(LinkError::TimedOut)));
    assert!(begun.elapsed() >= Duration::from_secs(10));
    network.heal(identity(1), identity(2));
    send(&one, 3).unwrap();
    for expected in [1, 3] {
        let (_, message) = next(&mut other.receiver).await.unwrap().unwrap();
        assert_eq!(message, [0, expected]);
    }
    // What is on its way when it is cut is lost.
    send(&one, 4).unwrap();
    assert_eq!(network.cut(&identity(2), &identity(1)), 1);
    for receiver in [&mut one.receiver, &mut other.receiver] {
        assert!(matches!(next(receiver).await, Err(LinkError::Io(_))));
    }
    assert_eq!(send(&one, 5), Err(SendError::NotConnected));
    assert_eq!(network.cut_all(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_is_not_reached() {
    let network = Network::new(1);
    let (one, other) = (memory(&network, 1), memory(&network, 2));
    let refused =
        |connected: &Result<Connection, LinkError>| matches!(connected, Err(LinkError::Io(_)));
    assert!(refused(&one.connect(identity(2), "nowhere").await));
    network.set_refusing(identity(2), true);
    assert!(refused(&one.connect(identity(2), "2").await));
    network.set_refusing(identity(2), false);
    let wrong = one.connect(identity(3), "2").await;
    assert!(matches!(wrong, Err(LinkError::WrongPeer { .. })));
    let ours = one.connect(identity(1), "1").await;
    assert!(matches!(ours, Err(LinkError::Ourselves)));
    assert!(one.connect(identity(2), "2").await.is_ok());
    // One who starts again takes over the address, and keeps it when the older one goes.
    let again = memory(&network, 2);
    drop(other);
    let (dialled, accepted) = tokio::join!(one.connect(identity(2), "2"), again.accept());
    assert!(dialled.is_ok() && accepted.is_ok());
    again.close();
    assert!(matches!(again.accept().await, Err(LinkError::Closed)));
    assert!(refused(&one.connect(identity(2), "2").await));
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept() {
    let network = Network::new(1);
    let config = MemoryConfig {
        max_message: 100,
        max_queued: 1000,
        connect_within: LONG,
    };
    let one = network.attach_with(identity(1), "1", config);
    let other = network.attach_with(identity(2), "2", config);
    let (dialled, accepted) = tokio::join!(one.connect(identity(2), "2"), other.accept());
    let (dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    let sender = &dialled.sender;
    let too_long = sender.send(FrameKind::Message, &[0; 101]);
    assert!(matches!(too_long, Err(SendError::TooLong { .. })));
    for _ in 0..10 {
        sender.send(FrameKind::Message, &[0; 100]).unwrap();
    }
    let full = sender.send(FrameKind::Message, &[0; 100]);
    assert_eq!(full, Err(SendError::Full { queued: 1010 }));
    next(&mut accepted.receiver).await.unwrap();
    sender.send(FrameKind::Message, &[0; 100]).unwrap();
    // What was sent before the end arrives.
    sender.close();
    for _ in 0..10 {
        assert!(next(&mut accepted.receiver).await.unwrap().is_some());
    }
    assert!(next(&mut accepted.receiver).await.unwrap().is_none());
}
