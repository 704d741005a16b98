//! What each method's message says.

use candid::Principal;
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use perun_canister_api::{
    Asset, Claim, ConcludeRequest, DepositError, DepositRequest, DepositSource, DisputeError,
    DisputeRequest, Rank, WithdrawRequest, convert,
};
use perun_protocol::dispute::covered;
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Account, Amount, AssetId, Balances, ChannelId, Params, PartIdx, State, Timestamp,
    UnverifiedSignedState,
};

use super::message::{Message, duration};
use super::{unavailable, unsupported};
use crate::Adjudicator;
use crate::channel::{Channel, Phase};
use crate::deposit::check_pull_for;
use crate::journal::{Entry, Kind};
use crate::text::{AccountText, PrincipalText};

const NO_RETURN: &str = "This cannot be taken back.";
const UNNAMED_TOKEN: &str = "Amounts are in the ledger's smallest unit: this canister knows neither \
    the token's decimals nor its name, so make sure that the ledger is the one you mean.";
const LOCKED: &str = "The money is credited to this participant, and locked in the channel: it leaves \
    it only as the newest state signed by all participants says, or, if none was ever signed, back to \
    the participant after a refund claim and the challenge duration.";
const LATE: &str = "A claim is registered, which this money changes nothing about: it is credited to \
    this participant, who can withdraw it as soon as the channel is concluded.";
const AFTER_THE_END: &str = "The channel is concluded: the money is credited to this participant, who can withdraw it at once.";
const NEWER_WINS: &str = "Until the challenge duration is over, anybody can hand in a newer state \
    signed by all participants, which then counts instead; after that it is final.";

impl Adjudicator {
    pub(super) fn deposit_message(&self, request: &DepositRequest) -> Result<Message, Icrc21Error> {
        let params = Params::decode(&request.params)
            .map_err(|error| unavailable(format!("the params are refused: {error}")))?;
        self.config()
            .check(&params, self.me())
            .map_err(|error| unavailable(format!("the params are refused: {error:?}")))?;
        let part = PartIdx::new(request.part);
        let Asset::Icrc(ledger) = request.asset;
        let asset = convert::asset(request.asset).and_then(|asset| params.asset_idx(&asset));
        let (Some(asset), Some(_)) = (asset, params.participant(part)) else {
            return Err(unavailable(
                "the channel has no such participant or asset".into(),
            ));
        };
        let id = params.id();
        let channel = self.channel_of(id, &params);
        let message = Message::new("Deposit into a payment channel");
        let message =
            match &request.source {
                DepositSource::Approval { amount: 0, .. } => {
                    return Err(unavailable("there is nothing to deposit".into()));
                }
                DepositSource::Approval {
                    from_subaccount,
                    amount,
                    expected_holding,
                } => {
                    let expected = expected_holding.map(Amount::new);
                    check_pull_for(&channel, asset, part, expected).map_err(|refused| {
                        unavailable(match refused {
                        DepositError::UnexpectedHolding { holding } => {
                            format!("{} are there already", units(holding))
                        }
                        _ => "a claim is registered, so nothing is pulled into the channel any more"
                            .into(),
                    })
                    })?;
                    let from = match from_subaccount {
                        None => "your default account".into(),
                        Some(subaccount) => format!("your subaccount {}", hex(subaccount)),
                    };
                    message
                        .text("Amount", units(*amount))
                        .text("From", format!("{from}, by your approval"))
                }
                DepositSource::DepositAccount => {
                    let account = Account::of_deposit_for(self.name(), id, part);
                    message
                        .text(
                            "Amount",
                            "all in the deposit account, less the ledger's fee",
                        )
                        .text("From", AccountText(&convert::account_to_candid(&account)))
                }
            };
        let message = message
            .text("Ledger of the token", PrincipalText(&ledger))
            .text("Ledger's fee", self.fee_text(ledger));
        Ok(of_channel(message, id)
            .text("For", participant(part, params.participants().len()))
            .duration_s(
                "Challenge duration",
                u64::from(params.challenge_duration().secs()),
            )
            .effect(&[
                match channel.phase() {
                    Phase::Open { .. } => LOCKED,
                    Phase::Registered { .. } => LATE,
                    Phase::Concluded { .. } => AFTER_THE_END,
                },
                NO_RETURN,
                UNNAMED_TOKEN,
            ]))
    }

    pub(super) fn dispute_message(
        &self,
        request: &DisputeRequest,
        now: Timestamp,
    ) -> Result<Message, Icrc21Error> {
        match &request.claim {
            Claim::Refund { channel, part, .. } => {
                let id = channel_id(channel)?;
                let known = self.check_claim(id, None, now).map_err(refused)?;
                if known.params().participant(PartIdx::new(*part)).is_none() {
                    return Err(unavailable("the channel has no such participant".into()));
                }
                let message = Message::new("Claim back the deposits of a payment channel");
                let message = of_channel(message, id)
                    .text("Claimed by", format!("participant {part} (counted from 0)"));
                Ok(self.standing(message, id, now).effect(&[
                    "Registers the claim that no state was ever signed by all participants, so that \
                     everybody gets the deposits back. Any signed state counts more.",
                    NEWER_WINS,
                    NO_RETURN,
                ]))
            }
            Claim::State(bytes) => {
                let state = state(bytes)?;
                self.check_claim(state.channel(), Some(&state), now)
                    .map_err(refused)?;
                let message = Message::new(match state.is_final() {
                    false => "Dispute: register a state of a payment channel",
                    true => "Conclude a payment channel by its final state",
                });
                let message = self.of_state(message, &state);
                Ok(self.standing(message, state.channel(), now).effect(&[
                    match state.is_final() {
                        false => NEWER_WINS,
                        true => AT_ONCE,
                    },
                    SURPLUS,
                    NO_RETURN,
                    UNNAMED_TOKEN,
                ]))
            }
        }
    }

    pub(super) fn dispute_many_message(
        &self,
        requests: &[DisputeRequest],
        now: Timestamp,
    ) -> Result<Message, Icrc21Error> {
        if requests.len() > crate::batch::MAX_DISPUTES {
            return Err(unavailable(format!(
                "{} claims are too many",
                requests.len()
            )));
        }
        let mut message = Message::new("Disputes: register claims about many payment channels")
            .text("How many", requests.len());
        for (index, request) in requests.iter().enumerate() {
            let name = format!("Claim {}", index + 1);
            message = message.text(name, self.line_about(request, now));
        }
        Ok(message.effect(&[
            "Each claim is judged by itself. A final state concludes its channel at once.",
            NEWER_WINS,
            NO_RETURN,
        ]))
    }

    pub(super) fn conclude_message(
        &self,
        request: &ConcludeRequest,
        now: Timestamp,
    ) -> Result<Message, Icrc21Error> {
        let id = channel_id(&request.channel)?;
        let message = Message::new("Conclude a payment channel");
        let (message, how) = match &request.final_state {
            Some(bytes) => {
                let state = state(bytes)?;
                if state.channel() != id || !state.is_final() {
                    return Err(unavailable(
                        "the state is not final, or of another channel".into(),
                    ));
                }
                let how = if self.is_concluded_by(&state) {
                    ALREADY
                } else {
                    self.check_claim(id, Some(&state), now).map_err(refused)?;
                    AT_ONCE
                };
                (self.of_state(message, &state), how)
            }
            None if self.registered(id, now).is_none() => {
                return Err(unavailable("nothing is registered for this channel".into()));
            }
            None => (
                of_channel(message, id),
                "Ends the dispute, if its challenge duration is over: what is registered is final.",
            ),
        };
        let message = self.standing(message, id, now);
        Ok(message.effect(&[how, SURPLUS, NO_RETURN]))
    }

    pub(super) fn withdraw_message(
        &self,
        request: &WithdrawRequest,
    ) -> Result<Message, Icrc21Error> {
        let id = channel_id(&request.channel)?;
        let Asset::Icrc(ledger) = request.asset;
        let part = PartIdx::new(request.part);
        let nothing = || unavailable("nothing is left for this participant".into());
        let Some(channel) = self.store.channel(id) else {
            return Err(match self.store.finished(id) {
                None => unavailable("there is no such channel".into()),
                Some(_) => nothing(),
            });
        };
        let asset = convert::asset(request.asset);
        let asset = asset.and_then(|asset| channel.params().asset_idx(&asset));
        let place = asset.and_then(|asset| Some((asset, channel.held(asset, part)?)));
        let (asset, held) = place
            .ok_or_else(|| unavailable("the channel has no such participant or asset".into()))?;
        if request.receiver.owner == self.me() {
            return Err(unavailable(
                "this canister itself can receive nothing".into(),
            ));
        }
        let is_paid_by =
            |entry: &Entry| matches!(entry.kind, Kind::Payout { .. }) && entry.part == part;
        let under_way = self
            .in_flight(id, asset)
            .and_then(|number| self.entry(number));
        let amount = match channel.phase() {
            Phase::Concluded { .. } if held.is_zero() => match under_way.filter(is_paid_by) {
                None => return Err(nothing()),
                Some(entry) => format!(
                    "nothing more: {} are on their way, wherever they were sent",
                    units(entry.amount.units())
                ),
            },
            Phase::Concluded { .. } => units(held.units()),
            Phase::Open { .. } | Phase::Registered { .. } => {
                "not fixed yet: the channel is not concluded".into()
            }
        };
        let message = Message::new("Withdraw from a payment channel")
            .text("Amount, the fee included", amount)
            .text("Ledger of the token", PrincipalText(&ledger))
            .text("Ledger's fee", self.fee_text(ledger))
            .text("Receiver", AccountText(&request.receiver));
        Ok(of_channel(message, id)
            .text(
                "Of",
                participant(part, channel.params().participants().len()),
            )
            .effect(&[
                "Pays all that the participant has left of this token to the receiver, which the \
                 participant has signed. Concludes the channel first, if its challenge duration is \
                 over.",
                NO_RETURN,
                UNNAMED_TOKEN,
            ]))
    }

    /// One of many claims, in a line: what it is, and why it would be refused if so.
    fn line_about(&self, request: &DisputeRequest, now: Timestamp) -> String {
        let (id, state) = match &request.claim {
            Claim::Refund { channel, .. } => (channel_id(channel), None),
            Claim::State(bytes) => match state(bytes) {
                Ok(state) => (Ok(state.channel()), Some(state)),
                Err(error) => (Err(error), None),
            },
        };
        let Ok(id) = id else {
            return "none that decodes: would be refused".into();
        };
        let version = state.as_ref().map(|state| state.version().number());
        let rank = rank_text(version.map_or(Rank::Refund, Rank::State));
        let is_final = state.as_ref().is_some_and(State::is_final);
        let ends = if is_final { ", final" } else { "" };
        let refused = match self.check_claim(id, state.as_ref(), now) {
            Ok(_) => String::new(),
            Err(error) => format!(", would be refused: {}", why(error)),
        };
        format!("{rank}{ends} of channel {id}{refused}")
    }

    /// Tells what a state says, and what is paid if it stands.
    fn of_state(&self, message: Message, state: &State) -> Message {
        let message =
            of_channel(message, state.channel()).text("Version", state.version().number());
        let channel = self.store.channel(state.channel());
        let assets = channel.as_ref().map(|channel| channel.params().assets());
        let held = match channel.as_ref().map(Channel::phase) {
            Some(Phase::Open { holdings: held } | Phase::Registered { held, .. }) => Some(held),
            Some(Phase::Concluded { .. }) | None => None,
        };
        match held.filter(|held| covered(held, state.funding()).is_err()) {
            None => payouts(message, &state.allocation().balances, assets),
            Some(held) => {
                let missing = "deposits that were not made: those that were go back";
                payouts(message.text("Rests on", missing), held, assets)
            }
        }
    }

    /// Tells what is registered by now.
    fn standing(&self, message: Message, id: ChannelId, now: Timestamp) -> Message {
        let standing = match self.registered(id, now) {
            None => "nothing".into(),
            Some(standing) => {
                let rank = rank_text(standing.rank);
                let left_ns = standing.timeout_ns.saturating_sub(now.nanos());
                let left_s = left_ns.div_ceil(1_000_000_000);
                match (standing.concluded, left_s) {
                    (true, _) => format!("{rank}, concluded"),
                    (false, 0) => format!("{rank}, which nothing can replace any more"),
                    (false, left_s) => {
                        let left = duration(left_s);
                        format!("{rank}, which can be refuted for {left} more")
                    }
                }
            }
        };
        message.text("Registered now", standing)
    }

    fn fee_text(&self, ledger: Principal) -> String {
        let fee = self.fee(ledger);
        fee.map_or_else(|| "not known yet".into(), units)
    }
}

const AT_ONCE: &str = "If all signatures hold, the channel is concluded at once and for good, and \
    these amounts can be withdrawn.";
const ALREADY: &str = "It is concluded by this state already: this call changes nothing.";
const SURPLUS: &str =
    "Deposits beyond those that a state rests on go back to the participants they are for.";

/// Why a claim would be refused, in words.
fn why(refused: DisputeError) -> String {
    match refused {
        DisputeError::Malformed { reason } => reason,
        DisputeError::UnknownChannel => "nothing was deposited into such a channel".into(),
        DisputeError::WrongShape => {
            "the state has not as many assets or participants as the channel".into()
        }
        DisputeError::ChallengeElapsed { .. } => "the time to refute is over".into(),
        DisputeError::Outdated {
            registered,
            submitted,
        } => format!(
            "{} is registered, {} is not newer",
            rank_text(registered),
            rank_text(submitted)
        ),
        DisputeError::InsufficientFunding {
            asset,
            part,
            held,
            needed,
        } => format!(
            "participant {part} has deposited {held} of asset {asset}, the state rests on {needed}"
        ),
        DisputeError::LockedUnsupported => {
            "states with locked amounts cannot be enforced yet".into()
        }
        DisputeError::SignatureCount { .. } | DisputeError::WrongSignature { .. } => {
            "its signatures are not good".into()
        }
    }
}

fn refused(error: DisputeError) -> Icrc21Error {
    unavailable(why(error))
}

fn of_channel(message: Message, id: ChannelId) -> Message {
    let short = format!("{id:.8}").replace('…', "...");
    message.text("Channel", short).text("Channel, in full", id)
}

/// What each participant gets; the assets are known if the channel is.
fn payouts(message: Message, balances: &Balances, assets: Option<&[AssetId]>) -> Message {
    balances
        .rows()
        .enumerate()
        .fold(message, |message, (index, row)| {
            let ledger = assets.and_then(|assets| assets.get(index));
            let ledger = ledger.map(|asset| {
                let Asset::Icrc(ledger) = convert::asset_to_candid(asset);
                format!("on ledger {}", PrincipalText(&ledger))
            });
            let ledger = ledger.unwrap_or_else(|| "on a ledger not known here".into());
            let row = row.iter().enumerate();
            let amounts: Vec<_> = row
                .map(|(part, amount)| format!("{} to participant {part}", units(amount.units())))
                .collect();
            message.text(
                format!("Amounts of asset {index}"),
                format!("{} {ledger}", amounts.join(", ")),
            )
        })
}

fn participant(part: PartIdx, count: usize) -> String {
    format!("participant {} of 0 to {}", part.number(), count - 1)
}

fn units(units: u128) -> String {
    match units {
        1 => "1 smallest unit".into(),
        units => format!("{units} smallest units"),
    }
}

fn rank_text(rank: Rank) -> String {
    match rank {
        Rank::Refund => "a refund claim".into(),
        Rank::State(version) => format!("version {version}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn channel_id(bytes: &[u8]) -> Result<ChannelId, Icrc21Error> {
    let id = convert::channel(bytes);
    id.map_err(|length| unsupported(format!("a channel id has 32 bytes, not {length}")))
}

fn state(bytes: &[u8]) -> Result<State, Icrc21Error> {
    let signed = UnverifiedSignedState::decode(bytes);
    let signed = signed.map_err(|error| unsupported(format!("the state is none: {error}")))?;
    Ok(signed.state)
}
