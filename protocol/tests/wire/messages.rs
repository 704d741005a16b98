//! One or more of every message, from small numbers.

use perun_protocol::payment::{Batch, PAYMENT_APP, Payment};
use perun_protocol::wire::{
    Acceptance, Message, PaymentRequest, PaymentRequestRejection, Proposal, ProposalRejection,
    RejectCode, Sync, Terms, Text, TurnPass, TurnRequest, Update, UpdateAcceptance,
    UpdateRejection, Witness,
};
use perun_protocol::{
    Allocation, Amount, App, AssetIdx, Balances, ChallengeDuration, ChannelId, LockedKind, PartIdx,
    Signature, Signer, State, SubAllocation, Timestamp, UnverifiedSignedState, Version,
};

use crate::world::{adjudicator, assets, secret_key};

/// The channel that all of them are about.
pub fn channel() -> ChannelId {
    ChannelId::from_bytes([0xC4; 32])
}

fn amount(units: u128) -> Amount {
    Amount::new(units)
}

fn table(amounts: &[u128]) -> Balances {
    Balances::new(2, amounts.iter().copied().map(amount).collect()).unwrap()
}

fn terms() -> Terms {
    Terms {
        adjudicator: adjudicator(),
        assets: assets(1),
        challenge_duration: ChallengeDuration::from_secs(3_600).unwrap(),
        app: App::None,
        aux: [0; 32],
        balances: table(&[100_000_000, 0]),
        funding: table(&[100_000_000, 0]),
        fund_by: Timestamp::from_nanos(1_700_000_600_000_000_000),
    }
}

fn proposal(terms: Terms) -> Proposal {
    Proposal {
        terms,
        participant: secret_key(0).participant(),
        nonce_share: [0x5A; 32],
        expires_at: Timestamp::from_nanos(1_700_000_060_000_000_000),
    }
}

/// A state in which something is locked for another channel, and for a third one.
fn locked_state() -> State {
    let sub = |kind, id, units, map: &[u8]| SubAllocation {
        kind,
        id: ChannelId::from_bytes([id; 32]),
        amounts: vec![amount(units), amount(units + 1)],
        index_map: map.iter().copied().map(PartIdx::new).collect(),
    };
    let allocation = Allocation {
        balances: table(&[40, 50, 7, 2]),
        locked: vec![
            sub(LockedKind::Sub, 0x51, 5, &[1, 0]),
            sub(LockedKind::Virtual, 0x52, 1, &[]),
        ],
    };
    let (version, funding) = (Version::new(17), table(&[60, 36, 10, 7]));
    State::from_parts(
        channel(),
        version,
        allocation,
        funding,
        vec![1, 2, 3],
        false,
    )
    .unwrap()
}

fn signed(state: State, keys: &[usize]) -> UnverifiedSignedState {
    let digest = state.digest();
    let signatures = keys.iter().map(|key| secret_key(*key).sign(&digest));
    UnverifiedSignedState {
        signatures: signatures.collect(),
        state,
    }
}

/// A payment of one ICP and a half, with a memo or without.
fn payment(memo: Option<[u8; 32]>) -> Payment {
    Payment {
        asset: AssetIdx::new(0),
        amount: amount(150_000_000),
        memo,
    }
}

fn batch(payments: &[Payment]) -> Batch {
    let mut batch = Batch::new();
    for payment in payments {
        batch.push(payment, Batch::MAX_LENGTH).unwrap();
    }
    batch
}

fn signature(byte: u8) -> Signature {
    Signature::from_bytes([byte; 64])
}

/// The update of one ordinary payment: the millionth, in a channel that has been used for a while.
pub fn ordinary_update() -> Update {
    Update {
        channel: channel(),
        version: Version::new(1_000_000),
        skipped: 0,
        turn: 250_000,
        is_final: false,
        passes_turn: false,
        payments: batch(&[payment(None)]),
        signature: signature(0x51),
    }
}

/// What accepts it.
pub fn ordinary_acceptance() -> UpdateAcceptance {
    UpdateAcceptance {
        channel: channel(),
        version: Version::new(1_000_000),
        part: PartIdx::new(1),
        signature: signature(0x52),
        asks_turn: false,
    }
}

/// An update in which no field is left out.
fn full_update() -> Update {
    Update {
        version: Version::new(u64::MAX),
        skipped: 1 << 32,
        turn: u64::MAX,
        is_final: true,
        passes_turn: true,
        payments: batch(&[payment(Some([7; 32])), payment(None)]),
        ..ordinary_update()
    }
}

fn sync() -> Sync {
    Sync {
        channel: channel(),
        turn: 3,
        newest: signed(locked_state(), &[0, 1]),
        pending: None,
        witness: None,
        signed_through: None,
        wants_answer: false,
        offered: None,
    }
}

/// The longest sync about a channel of payments with so many assets, and `batch` bytes of payments.
pub fn longest_sync(assets: usize, batch: usize) -> Message {
    let balances = table(&vec![u128::MAX / 2; 2 * assets]);
    let funding = balances.clone();
    let (version, data) = (Version::new(u64::MAX), vec![0xFF; 40]);
    let allocation = Allocation {
        balances,
        locked: vec![],
    };
    let state = State::from_parts(channel(), version, allocation, funding, data, true).unwrap();
    let witness = |key| Witness {
        proposed: signed(state.clone(), &[key]),
    };
    // A payment of one unit takes two bytes, one of 256 three.
    let mut payments = Batch::new();
    while payments.as_bytes().len() < batch {
        let units = if batch - payments.as_bytes().len() == 3 {
            256
        } else {
            1
        };
        let payment = Payment {
            amount: amount(units),
            ..payment(None)
        };
        payments.push(&payment, batch).unwrap();
    }
    Message::Sync(Box::new(Sync {
        turn: u64::MAX,
        newest: signed(state.clone(), &[0, 1]),
        pending: Some(Update {
            skipped: u64::MAX,
            payments,
            ..full_update()
        }),
        witness: Some(witness(0)),
        signed_through: Some(Version::new(u64::MAX)),
        wants_answer: true,
        offered: Some(witness(1)),
        ..sync()
    }))
}

/// Every message with its name.
pub fn all() -> Vec<(&'static str, Message)> {
    let text = |text: &str| Text::new(text);
    let witness = |key| Witness {
        proposed: signed(locked_state(), &[key]),
    };
    let full_terms = Terms {
        assets: assets(2),
        app: PAYMENT_APP,
        aux: [0xA0; 32],
        balances: table(&[1, 2, 3, u128::MAX / 2]),
        funding: table(&[3, 0, u128::MAX / 2, 3]),
        ..terms()
    };
    vec![
        ("Proposal", Message::Proposal(Box::new(proposal(terms())))),
        (
            "Proposal with everything",
            Message::Proposal(Box::new(proposal(full_terms))),
        ),
        (
            "Acceptance",
            Message::Acceptance(Acceptance {
                proposal: proposal(terms()).id(),
                part: PartIdx::new(1),
                participant: secret_key(1).participant(),
                nonce_share: [0x5B; 32],
            }),
        ),
        (
            "ProposalRejection",
            Message::ProposalRejection(ProposalRejection {
                proposal: [0x99; 32],
                code: RejectCode::BadTerms,
                text: text("zu wenig für drei Wochen"),
            }),
        ),
        (
            "ProposalRejection without text, by a code of the future",
            Message::ProposalRejection(ProposalRejection {
                proposal: [0x99; 32],
                code: RejectCode::Other(4_711),
                text: Text::default(),
            }),
        ),
        ("Update", Message::Update(Box::new(ordinary_update()))),
        (
            "Update with everything",
            Message::Update(Box::new(full_update())),
        ),
        (
            "Update to a final state",
            Message::Update(Box::new(Update {
                is_final: true,
                payments: Batch::new(),
                ..ordinary_update()
            })),
        ),
        (
            "UpdateAcceptance",
            Message::UpdateAcceptance(ordinary_acceptance()),
        ),
        (
            "UpdateAcceptance that asks for the turn",
            Message::UpdateAcceptance(UpdateAcceptance {
                asks_turn: true,
                ..ordinary_acceptance()
            }),
        ),
        (
            "UpdateRejection",
            Message::UpdateRejection(UpdateRejection {
                channel: channel(),
                version: Version::new(5),
                code: RejectCode::WatchersLag,
                text: text("all three"),
            }),
        ),
        (
            "UpdateRejection without text",
            Message::UpdateRejection(UpdateRejection {
                channel: channel(),
                version: Version::new(5),
                code: RejectCode::Declined,
                text: Text::default(),
            }),
        ),
        ("Sync", Message::Sync(Box::new(sync()))),
        (
            "Sync with everything",
            Message::Sync(Box::new(Sync {
                pending: Some(full_update()),
                witness: Some(witness(0)),
                signed_through: Some(Version::new(18)),
                wants_answer: true,
                offered: Some(witness(1)),
                ..sync()
            })),
        ),
        (
            "TurnRequest",
            Message::TurnRequest(TurnRequest {
                channel: channel(),
                turn: 23,
            }),
        ),
        (
            "TurnPass",
            Message::TurnPass(TurnPass {
                channel: channel(),
                turn: 24,
            }),
        ),
        (
            "PaymentRequest",
            Message::PaymentRequest(PaymentRequest {
                channel: channel(),
                id: 256,
                asset: AssetIdx::new(0),
                amount: amount(u128::MAX),
                memo: text("two coffees"),
                expires_at: Timestamp::from_nanos(1_700_000_060_000_000_000),
            }),
        ),
        (
            "PaymentRequestRejection",
            Message::PaymentRequestRejection(PaymentRequestRejection {
                channel: channel(),
                id: 256,
                code: RejectCode::Declined,
                text: text("not thirsty"),
            }),
        ),
        ("a message of the future", Message::Unknown { kind: 4_711 }),
    ]
}
