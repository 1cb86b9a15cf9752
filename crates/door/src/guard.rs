//! The stream of a client with HTTP/1, between the socket and hyper: a head reaches hyper only when it is whole and has one meaning.
//!
//! A malformed head is replaced by a harmless one that asks to close, and its number is noted in [`Seen`]: the service knows by counting that
//! this request is to be answered with the fault. So the answers to earlier requests of the connection stay whole and in order, and nothing
//! after the fault is ever read. A malformed body is an error of the stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::framing::{Framing, Place};
use crate::head::Fault;
use crate::limits::LINGER_MS;

/// Bytes read at once where they are looked at one by one.
const SCRATCH_BYTES: usize = 8 << 10;
/// Stands for a malformed head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Facts about a connection that its guard and its service share.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    calls: u64,
    refused: Option<(u64, Fault)>,
    undecided: Option<u64>,
    decision: Option<bool>,
    waker: Option<Waker>,
}

/// Facts about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is good.
    Good,
    /// It is good, and waits for [`Seen::decide`] before anything after it is read.
    MayUpgrade,
    /// It is refused.
    Refused(Fault),
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Facts about the next request of the connection. To be called once for each.
    pub fn next(&self) -> Sight {
        let mut facts = self.lock();
        facts.calls += 1;
        match (facts.refused, facts.undecided) {
            (Some((number, fault)), _) if number == facts.calls => Sight::Refused(fault),
            (_, Some(number)) if number == facts.calls => Sight::MayUpgrade,
            _ => Sight::Good,
        }
    }

    /// Lets the bytes after a [`Sight::MayUpgrade`] pass, as another protocol or as HTTP.
    pub fn decide(&self, upgraded: bool) {
        let mut facts = self.lock();
        if facts.undecided.take().is_some() {
            facts.decision = Some(upgraded);
            if let Some(waker) = facts.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A guarded stream.
#[derive(Debug)]
pub struct Guard<S> {
    inner: S,
    seen: Arc<Seen>,
    framing: Framing,
    /// Bytes that were read and not looked at.
    unseen: Vec<u8>,
    /// Bytes that may pass, from `sent` on.
    good: Vec<u8>,
    sent: usize,
    refused: bool,
    broken: bool,
    shut: bool,
    linger: Option<Pin<Box<Sleep>>>,
    scratch: Box<[u8]>,
}

impl<S> Guard<S> {
    /// A guard of a stream whose first bytes were read already.
    pub fn new(inner: S, first: Vec<u8>, seen: Arc<Seen>) -> Guard<S> {
        let scratch = vec![0; SCRATCH_BYTES].into_boxed_slice();
        Guard {
            inner,
            seen,
            framing: Framing::default(),
            unseen: first,
            good: Vec::new(),
            sent: 0,
            refused: false,
            broken: false,
            shut: false,
            linger: None,
            scratch,
        }
    }

    /// A stream that is carried as it is, whose first bytes were read already.
    pub fn open(inner: S, first: Vec<u8>) -> Guard<S> {
        let mut guard = Guard::new(inner, Vec::new(), Arc::default());
        guard.framing = Framing::raw();
        guard.good = first;
        guard
    }

    /// Looks at the bytes that were read.
    fn look(&mut self) {
        let taken = match self.framing.push(&self.unseen, &mut self.good) {
            Ok(taken) => taken,
            // A fault in the body of a request that hyper has, or is about to get.
            Err(Fault::Chunk) => {
                self.broken = true;
                self.unseen.len()
            }
            Err(fault) => {
                self.seen.lock().refused = Some((self.framing.heads() + 1, fault));
                self.good.extend_from_slice(STAND_IN);
                self.refused = true;
                self.unseen.len()
            }
        };
        self.unseen.drain(..taken);
        if self.framing.place() == Place::Undecided {
            let mut facts = self.seen.lock();
            if facts.decision.is_none() {
                facts.undecided = Some(self.framing.heads());
            }
        }
    }

    /// Returns true while the service has not decided on an upgrade.
    fn is_undecided(&mut self, context: &mut Context<'_>) -> bool {
        if self.framing.place() != Place::Undecided {
            return false;
        }
        let mut facts = self.seen.lock();
        match facts.decision.take() {
            Some(upgraded) => {
                drop(facts);
                self.framing.decide(upgraded);
                false
            }
            None => {
                facts.waker = Some(context.waker().clone());
                true
            }
        }
    }

    fn send(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = buffer.remaining().min(self.good.len() - self.sent);
        buffer.put_slice(&self.good[self.sent..self.sent + count]);
        self.sent += count;
        if self.sent == self.good.len() {
            self.good.clear();
            self.sent = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads bytes that nobody has to look at straight into the reader's buffer.
    fn read_through(&mut self, most: u64, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(count));
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        self.framing.passed(read as u64);
        Poll::Ready(Ok(()))
    }

    /// Reads bytes that are looked at. `Ready(Ok(false))` at the end of the stream.
    fn read_unseen(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut part = ReadBuf::new(&mut self.scratch);
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        self.unseen.extend_from_slice(part.filled());
        Poll::Ready(Ok(!part.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Throws away what a refused client still sends, until it stops or time is up. A socket that is closed with unread bytes resets its
    /// connection, and the reset may overtake the refusal.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let rest = || Box::pin(tokio::time::sleep(Duration::from_millis(LINGER_MS)));
        let over = self.linger.get_or_insert_with(rest).as_mut().poll(context).is_ready();
        loop {
            let mut part = ReadBuf::new(&mut self.scratch);
            match Pin::new(&mut self.inner).poll_read(context, &mut part) {
                Poll::Ready(Ok(())) if !part.filled().is_empty() && !over => {}
                Poll::Pending if !over => return Poll::Pending,
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.good.is_empty() {
                this.send(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.broken {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Fault::Chunk.to_string())));
            }
            if this.refused {
                // The stand-in asks to close; nothing after it matters.
                return Poll::Pending;
            }
            let undecided = this.is_undecided(context);
            if !undecided && !this.unseen.is_empty() {
                this.look();
                continue;
            }
            match this.framing.place() {
                Place::Body(left) => return this.read_through(left, context, buffer),
                Place::Raw => return this.read_through(u64::MAX, context, buffer),
                // A client that speaks on before it was answered waits in its socket; that it left is seen.
                Place::Undecided if this.unseen.len() >= SCRATCH_BYTES => return Poll::Pending,
                _ => {}
            }
            if !std::task::ready!(this.read_unseen(context))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            std::task::ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
            this.shut = true;
        }
        if this.refused || this.broken { this.poll_linger(context) } else { Poll::Ready(Ok(())) }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
