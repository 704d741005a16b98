//! Two clients open a channel over TCP, pay each other a thousand times each, at the same time, and
//! close it.
//!
//! ```text
//! cargo run --release --example payment                      both in one process
//! cargo run --release --example payment -- --role bob        in one terminal: waits for Alice
//! cargo run --release --example payment -- --role alice      in another
//! ```

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use perun_examples::payment::{ALICE, BOB, accept_and_pay, propose_and_pay, report};
use perun_examples::{Failure, Meeting, Person, Place, Scratch, run};

/// Two clients open a channel over TCP, pay each other, and close it.
#[derive(Parser)]
struct Program {
    /// Who to be; both in this process if nothing is said.
    #[arg(long)]
    role: Option<Role>,

    /// How many payments each makes.
    #[arg(long, default_value_t = 1_000)]
    payments: u32,

    /// Where Bob writes down how to reach him, for Alice to read [default: perun-payment.json in the
    /// folder for temporary files].
    #[arg(long, value_name = "FILE")]
    meeting: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Alice,
    Bob,
}

fn main() -> ExitCode {
    let program = Program::parse();
    run("payment", play(program))
}

async fn play(program: Program) -> Result<(), Failure> {
    let default = || std::env::temp_dir().join("perun-payment.json");
    let meeting = program.meeting.unwrap_or_else(default);
    match program.role {
        None => both(program.payments).await,
        Some(Role::Bob) => bob(program.payments, &meeting).await,
        Some(Role::Alice) => alice(program.payments, &meeting).await,
    }
}

async fn both(payments: u32) -> Result<(), Failure> {
    let folder = Scratch::new("payment")?;
    let (_network, place) = Place::local(&[ALICE, BOB]).await?;
    let loopback = ([127, 0, 0, 1], 0).into();
    let bob = Person::start(BOB, &place, folder.path(), loopback).await?;
    let alice = Person::start(ALICE, &place, folder.path(), loopback).await?;
    let meeting = Meeting::of(&bob, place);
    let (paid, accepted) = tokio::join!(
        propose_and_pay(&alice, &meeting, payments),
        accept_and_pay(&bob, payments),
    );
    paid?;
    accepted?;
    report(&alice).await?;
    report(&bob).await?;
    alice.client.stop().await?;
    bob.client.stop().await?;
    Ok(())
}

async fn bob(payments: u32, meeting: &Path) -> Result<(), Failure> {
    let folder = Scratch::new("payment-bob")?;
    let (_network, place) = Place::local(&[ALICE, BOB]).await?;
    let loopback = ([127, 0, 0, 1], 0).into();
    let bob = Person::start(BOB, &place, folder.path(), loopback).await?;
    Meeting::of(&bob, place).write(meeting)?;
    tracing::info!(
        "Bob waits for Alice; start her in another terminal with --role alice --meeting {}",
        meeting.display()
    );
    accept_and_pay(&bob, payments).await?;
    report(&bob).await?;
    // Alice asks the network, which ends with this process, for her balance too.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    bob.client.stop().await?;
    std::fs::remove_file(meeting)?;
    Ok(())
}

async fn alice(payments: u32, meeting: &Path) -> Result<(), Failure> {
    let folder = Scratch::new("payment-alice")?;
    let meeting = Meeting::read(meeting)?;
    let loopback = ([127, 0, 0, 1], 0).into();
    let alice = Person::start(ALICE, &meeting.place, folder.path(), loopback).await?;
    propose_and_pay(&alice, &meeting, payments).await?;
    report(&alice).await?;
    alice.client.stop().await?;
    Ok(())
}
