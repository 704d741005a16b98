//! Deposits that do not come in time.

use std::time::Duration;

use perun_node::api::pb::msg_error::AddInfo;
use perun_node::api::pb::{self, ErrorCategory, ErrorCode};

use crate::channel::Outside;
use crate::watching::funding_api;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_that_nobody_joins_is_waited_for_so_long() {
    let mut world = World::new(&["alice", "bob"]).await;
    world.settings.on_chain_tx_timeout = Duration::from_secs(3);
    world.restart().await;
    let alice = world.open("alice").await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let mut funding = funding_api(&world).await;
    let funded = funding.fund(pb::FundReq {
        session_id: alice.session,
        params: Some(channel.told_params()),
        state: Some(channel.told_state(0)),
        idx: 0,
        agreement: None,
    });
    let error = funded.await.unwrap().into_inner().error.unwrap();
    assert_eq!(
        (error.category(), error.code()),
        (ErrorCategory::ProtocolError, ErrorCode::ErrTxTimedOut)
    );
    let Some(AddInfo::ErrInfoTxTimedOut(info)) = error.add_info else {
        panic!("{error:?}");
    };
    assert_eq!(info.tx_type, "fund");
    assert_eq!(info.tx_id, channel.params.id().to_string());
    assert_eq!(info.tx_timeout, "3s");
}
