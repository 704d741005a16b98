//! Updates and queries, and what becomes of those that don't succeed.

use std::time::Duration;

use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::AgentError;
use ic_agent::agent::{CallResponse, RejectCode, RequestStatusResponse};
use local_ic::{Clock, Fault, Target, Until};
use serde::Deserialize;

use crate::{World, alice, number, wasm};

#[tokio::test]
async fn an_update_changes_what_a_query_reads() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    for n in 1..=3 {
        let reply = agent.update(&world.canister, "inc").await.unwrap();
        assert_eq!(number(&reply), n);
        let reply = agent.query(&world.canister, "read").call().await.unwrap();
        assert_eq!(number(&reply), n);
    }
    world.server.stop().await;
}

#[tokio::test]
async fn arguments_of_a_megabyte_come_back_unchanged() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let arg: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    let reply = agent
        .update(&world.canister, "echo")
        .with_arg(arg.clone())
        .await
        .unwrap();
    assert!(reply == arg);
    let reply = agent
        .query(&world.canister, "echo_query")
        .with_arg(arg.clone())
        .call()
        .await;
    assert!(reply.unwrap() == arg);
}

#[tokio::test]
async fn a_composite_query_asks_other_queries() {
    let world = World::new(Clock::Live).await;
    let agent = world.agent(alice()).await;
    let caller = agent.query(&world.canister, "ask").call().await.unwrap();
    // The canister asked itself, so it was its own caller.
    assert_eq!(Principal::from_slice(&caller), world.canister);
}

#[tokio::test]
async fn rejects_of_updates_are_certified_and_those_of_queries_signed() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;

    match agent.update(&world.canister, "refuse").await.unwrap_err() {
        AgentError::CertifiedReject { reject, .. } => {
            assert_eq!(reject.reject_code, RejectCode::CanisterReject);
            assert_eq!(reject.reject_message, "no, thanks");
            assert_eq!(reject.error_code.as_deref(), Some("IC0406"));
        }
        other => panic!("{other}"),
    }
    match agent
        .query(&world.canister, "refuse_query")
        .call()
        .await
        .unwrap_err()
    {
        AgentError::UncertifiedReject { reject, .. } => {
            assert_eq!(reject.reject_code, RejectCode::CanisterReject);
            assert_eq!(reject.reject_message, "no, thanks");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_trap_is_told_and_leaves_nothing_behind() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    match agent.update(&world.canister, "fail").await.unwrap_err() {
        AgentError::CertifiedReject { reject, .. } => {
            assert_eq!(reject.reject_code, RejectCode::CanisterError);
            assert!(
                reject.reject_message.contains("on purpose"),
                "{}",
                reject.reject_message
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(world.counter(), 0);
}

#[tokio::test]
async fn what_never_got_in_is_rejected_at_once() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let nowhere = Principal::from_text("be2us-64aaa-aaaaa-qaabq-cai").unwrap();
    for (canister, method, code) in [
        (nowhere, "inc", RejectCode::DestinationInvalid),
        (world.canister, "forbidden", RejectCode::CanisterReject),
    ] {
        match agent.update(&canister, method).await.unwrap_err() {
            AgentError::UncertifiedReject { reject, .. } => assert_eq!(reject.reject_code, code),
            other => panic!("{method}: {other}"),
        }
    }
    match agent.query(&nowhere, "read").call().await.unwrap_err() {
        AgentError::UncertifiedReject { reject, .. } => {
            assert_eq!(reject.reject_code, RejectCode::DestinationInvalid);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_call_that_takes_long_is_polled_for() {
    let world = World::new(Clock::Manual).await;
    let agent = world.anonymous().await;
    let rule = world.server.with(|replica| {
        let next = Target::ingress().to(world.canister).method("inc");
        replica
            .faults()
            .add(next, Fault::DelayCall(Until::Released))
    });

    let CallResponse::Poll(id) = agent.update(&world.canister, "inc").call().await.unwrap() else {
        panic!("the call is held back, so there can't be an answer yet");
    };
    let (status, _) = agent.request_status_raw(&id, world.canister).await.unwrap();
    assert!(
        matches!(
            status,
            RequestStatusResponse::Received | RequestStatusResponse::Processing
        ),
        "{status:?}"
    );
    assert_eq!(world.counter(), 0);

    world.server.with(|replica| replica.faults().release(rule));
    let (reply, _) = agent.wait(&id, world.canister).await.unwrap();
    assert_eq!(number(&reply), 1);
}

#[tokio::test]
async fn a_request_sent_twice_is_executed_once() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let signed = agent.update(&world.canister, "inc").sign().unwrap();
    for _ in 0..2 {
        let response = agent
            .update_signed(world.canister, signed.signed_update.clone())
            .await;
        let CallResponse::Response(reply) = response.unwrap() else {
            panic!("quick calls answer")
        };
        assert_eq!(number(&reply), 1);
    }
    assert_eq!(world.counter(), 1);
}

#[tokio::test]
async fn many_agents_at_once_are_all_answered() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (agent, canister) = (agent.clone(), world.canister);
        calls.spawn(async move { number(&agent.update(&canister, "inc").await.unwrap()) });
    }
    let mut seen = calls.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_is_forgotten_after_five_minutes_and_the_request_still_known() {
    let world = World::new(Clock::Manual).await;
    let agent = world.anonymous().await;
    let signed = agent.update(&world.canister, "inc").sign().unwrap();
    agent
        .update_signed(world.canister, signed.signed_update.clone())
        .await
        .unwrap();

    world
        .server
        .with(|replica| replica.advance(Duration::from_secs(301)));
    let (status, _) = agent
        .request_status_raw(&signed.request_id, world.canister)
        .await
        .unwrap();
    assert_eq!(status, RequestStatusResponse::Done);
    assert_eq!(world.counter(), 1);
}

/// The argument of `provisional_create_canister_with_cycles`, all of which is optional.
#[derive(CandidType)]
struct Create {
    amount: Option<candid::Nat>,
}

#[derive(Deserialize, CandidType)]
struct Created {
    canister_id: Principal,
}

#[derive(CandidType)]
struct Install {
    mode: Mode,
    canister_id: Principal,
    wasm_module: Vec<u8>,
    arg: Vec<u8>,
}

#[allow(non_camel_case_types)]
#[derive(CandidType)]
enum Mode {
    install,
}

#[tokio::test]
async fn an_agent_creates_and_installs_a_canister() {
    let world = World::new(Clock::Live).await;
    let agent = world.agent(alice()).await;
    let management = Principal::management_canister();

    let reply = agent
        .update(&management, "provisional_create_canister_with_cycles")
        .with_effective_canister_id(world.canister)
        .with_arg(Encode!(&Create { amount: None }).unwrap())
        .await
        .unwrap();
    let canister_id = Decode!(&reply, Created).unwrap().canister_id;
    assert_ne!(canister_id, world.canister);

    let install = Install {
        mode: Mode::install,
        canister_id,
        wasm_module: wasm(),
        arg: vec![],
    };
    let arg = Encode!(&install).unwrap();
    // At another canister's URL the call is refused: boundary nodes would send it elsewhere.
    let misdirected = agent
        .update(&management, "install_code")
        .with_effective_canister_id(world.canister)
        .with_arg(arg.clone())
        .await;
    assert!(matches!(misdirected, Err(AgentError::HttpError(error)) if error.status == 400));

    agent
        .update(&management, "install_code")
        .with_effective_canister_id(canister_id)
        .with_arg(arg)
        .await
        .unwrap();
    assert_eq!(number(&agent.update(&canister_id, "inc").await.unwrap()), 1);
    let controllers = agent
        .read_state_canister_controllers(canister_id)
        .await
        .unwrap();
    assert_eq!(controllers, [agent.get_principal().unwrap()]);
}
