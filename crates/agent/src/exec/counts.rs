//! Counts of processes beside the first ones, and of terminals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Processes beside the first one of an instance at once: people and their scripts; each is one of the instance's own processes as well.
pub const PROCESSES_MAX: usize = 16;

/// Counts of processes beside the first ones by instance, and of terminals that are served.
#[derive(Clone, Debug)]
pub struct Processes {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    served: Arc<watch::Sender<usize>>,
}

impl Default for Processes {
    fn default() -> Processes {
        Processes { counts: Arc::default(), served: Arc::new(watch::Sender::new(0)) }
    }
}

/// A terminal that is served, for as long as this value lives.
pub(crate) struct Served(Arc<watch::Sender<usize>>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Processes {
    /// Counts a terminal. Its task is nobody's, so whoever leaves asks for all of them ([`Processes::idle`]).
    pub(crate) fn serve(&self) -> Served {
        self.served.send_modify(|count| *count += 1);
        Served(self.served.clone())
    }

    /// Ready once no terminal is served.
    pub(crate) async fn idle(&self) {
        let mut served = self.served.subscribe();
        // The sender lives as long as this value.
        let _ = served.wait_for(|count| *count == 0).await;
    }

    /// Takes a seat; none where the instance has no more.
    pub(super) fn take(&self, instance: &str) -> Option<Seat> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(instance.to_string()).or_default();
        if *count >= PROCESSES_MAX {
            return None;
        }
        *count += 1;
        Some(Seat { counts: self.counts.clone(), instance: instance.to_string() })
    }
}

/// Seat of one process, given back when its helper has ended.
pub(super) struct Seat {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    instance: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.instance) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.instance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_by_instance_and_given_back() {
        let processes = Processes::default();
        let seats: Vec<Seat> = (0..PROCESSES_MAX).map(|_| processes.take("web 1").unwrap()).collect();
        assert!(processes.take("web 1").is_none());
        assert!(processes.take("web 2").is_some(), "another instance has its own");
        drop(seats);
        assert!(processes.take("web 1").is_some());
        assert!(processes.counts.lock().unwrap().is_empty());
    }
}
