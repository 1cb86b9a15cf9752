//! Marks of moves on the disk, what is sealed of them, and the changes of a document that they refuse.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_blueprint::Document;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::moving::Departure;
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::error::MovesError;
use super::guard;
use super::live::Live;
use super::records::{Arriving, Leaving};
use super::views::{EndedMove, MoveOutcome};
use super::writes::{Writes, Writing};
use crate::error::AgentError;
use crate::secrets::Vault;

/// Largest mark, bytes: a document of one application is within it, and it can be read again.
const MARK_BYTES_MAX: usize = 4 << 20;
/// Applications that come at once, at most: acts at once are far fewer.
const ARRIVALS_MAX: usize = 32;
/// Ended moves that are remembered: what somebody may still ask for.
const ENDED_MAX: usize = 32;

/// Moves of applications between this machine and others.
pub(crate) struct Moves {
    folder: PathBuf,
    vault: Arc<Vault>,
    changes: Mutex<()>,
    pub(super) live: Live,
    pub(super) writes: Writes,
    news: watch::Sender<u64>,
}

impl Moves {
    /// The moves of an agent with this state folder. Nothing is made before the first one.
    pub fn new(state: &Path, vault: Arc<Vault>) -> Moves {
        let news = watch::Sender::new(0);
        let (changes, live, writes) = (Mutex::default(), Live::default(), Writes::default());
        Moves { folder: state.join("moves"), vault, changes, live, writes, news }
    }

    /// Lets whoever looks after a move look at it without delay.
    pub(super) fn look_now(&self) {
        self.news.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Hears of [`Moves::look_now`].
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn leaving_file(&self, name: &str) -> PathBuf {
        self.folder.join("leaving").join(format!("{name}.json"))
    }

    fn arriving_file(&self, id: &str) -> PathBuf {
        self.folder.join("arriving").join(format!("{id}.json"))
    }

    fn ended_file(&self) -> PathBuf {
        self.folder.join("ended.json")
    }

    /// Mark of an application that leaves; none where it does not.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn leaving(&self, name: &str) -> Result<Option<Leaving>, AgentError> {
        Ok(marks::find(&self.leaving_file(name))?)
    }

    /// All applications that leave.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn all_leaving(&self) -> Result<Vec<Leaving>, AgentError> {
        all(&self.folder.join("leaving"))
    }

    /// Mark of an application that comes.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be read.
    pub fn arriving(&self, id: &str) -> Result<Arriving, AgentError> {
        let found = if is_id(id) { marks::find(&self.arriving_file(id))? } else { None };
        found.ok_or_else(|| MovesError::NoArrival { id: id.chars().take(64).collect() }.into())
    }

    /// All applications that come, and those that came and were let go of lately.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn all_arriving(&self) -> Result<Vec<Arriving>, AgentError> {
        all(&self.folder.join("arriving"))
    }

    /// Refuses one more application that comes where so many do already: each has a loan, a task and a file.
    ///
    /// # Errors
    /// There are as many as are taken at once; or a mark cannot be read.
    fn check_crowd(&self) -> Result<(), AgentError> {
        match self.all_arriving()?.iter().filter(|one| !one.is_cleared).count() {
            ARRIVALS_MAX.. => Err(MovesError::Crowded { most: ARRIVALS_MAX }.into()),
            _ => Ok(()),
        }
    }

    /// Returns true where nothing moves.
    ///
    /// # Errors
    /// The marks cannot be read.
    pub fn is_idle(&self) -> Result<bool, AgentError> {
        Ok(self.all_leaving()?.is_empty() && self.all_arriving()?.is_empty())
    }

    /// Begins to note an application that leaves.
    ///
    /// # Errors
    /// It leaves already, or the mark cannot be written.
    pub fn begin_leaving(&self, leaving: &Leaving) -> Result<(), AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = self.leaving(&leaving.application)? {
            return Err(MovesError::Leaving { application: there.application, node: there.node }.into());
        }
        write(&self.leaving_file(&leaving.application), leaving)
    }

    /// Changes the mark of an application that leaves, and returns it; none where it does not leave by this move.
    ///
    /// # Errors
    /// It cannot be read or written; the one before stays.
    pub fn change_leaving(
        &self,
        (name, id): (&str, &str),
        change: impl FnOnce(&mut Leaving),
    ) -> Result<Option<Leaving>, AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = self.leaving(name)?.filter(|leaving| leaving.id == id) else { return Ok(None) };
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            write(&self.leaving_file(name), &after)?;
        }
        Ok(Some(after))
    }

    /// Takes the mark of an application that left away, with what was sealed in it, and remembers how it ended.
    ///
    /// # Errors
    /// It cannot be removed, or the list of ended ones cannot be written.
    pub fn end_leaving(
        &self,
        leaving: &Leaving,
        outcome: MoveOutcome,
        cause: Option<String>,
    ) -> Result<(), AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was settled has ended before.
        if !leaving.is_settled {
            self.remember(left(leaving, outcome, cause))?;
        }
        remove(&self.leaving_file(&leaving.application))
    }

    /// Remembers that an application is the other machine's, and forgets what was sealed for its move. The mark stays as long as the application is here.
    ///
    /// # Errors
    /// The mark or the list of ended ones cannot be written.
    pub fn settle(&self, leaving: &Leaving) -> Result<(), AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.remember(left(leaving, MoveOutcome::Moved, None))?;
        let settled = Leaving { is_settled: true, token: String::new(), guest: String::new(), ..leaving.clone() };
        write(&self.leaving_file(&leaving.application), &settled)
    }

    /// Notes an application that comes. One of this id that is there already stays, and is returned.
    ///
    /// # Errors
    /// The id is none, so many come already as are taken at once, or a mark cannot be read or written.
    pub fn begin_arriving(&self, arriving: &Arriving) -> Result<Arriving, AgentError> {
        if !is_id(&arriving.id) {
            let shown: String = arriving.id.chars().filter(|sign| !sign.is_control()).take(64).collect();
            let words = format!("`{shown}` is no id of a move, which has {ID_DIGITS} digits of 0-9 and a-f");
            return Err(MovesError::Value(words).into());
        }
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.arriving_file(&arriving.id);
        if let Some(there) = marks::find(&path)? {
            return Ok(there);
        }
        self.check_crowd()?;
        write(&path, arriving)?;
        Ok(arriving.clone())
    }

    /// Changes the mark of an application that comes, and returns it. The moment of a changed mark is noted with it.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be read or written; the one before stays.
    pub fn change_arriving(&self, id: &str, change: impl FnOnce(&mut Arriving)) -> Result<Arriving, AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.arriving(id)?;
        let mut after = before.clone();
        change(&mut after);
        if after.mark != before.mark {
            after.since = Timestamp::now();
        }
        if after != before {
            write(&self.arriving_file(id), &after)?;
        }
        Ok(after)
    }

    /// Takes the mark of an application that came away.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget_arriving(&self, id: &str) -> Result<(), AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        remove(&self.arriving_file(id))
    }

    /// Remembers how an arrival ended.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn end_arriving(
        &self,
        arriving: &Arriving,
        outcome: MoveOutcome,
        cause: Option<String>,
    ) -> Result<(), AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.remember(EndedMove {
            id: arriving.id.clone(),
            application: arriving.application.clone(),
            leaves: false,
            other: arriving.node.clone(),
            begun: arriving.begun,
            at: Timestamp::now(),
            outcome,
            cause,
        })
    }

    /// The moves that ended last, the newest first.
    ///
    /// # Errors
    /// Their list cannot be read.
    pub fn ended(&self) -> Result<Vec<EndedMove>, AgentError> {
        Ok(marks::read(&self.ended_file())?)
    }

    fn remember(&self, ended: EndedMove) -> Result<(), AgentError> {
        let mut all = self.ended()?;
        // A death behind this leaves the mark, and it ends once more.
        all.retain(|one| (one.id.as_str(), one.leaves) != (ended.id.as_str(), ended.leaves));
        all.insert(0, ended);
        all.truncate(ENDED_MAX);
        write(&self.ended_file(), &all)
    }

    /// Seals a text of a move.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn seal(&self, id: &str, what: &str, text: &str) -> Result<String, AgentError> {
        self.vault.seal(&format!("move {id} {what}"), text.as_bytes())
    }

    /// A text of a move that was sealed.
    ///
    /// # Errors
    /// It was changed, or is of another move.
    pub(super) fn unseal(&self, id: &str, what: &str, sealed: &str) -> Result<String, AgentError> {
        let opened = self.vault.unseal(&format!("move {id} {what}"), sealed);
        let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or_else(|| {
            MovesError::Failed(format!("what was sealed for move {id} cannot be opened; it comes from another machine"))
                .into()
        })
    }

    /// Refuses a changed document where it meets a move.
    ///
    /// # Errors
    /// It changes an application that leaves or comes, and no move of it does so (`of_move`); or a mark cannot be read.
    pub fn check(&self, before: Option<&Document>, after: &Document, of_move: bool) -> Result<(), AgentError> {
        let of = |document: Option<&Document>, name: &str| {
            let mut all = document.into_iter().flat_map(|document| &document.applications);
            all.find(|(one, _)| one.as_str() == name).map(|(_, application)| application.clone())
        };
        for leaving in self.all_leaving()? {
            let name = &leaving.application;
            guard::leaves(&leaving, of(before, name).as_ref(), of(Some(after), name).as_ref())?;
        }
        for arriving in self.all_arriving()?.iter().filter(|_| !of_move) {
            let name = &arriving.application;
            guard::comes(arriving, of(before, name).as_ref(), of(Some(after), name).as_ref())?;
        }
        Ok(())
    }

    /// Begins a change of files of an application.
    ///
    /// # Errors
    /// It moves, and what is written would be in no copy; or a mark cannot be read.
    pub fn begin_writing(&self, name: &Name) -> Result<Writing, AgentError> {
        // In this order: whoever looks for changes has written the mark before, which is read behind the number here.
        let writing = self.writes.begin(name);
        self.check_data(name)?;
        Ok(writing)
    }

    /// Refuses to change data of an application that moves: what is written would be in no copy.
    ///
    /// # Errors
    /// It leaves or comes; or a mark cannot be read.
    pub fn check_data(&self, name: &Name) -> Result<(), AgentError> {
        let leaving = self.leaving(name.as_str())?;
        if let Some(leaving) = leaving.filter(|one| !one.mark.may_serve() && one.mark != Departure::Over) {
            return Err(MovesError::Leaving { application: leaving.application, node: leaving.node }.into());
        }
        let is_its = |one: &Arriving| one.application == name.as_str() && !one.mark.may_serve() && !one.mark.is_over();
        match self.all_arriving()?.into_iter().find(is_its) {
            Some(one) => Err(MovesError::Arriving { application: one.application, node: one.node }.into()),
            None => Ok(()),
        }
    }

    /// Refuses to choose other lines of data for an application that moves.
    ///
    /// # Errors
    /// It moves, and no move of it does so (`of_move`); or a mark cannot be read.
    pub fn check_lines<'a>(&self, names: impl Iterator<Item = &'a Name>, of_move: bool) -> Result<(), AgentError> {
        for name in names.filter(|_| !of_move) {
            let leaving = self.leaving(name.as_str())?;
            if let Some(leaving) = leaving.filter(|one| one.mark != Departure::Over) {
                return Err(MovesError::Leaving { application: leaving.application, node: leaving.node }.into());
            }
            self.check_data(name)?;
        }
        Ok(())
    }
}

fn left(leaving: &Leaving, outcome: MoveOutcome, cause: Option<String>) -> EndedMove {
    EndedMove {
        id: leaving.id.clone(),
        application: leaving.application.clone(),
        leaves: true,
        other: leaving.node.clone(),
        begun: leaving.begun,
        at: Timestamp::now(),
        outcome,
        cause,
    }
}

/// Digits of a move's id.
const ID_DIGITS: usize = 32;

/// Returns true for the id of a move. One comes from another machine, and is part of a path.
fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// All marks of a folder; none where it is not there.
fn all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, AgentError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(AgentError::file("reading", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(AgentError::file("reading", folder))?.path();
        // A file that was being written when the machine went is no mark.
        if path.extension().is_some_and(|end| end == "json") {
            found.extend(marks::find(&path)?);
        }
    }
    Ok(found)
}

fn write(path: &Path, mark: &impl Serialize) -> Result<(), AgentError> {
    let bytes = serde_json::to_vec(mark).unwrap_or_default();
    // What could not be read again would stand in the way of every change of this machine.
    if bytes.len() > MARK_BYTES_MAX {
        let has = bytes.len();
        let words = format!("the mark of this move would have {has} bytes, and at most {MARK_BYTES_MAX} are read");
        return Err(MovesError::Failed(words).into());
    }
    marks::replace(path, &bytes).map_err(AgentError::file("writing", path))
}

fn remove(path: &Path) -> Result<(), AgentError> {
    Ok(marks::remove(path, "move.forget", &openmesh_xnode::open)?)
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::moving::Arrival;

    use super::super::records::tests::{arriving, leaving};
    use super::*;

    fn moves(folder: &Path) -> Moves {
        Moves::new(folder, Arc::new(Vault::open(folder).unwrap()))
    }

    #[test]
    fn marks_are_kept_changed_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let moves = moves(folder.path());
        assert!(moves.is_idle().unwrap() && moves.all_arriving().unwrap().is_empty());
        let one = leaving(Departure::Tries);
        moves.begin_leaving(&one).unwrap();
        assert_eq!(moves.begin_leaving(&one).unwrap_err().code(), ("moving", 409));
        let changed = moves.change_leaving(("web", &one.id), |one| one.mark = Departure::Quiets).unwrap().unwrap();
        assert_eq!(moves.leaving("web").unwrap().as_ref(), Some(&changed));
        assert_eq!(moves.change_leaving(("web", "another"), |one| one.mark = Departure::Over).unwrap(), None);
        moves.end_leaving(&changed, MoveOutcome::Returned, Some("no room".into())).unwrap();
        moves.end_leaving(&changed, MoveOutcome::Returned, Some("no room".into())).unwrap();
        let ended = moves.ended().unwrap();
        assert_eq!((ended.len(), ended[0].cause.as_deref()), (1, Some("no room")));
        assert!(moves.is_idle().unwrap());

        let one = arriving(Arrival::Arrives { tried: None });
        moves.begin_arriving(&one).unwrap();
        let other = Arriving { application: "other".into(), ..one.clone() };
        assert_eq!(moves.begin_arriving(&other).unwrap(), one, "an id means one application");
        let changed = moves.change_arriving(&one.id, |one| one.mark = Arrival::Told).unwrap();
        assert!(changed.since > one.since && moves.arriving(&one.id).unwrap() == changed);
        let short = "0".repeat(ID_DIGITS - 1);
        let beside = format!("{}/../../../web", "0".repeat(12));
        let capital = "A".repeat(ID_DIGITS);
        for wrong in ["../leaving/web", "0", "", short.as_str(), beside.as_str(), capital.as_str()] {
            assert_eq!(moves.arriving(wrong).unwrap_err().code(), ("no_arrival", 404), "{wrong}");
            let named = Arriving { id: wrong.into(), ..one.clone() };
            assert_eq!(moves.begin_arriving(&named).unwrap_err().code(), ("value", 400), "{wrong}");
        }
        let kept: Vec<_> = fs::read_dir(folder.path().join("moves/arriving")).unwrap().collect();
        assert!(kept.len() == 1 && !folder.path().join("web.json").exists(), "a wrong id makes no file: {kept:?}");
        moves.forget_arriving(&one.id).unwrap();
        assert!(moves.is_idle().unwrap());
    }

    #[test]
    fn so_many_come_at_once_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let moves = moves(folder.path());
        let id = |number: usize| format!("{number:032x}");
        for number in 0..ARRIVALS_MAX {
            moves.begin_arriving(&Arriving { id: id(number), ..arriving(Arrival::Told) }).unwrap();
        }
        let one_more = Arriving { id: id(ARRIVALS_MAX), ..arriving(Arrival::Told) };
        assert_eq!(moves.begin_arriving(&one_more).unwrap_err().code(), ("moves_full", 409));
        assert!(
            moves.begin_arriving(&Arriving { id: id(0), ..arriving(Arrival::Told) }).is_ok(),
            "it is there already"
        );
        // What is over and gone stands in nobody's way.
        moves.change_arriving(&id(3), |one| (one.mark, one.is_cleared) = (Arrival::Dropped, true)).unwrap();
        assert!(moves.begin_arriving(&one_more).is_ok());
    }

    #[test]
    fn keys_are_sealed_for_one_move() {
        let folder = tempfile::tempdir().unwrap();
        let moves = moves(folder.path());
        let sealed = moves.seal("a", "key", "hidden").unwrap();
        assert!(!sealed.contains("hidden"));
        assert_eq!(moves.unseal("a", "key", &sealed).unwrap(), "hidden");
        assert!(moves.unseal("b", "key", &sealed).is_err() && moves.unseal("a", "other", &sealed).is_err());
    }

    #[test]
    fn data_and_lines_of_what_moves_stay() {
        let folder = tempfile::tempdir().unwrap();
        let moves = moves(folder.path());
        let (web, db): (Name, Name) = ("web".parse().unwrap(), "db".parse().unwrap());
        let one = leaving(Departure::Tries);
        moves.begin_leaving(&one).unwrap();
        assert!(moves.check_data(&web).is_ok(), "it serves here");
        assert!(moves.check_lines([&web].into_iter(), false).is_err());
        assert!(moves.check_lines([&web].into_iter(), true).is_ok());
        assert!(moves.check_lines([&db].into_iter(), false).is_ok());
        moves.change_leaving(("web", &one.id), |one| one.mark = Departure::Hands).unwrap();
        assert_eq!(moves.check_data(&web).unwrap_err().code(), ("moving", 409));
        assert!(moves.check_data(&db).is_ok());
        moves.begin_arriving(&Arriving { application: "db".into(), ..arriving(Arrival::Told) }).unwrap();
        assert_eq!(moves.check_data(&db).unwrap_err().code(), ("moving", 409));
    }

    #[test]
    fn changes_are_under_way_until_the_last_one_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let moves = Moves::new(folder.path(), Arc::new(Vault::open(folder.path()).unwrap()));
        let (web, db): (Name, Name) = ("web".parse().unwrap(), "db".parse().unwrap());
        moves.begin_leaving(&leaving(Departure::Tries)).unwrap();
        let (one, other) = (moves.begin_writing(&web).unwrap(), moves.begin_writing(&web).unwrap());
        assert!(moves.writes.has(&web) && !moves.writes.has(&db));
        drop(one);
        assert!(moves.writes.has(&web));
        moves.change_leaving(("web", &"0".repeat(32)), |one| one.mark = Departure::Quiets).unwrap();
        assert!(moves.begin_writing(&web).is_err() && moves.writes.has(&web), "one that is refused is not under way");
        drop(other);
        assert!(!moves.writes.has(&web) && moves.begin_writing(&db).is_ok());
    }
}
