//! What people read: every error and code has words of its own, and names what it is about.

use std::collections::BTreeSet;

use perun_protocol::channel::{CommandError, PayError, PeerMisbehaved, RestoreError};
use perun_protocol::payment::{BatchError, BatchFull, HistoryError, TallyError};
use perun_protocol::remote::{RemoteCode, ViewError};
use perun_protocol::wire::{MAX_TEXT_LENGTH, ProposalError, Reason, RejectCode, Text};
use perun_protocol::{
    Amount, AssetIdx, ChannelId, ParamsError, PartIdx, SignedStateError, StateError, Timestamp,
    Version,
};

/// Each text says something that the others do not, and has these words in it.
#[track_caller]
fn tells_apart(said: &[(&dyn ToString, &[&str])]) {
    let mut known = BTreeSet::new();
    for (error, words) in said {
        let text = error.to_string();
        assert!(!text.is_empty());
        for word in *words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
        assert!(known.insert(text.clone()), "said twice: {text}");
    }
}

#[test]
fn what_a_peer_did_wrong() {
    let (part, asset) = (PartIdx::new(1), AssetIdx::new(3));
    let version = Version::new(41);
    let (has, pays) = (Amount::new(17), Amount::new(18));
    tells_apart(&[
        (
            &PeerMisbehaved::WrongSignature { part, version },
            &["1", "41"],
        ),
        (&PeerMisbehaved::WrongPart { part }, &["1"]),
        (
            &PeerMisbehaved::Overdrawn { asset, has, pays },
            &["3", "17", "18"],
        ),
        (&PeerMisbehaved::UnknownAsset, &[]),
        (&PeerMisbehaved::UpdateAfterFinal, &[]),
        (&PeerMisbehaved::EmptyUpdate { version }, &["41"]),
        (
            &PeerMisbehaved::VersionTooFar {
                current: version,
                proposed: Version::new(99),
            },
            &["41", "99"],
        ),
        (
            &PeerMisbehaved::TurnTooFar {
                current: 23,
                claimed: 77,
            },
            &["23", "77"],
        ),
        (&PeerMisbehaved::WrongState, &[]),
        (&PeerMisbehaved::OutOfPlace, &[]),
    ]);
}

#[test]
fn why_a_command_is_not_taken() {
    let asset = AssetIdx::new(3);
    let (available, amount) = (Amount::new(17), Amount::new(18));
    let deadline = Timestamp::from_nanos(77);
    let version = Version::new(41);
    tells_apart(&[
        (&PayError::NotOpen, &[]),
        (&PayError::Closing, &[]),
        (
            &PayError::InsufficientBalance {
                asset,
                available,
                amount,
            },
            &["3", "17", "18"],
        ),
        (&PayError::QueueFull { queued: 99 }, &["99"]),
        (&PayError::Invalid(BatchFull::Length { limit: 55 }), &["55"]),
        (
            &PayError::Invalid(BatchFull::SumOverflow { asset }),
            &["3", "128"],
        ),
        (&PayError::Invalid(BatchFull::Nothing), &[]),
        (
            &PayError::Invalid(BatchFull::UnknownAsset { asset }),
            &["3"],
        ),
    ]);
    tells_apart(&[
        (&CommandError::NotOpen, &[]),
        (&CommandError::Closing, &[]),
        (&CommandError::NotOffered { version }, &["41"]),
        (&CommandError::UnknownAsset { asset }, &["3"]),
        (&CommandError::Nothing, &[]),
        (&CommandError::TooLate { deadline }, &["77"]),
        (&CommandError::NoLink, &[]),
    ]);
    tells_apart(&[
        (&RestoreError::Malformed, &[]),
        (&RestoreError::WrongState, &[]),
        (&RestoreError::PendingPayments { version }, &["41"]),
        (&RestoreError::WrongKey, &[]),
    ]);
}

#[test]
fn why_bytes_or_words_are_not_believed() {
    let (part, asset) = (PartIdx::new(1), AssetIdx::new(3));
    let version = Version::new(41);
    let [expected, found] = [0xAB, 0xCD].map(|byte| ChannelId::from_bytes([byte; 32]));
    let rank = perun_protocol::dispute::Rank::State(version);
    let signed = SignedStateError::WrongChannel { expected, found };
    tells_apart(&[
        (&BatchError::TooLong { length: 99 }, &["99"]),
        (&BatchError::UnexpectedEnd { offset: 55 }, &["55"]),
        (&BatchError::LeadingZero { offset: 55 }, &["55"]),
        (&BatchError::SumOverflow { asset }, &["3", "128"]),
        (&TallyError { length: 23 }, &["23", "40"]),
        (&HistoryError::NoPaymentApp, &[]),
        (
            &HistoryError::WrongChannel { expected, found },
            &["abab", "cdcd"],
        ),
        (
            &HistoryError::Count {
                expected: 17,
                found: 18,
            },
            &["17", "18"],
        ),
        (&HistoryError::Hash, &[]),
        (&HistoryError::WrongShape, &[]),
        (&HistoryError::Order { version }, &["41"]),
        (&HistoryError::Balance { asset, part }, &["3", "1"]),
        (&ViewError::WrongShape, &[]),
        (&ViewError::WrongState { rank }, &["41"]),
        (&ViewError::Signed(signed), &["abab", "cdcd"]),
        (&ProposalError::WrongProposal, &[]),
        (
            &ProposalError::WrongPart {
                part: PartIdx::new(7),
            },
            &["7"],
        ),
        (
            &ProposalError::Params(ParamsError::DuplicateAsset { index: asset }),
            &["3"],
        ),
        (
            &ProposalError::State(StateError::FundingShape),
            &["funding"],
        ),
        (&ProposalError::WrongShape, &[]),
    ]);
    // What stands for another error says what that says.
    let tally = TallyError { length: 23 };
    assert_eq!(HistoryError::Tally(tally).to_string(), tally.to_string());
}

#[test]
fn codes() {
    let rejects = (0..20).map(|number| RejectCode::from_number(number).to_string());
    assert_eq!(rejects.collect::<BTreeSet<_>>().len(), 20);
    let remote = (0..20).map(|number| RemoteCode::from_number(number).to_string());
    assert_eq!(remote.collect::<BTreeSet<_>>().len(), 20);
    assert!(RejectCode::Other(4_711).to_string().contains("4711"));
    assert!(RemoteCode::Other(4_711).to_string().contains("4711"));
    assert_eq!(Timestamp::from_nanos(77).to_string(), "77 ns");
}

#[test]
fn what_a_stranger_writes_is_kept_quoted_and_on_one_line() {
    let text = Text::new("no\n\"thanks\"");
    assert_eq!(text.as_str(), "no\n\"thanks\"");
    let reason = Reason {
        code: RejectCode::Busy,
        text,
    };
    assert_eq!(reason.to_string(), r#"busy ("no\n\"thanks\"")"#);
    assert_eq!(Reason::new(RejectCode::Busy, "").to_string(), "busy");
    let longest = "x".repeat(MAX_TEXT_LENGTH);
    assert_eq!(Text::new(&longest).as_str(), longest);
    assert_eq!(Text::new(&(longest.clone() + "y")).as_str(), longest);
}
