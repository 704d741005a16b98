//! Payments by the API, and by the session's own client.

use std::time::{Duration, Instant};

use perun_client::channel::Channel;
use perun_node::api::pb;
use perun_node::session::parse_channel;
use perun_protocol::Amount;

use crate::world::{Incoming, User, World, proposal};

/// Payments of each channel in a round.
const ROUND: usize = 40;
/// What is paid, in the smallest unit, and as the API writes it.
const AMOUNT: (u128, &str) = (1, "0.00000001");

/// Rounds of one way of paying.
#[derive(Default)]
struct Rounds {
    /// Payments a second.
    rates: Vec<f64>,
    latencies: Vec<Duration>,
}

pub async fn measure(alternations: usize) {
    println!("payments one by one on each channel, medians of {alternations} alternations\n");
    println!(
        "| channels | library, a second | API, a second | ratio | library, p50 / p99 | API, p50 / p99 |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    for channels in [1, 16] {
        measure_with(channels, alternations).await;
    }
}

async fn measure_with(count: usize, alternations: usize) {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let mut ids = Vec::new();
    let mut proposals = bob.subscribe_proposals().await;
    for _ in 0..count {
        ids.push(open(&mut alice, &mut bob, &mut proposals).await);
    }
    let node = world.serving().node();
    let session = node.open_sessions().into_iter();
    let session = session
        .into_iter()
        .find(|session| session.name() == "alice")
        .unwrap();
    let channels: Vec<Channel> = ids
        .iter()
        .map(|id| {
            session
                .client()
                .channel(&parse_channel(id).unwrap())
                .unwrap()
        })
        .collect();
    let (mut library, mut api) = (Rounds::default(), Rounds::default());
    // The first one warms up.
    for number in 0..=alternations {
        let by_library = pay_by_library(&channels).await;
        let by_api = pay_by_api(&alice, &ids).await;
        if number > 0 {
            library.add(count, by_library);
            api.add(count, by_api);
        }
    }
    let (by_library, by_api) = (library.rate(), api.rate());
    println!(
        "| {count} | {by_library:.0} | {by_api:.0} | {:.0} % | {} | {} |",
        100.0 * by_api / by_library,
        library.latency(),
        api.latency(),
    );
}

async fn open(
    alice: &mut User,
    bob: &mut User,
    proposals: &mut tonic::Streaming<pb::SubPayChProposalsResp>,
) -> String {
    let (opened, _) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let told = proposal(proposals).await.unwrap();
        bob.respond_proposal(&told.proposal_id, true).await.unwrap()
    });
    opened.unwrap().ch_id
}

/// How long it took, and each payment.
async fn pay_by_library(channels: &[Channel]) -> (Duration, Vec<Duration>) {
    let began = Instant::now();
    let payers = channels.iter().cloned().map(|channel| {
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(ROUND);
            for _ in 0..ROUND {
                let began = Instant::now();
                channel.pay(Amount::new(AMOUNT.0)).await.unwrap();
                latencies.push(began.elapsed());
            }
            latencies
        })
    });
    let payers: Vec<_> = payers.collect();
    let mut latencies = Vec::new();
    for payer in payers {
        latencies.extend(payer.await.unwrap());
    }
    (began.elapsed(), latencies)
}

async fn pay_by_api(alice: &User, ids: &[String]) -> (Duration, Vec<Duration>) {
    let began = Instant::now();
    let payers = ids.iter().cloned().map(|id| {
        let mut alice = alice.clone_api();
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(ROUND);
            for _ in 0..ROUND {
                let began = Instant::now();
                alice.send(&id, "bob", AMOUNT.1).await.unwrap();
                latencies.push(began.elapsed());
            }
            latencies
        })
    });
    let payers: Vec<_> = payers.collect();
    let mut latencies = Vec::new();
    for payer in payers {
        latencies.extend(payer.await.unwrap());
    }
    (began.elapsed(), latencies)
}

impl Rounds {
    fn add(&mut self, channels: usize, (took, latencies): (Duration, Vec<Duration>)) {
        let payments = (channels * ROUND) as f64;
        self.rates.push(payments / took.as_secs_f64());
        self.latencies.extend(latencies);
    }

    fn rate(&mut self) -> f64 {
        self.rates.sort_by(f64::total_cmp);
        self.rates[self.rates.len() / 2]
    }

    fn latency(&mut self) -> String {
        self.latencies.sort_unstable();
        let at = |part: f64| {
            let index = (self.latencies.len() as f64 * part) as usize;
            self.latencies[index.min(self.latencies.len() - 1)].as_secs_f64() * 1e3
        };
        format!("{:.2} / {:.2} ms", at(0.5), at(0.99))
    }
}
