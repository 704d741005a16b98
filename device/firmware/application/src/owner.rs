//! Acts for the owner: starts the device with his settings, answers proposals as he would, turns
//! presses into commands, and keeps what waits for his word.
//!
//! ```text
//!  Press ──> command ──ok──> done                      Approve ──> the same with approval
//!               └─up to the owner──> waits (one thing) ┤
//!  proposal, request of the peer ──> waits             Refuse ───> rejected, forgotten
//! ```

mod setup;
mod status;

use core::fmt;

use embassy_time::{Duration, Instant};
use embedded_storage::nor_flash::NorFlash;
use perun_device::{Approval, ChannelTerms, Clock, CommandError, Event, Parts, Random, StartError};
use perun_protocol::channel::Event as ChannelEvent;
use perun_protocol::payment::Payment;
use perun_protocol::wire::{PaymentRequest, ProposalId};
use perun_protocol::{AssetId, AssetIdx, ChannelId, PublicKey, Timestamp};

pub(crate) use self::status::Hex;
use crate::{Press, Settings};

/// The device on a board.
pub(crate) type Device<F, R> = perun_device::Device<F, R, Uptime>;

/// All channels that are proposed here are in the one asset of the settings.
const ASSET: AssetIdx = AssetIdx::new(0);

/// What a peer wants cannot be approved sooner: the press may have been meant for something else.
const TIME_TO_LOOK: Duration = Duration::from_secs(2);

/// What waits longer for the owner's word has lapsed.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// For how long the peer can pay what a press asks for.
const REQUEST_NS: u64 = 5 * 60 * 1_000_000_000;

/// The clock of the board.
pub(crate) struct Uptime;

impl Clock for Uptime {
    fn uptime_ns(&self) -> u64 {
        Instant::now().as_nanos()
    }
}

/// The device, and who acts for its owner.
pub(crate) struct Owner<F, R> {
    pub(crate) device: Device<F, R>,
    /// The peer that presses mean.
    peer: PublicKey,
    terms: ChannelTerms,
    payment: Payment,
    /// Chosen by a press, on top of what the settings say.
    receive_only: bool,
    waiting: Option<Waits>,
}

/// Something that waits for the owner's word, and since when.
#[derive(Clone, Debug)]
struct Waits {
    what: Waiting,
    since: Instant,
}

/// What waits for the owner's word: one thing at a time. A press of his own takes the place of
/// anything; what a peer wants takes the place of nothing, so that a press never means something that
/// came while the finger was on its way.
#[derive(Clone, Debug)]
enum Waiting {
    Payment {
        channel: ChannelId,
        payment: Payment,
    },
    Proposal {
        proposal: ProposalId,
        expires_at: Timestamp,
    },
    Request(PaymentRequest),
}

/// Why a press is not obeyed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no channel with the peer.
    NoChannel,
    /// Nothing waits for the owner's word.
    NothingWaits,
    /// What waits has only just come.
    TooSoon,
    /// Another press has said so.
    ReceiveOnly,
    /// The device's reason.
    Device(CommandError),
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::Device(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannel => write!(f, "there is no channel with the peer"),
            Self::TooSoon => write!(f, "what waits has only just come; look, and press again"),
            Self::NothingWaits => write!(f, "nothing waits for approval"),
            Self::ReceiveOnly => write!(f, "only receiving at present"),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl<F: NorFlash, R: Random> Owner<F, R> {
    /// Starts the device.
    pub(crate) fn start(
        flash: F,
        random: R,
        settings: &Settings,
    ) -> Result<Self, StartError<F::Error>> {
        let parts = Parts {
            store: setup::store(flash)?,
            random,
            clock: Uptime,
        };
        let device = Device::start(parts, setup::device_settings(settings))?;
        let asset = AssetId::Icrc(settings.asset);
        let peer = settings.peers.first().expect("no settings without a peer");
        Ok(Self {
            device,
            peer: peer.key,
            terms: ChannelTerms {
                balances: [(asset, settings.balance)].into(),
                funding: None,
                challenge_duration: settings.challenge,
                with_payment_app: true,
                funds_last: false,
            },
            payment: Payment {
                asset: ASSET,
                amount: settings.pay,
                memo: None,
            },
            receive_only: false,
            waiting: None,
        })
    }

    /// What the log should tell next; to be asked after every call into the device.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.device.poll_event()?;
        match &event {
            Event::Proposed {
                proposal,
                asks,
                expires_at,
                ..
            } => match asks {
                None if !self.receive_only => self.accept(proposal),
                _ => self.let_wait(Waiting::Proposal {
                    proposal: *proposal,
                    expires_at: *expires_at,
                }),
            },
            Event::Channel {
                event: ChannelEvent::Requested(request),
                ..
            } => self.let_wait(Waiting::Request(request.clone())),
            _ => {}
        }
        Some(event)
    }

    /// Lets something wait for the owner's word, or turns it down if something waits already.
    fn let_wait(&mut self, what: Waiting) {
        if let Some(waits) = self.waiting.take()
            && !self.has_lapsed(&waits)
        {
            self.waiting = Some(waits);
            if let Err(refusal) = self.turn_down(what, "something else waits for the owner") {
                log::warn!("{refusal}");
            }
            return;
        }
        let since = Instant::now();
        self.waiting = Some(Waits { what, since });
    }

    fn has_lapsed(&mut self, waits: &Waits) -> bool {
        let expires_at = match &waits.what {
            Waiting::Payment { .. } => None,
            Waiting::Request(request) => Some(request.expires_at),
            Waiting::Proposal { expires_at, .. } => Some(*expires_at),
        };
        let now = self.device.chain_time();
        let is_expired = expires_at.is_some_and(|at| now.is_none_or(|now| at <= now));
        is_expired || waits.since.elapsed() >= LONGEST_WAIT
    }

    fn accept(&mut self, proposal: &ProposalId) {
        if let Err(error) = self.device.accept_proposal(proposal, Approval::None) {
            log::warn!("a proposal within the policy was not accepted: {error}");
        }
    }

    /// Does what a press asks for.
    pub(crate) fn press(&mut self, press: Press) -> Result<(), Refusal> {
        match press {
            Press::Pay => {
                let (channel, payment) = (self.channel()?, self.payment);
                self.pay(channel, payment, Approval::None)
            }
            Press::Close => {
                let channel = self.channel()?;
                Ok(self.device.close(&channel)?)
            }
            Press::ForceClose => {
                let channel = self.channel()?;
                Ok(self.device.force_close(&channel)?)
            }
            Press::Propose => self.propose(),
            Press::Request => self.request(),
            Press::Approve => self.approve(),
            Press::Refuse => self.refuse(),
            Press::ReceiveOnly => {
                self.receive_only = !self.receive_only;
                if self.receive_only {
                    for channel in self.device.channels() {
                        self.device.cancel_queued(&channel.id)?;
                    }
                }
                log::info!("receive only: {}", self.receive_only);
                Ok(())
            }
            Press::Status => {
                status::report(&self.device);
                Ok(())
            }
        }
    }

    /// The channel that presses mean: one with the peer, open ones first.
    fn channel(&self) -> Result<ChannelId, Refusal> {
        let channels = self.device.channels().into_iter();
        let with_peer = channels.filter(|channel| channel.peer == self.peer);
        let channel = with_peer.min_by_key(|channel| !channel.is_open);
        Ok(channel.ok_or(Refusal::NoChannel)?.id)
    }

    fn pay(
        &mut self,
        channel: ChannelId,
        payment: Payment,
        approval: Approval,
    ) -> Result<(), Refusal> {
        if self.receive_only {
            return Err(Refusal::ReceiveOnly);
        }
        match self.device.pay(&channel, &payment, approval) {
            Ok(_) => Ok(()),
            Err(error) => {
                if error.is_up_to_owner() {
                    let _ = self.refuse();
                    self.let_wait(Waiting::Payment { channel, payment });
                }
                Err(error.into())
            }
        }
    }

    fn propose(&mut self) -> Result<(), Refusal> {
        if self.receive_only {
            return Err(Refusal::ReceiveOnly);
        }
        let terms = self.terms.clone();
        // Everybody gets what he deposits, so there is nothing to approve.
        self.device.propose(&self.peer, terms, Approval::None)?;
        Ok(())
    }

    fn request(&mut self) -> Result<(), Refusal> {
        let channel = self.channel()?;
        let now = self.device.chain_time().ok_or(CommandError::TimeUnknown)?;
        let expires_at = now.saturating_add_nanos(REQUEST_NS);
        let Payment { asset, amount, .. } = self.payment;
        self.device
            .request(&channel, asset, amount, "", expires_at)?;
        Ok(())
    }

    fn approve(&mut self) -> Result<(), Refusal> {
        let waits = self.waiting.as_ref().ok_or(Refusal::NothingWaits)?;
        let is_ours = matches!(waits.what, Waiting::Payment { .. });
        if !is_ours && waits.since.elapsed() < TIME_TO_LOOK {
            return Err(Refusal::TooSoon);
        }
        let waits = waits.clone();
        self.waiting = None;
        if self.has_lapsed(&waits) {
            return Err(Refusal::NothingWaits);
        }
        match waits.what {
            Waiting::Payment { channel, payment } => self.pay(channel, payment, Approval::Owner),
            Waiting::Request(request) => {
                self.pay(request.channel, request.payment(), Approval::Owner)
            }
            Waiting::Proposal { proposal, .. } => {
                Ok(self.device.accept_proposal(&proposal, Approval::Owner)?)
            }
        }
    }

    fn refuse(&mut self) -> Result<(), Refusal> {
        let waits = self.waiting.take().ok_or(Refusal::NothingWaits)?;
        self.turn_down(waits.what, "the owner refuses")
    }

    fn turn_down(&mut self, what: Waiting, words: &str) -> Result<(), Refusal> {
        match what {
            Waiting::Payment { .. } => {}
            Waiting::Request(request) => {
                self.device
                    .reject_request(&request.channel, request.id, words)?;
            }
            Waiting::Proposal { proposal, .. } => {
                self.device.reject_proposal(&proposal, words)?;
            }
        }
        Ok(())
    }
}
