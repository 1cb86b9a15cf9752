//! The mark of a machine that has joined, and what an agent has heard of machines that joined it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_access::views::Joined;
use openmesh_primitives::{Address, Digest, Timestamp};
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::views::{JoinState, JoinView, JoinedMachine, MachineReport, MachineState};
use crate::error::AgentError;
use crate::secrets::Vault;

/// Time without a report after which a machine is silent: some reports that were lost, and one that came late.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(60);
/// Use to which the token of this machine is bound under its seal.
const SEAL: &str = "join";
/// Largest mark, bytes: a certificate and some lines.
const MARK_BYTES_MAX: u64 = 64 << 10;
/// Largest file of reports, bytes: the longest ones of a full list, twice over.
const REPORTS_BYTES_MAX: u64 = 2 << 20;

/// The Xnode that this machine has joined, or has asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// Address of its agent.
    pub at: String,
    /// Addresses at which its name is looked for first.
    pub addresses: Vec<IpAddr>,
    /// Root of its own authority, as PEM; none where an authority that everybody trusts vouches for it.
    pub root: Option<String>,
    /// Wallet that owns this machine.
    pub owner: Address,
    /// Hash of the invitation's token.
    pub invitation: Digest,
    /// Token of this machine, sealed.
    pub token: String,
    /// Number of this machine there; none before it was let in.
    pub id: Option<String>,
    /// Name of the other Xnode.
    pub node: Option<String>,
    /// Moment of joining.
    pub since: Option<Timestamp>,
    /// The other Xnode has removed this machine.
    pub is_removed: bool,
}

impl Mark {
    /// State of this machine by it.
    pub fn state(&self) -> JoinState {
        match (&self.id, self.is_removed) {
            (_, true) => JoinState::Removed,
            (Some(_), false) => JoinState::Joined,
            (None, false) => JoinState::Asks,
        }
    }
}

/// Word on the last report.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Last one that was heard.
    pub at: Option<Timestamp>,
    /// Time by which this machine's clock was ahead then, milliseconds.
    pub clock_ms: Option<i64>,
    /// Reason for which the last one was not.
    pub trouble: Option<String>,
    /// Reports in a row that were not.
    pub failures: u32,
}

/// A report that was heard, as it is kept over starts of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Heard {
    at: Timestamp,
    /// Moment of it; none where an agent of before has heard it.
    #[serde(skip)]
    since: Option<Instant>,
    from: String,
    clock_ms: i64,
    report: MachineReport,
}

/// A machine that has joined.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    /// Moment from which this agent knows of it.
    since: Instant,
    heard: Option<Heard>,
}

impl Known {
    /// Time in which nothing was heard of it by this agent.
    fn quiet(&self) -> Duration {
        self.heard.as_ref().and_then(|heard| heard.since).unwrap_or(self.since).elapsed()
    }
}

/// Machines that join, and this machine with regard to another Xnode.
pub(crate) struct Machines {
    file: PathBuf,
    vault: Arc<Vault>,
    /// Held while this machine joins or leaves.
    pub(super) change: tokio::sync::Mutex<()>,
    /// Woken where there is something to report.
    pub(super) news: Notify,
    told: Mutex<Told>,
    known: Mutex<BTreeMap<String, Known>>,
    reports: PathBuf,
    /// Last reports that agents of before have heard, of machines that this one does not know of yet.
    before: Mutex<BTreeMap<String, Heard>>,
    /// Something was heard that is not kept.
    is_fresh: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machines {
    /// Those of an agent with this state folder. Nothing is made before something joins.
    pub fn new(state: &Path, vault: Arc<Vault>) -> Machines {
        let reports = state.join("machines.json");
        Machines {
            file: state.join("join.json"),
            vault,
            change: tokio::sync::Mutex::default(),
            news: Notify::new(),
            told: Mutex::default(),
            known: Mutex::default(),
            before: Mutex::new(read_reports(&reports)),
            reports,
            is_fresh: AtomicBool::new(false),
        }
    }

    /// The mark; none where this machine has joined no other Xnode.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn find(&self) -> Result<Option<Mark>, AgentError> {
        let damaged = |words: String| AgentError::Damaged { path: self.file.clone(), words };
        if fs::metadata(&self.file).is_ok_and(|about| about.len() > MARK_BYTES_MAX) {
            return Err(damaged(format!("it has more than {MARK_BYTES_MAX} bytes")));
        }
        match fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|cause| damaged(cause.to_string())),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(AgentError::file("reading", &self.file)(cause)),
        }
    }

    /// Keeps a mark.
    ///
    /// # Errors
    /// It cannot be written; the one before stays.
    pub(super) fn keep(&self, mark: &Mark) -> Result<(), AgentError> {
        let bytes = serde_json::to_vec(mark).unwrap_or_default();
        marks::replace(&self.file, &bytes).map_err(AgentError::file("writing", &self.file))
    }

    /// Forgets the mark.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn forget(&self) -> Result<(), AgentError> {
        *lock(&self.told) = Told::default();
        match fs::remove_file(&self.file) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(AgentError::file("removing", &self.file)(cause)),
            _ => Ok(()),
        }
    }

    /// Seals this machine's token.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn seal(&self, token: &str) -> Result<String, AgentError> {
        self.vault.seal(SEAL, token.as_bytes())
    }

    /// The token of a mark.
    ///
    /// # Errors
    /// It is of another machine, or was changed.
    pub(super) fn token(&self, mark: &Mark) -> Result<String, AgentError> {
        let token = self.vault.unseal(SEAL, &mark.token).and_then(|bytes| String::from_utf8(bytes).ok());
        token.ok_or_else(|| AgentError::Damaged { path: self.file.clone(), words: "its token cannot be opened".into() })
    }

    /// Word on the last report.
    pub(super) fn told(&self) -> Told {
        lock(&self.told).clone()
    }

    /// Notes what became of a report, and returns true where it is news that none, or one again, was heard.
    pub(super) fn note(&self, done: Result<i64, String>) -> bool {
        let mut told = lock(&self.told);
        let was = told.trouble.is_some();
        match done {
            Ok(clock_ms) => {
                *told = Told { at: Some(Timestamp::now()), clock_ms: Some(clock_ms), trouble: None, failures: 0 };
            }
            Err(trouble) => {
                told.trouble = Some(trouble);
                told.failures = told.failures.saturating_add(1);
            }
        }
        was != told.trouble.is_some()
    }

    /// This machine with regard to another Xnode.
    ///
    /// # Errors
    /// The mark cannot be read.
    pub(super) fn view(&self) -> Result<JoinView, AgentError> {
        let mark = self.find()?;
        let told = self.told();
        Ok(match mark {
            None => JoinView {
                state: JoinState::Alone,
                at: None,
                node: None,
                id: None,
                owner: None,
                since: None,
                told: None,
                clock_ms: None,
                trouble: None,
            },
            Some(mark) => JoinView {
                state: mark.state(),
                at: Some(mark.at),
                node: mark.node,
                id: mark.id,
                owner: Some(mark.owner),
                since: mark.since,
                told: told.at,
                clock_ms: told.clock_ms,
                trouble: told.trouble,
            },
        })
    }

    /// Notes the machines that have joined: those that others have removed are forgotten.
    pub fn know(&self, all: &[Joined]) {
        let (mut known, mut before) = (lock(&self.known), lock(&self.before));
        let count = known.len();
        known.retain(|id, _| all.iter().any(|one| one.id == *id));
        if known.len() < count {
            self.is_fresh.store(true, Ordering::SeqCst);
        }
        for one in all {
            let heard = before.remove(&one.id);
            let fresh = || Known { name: one.name.clone(), since: Instant::now(), heard };
            known.entry(one.id.clone()).or_insert_with(fresh);
        }
    }

    /// Notes a report, and returns true where the machine was silent, or was never heard of by this agent.
    pub(crate) fn hear(&self, of: &Joined, from: &str, clock_ms: i64, report: MachineReport) -> bool {
        let heard = Heard { at: Timestamp::now(), since: Some(Instant::now()), from: from.into(), clock_ms, report };
        let mut known = lock(&self.known);
        let fresh = || Known { name: of.name.clone(), since: Instant::now(), heard: None };
        let one = known.entry(of.id.clone()).or_insert_with(fresh);
        let before = one.heard.as_ref().and_then(|before| before.since);
        one.heard = Some(heard);
        self.is_fresh.store(true, Ordering::SeqCst);
        before.is_none_or(|since| since.elapsed() >= SILENT_AFTER)
    }

    /// Keeps the last reports, where one came since they were kept: the next agent shows when a machine was heard last, and what it said.
    ///
    /// # Errors
    /// They cannot be written; those of before stay.
    pub(super) fn keep_reports(&self) -> Result<(), AgentError> {
        if !self.is_fresh.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let known = lock(&self.known).clone();
        let heard: BTreeMap<String, Heard> =
            known.into_iter().filter_map(|(id, known)| Some((id, known.heard?))).collect();
        let bytes = serde_json::to_vec(&heard).unwrap_or_default();
        marks::replace(&self.reports, &bytes).map_err(|cause| {
            self.is_fresh.store(true, Ordering::SeqCst);
            AgentError::file("writing", &self.reports)(cause)
        })
    }

    /// A machine as people see it.
    pub(super) fn joined(&self, of: Joined) -> JoinedMachine {
        let known = lock(&self.known).get(&of.id).cloned();
        let is_quiet = known.as_ref().is_some_and(|known| known.quiet() >= SILENT_AFTER);
        let heard = known.and_then(|known| known.heard);
        let state = match heard.as_ref().and_then(|heard| heard.since) {
            _ if is_quiet => MachineState::Silent,
            Some(_) => MachineState::Here,
            None => MachineState::Arrives,
        };
        let name = heard.as_ref().map(|heard| heard.report.name.clone()).filter(|name| !name.is_empty());
        JoinedMachine {
            id: of.id,
            name: name.unwrap_or(of.name),
            owner: of.owner,
            joined: of.joined,
            state,
            heard: heard.as_ref().map(|heard| heard.at),
            from: heard.as_ref().map(|heard| heard.from.clone()),
            clock_ms: heard.as_ref().map(|heard| heard.clock_ms),
            report: heard.map(|heard| heard.report),
        }
    }

    /// Machines of which nothing was heard for some time, since this agent began at least: number and name.
    pub fn silent(&self) -> Vec<(String, String)> {
        let known = lock(&self.known);
        let silent = known.iter().filter(|(_, one)| one.quiet() >= SILENT_AFTER);
        silent.map(|(id, one)| (id.clone(), one.name.clone())).collect()
    }
}

/// Reports that agents of before have kept. What cannot be read is said, and begins anew: each machine tells it again within moments.
fn read_reports(path: &Path) -> BTreeMap<String, Heard> {
    let words = match fs::metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return BTreeMap::new(),
        Err(cause) => cause.to_string(),
        Ok(about) if about.len() > REPORTS_BYTES_MAX => format!("it has more than {REPORTS_BYTES_MAX} bytes"),
        Ok(_) => match fs::read(path).map_err(|cause| cause.to_string()) {
            Err(words) => words,
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(reports) => return reports,
                Err(cause) => cause.to_string(),
            },
        },
    };
    tracing::warn!(path = %path.display(), %words, "last reports of machines cannot be read, and are left out");
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machines(folder: &Path) -> Machines {
        Machines::new(folder, Arc::new(Vault::open(folder).unwrap()))
    }

    fn joined(id: &str) -> Joined {
        Joined { id: id.into(), name: "attic".into(), owner: Address([1; 20]), joined: Timestamp(0) }
    }

    #[test]
    fn a_mark_outlives_the_agent_and_shows_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let machines = machines(folder.path());
        assert_eq!(machines.find().unwrap(), None);
        assert_eq!(machines.view().unwrap().state, JoinState::Alone);
        let mut mark = Mark {
            at: "https://xnode.lan".into(),
            addresses: vec!["10.0.0.5".parse().unwrap()],
            root: None,
            owner: Address([1; 20]),
            invitation: Digest([2; 32]),
            token: machines.seal("omm_secret").unwrap(),
            id: None,
            node: None,
            since: None,
            is_removed: false,
        };
        machines.keep(&mark).unwrap();
        assert_eq!(machines.view().unwrap().state, JoinState::Asks);
        mark.id = Some("ab".into());
        machines.keep(&mark).unwrap();
        let text = fs::read_to_string(folder.path().join("join.json")).unwrap();
        assert!(!text.contains("omm_"), "{text}");
        let again = self::machines(folder.path());
        let found = again.find().unwrap().unwrap();
        assert_eq!((&found, found.state()), (&mark, JoinState::Joined));
        assert_eq!(again.token(&found).unwrap(), "omm_secret");
        assert!(again.token(&Mark { token: "AAAA".into(), ..mark.clone() }).is_err());
        again.keep(&Mark { is_removed: true, ..mark }).unwrap();
        assert_eq!(again.view().unwrap().state, JoinState::Removed);
        again.forget().unwrap();
        again.forget().unwrap();
        assert_eq!(again.find().unwrap(), None);
    }

    #[test]
    fn what_is_heard_is_shown_until_a_machine_goes() {
        let folder = tempfile::tempdir().unwrap();
        let machines = machines(folder.path());
        machines.know(&[joined("a"), joined("b")]);
        assert_eq!(machines.joined(joined("a")).state, MachineState::Arrives);
        let report = MachineReport { name: "cellar".into(), ..MachineReport::default() };
        assert!(machines.hear(&joined("a"), "10.0.0.7:1", -5, report.clone()), "the first word of it");
        assert!(!machines.hear(&joined("a"), "10.0.0.7:1", -5, report.clone()));
        let seen = machines.joined(joined("a"));
        assert_eq!((seen.state, seen.name.as_str(), seen.clock_ms), (MachineState::Here, "cellar", Some(-5)));
        assert_eq!((seen.from.as_deref(), seen.report), (Some("10.0.0.7:1"), Some(report)));
        assert!(machines.silent().is_empty(), "a minute has not passed");
        machines.know(&[joined("b")]);
        assert_eq!(machines.joined(joined("a")).state, MachineState::Arrives, "it has gone, and would be a new one");
    }

    #[test]
    fn the_last_report_outlives_the_agent_and_says_when_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let before = machines(folder.path());
        before.know(&[joined("a"), joined("b")]);
        before.keep_reports().unwrap();
        assert!(!folder.path().join("machines.json").exists(), "nothing was heard");
        let report = MachineReport { name: "cellar".into(), ..MachineReport::default() };
        before.hear(&joined("a"), "10.0.0.7:1", -5, report.clone());
        before.hear(&joined("b"), "10.0.0.8:1", 0, report.clone());
        before.keep_reports().unwrap();
        let seen = before.joined(joined("a"));
        let after = machines(folder.path());
        after.know(&[joined("a")]);
        let kept = after.joined(joined("a"));
        assert_eq!((kept.state, kept.heard), (MachineState::Arrives, seen.heard), "not heard since this agent began");
        assert_eq!((kept.report, kept.clock_ms, kept.name.as_str()), (Some(report.clone()), Some(-5), "cellar"));
        assert!(after.hear(&joined("a"), "10.0.0.7:1", 0, report), "the first word that this agent hears");
        assert_eq!(after.joined(joined("a")).state, MachineState::Here);
        // Whoever has gone is not kept, and a damaged file is left out.
        after.keep_reports().unwrap();
        assert_eq!(read_reports(&folder.path().join("machines.json")).into_keys().collect::<Vec<_>>(), ["a"]);
        fs::write(folder.path().join("machines.json"), "{").unwrap();
        assert_eq!(read_reports(&folder.path().join("machines.json")), BTreeMap::new());
    }

    #[test]
    fn a_report_that_is_not_heard_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let machines = machines(folder.path());
        assert!(!machines.note(Ok(1)));
        assert!(machines.note(Err("away".into())) && !machines.note(Err("away".into())));
        assert_eq!((machines.told().failures, machines.told().trouble.as_deref()), (2, Some("away")));
        assert!(machines.note(Ok(2)) && machines.told().failures == 0);
    }
}
