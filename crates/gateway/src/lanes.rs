//! Two lanes for costly work: whoever asks for little does not wait behind whoever asks for much.
//!
//! A peer has a credit of time that fills by and by. While it has some, its work goes through the quick lane; without, through the
//! slow one, which has few places and refuses when too many wait. Nobody is refused for what it is: a person who is alone with a node may
//! ask for as much as ever, one after the other. Work in the quick lane that takes long moves over to the slow one, so that
//! a stranger's first requests do not fill the quick lane either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openmesh_api::ErrorCode;

use crate::error::Refusal;
use crate::peer::Peer;
use crate::turns::{Turn, Turns};

/// Peers whose use is remembered: those whose credit is full are forgotten when there are more.
const PEERS_MAX: usize = 4_096;

/// Sizes of the lanes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Places of the quick lane.
    pub quick: usize,
    /// Places of the slow lane.
    pub slow: usize,
    /// Requests of one peer that wait for a lane; more are refused.
    pub waiting_max: usize,
    /// Longest time that a request waits for a place.
    pub wait_max: Duration,
    /// Full credit of a peer.
    pub credit: Duration,
    /// Time that work takes without using any credit.
    pub free: Duration,
    /// Part of each second that comes back as credit, in thousandths.
    pub refill_permille: u32,
    /// Credit that work takes as long as it runs, whatever it will need: many requests at once are not all the first one.
    pub reserve: Duration,
    /// Longest time in the quick lane.
    pub quick_max: Duration,
}

/// Two lanes; a cheap clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    quick: Turns,
    slow: Turns,
    used: Arc<Mutex<HashMap<Peer, Used>>>,
    sizes: Sizes,
}

/// Use of a peer.
#[derive(Debug, Clone, Copy)]
struct Used {
    time: Duration,
    at: Instant,
    running: u32,
}

impl Used {
    /// Rest of it by now.
    fn by(self, now: Instant, refill_permille: u32) -> Used {
        let back = now.saturating_duration_since(self.at) * refill_permille / 1_000;
        Used { time: self.time.saturating_sub(back), at: now, running: self.running }
    }
}

/// A place in a lane, as long as the work does. Dropped, it charges the time to the peer.
#[derive(Debug)]
pub struct Pass {
    lanes: Lanes,
    of: Peer,
    since: Instant,
    place: Option<Turn>,
    is_quick: bool,
}

impl Lanes {
    /// Lanes of these sizes.
    pub fn new(sizes: Sizes) -> Lanes {
        let turns = |places| Turns::new(places, sizes.waiting_max);
        Lanes { quick: turns(sizes.quick), slow: turns(sizes.slow), used: Arc::default(), sizes }
    }

    /// Waits for a place. Fails as busy where none becomes free in time.
    pub async fn enter(&self, of: Peer) -> Result<Pass, Refusal> {
        let is_quick = self.begin(of, Instant::now());
        // From here on the use is given back, however this ends.
        let mut pass = Pass { lanes: self.clone(), of, since: Instant::now(), place: None, is_quick };
        let lane = if is_quick { &self.quick } else { &self.slow };
        let waited = tokio::time::timeout(self.sizes.wait_max, lane.enter(of)).await;
        pass.place = Some(waited.ok().flatten().ok_or_else(busy)?);
        pass.since = Instant::now();
        Ok(pass)
    }

    /// Requests that have a place or wait for one.
    #[cfg(test)]
    pub fn in_work(&self) -> u32 {
        self.with(|all| all.values().map(|used| used.running).sum())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Peer, Used>) -> T) -> T {
        work(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that work of a peer begins; returns true where it has credit for the quick lane.
    fn begin(&self, of: Peer, now: Instant) -> bool {
        let Sizes { credit, refill_permille, reserve, .. } = self.sizes;
        self.with(|all| {
            if all.len() >= PEERS_MAX {
                all.retain(|_, used| used.running > 0 || !used.by(now, refill_permille).time.is_zero());
            }
            let used = all.entry(of).or_insert(Used { time: Duration::ZERO, at: now, running: 0 });
            *used = used.by(now, refill_permille);
            let has_credit = used.time + reserve * used.running < credit;
            used.running += 1;
            has_credit
        })
    }

    fn end(&self, of: Peer, took: Duration, now: Instant) {
        // Debts end: twice the credit is what a peer has to wait for at most.
        let most = self.sizes.credit * 2;
        self.with(|all| {
            if let Some(used) = all.get_mut(&of) {
                *used = used.by(now, self.sizes.refill_permille);
                used.time = (used.time + took).min(most);
                used.running = used.running.saturating_sub(1);
            }
        });
    }
}

impl Pass {
    /// Returns true where the work has a place in the quick lane.
    pub const fn is_quick(&self) -> bool {
        self.is_quick
    }

    /// Moves work that takes long from the quick lane to the slow one. Ends, as busy, only where the slow lane has no place for it: then the work
    /// is to be given up.
    pub async fn overdue(&mut self) -> Refusal {
        if self.is_quick {
            tokio::time::sleep_until((self.since + self.lanes.sizes.quick_max).into()).await;
            match self.lanes.slow.try_enter() {
                Some(place) => (self.place, self.is_quick) = (Some(place), false),
                None => return busy(),
            }
        }
        std::future::pending().await
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let now = Instant::now();
        // Who never had a place has used nothing.
        let took = if self.place.is_some() { now.saturating_duration_since(self.since) } else { Duration::ZERO };
        self.lanes.end(self.of, took.saturating_sub(self.lanes.sizes.free), now);
    }
}

fn busy() -> Refusal {
    let message = "this node does as much of such work as it can, and your address has had its part of it lately";
    Refusal::new(ErrorCode::Busy, message, "ask for less at once, or try again in a moment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const LONG: Duration = Duration::from_secs(600);

    fn peer(n: u8) -> Peer {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)).into()
    }

    fn sizes() -> Sizes {
        Sizes {
            quick: 2,
            slow: 1,
            waiting_max: 1,
            wait_max: LONG,
            credit: Duration::from_secs(2),
            free: Duration::ZERO,
            refill_permille: 100,
            reserve: Duration::from_secs(1),
            quick_max: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn whoever_asks_for_much_does_not_stand_before_whoever_asks_for_little() {
        let lanes = Lanes::new(sizes());
        let first = lanes.enter(peer(1)).await.unwrap();
        let second = lanes.enter(peer(1)).await.unwrap();
        assert!(first.is_quick && second.is_quick);
        let third = lanes.enter(peer(1)).await.unwrap();
        assert!(!third.is_quick, "two at once are all its credit");
        let waiting = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.enter(peer(1)).await.map(|pass| pass.is_quick) }
        });
        while lanes.in_work() < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lanes.enter(peer(1)).await.unwrap_err().code(), ErrorCode::Busy, "no more may wait");
        drop(first);
        let other = lanes.enter(peer(2)).await.unwrap();
        assert!(other.is_quick, "another does not wait");
        drop(third);
        assert!(!waiting.await.unwrap().unwrap());
        drop((second, other));
    }

    #[tokio::test]
    async fn long_work_leaves_the_quick_lane_and_is_given_up_where_the_slow_one_is_full() {
        let lanes = Lanes::new(sizes());
        let (mut long, mut longer) = (lanes.enter(peer(1)).await.unwrap(), lanes.enter(peer(2)).await.unwrap());
        assert!(tokio::time::timeout(Duration::from_millis(20), long.overdue()).await.is_err(), "it goes on");
        assert!(!long.is_quick && lanes.slow.try_enter().is_none());
        drop(lanes.quick.try_enter().expect("its place in the quick lane is free"));
        assert_eq!(longer.overdue().await.code(), ErrorCode::Busy);
    }

    #[test]
    fn credit_comes_back_and_peers_are_forgotten() {
        let lanes = Lanes::new(sizes());
        let begun = Instant::now();
        let later = |seconds| begun + Duration::from_secs(seconds);
        assert!(lanes.begin(peer(1), begun));
        lanes.end(peer(1), LONG, begun);
        assert!(!lanes.begin(peer(1), later(1)), "it has used all");
        lanes.end(peer(1), Duration::ZERO, later(1));
        assert!(lanes.begin(peer(1), later(41)), "a debt is no more than twice the credit");
        lanes.end(peer(1), Duration::ZERO, later(41));
        (0..PEERS_MAX).for_each(|n| {
            let peer = Peer::from(IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap() + 1)));
            lanes.begin(peer, later(100));
            lanes.end(peer, Duration::ZERO, later(100));
        });
        assert!(lanes.with(|all| all.len()) <= PEERS_MAX);
    }
}
