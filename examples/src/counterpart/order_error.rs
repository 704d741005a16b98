//! Why the counterpart did not do what it was told.

use std::fmt;

use perun_client::channel::{CloseError, PaymentError, RequestError};
use perun_client::client::OpenError;

/// Why the counterpart did not do what it was told.
#[derive(Debug)]
pub enum OrderError {
    /// There is no device.
    NoDevice,
    /// There is no device with this number.
    UnknownDevice {
        /// The number.
        index: usize,
        /// How many devices there are.
        count: usize,
    },
    /// All channels are over.
    NoChannel,
    /// There is no channel with this number.
    UnknownChannel {
        /// The number.
        index: usize,
    },
    /// The channel was not opened.
    Open(OpenError),
    /// The payment was not made.
    Pay(PaymentError),
    /// The request was not sent.
    Request(RequestError),
    /// The channel was not closed.
    Close(CloseError),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => write!(f, "there is no device"),
            Self::UnknownDevice { index, count } => write!(
                f,
                "there is no device {index}; there are {count}, counted from 0"
            ),
            Self::NoChannel => write!(f, "there is no channel that is not over; p proposes one"),
            Self::UnknownChannel { index } => {
                write!(f, "there is no channel {index}; s shows them")
            }
            Self::Open(error) => error.fmt(f),
            Self::Pay(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Close(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OrderError {}
