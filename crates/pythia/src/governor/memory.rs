//! The memory of queries: one count of all, and one limit for all together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use super::guard::Guard;

/// Memory that all queries of a service hold.
#[derive(Debug, Default)]
pub(crate) struct Total {
    reserved: AtomicUsize,
    peak: AtomicUsize,
}

/// Memory that sorts, groups, joins and windows of queries asked for, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Held now, by all queries together.
    pub reserved_bytes: usize,
    /// The most that was held at once since the service started.
    pub peak_bytes: usize,
}

impl Total {
    pub(crate) fn now(&self) -> Memory {
        Memory { reserved_bytes: self.reserved.load(Ordering::Relaxed), peak_bytes: self.peak.load(Ordering::Relaxed) }
    }

    /// Returns true if there was room below the limit.
    fn try_grow(&self, bytes: usize, bytes_max: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= bytes_max);
        let before = self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        before.is_ok_and(|before| {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
            true
        })
    }

    fn grow(&self, bytes: usize) {
        let now = self.reserved.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.peak.fetch_max(now, Ordering::Relaxed);
    }
}

/// One query's memory. Whoever asks for more is also told when the query's time is over.
#[derive(Debug)]
pub(crate) struct QueryPool {
    inner: GreedyMemoryPool,
    /// Of all queries together.
    bytes_max: usize,
    guard: Arc<Guard>,
    total: Arc<Total>,
}

impl QueryPool {
    pub(crate) fn new(bytes_max: usize, guard: Arc<Guard>, total: Arc<Total>) -> QueryPool {
        QueryPool { inner: GreedyMemoryPool::new(bytes_max), bytes_max, guard, total }
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        self.total.grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
        self.total.reserved.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.guard.check()?;
        self.inner.try_grow(reservation, additional)?;
        if self.total.try_grow(additional, self.bytes_max) {
            return Ok(());
        }
        self.inner.shrink(reservation, additional);
        let name = reservation.consumer().name();
        Err(DataFusionError::ResourcesExhausted(format!("{name} wants {additional} bytes: all queries hold the rest")))
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_queries_share_one_limit() {
        let total = Total::default();
        assert!(total.try_grow(60, 100) && total.try_grow(40, 100) && !total.try_grow(1, 100));
        assert!(!total.try_grow(usize::MAX, 100), "a sum that overflows is too much");
        assert_eq!(total.now(), Memory { reserved_bytes: 100, peak_bytes: 100 });
    }
}
