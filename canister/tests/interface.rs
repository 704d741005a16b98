//! The shipped wasm has exactly the methods that `candid/adjudicator.did` promises, and carries the
//! promise with it; what it is sent is bounded, and a set-up must make sense.

mod world;

use candid_parser::utils::CandidSource;
use local_ic::MethodKind;
use perun_canister_api::{InitArgs, UpgradeArgs};
use world::{World, no_arguments, user};

const PROMISE: &str = include_str!("../../candid/adjudicator.did");

/// The timer library calls itself by this method.
const OF_THE_TIMER_LIBRARY: &str = "<ic-cdk internal> timer_executor";

#[test]
fn the_shipped_wasm_has_exactly_the_promised_methods() {
    let world = World::new();
    let mut shipped = world.ic.methods(world.adjudicator);
    shipped.retain(|(name, _)| name != OF_THE_TIMER_LIBRARY);
    shipped.sort_by(|(one, _), (other, _)| one.cmp(other));

    let (types, service) = CandidSource::Text(PROMISE).load().unwrap();
    let service = types
        .as_service(&service.expect("the promise is a service"))
        .unwrap()
        .to_vec();
    let mut promised: Vec<_> = service
        .iter()
        .map(|(name, method)| {
            let is_query = types.as_func(method).unwrap().is_query();
            let kind = match is_query {
                true => MethodKind::Query,
                false => MethodKind::Update,
            };
            (name.clone(), kind)
        })
        .collect();
    promised.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(shipped, promised);
}

#[test]
fn the_shipped_wasm_carries_the_promise() {
    let world = World::new();
    let info = world.ic.canister(world.adjudicator).unwrap();
    let names: Vec<_> = info
        .metadata
        .iter()
        .map(|section| section.name.as_str())
        .collect();
    assert_eq!(names, ["candid:service"]);
    assert!(info.metadata[0].public);
    assert_eq!(info.metadata[0].content, PROMISE.as_bytes());
}

#[test]
fn queries_answer_replicated_calls_too() {
    let mut world = World::new();
    let reply = world
        .ic
        .update(user(0), world.adjudicator, "info", no_arguments());
    let info: perun_canister_api::Info = candid::decode_one(&reply.unwrap()).unwrap();
    assert_eq!(info.interface, perun_canister_api::INTERFACE);
    assert_eq!(
        info.ledgers[0].fee,
        Some(world::FEE),
        "learned by itself after the installation"
    );
    assert_eq!((info.max_participants, info.max_assets), (16, 8));
    let policy = info.policy;
    assert_eq!((policy.max_disputes, policy.max_ledgers), (100, 64));
    assert_eq!(policy.exit_window_s, 86_400 + 7 * 86_400);
}

#[test]
fn the_log_is_read_page_by_page() {
    let mut world = World::new();
    let one = world.funded(1, [10, 20]);
    let other = world.funded(2, [30, 40]);
    let mut page = |channel: Option<&world::TestChannel>, start, length| {
        let request = perun_canister_api::EventsRequest {
            channel: channel.map(world::TestChannel::id_bytes),
            start,
            length,
        };
        let page: Result<perun_canister_api::EventsPage, perun_canister_api::EventsError> =
            world.ask("query_events", request);
        let page = page.unwrap();
        let indices: Vec<_> = page.events.iter().map(|record| record.index).collect();
        (indices, page.next, page.total)
    };
    assert_eq!(page(None, 0, 3), (vec![0, 1, 2], 3, 4));
    assert_eq!(page(None, 3, 3), (vec![3], 4, 4));
    assert_eq!(page(None, 4, 3), (vec![], 4, 4));
    assert_eq!(page(Some(&one), 0, 100), (vec![0, 1], 4, 4));
    assert_eq!(page(Some(&other), 0, 1), (vec![2], 3, 4));
    assert_eq!(page(Some(&other), 3, 1), (vec![3], 4, 4));
    assert_eq!(page(Some(&other), 4, 1), (vec![], 4, 4));
    assert_eq!(page(None, u64::MAX, u32::MAX), (vec![], u64::MAX, 4));
    assert_eq!(page(None, 1, 0), (vec![], 1, 4));
}

#[test]
fn a_page_of_the_log_tells_as_of_when_it_is() {
    let mut world = World::new();
    world.funded(1, [10, 20]);
    let hour = std::time::Duration::from_secs(3_600);
    for _ in 0..2 {
        let request = perun_canister_api::EventsRequest {
            channel: None,
            start: 0,
            length: 100,
        };
        let page: Result<perun_canister_api::EventsPage, perun_canister_api::EventsError> =
            world.ask("query_events", request);
        // Not when the last event happened, but when the page was made.
        assert_eq!(page.unwrap().as_of_ns, world.ic.time_ns());
        world.ic.advance(hour);
    }
}

#[test]
fn an_upgrade_needs_no_argument() {
    let mut world = World::new();
    let channel = world.funded(1, [10, 20]);
    let wasm = local_ic::canister_wasm("adjudicator").unwrap();
    world.stop_adjudicator();
    for argument in [vec![], candid::encode_args(()).unwrap()] {
        world
            .ic
            .upgrade(world.adjudicator, &wasm, argument)
            .unwrap();
    }
    world.ic.start(world.adjudicator).unwrap();
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[10, 20]]);
}

#[test]
fn an_upgrade_can_add_a_ledger() {
    let mut world = World::with_ledgers(2);
    let served = world.ledgers.clone();
    let added = user(50);
    let args = perun_canister_api::UpgradeArgs {
        add_ledgers: vec![added],
        ..Default::default()
    };
    world.upgrade_adjudicator(Some(args)).unwrap();
    let ledgers: Vec<_> = world
        .info()
        .ledgers
        .iter()
        .map(|info| info.ledger)
        .collect();
    assert_eq!(ledgers, [served, vec![added]].concat());
}

#[test]
fn requests_are_bounded_before_they_are_decoded() {
    let mut world = World::new();
    let huge = vec![0; 20_000];
    let refused = world
        .ic
        .update(user(0), world.adjudicator, "dispute", huge.clone());
    assert!(refused.is_err(), "refused by inspect_message");
    let refused = world
        .ic
        .query(user(0), world.adjudicator, "query_events", huge);
    let message = refused.unwrap_err().message;
    assert!(
        message.contains("20000 bytes, at most 16384 are decoded"),
        "{message}"
    );
    let garbage = b"DIDL\x01\x6c\xff\xff\xff\xff\x0f".to_vec();
    let refused = world
        .ic
        .query(user(0), world.adjudicator, "query_events", garbage);
    let message = refused.unwrap_err().message;
    assert!(message.contains("the message does not decode"), "{message}");
}

#[test]
fn a_set_up_that_makes_no_sense_is_refused_at_install() {
    let mut world = World::new();
    let wasm = local_ic::canister_wasm("adjudicator").unwrap();
    let id = world.ic.create_canister(user(255));
    let args = InitArgs {
        ledgers: vec![],
        min_challenge_duration_s: 60,
        max_challenge_duration_s: 600,
    };
    let refused = world
        .ic
        .install(id, &wasm, candid::encode_one(args).unwrap());
    let message = refused.unwrap_err().message;
    assert!(
        message.contains("init argument: name 1 to 64 ledgers, not 0"),
        "{message}"
    );
    let narrower = UpgradeArgs {
        min_challenge_duration_s: Some(61),
        ..Default::default()
    };
    let message = world
        .upgrade_adjudicator(Some(narrower))
        .unwrap_err()
        .message;
    assert!(
        message.contains("upgrade argument: an upgrade may only shorten"),
        "{message}"
    );
    assert_eq!(
        world.info().min_challenge_duration_s,
        60,
        "everything is as it was"
    );
}
