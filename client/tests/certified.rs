//! Answers of one node: the true ones prove themselves, and no lie passes for one.

mod world;

use std::time::Duration;

use candid::Decode;
use ic_agent::Agent;
use ic_agent::hash_tree::HashTree;
use perun_canister_api::{
    ChannelRequest, Event, EventsError, EventsPage, EventsRequest, QueryError, Rank, StateAnswer,
    convert,
};
use perun_client::chain::{Chain, Cursor};
use perun_client::{Adjudicator, Door, Funder, Unproven, WrongAnswer};
use perun_protocol::ChannelId;
use serde_bytes::ByteBuf;
use world::{ALICE, BOB, FIRST, Proxy, SECOND, TestChannel, World, user};

/// A world with two channels, of which the first has a registered state: five events.
async fn disputed() -> (World, [TestChannel; 2]) {
    let world = World::new().await;
    let channels = [
        world.funded(1, [20, 30]).await,
        world.funded(2, [1, 2]).await,
    ];
    let adjudicator = world.adjudicator_for(ALICE).await;
    let signed = channels[0].signed(3, [15, 35], [20, 30]);
    adjudicator
        .dispute(&channels[0].params, &signed)
        .await
        .unwrap();
    (world, channels)
}

/// What a node answers to a query.
fn page(world: &World, start: u64) -> EventsPage {
    let request = EventsRequest {
        channel: None,
        start,
        length: 100,
    };
    let answer = world.server.with(|replica| {
        let arg = candid::encode_one(request).unwrap();
        replica.query(user(9), world.adjudicator, "query_events", arg)
    });
    let page = Decode!(&answer.unwrap(), Result<EventsPage, EventsError>).unwrap();
    page.unwrap()
}

fn state(world: &World, channel: ChannelId) -> StateAnswer {
    let request = ChannelRequest {
        channel: convert::channel_to_candid(&channel),
    };
    let answer = world.server.with(|replica| {
        let arg = candid::encode_one(request).unwrap();
        replica.query(user(9), world.adjudicator, "query_state", arg)
    });
    let answer = Decode!(&answer.unwrap(), Result<StateAnswer, QueryError>).unwrap();
    answer.unwrap()
}

fn refused<T: std::fmt::Debug>(proven: Result<T, WrongAnswer>) -> Unproven {
    match proven {
        Err(WrongAnswer::Unproven(unproven)) => unproven,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_log_is_proven_from_any_start() {
    let (world, _) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let all = adjudicator.events(None, 0, 100).await.unwrap();
    let before = world.time();
    for start in 0..=5 {
        let proven = adjudicator.proven_events(start).await.unwrap();
        assert_eq!(proven.events, all.events[start as usize..]);
        assert_eq!((proven.next, proven.total), (5, 5));
        assert!(proven.as_of >= before, "it is certified as of now");
    }
    let empty = World::new().await;
    let nothing = empty.adjudicator_for(ALICE).await.proven_events(0).await;
    assert_eq!(nothing.unwrap().total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_anywhere() {
    let (world, _) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let good = page(&world, 1);
    let proven = adjudicator.prove_events(good.clone(), 1).unwrap();
    let flipped = |bytes: &ByteBuf, at: usize| {
        let mut bytes = bytes.clone();
        let length = bytes.len();
        bytes[at % length] ^= 1;
        Some(bytes)
    };
    let (mut refused, mut passed) = (0, 0);
    for at in (0..4000).step_by(7) {
        let certificate = flipped(good.certificate.as_ref().unwrap(), at);
        let witness = flipped(good.witness.as_ref().unwrap(), at);
        let parent = flipped(good.parent.as_ref().unwrap(), at);
        for bad in [
            EventsPage {
                certificate,
                ..good.clone()
            },
            EventsPage {
                witness,
                ..good.clone()
            },
            EventsPage {
                parent,
                ..good.clone()
            },
        ] {
            match adjudicator.prove_events(bad, 1) {
                Err(WrongAnswer::Unproven(_)) => refused += 1,
                // CBOR has tags that say nothing, and are skipped.
                Ok(page) if page == proven => passed += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(refused > 1_700 && passed < 10, "{refused}, {passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_of_what_is_registered_is_found() {
    let (world, [first, _]) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let good = state(&world, first.params.id());
    let prove = |answer: &StateAnswer| adjudicator.prove_registration(&first.params, answer);
    let proven = prove(&good).unwrap();
    let (mut refused, mut passed) = (0, 0);
    for at in 0..1_000 {
        let flip = |bytes: &mut ByteBuf| {
            let length = bytes.len();
            bytes[at % length] ^= 1;
        };
        let [mut certificate, mut witness, mut signed] = [(); 3].map(|()| good.clone());
        flip(certificate.certificate.as_mut().unwrap());
        flip(witness.witness.as_mut().unwrap());
        let registered = signed.registered.as_mut().unwrap();
        flip(registered.signed_state.as_mut().unwrap());
        for bad in [certificate, witness, signed] {
            match prove(&bad) {
                Err(WrongAnswer::Unproven(_)) => refused += 1,
                // CBOR has tags that say nothing, and are skipped.
                Ok(told) if told == proven => passed += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(refused > 2_980 && passed < 20, "{refused}, {passed}");
    assert_eq!(
        prove(&good).unwrap(),
        proven,
        "it was not refused for its age"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_about_events_passes() {
    let (world, _) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let prove = |page| refused(adjudicator.prove_events(page, 1));
    let good = page(&world, 1);

    let mut bad = good.clone();
    bad.events.pop();
    assert_eq!(
        prove(bad),
        Unproven::Length {
            certified: 5,
            told: 4
        }
    );
    let mut bad = good.clone();
    bad.events.pop();
    bad.total = 4;
    assert_eq!(
        prove(bad),
        Unproven::Length {
            certified: 5,
            told: 4
        }
    );
    let mut bad = good.clone();
    bad.events.remove(1);
    bad.events.push(good.events[3].clone());
    assert_eq!(prove(bad), Unproven::Gap { index: 2 });
    let mut bad = good.clone();
    bad.events[0].at_ns += 1;
    assert_eq!(prove(bad), Unproven::Chain { index: 4 });
    let mut bad = good.clone();
    let Event::Registered { rank, .. } = &mut bad.events[3].event else {
        panic!("the last event is the dispute");
    };
    *rank = Rank::State(4);
    assert_eq!(prove(bad), Unproven::Chain { index: 4 });
    let mut bad = good.clone();
    bad.parent = None;
    assert_eq!(prove(bad), Unproven::Chain { index: 4 });
    let bad = EventsPage {
        certificate: None,
        ..good.clone()
    };
    assert_eq!(prove(bad), Unproven::NotCertified);
    let bad = EventsPage {
        witness: None,
        ..good.clone()
    };
    assert_eq!(prove(bad), Unproven::NotCertified);
    // The witness of something else of the same canister.
    let channel = ChannelId::from_bytes([7; 32]);
    let bad = EventsPage {
        witness: state(&world, channel).witness,
        ..good
    };
    assert_eq!(
        prove(bad),
        Unproven::NotShown {
            what: "the log's tip"
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_once_true_says_when() {
    let (world, [_, second]) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let old = page(&world, 0);
    let at = world.time();
    world.deposit(&second, FIRST, 5, Door::Approval).await;
    // A node can show it again, but not as if it were so now.
    let proven = adjudicator.prove_events(old.clone(), 0).unwrap();
    assert!(proven.total == 5 && proven.as_of <= at);
    // With the certificate of today it is a lie.
    let new = page(&world, 0);
    let mixed = EventsPage {
        certificate: new.certificate,
        ..old.clone()
    };
    assert_eq!(
        refused(adjudicator.prove_events(mixed, 0)),
        Unproven::Witness
    );
    let mixed = EventsPage {
        witness: new.witness,
        ..old
    };
    assert_eq!(
        refused(adjudicator.prove_events(mixed, 0)),
        Unproven::Witness
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_canister_certifies_proves_nothing() {
    let (world, [first, _]) = disputed().await;
    let agent = world.adjudicator_for(ALICE).await.agent().clone();
    let other = Adjudicator::new(agent, world.ledger);
    let refusal = refused(other.prove_events(page(&world, 0), 0));
    // The certificate is good, and says nothing of the other canister.
    let what = "the canister's certified data";
    assert_eq!(refusal, Unproven::NotShown { what });
    let state = state(&world, first.params.id());
    let refusal = refused(other.prove_registration(&first.params, &state));
    assert_eq!(refusal, Unproven::NotShown { what });
    // Whoever trusts the key of another Internet Computer, here the real one's, is not deceived.
    let agent = Agent::builder().with_url(world.server.url());
    let stranger = Adjudicator::new(agent.build().unwrap(), world.adjudicator);
    let refusal = refused(stranger.prove_events(page(&world, 0), 0));
    assert!(matches!(refusal, Unproven::Certificate { .. }), "{refusal}");
}

/// A page that was recorded can be shown again only as long as messages live.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_certificate_proves_nothing_any_more() {
    let (world, [first, _]) = disputed().await;
    let page = page(&world, 0);
    let state = state(&world, first.params.id());
    let patient = world.adjudicator_for(ALICE).await;
    assert!(patient.prove_events(page.clone(), 0).is_ok());
    assert!(patient.prove_registration(&first.params, &state).is_ok());
    // To this agent everything is old.
    let agent = Agent::builder().with_url(world.server.url());
    let agent = agent.with_ingress_expiry(Duration::ZERO).build().unwrap();
    agent.set_root_key(world.server.root_key());
    let hasty = Adjudicator::new(agent, world.adjudicator);
    let refusals = [
        refused(hasty.prove_events(page, 0)),
        refused(hasty.prove_registration(&first.params, &state)),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Unproven::Certificate { .. }), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_and_its_absence_are_proven() {
    let (world, [first, second]) = disputed().await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let told = adjudicator.registered(&first.params).await.unwrap();
    let (proven, as_of) = adjudicator
        .proven_registration(&first.params)
        .await
        .unwrap();
    assert_eq!(proven, told);
    assert!(as_of <= world.time());
    for absent in [&second.params, &world.channel(9).params] {
        let (proven, _) = adjudicator.proven_registration(absent).await.unwrap();
        assert_eq!(proven, None);
    }

    let (good, nothing) = (
        state(&world, first.params.id()),
        state(&world, second.params.id()),
    );
    let prove = |answer| refused(adjudicator.prove_registration(&first.params, answer));
    // It hides what is registered.
    let bad = StateAnswer {
        registered: None,
        ..good.clone()
    };
    assert_eq!(prove(&bad), Unproven::Registration);
    assert!(matches!(prove(&nothing), Unproven::NotShown { .. }));
    // It shows an older state that all have signed.
    let mut bad = good.clone();
    let older = first.signed(2, [20, 30], [20, 30]);
    let registered = bad.registered.as_mut().unwrap();
    registered.signed_state = Some(ByteBuf::from(older.encode()));
    registered.rank = Rank::State(2);
    assert_eq!(prove(&bad), Unproven::Registration);
    // It gives more time than there is: what counts is certified.
    let mut late = good.clone();
    late.registered.as_mut().unwrap().timeout_ns += 1_000_000_000;
    let (proven, _) = adjudicator
        .prove_registration(&first.params, &late)
        .unwrap();
    assert_eq!(proven, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_goes_on_by_queries() {
    let (world, [first, second]) = disputed().await;
    let mut follower = world.chain_for(ALICE).await.follower(Cursor::START);
    follower.poll().await.unwrap();
    let updates = |world: &World| {
        world.server.with(|replica| {
            let executions = replica.executions();
            executions
                .filter(|execution| execution.entry == "replicated query query_events")
                .count()
        })
    };
    let before = updates(&world);
    world.deposit(&second, SECOND, 5, Door::Approval).await;
    let seen = follower.poll().await.unwrap();
    assert_eq!(seen.touched, [second.params.id()].into());
    assert_eq!(follower.poll().await.unwrap().touched, [].into());
    assert_eq!(updates(&world), before, "one node has answered");
    let _ = first;
}

/// What a node does not tell is not taken for not having happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_or_silent_makes_nobody_believe_what_was() {
    let (world, [first, second]) = disputed().await;
    let proxy = Proxy::before(&world).await;
    // It says what it says with a signature of its own.
    let agent = Agent::builder()
        .with_url(proxy.url())
        .with_verify_query_signatures(false)
        .build()
        .unwrap();
    agent.set_root_key(world.server.root_key());
    let chain = Chain::new(Funder::new(Adjudicator::new(agent, world.adjudicator)));
    let mut follower = chain.follower(Cursor::START);
    follower.poll().await.unwrap();

    // From now on the node shows what is true at this moment.
    proxy.repeat_answer("query_events");
    let told = follower.poll().await.unwrap();
    assert_eq!((told.touched, told.cursor.next), ([].into(), 5));
    world.deposit(&second, SECOND, 5, Door::Approval).await;
    let all = world.adjudicator_for(BOB).await.events(None, 5, 1).await;
    let happened_at = all.unwrap().events[0].at;
    let seen = follower.poll().await.unwrap();
    assert_eq!(proxy.lost(), 2, "the node has answered");
    assert_eq!(seen.touched, [].into());
    assert_eq!(seen.as_of, told.as_of, "it is as of then");
    assert!(seen.as_of <= happened_at);

    // Once that is some while ago, it is worth nothing: the subnet is asked.
    world.advance(Duration::from_secs(11));
    chain.time().await.unwrap();
    let seen = follower.poll().await.unwrap();
    assert_eq!(proxy.lost(), 3, "the node has answered");
    assert_eq!(seen.touched, [second.params.id()].into());
    assert!(seen.as_of > happened_at);
    // Nor does it lead back: what it shows lacks what was seen.
    let again = follower.poll().await.unwrap();
    assert_eq!((again.touched, again.cursor), ([].into(), seen.cursor));
    assert!(again.as_of > seen.as_of);

    // A node that says nothing is not waited for long.
    proxy.heal();
    proxy.hold_queries("query_events");
    world.deposit(&first, FIRST, 5, Door::DepositAccount).await;
    let seen = follower.poll().await.unwrap();
    assert_eq!(seen.touched, [first.params.id()].into());
}

/// The witness is what ICRC-3 has: a plain hash tree.
#[tokio::test(flavor = "multi_thread")]
async fn the_witness_is_of_icrc_3() {
    let (world, _) = disputed().await;
    let witness = page(&world, 0).witness.unwrap();
    let tree: HashTree<Vec<u8>> = serde_cbor::from_slice(&witness).unwrap();
    let index = tree.lookup_path([b"last_block_index".as_slice()]);
    assert_eq!(index, ic_agent::hash_tree::LookupResult::Found(&[4]));
}
