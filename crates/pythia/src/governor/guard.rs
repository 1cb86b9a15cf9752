//! The guard of a query, which says whether it may go on.
//!
//! Nothing can stop a thread from outside, and a task is only dropped where it waits: a join whose condition is never
//! true, a filter that lets nothing pass or a regular expression over a long text run for minutes without either. So
//! every query has one [`Guard`], and everything that can take long asks it on its way: each batch of each operator,
//! each pair of batches of a join, each step of a slow function, each request for memory. Functions are shared by all
//! queries and cannot be handed a guard, so it also stands in a thread-local variable while a query's work is polled.
//!
//! The guard owns the query's place among those that run. The work's pieces share the guard, so the place is given
//! back when the last of them is gone, wherever it was running, and not before.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datafusion::common::{DataFusionError, Result};
use tokio::sync::OwnedSemaphorePermit;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Guard>>> = const { RefCell::new(None) };
}

/// One query's leave to go on.
pub(crate) struct Guard {
    deadline: Instant,
    time_ms_max: u64,
    stopped: AtomicBool,
    /// Most bytes that one call of a growing function may make of a batch.
    call_bytes_max: AtomicU64,
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Reason why a query must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("the query's {time_ms_max} ms are over")]
    TimedOut { time_ms_max: u64 },
    #[error("nobody waits for the query any more")]
    Cancelled,
}

impl Guard {
    pub(crate) fn new(deadline: Instant, time_ms_max: u64, call_bytes_max: u64, place: OwnedSemaphorePermit) -> Guard {
        Guard {
            deadline,
            time_ms_max,
            stopped: AtomicBool::new(false),
            call_bytes_max: AtomicU64::new(call_bytes_max),
            _place: place,
        }
    }

    /// Fails if the query must not go on.
    pub(crate) fn check(&self) -> Result<()> {
        let stopped = if self.stopped.load(Ordering::Relaxed) {
            Stopped::Cancelled
        } else if self.deadline <= Instant::now() {
            Stopped::TimedOut { time_ms_max: self.time_ms_max }
        } else {
            return Ok(());
        };
        Err(DataFusionError::External(Box::new(stopped)))
    }

    /// Time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Most bytes that one call of a growing function may make of a batch.
    pub(crate) fn call_bytes_max(&self) -> u64 {
        self.call_bytes_max.load(Ordering::Relaxed)
    }

    /// Divides what one call may make by the number of calls.
    pub(crate) fn share(&self, calls: u64) {
        let whole = self.call_bytes_max.load(Ordering::Relaxed);
        self.call_bytes_max.store(whole / calls.max(1), Ordering::Relaxed);
    }

    /// Makes this the guard of what runs on this thread, until the answer is dropped.
    pub(crate) fn enter(self: &Arc<Guard>) -> Entered {
        Entered { before: CURRENT.replace(Some(Arc::clone(self))) }
    }

    /// Does the work with this guard on whichever thread polls it.
    pub(crate) async fn over<T>(self: &Arc<Guard>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _entered = self.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// The guard that was on this thread before stands there again when this is dropped.
pub(crate) struct Entered {
    before: Option<Arc<Guard>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// The guard of the query that this thread works on.
pub(crate) fn current() -> Option<Arc<Guard>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Fails if the query that this thread works on must not go on. What runs outside of any query may.
pub(crate) fn check() -> Result<()> {
    CURRENT.with_borrow(|guard| guard.as_ref().map_or(Ok(()), |guard| guard.check()))
}

/// Stops a query when dropped. Does not keep its place.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) Weak<Guard>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(guard) = self.0.upgrade() {
            guard.stopped.store(true, Ordering::Relaxed);
        }
    }
}
