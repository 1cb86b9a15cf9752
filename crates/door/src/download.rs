//! Bodies of answers on their way to a client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::body::Cause;
use crate::page::grpc_end;
use crate::pool::Stream;
use crate::route::Ticket;

/// The body of an answer. It holds the request's ticket until its end, and ends when it is cut: a client of gRPC hears `UNAVAILABLE`, any other
/// sees that the body is not whole.
#[derive(Debug)]
pub struct Download {
    inner: Incoming,
    held: Option<(Ticket, Option<Stream>)>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    grpc: bool,
}

impl Download {
    /// The body of an answer to the request of a ticket.
    pub fn new(inner: Incoming, ticket: Ticket, stream: Option<Stream>, grpc: bool) -> Download {
        let cut = Box::pin(ticket.ends.cut.clone().cancelled_owned());
        Download { inner, held: Some((ticket, stream)), cut, grpc }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        if self.cut.as_mut().poll(context).is_ready() {
            let mut is_unwelcome = false;
            if let Some((mut ticket, _)) = self.held.take() {
                is_unwelcome = ticket.is_unwelcome();
                ticket.was_cut();
            }
            let (status, text) = match is_unwelcome {
                true => (16, "whoever asked may not come in any more"),
                false => (14, "the instance was taken away before its answer was whole"),
            };
            let end = if self.grpc { Ok(Frame::trailers(grpc_end(status, text))) } else { Err(text.into()) };
            return Poll::Ready(Some(end));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none() || self.inner.is_end_stream() {
            self.held = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Cause::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
