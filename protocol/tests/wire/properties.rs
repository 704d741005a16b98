//! Laws that hold for every message.

use perun_protocol::payment::{Batch, Payment};
use perun_protocol::wire::{
    Acceptance, Message, PaymentRequest, PaymentRequestRejection, Proposal, ProposalRejection,
    RejectCode, Sync, Terms, Text, TurnPass, TurnRequest, Update, UpdateAcceptance,
    UpdateRejection, Witness,
};
use perun_protocol::{Amount, AssetIdx, PartIdx, Timestamp};
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::strategies::{
    amount, app, asset, channel, duration, participant, principal, shape, signature, signed_state,
    split, table, version,
};

fn batch() -> impl Strategy<Value = Batch> {
    let payment = (0..8_u8, amount(), option::of(uniform32(any::<u8>())));
    vec(payment, 0..6).prop_map(|payments| {
        let mut batch = Batch::new();
        for (asset, units, memo) in payments {
            let payment = Payment {
                asset: AssetIdx::new(asset),
                amount: Amount::new(units),
                memo,
            };
            // Nothing, and what would be too much, is left out.
            let _ = batch.push(&payment, Batch::MAX_LENGTH);
        }
        batch
    })
}

fn text() -> impl Strategy<Value = Text> {
    any::<String>().prop_map(|text| Text::new(&text))
}

fn code() -> impl Strategy<Value = RejectCode> {
    any::<u16>().prop_map(RejectCode::from_number)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_nanos)
}

fn terms() -> impl Strategy<Value = Terms> {
    let tables = shape().prop_flat_map(|(assets, parts)| {
        let rows = vec(
            (amount(), vec(amount(), parts - 1), vec(amount(), parts - 1)),
            assets,
        );
        rows.prop_map(|rows| {
            let totals: Vec<u128> = rows.iter().map(|(total, _, _)| *total).collect();
            let of = |cuts: Vec<&Vec<u128>>| {
                let rows = totals.iter().zip(cuts);
                table(
                    &rows
                        .map(|(total, cuts)| split(*total, cuts))
                        .collect::<Vec<_>>(),
                )
            };
            let balances = of(rows.iter().map(|(_, cuts, _)| cuts).collect());
            let funding = of(rows.iter().map(|(_, _, cuts)| cuts).collect());
            (balances, funding)
        })
    });
    let rest = (
        principal(),
        vec(asset(), 0..8),
        duration(),
        app(),
        uniform32(any::<u8>()),
    );
    (tables, rest, instant()).prop_map(|((balances, funding), rest, fund_by)| {
        let (adjudicator, assets, challenge_duration, app, aux) = rest;
        Terms {
            adjudicator,
            assets,
            challenge_duration,
            app,
            aux,
            balances,
            funding,
            fund_by,
        }
    })
}

fn update() -> impl Strategy<Value = Update> {
    let flags = (any::<bool>(), any::<bool>());
    let numbers = (any::<u64>(), any::<u64>());
    (channel(), version(), numbers, flags, batch(), signature()).prop_map(
        |(channel, version, (skipped, turn), (is_final, passes_turn), payments, signature)| {
            Update {
                channel,
                version,
                skipped,
                turn,
                is_final,
                passes_turn,
                payments,
                signature,
            }
        },
    )
}

fn witness() -> impl Strategy<Value = Witness> {
    signed_state().prop_map(|proposed| Witness { proposed })
}

fn sync() -> impl Strategy<Value = Sync> {
    let heads = (
        channel(),
        any::<u64>(),
        signed_state(),
        option::of(update()),
    );
    let tails = (option::of(version()), any::<bool>());
    (heads, option::of(witness()), option::of(witness()), tails).prop_map(
        |((channel, turn, newest, pending), witness, offered, (signed_through, wants_answer))| {
            Sync {
                channel,
                turn,
                newest,
                pending,
                witness,
                signed_through,
                wants_answer,
                offered,
            }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = || uniform32(any::<u8>());
    let part = || any::<u8>().prop_map(PartIdx::new);
    prop_oneof![
        (terms(), participant(), bytes(), instant()).prop_map(
            |(terms, participant, nonce_share, expires_at)| {
                Message::Proposal(Box::new(Proposal {
                    terms,
                    participant,
                    nonce_share,
                    expires_at,
                }))
            }
        ),
        (bytes(), part(), participant(), bytes()).prop_map(
            |(proposal, part, participant, nonce_share)| {
                Message::Acceptance(Acceptance {
                    proposal,
                    part,
                    participant,
                    nonce_share,
                })
            }
        ),
        (bytes(), code(), text()).prop_map(|(proposal, code, text)| {
            Message::ProposalRejection(ProposalRejection {
                proposal,
                code,
                text,
            })
        }),
        update().prop_map(|update| Message::Update(Box::new(update))),
        (channel(), version(), part(), signature(), any::<bool>()).prop_map(
            |(channel, version, part, signature, asks_turn)| {
                Message::UpdateAcceptance(UpdateAcceptance {
                    channel,
                    version,
                    part,
                    signature,
                    asks_turn,
                })
            }
        ),
        (channel(), version(), code(), text()).prop_map(|(channel, version, code, text)| {
            Message::UpdateRejection(UpdateRejection {
                channel,
                version,
                code,
                text,
            })
        }),
        sync().prop_map(|sync| Message::Sync(Box::new(sync))),
        (channel(), any::<u64>())
            .prop_map(|(channel, turn)| Message::TurnRequest(TurnRequest { channel, turn })),
        (channel(), any::<u64>())
            .prop_map(|(channel, turn)| Message::TurnPass(TurnPass { channel, turn })),
        (
            channel(),
            any::<u64>(),
            0..8_u8,
            amount(),
            text(),
            instant()
        )
            .prop_map(|(channel, id, asset, units, memo, expires_at)| {
                Message::PaymentRequest(PaymentRequest {
                    channel,
                    id,
                    asset: AssetIdx::new(asset),
                    amount: Amount::new(units),
                    memo,
                    expires_at,
                })
            }),
        (channel(), any::<u64>(), code(), text()).prop_map(|(channel, id, code, text)| {
            Message::PaymentRequestRejection(PaymentRequestRejection {
                channel,
                id,
                code,
                text,
            })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_encoded_decodes_to_the_same(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_changed_byte_never_panics_and_what_it_makes_is_stable(
        message in message(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = message.encode();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(other) = Message::decode(&bytes)
            && !matches!(other, Message::Unknown { .. })
        {
            prop_assert_eq!(Message::decode(&other.encode()), Ok(other));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&bytes);
        let framed = [&[0x82, bytes.first().copied().unwrap_or(0) % 12], &bytes[..]].concat();
        let _ = Message::decode(&framed);
    }
}
