//! Disk work that requests from outside ask for: how much of it at once, and how far each goes.
//!
//! Reading by key takes microseconds; looking through blocks takes as long as somebody lets it. The two have places of their own,
//! so that whoever asks for the second never stands in the way of the first. A place belongs to the work, not to the
//! request: a client that leaves gives it back only when the thread is done, and a budget of rows and time, which also ends
//! when the client leaves, makes that soon.

use std::num::NonZero;
use std::time::{Duration, Instant};

use openmesh_api::ErrorCode;
use tokio_util::sync::CancellationToken;

use crate::error::Refusal;
use crate::lanes::{Lanes, Sizes};
use crate::peer;
use crate::turns::{Turn, Turns};

/// Reads by key at once: as many as a disk answers side by side.
const READS_MAX: usize = 16;
/// Longest time that a request waits for a place, in milliseconds: a person still waits then.
const WAIT_MS_MAX: u64 = 2_000;
/// Rows that one scan looks at: an hour of blocks.
pub const SCAN_ROWS_MAX: usize = 4_000;
/// Time that one scan takes, in milliseconds: what a page may take without seeming to hang. Whatever is left comes with the
/// cursor.
const SCAN_MS_MAX: u64 = 200;

/// Reads of one peer that wait: what a busy page asks for at once, many times over.
const READS_WAITING_MAX: usize = 256;
/// Scans of one peer that wait: more would not have their turn before a request has waited its time.
const SCANS_WAITING_MAX: usize = 16;
/// Time of a scan that uses no credit, in milliseconds: a page of something that is there takes less.
const SCAN_FREE_MS: u64 = 50;
/// Time of scans that a peer has at once, in milliseconds: ten pages through all that one may look at.
const SCAN_CREDIT_MS: u64 = 2_000;
/// Part of each second that comes back, in thousandths: one such page in four seconds.
const SCAN_REFILL_PERMILLE: u32 = 50;

/// Scans at once: half of the processors, so that the other half is there for everything else, and one of each lane.
fn scans_max() -> usize {
    (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).max(2)
}

/// Budget of one scan.
#[derive(Debug)]
pub struct Budget {
    rows_left: usize,
    taken: usize,
    deadline: Instant,
    stop: CancellationToken,
}

impl Budget {
    /// A budget of rows and time from now on, which ends early with `stop`.
    pub fn new(rows: usize, time: Duration, stop: CancellationToken) -> Budget {
        Budget { rows_left: rows, taken: 0, deadline: Instant::now() + time, stop }
    }

    /// Takes a row; returns false where the budget is spent. The first row is always given, so that a cursor gets on.
    pub fn take(&mut self) -> bool {
        let spent = self.rows_left == 0 || Instant::now() >= self.deadline || self.stop.is_cancelled();
        if spent && self.taken > 0 {
            return false;
        }
        self.taken += 1;
        self.rows_left = self.rows_left.saturating_sub(1);
        true
    }

    /// Rows taken so far.
    #[cfg(test)]
    pub const fn taken(&self) -> usize {
        self.taken
    }
}

/// Places for disk work.
#[derive(Debug, Clone)]
pub struct Work {
    reads: Turns,
    scans: Lanes,
    /// Longest time that a request waits for a place.
    wait_max: Duration,
}

impl Default for Work {
    fn default() -> Work {
        Work::new(READS_MAX, scans_max(), Duration::from_millis(WAIT_MS_MAX))
    }
}

impl Work {
    /// Numbers of places for reads by key and for scans, and the longest time that a request waits for one.
    pub fn new(reads: usize, scans: usize, wait_max: Duration) -> Work {
        let slow = scans.div_ceil(2);
        let scans = Lanes::new(Sizes {
            quick: scans - slow,
            slow,
            waiting_max: SCANS_WAITING_MAX,
            wait_max,
            credit: Duration::from_millis(SCAN_CREDIT_MS),
            free: Duration::from_millis(SCAN_FREE_MS),
            refill_permille: SCAN_REFILL_PERMILLE,
            reserve: Duration::from_millis(SCAN_MS_MAX),
            // Its budget ends a scan before that.
            quick_max: wait_max,
        });
        Work { reads: Turns::new(reads, READS_WAITING_MAX), scans, wait_max }
    }

    async fn place(&self) -> Result<Turn, Refusal> {
        let waited = tokio::time::timeout(self.wait_max, self.reads.enter(peer::current())).await;
        waited.ok().flatten().ok_or_else(|| {
            let message = "this node reads its disk for as many requests as it can";
            Refusal::new(ErrorCode::Busy, message, "try again in a moment")
        })
    }

    /// Reads by key, away from the async threads. Fails as the work does, and as busy where no place becomes free in time.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        run(self.place().await?, work).await
    }

    /// Looks through rows within a budget, away from the async threads. Fails as the work does, and as busy where no place
    /// becomes free in time.
    pub async fn scan<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&mut Budget) -> Result<T, Refusal> + Send + 'static,
    {
        let place = self.scans.enter(peer::current()).await?;
        let stop = CancellationToken::new();
        let _left = stop.clone().drop_guard();
        run(place, move || work(&mut Budget::new(SCAN_ROWS_MAX, Duration::from_millis(SCAN_MS_MAX), stop))).await
    }
}

async fn run<T, F, P>(place: P, work: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    P: Send + 'static,
{
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    working.await.map_err(|e| Refusal::internal("a request", &e))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[test]
    fn a_budget_ends_by_rows_by_time_and_when_the_client_leaves() {
        let rows = |mut budget: Budget| std::iter::from_fn(|| budget.take().then_some(())).take(100).count();
        let hour = Duration::from_secs(3_600);
        assert_eq!(rows(Budget::new(7, hour, CancellationToken::new())), 7);
        assert_eq!(rows(Budget::new(7, Duration::ZERO, CancellationToken::new())), 1, "a cursor gets on");
        let left = CancellationToken::new();
        left.cancel();
        assert_eq!(rows(Budget::new(7, hour, left)), 1);
    }

    /// 64 requests that look through everything: never more of them work than there are places, all of them together do no more
    /// than their budgets, also those whose client has left, and reads by key find a place all the while.
    #[tokio::test(flavor = "multi_thread")]
    async fn scans_take_no_more_than_their_places_also_when_their_clients_leave() {
        let work = Work::new(1, 2, Duration::from_secs(600));
        let (now, most, rows) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let begun = Arc::new(Semaphore::new(0));
        let scans: Vec<_> = (0..64)
            .map(|_| {
                let (work, now, most, rows, begun) =
                    (work.clone(), now.clone(), most.clone(), rows.clone(), begun.clone());
                tokio::spawn(async move {
                    work.scan(move |budget| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        begun.add_permits(1);
                        while budget.take() {
                            std::thread::yield_now();
                        }
                        rows.fetch_add(budget.taken(), Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .await
                })
            })
            .collect();
        begun.acquire().await.unwrap().forget();
        let status = work.read(|| Ok("status")).await;
        assert_eq!(status.ok(), Some("status"), "reads by key have places of their own");
        scans.iter().skip(1).for_each(tokio::task::JoinHandle::abort);
        for scan in scans {
            let _ = scan.await;
        }
        // Those whose clients left have places until they are done.
        while work.scans.in_work() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?} at once");
        assert!(rows.load(Ordering::SeqCst) <= 64 * SCAN_ROWS_MAX);
        assert_eq!(now.load(Ordering::SeqCst), 0, "a place that is free belongs to work that has ended");
    }

    #[tokio::test]
    async fn whoever_finds_no_place_is_told_that_the_node_is_busy() {
        let work = Work::new(0, 0, Duration::from_millis(1));
        assert_eq!(work.read(|| Ok(())).await.unwrap_err().code(), ErrorCode::Busy);
        assert_eq!(work.scan(|_| Ok(())).await.unwrap_err().code(), ErrorCode::Busy);
    }
}
