//! The error codes that only a chain that does not do its part can provoke.

use std::time::Duration;

use perun_canister_api::InitArgs;
use perun_local_network::local_ic;
use perun_node::api::pb::msg_error::AddInfo;
use perun_node::api::pb::{ErrorCategory, ErrorCode};

use crate::errors::error;
use crate::world::{World, soon};

/// A peer that accepts by rule deposits nothing, since it has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_deposit_is_named() {
    let world = World::new(&["alice", "bob"]).await;
    let file = world.settings.data.join("sessions/bob/session.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let rule = "autoAccept:\n  - peer: alice\n    maxDeposit: { ICP: \"5000\" }\n";
    std::fs::write(&file, format!("{text}\n{rule}")).unwrap();
    let [mut alice, _bob] = world.pair().await;

    let server = &world.network.server;
    let (opened, ()) = tokio::join!(alice.open_channel("bob", "1", "4000"), async {
        let adjudicator = world.network.adjudicator;
        let deposited = || {
            server.with(|replica| {
                let deposit = replica.instructions(adjudicator, "update deposit");
                deposit.is_some() && replica.is_idle()
            })
        };
        soon(async {
            while !deposited() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        // The time to deposit is over.
        server.with(|replica| replica.advance(Duration::from_secs(400)));
    });
    let error = error(
        opened,
        ErrorCategory::ParticipantError,
        ErrorCode::ErrPeerNotFunded,
    );
    let Some(AddInfo::ErrInfoPeerNotFunded(info)) = error.add_info else {
        panic!("{error:?}");
    };
    assert_eq!(info.peer_alias, "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjudicator_that_has_become_another_is_named() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, _bob] = world.pair().await;
    let adjudicator = world.network.adjudicator;
    let args = InitArgs {
        ledgers: vec![candid::Principal::from_slice(&[7; 10])],
        min_challenge_duration_s: 60,
        max_challenge_duration_s: 3600,
    };
    let wasm = tokio::task::spawn_blocking(|| local_ic::canister_wasm("adjudicator"));
    let wasm = wasm.await.unwrap().unwrap();
    let args = candid::encode_one(args).unwrap();
    let server = &world.network.server;
    server
        .with(|replica| replica.reinstall(adjudicator, &wasm, args))
        .unwrap();
    let error = error(
        alice.open_channel("bob", "3", "2").await,
        ErrorCategory::ClientError,
        ErrorCode::ErrInvalidContracts,
    );
    let Some(AddInfo::ErrInfoInvalidContracts(info)) = error.add_info else {
        panic!("{error:?}");
    };
    let [wrong] = info.contract_err_infos.as_slice() else {
        panic!("{info:?}");
    };
    assert_eq!(wrong.name, "adjudicator");
    assert_eq!(wrong.address, adjudicator.to_text());
    assert!(wrong.error.contains(&world.network.ledger.to_text()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_not_there_is_named() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, _bob] = world.pair().await;
    let World {
        network,
        serving: _serving,
        ..
    } = world;
    let url = network.server.url();
    network.server.stop().await;
    let error = error(
        alice.open_channel("bob", "3", "2").await,
        ErrorCategory::ProtocolError,
        ErrorCode::ErrChainNotReachable,
    );
    let Some(AddInfo::ErrInfoChainNotReachable(info)) = error.add_info else {
        panic!("{error:?}");
    };
    assert_eq!(info.chain_url, url);
}
