//! The answer to a call, while it is read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tracing::Span;

use super::Caller;
use super::traffic::Running;

/// An answer that counts as a running call until it is read, and that ends when its token does.
pub struct CallBody {
    body: Body,
    span: Span,
    call: Option<Call>,
}

/// A call that is being answered.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) _running: Running,
    /// Made when something is waited for: most answers never are.
    revoked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Call {
    pub(super) fn new(caller: Caller, running: Running) -> Self {
        Self {
            caller,
            _running: running,
            revoked: None,
        }
    }

    /// Why it may go on no longer.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let caller = &self.caller;
        let revoked = &mut self.revoked;
        let revoked = revoked.get_or_insert_with(|| Box::pin(caller.clone().revoked()));
        if revoked.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        match self.caller.check_is_good() {
            Err(error) => Poll::Ready(error.into()),
            Ok(()) => Poll::Pending,
        }
    }
}

impl CallBody {
    pub(super) fn new(body: Body, call: Call, span: Span) -> Self {
        Self {
            body,
            span,
            call: Some(call),
        }
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.body = Body::empty();
        self.call = None;
        let mut trailers = http::HeaderMap::new();
        // Its metadata is ours and fits.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl Default for CallBody {
    fn default() -> Self {
        Self {
            body: Body::empty(),
            span: Span::none(),
            call: None,
        }
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _entered = this.span.clone().entered();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                // A stream that is never waited for ends too.
                let caller = this.call.as_ref().map(|call| &call.caller);
                match caller.map_or(Ok(()), Caller::check_is_good) {
                    Ok(()) => Poll::Ready(Some(Ok(frame))),
                    Err(error) => Poll::Ready(Some(Ok(this.end(&error.into())))),
                }
            }
            Poll::Ready(frame) => {
                if frame.is_none() {
                    this.call = None;
                }
                Poll::Ready(frame)
            }
            Poll::Pending => match this.call.as_mut().map(|call| call.poll_end(context)) {
                Some(Poll::Ready(status)) => Poll::Ready(Some(Ok(this.end(&status)))),
                Some(Poll::Pending) | None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
