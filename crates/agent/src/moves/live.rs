//! Parts of moves that are kept as long as this agent lives: the act under way, the last words of the other machine, troubles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use openmesh_primitives::Timestamp;

use super::views::{ArrivalOrder, MoveArrival};
use crate::backups::Job;

/// One move.
#[derive(Clone, Default)]
pub(super) struct One {
    /// The act that is under way, or was last.
    pub job: Option<Arc<Job>>,
    /// Last word of the other machine.
    pub word: Option<MoveArrival>,
    /// Moment since which it does not get further, and the cause.
    pub trouble: Option<(Timestamp, String)>,
    /// The last order that was heard.
    pub heard: Option<ArrivalOrder>,
    /// Moment at which anything of the other machine was heard.
    pub heard_at: Option<Instant>,
    /// It is to serve here again, and does not yet: its start has not come, goes on, or has failed.
    pub is_awaited: bool,
    /// A task looks after it.
    pub is_followed: bool,
}

/// All of them, by their ids.
#[derive(Default)]
pub(super) struct Live(Mutex<BTreeMap<String, One>>);

impl Live {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A move as it is now; one of which nothing is known is as it begins.
    pub fn one(&self, id: &str) -> One {
        self.lock().get(id).cloned().unwrap_or_default()
    }

    /// Changes what is known of a move.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut One)) {
        change(self.lock().entry(id.to_string()).or_default());
    }

    /// Notes what a move waits for; the moment stays as long as it waits for anything. None where it gets further.
    pub fn note_trouble(&self, id: &str, cause: Option<String>) {
        self.change(id, |one| {
            let since = one.trouble.as_ref().map_or_else(Timestamp::now, |(since, _)| *since);
            one.trouble = cause.map(|cause| (since, cause));
        });
    }

    /// Lets one task follow a move; false where one does already.
    pub fn follow(&self, id: &str) -> bool {
        let mut all = self.lock();
        let one = all.entry(id.to_string()).or_default();
        !std::mem::replace(&mut one.is_followed, true)
    }

    /// Forgets what is known of moves that no task follows, but for some.
    pub fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.lock().retain(|id, one| one.is_followed || is_kept(id));
    }

    /// Notes that its task has ended. What is known of one that is over goes.
    pub fn unfollow(&self, id: &str, is_over: bool) {
        let mut all = self.lock();
        if is_over {
            all.remove(id);
        } else if let Some(one) = all.get_mut(id) {
            one.is_followed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_has_one_task_and_its_trouble_one_begin() {
        let live = Live::default();
        assert!(live.follow("a") && !live.follow("a") && live.follow("b"));
        live.unfollow("a", false);
        assert!(live.follow("a"));
        live.note_trouble("a", Some("away".into()));
        let (since, _) = live.one("a").trouble.unwrap();
        live.note_trouble("a", Some("still away".into()));
        assert_eq!(live.one("a").trouble, Some((since, "still away".into())));
        live.note_trouble("a", None);
        assert_eq!(live.one("a").trouble, None);
        live.unfollow("a", true);
        assert!(live.one("a").heard_at.is_none() && live.follow("a"));
    }

    #[test]
    fn of_what_is_over_nothing_is_kept() {
        let live = Live::default();
        for id in ["over", "comes", "followed"] {
            live.change(id, |one| one.heard_at = Some(Instant::now()));
        }
        assert!(live.follow("followed"));
        live.keep(|id| id == "comes");
        let knows = |id: &str| live.one(id).heard_at.is_some();
        assert!(!knows("over") && knows("comes") && knows("followed"));
    }
}
