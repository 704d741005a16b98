//! What is sent is what Candid's own encoder sends, to the byte: answers, and calls of ledgers.

mod rules;

use candid::{CandidType, Nat, Principal};
use icrc_ledger_types::icrc1::account::Account;
use icrc_ledger_types::icrc1::transfer::{Memo, TransferArg, TransferError};
use icrc_ledger_types::icrc2::allowance::{Allowance, AllowanceArgs};
use icrc_ledger_types::icrc2::transfer_from::{TransferFromArgs, TransferFromError};
use icrc_ledger_types::icrc3::archive::GetArchivesArgs;
use icrc_ledger_types::icrc3::blocks::{GetBlocksRequest, ICRC3DataCertificate};
use icrc_ledger_types::icrc21::errors::{ErrorInfo, Icrc21Error};
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec,
};
use icrc_ledger_types::icrc21::responses::ConsentInfo;
use perun_canister::blocks::supported_types;
use perun_canister::consent::supported_standards;
use perun_canister::encoding::{Message, encode};
use perun_canister::http::HttpResponse;
use perun_canister::runway::SubnetSays;
use perun_canister_api::{
    ConcludeError, Conclusion, DepositError, DepositReceipt, DisputeError, DisputeManyError,
    DisputeResult, EventsRequest, LedgerRefusal, ParamsError, Rank, Registered, Runway,
    RunwayError, WithdrawError, WithdrawReceipt,
};
use rules::{ALICE, BOB, FEE, World, user};
use serde_bytes::ByteBuf;

#[track_caller]
fn same<T: Message + CandidType>(value: T) {
    let theirs = candid::encode_one(&value).unwrap();
    assert_eq!(encode(value), theirs);
}

#[test]
fn answers_of_a_channels_life() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 500);
    for part in [ALICE, BOB] {
        same(world.deposit(channel.by_approval(0, part, 100)));
    }
    same(world.deposit(channel.by_account(0, ALICE)));
    same(world.dispute(channel.refund_claim(ALICE)));
    same(world.dispute(channel.disputing(3, &[50, 150], &[100, 100])));
    same(world.dispute(channel.disputing(2, &[50, 150], &[100, 100])));
    same(world.conclude(channel.concluding_elapsed()));
    same(world.conclude(channel.concluding(4, &[60, 140], &[100, 100])));
    same(world.withdraw(channel.withdrawing(0, BOB, user(9))));
    same(world.withdraw(channel.withdrawing(0, BOB, user(9))));
    same(world.info());
    let request = |channel: ByteBuf| perun_canister_api::ChannelRequest { channel };
    same(world.query_holdings(request(channel.id_bytes())));
    same(world.query_holdings(request(ByteBuf::new())));
    for of in [None, Some(channel.id_bytes()), Some(ByteBuf::from([1]))] {
        same(world.query_events(EventsRequest {
            channel: of,
            start: 1,
            length: 100,
        }));
    }
    let ranges = [(0, 3), (5, 1)].map(|(start, length): (u64, u64)| GetBlocksRequest {
        start: Nat::from(start),
        length: Nat::from(length),
    });
    same(world.read(|adjudicator, _| adjudicator.blocks(&ranges)));
}

#[test]
fn answers_that_are_refusals() {
    let error = |error| Err::<DepositReceipt, DepositError>(error);
    let text = || "words of a ledger: ä→\n".to_owned();
    for refusal in [
        LedgerRefusal::BadFee { expected_fee: 300 },
        LedgerRefusal::InsufficientFunds { balance: u128::MAX },
        LedgerRefusal::InsufficientAllowance { allowance: 128 },
        LedgerRefusal::NotDelivered {
            code: 4,
            message: text(),
        },
    ] {
        same(error(DepositError::Refused(refusal.clone())));
        same(Err::<WithdrawReceipt, _>(WithdrawError::Refused(refusal)));
    }
    same(error(DepositError::LedgerUnavailable { message: text() }));
    same(error(DepositError::InvalidParams(
        ParamsError::ChallengeDuration {
            given_s: 1,
            min_s: u32::MAX,
            max_s: 77,
        },
    )));
    same(error(DepositError::Busy));
    same(error(DepositError::Pending { journal: u64::MAX }));
    same(Err::<Registered, _>(DisputeError::Outdated {
        registered: Rank::Refund,
        submitted: Rank::State(1 << 40),
    }));
    same(Err::<Conclusion, _>(ConcludeError::NotRegistered));
    let many: Vec<DisputeResult> = vec![Err(DisputeError::UnknownChannel); 2];
    same(Ok::<_, DisputeManyError>(many));
    same(Err::<Vec<DisputeResult>, _>(DisputeManyError::TooMany {
        given: 101,
        max: 100,
    }));
}

#[test]
fn answers_about_the_canister() {
    same(supported_types());
    same(supported_standards());
    let says = SubnetSays {
        balance_cycles: 1 << 70,
        idle_burn_per_day_cycles: 1 << 40,
        freezing_threshold_s: 30 * 86_400,
    };
    let mut world = World::new();
    same(Ok::<Runway, RunwayError>(
        world.read(|adjudicator, _| adjudicator.runway(says)),
    ));
    world.mutate(|adjudicator, now| {
        adjudicator.note_balance(now, 1 << 71);
        adjudicator.note_balance(now.saturating_add_nanos(1 << 50), 1 << 70);
    });
    let runway = world.read(|adjudicator, _| adjudicator.runway(says));
    assert!(runway.measured_burn_per_day_cycles.is_some());
    same(Ok::<Runway, RunwayError>(runway));
    same(HttpResponse {
        status_code: 404,
        headers: vec![("content-type".into(), "text/plain".into())],
        body: ByteBuf::from("not here"),
    });
    let why = ErrorInfo {
        description: "why".into(),
    };
    same(Err::<ConsentInfo, _>(Icrc21Error::UnsupportedCanisterCall(
        why,
    )));
}

/// Bytes that stand in the field of another crate's type.
#[test]
fn bytes_in_others_types() {
    same(ConsentMessageRequest {
        method: "deposit".into(),
        arg: vec![1, 2, 3],
        user_preferences: ConsentMessageSpec {
            metadata: ConsentMessageMetadata {
                language: "en".into(),
                utc_offset_minutes: Some(-60),
            },
            device_spec: None,
        },
    });
    same(Some(ICRC3DataCertificate {
        certificate: ByteBuf::from([4; 200]),
        hash_tree: ByteBuf::from([5; 3]),
    }));
}

#[test]
fn calls_of_ledgers() {
    let account = |subaccount| Account {
        owner: user(1),
        subaccount,
    };
    same(account(None));
    same(account(Some([7; 32])));
    same(AllowanceArgs {
        account: account(None),
        spender: account(Some([0; 32])),
    });
    same(Allowance {
        allowance: Nat::from(u128::MAX),
        expires_at: Some(u64::MAX),
    });
    same(TransferArg {
        from_subaccount: Some([1; 32]),
        to: account(None),
        fee: Some(Nat::from(FEE)),
        created_at_time: Some(1 << 60),
        memo: Some(Memo(ByteBuf::from([1, 2]))),
        amount: Nat::from(0_u8),
    });
    same(TransferFromArgs {
        spender_subaccount: None,
        from: account(None),
        to: account(Some([2; 32])),
        amount: Nat::from(127_u8),
        fee: None,
        memo: None,
        created_at_time: None,
    });
    same(Ok::<Nat, TransferError>(Nat::from(128_u8)));
    same(Err::<Nat, _>(TransferError::BadFee {
        expected_fee: Nat::from(16_384_u32),
    }));
    same(Err::<Nat, _>(TransferFromError::TooOld));
    same(GetArchivesArgs {
        from: Some(Principal::anonymous()),
    });
    same(Nat::from(u128::MAX));
}

#[test]
#[should_panic = "can be written"]
fn a_number_of_more_than_128_bits_is_never_sent() {
    encode(Nat::from(u128::MAX) + Nat::from(1_u8));
}
