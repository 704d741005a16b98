//! Callers with every kind of key, and those who speak for others.

use candid::Principal;
use ic_agent::identity::{
    AnonymousIdentity, DelegatedIdentity, Delegation, Prime256v1Identity, Secp256k1Identity,
    SignedDelegation,
};
use ic_agent::{AgentError, Identity};
use local_ic::Clock;

use crate::{World, alice, bob};

/// Far enough ahead for any test, ns since 1970.
const IN_A_CENTURY: u64 = 5_000_000_000_000_000_000;

fn secp256k1() -> Secp256k1Identity {
    Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[3; 32]).unwrap())
}

fn p256() -> Prime256v1Identity {
    Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[4; 32]).unwrap())
}

/// Who the canister thinks is calling, by update and by query.
async fn seen_as(
    world: &World,
    identity: impl Identity + 'static,
) -> Result<Principal, AgentError> {
    let agent = world.agent(identity).await;
    let by_update = agent.update(&world.canister, "whoami_update").await?;
    let by_query = agent.query(&world.canister, "whoami").call().await?;
    assert_eq!(by_update, by_query);
    Ok(Principal::from_slice(&by_query))
}

#[tokio::test]
async fn each_kind_of_identity_is_recognised() {
    let world = World::new(Clock::Live).await;
    let anonymous = seen_as(&world, AnonymousIdentity).await.unwrap();
    assert_eq!(anonymous, Principal::anonymous());
    assert_eq!(
        seen_as(&world, alice()).await.unwrap(),
        alice().sender().unwrap()
    );
    assert_eq!(
        seen_as(&world, secp256k1()).await.unwrap(),
        secp256k1().sender().unwrap()
    );
    assert_eq!(
        seen_as(&world, p256()).await.unwrap(),
        p256().sender().unwrap()
    );
}

/// Bob with a delegation of Alice's.
fn bob_for_alice(expiration: u64, targets: Option<Vec<Principal>>) -> DelegatedIdentity {
    let pubkey = bob().public_key().unwrap();
    let delegation = Delegation {
        pubkey,
        expiration,
        targets,
        permissions: None,
    };
    let signature = alice()
        .sign_delegation(&delegation)
        .unwrap()
        .signature
        .unwrap();
    let chain = vec![SignedDelegation {
        delegation,
        signature,
    }];
    DelegatedIdentity::new(alice().public_key().unwrap(), Box::new(bob()), chain).unwrap()
}

#[tokio::test]
async fn a_delegate_speaks_for_who_delegated() {
    let world = World::new(Clock::Live).await;
    let seen = seen_as(&world, bob_for_alice(IN_A_CENTURY, None))
        .await
        .unwrap();
    assert_eq!(seen, alice().sender().unwrap());
}

#[tokio::test]
async fn a_delegation_holds_for_its_targets_and_until_it_expires() {
    let world = World::new(Clock::Live).await;
    let here = bob_for_alice(IN_A_CENTURY, Some(vec![world.canister]));
    assert!(seen_as(&world, here).await.is_ok());

    let elsewhere = bob_for_alice(IN_A_CENTURY, Some(vec![Principal::management_canister()]));
    let AgentError::HttpError(error) = seen_as(&world, elsewhere).await.unwrap_err() else {
        panic!("refused before it gets in");
    };
    assert_eq!(error.status, 400);
    let text = String::from_utf8(error.content).unwrap();
    assert_eq!(
        text,
        format!(
            "canister {} is not among the targets of the delegations",
            world.canister
        )
    );

    let expired = bob_for_alice(1_000, None);
    let AgentError::HttpError(error) = seen_as(&world, expired).await.unwrap_err() else {
        panic!("refused before it gets in");
    };
    let text = String::from_utf8(error.content).unwrap();
    assert!(
        text.starts_with("delegation 0 expired: expiration 1000 ns"),
        "{text}"
    );
}
