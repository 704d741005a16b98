//! The walkthroughs as people run them: on an embedded Internet Computer of their own, and against
//! one that runs already. They check their own figures; here it is checked that they do, and what
//! people are told who point them at something else.

use std::path::PathBuf;

use candid::Principal;
use perun_client::Ledger;
use perun_client::agent::connect;
use perun_client::identity::{generate, load_or_create};
use perun_examples::{Connection, Stage, WalkthroughArgs, dispute, happy};
use perun_local_network::{Endowment, LocalNetwork, Setup};
use perun_protocol::{Account, Amount, Timestamp};

const WHOLE: u128 = 100_000_000;
const FEE: u128 = LocalNetwork::FEE_E8S;

fn args() -> WalkthroughArgs {
    WalkthroughArgs {
        connection: None,
        first: "242".into(),
        second: "194".into(),
        challenge_duration: None,
    }
}

/// A network that runs already, and the PEM file of somebody with tokens.
struct Running {
    network: LocalNetwork,
    pem: PathBuf,
    owner: Principal,
}

impl Running {
    async fn with_tokens(name: &str, tokens: u32) -> Self {
        let file = format!("perun-walkthrough-{name}-{}.pem", std::process::id());
        let pem = std::env::temp_dir().join(file);
        let owner = load_or_create(&pem).unwrap().sender().unwrap();
        let endowment = Endowment { owner, tokens };
        let network = LocalNetwork::start(Setup {
            controller: owner,
            endowments: vec![endowment],
            ..Setup::default()
        });
        let network = network.await.unwrap();
        Self {
            network,
            pem,
            owner,
        }
    }

    fn args(&self) -> WalkthroughArgs {
        WalkthroughArgs {
            connection: Some(Connection {
                url: self.network.server.url(),
                adjudicator: self.network.adjudicator,
                ledger: self.network.ledger,
                identity: self.pem.clone(),
                fetch_root_key: false,
            }),
            ..args()
        }
    }

    async fn balance(&self) -> u128 {
        let url = self.network.server.url();
        let agent = connect(&url, generate().unwrap(), false).await.unwrap();
        let ledger = Ledger::new(agent, self.network.ledger);
        let owner = perun_protocol::Principal::from_slice(self.owner.as_slice()).unwrap();
        ledger.balance(&Account::of(owner)).await.unwrap().units()
    }

    /// What somebody is told who asks for something impossible.
    async fn refusal(&self, change: impl FnOnce(&mut WalkthroughArgs)) -> String {
        let mut args = self.args();
        change(&mut args);
        let stage = Stage::set(&args, happy::NAMES).await;
        stage.err().expect("this can't be a stage").to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pem);
    }
}

fn units(amounts: &[Amount]) -> Vec<u128> {
    amounts.iter().map(|amount| amount.units()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_happy_walkthrough_adds_up() {
    let stage = Stage::set(&args(), happy::NAMES).await.unwrap();
    let closing = happy::walk(&stage).await.unwrap();
    // 242 − 242/4 + 194/8 − 242/16, and the rest of 436.
    let (alice, bob) = (19_062_500_000 - FEE, 24_537_500_000 - FEE);
    assert_eq!(units(&closing.paid), [alice, bob]);
    assert_eq!(closing.fees.units(), 6 * FEE);
    assert_eq!(closing.before.units(), 2_000 * WHOLE);
    assert_eq!(closing.after.units(), 2_000 * WHOLE - 6 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dispute_walkthrough_pays_what_the_newest_state_says() {
    let stage = Stage::set(&args(), dispute::NAMES).await.unwrap();
    let closing = dispute::walk(&stage).await.unwrap();
    // 242 + 194/8 − 242/2 − 242/4, and the rest of 436.
    let (mallory, bob) = (8_475_000_000 - FEE, 35_125_000_000 - FEE);
    assert_eq!(units(&closing.paid), [mallory, bob]);
    assert_eq!(closing.fees.units(), 6 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn against_a_running_network_it_can_be_repeated() {
    let running = Running::with_tokens("repeated", 437).await;
    for round in 1..=3 {
        let stage = Stage::set(&running.args(), happy::NAMES).await.unwrap();
        happy::walk(&stage).await.unwrap();
        // One identity pays everything and gets everything back but the fees.
        assert_eq!(running.balance().await, 437 * WHOLE - round * 6 * FEE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_uneven_deposits_make_a_story_too() {
    let running = Running::with_tokens("small", 10).await;
    let mut args = running.args();
    (args.first, args.second) = ("0.0005".into(), "3.00000001".into());
    let stage = Stage::set(&args, happy::NAMES).await.unwrap();
    let closing = happy::walk(&stage).await.unwrap();
    let paid: u128 = units(&closing.paid).into_iter().sum();
    assert_eq!(paid, 50_000 + 300_000_001 - 2 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_impossible_is_told_what_it_is() {
    let running = Running::with_tokens("refused", 436).await;
    let poor = running.refusal(|_| ()).await;
    assert!(
        poor.contains("has 436 ICP; deposits and fees need 436.0004 ICP"),
        "{poor}"
    );

    let short = running
        .refusal(|args| args.challenge_duration = Some(59))
        .await;
    assert!(
        short.contains("59 s; the adjudicator accepts 60 to 2592000 s"),
        "{short}"
    );

    let odd = running.refusal(|args| args.first = "1,5".into()).await;
    assert!(odd.contains("\"1,5\" is no amount"), "{odd}");

    let adjudicator = running.network.adjudicator;
    let unserved = running.refusal(|args| {
        args.connection.as_mut().unwrap().ledger = adjudicator;
    });
    let unserved = unserved.await;
    assert!(unserved.contains("does not serve the ledger"), "{unserved}");
    assert!(
        unserved.contains(&running.network.ledger.to_text()),
        "{unserved}"
    );

    let ledger = running.network.ledger;
    let swapped = running.refusal(|args| {
        args.connection.as_mut().unwrap().adjudicator = ledger;
    });
    let swapped = swapped.await;
    assert!(swapped.contains("info"), "{swapped}");

    let url = "http://127.0.0.1:1".to_owned();
    let silent = running.refusal(|args| args.connection.as_mut().unwrap().url = url);
    let silent = silent.await;
    assert!(
        silent.contains("http://127.0.0.1:1 does not tell its root key"),
        "{silent}"
    );

    let no_key = running.refusal(|args| {
        args.connection.as_mut().unwrap().identity = "/no/such/key.pem".into();
    });
    let no_key = no_key.await;
    assert!(no_key.contains("/no/such/key.pem"), "{no_key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_not_ours_is_waited_for() {
    let running = Running::with_tokens("waiting", 1_000).await;
    let stage = Stage::set(&running.args(), dispute::NAMES).await.unwrap();
    let now = || async {
        let info = stage.adjudicator.info().await.unwrap();
        Timestamp::from_nanos(info.now_ns)
    };
    let begin = std::time::Instant::now();
    let instant = now().await.saturating_add_nanos(1_500_000_000);
    stage.pass_until(instant).await.unwrap();
    assert!(now().await >= instant);
    assert!(begin.elapsed().as_millis() >= 1_500);
}
