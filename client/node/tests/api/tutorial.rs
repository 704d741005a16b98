//! The story of perun-node's tutorial: contacts, a channel, payments both ways, and the end.

use perun_node::api::pb;
use perun_node::api::pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
use perun_node::api::v1;

use crate::outcome;
use crate::world::{World, held, proposal, soon, update};

#[tokio::test(flavor = "multi_thread")]
async fn two_users_open_pay_and_close() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;

    let config = alice.api.get_config(pb::GetConfigReq {});
    let config = config.await.unwrap().into_inner();
    assert_eq!(config.adjudicator, world.network.adjudicator.to_text());
    assert_eq!(config.asset_eth, world.network.ledger.to_text());

    // Alice proposes, bob is told and accepts.
    let mut proposals = bob.subscribe_proposals().await;
    let (opened, accepted) = tokio::join!(alice.open_channel("bob", "3", "2.5"), async {
        let told = proposal(&mut proposals).await.unwrap();
        assert_eq!(told.challenge_dur_secs, 60);
        let balances = told.opening_bal_info.as_ref().unwrap();
        assert_eq!(balances.parts, ["self", "alice"]);
        assert_eq!(balances.bals[0].bal, ["2.5", "3"]);
        bob.respond_proposal(&told.proposal_id, true).await
    });
    let (opened, accepted) = (opened.unwrap(), accepted.unwrap().unwrap());
    assert_eq!(opened.ch_id, accepted.ch_id);
    assert_eq!((held(&opened), &*opened.version), (["3", "2.5"], "0"));
    assert_eq!(held(&accepted), ["2.5", "3"]);
    let channel = opened.ch_id;

    // A payment is offered to bob, who accepts it.
    let mut to_bob = bob.subscribe_updates(&channel).await;
    let mut to_alice = alice.subscribe_updates(&channel).await;
    let (sent, accepted) = tokio::join!(alice.send(&channel, "bob", "0.5"), async {
        let told = update(&mut to_bob).await.unwrap();
        assert_eq!(told.r#type(), ChUpdateType::Open);
        assert!(told.expiry > 0);
        assert_eq!(
            held(told.proposed_pay_ch_info.as_ref().unwrap()),
            ["3", "2.5"]
        );
        bob.respond_update(&channel, &told.update_id, true).await
    });
    assert_eq!(held(&sent.unwrap()), ["2.5", "3"]);
    assert_eq!(held(&accepted.unwrap()), ["3", "2.5"]);

    // One that he rejects changes nothing.
    let (sent, rejected) = tokio::join!(alice.send(&channel, "bob", "1"), async {
        let told = update(&mut to_bob).await.unwrap();
        bob.respond_update(&channel, &told.update_id, false).await
    });
    let error = sent.unwrap_err();
    assert_eq!(error.code(), pb::ErrorCode::ErrPeerRejected);
    assert!(
        error.message.contains("rejected by user"),
        "{}",
        error.message
    );
    assert_eq!(held(&rejected.unwrap()), ["3", "2.5"]);

    // Bob asks for a payment, and alice pays it; he is not asked whether he wants what he asked for.
    let (asked, paid) = tokio::join!(bob.send(&channel, "self", "0.25"), async {
        let told = update(&mut to_alice).await.unwrap();
        assert_eq!(
            held(told.proposed_pay_ch_info.as_ref().unwrap()),
            ["2.25", "3.25"]
        );
        alice.respond_update(&channel, &told.update_id, true).await
    });
    assert_eq!(held(&asked.unwrap()), ["3.25", "2.25"]);
    assert_eq!(held(&paid.unwrap()), ["2.25", "3.25"]);

    // Alice closes, bob agrees, both are paid out and told.
    let (closed, agreed) = tokio::join!(alice.close_channel(&channel), async {
        let told = update(&mut to_bob).await.unwrap();
        assert_eq!(told.r#type(), ChUpdateType::Final);
        bob.respond_update(&channel, &told.update_id, true).await
    });
    assert_eq!(held(&closed.unwrap()), ["2.25", "3.25"]);
    assert_eq!(held(&agreed.unwrap()), ["3.25", "2.25"]);
    for stream in [&mut to_alice, &mut to_bob] {
        let told = update(stream).await.unwrap();
        assert_eq!(told.r#type(), ChUpdateType::Closed);
        assert!(told.update_id.ends_with("_closed"), "{}", told.update_id);
        assert_eq!((told.expiry, told.error), (0, None));
    }
    assert_eq!(alice.channels().await.unwrap(), []);

    // What the ledger says: deposits of 3 and 2.5 with two fees each, payouts less one fee.
    let mut sessions = world.sessions_api().await;
    for (session, amount) in [(&alice.session, "999.2497"), (&bob.session, "1000.7497")] {
        let balances = sessions.balances(v1::BalancesRequest {
            session_id: session.clone(),
        });
        let balances = soon(balances).await.unwrap().into_inner().balances;
        assert_eq!(
            (&*balances[0].currency, &*balances[0].amount),
            ("ICP", amount)
        );
    }
    assert_eq!(alice.close_session(false).await.unwrap(), []);
    let gone = alice.channels().await.unwrap_err();
    assert_eq!(gone.code(), pb::ErrorCode::ErrResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_time_are_told() {
    let world = World::new(&[]).await;
    let mut api = world.payment_api().await;
    let help = api.help(pb::HelpReq {}).await.unwrap().into_inner();
    assert_eq!(help.apis.len(), 20);
    assert!(help.apis.contains(&"OpenPayCh".to_owned()));
    let time = api.time(pb::TimeReq {}).await.unwrap().into_inner().time;
    assert!((perun_node::clock::seconds() - time).abs() < 60);
    let deployed = api.deploy_asset_erc20(pb::DeployAssetErc20Req {
        session_id: "none".into(),
        token_addr: world.network.ledger.to_text(),
    });
    let deployed = outcome!(
        deployed.await.unwrap().into_inner(),
        deploy_asset_erc20_resp
    );
    let error = deployed.unwrap_err();
    assert_eq!(error.code(), pb::ErrorCode::ErrResourceNotFound);
}
