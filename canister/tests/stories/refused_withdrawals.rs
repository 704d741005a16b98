//! Refusals of withdrawals, and of questions that have not their form.

use crate::world::{ALICE, BOB, FEE, World, user};
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    Asset, ChannelRequest, EventsError, EventsRequest, QueryError, WithdrawError,
};
use serde_bytes::ByteBuf;

#[test]
fn a_withdrawal_goes_where_it_was_signed_for() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    for (asset, part) in [(0, ALICE), (0, BOB), (1, ALICE), (1, BOB)] {
        world.deposit_approved(&channel, asset, part, 100);
    }
    let other = world.funded(2, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100; 4], &[100; 4]))
        .unwrap();
    world
        .conclude(other.concluding(1, &[100; 2], &[100; 2]))
        .unwrap();
    let good = channel.withdrawing(0, ALICE, user(10));

    let wrong = Err(WithdrawError::WrongSignature);
    let mut redirected = good.clone();
    redirected.receiver = Account::from(user(66));
    assert_eq!(world.withdraw(redirected), wrong);
    let mut other_subaccount = good.clone();
    other_subaccount.receiver.subaccount = Some([1; 32]);
    assert_eq!(world.withdraw(other_subaccount), wrong);
    let mut for_other_channel = good.clone();
    for_other_channel.channel = other.id_bytes();
    assert_eq!(world.withdraw(for_other_channel), wrong);
    let mut for_other_part = good.clone();
    for_other_part.part = BOB as u8;
    assert_eq!(world.withdraw(for_other_part), wrong);
    let mut for_other_asset = good.clone();
    for_other_asset.asset = channel.asset(1);
    assert_eq!(world.withdraw(for_other_asset), wrong);

    // Replayed, it finds nothing more.
    world.withdraw(good.clone()).unwrap();
    assert_eq!(world.withdraw(good), Err(WithdrawError::NothingToWithdraw));
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
}

#[test]
fn a_withdrawal_has_its_form() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100; 2], &[100; 2]))
        .unwrap();
    let good = channel.withdrawing(0, ALICE, user(10));
    let mut short_signature = good.clone();
    short_signature.signature = ByteBuf::from([0; 63]);
    let reason = "a signature has 64 bytes, not 63".to_owned();
    assert_eq!(
        world.withdraw(short_signature),
        Err(WithdrawError::Malformed { reason })
    );
    let mut nobody = good.clone();
    nobody.part = 2;
    let error = WithdrawError::UnknownPart {
        part: 2,
        participants: 2,
    };
    assert_eq!(world.withdraw(nobody), Err(error));
    let mut unknown_asset = good;
    unknown_asset.asset = Asset::Icrc(user(1));
    assert_eq!(
        world.withdraw(unknown_asset),
        Err(WithdrawError::UnknownAsset)
    );
    let to_itself = channel.withdrawing(0, ALICE, world.adjudicator);
    assert_eq!(
        world.withdraw(to_itself),
        Err(WithdrawError::ReceiverIsAdjudicator)
    );
}

#[test]
fn a_remainder_not_above_the_fee_is_kept_and_named() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[FEE, 200 - FEE], &[100, 100]))
        .unwrap();
    let refused = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(
        refused,
        Err(WithdrawError::BelowFee {
            remainder: FEE,
            fee: FEE
        })
    );
    assert_eq!(
        world.holdings(&channel).unwrap().amounts,
        [[FEE, 200 - FEE]]
    );
}

#[test]
fn questions_have_their_form() {
    let mut world = World::new();
    let request = ChannelRequest {
        channel: ByteBuf::from([0; 33]),
    };
    assert_eq!(
        world.query_holdings(request),
        Err(QueryError::MalformedChannel { length: 33 })
    );
    let request = EventsRequest {
        channel: Some(ByteBuf::new()),
        start: 0,
        length: 1,
    };
    assert_eq!(
        world.query_events(request),
        Err(EventsError::MalformedChannel { length: 0 })
    );
}
