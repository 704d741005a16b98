//! Laws that hold for every message, and that nothing panics.

use perun_protocol::dispute::Rank;
use perun_protocol::remote::{
    DisputeNotice, ForceClose, Fund, Funded, RemoteCode, RemoteMessage, RemoteRejection,
    SignedReceiver, Time, UnverifiedStatus, UnverifiedView, Watch, WatchAck,
};
use perun_protocol::wire::Text;
use perun_protocol::{Amount, AssetIdx, Balances, PartIdx, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::messages;
use crate::strategies::{
    account, amount, channel, clip, params, shape, signature, signed_state, table, version,
};

fn part() -> impl Strategy<Value = PartIdx> {
    any::<u8>().prop_map(PartIdx::new)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_nanos)
}

fn rank() -> impl Strategy<Value = Rank> {
    option::of(version()).prop_map(|version| version.map_or(Rank::Refund, Rank::State))
}

fn balances() -> impl Strategy<Value = Balances> {
    let rows = shape().prop_flat_map(|(assets, parts)| vec(vec(amount(), parts), assets));
    rows.prop_map(|mut rows| {
        rows.iter_mut().for_each(|row| clip(row, u128::MAX));
        table(&rows)
    })
}

fn view() -> impl Strategy<Value = UnverifiedView> {
    let in_flight = vec(amount().prop_map(Amount::new), 0..9);
    let registered = (rank(), option::of(signed_state()), instant(), balances());
    let status = prop_oneof![
        balances().prop_map(|holdings| UnverifiedStatus::Open { holdings }),
        registered.prop_map(|(rank, signed, timeout, holdings)| {
            UnverifiedStatus::Registered {
                rank,
                signed,
                timeout,
                holdings,
            }
        }),
        (balances(), in_flight).prop_map(|(remainders, in_flight)| {
            UnverifiedStatus::Concluded {
                remainders,
                in_flight,
            }
        }),
    ];
    (instant(), status).prop_map(|(at, status)| UnverifiedView { at, status })
}

fn receiver() -> impl Strategy<Value = SignedReceiver> {
    (account(), signature()).prop_map(|(receiver, signature)| SignedReceiver {
        receiver,
        signature,
    })
}

fn message() -> impl Strategy<Value = RemoteMessage> {
    let of = || (channel(), part());
    prop_oneof![
        (of(), params(), signed_state(), instant()).prop_map(
            |((channel, part), params, initial, fund_by)| {
                RemoteMessage::Fund(Box::new(Fund {
                    channel,
                    part,
                    params,
                    initial,
                    fund_by,
                }))
            }
        ),
        instant().prop_map(|now| RemoteMessage::Time(Time { now })),
        of().prop_map(|(channel, part)| RemoteMessage::Funded(Funded { channel, part })),
        (
            of(),
            option::of(params()),
            vec(receiver(), 0..9),
            option::of(signed_state()),
            option::of(version())
        )
            .prop_map(|((channel, part), params, auths, newest, knows)| {
                RemoteMessage::Watch(Box::new(Watch {
                    channel,
                    part,
                    params,
                    auths,
                    newest,
                    knows,
                }))
            }),
        (
            of(),
            option::of(version()),
            instant(),
            option::of(view()),
            option::of(signed_state()),
            vec(any::<u8>().prop_map(AssetIdx::new), 0..3)
        )
            .prop_map(|((channel, part), version, now, view, newer, kept)| {
                RemoteMessage::WatchAck(Box::new(WatchAck {
                    channel,
                    part,
                    version,
                    now,
                    view,
                    newer,
                    kept,
                }))
            }),
        (of(), option::of(signed_state())).prop_map(|((channel, part), newest)| {
            RemoteMessage::ForceClose(Box::new(ForceClose {
                channel,
                part,
                newest,
            }))
        }),
        (of(), rank(), version(), instant(), instant()).prop_map(
            |((channel, part), registered, held, timeout, now)| {
                RemoteMessage::DisputeNotice(DisputeNotice {
                    channel,
                    part,
                    registered,
                    held,
                    timeout,
                    now,
                })
            }
        ),
        (of(), any::<u16>(), any::<u16>(), any::<String>()).prop_map(
            |((channel, part), about, code, text)| {
                RemoteMessage::RemoteRejection(RemoteRejection {
                    channel,
                    part,
                    about,
                    code: RemoteCode::from_number(code),
                    text: Text::new(&text),
                })
            }
        ),
    ]
}

/// Whatever it is: if it is a message, it is read back as it is written.
fn decode(bytes: &[u8]) {
    if let Ok(message) = RemoteMessage::decode(bytes) {
        let _ = message.channel();
        if !matches!(message, RemoteMessage::Unknown { .. }) {
            assert_eq!(RemoteMessage::decode(&message.encode()), Ok(message));
        }
    }
}

proptest! {
    #[test]
    fn every_message_is_read_as_it_was_written(message in message()) {
        prop_assert_eq!(RemoteMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn garbage_is_no_panic(kind in 60..80_u8, body in vec(any::<u8>(), 0..200)) {
        decode(&body);
        let framed: Vec<u8> = [0x82, 0x18, kind].into_iter().chain(body).collect();
        decode(&framed);
    }

    #[test]
    fn a_damaged_message_is_no_panic(
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let all = messages::all();
        let mut bytes = all[which.index(all.len())].1.encode();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        decode(&bytes);
    }
}
