//! The story of two people who pay each other off chain.

use std::time::{Duration, Instant};

use perun_client::channel::{Channel, Closing};
use perun_client::events::{ClientEvent, EventsError, Notification};
use perun_protocol::channel::Event;
use perun_protocol::{Amount, Version};

use crate::person::off_chain_identity;
use crate::{Failure, Meeting, Person};

/// Who proposes.
pub const ALICE: &str = "Alice";
/// Who accepts.
pub const BOB: &str = "Bob";

/// What each deposits, in tokens.
const DEPOSIT_TOKENS: u32 = 100;
/// What one payment is, in the smallest unit.
const PAYMENT: Amount = Amount::new(10_000);

/// Proposes a channel to whoever waits, pays, receives, and closes.
///
/// # Errors
/// Whatever goes wrong, in words.
pub async fn propose_and_pay(
    person: &Person,
    meeting: &Meeting,
    payments: u32,
) -> Result<(), Failure> {
    let peer = off_chain_identity(&meeting.name)?;
    person.client.connect(peer, &meeting.address.to_string());
    let terms = person.terms(DEPOSIT_TOKENS)?;
    tracing::info!("{} proposes a channel to {}", person.name, meeting.name);
    let begin = Instant::now();
    let channel = person.client.propose(&peer, terms).await?;
    tracing::info!(
        "Channel {:.8} is open after {:.1} s; both have deposited {} tokens",
        channel.id(),
        begin.elapsed().as_secs_f64(),
        DEPOSIT_TOKENS
    );
    pay_and_receive(person, &channel, payments).await?;
    tracing::info!("{} closes the channel", person.name);
    finish(person, channel.close().await?, &channel)
}

/// Accepts the first channel that is proposed, pays, receives, and waits until it is closed.
///
/// # Errors
/// Whatever goes wrong, in words.
pub async fn accept_and_pay(person: &Person, payments: u32) -> Result<(), Failure> {
    let mut proposals = person.client.proposals();
    let proposal = proposals.next().await.ok_or("the client has stopped")?;
    let channel = proposal.accept().await?;
    pay_and_receive(person, &channel, payments).await?;
    finish(person, channel.closed().await?, &channel)
}

/// Makes so many payments one after the other, while the peer does the same.
async fn pay_and_receive(person: &Person, channel: &Channel, payments: u32) -> Result<(), Failure> {
    let received = receive(channel, payments);
    let (paid, received) = tokio::join!(pay(channel, payments), received);
    let mut latencies = paid?;
    received?;
    latencies.sort();
    let total: Duration = latencies.iter().sum();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied();
    let [median, slow] = [at(50), at(99)].map(Option::unwrap_or_default);
    tracing::info!(
        "{} has made {payments} payments, {:.0} a second; half of them within {:.2} ms, 99 % within \
         {:.2} ms, while as many came the other way",
        person.name,
        f64::from(payments) / total.as_secs_f64(),
        median.as_secs_f64() * 1e3,
        slow.as_secs_f64() * 1e3,
    );
    Ok(())
}

async fn pay(channel: &Channel, payments: u32) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    for _ in 0..payments {
        let begin = Instant::now();
        channel.pay(PAYMENT).await?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

/// Waits until so many payments have been received since the opening.
async fn receive(channel: &Channel, payments: u32) -> Result<(), Failure> {
    let mut events = channel.events();
    // What came before somebody listened is in the history.
    let (mut received, mut seen) = received_so_far(channel)?;
    while received < u64::from(payments) {
        match events.next().await {
            Ok(Notification {
                event: ClientEvent::Channel(Event::Received { version, payments }),
                ..
            }) if version > seen => received += u64::from(payments.count()),
            Ok(_) => {}
            Err(EventsError::Missed { .. }) => (received, seen) = received_so_far(channel)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How many payments have been received, up to which version.
fn received_so_far(channel: &Channel) -> Result<(u64, Version), Failure> {
    let history = channel.history()?;
    let us = channel.part();
    let received = history.entries.iter().filter(|entry| entry.payer != us);
    let seen = history.entries.last().map(|entry| entry.version);
    let count = received
        .map(|entry| u64::from(entry.payments.count()))
        .sum();
    Ok((count, seen.unwrap_or(Version::INITIAL)))
}

fn finish(person: &Person, closing: Closing, channel: &Channel) -> Result<(), Failure> {
    let newest = channel
        .newest()
        .ok_or("a channel that was open has a state")?;
    let history = channel.history()?;
    history.verify(&channel.params(), &newest)?;
    let count: u64 = history
        .entries
        .iter()
        .map(|entry| u64::from(entry.payments.count()))
        .sum();
    let paid_out = closing
        .paid_out
        .iter()
        .map(|paid_out| paid_out.receipt.paid);
    let paid_out = Amount::checked_sum(paid_out).unwrap_or_default();
    tracing::info!(
        "{}: the signed version {} proves {count} payments; {} paid out",
        person.name,
        newest.version(),
        person.token.show(paid_out)
    );
    Ok(())
}

/// Shows what the ledger says that somebody has.
///
/// # Errors
/// What the ledger says instead.
pub async fn report(person: &Person) -> Result<(), Failure> {
    let wealth = person.wealth().await?;
    let wealth = person.token.show(wealth);
    tracing::info!("Ledger balance of {}: {wealth}", person.name);
    Ok(())
}
