//! One or more of every message, from small numbers.

use perun_protocol::dispute::Rank;
use perun_protocol::remote::{
    DisputeNotice, ForceClose, Fund, Funded, RemoteCode, RemoteMessage, RemoteRejection,
    SignedReceiver, Time, UnverifiedStatus, UnverifiedView, Watch, WatchAck,
};
use perun_protocol::wire::Text;
use perun_protocol::{
    Account, Amount, AssetIdx, Balances, ChannelId, PartIdx, Signature, Signer, State, Timestamp,
    UnverifiedSignedState, Version,
};

use crate::world::{canister, params, secret_key};

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const LATER: Timestamp = Timestamp::from_nanos(1_700_003_600_000_000_000);
const PART: PartIdx = PartIdx::new(1);

/// The channel that all of them are about.
pub fn channel() -> ChannelId {
    params(1, 2).id()
}

fn table(amounts: &[u128]) -> Balances {
    Balances::new(2, amounts.iter().copied().map(Amount::new).collect()).unwrap()
}

fn signed(version: u64) -> UnverifiedSignedState {
    let (balances, funding) = (table(&[70, 30]), table(&[100, 0]));
    let state = State::new(channel(), Version::new(version), balances, funding).unwrap();
    let digest = state.digest();
    let signatures = [0, 1].map(|key| secret_key(key).sign(&digest));
    UnverifiedSignedState {
        signatures: signatures.to_vec(),
        state,
    }
}

fn ack(view: Option<UnverifiedView>, newer: Option<UnverifiedSignedState>) -> RemoteMessage {
    RemoteMessage::WatchAck(Box::new(WatchAck {
        channel: channel(),
        part: PART,
        version: Some(Version::new(1_000_000)),
        now: NOW,
        view,
        newer,
        kept: vec![],
    }))
}

fn view(status: UnverifiedStatus) -> Option<UnverifiedView> {
    Some(UnverifiedView { at: NOW, status })
}

/// What a watcher tells of a channel that it has seen so.
pub fn ack_of(status: UnverifiedStatus) -> RemoteMessage {
    ack(view(status), None)
}

/// What a device reads after each update of a channel of two ICP and some.
pub fn ordinary_ack() -> RemoteMessage {
    let holdings = table(&[200_000_000, 150_000_000]);
    ack_of(UnverifiedStatus::Open { holdings })
}

/// Every message with its name.
pub fn all() -> Vec<(&'static str, RemoteMessage)> {
    let watch = Watch {
        channel: channel(),
        part: PART,
        params: None,
        auths: vec![],
        newest: None,
        knows: None,
    };
    let receiver = SignedReceiver {
        receiver: Account {
            owner: canister(9),
            subaccount: [7; 32],
        },
        signature: Signature::from_bytes([0x51; 64]),
    };
    let registered = |rank, signed| UnverifiedStatus::Registered {
        rank,
        signed,
        timeout: LATER,
        holdings: table(&[100, 0]),
    };
    let rejection = RemoteRejection {
        channel: channel(),
        part: PART,
        about: 66,
        code: RemoteCode::UnknownChannel,
        text: Text::default(),
    };
    vec![
        (
            "Fund",
            RemoteMessage::Fund(Box::new(Fund {
                channel: channel(),
                part: PART,
                params: params(1, 2),
                initial: signed(0),
                fund_by: LATER,
            })),
        ),
        (
            "Funded",
            RemoteMessage::Funded(Funded {
                channel: channel(),
                part: PART,
            }),
        ),
        (
            "Watch that asks only",
            RemoteMessage::Watch(Box::new(watch.clone())),
        ),
        (
            "Watch with a state",
            RemoteMessage::Watch(Box::new(Watch {
                newest: Some(signed(17)),
                ..watch.clone()
            })),
        ),
        (
            "Watch with everything",
            RemoteMessage::Watch(Box::new(Watch {
                params: Some(params(1, 2)),
                auths: vec![receiver, receiver],
                newest: Some(signed(17)),
                knows: Some(Version::new(18)),
                ..watch
            })),
        ),
        ("WatchAck of an open channel", ordinary_ack()),
        ("WatchAck without a view", ack(None, None)),
        (
            "WatchAck of a registered state that is not known",
            ack(
                view(registered(Rank::State(Version::new(17)), Some(signed(17)))),
                Some(signed(18)),
            ),
        ),
        (
            "WatchAck of a registered state that is known",
            ack(view(registered(Rank::State(Version::new(17)), None)), None),
        ),
        (
            "WatchAck of a refund claim",
            ack(view(registered(Rank::Refund, None)), None),
        ),
        (
            "WatchAck of a concluded channel",
            ack(
                view(UnverifiedStatus::Concluded {
                    remainders: table(&[0, 30]),
                    in_flight: vec![Amount::new(70)],
                }),
                None,
            ),
        ),
        (
            "WatchAck of a concluded channel in which too little is left",
            RemoteMessage::WatchAck(Box::new(WatchAck {
                channel: channel(),
                part: PART,
                version: None,
                now: NOW,
                view: view(UnverifiedStatus::Concluded {
                    remainders: table(&[0, 3]),
                    in_flight: vec![Amount::ZERO],
                }),
                newer: None,
                kept: vec![AssetIdx::new(0)],
            })),
        ),
        (
            "ForceClose",
            RemoteMessage::ForceClose(Box::new(ForceClose {
                channel: channel(),
                part: PART,
                newest: Some(signed(17)),
            })),
        ),
        (
            "ForceClose without a state",
            RemoteMessage::ForceClose(Box::new(ForceClose {
                channel: channel(),
                part: PART,
                newest: None,
            })),
        ),
        (
            "DisputeNotice",
            RemoteMessage::DisputeNotice(DisputeNotice {
                channel: channel(),
                part: PART,
                registered: Rank::State(Version::new(3)),
                held: Version::new(17),
                timeout: LATER,
                now: NOW,
            }),
        ),
        (
            "DisputeNotice of a refund claim",
            RemoteMessage::DisputeNotice(DisputeNotice {
                channel: channel(),
                part: PART,
                registered: Rank::Refund,
                held: Version::new(0),
                timeout: LATER,
                now: NOW,
            }),
        ),
        (
            "RemoteRejection",
            RemoteMessage::RemoteRejection(rejection.clone()),
        ),
        (
            "RemoteRejection by a code of the future",
            RemoteMessage::RemoteRejection(RemoteRejection {
                code: RemoteCode::Other(4_711),
                text: Text::new("später"),
                ..rejection
            }),
        ),
        ("TimeRequest", RemoteMessage::TimeRequest),
        ("Time", RemoteMessage::Time(Time { now: NOW })),
        (
            "a message of the future",
            RemoteMessage::Unknown { kind: 4_711 },
        ),
    ]
}
