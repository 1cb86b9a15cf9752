//! The machine as it was found: an immutable value that an observer makes and the planner reads.
//!
//! Marks are what cannot be observed later: a passed gate, admitted traffic, a run job. They lie beside the thing itself, are written before the
//! effect that they allow, and are read into this value like everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use openmesh_primitives::{Digest, Timestamp};

use crate::document::{Name, Size, Subnet};
use crate::generation::{BadText, Disposal, HostPort, Revision, VolumeId};
use crate::gpu::{Gpu, PciAddress};

/// A machine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The moment.
    pub taken: Timestamp,
    /// Number of the committed generation; 0 before the first.
    pub current: u64,
    /// Facts of the host.
    pub host: Host,
    /// Images, by digest.
    pub images: BTreeMap<Digest, ImageState>,
    /// Applications of which anything is there.
    pub applications: BTreeMap<Name, ObservedApplication>,
    /// Volumes by id.
    pub volumes: BTreeMap<VolumeId, ObservedVolume>,
    /// Ports of the host that somebody holds.
    pub ports: BTreeMap<HostPort, Holder>,
}

/// Facts of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Memory in all.
    pub memory: Size,
    /// Free disk below the state directory.
    pub disk_free: Size,
    /// The largest things on that disk that are ours, largest first.
    pub largest: Vec<(String, Size)>,
    /// Features of the kernel and of the installed tools.
    pub features: BTreeSet<Feature>,
    /// GPUs whose driver is there.
    pub gpus: BTreeMap<PciAddress, Gpu>,
    /// Reason for which no new instance gets one of them, with what helps; none where they do.
    pub gpu_lack: Option<String>,
}

/// Features of a host that applications need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// User namespaces.
    UserNamespaces,
    /// Filters of system calls.
    Seccomp,
    /// Overlay file systems in a user namespace.
    Overlay,
    /// Loop devices, for volumes.
    Loop,
    /// Packet filter tables.
    Nftables,
    /// Control groups for memory, processors and processes.
    Cgroups,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::UserNamespaces => "user namespaces",
            Feature::Seccomp => "seccomp filters",
            Feature::Overlay => "overlay file systems",
            Feature::Loop => "loop devices",
            Feature::Nftables => "nftables",
            Feature::Cgroups => "control groups",
        })
    }
}

impl Feature {
    /// All features.
    pub const ALL: [Feature; 6] = [
        Feature::UserNamespaces,
        Feature::Seccomp,
        Feature::Overlay,
        Feature::Loop,
        Feature::Nftables,
        Feature::Cgroups,
    ];

    /// A way to get it.
    pub fn remedy(self) -> &'static str {
        match self {
            Feature::UserNamespaces => "set the sysctl user.max_user_namespaces above 0",
            Feature::Seccomp => "boot a kernel with CONFIG_SECCOMP_FILTER",
            Feature::Overlay => "load the module overlay",
            Feature::Loop => "load the module loop",
            Feature::Nftables => "load the module nf_tables and install nftables",
            Feature::Cgroups => "mount the control groups",
        }
    }
}

/// State of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// All blobs are there and were checked.
    Fetched,
    /// Its layers are unpacked as well.
    Unpacked,
}

/// An application as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedApplication {
    /// Traffic at the door.
    pub door: Door,
    /// Instances.
    pub instances: BTreeMap<InstanceId, ObservedInstance>,
    /// Mark: jobs of the occasion `switch` that ended with 0, by revision.
    pub jobs: BTreeSet<(Revision, Name)>,
    /// Mark: cause for which a job of the occasion `switch` has failed for a revision; forgotten when the revision is wanted again.
    pub failed_job: Option<(Revision, String)>,
    /// Mark: result of the probation of a revision.
    pub probation: Option<(Revision, Verdict)>,
    /// Reason for which it was not seen whole, or cannot be served: what is not known is not changed.
    pub fault: Option<String>,
}

/// Traffic of an application at the door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Nothing is let in.
    #[default]
    Closed,
    /// Traffic goes to the admitted instances of this revision.
    Open(Revision),
    /// New requests wait.
    Holding,
    /// A maintenance page answers.
    Maintenance,
}

/// Name of an instance: its revision and number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceId {
    /// Revision.
    pub revision: Revision,
    /// Number, from 0.
    pub index: u32,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.index)
    }
}

impl std::str::FromStr for InstanceId {
    type Err = BadText;

    fn from_str(text: &str) -> Result<InstanceId, BadText> {
        let bad = || BadText { text: text.to_string(), form: "REVISION.NUMBER" };
        let (revision, index) = text.split_once('.').ok_or_else(bad)?;
        Ok(InstanceId { revision: revision.parse()?, index: index.parse().map_err(|_| bad())? })
    }
}

/// An instance as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInstance {
    /// State of its first process.
    pub state: InstanceState,
    /// Mark: result of its gate since it was started.
    pub gate: Option<Verdict>,
    /// Traffic that it has.
    pub traffic: Traffic,
    /// Address that it was made with; none where it is not known.
    pub address: Option<Ipv4Addr>,
    /// Read back from the kernel, a difference from its plan, or a changed read-only root.
    pub altered: Option<String>,
    /// Mark: it is to be started anew, and was not yet.
    pub is_due: bool,
}

impl ObservedInstance {
    /// Returns true where its address lies outside of a subnet: it is of the network before a move, since all links of an agent have one gateway.
    pub fn is_outside(&self, subnet: Subnet) -> bool {
        self.address.is_some_and(|address| !subnet.contains(address))
    }

    /// Returns true where nothing of it runs, or will by itself.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, InstanceState::Exited(_) | InstanceState::Over(_))
    }

    /// Returns true where it does what it was started for: it runs, or its work is over and its policy leaves it so. One that is to be started anew does not.
    pub fn is_as_started(&self) -> bool {
        matches!(self.state, InstanceState::Running | InstanceState::Over(_)) && !self.is_due
    }
}

/// State of an instance's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Made and not started.
    Created,
    /// Runs, or is started again by its shim.
    Running,
    /// Stopped by a signal or the freezer, and nobody asked for it.
    Frozen,
    /// Was asked to end, and has, with this code.
    Exited(i32),
    /// Ended by itself with this code, and its policy (`restart: never` or `on-failure`) does not start it again. Neither does anybody else.
    Over(i32),
}

/// Traffic of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// None, and no open connection.
    None,
    /// New connections come to it.
    Admitted,
    /// Only its open connections go on.
    Draining,
}

/// Result of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, with the cause.
    Failed(String),
}

/// A volume as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Size of its file system.
    pub size: Size,
    /// Its file system is mounted.
    pub mounted: bool,
    /// Its marker file holds its id. Known only while it is mounted.
    pub marked: bool,
    /// Lines of data by number; known also while it is not mounted, from the marks beside its file system.
    pub lines: BTreeMap<u32, ObservedLine>,
    /// Mark: the line in use.
    pub in_use: u32,
    /// Moment of the last whole backup.
    pub backed_up: Option<Timestamp>,
    /// Reason for which nothing is started on it before a person has looked.
    pub held: Option<String>,
    /// Mark: its removal with its application.
    pub removal: Option<ObservedRemoval>,
    /// Something that a machine mends in it without risk to the data, in words.
    pub mends: Option<String>,
}

/// Removal of a volume, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedRemoval {
    /// Fate of the data.
    pub disposal: Disposal,
    /// The time for an undo is over by both clocks, and a backup was made where one was asked for.
    pub is_due: bool,
}

/// A line of data as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedLine {
    /// Line of which it is a clone.
    pub parent: Option<u32>,
    /// Mark: an instance on it had traffic from outside.
    pub admitted: bool,
    /// A machine may remove it as soon as it is not the one in use: it never had traffic, no person keeps it, and neither the wanted generation nor
    /// the one that serves has it.
    pub removable: bool,
}

/// Holder of a port of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A port of an application of ours.
    Ours {
        /// The application.
        application: Name,
        /// Name of the port.
        port: Name,
    },
    /// Somebody else, in words: "nginx (process 812)".
    Foreign(String),
}
