//! Files beside a volume and in it: its record, its marker, the marks of its lines, the mark of its removal.

use openmesh_blueprint::generation::Disposal;
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{Id, Kind};

/// Version of all these forms.
pub(crate) const FORM_VERSION: u32 = 1;

/// Record of a volume, beside its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the form.
    pub version: u32,
    /// Its id.
    pub id: Id,
    /// Application that it was made for, for people.
    pub application: String,
    /// Its name there, for people.
    pub name: String,
    /// Kind of its file system.
    pub kind: Kind,
    /// Size of its image, bytes: everything below it is reserved on the host.
    pub bytes: u64,
    /// Moment at which it was made.
    pub made: Timestamp,
}

/// Marker of a volume, in the root of its file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Version of the form.
    pub version: u32,
    /// Id of the volume.
    pub id: Id,
}

/// Mark of a line of data, beside the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number, from 1.
    pub number: u32,
    /// Line that it is a clone of.
    pub parent: Option<u32>,
    /// The reason, a line for people.
    pub reason: String,
    /// Wallet, key or part of the agent that made it.
    pub by: String,
    /// Moment at which it was made.
    pub at: Timestamp,
    /// Whoever may remove it.
    pub keeper: Keeper,
    /// Its state.
    pub state: LineState,
    /// Moment before which no instance on it had traffic from outside; none where there never was any.
    pub admitted: Option<Timestamp>,
}

/// State of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// Its data are being cloned.
    Making,
    /// All of its data are there.
    Whole,
    /// Its data are being removed.
    Dropping,
}

/// Whoever may remove a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// A machine's rule, as long as the line never had traffic.
    Machine,
    /// A person.
    Person,
}

/// Mark of a removal that can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// Fate of the data.
    pub fate: Fate,
    /// Whoever asked for it.
    pub by: String,
    /// Its moment by the wall clock.
    pub at: Timestamp,
    /// Time that has passed since by a clock that nobody sets, milliseconds.
    pub waited_ms: u64,
}

/// Fate of removed data: a [`Disposal`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// They stay until a person says otherwise.
    Keep,
    /// They go after a day, if a backup was made since.
    Backup,
    /// They go after a day.
    Wipe,
}

impl From<Disposal> for Fate {
    fn from(disposal: Disposal) -> Fate {
        match disposal {
            Disposal::Keep => Fate::Keep,
            Disposal::Backup => Fate::Backup,
            Disposal::Wipe => Fate::Wipe,
        }
    }
}
