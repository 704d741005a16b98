//! Each error code of perun-node's API, and what it says.

use std::time::Duration;

use perun_node::api::pb;
use perun_node::api::pb::msg_error::AddInfo;
use perun_node::api::pb::{ErrorCategory, ErrorCode};

use crate::outcome;
use crate::world::{Answered, PASSWORD, User, World, balances, payment, proposal, update};

/// The error, which has this category and code.
pub fn error<T: std::fmt::Debug>(
    answered: Answered<T>,
    category: ErrorCategory,
    code: ErrorCode,
) -> pb::MsgError {
    let error = answered.expect_err("it should have been refused");
    assert_eq!(
        (error.category(), error.code()),
        (category, code),
        "{error:?}"
    );
    assert!(!error.message.is_empty());
    error
}

fn invalid<T: std::fmt::Debug>(answered: Answered<T>) -> pb::ErrInfoInvalidArgument {
    let error = error(
        answered,
        ErrorCategory::ClientError,
        ErrorCode::ErrInvalidArgument,
    );
    match error.add_info {
        Some(AddInfo::ErrInfoInvalidArgument(info)) => info,
        other => panic!("{other:?}"),
    }
}

fn missing<T: std::fmt::Debug>(answered: Answered<T>) -> String {
    let error = error(
        answered,
        ErrorCategory::ClientError,
        ErrorCode::ErrResourceNotFound,
    );
    match error.add_info {
        Some(AddInfo::ErrInfoResourceNotFound(info)) => info.r#type,
        other => panic!("{other:?}"),
    }
}

fn existing<T: std::fmt::Debug>(answered: Answered<T>) -> String {
    let error = error(
        answered,
        ErrorCategory::ClientError,
        ErrorCode::ErrResourceExists,
    );
    match error.add_info {
        Some(AddInfo::ErrInfoResourceExists(info)) => info.r#type,
        other => panic!("{other:?}"),
    }
}

/// A channel between both, of 3 and 2 tokens.
pub async fn channel(alice: &mut User, bob: &mut User) -> String {
    let mut proposals = bob.subscribe_proposals().await;
    let (opened, _) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let told = proposal(&mut proposals).await.unwrap();
        bob.respond_proposal(&told.proposal_id, true).await.unwrap()
    });
    opened.unwrap().ch_id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;

    let mut nobody = alice.clone_api();
    nobody.session = "0123".into();
    assert_eq!(missing(nobody.channels().await), "session");
    for unknown in ["", "0x12", &"f".repeat(64), "../../etc/passwd", "ü"] {
        assert_eq!(missing(alice.send(unknown, "bob", "1").await), "channel");
        assert_eq!(missing(alice.close_channel(unknown).await), "channel");
    }
    assert_eq!(
        missing(alice.respond_proposal("f00", true).await),
        "proposal"
    );
    assert_eq!(
        missing(alice.respond_proposal("f00", false).await),
        "proposal"
    );
    assert_eq!(
        missing(alice.respond_update(&channel, "f00", true).await),
        "update"
    );
    assert_eq!(
        missing(alice.open_channel("carol", "1", "1").await),
        "peerID"
    );
    let opened = alice.api.open_pay_ch(pb::OpenPayChReq {
        session_id: alice.session.clone(),
        opening_bal_info: Some(pb::BalInfo {
            currencies: vec!["DOGE".into()],
            ..balances("bob", "1", "1")
        }),
        challenge_dur_secs: 60,
    });
    let opened = opened.await.unwrap().into_inner();
    assert_eq!(missing(outcome!(opened, open_pay_ch_resp)), "currency");
    let ended = alice
        .api
        .unsub_pay_ch_proposals(pb::UnsubPayChProposalsReq {
            session_id: alice.session.clone(),
        });
    let ended = ended.await.unwrap().into_inner();
    assert_eq!(
        missing(outcome!(ended, unsub_pay_ch_proposals_resp)),
        "proposalsSub"
    );
    let ended = alice.api.unsub_pay_ch_updates(pb::UnsubPayChUpdatesReq {
        session_id: alice.session.clone(),
        ch_id: channel.clone(),
    });
    let ended = ended.await.unwrap().into_inner();
    assert_eq!(
        missing(outcome!(ended, unsub_pay_ch_updates_resp)),
        "updatesSub"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_named() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;

    let card = bob.card.clone();
    for peer in [
        card.clone(),
        // Another identity under the same alias, and another alias of the same identity.
        pb::PeerId {
            off_chain_address: format!("0x{}", alice.card.off_chain_address),
            ..card.clone()
        },
        pb::PeerId {
            alias: "robert".into(),
            ..card
        },
    ] {
        let added = alice.api.add_peer_id(pb::AddPeerIdReq {
            session_id: alice.session.clone(),
            peer_id: Some(peer),
        });
        let added = added.await.unwrap().into_inner();
        assert_eq!(existing(outcome!(added, add_peer_id_resp)), "peerID");
    }
    let registered = alice.api.register_currency(pb::RegisterCurrencyReq {
        token_addr: world.network.ledger.to_text(),
        asset_addr: String::new(),
    });
    let registered = registered.await.unwrap().into_inner();
    assert_eq!(
        existing(outcome!(registered, register_currency_resp)),
        "currency"
    );

    let _first = alice.subscribe_proposals().await;
    let mut second = alice.subscribe_proposals().await;
    assert_eq!(existing(proposal(&mut second).await), "proposalsSub");
    let first = alice.subscribe_updates(&channel).await;
    let mut second = alice.subscribe_updates(&channel).await;
    assert_eq!(existing(update(&mut second).await), "updatesSub");
    // A subscriber that is gone keeps nobody out.
    drop(first);
    for attempt in 0.. {
        let mut third = alice.subscribe_updates(&channel).await;
        let told = tokio::time::timeout(Duration::from_millis(200), third.message()).await;
        if told.is_err() {
            break;
        }
        assert!(attempt < 50, "the dead subscriber is still there");
    }
    let opened = alice.api.open_session(pb::OpenSessionReq {
        config_file: "alice/session.yaml".into(),
    });
    let opened = opened.await.unwrap().into_inner();
    assert_eq!(existing(outcome!(opened, open_session_resp)), "session");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;

    for amount in [
        "",
        "-1",
        "1e3",
        "0",
        "0.000000001",
        "1,5",
        "NaN",
        "9999999999999999999999999999999999",
    ] {
        let info = invalid(alice.send(&channel, "bob", amount).await);
        assert_eq!(info.name, "amount", "{amount:?}");
    }
    let info = invalid(alice.send(&channel, "bob", "3.00000001").await);
    assert_eq!(info.name, "amount");
    assert!(info.requirement.contains("3 ICP"), "{}", info.requirement);
    assert_eq!(
        invalid(alice.send(&channel, "self", "2.1").await).name,
        "amount"
    );
    assert_eq!(
        invalid(alice.send(&channel, "carol", "1").await).name,
        "payee"
    );

    let send = |payments| pb::SendPayChUpdateReq {
        session_id: alice.session.clone(),
        ch_id: channel.clone(),
        payments,
    };
    let both_ways = send(vec![payment("bob", "1"), payment("self", "1")]);
    let nothing = send(Vec::new());
    let other = send(vec![pb::Payment {
        currency: "DOGE".into(),
        ..payment("bob", "1")
    }]);
    let answers = [both_ways, nothing].map(|request| (request, "pay"));
    for (request, name) in answers {
        let sent = alice
            .api
            .send_pay_ch_update(request)
            .await
            .unwrap()
            .into_inner();
        let info = invalid(outcome!(sent, send_pay_ch_update_resp));
        assert!(info.name.starts_with(name), "{}", info.name);
    }
    let sent = alice
        .api
        .send_pay_ch_update(other)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(missing(outcome!(sent, send_pay_ch_update_resp)), "currency");

    // Openings.
    let wealth = "1000";
    for (info, duration, name) in [
        (balances("bob", wealth, "0"), 60, "amount"),
        (balances("bob", "0", "0"), 60, "bals"),
        (balances("bob", "-1", "0"), 60, "amount"),
        (balances("self", "1", "1"), 60, "parts"),
        (balances("bob", "1", "1"), 0, "challengeDurSecs"),
        (balances("bob", "1", "1"), 59, "challengeDurSecs"),
        (balances("bob", "1", "1"), u64::MAX, "challengeDurSecs"),
        (pb::BalInfo::default(), 60, "parts"),
        (
            pb::BalInfo {
                bals: vec![],
                ..balances("bob", "1", "1")
            },
            60,
            "bals",
        ),
        (
            pb::BalInfo {
                currencies: vec![],
                ..balances("bob", "1", "1")
            },
            60,
            "currencies",
        ),
        (
            pb::BalInfo {
                currencies: vec!["ICP".into(), "ICP".into()],
                bals: vec![balances("bob", "1", "1").bals[0].clone(); 2],
                ..balances("bob", "1", "1")
            },
            60,
            "currencies",
        ),
    ] {
        let opened = alice.api.open_pay_ch(pb::OpenPayChReq {
            session_id: alice.session.clone(),
            opening_bal_info: Some(info.clone()),
            challenge_dur_secs: duration,
        });
        let opened = opened.await.unwrap().into_inner();
        let named = invalid(outcome!(opened, open_pay_ch_resp)).name;
        assert_eq!(named, name, "{info:?}, {duration}");
    }

    // Contacts.
    for (peer, name) in [
        (
            pb::PeerId {
                alias: "self".into(),
                ..bob.card.clone()
            },
            "peerAlias",
        ),
        (
            pb::PeerId {
                alias: "a b".into(),
                ..bob.card.clone()
            },
            "peerAlias",
        ),
        (
            pb::PeerId {
                off_chain_address: "0x00".into(),
                ..bob.card.clone()
            },
            "offChainAddress",
        ),
        (
            pb::PeerId {
                comm_address: "nowhere".into(),
                ..bob.card.clone()
            },
            "commAddress",
        ),
        (
            pb::PeerId {
                comm_type: "udp".into(),
                ..bob.card.clone()
            },
            "commType",
        ),
    ] {
        let added = alice.api.add_peer_id(pb::AddPeerIdReq {
            session_id: alice.session.clone(),
            peer_id: Some(peer),
        });
        let added = added.await.unwrap().into_inner();
        assert_eq!(invalid(outcome!(added, add_peer_id_resp)).name, name);
    }

    // Ledgers.
    for ledger in ["", "x", "aaaaa-aa", "2vxsx-fae"] {
        let registered = alice.api.register_currency(pb::RegisterCurrencyReq {
            token_addr: ledger.into(),
            asset_addr: String::new(),
        });
        let registered = registered.await.unwrap().into_inner();
        assert_eq!(
            invalid(outcome!(registered, register_currency_resp)).name,
            "token"
        );
        let deployed = alice.api.deploy_asset_erc20(pb::DeployAssetErc20Req {
            session_id: alice.session.clone(),
            token_addr: ledger.into(),
        });
        let deployed = deployed.await.unwrap().into_inner();
        assert_eq!(
            invalid(outcome!(deployed, deploy_asset_erc20_resp)).name,
            "token"
        );
    }

    // Files elsewhere on the node's machine are not told from files that are not there.
    for file in [
        "/etc/passwd",
        "/no/such/file",
        "../../../etc/passwd",
        "",
        "alice",
    ] {
        let opened = alice.api.open_session(pb::OpenSessionReq {
            config_file: file.into(),
        });
        let opened = opened.await.unwrap().into_inner();
        let info = invalid(outcome!(opened, open_session_resp));
        assert_eq!(info.name, "configFile", "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_who_say_no_or_nothing_are_told_apart() {
    let world = World::new(&["alice", "bob", "carol"]).await;
    let [mut alice, mut bob] = world.pair().await;

    // A user who says no.
    let mut proposals = bob.subscribe_proposals().await;
    let (opened, _) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let told = proposal(&mut proposals).await.unwrap();
        bob.respond_proposal(&told.proposal_id, false)
            .await
            .unwrap()
    });
    let rejected = error(
        opened,
        ErrorCategory::ParticipantError,
        ErrorCode::ErrPeerRejected,
    );
    let Some(AddInfo::ErrInfoPeerRejected(info)) = rejected.add_info else {
        panic!("{rejected:?}");
    };
    assert_eq!(info.peer_alias, "bob");
    assert!(info.reason.contains("rejected by user"), "{}", info.reason);

    // A stranger is refused without its user being asked.
    let mut carol = world.open("carol").await;
    carol.add(&alice.card).await;
    let opened = carol.open_channel("alice", "1", "1").await;
    let refused = error(
        opened,
        ErrorCategory::ParticipantError,
        ErrorCode::ErrPeerRejected,
    );
    assert!(
        refused.message.contains("unrecognized peer"),
        "{}",
        refused.message
    );

    // A user who answers too late, and the peer who waited.
    let (opened, late) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let told = proposal(&mut proposals).await.unwrap();
        let left = told.expiry - perun_node::clock::seconds() + 2;
        tokio::time::sleep(Duration::from_secs(u64::try_from(left).unwrap())).await;
        bob.respond_proposal(&told.proposal_id, true).await
    });
    let late = error(
        late,
        ErrorCategory::ParticipantError,
        ErrorCode::ErrUserResponseTimedOut,
    );
    let Some(AddInfo::ErrInfoUserResponseTimedOut(info)) = late.add_info else {
        panic!("{late:?}");
    };
    assert!(info.received_at > info.expiry);
    assert!(opened.is_err());

    // A peer that is not there.
    bob.close_session(true).await.unwrap();
    let opened = alice.open_channel("bob", "3", "2").await;
    let silent = error(
        opened,
        ErrorCategory::ParticipantError,
        ErrorCode::ErrPeerRequestTimedOut,
    );
    let Some(AddInfo::ErrInfoPeerRequestTimedOut(info)) = silent.add_info else {
        panic!("{silent:?}");
    };
    assert_eq!(info.peer_alias, "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_channels_closes_only_by_force() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let refused = alice.close_session(false).await;
    let refused = error(
        refused,
        ErrorCategory::ClientError,
        ErrorCode::ErrFailedPreCondition,
    );
    let Some(AddInfo::ErrInfoFailedPreCondUnclosedChs(info)) = refused.add_info else {
        panic!("{refused:?}");
    };
    assert_eq!(info.chs[0].ch_id, channel);
    let still_open = alice.close_session(true).await.unwrap();
    assert_eq!(still_open[0].ch_id, channel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_session_that_ends_is_not_known_to_have_ended() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut to_bob = bob.subscribe_updates(&channel).await;
    let mut admin = alice.clone_api();
    let (sent, _) = tokio::join!(alice.send(&channel, "bob", "1"), async {
        update(&mut to_bob).await.unwrap();
        admin.close_session(true).await.unwrap()
    });
    let stopped = error(
        sent,
        ErrorCategory::InternalError,
        ErrorCode::ErrUnknownInternal,
    );
    assert!(stopped.add_info.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_named() {
    let world = World::new(&["alice"]).await;
    let file = world.settings.data.join("sessions/alice/session.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let wallet = "    keystorePath: ./keystore\n";
    let text = text.replace(wallet, &format!("{wallet}    password: {PASSWORD}\n"));
    let mut api = world.payment_api().await;
    for (from, to, name) in [
        ("commType: tcp", "commType: udp", "commType"),
        ("127.0.0.1:", "256.0.0.1:", "commAddr"),
        ("./keystore", "./keystroke", "keystore"),
        (
            "idProviderType: local",
            "idProviderType: ldap",
            "idProviderType",
        ),
        ("correct horse", "incorrect horse", "password"),
        (
            "password: correct horse",
            "passwordEnv: NO_SUCH_VARIABLE",
            "password",
        ),
    ] {
        let changed = text.replace(from, to);
        std::fs::write(&file, changed).unwrap();
        let opened = api.open_session(pb::OpenSessionReq {
            config_file: "alice/session.yaml".into(),
        });
        let opened = outcome!(opened.await.unwrap().into_inner(), open_session_resp);
        let error = error(
            opened,
            ErrorCategory::ClientError,
            ErrorCode::ErrInvalidConfig,
        );
        let Some(AddInfo::ErrInfoInvalidConfig(info)) = &error.add_info else {
            panic!("{error:?}");
        };
        assert!(
            info.name.to_lowercase().contains(&name.to_lowercase()),
            "{error:?}"
        );
    }
}
