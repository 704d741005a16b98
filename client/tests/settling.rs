//! Disputes, conclusions and payouts, with answers lost on the way.

mod world;

use std::time::Duration;

use local_ic::{Fault, Target, Until};
use perun_client::{CallError, ConcludeError, DisputeError, Door, Event, Phase, WithdrawError};
use perun_protocol::dispute::Rank;
use perun_protocol::{Timestamp, Version};
use world::{BOB, CHALLENGE_S, FEE, FIRST, Proxy, SECOND, World, account, table, units};

const CHALLENGE: Duration = Duration::from_secs(CHALLENGE_S.0 as u64 + 2);

#[tokio::test(flavor = "multi_thread")]
async fn a_final_state_concludes_and_pays() {
    let world = World::new().await;
    let channel = world.funded(1, [242, 194]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let last = channel.last(7, [200, 236], [242, 194]);
    for _ in 0..2 {
        let concluded = adjudicator
            .conclude_final(&channel.params, &last)
            .await
            .unwrap();
        assert_eq!(concluded.remainders, table([200, 236]));
    }
    for (part, share, receiver) in [(FIRST, 200, account(10)), (SECOND, 236, account(11))] {
        let auth = channel.authorise(part, receiver);
        let receipt = adjudicator.withdraw(&auth).await.unwrap();
        assert_eq!(
            (receipt.paid, receipt.fee),
            (units(share - FEE), units(FEE))
        );
        assert!(receipt.block.is_some());
        assert_eq!(world.balance(&receiver).await, share - FEE);
        let again = adjudicator.withdraw(&auth).await;
        assert!(matches!(
            again,
            Err(CallError::Refused(WithdrawError::NothingToWithdraw))
        ));
    }
    let holdings = adjudicator
        .holdings(&channel.params)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (holdings.phase, holdings.amounts),
        (Phase::Concluded, table([0, 0]))
    );
    assert_eq!(world.funds(&channel).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_state_is_refuted_and_the_newest_is_paid() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let params = &channel.params;
    assert_eq!(adjudicator.registered(params).await.unwrap(), None);
    let old = channel.signed(1, [45, 5], [20, 30]);
    let newest = channel.signed(2, [15, 35], [20, 30]);

    let registered = adjudicator.dispute(params, &old).await.unwrap();
    assert_eq!(registered.rank, Rank::State(Version::new(1)));
    assert!(!registered.concluded);
    let refuted = adjudicator.dispute(params, &newest).await.unwrap();
    assert_eq!(refuted.timeout, registered.timeout);
    assert_eq!(refuted.signed_state.as_ref(), Some(&newest));
    assert_eq!(
        adjudicator.registered(params).await.unwrap(),
        Some(refuted.clone())
    );

    // Claiming what stands already is no error; claiming what is older is.
    assert_eq!(adjudicator.dispute(params, &newest).await.unwrap(), refuted);
    let outdated = adjudicator.dispute(params, &old).await;
    assert!(matches!(
        outdated,
        Err(CallError::Refused(DisputeError::Outdated { .. }))
    ));
    let early = adjudicator.conclude(params).await;
    let Err(CallError::Refused(ConcludeError::ChallengeOpen { timeout_ns })) = early else {
        panic!("{early:?}");
    };
    assert_eq!(Timestamp::from_nanos(timeout_ns), refuted.timeout);
    let auth = channel.authorise(FIRST, account(10));
    let early = adjudicator.withdraw(&auth).await;
    assert!(matches!(
        early,
        Err(CallError::Refused(WithdrawError::ChallengeOpen { .. }))
    ));

    world.advance(CHALLENGE);
    let elapsed = adjudicator.dispute(params, &old).await;
    assert!(matches!(
        elapsed,
        Err(CallError::Refused(DisputeError::ChallengeElapsed { .. }))
    ));
    // Withdrawing concludes.
    let receipt = adjudicator.withdraw(&auth).await.unwrap();
    assert_eq!(receipt.paid, units(15 - FEE));
    let standing = adjudicator.dispute(params, &newest).await.unwrap();
    assert!(standing.concluded, "what stands is told after the end too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_the_story() {
    let world = World::new().await;
    let other = world.channel(2);
    world.deposit(&other, FIRST, 5, Door::Approval).await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let params = &channel.params;
    let signed = channel.signed(3, [25, 25], [20, 30]);
    adjudicator.dispute(params, &signed).await.unwrap();
    let last = channel.last(4, [15, 35], [20, 30]);
    adjudicator.conclude_final(params, &last).await.unwrap();
    let auth = channel.authorise(SECOND, account(11));
    adjudicator.withdraw(&auth).await.unwrap();

    let events = adjudicator.channel_events(params.id(), 0).await.unwrap();
    let indices: Vec<_> = events.iter().map(|record| record.index).collect();
    assert_eq!(
        indices,
        [1, 2, 3, 4, 5, 6],
        "the other channel's deposit was the first"
    );
    assert!(events.iter().all(|record| record.channel == params.id()));
    let Event::Deposited {
        amount, holding, ..
    } = events[0].event
    else {
        panic!("{:?}", events[0]);
    };
    assert_eq!((amount, holding), (units(20), units(20)));
    let Event::Registered(claimed) = &events[2].event else {
        panic!("{:?}", events[2]);
    };
    assert_eq!(claimed.digest, Some(signed.state().digest()));
    assert!(matches!(events[3].event, Event::Refuted(_)));
    let Event::Concluded { outcome } = &events[4].event else {
        panic!("{:?}", events[4]);
    };
    assert_eq!(*outcome, table([15, 35]));
    let Event::Withdrawn {
        receiver,
        paid,
        fee,
        ..
    } = events[5].event
    else {
        panic!("{:?}", events[5]);
    };
    assert_eq!(
        (receiver, paid, fee),
        (account(11), units(35 - FEE), units(FEE))
    );

    // Page by page it is the same.
    let mut pages = Vec::new();
    let mut next = 0;
    loop {
        let page = adjudicator
            .events(Some(params.id()), next, 2)
            .await
            .unwrap();
        assert!(page.events.len() <= 2);
        pages.extend(page.events);
        next = page.next;
        if next >= page.total {
            break;
        }
    }
    assert_eq!(pages, events);
    let all = adjudicator.events(None, 0, 100).await.unwrap();
    assert_eq!((all.events.len(), all.total), (7, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_whose_answers_are_lost_stand() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_at(proxy.url(), BOB).await;
    proxy.lose_answers("dispute", 1);
    let signed = channel.signed(3, [25, 25], [20, 30]);
    let registered = adjudicator.dispute(&channel.params, &signed).await.unwrap();
    assert_eq!(registered.rank, Rank::State(Version::new(3)));

    // A final state concludes at once, so that the repetition comes after the end.
    proxy.lose_answers("dispute", 1);
    let last = channel.last(4, [15, 35], [20, 30]);
    let registered = adjudicator.dispute(&channel.params, &last).await.unwrap();
    assert!(registered.concluded);
    assert_eq!(registered.signed_state.as_ref(), Some(&last));

    proxy.lose_answers("conclude", 1);
    let concluded = adjudicator
        .conclude_final(&channel.params, &last)
        .await
        .unwrap();
    assert_eq!(concluded.remainders, table([15, 35]));
    assert_eq!(proxy.lost(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_whose_answer_is_lost_is_told_from_the_log() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    let channel = world.funded(1, [242, 194]).await;
    let adjudicator = world.adjudicator_at(proxy.url(), BOB).await;
    let last = channel.last(7, [200, 236], [242, 194]);
    adjudicator
        .conclude_final(&channel.params, &last)
        .await
        .unwrap();
    proxy.lose_answers("withdraw", 1);
    let auth = channel.authorise(FIRST, account(10));
    let receipt = adjudicator.withdraw(&auth).await.unwrap();
    assert_eq!((receipt.paid, receipt.fee), (units(200 - FEE), units(FEE)));
    assert!(receipt.block.is_some());
    assert_eq!(world.balance(&account(10)).await, 200 - FEE);
    assert_eq!(proxy.lost(), 1);

    // An older payout is not taken for the answer to a new call.
    proxy.lose_answers("withdraw", 1);
    let again = adjudicator.withdraw(&auth).await;
    assert!(
        matches!(
            again,
            Err(CallError::Refused(WithdrawError::NothingToWithdraw))
        ),
        "{again:?}"
    );
    assert_eq!(proxy.lost(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_the_ledger_does_not_confirm_is_asked_for_again() {
    let world = World::new().await;
    let channel = world.funded(1, [242, 194]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let last = channel.last(7, [200, 236], [242, 194]);
    adjudicator
        .conclude_final(&channel.params, &last)
        .await
        .unwrap();
    let rule = world.fault(world.ledger_calls("icrc1_transfer"), Fault::LoseReply);
    let auth = channel.authorise(FIRST, account(10));
    let receipt = adjudicator.withdraw(&auth).await.unwrap();
    assert_eq!(world.fired(rule), 1);
    assert_eq!(receipt.paid, units(200 - FEE));
    assert_eq!(world.balance(&account(10)).await, 200 - FEE);
    assert_eq!(world.funds(&channel).await, 236);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_below_the_fee_is_named() {
    let world = World::new().await;
    let channel = world.funded(1, [242, 194]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let last = channel.last(7, [FEE, 436 - FEE], [242, 194]);
    adjudicator
        .conclude_final(&channel.params, &last)
        .await
        .unwrap();
    let refused = adjudicator
        .withdraw(&channel.authorise(FIRST, account(10)))
        .await;
    let expected = WithdrawError::BelowFee {
        remainder: FEE,
        fee: FEE,
    };
    assert!(matches!(refused, Err(CallError::Refused(refusal)) if refusal == expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_signed_state_the_deposits_come_back() {
    let world = World::new().await;
    let channel = world.channel(1);
    let adjudicator = world.adjudicator_for(BOB).await;
    let claim = channel.refund_claim(SECOND);
    let unknown = adjudicator.claim_refund(&channel.params, &claim).await;
    assert!(matches!(
        unknown,
        Err(CallError::Refused(DisputeError::UnknownChannel))
    ));
    world
        .deposit(&channel, SECOND, 194, Door::DepositAccount)
        .await;
    for _ in 0..2 {
        let registered = adjudicator
            .claim_refund(&channel.params, &claim)
            .await
            .unwrap();
        assert_eq!(
            (registered.rank, registered.signed_state),
            (Rank::Refund, None)
        );
    }
    world.advance(CHALLENGE);
    let concluded = adjudicator.conclude(&channel.params).await.unwrap();
    assert_eq!(concluded.remainders, table([0, 194]));
    let receipt = adjudicator
        .withdraw(&channel.authorise(SECOND, account(11)))
        .await;
    assert_eq!(receipt.unwrap().paid, units(194 - FEE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_held_up_finds_a_newer_one() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let target = Target::ingress().to(world.adjudicator).method("dispute");
    let rule = world.fault(target, Fault::DelayCall(Until::Released));
    let adjudicator = world.adjudicator_for(BOB).await;
    let old = channel.signed(1, [45, 5], [20, 30]);
    // The agent gives up on the first attempt, the second is registered.
    let registered = adjudicator.dispute(&channel.params, &old).await.unwrap();
    assert_eq!(world.fired(rule), 1);
    let newest = channel.signed(2, [15, 35], [20, 30]);
    adjudicator.dispute(&channel.params, &newest).await.unwrap();
    world.release(rule);
    world.advance(Duration::from_secs(2));
    let standing = adjudicator
        .registered(&channel.params)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(standing.rank, Rank::State(Version::new(2)));
    assert_eq!(standing.timeout, registered.timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deposit_account_told_is_the_one_computed() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let answer = adjudicator
        .deposit_account(&channel.params, FIRST, channel.asset(), units(500))
        .await
        .unwrap();
    let expected = perun_protocol::Account::of_deposit(&channel.params, FIRST);
    assert_eq!(answer.account, expected);
    assert_eq!((answer.amount, answer.fee), (units(500 + FEE), units(FEE)));
}
