//! Answers that make no sense, canisters that are not there, and canisters that stand still.

mod world;

use std::time::Duration;

use candid::Principal;
use candid::utils::ArgumentEncoder;
use local_ic::{Fault, RejectCode, Target};
use perun_canister_api::{
    self as api, DepositAccountError, EventsError, HoldingsAnswer, QueryError, StateAnswer, convert,
};
use perun_client::chain::{Chain, Cursor, FollowError};
use perun_client::{Adjudicator, CallError, Door, Funder, Ledger, Nonsense, Phase, WrongAnswer};
use world::{ALICE, FIRST, QUICK, TestChannel, World, account, table, units};

/// Installs a canister whose methods answer with fixed bytes, whatever they are asked.
fn liar(world: &World, answers: &[(&str, Vec<u8>)]) -> Principal {
    let mut data = String::new();
    let mut functions = String::new();
    let mut offset = 0;
    for (method, answer) in answers {
        let bytes: String = answer.iter().map(|byte| format!("\\{byte:02x}")).collect();
        data.push_str(&format!("(data (i32.const {offset}) \"{bytes}\")\n"));
        functions.push_str(&format!(
            "(func (export \"canister_update {method}\")
                (call $append (i32.const {offset}) (i32.const {}))
                (call $reply))\n",
            answer.len()
        ));
        offset += answer.len();
    }
    let wasm = wat::parse_str(format!(
        "(module
            (import \"ic0\" \"msg_reply_data_append\" (func $append (param i32 i32)))
            (import \"ic0\" \"msg_reply\" (func $reply))
            (memory 1) {data} {functions})"
    ));
    world.server.with(|replica| {
        let id = replica.create_canister(Principal::management_canister());
        replica.install(id, &wasm.unwrap(), vec![]).unwrap();
        id
    })
}

async fn lying_adjudicator(world: &World, answers: &[(&str, Vec<u8>)]) -> Adjudicator {
    let id = liar(world, answers);
    Adjudicator::new(world.agent(ALICE).await, id).with_patience(QUICK)
}

fn answer(values: impl ArgumentEncoder) -> Vec<u8> {
    candid::encode_args(values).unwrap()
}

fn holdings(amounts: Vec<Vec<u128>>) -> Vec<u8> {
    let answer_with = HoldingsAnswer {
        holdings: Some(api::Holdings {
            phase: Phase::Open,
            amounts,
            in_flight: vec![0],
        }),
    };
    answer((Ok::<_, QueryError>(answer_with),))
}

fn nonsense<T: std::fmt::Debug, R: std::fmt::Debug>(result: Result<T, CallError<R>>) -> Nonsense {
    match result {
        Err(CallError::Nonsense(nonsense)) => *nonsense,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holdings_that_make_no_sense_are_none() {
    let world = World::new().await;
    let channel = world.channel(1);
    for (bytes, expected) in [
        (
            holdings(vec![vec![1]]),
            WrongAnswer::Shape {
                assets: 1,
                parts: 2,
            },
        ),
        (
            holdings(vec![]),
            WrongAnswer::Shape {
                assets: 1,
                parts: 2,
            },
        ),
    ] {
        let adjudicator = lying_adjudicator(&world, &[("query_holdings", bytes)]).await;
        let found = nonsense(adjudicator.holdings(&channel.params).await);
        let expected = Nonsense {
            canister: adjudicator.id(),
            method: "query_holdings",
            wrong: expected,
        };
        assert_eq!(found, expected);
    }
    let too_much = [("query_holdings", holdings(vec![vec![u128::MAX; 2]]))];
    let overflow = lying_adjudicator(&world, &too_much).await;
    let found = nonsense(overflow.holdings(&channel.params).await);
    assert!(matches!(found.wrong, WrongAnswer::Balances(_)));
    for bytes in [
        vec![],
        b"DIDL".to_vec(),
        answer(("zero",)),
        answer((7_u8, 7_u8)),
    ] {
        let adjudicator = lying_adjudicator(&world, &[("query_holdings", bytes)]).await;
        let found = nonsense(adjudicator.holdings(&channel.params).await);
        assert!(matches!(found.wrong, WrongAnswer::Candid { .. }), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_state_is_not_taken_on_trust() {
    let world = World::new().await;
    let channel = world.channel(1);
    let told = |channel: &TestChannel, rank| {
        let signed = channel.signed(5, [1, 2], [1, 2]);
        let answer_with = StateAnswer {
            registered: Some(api::Registered {
                rank,
                signed_state: Some(signed.encode().into()),
                timeout_ns: 1,
                concluded: false,
            }),
            certificate: None,
            witness: None,
        };
        answer((Ok::<_, QueryError>(answer_with),))
    };
    let honest = told(&channel, api::Rank::State(5));
    let adjudicator = lying_adjudicator(&world, &[("query_state", honest)]).await;
    let registered = adjudicator
        .registered(&channel.params)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        registered.signed_state,
        Some(channel.signed(5, [1, 2], [1, 2]))
    );

    let older = told(&channel, api::Rank::State(4));
    let adjudicator = lying_adjudicator(&world, &[("query_state", older)]).await;
    let found = nonsense(adjudicator.registered(&channel.params).await);
    assert_eq!(found.wrong, WrongAnswer::RankMismatch);

    let others = told(&world.channel(2), api::Rank::State(5));
    let adjudicator = lying_adjudicator(&world, &[("query_state", others)]).await;
    let found = nonsense(adjudicator.registered(&channel.params).await);
    assert!(matches!(found.wrong, WrongAnswer::Signatures(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_strangers_account() {
    let world = World::new().await;
    let channel = world.channel(1);
    let told = |account, amount| {
        let answer_with = api::DepositAccount {
            account: convert::account_to_candid(&account),
            amount,
            fee: 10,
        };
        answer((Ok::<_, DepositAccountError>(answer_with),))
    };
    let right = perun_protocol::Account::of_deposit(&channel.params, FIRST);
    for (bytes, expected) in [
        (told(account(5), 110), WrongAnswer::DepositAccount),
        (told(right, 111), WrongAnswer::DepositAmount),
    ] {
        let adjudicator = lying_adjudicator(&world, &[("deposit_account", bytes)]).await;
        let asked =
            adjudicator.deposit_account(&channel.params, FIRST, channel.asset(), units(100));
        assert_eq!(nonsense(asked.await).wrong, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_does_not_go_back() {
    let world = World::new().await;
    let channel = world.channel(1);
    let registered = HoldingsAnswer {
        holdings: Some(api::Holdings {
            phase: Phase::Registered,
            amounts: vec![vec![1, 2]],
            in_flight: vec![0],
        }),
    };
    let nothing = StateAnswer {
        registered: None,
        certificate: None,
        witness: None,
    };
    let info = world.adjudicator_for(ALICE).await.info().await.unwrap();
    let answers = [
        ("info", answer((info,))),
        ("query_holdings", answer((Ok::<_, QueryError>(registered),))),
        ("query_state", answer((Ok::<_, QueryError>(nothing),))),
    ];
    let adjudicator = lying_adjudicator(&world, &answers).await;
    let chain = Chain::new(Funder::new(adjudicator));
    let found = nonsense(chain.look(&channel.params).await);
    assert_eq!(
        (found.method, found.wrong),
        ("query_state", WrongAnswer::WentBack)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_left_out_is_missed() {
    let world = World::new().await;
    let record = |index| api::EventRecord {
        index,
        at_ns: index,
        channel: convert::channel_to_candid(&world.channel(1).params.id()),
        event: api::Event::Concluded {
            outcome: vec![vec![1, 2]],
        },
    };
    for (indices, total, missing) in [
        (vec![0, 2], 3, 1),
        (vec![1], 2, 0),
        (vec![], 1, 0),
        (vec![0, 1], 1, 2),
    ] {
        let page = api::EventsPage {
            events: indices.into_iter().map(record).collect(),
            next: 3,
            total,
            as_of_ns: 9,
            parent: None,
            certificate: None,
            witness: None,
        };
        let bytes = answer((Ok::<_, EventsError>(page),));
        let adjudicator = lying_adjudicator(&world, &[("query_events", bytes)]).await;
        let mut follower = Chain::new(Funder::new(adjudicator)).follower(Cursor::START);
        let Err(FollowError::Read(error)) = follower.poll().await else {
            panic!("{missing} is missing");
        };
        let wrong = nonsense::<(), _>(Err(error)).wrong;
        assert_eq!(wrong, WrongAnswer::EventOrder { index: missing });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_an_end_does_not_keep_us() {
    let world = World::new().await;
    let channel = world.channel(1);
    // There is always more, and it is never shown.
    let page = api::EventsPage {
        events: vec![],
        next: 0,
        total: 10,
        as_of_ns: 0,
        parent: None,
        certificate: None,
        witness: None,
    };
    let bytes = answer((Ok::<_, EventsError>(page),));
    let adjudicator = lying_adjudicator(&world, &[("query_events", bytes)]).await;
    let found = nonsense(adjudicator.channel_events(channel.params.id(), 0).await);
    assert_eq!(found.wrong, WrongAnswer::EventOrder { index: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_beyond_128_bits_is_refused() {
    let world = World::new().await;
    let huge = candid::Nat::from(u128::MAX) + 1_u8;
    let id = liar(&world, &[("icrc1_balance_of", answer((huge,)))]);
    let ledger = Ledger::new(world.agent(ALICE).await, id).with_patience(QUICK);
    let found = nonsense(ledger.balance(&account(ALICE)).await);
    assert_eq!(found.wrong, WrongAnswer::AmountOverflow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_stays_busy_ends_with_patience() {
    let world = World::new().await;
    let channel = world.channel(1);
    let busy = Err::<api::DepositReceipt, _>(api::DepositError::Busy);
    let adjudicator = lying_adjudicator(&world, &[("deposit", answer((busy,)))]).await;
    let patience = perun_client::Patience {
        total: Duration::from_millis(300),
        ..QUICK
    };
    let adjudicator = adjudicator.with_patience(patience);
    let swept = adjudicator
        .sweep(&channel.params, FIRST, channel.asset())
        .await;
    assert!(matches!(
        swept,
        Err(CallError::Refused(api::DepositError::Busy))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canister_that_is_not_there_is_told_at_once() {
    let world = World::new().await;
    let channel = world.channel(1);
    let nobody = Principal::from_text("be2us-64aaa-aaaaa-qaabq-cai").unwrap();
    // The ledger is there, but it is no adjudicator.
    for id in [nobody, world.ledger] {
        let adjudicator = Adjudicator::new(world.agent(ALICE).await, id);
        let error = adjudicator.holdings(&channel.params).await.unwrap_err();
        assert!(
            matches!(error, CallError::Transport { attempts: 1, .. }),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_waited_for() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(ALICE).await;
    let id = world.adjudicator;
    world.server.with(|replica| replica.stop(id)).unwrap();
    let restart = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.server.with(|replica| replica.start(id)).unwrap();
    };
    let (read, ()) = tokio::join!(adjudicator.holdings(&channel.params), restart);
    assert_eq!(read.unwrap().unwrap().amounts, table([20, 30]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_without_room_is_asked_again() {
    let world = World::new().await;
    let target = Target::ingress().to(world.adjudicator).method("deposit");
    let full = Fault::RejectBefore {
        code: RejectCode::SysTransient,
        message: "the queue is full".into(),
    };
    let rule = world.fault(target.times(3), full);
    let channel = world.channel(1);
    world.deposit(&channel, FIRST, 242, Door::Approval).await;
    assert_eq!(world.fired(rule), 3);
    assert_eq!(world.held(&channel).await, [242, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_signed_by_another_key_are_not_believed() {
    let world = World::new().await;
    let agent = ic_agent::Agent::builder()
        .with_url(world.server.url())
        .build()
        .unwrap();
    // It keeps the Internet Computer's own key.
    let adjudicator = Adjudicator::new(agent, world.adjudicator);
    let error = adjudicator.info().await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Transport {
                attempts: 1,
                in_doubt: true,
                ..
            }
        ),
        "{error}"
    );
}
