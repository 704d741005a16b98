//! Ways for messages to travel. None of them is trusted, or expected to deliver.

mod bucket;

pub use self::bucket::{Bucket, BucketEnd};

/// One end of a way that messages of a stream travel, in both directions.
///
/// What arrives may be lost, late, repeated, out of order, of other streams, garbage, or one's own: the
/// machines sort that out.
pub trait Transport {
    /// Why it failed.
    type Error;

    /// Hands a message over. `Ok` says nothing about its delivery.
    fn send(&mut self, message: &[u8]) -> Result<(), Self::Error>;

    /// Copies the next message that has arrived into the beginning of `into`, which has
    /// [`MAX_MESSAGE_LENGTH`](crate::MAX_MESSAGE_LENGTH) bytes, and says how long it is; `None` if there is
    /// none. Longer ones are passed over.
    fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, Self::Error>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    type Error = T::Error;

    fn send(&mut self, message: &[u8]) -> Result<(), Self::Error> {
        (**self).send(message)
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        (**self).receive(into)
    }
}
