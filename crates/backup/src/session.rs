//! Sessions of writers, and marks of packs that are to go (B-27 to B-31).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Timestamp;

use crate::door::Door;
use crate::error::{BackupError, StoreError};
use crate::name::{Id, Kind, Name};
use crate::object::{Sealed, seal};
use crate::repository::Repository;
use crate::secret::random;

/// Longest backup, milliseconds: two days fill 17 TB at 100 MB/s, and a dead writer of another machine holds a sweep up for twice that.
pub const SESSION_MS_MAX: i64 = 2 * 86_400_000;

/// Content of a session.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SessionContent {
    /// Name of the writer.
    pub writer: String,
    /// Moment of its begin, by the writer's clock.
    pub time: Timestamp,
    /// Makes its id its own.
    pub random: [u8; 16],
}

/// Content of a mark.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum MarkContent {
    /// Packs that are to go.
    Packs {
        /// Moment of the mark, by the wall clock of the machine that made it.
        time: Timestamp,
        /// The packs.
        packs: Vec<Id>,
    },
    /// Sessions that may not have seen the mark.
    Sessions {
        /// The mark.
        mark: Id,
        /// The sessions.
        sessions: Vec<Id>,
    },
}

/// A backup that is going on.
pub(crate) struct Session<'r, 's> {
    repository: &'r Repository<'s>,
    id: Id,
    /// Its begin by the steady clock, which nobody sets.
    begun: Instant,
}

impl<'r, 's> Session<'r, 's> {
    /// Begins a session: before the writer looks at anything. Sessions of the same name are over then (B-31).
    pub(crate) fn begin(
        repository: &'r Repository<'s>,
        writer: &str,
        time: Timestamp,
        door: Door<'_>,
    ) -> Result<Session<'r, 's>, BackupError> {
        let begun = Instant::now();
        let content = SessionContent { writer: writer.to_string(), time, random: random()? };
        let bytes = seal(&repository.keys, Sealed::Session, &content)?;
        let id = repository.put(Kind::Session, &bytes, "put session", door)?;
        for listed in repository.store.list(Kind::Session)? {
            let other: Result<SessionContent, BackupError> = repository.read(Kind::Session, Sealed::Session, listed.id);
            match other {
                Ok(other) if listed.id != id && other.writer == writer => {
                    repository.remove(Kind::Session, listed.id, "remove dead session", door)?;
                }
                // A damaged one is of nobody; a sweep removes it by its age.
                Ok(_) | Err(BackupError::Damaged { .. } | BackupError::Store(StoreError::Missing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Session { repository, id, begun })
    }

    /// Fails where the session is over.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if self.begun.elapsed() >= Duration::from_millis(SESSION_MS_MAX.unsigned_abs()) {
            return Err(BackupError::SessionOver { why: "it took longer than two days" });
        }
        match self.repository.store.read(Name::Object(Kind::Session, self.id), 0, 1) {
            Ok(_) => Ok(()),
            Err(StoreError::Missing { .. }) => Err(BackupError::SessionOver {
                why: "its session was removed, as of a dead writer or by a newer one of the same name",
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends it.
    pub(crate) fn end(self, door: Door<'_>) -> Result<(), BackupError> {
        self.repository.remove(Kind::Session, self.id, "remove session", door)
    }
}

/// A mark with its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Its id.
    pub id: Id,
    /// Its moment by the wall clock of the machine that made it.
    pub time: Timestamp,
    /// Its moment by the store's clock.
    pub stored: Timestamp,
    /// The packs.
    pub packs: BTreeSet<Id>,
    /// The second mark and the sessions in it; none where the marking broke off between the two.
    pub sessions: Option<(Id, BTreeSet<Id>)>,
}

impl Repository<'_> {
    /// All marks, and second marks without a first one.
    ///
    /// # Errors
    /// A mark is damaged: a backup that went on could count on packs that are about to go, because it cannot tell which these are.
    pub(crate) fn marks(&self) -> Result<(Vec<Mark>, Vec<Id>), BackupError> {
        let (mut marks, mut seconds) = (Vec::new(), Vec::new());
        for listed in self.store.list(Kind::Mark)? {
            match self.read(Kind::Mark, Sealed::Mark, listed.id) {
                Ok(MarkContent::Packs { time, packs }) => {
                    let packs = packs.into_iter().collect();
                    marks.push(Mark { id: listed.id, time, stored: listed.stored, packs, sessions: None });
                }
                Ok(MarkContent::Sessions { mark, sessions }) => seconds.push((listed.id, mark, sessions)),
                Err(BackupError::Store(StoreError::Missing { .. })) => {}
                Err(BackupError::Damaged { object, what }) => return Err(BackupError::DamagedMark { object, what }),
                Err(error) => return Err(error),
            }
        }
        let mut single = Vec::new();
        for (id, mark, sessions) in seconds {
            match marks.iter_mut().find(|first| first.id == mark) {
                Some(first) => first.sessions = Some((id, sessions.into_iter().collect())),
                None => single.push(id),
            }
        }
        Ok((marks, single))
    }
}
