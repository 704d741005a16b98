//! Old states that are registered, peers that are gone or do not want to, and an adjudicator that
//! does not answer.

use std::time::Duration;

use candid::encode_one;
use local_ic::{Fault, RejectCode, RuleId, Target};
use perun_canister_api::UpgradeArgs;
use perun_client::channel::Channel;
use perun_client::events::ClientEvent;
use perun_protocol::channel::Event;
use perun_protocol::dispute::Rank;
use perun_protocol::{SignedState, Version};

use crate::world::*;

/// Alice has 1000 and Bob 500; then Alice pays 200, and Bob 100. Returns the state in between.
pub async fn with_history(ours: &Channel, theirs: &Channel) -> SignedState {
    pay(ours, 200).await;
    let between = ours.newest().unwrap();
    pay(theirs, 100).await;
    between
}

/// Registers a state, in the name of anybody.
pub async fn register(world: &World, channel: &Channel, signed: &SignedState) {
    let adjudicator = world.adjudicator_for(9).await;
    let params = channel.params();
    let registered = adjudicator.dispute(&params, signed);
    soon("a registration", registered).await.unwrap();
}

/// What everybody must be told of a registration.
pub async fn disputed(events: &mut perun_client::events::Events) -> (Rank, Version) {
    heard!(*events, Event::Disputed { registered, newest, .. } => (*registered, *newest))
}

/// Turns away all disputes of these users, until it is healed.
pub fn no_disputes(world: &World, users: &[u8]) -> Vec<RuleId> {
    let rule = |number: &u8| {
        let disputes = Target::ingress().to(world.adjudicator).method("dispute");
        world.fault(
            disputes.from(user(*number)).always(),
            Fault::RejectBefore {
                code: RejectCode::SysTransient,
                message: "on purpose".into(),
            },
        )
    };
    users.iter().map(rule).collect()
}

pub fn heal(world: &World, rules: Vec<RuleId>) {
    for rule in rules {
        world.server.with(|replica| replica.faults().remove(rule));
    }
}

/// Waits for the end of a channel while other things happen.
pub fn in_background<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    channel: &Channel,
    order: impl FnOnce(Channel) -> F,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(order(channel.clone()))
}

/// Waits until this version stands.
pub async fn refuted(world: &World, channel: &Channel, version: Version) {
    let adjudicator = world.adjudicator_for(9).await;
    let params = channel.params();
    soon("the refutation", async {
        loop {
            let registered = adjudicator.registered(&params).await.unwrap();
            if registered.is_some_and(|registered| registered.rank == Rank::State(version)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Waits until both are paid, the window being over.
pub async fn paid_out(world: &World, ours: &Channel, theirs: &Channel) -> [u128; 2] {
    world.advance(WINDOW);
    let closed = async { tokio::join!(ours.closed(), theirs.closed()) };
    let (ours, theirs) = soon("the payouts", closed).await;
    [ours, theirs].map(|closing| paid(&closing.unwrap()))
}

#[test]
fn an_old_state_is_refuted_and_the_newest_is_paid() {
    story(async {
        let world = World::new().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        // The state that is registered is good for the one in one channel, and for the other in
        // the other.
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let old = ours.newest().unwrap();
        let between = with_history(&ours, &theirs).await;
        let (also_ours, also_theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let also_between = with_history(&also_ours, &also_theirs).await;
        let newest = ours.newest().unwrap().version();
        let mut told = [
            ours.events(),
            theirs.events(),
            also_ours.events(),
            also_theirs.events(),
        ];
        register(&world, &ours, &old).await;
        register(&world, &also_ours, &also_between).await;
        for (events, rank) in told
            .iter_mut()
            .zip([old.version(); 2].into_iter().chain([between.version(); 2]))
        {
            // Whoever looks late finds the other's refutation.
            let (registered, known) = disputed(events).await;
            assert!([Rank::State(rank), Rank::State(newest)].contains(&registered));
            assert_eq!(known, newest);
        }
        refuted(&world, &ours, newest).await;
        refuted(&world, &also_ours, newest).await;
        let unpaid = ours.pay(units(1)).await;
        assert!(unpaid.is_err());
        let expected = [900 - FEE, 600 - FEE];
        assert_eq!(paid_out(&world, &ours, &theirs).await, expected);
        assert_eq!(paid_out(&world, &also_ours, &also_theirs).await, expected);
    });
}

#[test]
fn either_side_refutes_alone() {
    story(async {
        let world = World::new().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        for is_alice_alone in [true, false] {
            let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
            let old = ours.newest().unwrap();
            with_history(&ours, &theirs).await;
            let (blocked, alone) = if is_alice_alone {
                (BOB, &ours)
            } else {
                (ALICE, &theirs)
            };
            let rules = no_disputes(&world, &[blocked]);
            register(&world, &ours, &old).await;
            refuted(&world, &ours, alone.newest().unwrap().version()).await;
            heal(&world, rules);
            assert_eq!(
                paid_out(&world, &ours, &theirs).await,
                [900 - FEE, 600 - FEE]
            );
        }
    });
}

#[test]
fn without_the_peer_the_newest_state_is_registered() {
    story(async {
        let world = World::new().await;
        let alice = world.client(ALICE).await;
        let bob = world.user(BOB).start_mortal().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        with_history(&ours, &theirs).await;
        bob.kill().await;
        let mut events = ours.events();
        let closing = in_background(&ours, |channel| async move { channel.force_close().await });
        let newest = ours.newest().unwrap().version();
        assert_eq!(disputed(&mut events).await, (Rank::State(newest), newest));
        world.advance(WINDOW);
        let closing = soon("the payout", closing).await.unwrap().unwrap();
        assert_eq!(paid(&closing), 900 - FEE);
    });
}

#[test]
fn a_peer_that_says_no_to_closing_is_done_without() {
    story(async {
        let world = World::new().await;
        let asked = |config: &mut perun_client::client::Config| {
            config.decide_within = Some(Duration::from_secs(20));
        };
        let hurried = |config: &mut perun_client::client::Config| {
            config.close_within = Duration::from_secs(1);
        };
        let alice = world.user(ALICE).with(hurried).start().await;
        let bob = world.user(BOB).with(asked).start().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let (also_ours, also_theirs) = alice.open_with(&bob, [1_000, 500]).await;

        // It says no.
        let (mut at_alice, mut at_bob) = (ours.events(), theirs.events());
        let closing = in_background(&ours, |channel| async move { channel.close().await });
        let version = heard!(at_bob, Event::Offered { version, is_final: true, .. } => *version);
        theirs.reject_update(version, "not yet").unwrap();
        let reason = heard!(at_alice, Event::CloseRefused { reason } => reason.clone());
        assert_eq!(reason.unwrap().text.as_str(), "not yet");
        let newest = Version::INITIAL;
        assert_eq!(disputed(&mut at_alice).await, (Rank::State(newest), newest));

        // It says nothing.
        let mut at_alice = also_ours.events();
        let also_closing =
            in_background(&also_ours, |channel| async move { channel.close().await });
        let reason = heard!(at_alice, Event::CloseRefused { reason } => reason.clone());
        assert_eq!(reason, None);
        assert_eq!(disputed(&mut at_alice).await, (Rank::State(newest), newest));
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [1_000 - FEE, 500 - FEE]
        );
        assert_eq!(
            paid_out(&world, &also_ours, &also_theirs).await,
            [1_000 - FEE, 500 - FEE]
        );
        for closing in [closing, also_closing] {
            assert_eq!(
                paid(&soon("the end", closing).await.unwrap().unwrap()),
                1_000 - FEE
            );
        }
    });
}

#[test]
fn an_owner_who_never_decides_can_still_leave() {
    story(async {
        let world = World::new().await;
        let alice = world.client(ALICE).await;
        let bob = world.user(BOB).with(|config| {
            config.decide_within = Some(Duration::from_secs(3_600));
            config.close_within = Duration::from_secs(1);
        });
        let bob = bob.start().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let mut at_bob = theirs.events();
        let payment = perun_protocol::payment::Payment {
            asset: perun_protocol::AssetIdx::new(0),
            amount: units(100),
            memo: None,
        };
        let unanswered = ours.queue(&payment).unwrap();
        heard!(at_bob, Event::Offered { .. });
        // Nothing is locked meanwhile.
        assert_eq!(
            (theirs.balance(), ours.secured()),
            (vec![units(500)], vec![units(900)])
        );
        let closing = in_background(&theirs, |channel| async move { channel.close().await });
        heard!(at_bob, Event::CloseRefused { reason: None });
        heard!(at_bob, Event::Disputed { .. });
        assert!(soon("the refusal", unanswered).await.is_err());
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [1_000 - FEE, 500 - FEE]
        );
        soon("the end", closing).await.unwrap().unwrap();
    });
}

#[test]
fn refuting_is_tried_until_it_succeeds_and_half_of_the_time_is_warned_of() {
    story(async {
        let world = World::new().await;
        let proxy = Proxy::before(&world).await;
        let alice = world.user(ALICE).through(&proxy).hasty().start().await;
        let bob = world.user(BOB).start_mortal().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let old = ours.newest().unwrap();
        with_history(&ours, &theirs).await;
        bob.kill().await;
        proxy.lose_calls("dispute", usize::MAX);
        let (mut of_channel, mut of_client) = (ours.events(), alice.client.events());
        register(&world, &ours, &old).await;
        disputed(&mut of_channel).await;
        for _ in 0..2 {
            let failed = |event: &ClientEvent| matches!(event, ClientEvent::CallFailed { .. });
            hear(&mut of_client, "a call that failed", |event| {
                failed(event).then_some(())
            })
            .await;
        }
        let early = world.time();
        world.advance(WINDOW / 2);
        let newest = ours.newest().unwrap().version();
        let timeout = heard!(
            of_channel,
            Event::RefutationLate { registered, newest: known, timeout }
                if *registered == Rank::State(old.version()) && *known == newest => *timeout
        );
        assert!(timeout > early && timeout > world.time());
        assert!(proxy.lost() >= 2);
        proxy.heal();
        refuted(&world, &ours, newest).await;
        world.advance(WINDOW / 2);
        let closing = soon("the payout", ours.closed()).await.unwrap();
        assert_eq!(paid(&closing), 900 - FEE);
    });
}

#[test]
fn lost_answers_of_the_adjudicator_change_nothing() {
    story(async {
        let world = World::new().await;
        let proxy = Proxy::before(&world).await;
        let alice = world.user(ALICE).through(&proxy).hasty().start().await;
        let bob = world.user(BOB).through(&proxy).start().await;
        for method in ["deposit", "dispute", "withdraw", "icrc2_approve"] {
            proxy.lose_answers(method, 2);
        }
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let old = ours.newest().unwrap();
        with_history(&ours, &theirs).await;
        register(&world, &ours, &old).await;
        refuted(&world, &ours, ours.newest().unwrap().version()).await;
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [900 - FEE, 600 - FEE]
        );
        assert!(proxy.lost() >= 6, "{}", proxy.lost());
        assert_eq!(world.wealth(&alice).await, WEALTH - 100 - 3 * FEE);
        assert_eq!(world.wealth(&bob).await, WEALTH + 100 - 3 * FEE);
    });
}

#[test]
fn who_was_away_while_it_was_registered_refutes_when_he_is_back() {
    story(async {
        let world = World::new().await;
        let bob = world.client(BOB).await;
        let store = std::sync::Arc::new(perun_client::store::MemoryStore::new());
        let alice = world.user(ALICE).on(store.clone()).start_mortal().await;
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let old = ours.newest().unwrap();
        with_history(&ours, &theirs).await;
        let newest = ours.newest().unwrap().version();
        alice.kill().await;
        let rules = no_disputes(&world, &[BOB]);
        register(&world, &theirs, &old).await;
        world.advance(WINDOW / 2);
        let store = std::sync::Arc::new(store.durable_copy());
        let alice = world.user(ALICE).on(store).start().await;
        refuted(&world, &theirs, newest).await;
        let ours = alice.only_channel();
        heal(&world, rules);
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [900 - FEE, 600 - FEE]
        );
    });
}

#[test]
fn an_upgrade_and_a_stop_of_the_adjudicator_in_the_middle_lose_nothing() {
    story(async {
        let world = World::new().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
        let old = ours.newest().unwrap();
        with_history(&ours, &theirs).await;
        let newest = ours.newest().unwrap().version();
        let rules = no_disputes(&world, &[ALICE, BOB]);
        let mut events = ours.events();
        register(&world, &ours, &old).await;
        disputed(&mut events).await;
        let adjudicator = world.adjudicator;
        world
            .server
            .with(|replica| replica.stop(adjudicator))
            .unwrap();
        let wasm = local_ic::canister_wasm("adjudicator").unwrap();
        let nothing = encode_one(Some(UpgradeArgs::default())).unwrap();
        let upgraded = world.server.with(|replica| {
            // Stopped for longer than the window: that time does not count.
            replica.advance(WINDOW);
            replica.upgrade(adjudicator, &wasm, nothing)
        });
        upgraded.unwrap();
        heal(&world, rules);
        world
            .server
            .with(|replica| replica.start(adjudicator))
            .unwrap();
        refuted(&world, &ours, newest).await;
        // The window has moved by the time in which nobody could refute.
        assert_eq!(
            paid_out(&world, &ours, &theirs).await,
            [900 - FEE, 600 - FEE]
        );
    });
}
