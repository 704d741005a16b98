//! Payments a second beside what no payment channel can do without.
//!
//! ```text
//! cargo bench -p perun-client --bench payments
//! ```
//!
//! Each row pays by the floor and by two clients in turn, with the same keys, on the same disk, in
//! one process, and shows the medians. The floor ([`floor`]) is a plain loop: TCP on loopback, Noise,
//! two signatures, two verifications, and durable also a flush on either side. The clients are the
//! shipped ones, with a channel that the real adjudicator holds the deposits of.

mod floor;
mod ours;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use perun_protocol::signature::{Libsecp256k1, Libsecp256k1Key, Signer as _, Verifier as _};

use self::floor::Load;
use self::ours::{Network, Pair};
use self::table::{Row, Sample};

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// How often floor and clients take turns.
const ALTERNATIONS: usize = 11;

fn main() {
    // Cargo passes `--bench`; a number is how often to alternate, for a quick look.
    let alternations = std::env::args().find_map(|arg| arg.parse().ok());
    let alternations = alternations.unwrap_or(ALTERNATIONS);
    let folder = scratch();
    let network = Network::start();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores, {alternations} alternations, files in {}\n",
        folder.display()
    );

    let mut rows = Vec::new();
    {
        let pair = Pair::open(&network, None, 1);
        let load = Load {
            rounds: 1_000,
            payments: 1,
        };
        let floor = || floor::run(load, None);
        rows.push(compare("one by one", alternations, load, floor, || {
            pair.pay_one_by_one(load.rounds)
        }));
    }
    let files = folder.join("clients");
    {
        let pair = Pair::open(&network, Some(&files.join("single")), 1);
        let load = Load {
            rounds: 200,
            payments: 1,
        };
        let floor = || floor::run(load, Some(&folder));
        rows.push(compare(
            "one by one, durable",
            alternations,
            load,
            floor,
            || pair.pay_one_by_one(load.rounds),
        ));
        for (name, payments, rounds) in [
            ("4,096 an update, durable", 4_096, 60),
            ("65,536 an update, durable", 65_536, 8),
        ] {
            let load = Load { rounds, payments };
            let floor = || floor::run(load, Some(&folder));
            rows.push(compare(name, alternations, load, floor, || {
                pair.pay_in_batches(load.rounds, load.payments)
            }));
        }
        heap_growth(&pair);
        pair.verify();
    }
    {
        let pair = Pair::open(&network, Some(&files.join("many")), 64);
        let rounds = 10;
        let load = Load {
            rounds: rounds * 64,
            payments: 1,
        };
        let bound = || spend_signatures(load.rounds, cores);
        rows.push(compare(
            "64 channels, durable (*)",
            alternations,
            load,
            bound,
            || pair.pay_on_all(rounds),
        ));
        pair.verify();
    }
    println!("{}", table::render(&rows));
    println!(
        "(*) The floor of this row is two signatures and two verifications a payment on all cores, \
         without link and disk."
    );
    let _ = std::fs::remove_dir_all(folder);
}

/// Pays by the floor and by the clients in turn.
fn compare(
    name: &'static str,
    alternations: usize,
    load: Load,
    floor: impl Fn(),
    ours: impl Fn() -> Counted,
) -> Row {
    let payments = load.rounds * load.payments;
    // Once each before it counts.
    floor();
    ours();
    let mut samples = Vec::new();
    for _ in 0..alternations {
        let (floor_time, floor_cpu, ()) = timed(&floor);
        let (our_time, our_cpu, counted) = timed(&ours);
        let each = |duration: Duration| duration.as_secs_f64() / payments as f64;
        samples.push(Sample {
            floor_s: each(floor_time),
            floor_cpu_s: each(floor_cpu),
            ours_s: each(our_time),
            ours_cpu_s: each(our_cpu),
            flushes: counted.flushes as f64 / payments as f64,
            bytes: counted.bytes as f64 / payments as f64,
        });
    }
    eprintln!("{name}: done");
    Row { name, samples }
}

/// What the clients used besides time.
pub struct Counted {
    flushes: u64,
    bytes: u64,
}

fn timed<R>(run: &impl Fn() -> R) -> (Duration, Duration, R) {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let result = run();
    (wall.elapsed(), cpu.elapsed(), result)
}

/// What signatures alone take if every core does nothing else.
fn spend_signatures(payments: usize, cores: usize) {
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            std::thread::spawn(move || {
                let key = Libsecp256k1Key::from_bytes(&[core as u8 + 1; 32]).unwrap();
                let public = key.public_key();
                let mut digest = [core as u8; 32];
                for _ in 0..payments / cores {
                    for _ in 0..2 {
                        let signature = key.sign(&digest);
                        assert!(Libsecp256k1::verify(&public, &digest, &signature));
                        digest[..8].copy_from_slice(&signature.as_bytes()[..8]);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A million payments, and what they leave on the heap.
fn heap_growth(pair: &Pair) {
    pair.pay_in_batches(10, 4_096);
    let before = HEAP.current_usage();
    pair.pay_in_batches(250, 4_096);
    let after = HEAP.current_usage();
    let growth = after as f64 - before as f64;
    println!(
        "Heap before a million payments: {:.0} KiB, behind them {:+.0} KiB",
        before as f64 / 1024.0,
        growth / 1024.0
    );
}

fn scratch() -> PathBuf {
    let unique = format!("perun-bench-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    std::fs::create_dir_all(folder.join("clients")).unwrap();
    folder
}
