//! Visits that are open: requests and connections to hosts, ended as soon as whoever made them may not come in any more; and codes that were used.
//!
//! An open request was let in by one document and goes on under another, also where everybody may come in under the first one. So whoever replaces the
//! document has every open visit looked at again, and a task looks each second for passes that a clock has ended. Used codes are remembered in memory
//! alone: one from before the start of this process is refused, so that none is good twice. While one door takes the place of another neither takes codes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::audience::Entry;
use crate::limits::{CODE_MS, CODES_USED_MAX};
use crate::pass::{Moment, Pass, Wallet};

/// Visits of a door.
#[derive(Debug)]
pub struct Visits {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u64, Open>,
    next: u64,
    /// A task looks for what is over.
    watched: bool,
    /// Used codes.
    used: HashMap<Pass, Moment>,
    /// Moment from which on this process takes codes: it knows of no uses before that.
    began: Moment,
    /// It takes none at this moment, since another process may.
    rests: bool,
}

/// Right by which a visit goes on.
#[derive(Clone, Debug)]
pub enum Right {
    /// Everybody may come in, by a route of this name.
    Guest(Arc<str>),
    /// A pass, with the way in for which it was read.
    Pass(Arc<Entry>, Pass),
}

impl Right {
    /// The pass; none where everybody may come in.
    fn pass(&self) -> Option<&Pass> {
        match self {
            Right::Guest(_) => None,
            Right::Pass(_, pass) => Some(pass),
        }
    }
}

#[derive(Debug)]
struct Open {
    host: String,
    right: Right,
    over: CancellationToken,
    /// Cuts its connection to an instance, where it has one.
    cut: Option<CancellationToken>,
}

/// Reason for which a code is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was used, or made before this process began, which knows of no use.
    Used,
    /// More were used just now than are remembered.
    Crowded,
    /// One door takes the place of another, and neither knows of the other's uses.
    Elsewhere,
}

/// An open visit. It is over with this value, or before that where whoever made it may not come in any more.
#[derive(Debug)]
pub struct Visit {
    visits: Arc<Visits>,
    id: u64,
    over: CancellationToken,
    /// The wallet; none where everybody may come in.
    pub wallet: Option<Wallet>,
}

impl Visit {
    /// Returns true where it was ended because whoever made it may not come in any more.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Has a token cancelled at its end before its time; at once where that has come.
    pub fn cuts(&self, cut: CancellationToken) {
        let mut inner = self.visits.lock();
        match inner.open.get_mut(&self.id) {
            Some(open) => open.cut = Some(cut),
            None => cut.cancel(),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visits.lock().open.remove(&self.id);
    }
}

/// Bounds of a part of a request that may outlast its answer.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Ends it where the request is cut.
    pub cut: CancellationToken,
    /// Its visit, which lasts as long as it: its right is looked at until then.
    pub visit: Option<Arc<Visit>>,
}

impl Visits {
    /// None, from this moment on.
    pub fn new() -> Arc<Visits> {
        Arc::new(Visits { inner: Mutex::new(Inner { began: Moment::now(), ..Inner::default() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a visit of a host, and says whether it is the first one by a pass: then somebody has to look for those that a clock ends.
    pub fn begin(self: &Arc<Self>, host: &str, right: Right) -> (Visit, bool) {
        let over = CancellationToken::new();
        let wallet = right.pass().map(|pass| pass.wallet);
        let open = Open { host: host.to_string(), right, over: over.clone(), cut: None };
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        inner.open.insert(id, open);
        let is_first = wallet.is_some() && !std::mem::replace(&mut inner.watched, true);
        (Visit { visits: self.clone(), id, over, wallet }, is_first)
    }

    /// Ends the visits that a clock ends, or that may not go on by a document.
    pub fn sweep(&self, keeps: impl Fn(&str, &Right) -> bool, now: &Moment) {
        let mut inner = self.lock();
        inner.open.retain(|_, open| {
            let holds = open.right.pass().is_none_or(|pass| pass.left_ms(now).is_ok());
            let stays = holds && keeps(&open.host, &open.right);
            if !stays {
                open.over.cancel();
                if let Some(cut) = &open.cut {
                    cut.cancel();
                }
            }
            stays
        });
    }

    /// Returns true where none by a pass is open: whoever looks for what a clock ends may stop, and the next first one asks for another.
    pub fn are_over(&self) -> bool {
        let mut inner = self.lock();
        inner.watched = inner.open.values().any(|open| open.right.pass().is_some());
        !inner.watched
    }

    /// Takes no codes until told to: another process may take them.
    pub fn rest(&self) {
        self.lock().rests = true;
    }

    /// Takes codes as before: no other process has taken any meanwhile.
    pub fn go_on(&self) {
        self.lock().rests = false;
    }

    /// Takes codes that are made from this moment on: another process may have taken those of before.
    pub fn take_over(&self) {
        let mut inner = self.lock();
        (inner.began, inner.rests) = (Moment::now(), false);
    }

    /// Uses a code up. Of two who come with it at the same moment one is refused.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn spend(&self, code: &Pass, now: &Moment) -> Result<(), Spent> {
        let mut inner = self.lock();
        if inner.rests {
            return Err(Spent::Elsewhere);
        }
        if !code.made.follows(&inner.began) {
            return Err(Spent::Used);
        }
        if inner.used.len() >= CODES_USED_MAX {
            inner.used.retain(|_, used| now.boot_ms.saturating_sub(used.boot_ms) < CODE_MS);
        }
        match inner.used.len() >= CODES_USED_MAX {
            true => Err(Spent::Crowded),
            false if inner.used.insert(*code, *now).is_some() => Err(Spent::Used),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::{Kind, VISIT_BYTES};

    fn code(visit: u8, made: Moment) -> Pass {
        Pass { kind: Kind::Code, wallet: Wallet([1; 20]), made, lasts_ms: CODE_MS, visit: [visit; VISIT_BYTES] }
    }

    #[test]
    fn a_code_is_good_once_and_only_for_the_process_that_was_there() {
        let visits = Visits::new();
        let now = Moment::now();
        assert_eq!(visits.spend(&code(1, now), &now), Ok(()));
        assert_eq!(visits.spend(&code(1, now), &now), Err(Spent::Used));
        assert_eq!(visits.spend(&code(2, now), &now), Ok(()));
        // A door that was started anew knows nothing of what was used before it: nothing of then is taken.
        let began = visits.lock().began;
        let before = Moment { boot_ms: began.boot_ms - 1, ..now };
        assert_eq!(visits.spend(&code(3, before), &now), Err(Spent::Used));
        assert_eq!(visits.spend(&code(3, Moment { boot: now.boot ^ 1, ..now }), &now), Err(Spent::Used));
    }

    #[test]
    fn no_code_is_good_at_two_doors_of_which_one_takes_the_place_of_the_other() {
        let (leaves, serves) = (Visits::new(), Visits::new());
        serves.rest();
        leaves.rest();
        let now = Moment::now();
        let made = code(1, now);
        for visits in [&leaves, &serves] {
            assert_eq!(visits.spend(&made, &now), Err(Spent::Elsewhere));
        }
        // The successor does not get there: the one before goes on with what it knows.
        leaves.go_on();
        assert_eq!(leaves.spend(&made, &now), Ok(()));
        assert_eq!(leaves.spend(&made, &now), Err(Spent::Used));
        // The next one does.
        leaves.rest();
        serves.take_over();
        let since = serves.lock().began;
        assert_eq!(serves.spend(&code(2, Moment { boot_ms: since.boot_ms - 1, ..since }), &since), Err(Spent::Used));
        assert_eq!(serves.spend(&code(2, since), &since), Ok(()));
        assert_eq!(leaves.spend(&code(2, since), &since), Err(Spent::Elsewhere));
    }

    #[test]
    fn a_connection_that_comes_after_the_end_of_its_visit_is_cut_at_once() {
        let visits = Visits::new();
        let (ended, is_first) = visits.begin("notes.lan", Right::Guest("notes".into()));
        let (open, _) = visits.begin("open.lan", Right::Guest("open".into()));
        assert!(!is_first && visits.are_over(), "no clock ends what everybody may");
        visits.sweep(|host, _| host == "open.lan", &Moment::now());
        assert!(ended.is_over() && !open.is_over());
        // They have waited for an instance until now.
        let (cut, goes_on) = (CancellationToken::new(), CancellationToken::new());
        ended.cuts(cut.clone());
        open.cuts(goes_on.clone());
        assert!(cut.is_cancelled() && !goes_on.is_cancelled());
    }

    #[test]
    fn no_used_code_is_forgotten_as_long_as_it_could_be_used() {
        let visits = Visits::new();
        let now = Moment::now();
        for number in 0..CODES_USED_MAX as u64 {
            assert_eq!(visits.spend(&code(1, Moment { boot_ms: now.boot_ms + number, ..now }), &now), Ok(()));
        }
        let more = code(2, now);
        assert_eq!(visits.spend(&more, &now), Err(Spent::Crowded));
        let later = Moment { boot_ms: now.boot_ms + CODE_MS, ..now };
        assert_eq!(visits.spend(&more, &later), Ok(()));
    }
}
