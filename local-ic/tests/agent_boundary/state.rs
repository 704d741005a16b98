//! Certified reads: agents check each of these against the root key.

use candid::Principal;
use ic_agent::agent::{CallResponse, EnvelopeContent, RequestStatusResponse};
use ic_agent::{Agent, AgentError, Identity};
use ic_certification::{Certificate, LookupResult};
use local_ic::Clock;
use sha2::{Digest, Sha256};

use crate::{World, alice, bob, wasm};

/// The status and text that a read was refused with.
fn refusal<T: std::fmt::Debug>(result: Result<T, AgentError>) -> (u16, String) {
    match result {
        Err(AgentError::HttpError(error)) => {
            (error.status, String::from_utf8(error.content).unwrap())
        }
        other => panic!("should be refused: {other:?}"),
    }
}

#[tokio::test]
async fn controllers_module_hash_and_metadata_are_read() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let controllers = agent
        .read_state_canister_controllers(world.canister)
        .await
        .unwrap();
    assert_eq!(controllers, [alice().sender().unwrap()]);
    let hash = agent
        .read_state_canister_module_hash(world.canister)
        .await
        .unwrap();
    assert_eq!(hash, Sha256::digest(wasm()).to_vec());
    let service = agent
        .read_state_canister_metadata(world.canister, "candid:service")
        .await;
    assert_eq!(service.unwrap(), b"service : {}");
}

#[tokio::test]
async fn private_metadata_is_for_controllers() {
    let world = World::new(Clock::Live).await;
    let read = async |agent: Agent| {
        agent
            .read_state_canister_metadata(world.canister, "secret")
            .await
    };
    assert_eq!(
        read(world.agent(alice()).await).await.unwrap(),
        b"for controllers"
    );
    let (status, text) = refusal(read(world.agent(bob()).await).await);
    assert_eq!(status, 403);
    assert!(
        text.starts_with("the section 'secret' of canister"),
        "{text}"
    );
}

#[tokio::test]
async fn what_does_not_exist_is_proven_absent() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let nowhere = Principal::from_text("be2us-64aaa-aaaaa-qaabq-cai").unwrap();
    let empty = world
        .server
        .with(|replica| replica.create_canister(Principal::anonymous()));
    for result in [
        agent
            .read_state_canister_metadata(world.canister, "no such section")
            .await,
        agent.read_state_canister_module_hash(empty).await,
        agent.read_state_canister_info(nowhere, "controllers").await,
    ] {
        assert!(
            matches!(result, Err(AgentError::LookupPathAbsent(_))),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn the_status_of_a_request_is_shown_to_its_sender_only() {
    let world = World::new(Clock::Live).await;
    let (ours, theirs) = (world.agent(alice()).await, world.agent(bob()).await);
    let signed = ours.update(&world.canister, "inc").sign().unwrap();
    let id = signed.request_id;

    // Before it was sent, nobody knows of it, and that is proven too.
    let (status, _) = theirs
        .request_status_raw(&id, world.canister)
        .await
        .unwrap();
    assert_eq!(status, RequestStatusResponse::Unknown);

    let sent = ours
        .update_signed(world.canister, signed.signed_update)
        .await
        .unwrap();
    assert!(matches!(sent, CallResponse::Response(_)));
    let (status, _) = ours.request_status_raw(&id, world.canister).await.unwrap();
    assert!(
        matches!(status, RequestStatusResponse::Replied(_)),
        "{status:?}"
    );
    let (code, text) = refusal(theirs.request_status_raw(&id, world.canister).await);
    assert_eq!(
        (code, &*text),
        (403, "the status of a request is shown to its sender only")
    );
}

#[tokio::test]
async fn an_agent_learns_the_subnet_and_its_keys() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let subnet_id = Principal::self_authenticating(world.server.root_key());

    let subnet = agent.get_subnet_by_canister(&world.canister).await.unwrap();
    assert_eq!(subnet.id(), subnet_id);
    assert_eq!(subnet.iter_nodes().count(), 1);
    assert!(subnet.contains_canister(&world.canister));
    let by_id = agent.fetch_subnet_by_id(&subnet_id).await.unwrap();
    assert!(by_id.contains_canister(&world.canister));
    let ranges = agent
        .read_state_subnet_canister_ranges(subnet_id)
        .await
        .unwrap();
    assert_eq!(ranges.len(), 1);

    let other = Principal::self_authenticating(b"another root key");
    let (code, text) = refusal(agent.fetch_subnet_by_id(&other).await);
    assert_eq!(code, 404);
    assert!(
        text.ends_with(&format!("the only one here is {subnet_id}")),
        "{text}"
    );
}

#[tokio::test]
async fn a_canister_hands_out_certified_data() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    agent
        .update(&world.canister, "certify")
        .with_arg(vec![7; 32])
        .await
        .unwrap();
    let bytes = agent
        .query(&world.canister, "certificate")
        .call()
        .await
        .unwrap();

    let certificate: Certificate = serde_cbor::from_slice(&bytes).unwrap();
    agent.verify(&certificate, world.canister).unwrap();
    let path = [
        b"canister".as_slice(),
        world.canister.as_slice(),
        b"certified_data",
    ];
    assert_eq!(
        certificate.tree.lookup_path(path),
        LookupResult::Found(&[7; 32])
    );
    assert!(matches!(
        certificate.tree.lookup_path(["time"]),
        LookupResult::Found(_)
    ));
}

#[tokio::test]
async fn certified_data_and_whole_subtrees_are_not_read_from_outside() {
    let world = World::new(Clock::Live).await;
    let agent = world.agent(alice()).await;
    let id = world.canister.as_slice();
    for path in [
        vec!["canister".into(), id.into(), "certified_data".into()],
        vec!["canister".into(), id.into()],
        vec!["canister".into()],
        vec!["request_status".into()],
        vec![],
    ] {
        let (code, text) = refusal(agent.read_state_raw(vec![path], world.canister).await);
        assert_eq!(code, 404, "{text}");
    }
    let elsewhere = Principal::from_text("be2us-64aaa-aaaaa-qaabq-cai").unwrap();
    let path = vec!["canister".into(), id.into(), "controllers".into()];
    let (code, text) = refusal(agent.read_state_raw(vec![path], elsewhere).await);
    assert_eq!(code, 400, "{text}");
}

/// `EnvelopeContent` is what an identity signs; a wrong signature is made by signing another one.
fn other_content(sender: Principal) -> EnvelopeContent {
    EnvelopeContent::ReadState {
        ingress_expiry: 0,
        sender,
        paths: vec![],
    }
}

#[tokio::test]
async fn reading_needs_a_genuine_signature_too() {
    /// Signs something else than it is asked to.
    struct Forger;
    impl Identity for Forger {
        fn sender(&self) -> Result<Principal, String> {
            alice().sender()
        }
        fn public_key(&self) -> Option<Vec<u8>> {
            alice().public_key()
        }
        fn sign(&self, _: &EnvelopeContent) -> Result<ic_agent::Signature, String> {
            alice().sign(&other_content(alice().sender()?))
        }
    }
    let world = World::new(Clock::Live).await;
    let forger = world.agent(Forger).await;
    let wrong = "request signature: the Ed25519 signature does not match the key and the content";
    let reading = forger
        .read_state_canister_metadata(world.canister, "secret")
        .await;
    assert_eq!(refusal(reading), (400, wrong.into()));
    let calling = forger.update(&world.canister, "inc").call().await;
    assert_eq!(refusal(calling), (400, wrong.into()));
    let querying = forger.query(&world.canister, "read").call().await;
    assert_eq!(refusal(querying), (400, wrong.into()));
}
