//! Places for work, given to those who wait in turn: one to each peer, then the next.
//!
//! A queue in the order of arrival belongs to whoever asks most. Here each peer has a queue of its own, and whoever has asked once waits for one
//! piece of work of each other peer, however many those have asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::peer::Peer;

/// Places for work; a cheap clone.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Requests of one peer that wait; more are refused.
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The peer whose turn is next stands first. None has an empty queue.
    queues: VecDeque<(Peer, VecDeque<oneshot::Sender<Turn>>)>,
}

/// A place for work; the next one has it when this is dropped.
#[derive(Debug)]
pub struct Turn {
    /// `None` only where there was nobody to hand it to.
    of: Option<Turns>,
}

impl Turns {
    /// So many places, and so many requests of one peer that may wait for one.
    pub fn new(places: usize, waiting_max: usize) -> Turns {
        Turns(Arc::new(Inner { waiting_max, state: Mutex::new(State { free: places, queues: VecDeque::new() }) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Turn {
        Turn { of: Some(self.clone()) }
    }

    /// Takes a place that is free.
    pub fn try_enter(&self) -> Option<Turn> {
        let mut state = self.state();
        state.free = state.free.checked_sub(1)?;
        Some(self.turn())
    }

    /// Waits for a place; `None` where as many requests of this peer wait already as may.
    pub async fn enter(&self, of: Peer) -> Option<Turn> {
        let turn = {
            let mut state = self.state();
            if let Some(left) = state.free.checked_sub(1) {
                state.free = left;
                return Some(self.turn());
            }
            let (sender, turn) = oneshot::channel();
            match state.queues.iter_mut().find(|(peer, _)| *peer == of) {
                Some((_, queue)) => {
                    // Those whose clients have left wait no longer.
                    queue.retain(|waiting| !waiting.is_closed());
                    if queue.len() >= self.0.waiting_max {
                        return None;
                    }
                    queue.push_back(sender);
                }
                None if self.0.waiting_max == 0 => return None,
                None => state.queues.push_back((of, VecDeque::from([sender]))),
            }
            turn
        };
        turn.await.ok()
    }
}

impl State {
    /// Takes the next one who waits out of the queues, and puts the peer behind all others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (peer, mut queue) = self.queues.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.queues.push_back((peer, queue));
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.of.take() else { return };
        loop {
            let mut state = turns.state();
            let Some(next) = state.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(turns.turn()) {
                Ok(()) => return,
                // That client has left: the place is another's, not to be given back twice.
                Err(mut unwanted) => unwanted.of = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::task::JoinHandle;

    fn peer(n: u8) -> Peer {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)).into()
    }

    /// Waits in its own task, and has begun to when this returns.
    async fn waiting(turns: &Turns, n: u8) -> JoinHandle<Option<Turn>> {
        let (before, turns) = (turns.clone(), turns.clone());
        let count = |turns: &Turns| {
            let state = turns.state();
            state.queues.iter().flat_map(|(_, queue)| queue).filter(|waiting| !waiting.is_closed()).count()
        };
        let already = count(&before);
        let task = tokio::spawn(async move { turns.enter(peer(n)).await });
        while count(&before) == already && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn peers_take_turns_however_much_one_asks_for() {
        let turns = Turns::new(1, 2);
        let first = turns.try_enter().unwrap();
        assert!(turns.try_enter().is_none());
        let greedy = [waiting(&turns, 1).await, waiting(&turns, 1).await];
        assert!(waiting(&turns, 1).await.await.unwrap().is_none(), "no more of one peer may wait");
        let modest = waiting(&turns, 2).await;
        let [one, two] = greedy;
        drop(first);
        let turn = one.await.unwrap().unwrap();
        assert!(!modest.is_finished() && !two.is_finished());
        drop(turn);
        let turn = modest.await.unwrap().unwrap();
        assert!(!two.is_finished(), "the other peer came between");
        drop(turn);
        drop(two.await.unwrap().unwrap());
        assert_eq!(turns.state().free, 1);
    }

    #[tokio::test]
    async fn whoever_leaves_takes_no_place_along() {
        let turns = Turns::new(1, 1);
        let first = turns.try_enter().unwrap();
        let left = waiting(&turns, 1).await;
        left.abort();
        assert!(left.await.is_err());
        let next = waiting(&turns, 1).await;
        let other = waiting(&turns, 2).await;
        other.abort();
        assert!(other.await.is_err());
        drop(first);
        drop(next.await.unwrap().unwrap());
        assert_eq!(turns.state().free, 1);
    }
}
