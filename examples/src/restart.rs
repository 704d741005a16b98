//! The story of somebody who is killed in the middle of payments and goes on.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perun_client::channel::{Channel, Closing};
use perun_protocol::{Amount, PartIdx};

use crate::payment::{ALICE, BOB};
use crate::person::off_chain_identity;
use crate::{Failure, Meeting, Person, Place, Scratch};

/// What each deposits, in tokens.
const DEPOSIT_TOKENS: u32 = 100;
/// What one payment is, in the smallest unit.
const PAYMENT: Amount = Amount::new(1_000);
/// What the victim says when it pays.
const PAYING: &str = "paying";
/// The file whose presence asks the victim to stop paying and close.
const ENOUGH: &str = "enough";

/// Bob's side, and the one who kills: starts Alice by `command`, kills her `kills` times while she
/// pays, lets her finish, and checks the books.
///
/// # Errors
/// Whatever goes wrong, in words; above all books that do not agree.
pub async fn with_victim(
    kills: u32,
    command: impl Fn(&Path) -> Result<Command, Failure>,
) -> Result<(), Failure> {
    let folder = Scratch::new("restart")?;
    let (_network, place) = Place::local(&[ALICE, BOB]).await?;
    let loopback = ([127, 0, 0, 1], 0).into();
    let bob = Person::start(BOB, &place, folder.path(), loopback).await?;
    let before = bob.wealth().await?;
    let meeting = folder.path().join("meeting.json");
    Meeting::of(&bob, place).write(&meeting)?;

    let mut proposals = bob.client.proposals();
    let mut victim = Victim::start(&command, &meeting)?;
    let proposal = proposals.next().await.ok_or("the client has stopped")?;
    let channel = proposal.accept().await?;
    for kill in 1..=kills {
        victim.wait_until_paying().await?;
        // Anywhere between two flushes, or in the middle of one.
        tokio::time::sleep(Duration::from_millis(random_below(400)?)).await;
        victim.kill()?;
        let version = channel.newest().map(|newest| newest.version().number());
        tracing::info!(
            "Alice is killed the {kill}. time, at version {} or later",
            version.unwrap_or_default()
        );
        victim = Victim::start(&command, &meeting)?;
    }
    victim.wait_until_paying().await?;
    std::fs::write(folder.path().join(ENOUGH), [])?;
    let closing = channel.closed().await?;
    victim.wait().await?;
    check(&bob, &channel, &closing, before).await?;
    bob.client.stop().await?;
    Ok(())
}

/// Alice's side: opens a channel, or goes on with the one in the store, and pays until told to
/// close.
///
/// # Errors
/// Whatever goes wrong, in words.
pub async fn as_victim(meeting: &Path) -> Result<(), Failure> {
    let folder = meeting
        .parent()
        .ok_or("a file lies in a folder")?
        .to_owned();
    let meeting = Meeting::read(meeting)?;
    let loopback = ([127, 0, 0, 1], 0).into();
    let alice = Person::start(ALICE, &meeting.place, &folder, loopback).await?;
    let peer = off_chain_identity(&meeting.name)?;
    alice.client.connect(peer, &meeting.address.to_string());
    let channel = match alice.client.channels().pop() {
        Some(channel) => channel,
        None => {
            let terms = alice.terms(DEPOSIT_TOKENS)?;
            alice.client.propose(&peer, terms).await?
        }
    };
    channel.opened().await?;
    let mut is_told = false;
    while !folder.join(ENOUGH).exists() {
        channel.pay(PAYMENT).await?;
        if !std::mem::replace(&mut is_told, true) {
            println!("{PAYING}");
        }
    }
    channel.close().await?;
    alice.client.stop().await?;
    Ok(())
}

/// What Bob has must be what the proved payments say, to the last unit.
async fn check(
    bob: &Person,
    channel: &Channel,
    closing: &Closing,
    before: Amount,
) -> Result<(), Failure> {
    let newest = channel
        .newest()
        .ok_or("a channel that was open has a state")?;
    let history = channel.history()?;
    history.verify(&channel.params(), &newest)?;
    let alice = PartIdx::new(0);
    let payments: u128 = history
        .entries
        .iter()
        .filter(|entry| entry.payer == alice)
        .map(|entry| u128::from(entry.payments.count()))
        .sum();
    let fee = bob.ledger.fee().await?.units();
    let deposit = bob.token.parse(&DEPOSIT_TOKENS.to_string())?.units();
    let received = payments * PAYMENT.units();
    let paid_out: u128 = closing
        .paid_out
        .iter()
        .map(|paid_out| paid_out.receipt.paid.units())
        .sum();
    if paid_out != deposit + received - fee {
        let expected = bob.token.show(Amount::new(deposit + received - fee));
        let paid_out = bob.token.show(Amount::new(paid_out));
        return Err(format!("Bob was paid {paid_out} instead of {expected}").into());
    }
    let after = bob.wealth().await?;
    // Approving and pulling the deposit cost a fee each, the payout one.
    if after.units() + 3 * fee != before.units() + received {
        return Err("the ledger says something else than the channel".into());
    }
    tracing::info!(
        "{payments} payments are proved by version {}, and Bob has {} more than before, fees taken \
         off",
        newest.version(),
        bob.token.show(Amount::new(received - 3 * fee))
    );
    Ok(())
}

/// The process that is killed.
struct Victim {
    child: Child,
    paying: tokio::sync::oneshot::Receiver<()>,
}

impl Victim {
    fn start(
        command: &impl Fn(&Path) -> Result<Command, Failure>,
        meeting: &Path,
    ) -> Result<Self, Failure> {
        let mut command = command(meeting)?;
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the output is piped")?;
        let (sender, paying) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line != PAYING {
                    println!("{line}");
                } else if let Some(sender) = sender.take() {
                    let _ = sender.send(());
                }
            }
        });
        Ok(Self { child, paying })
    }

    async fn wait_until_paying(&mut self) -> Result<(), Failure> {
        let waited = tokio::time::timeout(Duration::from_secs(60), &mut self.paying).await;
        waited
            .map_err(|_| "Alice does not pay")?
            .map_err(|_| "Alice has ended")?;
        Ok(())
    }

    fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    async fn wait(mut self) -> Result<(), Failure> {
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
        if status.success() {
            return Ok(());
        }
        Err(format!("Alice has ended with {status}").into())
    }
}

fn random_below(end: u64) -> Result<u64, Failure> {
    Ok(u64::from(crate::random()?[0]) * end / 256)
}
