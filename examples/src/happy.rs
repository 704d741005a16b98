//! The happy walkthrough: both deposit, pay each other, agree that it is over, and take home what
//! they have.

use std::process::ExitCode;

use perun_protocol::{Amount, AssetIdx, PartIdx};

use crate::acts::{fraction, fund, introduce, show_holdings, show_state, withdraw_all};
use crate::books::{Books, check};
use crate::{Closing, Failure, Pair, Stage, WalkthroughArgs, run};

const ALICE: PartIdx = PartIdx::new(0);
const BOB: PartIdx = PartIdx::new(1);

/// What the parties are called.
pub const NAMES: [&str; 2] = ["Alice", "Bob"];

/// Tells the story where the command line says. All of it is compiled here, so that the program and
/// its tests share it.
pub fn main(args: WalkthroughArgs) -> ExitCode {
    run("happy_walkthrough", async move {
        let stage = Stage::set(&args, NAMES).await?;
        walk(&stage).await?;
        Ok(())
    })
}

/// Tells the story on `stage`. Every figure is checked.
///
/// # Errors
/// Where anything refuses, or a figure does not add up.
pub async fn walk(stage: &Stage) -> Result<Closing, Failure> {
    let mut pair = Pair::open(stage)?;
    introduce(stage, &pair);
    let mut books = Books::open(stage).await?;

    // Alice and Bob start with nothing in the channel, and deposit.
    show_holdings(stage, &pair, [Amount::ZERO; 2]).await?;
    fund(stage, &pair, &mut books).await?;
    show_holdings(stage, &pair, [ALICE, BOB].map(|part| pair.share(part))).await?;

    // They pay each other. Nothing of this touches the chain.
    let deposits = stage.parties.each_ref().map(|party| party.deposit);
    for (from, amount) in [
        (ALICE, fraction(deposits[0], 4)),
        (BOB, fraction(deposits[1], 8)),
        (ALICE, fraction(deposits[0], 16)),
    ] {
        pair.pay(from, amount)?;
        show_state(stage, &pair, "Updating");
    }
    pair.finish()?;
    show_state(stage, &pair, "Finalising");

    // Anybody can conclude with a final state.
    tracing::info!("Concluding channel: {:.8}", pair.params.id());
    let [(_, alice), _] = pair.parts(stage);
    let concluded = alice
        .adjudicator
        .conclude_final(&pair.params, pair.newest())
        .await?;
    for (part, _) in pair.parts(stage) {
        let remainder = concluded.remainders.at(AssetIdx::new(0), part);
        let what = format!("the outcome for part {part}");
        check(stage, what, pair.share(part), remainder.unwrap_or_default())?;
    }

    withdraw_all(stage, &pair, books).await
}
