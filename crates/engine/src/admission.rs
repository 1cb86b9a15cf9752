//! Admission of checks of transactions by class, so that one class cannot starve another.
//!
//! Each class has places (work that was taken in and is not done yet) and turns (work that runs at the same time). Both
//! are permits that move into the work itself: they come back when it ends, not when whoever asked for it stops waiting.
//! A client that opens a request and goes away again frees nothing before its work is done.
//!
//! Strangers ([`WorkClass::Api`], [`WorkClass::Gossip`]) share half of the processors, however many ask. Of each class no
//! more than that many wait for a processor at once, and they are served in order of arrival: so the two take turns, and
//! a flood of the one waits for itself. The node's own classes do not wait for strangers at all.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Processors that this process may use: asked for once, because the system reads files of its control groups for each answer.
pub(crate) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Of the places of clients one part in so many is kept for transactions that come alone: batches of a few must not be all that a node
/// has room for.
const KEPT_FOR_SINGLE: usize = 4;

/// The kind of work, by who wants it done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkClass {
    /// Evidence that consensus has seen.
    Consensus,
    /// This validator's attestations and its other duties.
    Own,
    /// Clients of the API.
    Api,
    /// Envelopes of peers.
    Gossip,
    /// Decided blocks that peers ask for.
    Sync,
}

/// Limits of each class: work that may wait or run at once. Transactions are counted, of peers their envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// One piece for each validator of the largest set.
    pub consensus_places_max: usize,
    /// As many windows as a validator may have open.
    pub own_places_max: usize,
    /// A second's checks of a fast machine: whoever comes after that is told to come again.
    pub api_places_max: usize,
    /// More envelopes than a node has peers, of each of which one is judged at a time.
    pub gossip_places_max: usize,
    /// Requests of peers for decided blocks: an answer has up to eight mebibytes, and more of them than this at once would be
    /// memory that a stranger chooses.
    pub sync_places_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> AdmissionLimits {
        AdmissionLimits {
            consensus_places_max: 256,
            own_places_max: 1_024,
            api_places_max: 4_096,
            gossip_places_max: 256,
            sync_places_max: 16,
        }
    }
}

/// The class has no place left; later there will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much work of this kind waits, try again in a moment")]
pub(crate) struct Busy;

/// The gate; clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    consensus: Class,
    own: Class,
    api: Class,
    gossip: Class,
    sync: Class,
    /// Processors for strangers.
    strangers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Class {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// Places that only work of one place may take.
    kept: usize,
}

impl Class {
    fn new(places: usize, turns: usize) -> Class {
        Class { places: Arc::new(Semaphore::new(places)), turns: Arc::new(Semaphore::new(turns)), kept: 0 }
    }
}

/// A place in a class, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Admission,
    class: WorkClass,
    _places: OwnedSemaphorePermit,
}

/// A turn on a processor, for as long as it is held.
#[derive(Debug)]
struct Turn {
    _class: OwnedSemaphorePermit,
    _processor: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// A gate with these limits for this machine's processors.
    pub(crate) fn new(limits: AdmissionLimits) -> Admission {
        let shared = (processors() / 2).max(1);
        Admission(Arc::new(Gate {
            consensus: Class::new(limits.consensus_places_max, 1),
            own: Class::new(limits.own_places_max, 1),
            api: Class { kept: limits.api_places_max / KEPT_FOR_SINGLE, ..Class::new(limits.api_places_max, shared) },
            gossip: Class::new(limits.gossip_places_max, shared),
            sync: Class::new(limits.sync_places_max, 1),
            strangers: Arc::new(Semaphore::new(shared)),
        }))
    }

    /// Takes `weight` places of a class, for work that [`Place::run`] does.
    ///
    /// Fails if the class has not so many left; nothing waits here.
    pub(crate) fn enter(&self, class: WorkClass, weight: usize) -> Result<Place, Busy> {
        let of_class = self.class(class);
        // A look and no more: two that come at the same moment may take some of what is kept, and the next one may not.
        if weight > 1 && of_class.places.available_permits() < weight.saturating_add(of_class.kept) {
            return Err(Busy);
        }
        let weight = u32::try_from(weight).map_err(|_| Busy)?;
        let places = Arc::clone(&of_class.places).try_acquire_many_owned(weight).map_err(|_| Busy)?;
        Ok(Place { gate: self.clone(), class, _places: places })
    }

    fn class(&self, class: WorkClass) -> &Class {
        match class {
            WorkClass::Consensus => &self.0.consensus,
            WorkClass::Own => &self.0.own,
            WorkClass::Api => &self.0.api,
            WorkClass::Gossip => &self.0.gossip,
            WorkClass::Sync => &self.0.sync,
        }
    }

    /// Waits for a turn of a class. The gate is never closed; `None` would mean that it is.
    async fn turn(&self, class: WorkClass) -> Option<Turn> {
        let of_class = Arc::clone(&self.class(class).turns).acquire_owned().await.ok()?;
        let processor = match class {
            WorkClass::Api | WorkClass::Gossip => Some(Arc::clone(&self.0.strangers).acquire_owned().await.ok()?),
            // Reading takes a disk's time more than a processor's, and of it there is one at a time.
            WorkClass::Consensus | WorkClass::Own | WorkClass::Sync => None,
        };
        Some(Turn { _class: of_class, _processor: processor })
    }
}

impl Place {
    /// Runs work on a blocking thread when it is its turn, and returns its result with the place for more of it. Place
    /// and turn are held until the work has ended, also if this future is dropped before.
    ///
    /// Returns `None` if the work panicked or the runtime stops.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<(T, Place)> {
        let turn = self.gate.turn(self.class).await?;
        let place = self;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            (result, place)
        });
        done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn gate() -> Admission {
        Admission::new(AdmissionLimits { api_places_max: 2, own_places_max: 2, ..AdmissionLimits::default() })
    }

    #[tokio::test]
    async fn a_place_and_a_turn_are_held_until_the_work_has_ended() {
        let gate = gate();
        let turns = gate.class(WorkClass::Api).turns.available_permits();
        let (go_on, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let place = gate.enter(WorkClass::Api, 2).unwrap();
        let asked = tokio::spawn(place.run(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        }));
        has_begun.await.unwrap();
        // Whoever asked goes away: the work goes on, and so does what it occupies.
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(gate.enter(WorkClass::Api, 1).unwrap_err(), Busy);
        assert_eq!(gate.class(WorkClass::Api).turns.available_permits(), turns - 1);
        assert!(gate.0.strangers.available_permits() < (processors() / 2).max(1));
        go_on.send(()).unwrap();
        let free = async {
            while gate.class(WorkClass::Api).places.available_permits() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), free).await.expect("the work has ended");
        assert_eq!(gate.class(WorkClass::Api).turns.available_permits(), turns);
    }

    #[test]
    fn batches_leave_room_for_what_comes_alone() {
        let gate = Admission::new(AdmissionLimits { api_places_max: 8, ..AdmissionLimits::default() });
        let batch = gate.enter(WorkClass::Api, 6).unwrap();
        assert_eq!(gate.enter(WorkClass::Api, 2).unwrap_err(), Busy, "the last two are kept");
        let alone = [gate.enter(WorkClass::Api, 1).unwrap(), gate.enter(WorkClass::Api, 1).unwrap()];
        assert_eq!(gate.enter(WorkClass::Api, 1).unwrap_err(), Busy);
        drop(batch);
        let again = gate.enter(WorkClass::Api, 4).unwrap();
        drop((alone, again));
        assert_eq!(gate.class(WorkClass::Api).places.available_permits(), 8);
    }

    #[tokio::test]
    async fn strangers_that_fill_their_classes_keep_nobody_else_waiting() {
        let gate = gate();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let block = |class, weight| {
            let (place, wait) = (gate.enter(class, weight).unwrap(), Arc::clone(&wait));
            tokio::spawn(place.run(move || wait.lock().unwrap().recv().unwrap()))
        };
        let blocked = [block(WorkClass::Api, 1), block(WorkClass::Api, 1), block(WorkClass::Gossip, 256)];
        assert_eq!(gate.enter(WorkClass::Api, 1).unwrap_err(), Busy);
        assert_eq!(gate.enter(WorkClass::Gossip, 1).unwrap_err(), Busy);
        for class in [WorkClass::Own, WorkClass::Consensus] {
            let (answer, _place) = gate.enter(class, 1).unwrap().run(|| 7).await.unwrap();
            assert_eq!(answer, 7);
        }
        blocked.iter().for_each(|_| go_on.send(()).unwrap());
        for task in blocked {
            task.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_panic_gives_everything_back() {
        let gate = gate();
        assert!(gate.enter(WorkClass::Own, 2).unwrap().run(|| panic!("on purpose")).await.is_none());
        assert!(gate.enter(WorkClass::Own, 2).is_ok());
        assert_eq!(gate.class(WorkClass::Own).turns.available_permits(), 1);
    }
}
