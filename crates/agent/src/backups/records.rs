//! Results of backups and drills, as they are kept on the disk: one file for each application and each target.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backups::scheduler::Track;
use crate::backups::views::Room;
use crate::error::AgentError;

/// Results that are kept of each application: those of some weeks of nightly backups.
const RESULTS_MAX: usize = 64;
/// Findings of a check that are kept: enough to see what kind they are.
pub(crate) const FINDINGS_MAX: usize = 32;

/// Record of an application's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Record {
    /// Its backups.
    pub backup: Track,
    /// Its drills.
    pub drill: Track,
    /// The last backup that was made.
    pub last: Option<Made>,
    /// The last drill that was done, passed or not.
    pub drilled: Option<Drilled>,
    /// Id of the last backup that a drill has proved: retention keeps it until another one is.
    pub proved: Option<String>,
    /// Ends of acts, the newest last.
    pub results: Vec<Ended>,
}

/// A backup that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Made {
    /// Its id: that of the snapshot that describes it.
    pub backup: String,
    /// Target that has it.
    pub target: String,
    /// Moment of the data.
    pub at: Timestamp,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes that were stored for it.
    pub stored_bytes: u64,
    /// Time it took, milliseconds.
    pub took_ms: u64,
    /// Time for which the application stood still, milliseconds.
    pub still_ms: u64,
    /// Pipes, sockets and devices that were left out.
    pub left_out: u64,
}

/// A drill that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Drilled {
    /// The backup that was restored.
    pub backup: String,
    /// Moment of its data.
    pub of: Timestamp,
    /// Moment of the drill.
    pub at: Timestamp,
    /// Bytes that were restored.
    pub bytes: u64,
    /// Time it took, milliseconds.
    pub took_ms: u64,
    /// The fault that was found; none where the backup proved good.
    pub fault: Option<String>,
}

/// The end of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    /// The act, in a word.
    pub kind: String,
    /// Whoever asked for it.
    pub by: String,
    /// Its begin.
    pub begun: Timestamp,
    /// Its end.
    pub at: Timestamp,
    /// It did what it was to do.
    pub ok: bool,
    /// Words for a person.
    pub text: String,
}

impl Record {
    /// Adds the end of an act.
    pub fn add(&mut self, ended: Ended) {
        self.results.push(ended);
        if self.results.len() > RESULTS_MAX {
            self.results.drain(..self.results.len() - RESULTS_MAX);
        }
    }
}

/// Record of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TargetRecord {
    /// Its place, in words: another place is another target.
    pub place: String,
    /// Id of its repository (B-4).
    pub repository: String,
    /// Recipients for whom there is a key file.
    pub recipients: Vec<String>,
    /// Key file that is to be stored once the place takes something again (B-84), in base64.
    pub key_file: Option<String>,
    /// Hash of the description of the machine that it has.
    pub described: Option<String>,
    /// Last time that it was tidied and checked.
    pub tended: Option<Timestamp>,
    /// Findings of that check, in words; none where all is well.
    pub findings: Vec<String>,
    /// Cause for which it could not be used the last time.
    pub cause: Option<String>,
    /// Room that it grants, as it was said last.
    pub room: Option<Room>,
}

/// Records of an agent.
pub(crate) struct Records {
    folder: PathBuf,
    changes: Mutex<()>,
}

impl Records {
    /// Records in a folder.
    pub fn new(folder: &Path) -> Records {
        Records { folder: folder.into(), changes: Mutex::new(()) }
    }

    fn application_file(&self, name: &Name) -> PathBuf {
        self.folder.join("applications").join(format!("{name}.json"))
    }

    fn target_file(&self, name: &Name) -> PathBuf {
        self.folder.join("targets").join(format!("{name}.json"))
    }

    /// The record of an application.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn application(&self, name: &Name) -> Result<Record, AgentError> {
        Ok(marks::read(&self.application_file(name))?)
    }

    /// The record of a target.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn target(&self, name: &Name) -> Result<TargetRecord, AgentError> {
        Ok(marks::read(&self.target_file(name))?)
    }

    /// Changes the record of an application.
    ///
    /// # Errors
    /// It cannot be read or written; the one before stays.
    pub fn change(&self, name: &Name, change: impl FnOnce(&mut Record)) -> Result<Record, AgentError> {
        self.change_file(&self.application_file(name), change)
    }

    /// Changes the record of a target.
    ///
    /// # Errors
    /// It cannot be read or written; the one before stays.
    pub fn change_target(
        &self,
        name: &Name,
        change: impl FnOnce(&mut TargetRecord),
    ) -> Result<TargetRecord, AgentError> {
        self.change_file(&self.target_file(name), change)
    }

    fn change_file<T: DeserializeOwned + Serialize + Default + Clone + PartialEq>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut T),
    ) -> Result<T, AgentError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before: T = marks::read(path)?;
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            let bytes = serde_json::to_vec(&after).unwrap_or_default();
            marks::replace(path, &bytes).map_err(AgentError::file("writing", path))?;
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: usize) -> Ended {
        let (begun, at) = (Timestamp(1), Timestamp(2));
        Ended { kind: "backup".into(), by: "schedule".into(), begun, at, ok: true, text: number.to_string() }
    }

    #[test]
    fn records_are_kept_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (records, name) = (Records::new(folder.path()), "web".parse().unwrap());
        assert_eq!(records.application(&name).unwrap(), Record::default());
        for number in 0..RESULTS_MAX + 5 {
            records.change(&name, |record| record.add(ended(number))).unwrap();
        }
        let again = Records::new(folder.path()).application(&name).unwrap();
        assert_eq!((again.results.len(), again.results[0].text.as_str()), (RESULTS_MAX, "5"));
        let target = records.change_target(&name, |target| target.repository = "ab".into()).unwrap();
        assert_eq!(records.target(&name).unwrap(), target);
        std::fs::write(folder.path().join("applications/web.json"), "{").unwrap();
        assert!(records.application(&name).is_err(), "one that is damaged is not taken for none");
    }
}
