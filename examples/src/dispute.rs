//! The dispute walkthrough: Mallory registers an old state that gives her more, Bob refutes it with
//! the newest one, the window elapses, and both are paid what the newest state says.

use std::process::ExitCode;

use perun_client::{CallError, ConcludeError, DisputeError};
use perun_protocol::dispute::Rank;
use perun_protocol::{Amount, PartIdx, Timestamp};

use crate::acts::{fraction, fund, introduce, show_holdings, show_state, withdraw_all};
use crate::books::Books;
use crate::{Closing, Failure, Pair, Stage, WalkthroughArgs, run};

const MALLORY: PartIdx = PartIdx::new(0);
const BOB: PartIdx = PartIdx::new(1);

/// What the parties are called.
pub const NAMES: [&str; 2] = ["Mallory", "Bob"];

/// Tells the story where the command line says.
pub fn main(args: WalkthroughArgs) -> ExitCode {
    run("dispute_walkthrough", async move {
        let stage = Stage::set(&args, NAMES).await?;
        walk(&stage).await?;
        Ok(())
    })
}

/// Tells the story on `stage`. Every figure is checked, and so is every refusal.
///
/// # Errors
/// Where anything refuses that should not, or the reverse, or a figure does not add up.
pub async fn walk(stage: &Stage) -> Result<Closing, Failure> {
    let mut pair = Pair::open(stage)?;
    introduce(stage, &pair);
    let mut books = Books::open(stage).await?;
    fund(stage, &pair, &mut books).await?;
    show_holdings(stage, &pair, [MALLORY, BOB].map(|part| pair.share(part))).await?;

    // Bob pays Mallory a little; Mallory buys something dear from Bob, and something more.
    let deposits = stage.parties.each_ref().map(|party| party.deposit);
    pair.pay(BOB, fraction(deposits[1], 8))?;
    show_state(stage, &pair, "Updating");
    let old = pair.newest().clone();
    for divisor in [2, 4] {
        pair.pay(MALLORY, fraction(deposits[0], divisor))?;
        show_state(stage, &pair, "Updating");
    }
    let [(_, mallory), (_, bob)] = pair.parts(stage);
    let channel = pair.params.id();

    tracing::info!(
        "Mallory registers channel: {channel:.8} version: {}",
        old.version()
    );
    let registered = mallory.adjudicator.dispute(&pair.params, &old).await?;
    let window_end = registered.timeout;
    let now = Timestamp::from_nanos(stage.adjudicator.info().await?.now_ns);
    tracing::info!(
        "Registered channel: {channel:.8}, anybody can refute it for {} s",
        window_end.nanos_since(now).div_ceil(1_000_000_000),
    );

    // Bob sees what is registered, has something newer, and says so.
    let seen = bob.adjudicator.registered(&pair.params).await?;
    let seen = seen.ok_or("nothing is registered although Mallory was told so")?;
    let newest = pair.newest();
    if seen.rank >= Rank::State(newest.version()) {
        return Err(format!("{} is registered, which is not old", seen.rank).into());
    }
    tracing::info!(
        "Bob refutes channel: {channel:.8}, {} is registered, version: {} is newer",
        seen.rank,
        newest.version(),
    );
    let refuted = bob.adjudicator.dispute(&pair.params, newest).await?;
    if refuted.timeout < window_end {
        return Err("refuting has moved the timeout to an earlier time".into());
    }

    // What is old now stays out, and nobody is paid while anything could still be refuted.
    match mallory.adjudicator.dispute(&pair.params, &old).await {
        Err(CallError::Refused(refusal @ DisputeError::Outdated { .. })) => {
            tracing::info!("Mallory tries it again: {}", CallError::Refused(refusal));
        }
        other => return Err(unexpected("an old state", other)),
    }
    match mallory.adjudicator.conclude(&pair.params).await {
        Err(CallError::Refused(refusal @ ConcludeError::ChallengeOpen { .. })) => {
            tracing::info!("Mallory tries to conclude: {}", CallError::Refused(refusal));
        }
        other => return Err(unexpected("a conclusion within the window", other)),
    }

    tracing::info!("The window of channel: {channel:.8} elapses");
    stage.pass_until(refuted.timeout).await?;
    match bob.adjudicator.dispute(&pair.params, &old).await {
        Err(CallError::Refused(DisputeError::ChallengeElapsed { .. })) => {}
        other => return Err(unexpected("a claim after the window", other)),
    }
    tracing::info!("Concluding channel: {channel:.8}");
    bob.adjudicator.conclude(&pair.params).await?;

    let shares = [MALLORY, BOB].map(|part| pair.share(part));
    show_holdings(stage, &pair, shares).await?;
    let closing = withdraw_all(stage, &pair, books).await?;
    if shares[1] <= deposits[1] || closing.paid.contains(&Amount::ZERO) {
        return Err("the newest state should have given Bob more than he deposited".into());
    }
    Ok(closing)
}

fn unexpected<T: std::fmt::Debug, R: perun_client::Refusal>(
    what: &str,
    result: Result<T, CallError<R>>,
) -> Failure {
    match result {
        Ok(answer) => format!("{what} was accepted: {answer:?}").into(),
        Err(error) => format!("{what} met an unexpected error: {error}").into(),
    }
}
