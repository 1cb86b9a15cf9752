//! The door of an agent: told whole documents, asked what it serves, and never waited for longer than a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_door::document::{Certificate, Challenge, Document};
use openmesh_door::limits::DOCUMENT_BYTES_MAX;
use openmesh_door::protocol::{Ask, Tell};
use openmesh_door::report::Report;
use rustix::fs::OFlags;

use super::client::{Client, ClientError, ask};
use super::document::{Offers, Own, Places, Written, is_route_of};
use super::served::Served;
use super::visitors::Visitors;
use crate::Door;
use crate::error::XnodeError;

/// Longest time that the loop waits for a door: requests that are held see it as latency.
const ANSWER: Duration = Duration::from_secs(1);
/// Time in which a door that does not answer is no fault yet: the agent starts a dead one again within 5 s.
const SILENCE: Duration = Duration::from_secs(10);
/// Pause before an address that could not be had is tried again: whoever has it may leave, and nobody hurries.
const ADDRESS_AGAIN: Duration = Duration::from_secs(30);
/// Pause before the door is told again of people of whom it does not know yet.
const PEOPLE_AGAIN: Duration = Duration::from_secs(1);
/// Problems of a document that are said; the rest is counted.
const PROBLEMS_SAID: usize = 3;

/// Certificates of the names that the door serves.
pub trait Certificates: Send + Sync {
    /// Those that there are for these names, in files that the door's user can read. Another content has another path: the door reads files again
    /// with another document alone.
    fn of(&self, names: &BTreeSet<String>) -> Vec<Certificate>;

    /// Proofs for an authority, of those of these names for which a certificate is ordered.
    fn challenges(&self, names: &BTreeSet<String>) -> BTreeMap<String, Challenge>;
}

/// No certificates.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCertificates;

impl Certificates for NoCertificates {
    fn of(&self, _: &BTreeSet<String>) -> Vec<Certificate> {
        Vec::new()
    }

    fn challenges(&self, _: &BTreeSet<String>) -> BTreeMap<String, Challenge> {
        BTreeMap::new()
    }
}

/// Last word of the door on the document that was wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing was wanted yet.
    None,
    /// It serves the document.
    Serves,
    /// It has not answered yet.
    Waits(String),
    /// It does not serve it, with the reason.
    Fails(String),
}

/// People of whom the door does not know yet.
#[derive(Debug)]
struct Due {
    /// Its last word on them.
    words: String,
    /// End of the last try, which may have taken a second by itself: others who wait for the door get their turn.
    tried: Instant,
}

impl Due {
    fn remark(&self) -> String {
        format!(
            "the door has not taken the present members yet, and lets people in by those of before; it is told again each second: {}",
            self.words
        )
    }
}

#[derive(Debug)]
struct State {
    word: Word,
    /// The agent's own face.
    own: Option<Own>,
    /// People of the machine.
    visitors: Option<Visitors>,
    /// They are other ones than the door knows of.
    due: Option<Due>,
    /// Routes of the document that was wanted last.
    routes: BTreeSet<String>,
    /// Number of the process that serves this document, and the document with its serial.
    confirmed: Option<(u64, Document)>,
    /// Moment since which it does not answer.
    silent_since: Option<Instant>,
    /// Addresses that cannot be had, with reason and moment of the last try.
    lost: BTreeMap<SocketAddr, (String, Instant)>,
    remarks: Vec<String>,
    /// Number of a process that has handed over and drains, and what is open there.
    leaving: Option<(u64, Served)>,
}

/// The door as people see it.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its report; none where it does not answer, with the reason in `word`.
    pub report: Option<Report>,
    /// Document that it keeps.
    pub document: Option<Document>,
    /// Its last word.
    pub word: Word,
    /// Things that are not served, each with the reason.
    pub remarks: Vec<String>,
}

/// The door of an agent.
pub struct Carrier {
    socket: PathBuf,
    kept: PathBuf,
    places: Places,
    certificates: Box<dyn Certificates>,
    state: Mutex<State>,
    /// The document that it keeps, with the file that it was read from. Apart from the state: nobody who asks for it waits for a door.
    remembered: Mutex<Option<(FileState, Arc<Document>)>>,
}

impl Carrier {
    /// The door with this control socket, which keeps its document in the file `kept`.
    pub fn new(socket: PathBuf, kept: PathBuf, places: Places, certificates: Box<dyn Certificates>) -> Carrier {
        let state = State {
            word: Word::None,
            own: None,
            visitors: None,
            due: None,
            routes: BTreeSet::new(),
            confirmed: None,
            silent_since: None,
            lost: BTreeMap::new(),
            remarks: Vec::new(),
            leaving: None,
        };
        Carrier { socket, kept, places, certificates, state: Mutex::new(state), remembered: Mutex::default() }
    }

    /// Addresses for domains.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Lets the door lead people to the agent's own face from the next document on; none where there is no face.
    pub fn lead(&self, own: Option<Own>) {
        self.lock().own = own;
    }

    /// The agent's own face.
    pub fn own(&self) -> Option<Own> {
        self.lock().own.clone()
    }

    /// Certificates and proofs for names that the door serves.
    pub fn offers(&self, names: &BTreeSet<String>) -> Offers {
        Offers { certificates: self.certificates.of(names), challenges: self.certificates.challenges(names) }
    }

    /// People of the machine.
    pub fn visitors(&self) -> Option<Visitors> {
        self.lock().visitors.clone()
    }

    /// Lets the door know of the people of the machine, at once where it lets some of them in: whoever is none any more is out within a second
    /// whatever the loop does meanwhile. Its word is the answer: where that is not [`Word::Serves`] it does not know of them yet, and
    /// [`Carrier::admit_again`] tells it. `visitors` reads them once nobody else is told.
    ///
    /// # Errors
    /// Those of the door of effects.
    pub fn admit(&self, visitors: impl FnOnce() -> Visitors, effect: Door<'_>) -> Result<Word, XnodeError> {
        let mut state = self.lock();
        state.visitors = Some(visitors());
        self.bring_people(&mut state, effect)
    }

    /// Lets the door know of people that it has not taken before, where there are some and a second has gone.
    ///
    /// # Errors
    /// Those of the door of effects.
    pub fn admit_again(&self, effect: Door<'_>) -> Result<(), XnodeError> {
        let mut state = self.lock();
        if state.due.as_ref().is_none_or(|due| due.tried.elapsed() < PEOPLE_AGAIN) {
            return Ok(());
        }
        self.bring_people(&mut state, effect).map(drop)
    }

    /// Reason for which the door does not know of the present people yet; none where it does.
    pub fn people_due(&self) -> Option<String> {
        self.lock().due.as_ref().map(|due| due.words.clone())
    }

    fn bring_people(&self, state: &mut State, effect: Door<'_>) -> Result<Word, XnodeError> {
        let confirmed = state.confirmed.as_ref().map(|(_, document)| document);
        let known = self.kept().or_else(|| confirmed.cloned()).filter(|known| known.people.is_some());
        let Some((mut document, visitors)) = known.zip(state.visitors.clone()) else {
            // It lets nobody in by who they are.
            state.due = None;
            return Ok(Word::Serves);
        };
        visitors.renew(&mut document);
        let brought = self.bring(state, &document, Instant::now() + ANSWER, effect);
        let words = match &brought {
            Ok(Word::None | Word::Serves) => None,
            Ok(Word::Waits(words) | Word::Fails(words)) => Some(words.clone()),
            Err(error) => Some(error.to_string()),
        };
        state.due = words.map(|words| Due { words, tried: Instant::now() });
        brought
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its state in numbers.
    ///
    /// # Errors
    /// It does not answer within a second.
    pub fn report(&self) -> Result<Report, ClientError> {
        self.report_until(Instant::now() + ANSWER)
    }

    fn report_until(&self, until: Instant) -> Result<Report, ClientError> {
        match ask(&self.socket, &Ask::Report, until)? {
            Tell::Report(report) => Ok(report),
            other => Err(ClientError::Answer(format!("{other:?}"))),
        }
    }

    /// The document that it keeps for its next start; none where there is none that can be read.
    pub fn kept(&self) -> Option<Document> {
        kept(&self.kept)
    }

    /// The same, read anew only where its file is another one: strangers ask for it.
    pub fn remembered(&self) -> Option<Arc<Document>> {
        let file = open_kept(&self.kept)?;
        let state = FileState::of(&file.metadata().ok()?);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, document)) = remembered.as_ref().filter(|(known, _)| *known == state) {
            return Some(document.clone());
        }
        let document = Arc::new(read_kept(file)?);
        *remembered = Some((state, document.clone()));
        Some(document)
    }

    /// State of its routes: by its report, or where it does not answer by the document that it keeps. One that is busy still has its open requests: no
    /// instance is taken for drained because an answer is late.
    pub fn served(&self) -> Served {
        let is_late = match self.report() {
            Ok(report) => {
                let mut served = Served::from(&report);
                if let Some((door, leaving)) = &self.lock().leaving
                    && *door != report.door
                {
                    served.add_open(leaving);
                }
                return served;
            }
            Err(error) => matches!(error, ClientError::Late) && !self.is_silent(),
        };
        self.kept().map(|kept| Served::kept(&kept, is_late)).unwrap_or_default()
    }

    /// Notes what is still open at a door that has handed over and drains; none once it has ended.
    pub fn note_leaving(&self, report: Option<&Report>) {
        self.lock().leaving = report.map(|report| (report.door, Served::from(report)));
    }

    /// Returns true where it has not answered for long.
    fn is_silent(&self) -> bool {
        self.lock().silent_since.is_some_and(|since| since.elapsed() > SILENCE)
    }

    /// The door for people.
    pub fn look(&self) -> Look {
        let (report, document) = (self.report(), self.kept());
        let state = self.lock();
        let word = match &report {
            Err(error) => Word::Waits(error.to_string()),
            Ok(_) => state.word.clone(),
        };
        let lost = state.lost.values().map(|(text, _)| text.clone());
        let due = state.due.as_ref().map(Due::remark);
        let remarks = due.into_iter().chain(state.remarks.iter().cloned()).chain(lost).collect();
        Look { report: report.ok(), document, word, remarks }
    }

    /// Its last word. One that has been silent for long is a failure.
    pub fn word(&self) -> Word {
        let state = self.lock();
        match (&state.word, state.silent_since) {
            (Word::Waits(words), Some(since)) if since.elapsed() > SILENCE => {
                Word::Fails(format!("{words}, for {} s now", since.elapsed().as_secs()))
            }
            (word, _) => word.clone(),
        }
    }

    /// Returns true where the document that was wanted last has a route of an application.
    pub fn concerns(&self, application: &Name) -> bool {
        self.lock().routes.iter().any(|route| is_route_of(route, application))
    }

    /// Everything that is not served and should be: a name of it that stays the same, and words with the reason.
    pub fn troubles(&self) -> Vec<(String, String)> {
        let word = match self.word() {
            Word::Fails(words) => {
                Some(("word".to_string(), format!("the door does not serve what is wanted: {words}")))
            }
            _ => None,
        };
        let state = self.lock();
        let due = state.due.as_ref().map(|due| ("people".to_string(), due.remark()));
        let remarks = state.remarks.iter().map(|remark| (remark.clone(), remark.clone()));
        let lost = state.lost.iter().map(|(address, (words, _))| (address.to_string(), format!("the door {words}")));
        word.into_iter().chain(due).chain(remarks).chain(lost).collect()
    }

    /// Reason for which an address cannot be had; none where it can.
    pub fn lost(&self, address: SocketAddr) -> Option<String> {
        self.lock().lost.get(&address).map(|(text, _)| text.clone())
    }

    /// Lets an address be tried again with the next document.
    pub fn try_again(&self, address: SocketAddr) {
        self.lock().lost.remove(&address);
    }

    /// Lets the door serve a document, and notes its word. A door that does not answer is no error.
    ///
    /// # Errors
    /// Those of the door of effects.
    pub fn serve(&self, written: Written, effect: Door<'_>) -> Result<(), XnodeError> {
        let mut state = self.lock();
        let until = Instant::now() + ANSWER;
        state.remarks = written.remarks;
        state.routes = written.document.routes.keys().cloned().collect();
        state.lost.retain(|_, (_, tried)| tried.elapsed() < ADDRESS_AGAIN);
        let mut document = written.document;
        if let Some(visitors) = &state.visitors {
            // They may have changed since the document was made.
            visitors.renew(&mut document);
        }
        let word = self.bring(&mut state, &document, until, effect)?;
        if word == Word::Serves {
            state.due = None;
        }
        match &word {
            Word::Waits(_) => state.silent_since = state.silent_since.or_else(|| Some(Instant::now())),
            _ => state.silent_since = None,
        }
        state.word = word;
        Ok(())
    }

    fn bring(
        &self,
        state: &mut State,
        wanted: &Document,
        until: Instant,
        effect: Door<'_>,
    ) -> Result<Word, XnodeError> {
        let report = match self.report_until(until) {
            Ok(report) => report,
            Err(error) => return Ok(Word::Waits(error.to_string())),
        };
        if report.retiring {
            return Ok(Word::Waits("the door leaves, and its successor is not there yet".to_string()));
        }
        let kept = self.kept();
        loop {
            let mut next = wanted.clone();
            next.listeners.retain(|listener| !state.lost.contains_key(&listener.address));
            let confirmed = state.confirmed.as_ref().filter(|(door, _)| *door == report.door).map(|(_, found)| found);
            let mut known = confirmed.into_iter().chain(&kept);
            if let Some(same) = known.find(|found| found.serial == report.serial && is_same(found, &next)) {
                state.confirmed = Some((report.door, same.clone()));
                return Ok(Word::Serves);
            }
            let serial = report.serial.max(kept.as_ref().map_or(0, |kept| kept.serial));
            next.serial = serial.saturating_add(1);
            effect("door.configure").map_err(XnodeError::file("configuring", &self.socket))?;
            let told = ask(&self.socket, &Ask::Configure(Box::new(next.clone())), until);
            effect("door.configure").map_err(XnodeError::file("configuring", &self.socket))?;
            return Ok(match told {
                Ok(Tell::Configured(report)) => {
                    state.confirmed = Some((report.door, next));
                    Word::Serves
                }
                Ok(Tell::Unbound { address, text }) => {
                    if state.lost.insert(address, (text.clone(), Instant::now())).is_none() {
                        // The rest is served without it.
                        continue;
                    }
                    Word::Fails(text)
                }
                Ok(Tell::Refused(problems)) => {
                    let said = problems.iter().take(PROBLEMS_SAID).map(|one| format!("{}: {}", one.path, one.text));
                    let more = problems.len().saturating_sub(PROBLEMS_SAID);
                    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                    Word::Fails(said.collect::<Vec<_>>().join("; ") + &more)
                }
                Ok(Tell::Failed(text)) => Word::Fails(text),
                Ok(other) => Word::Fails(format!("it answers {other:?}")),
                Err(error) => Word::Waits(error.to_string()),
            });
        }
    }

    /// Lets the door leave: nothing more is accepted, and what is open ends within a time, or is cut.
    ///
    /// # Errors
    /// It does not answer. One that is not there has left.
    pub fn retire(&self, within: Duration) -> Result<(), ClientError> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        match ask(&self.socket, &Ask::Retire { within_ms }, Instant::now() + ANSWER) {
            Ok(Tell::Retiring(_)) | Err(ClientError::Nobody) => Ok(()),
            Ok(other) => Err(ClientError::Answer(format!("{other:?}"))),
            Err(error) => Err(error),
        }
    }

    /// Hears of everything that changes at the door until it ends, or `heard` returns false, which is asked at least each `pause`.
    ///
    /// # Errors
    /// It does not answer, or has ended.
    pub fn follow(&self, pause: Duration, heard: &mut dyn FnMut(Option<Report>) -> bool) -> Result<(), ClientError> {
        let mut client = Client::connect(&self.socket)?;
        client.say(&Ask::Follow, Instant::now() + ANSWER)?;
        loop {
            let report = match client.hear(Instant::now() + pause) {
                Ok(Tell::Report(report)) => Some(report),
                Ok(other) => return Err(ClientError::Answer(format!("{other:?}"))),
                Err(ClientError::Late) => None,
                Err(error) => return Err(error),
            };
            if !heard(report) {
                return Ok(());
            }
        }
    }
}

/// A document in a file of the door's user, who may have put anything there: a link is not followed, and nothing is waited for.
pub fn kept(path: &Path) -> Option<Document> {
    read_kept(open_kept(path)?)
}

/// State of a file by which another one of the same name is told: it is never written in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    number: u64,
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    fn of(about: &Metadata) -> FileState {
        FileState {
            device: about.dev(),
            number: about.ino(),
            bytes: about.size(),
            written: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

fn open_kept(path: &Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn read_kept(file: File) -> Option<Document> {
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Returns true for documents that differ in their serial alone.
fn is_same(one: &Document, other: &Document) -> bool {
    Document { serial: 0, ..one.clone() } == Document { serial: 0, ..other.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_anew_where_its_file_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("document.json");
        let carrier =
            Carrier::new(folder.path().join("socket"), kept.clone(), Places::default(), Box::new(NoCertificates));
        assert!(carrier.remembered().is_none());
        // As a door writes it: beside its place, then there by a rename.
        let write = |text: &str| {
            let fresh = kept.with_extension("new");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(&fresh, &kept).unwrap();
        };
        let text = |serial: u64| serde_json::to_string(&Document { serial, ..Document::empty() }).unwrap();
        write(&text(1));
        let first = carrier.remembered().unwrap();
        assert!(Arc::ptr_eq(&first, &carrier.remembered().unwrap()), "it is not read again");
        write(&text(2));
        let second = carrier.remembered().unwrap();
        assert_eq!((first.serial, second.serial), (1, 2));
        // One that cannot be read is none, and neither is the one before it.
        write("{");
        assert!(carrier.remembered().is_none());
        write(&text(3));
        assert_eq!(carrier.remembered().unwrap().serial, 3);
        std::fs::remove_file(&kept).unwrap();
        assert!(carrier.remembered().is_none());
    }

    #[test]
    fn people_of_whom_a_door_does_not_know_are_due_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("document.json");
        // Nobody listens at its socket.
        let carrier =
            Carrier::new(folder.path().join("socket"), kept.clone(), Places::default(), Box::new(NoCertificates));
        let key = openmesh_door::pass::Key::try_from("5c".repeat(32)).unwrap();
        let visitors = || Visitors { key, owners: BTreeSet::new(), members: BTreeSet::new() };
        let lets = |people: &str| {
            std::fs::write(&kept, format!("{{\"version\": 2, \"serial\": 1{people}}}")).unwrap();
        };
        // A document that lets nobody in by who they are: there is nothing to tell.
        lets("");
        assert_eq!(carrier.admit(visitors.clone(), &crate::open).unwrap(), Word::Serves);
        assert_eq!((carrier.people_due(), carrier.troubles()), (None, Vec::new()));
        lets(", \"people\": {\"sign_in\": \"https://xnode.lan\"}");
        assert!(matches!(carrier.admit(visitors, &crate::open).unwrap(), Word::Waits(_)));
        let words = carrier.people_due().unwrap();
        assert!(words.contains("no door listens there"), "{words}");
        assert!(carrier.look().remarks[0].contains(&words) && carrier.troubles()[0].1.contains(&words));
        assert_eq!(carrier.troubles()[0].0, "people");
        // It is told again, and not all the time: also a machine that is busy for a minute takes this for too early.
        let begun = Instant::now();
        let tried_at = |moment: Instant| carrier.lock().due.as_mut().unwrap().tried = moment;
        let tried = || carrier.lock().due.as_ref().unwrap().tried;
        let later = begun + 60 * PEOPLE_AGAIN;
        tried_at(later);
        carrier.admit_again(&crate::open).unwrap();
        assert_eq!(tried(), later);
        tried_at(begun - PEOPLE_AGAIN);
        carrier.admit_again(&crate::open).unwrap();
        assert!(tried() >= begun);
        // It lets nobody in any more, and so it need not know.
        lets("");
        tried_at(begun - PEOPLE_AGAIN);
        carrier.admit_again(&crate::open).unwrap();
        assert_eq!(carrier.people_due(), None);
    }
}
