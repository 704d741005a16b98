//! How the counterpart's devices and channels stand.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use perun_client::channel::{Channel, CloseError};
use perun_protocol::{Amount, AssetIdx, ChannelId, PartIdx, PublicKey};

use super::contact::Hex;

/// Bytes of an identity that are shown.
const SHORT: usize = 5;

/// Everything that can be seen.
#[derive(Clone, Debug)]
pub struct Status {
    /// Devices, and whether each is connected.
    pub devices: Vec<(PublicKey, bool)>,
    /// Channels, oldest first.
    pub channels: Vec<ChannelStatus>,
}

/// How a channel stands.
#[derive(Clone, Copy, Debug)]
pub struct ChannelStatus {
    /// Its number.
    pub index: usize,
    /// Its id.
    pub id: ChannelId,
    /// The device that it is with.
    pub device: PublicKey,
    /// Whether payments can be made, as far as known.
    pub is_open: bool,
    /// Who we are in it: 0 has proposed it.
    pub part: PartIdx,
    /// How far it is.
    pub phase: Phase,
    /// The newest state that both have signed.
    pub newest: Option<Newest>,
}

/// A state that both have signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Newest {
    /// Its version.
    pub version: u64,
    /// What it gives us and the device.
    pub balances: [Amount; 2],
    /// Whether it is the last.
    pub is_final: bool,
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It is being signed, or deposits are missing.
    Opening,
    /// Payments are made.
    Open,
    /// It is open, and the device is not there.
    Away,
    /// It is on its way out.
    Closing,
    /// It is over, and everything is paid out.
    Closed,
    /// It never came to be.
    Abandoned,
}

impl Phase {
    pub(super) fn of(channel: &Channel) -> Self {
        match (at_once(channel.closed()), at_once(channel.opened())) {
            (Some(Ok(_)), _) => Self::Closed,
            (Some(Err(CloseError::Abandoned(_))), _) => Self::Abandoned,
            (_, None) => Self::Opening,
            (_, Some(Ok(()))) if !channel.is_synced() => Self::Away,
            (_, Some(Ok(()))) => Self::Open,
            (_, Some(Err(_))) => Self::Closing,
        }
    }

    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Abandoned)
    }
}

/// What a future gives without being waited for.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

impl ChannelStatus {
    pub(super) fn of(index: usize, channel: &Channel) -> Self {
        Self {
            index,
            id: channel.id(),
            device: channel.peer(),
            is_open: channel.is_open(),
            part: channel.part(),
            phase: Phase::of(channel),
            newest: newest(channel),
        }
    }
}

/// The newest state of a channel, as we see it.
pub(super) fn newest(channel: &Channel) -> Option<Newest> {
    let signed = channel.newest()?;
    let state = signed.state();
    let ours = channel.part();
    let theirs = PartIdx::new(1 - ours.index() as u8);
    let of = |part| state.allocation().balances.at(AssetIdx::new(0), part);
    Some(Newest {
        version: state.version().number(),
        balances: [of(ours)?, of(theirs)?],
        is_final: state.is_final(),
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (device, is_connected)) in self.devices.iter().enumerate() {
            let device = Hex(device.as_bytes());
            let is = if *is_connected {
                "connected"
            } else {
                "not connected"
            };
            writeln!(f, "device {index}: {device}, {is}")?;
        }
        if self.devices.is_empty() {
            writeln!(f, "there are no devices")?;
        }
        if self.channels.is_empty() {
            return write!(f, "there are no channels");
        }
        write!(
            f,
            "{:>5}  {:<11}  {:<11}  open  part  {:<9}  {:>8}  {:>12}  {:>12}",
            "index", "id", "device", "phase", "version", "ours", "theirs"
        )?;
        self.channels
            .iter()
            .try_for_each(|channel| write!(f, "\n{channel}"))
    }
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, part, .. } = self;
        let is_open = if self.is_open { "yes" } else { "no" };
        write!(
            f,
            "{index:>5}  {:.8}  {:.SHORT$}  {is_open:<4}  {part:>4}  {:<9}",
            self.id,
            Hex(self.device.as_bytes()),
            self.phase.to_string(),
        )?;
        let Some(newest) = &self.newest else {
            return Ok(());
        };
        let [ours, theirs] = newest.balances.map(Amount::units);
        write!(f, "  {:>8}  {ours:>12}  {theirs:>12}", newest.version)?;
        if newest.is_final {
            write!(f, "  <final>")?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Away => "away",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Abandoned => "abandoned",
        })
    }
}
