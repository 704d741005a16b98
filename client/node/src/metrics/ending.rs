//! How an answer ends: a stream may fail behind what it has told.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::Errors;
use super::calls::code_in;

/// An answer whose end is counted if it tells an error.
#[derive(Debug, Default)]
pub struct Ending<B> {
    body: B,
    errors: Errors,
}

impl<B> Ending<B> {
    pub(super) fn new(body: B, errors: Errors) -> Self {
        Self { body, errors }
    }
}

impl<B: Body + Unpin> Body for Ending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(error) = frame.trailers_ref().and_then(code_in)
        {
            self.errors.failed(error);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
