//! What the owner of a board can ask for.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;

/// How a board's interrupts or tasks hand over presses. The board debounces; presses that come
/// faster than they are handled are lost, as with any button.
pub type Presses = Channel<CriticalSectionRawMutex, Press, 4>;

/// A button, or a key on the console of a board that has too few.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Press {
    /// Pay the peer the usual amount.
    Pay,
    /// Close the channel together with the peer.
    Close,
    /// Close it without the peer.
    ForceClose,
    /// Propose a channel to the peer.
    Propose,
    /// Ask the peer for the usual amount.
    Request,
    /// Agree to what waits for approval.
    Approve,
    /// Refuse it.
    Refuse,
    /// Switch between paying and receiving, and only receiving.
    ReceiveOnly,
    /// Log how things are.
    Status,
}

impl Press {
    /// What a key on the console means; `None` for those without a meaning.
    pub const fn from_key(key: u8) -> Option<Self> {
        Some(match key {
            b'p' => Self::Pay,
            b'c' => Self::Close,
            b'f' => Self::ForceClose,
            b'o' => Self::Propose,
            b'r' => Self::Request,
            b'y' => Self::Approve,
            b'n' => Self::Refuse,
            b'm' => Self::ReceiveOnly,
            b's' => Self::Status,
            _ => return None,
        })
    }
}
