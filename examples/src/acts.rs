//! What every story does: deposit, look, withdraw.

use std::time::Duration;

use perun_client::{Door, Funder};
use perun_protocol::{Amount, PartIdx};

use crate::books::{Books, Closing, check, sum};
use crate::{Failure, Pair, Party, Stage};

/// How long anybody waits for the other's deposit.
const FUNDING_TIMEOUT: Duration = Duration::from_secs(120);

/// Says where the story happens and between whom.
pub(crate) fn introduce(stage: &Stage, pair: &Pair) {
    tracing::info!("URL: {}", stage.url);
    tracing::info!("Canister ID: {}", stage.adjudicator.id());
    tracing::info!(
        "Ledger: {} of {}, {} digits, fee {}",
        stage.ledger.id(),
        stage.token.symbol,
        stage.token.decimals,
        stage.show(stage.fee),
    );
    let [(_, first), (_, second)] = pair.parts(stage);
    tracing::info!(
        "Opening channel: {:.8} between {} (part 0) and {} (part 1), challenge duration {} s; both \
         have signed version 0",
        pair.params.id(),
        first.name,
        second.name,
        pair.params.challenge_duration().secs(),
    );
}

/// Shows what the adjudicator holds for each participant, and checks it.
pub(crate) async fn show_holdings(
    stage: &Stage,
    pair: &Pair,
    expected: [Amount; 2],
) -> Result<(), Failure> {
    let holdings = stage.adjudicator.holdings(&pair.params).await?;
    for ((part, _), expected) in pair.parts(stage).into_iter().zip(expected) {
        let held = holdings.as_ref();
        let held = held.map(|held| held.of(&pair.params, &pair.asset(), part));
        let held = held.unwrap_or_default();
        tracing::info!(
            "Querying deposit channel: {:.8} for part: {part}, now: {}",
            pair.params.id(),
            stage.show(held),
        );
        check(stage, format!("the holding of part {part}"), expected, held)?;
    }
    Ok(())
}

/// Both deposit, one by approval and one through the deposit account, and wait for each other.
pub(crate) async fn fund(stage: &Stage, pair: &Pair, books: &mut Books) -> Result<(), Failure> {
    let doors = [Door::Approval, Door::DepositAccount];
    for ((part, party), door) in pair.parts(stage).into_iter().zip(doors) {
        deposit(stage, pair, part, party, door, books).await?;
    }
    for (_, party) in pair.parts(stage) {
        let funder = Funder::new(party.adjudicator.clone());
        let funding = pair.newest().state().funding();
        funder
            .wait_funded(&pair.params, funding, FUNDING_TIMEOUT)
            .await?;
    }
    Ok(())
}

async fn deposit(
    stage: &Stage,
    pair: &Pair,
    part: PartIdx,
    party: &Party,
    door: Door,
    books: &mut Books,
) -> Result<(), Failure> {
    let way = match door {
        Door::Approval => "by approval",
        Door::DepositAccount => "through the deposit account",
    };
    tracing::info!(
        "Depositing channel: {:.8} for part: {part}, add: {} ({way})",
        pair.params.id(),
        stage.show(party.deposit),
    );
    let before = stage.ledger.balance(&party.account).await?;
    let funder = Funder::new(party.adjudicator.clone());
    let receipt = funder
        .deposit(&pair.params, part, pair.asset(), party.deposit, door)
        .await?;
    let after = stage.ledger.balance(&party.account).await?;
    let what = format!("what was credited to part {part}");
    check(stage, what, party.deposit, receipt.credited)?;

    // What left the account beside the deposit are fees: one for approving or for paying to the
    // deposit account, one for pulling or sweeping.
    let left = before.checked_sub(after).unwrap_or_default();
    let fees = left.checked_sub(receipt.credited).unwrap_or_default();
    let expected = match door {
        // Enough was approved before, so that this was not done again.
        Door::Approval if fees == stage.fee => stage.fee,
        Door::Approval | Door::DepositAccount => sum([stage.fee, stage.fee])?,
    };
    let what = format!("what the deposit of part {part} cost");
    check(stage, what, expected, fees)?;
    books.deposited(&party.account, receipt.credited, fees)
}

/// Both take home what the newest state gives them, and the books are closed.
pub(crate) async fn withdraw_all(
    stage: &Stage,
    pair: &Pair,
    mut books: Books,
) -> Result<Closing, Failure> {
    let mut paid = Vec::new();
    for (part, party) in pair.parts(stage) {
        let share = pair.share(part);
        tracing::info!(
            "Withdrawing channel: {:.8} for part: {part}, {}",
            pair.params.id(),
            stage.show(share),
        );
        let auth = pair.authorise(part, party);
        let receipt = party.adjudicator.withdraw(&auth).await?;
        let all = sum([receipt.paid, receipt.fee])?;
        check(
            stage,
            format!("the payout of part {part} with its fee"),
            share,
            all,
        )?;
        books.paid(&party.account, &receipt)?;
        paid.push(receipt.paid);
    }
    show_holdings(stage, pair, [Amount::ZERO; 2]).await?;
    books.close(stage, paid).await
}

/// Says what a new state gives everybody.
pub(crate) fn show_state(stage: &Stage, pair: &Pair, what: &str) {
    let [(first_part, first), (second_part, second)] = pair.parts(stage);
    tracing::info!(
        "{what} channel: {:.8} version: {}, {}: {}, {}: {}",
        pair.params.id(),
        pair.newest().version(),
        first.name,
        stage.show(pair.share(first_part)),
        second.name,
        stage.show(pair.share(second_part)),
    );
}

/// A part of an amount; at least one unit, so that small deposits make a story too.
pub(crate) fn fraction(amount: Amount, divisor: u128) -> Amount {
    Amount::new((amount.units() / divisor).max(1))
}
