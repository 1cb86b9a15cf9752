//! Bodies on their way: they carry back-pressure, and know their end.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::fields::trailers_to_instance;
use crate::visits::{Stay, Visit};

/// Cause of an error of a body.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A body of either direction.
pub type Payload = UnsyncBoxBody<Bytes, Cause>;

/// A body that is there already.
pub fn whole(bytes: Bytes) -> Payload {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Facts about a request's body, known to whoever answers.
#[derive(Clone, Debug, Default)]
pub struct UploadFacts(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    end: AtomicU8,
    parts: AtomicU64,
    patient: AtomicBool,
}

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadEnd {
    /// None so far.
    None,
    /// Malformed, or the client left.
    Broken,
    /// The client was silent for too long.
    Silent,
}

impl UploadFacts {
    fn end(&self, end: UploadEnd) {
        self.0.end.store(end as u8, Ordering::Release);
    }

    /// Its fault.
    pub fn fault(&self) -> UploadEnd {
        match self.0.end.load(Ordering::Acquire) {
            0 => UploadEnd::None,
            1 => UploadEnd::Broken,
            _ => UploadEnd::Silent,
        }
    }

    /// Takes silence from now on: the answer has begun, and both sides may talk as they like.
    pub fn be_patient(&self) {
        self.0.patient.store(true, Ordering::Relaxed);
    }

    /// Returns true where silence is taken.
    pub fn is_patient(&self) -> bool {
        self.0.patient.load(Ordering::Relaxed)
    }

    /// Number of its parts that went on to the instance.
    pub fn parts(&self) -> u64 {
        self.0.parts.load(Ordering::Relaxed)
    }
}

/// The body of a request. It says when it was sent, does not wait for a silent client for ever while nothing is answered, and ends where the request is
/// cut: it may go on when the answer has ended, and so its visit goes on with it.
#[derive(Debug)]
pub struct Upload {
    inner: Incoming,
    silence: Pin<Box<Sleep>>,
    patience: Duration,
    facts: UploadFacts,
    sent: CancellationToken,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _visit: Option<Arc<Visit>>,
}

impl Upload {
    /// A body whose client may be silent for `patience`; `sent` is cancelled at its end, also where that is an error.
    pub fn new(inner: Incoming, patience: Duration, facts: UploadFacts, sent: CancellationToken, stay: Stay) -> Upload {
        if inner.is_end_stream() {
            sent.cancel();
        }
        let (silence, cut) = (Box::pin(sleep(patience)), Box::pin(stay.cut.cancelled_owned()));
        Upload { inner, silence, patience, facts, sent, cut, _visit: stay.visit }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.sent.cancel();
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            // Whoever answers knows it by the same token.
            return Poll::Ready(Some(Err("the request was cut before it was whole".into())));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers_to_instance(trailers);
                }
                let next = Instant::now() + self.patience;
                self.silence.as_mut().reset(next);
                self.facts.0.parts.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.facts.end(UploadEnd::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.sent.cancel();
                Poll::Ready(None)
            }
            Poll::Pending if self.facts.is_patient() => Poll::Pending,
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(context));
                self.facts.end(UploadEnd::Silent);
                Poll::Ready(Some(Err("the client was silent in the middle of its request".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that keeps something alive until it is gone.
#[derive(Debug)]
pub struct Kept<T> {
    inner: Payload,
    _kept: T,
}

impl<T> Kept<T> {
    /// A body and what it keeps.
    pub fn new(inner: Payload, kept: T) -> Kept<T> {
        Kept { inner, _kept: kept }
    }
}

impl<T: Unpin> Body for Kept<T> {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
