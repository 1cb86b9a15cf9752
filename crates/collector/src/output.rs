//! The collector's outputs, and the bounded queues before them.
//!
//! A reader that takes nothing never holds up a source: outputs wait for it here, and where they are too many the oldest
//! are given up, counted and logged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use openmesh_market::window::{ClosedWindow, Withdrawn};
use openmesh_market::{Event, Exchange};
use tokio::sync::mpsc;

/// Windows in the channel to their reader, of all sources together: each may hold some megabytes.
pub(crate) const WINDOWS_MAX: usize = 64;

/// Bytes of one source's windows that wait before that channel: minutes of the busiest venue.
pub(crate) const WINDOWS_WAITING_BYTES_MAX: usize = 32 << 20;

/// Incidents, or withdrawals, in the channel to their reader.
pub(crate) const INCIDENTS_MAX: usize = 1_024;

/// Incidents, or withdrawals, of one source that wait before that channel: hours of a venue that is down.
pub(crate) const INCIDENTS_WAITING_MAX: usize = 4_096;

/// Longest wait for readers when a source ends: shorter than a supervisor's patience.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// A value with the source that it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct OfSource<T> {
    /// Source id.
    pub source: Arc<str>,
    /// Venue.
    pub exchange: Exchange,
    /// The value.
    pub value: T,
}

/// Outputs of a collector besides live events. Dropping a receiver means that nobody wants that.
///
/// A withdrawal may arrive before its window does: they leave by different channels. A window that still waits when a
/// chunk of it is withdrawn leaves without that chunk.
#[derive(Debug)]
pub struct Outputs {
    /// Closed windows of all sources, each source's in order; their chunks are held in the store.
    pub windows: mpsc::Receiver<OfSource<ClosedWindow>>,
    /// Chunks that must be taken back.
    pub withdrawn: mpsc::Receiver<OfSource<Withdrawn>>,
    /// Incidents of all sources.
    pub incidents: mpsc::Receiver<OfSource<Arc<Event>>>,
}

/// One source's queue before a channel.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    to: mpsc::Sender<OfSource<T>>,
    source: Arc<str>,
    exchange: Exchange,
    waiting: VecDeque<(usize, T)>,
    weight: usize,
    weight_max: usize,
}

impl<T> Outbox<T> {
    pub(crate) const fn new(
        to: mpsc::Sender<OfSource<T>>,
        source: Arc<str>,
        exchange: Exchange,
        weight_max: usize,
    ) -> Outbox<T> {
        Outbox { to, source, exchange, waiting: VecDeque::new(), weight: 0, weight_max }
    }

    /// Queues a value and sends what the channel takes; returns the number of values that were given up for it.
    pub(crate) fn push(&mut self, value: T, weight: usize) -> u64 {
        self.weight += weight;
        self.waiting.push_back((weight, value));
        self.flush();
        let mut dropped = 0;
        while self.weight > self.weight_max
            && let Some((weight, _)) = self.waiting.pop_front()
        {
            self.weight -= weight;
            dropped += 1;
        }
        dropped
    }

    /// Sends what the channel takes. Where its reader is gone, nobody wants the rest.
    pub(crate) fn flush(&mut self) {
        while let Some((weight, value)) = self.waiting.pop_front() {
            let output = self.output(value);
            match self.to.try_send(output) {
                Ok(()) => self.weight -= weight,
                Err(mpsc::error::TrySendError::Full(output)) => {
                    return self.waiting.push_front((weight, output.value));
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.waiting.clear();
                    self.weight = 0;
                }
            }
        }
    }

    /// Sends everything, waiting for the reader.
    pub(crate) async fn drain(&mut self) {
        while let Some((weight, value)) = self.waiting.pop_front() {
            self.weight -= weight;
            let output = self.output(value);
            if self.to.send(output).await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until the channel takes a value, or its reader is gone.
    pub(crate) async fn room(&self) {
        let _ = self.to.reserve().await;
    }

    fn output(&self, value: T) -> OfSource<T> {
        OfSource { source: self.source.clone(), exchange: self.exchange, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_stalls_gets_everything_later_up_to_a_limit_that_is_counted() {
        let (to, mut from) = mpsc::channel(2);
        let mut outbox = Outbox::new(to, "a".into(), Exchange::Kraken, 3);
        let dropped: Vec<u64> = (0..7).map(|n| outbox.push(n, 1)).collect();
        assert_eq!(dropped, [0, 0, 0, 0, 0, 1, 1], "two in the channel, three before it");
        let mut read = Vec::new();
        while let Ok(output) = from.try_recv() {
            read.push(output.value);
            outbox.flush();
        }
        assert_eq!(read, [0, 1, 4, 5, 6]);
        assert!(outbox.is_empty());
        drop(from);
        assert_eq!(outbox.push(8, 100), 0, "nobody wants it: nothing is lost");
        assert!(outbox.is_empty());
    }
}
