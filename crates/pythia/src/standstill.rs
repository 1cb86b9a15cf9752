//! Noticing that threads which run only on idle processors do not get on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::threads::Threads;

/// Pause between two looks whether idle threads get on, milliseconds: what a person waits without wondering.
const LOOK_MS: u64 = 1_000;
/// Processor time below which they stand still, in hundredths of that pause: so much work is thrown away at most.
const STANDSTILL_PERCENT: u64 = 10;
/// Time for which idle threads are not tried again after that, milliseconds.
const AVOIDED_MS: u64 = 10_000;

/// The last standstill of the idle threads, because other programs take all processors.
#[derive(Debug, Default)]
pub struct Standstill(Mutex<Option<Instant>>);

impl Standstill {
    /// Returns true where the last one was a moment ago.
    pub fn lasts(&self) -> bool {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|at| at.elapsed() < Duration::from_millis(AVOIDED_MS))
    }

    /// Returns when the idle threads have hardly run for a while.
    pub async fn comes(&self, threads: &Threads) {
        let mut before = threads.idle_nanos();
        loop {
            sleep(Duration::from_millis(LOOK_MS)).await;
            let now = threads.idle_nanos();
            if now.saturating_sub(before) < LOOK_MS * 1_000_000 / 100 * STANDSTILL_PERCENT {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                return;
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_standstill_is_seen_after_a_second_and_remembered() {
        let (threads, standstill) = (Threads::start(1).unwrap(), Standstill::default());
        assert!(!standstill.lasts());
        // Nothing runs on them, as where other programs have every processor.
        standstill.comes(&threads).await;
        assert!(standstill.lasts());
    }
}
