//! Channels that not everybody deposits for: the money comes back.

use std::time::Duration;

use local_ic::{Fault, Target, Until};
use perun_client::Door;
use perun_client::channel::Channel;
use perun_client::client::OpenError;
use perun_client::events::ClientEvent;
use perun_protocol::channel::Event;
use perun_protocol::wire::RejectCode;

use crate::disputes::heal;
use crate::world::*;

/// A user without any tokens.
const POOR: u8 = 10;
/// Another one.
const POORER: u8 = 11;
/// When no deposit can come any more: six minutes after the last moment to deposit.
const GRACE: Duration = Duration::from_secs(6 * 60 + 2);

/// Proposes terms to somebody who accepts; both learn what becomes of it.
async fn attempt(
    one: &Person,
    other: &Person,
    within: Duration,
) -> [tokio::task::JoinHandle<Result<Channel, OpenError>>; 2] {
    one.connect(other);
    let mut terms = one.terms([1_000, 500]);
    // The answer has its time, too, and whatever it does not need is added.
    terms.answer_within = Duration::from_secs(10);
    terms.fund_within = within;
    let mut proposals = other.client.proposals();
    let (client, identity) = (one.client.clone(), other.identity());
    let proposing = tokio::spawn(async move { client.propose(&identity, terms).await });
    let proposal = soon("a proposal", proposals.next()).await.unwrap();
    [proposing, tokio::spawn(proposal.accept())]
}

async fn not_funded(opening: tokio::task::JoinHandle<Result<Channel, OpenError>>) -> Channel {
    match soon("the end of the opening", opening).await.unwrap() {
        Err(OpenError::NotFunded { channel }) => channel,
        other => panic!("{other:?}"),
    }
}

/// Waits until so much is held together for the only channel of somebody.
async fn held(world: &World, person: &Person, amount: u128) {
    until("a channel", || person.client.channels().len() == 1).await;
    let params = person.only_channel().params();
    let adjudicator = world.adjudicator_for(9).await;
    soon("deposits", async {
        loop {
            let holdings = adjudicator.holdings(&params).await.unwrap();
            let row = holdings.map(|holdings| holdings.amounts.rows().next().unwrap().to_vec());
            let sum: u128 = row.iter().flatten().map(|amount| amount.units()).sum();
            if sum == amount {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn what_one_deposited_comes_back_when_the_other_does_not() {
    story(async {
        let world = World::new().await;
        // Hasty, so that the poor one hears at once that he has too little.
        let alice = world.client(ALICE).await;
        let poor = world.user(POOR).hasty().start().await;
        let mut told = poor.client.events();
        let [ours, theirs] = attempt(&alice, &poor, Duration::from_secs(5)).await;
        hear(&mut told, "a deposit that fails", |event| {
            matches!(event, ClientEvent::CallFailed { .. }).then_some(())
        })
        .await;
        held(&world, &alice, 1_000).await;
        let mut at_alice = alice.only_channel().events();
        world.advance(Duration::from_secs(16));
        heard!(at_alice, Event::FundingTimedOut);
        heard!(at_alice, Event::Disputed { .. });
        let ours = not_funded(ours).await;
        let theirs = not_funded(theirs).await;
        world.advance(WINDOW);
        let closed = async { tokio::join!(ours.closed(), theirs.closed()) };
        let (ours, theirs) = soon("the payout", closed).await;
        assert_eq!(paid(&ours.unwrap()), 1_000 - FEE);
        assert_eq!(paid(&theirs.unwrap()), 0);
        assert_eq!(world.wealth(&alice).await, WEALTH - 3 * FEE);
    });
}

#[test]
fn a_channel_that_nobody_deposits_for_is_forgotten() {
    story(async {
        let world = World::new().await;
        let (poor, poorer) = (world.client(POOR).await, world.client(POORER).await);
        let openings = attempt(&poor, &poorer, Duration::from_secs(5)).await;
        until("both channels", || {
            [&poor, &poorer].map(|person| person.client.channels().len()) == [1, 1]
        })
        .await;
        world.advance(Duration::from_secs(16));
        world.advance(GRACE);
        for opening in openings {
            match soon("the end", opening).await.unwrap() {
                Err(OpenError::Abandoned(reason)) => assert_eq!(reason.code, RejectCode::TimedOut),
                other => panic!("{other:?}"),
            }
        }
        assert!(poor.client.channels().is_empty() && poorer.client.channels().is_empty());
    });
}

#[test]
fn a_deposit_that_comes_late_but_in_time_opens_the_channel() {
    story(async {
        let world = World::new().await;
        let (alice, poor) = (world.client(ALICE).await, world.client(POOR).await);
        let [ours, theirs] = attempt(&alice, &poor, Duration::from_secs(60)).await;
        held(&world, &alice, 1_000).await;
        // Anybody can deposit for anybody.
        let params = alice.only_channel().params();
        let friend = world.funder_for(5).await;
        let door = Door::DepositAccount;
        let deposit = friend.deposit(&params, SECOND, alice.ledger, units(500), door);
        soon("a deposit", deposit).await.unwrap();
        let opened = async { tokio::join!(ours, theirs) };
        let (ours, theirs) = soon("an open channel", opened).await;
        let (ours, theirs) = (ours.unwrap().unwrap(), theirs.unwrap().unwrap());
        pay(&theirs, 100).await;
        assert_eq!(close(&ours, &theirs).await, [1_100 - FEE, 400 - FEE]);
    });
}

#[test]
fn a_deposit_that_comes_too_late_stays_where_it_is() {
    story(async {
        let world = World::new().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        let deposits = Target::ingress().to(world.adjudicator).method("deposit");
        let late = deposits.from(user(BOB)).always();
        let rule = world.fault(late, Fault::DelayCall(Until::Released));
        let [ours, theirs] = attempt(&alice, &bob, Duration::from_secs(5)).await;
        held(&world, &alice, 1_000).await;
        until("a deposit on its way", || world.fired(rule) > 0).await;
        let mut at_alice = alice.only_channel().events();
        world.advance(Duration::from_secs(16));
        let ours = not_funded(ours).await;
        heard!(at_alice, Event::Disputed { .. });
        world.release(rule);
        heal(&world, vec![rule]);
        let theirs = not_funded(theirs).await;
        world.advance(WINDOW);
        let closed = async { tokio::join!(ours.closed(), theirs.closed()) };
        let (ours, theirs) = soon("the payout", closed).await;
        assert_eq!(paid(&ours.unwrap()), 1_000 - FEE);
        assert_eq!(paid(&theirs.unwrap()), 0);
        // Only the approval was paid for.
        assert_eq!(world.wealth(&bob).await, WEALTH - FEE);
    });
}

#[test]
fn a_deposit_that_is_interrupted_is_made_once() {
    story(async {
        let world = World::new().await;
        let proxy = Proxy::before(&world).await;
        let hasty = |number| world.user(number).through(&proxy).hasty();
        let alice = hasty(ALICE).start().await;
        let bob = hasty(BOB).with(|config| config.door = Door::DepositAccount);
        let bob = bob.start().await;
        // The caller does not learn that its call has run, nor the adjudicator that its has.
        proxy.lose_answers("deposit", 2);
        proxy.lose_answers("icrc2_approve", 1);
        proxy.lose_answers("icrc1_transfer", 1);
        let rules = ["icrc2_transfer_from", "icrc1_transfer"];
        let rules = rules.map(|method| world.fault(world.ledger_calls(method), Fault::LoseReply));
        let opening = attempt(&alice, &bob, Duration::from_secs(60)).await;
        let [ours, theirs] = opening.map(|opening| async { opening.await.unwrap().unwrap() });
        let opened = async { tokio::join!(ours, theirs) };
        let (ours, theirs) = soon("an open channel", opened).await;
        assert_eq!(rules.map(|rule| world.fired(rule)), [1, 1]);
        assert_eq!(proxy.lost(), 4);
        pay(&ours, 1).await;
        close(&ours, &theirs).await;
        assert_eq!(world.wealth(&alice).await, WEALTH - 1 - 3 * FEE);
        assert_eq!(world.wealth(&bob).await, WEALTH + 1 - 3 * FEE);
    });
}
