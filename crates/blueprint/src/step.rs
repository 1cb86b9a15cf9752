//! Steps: single changes of a machine, each with three pure questions.

use std::fmt;

use openmesh_primitives::Digest;

use crate::document::{Name, Period, Size};
use crate::generation::{Disposal, HostPort, Revision, VolumeId, short};
use crate::inventory::{
    Door, Holder, ImageState, InstanceId, Inventory, ObservedInstance, ObservedRemoval, Traffic, Verdict,
};

/// A volume in a step: its id, and its names for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRef {
    /// Its id.
    pub id: VolumeId,
    /// Application that has it.
    pub application: Name,
    /// Its name there.
    pub name: Name,
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.name)
    }
}

/// A change of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get the blobs of an image.
    Fetch {
        /// Its digest.
        image: Digest,
        /// Its source, for people.
        source: String,
        /// Bytes to get.
        bytes: Size,
    },
    /// Unpack the layers of an image.
    Unpack {
        /// Its digest.
        image: Digest,
        /// Its source, for people.
        source: String,
        /// Bytes on disk.
        bytes: Size,
    },
    /// Make a volume with an empty first line.
    MakeVolume {
        /// The volume.
        volume: VolumeRef,
        /// Its size.
        size: Size,
    },
    /// Mount the file system of a volume.
    Mount {
        /// The volume.
        volume: VolumeRef,
    },
    /// Mend what a machine can mend in a volume without risk to its data.
    Mend {
        /// The volume.
        volume: VolumeRef,
        /// The finding, in words.
        cause: String,
    },
    /// Take the removal of a volume back: its application is there again.
    Revive {
        /// The volume.
        volume: VolumeRef,
    },
    /// Unmount a volume whose application is gone, and mark the fate of its data. It can be undone until that is due.
    Retire {
        /// The volume.
        volume: VolumeRef,
        /// Fate of its data.
        disposal: Disposal,
    },
    /// Make a volume larger.
    Grow {
        /// The volume.
        volume: VolumeRef,
        /// Its size then.
        size: Size,
    },
    /// Clone a line of data.
    Snapshot {
        /// The volume.
        volume: VolumeRef,
        /// Line that is cloned.
        from: u32,
        /// Line that is made.
        to: u32,
    },
    /// Go back to another line of data.
    Restore {
        /// The volume.
        volume: VolumeRef,
        /// Line in use before.
        from: u32,
        /// Line in use then.
        to: u32,
    },
    /// Run a job of the occasion `switch` to its end.
    Run {
        /// The application.
        application: Name,
        /// Revision of which it is a part.
        revision: Revision,
        /// The job.
        job: Name,
    },
    /// Make an instance: namespaces, mounts, cgroup, network.
    Create {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
    },
    /// Start the first process of an instance.
    Start {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
    },
    /// Wait until an instance is healthy, without traffic from outside.
    Gate {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
        /// Time for it.
        within: Period,
    },
    /// Give traffic to the instances of a revision, and to no other.
    Admit {
        /// The application.
        application: Name,
        /// The revision.
        revision: Revision,
        /// Number of its instances.
        instances: u32,
        /// Lines of data that are in use from then on.
        lines: Vec<(VolumeRef, u32)>,
    },
    /// Let new requests wait.
    Hold {
        /// The application.
        application: Name,
        /// Longest time.
        at_most: Period,
        /// Raw TCP is cut.
        cuts: bool,
    },
    /// Give the traffic of one instance to the others of its version.
    Withdraw {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
        /// Number of the instances of its version, with it.
        instances: u32,
    },
    /// Take no more traffic: a maintenance page answers, or nothing does.
    Shut {
        /// The application.
        application: Name,
        /// A maintenance page answers.
        page: bool,
    },
    /// Let the connections of an instance end.
    Drain {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
        /// Time for it.
        within: Period,
    },
    /// Ask an instance to end, and kill it later.
    Stop {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
        /// Time after which it is killed.
        kill_after: Period,
    },
    /// Lead a port of the host to the door.
    Publish {
        /// The application.
        application: Name,
        /// Name of its port.
        port: Name,
        /// Port of the host.
        at: HostPort,
    },
    /// Take a port of the host back.
    Retract {
        /// The application.
        application: Name,
        /// Port of the host.
        at: HostPort,
    },
    /// Watch a revision with traffic.
    Probation {
        /// The application.
        application: Name,
        /// The revision.
        revision: Revision,
        /// Time of watching.
        time: Period,
    },
    /// Let the generation be the one that serves.
    Commit {
        /// Its number.
        number: u64,
    },
    /// Remove what nobody needs.
    Collect(Rubbish),
}

/// Things that nobody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rubbish {
    /// Remains of an instance.
    Instance {
        /// The application.
        application: Name,
        /// The instance.
        instance: InstanceId,
        /// Its root could be written to.
        writable: bool,
    },
    /// A line of data that never had traffic from outside.
    Line {
        /// The volume.
        volume: VolumeRef,
        /// The line.
        line: u32,
    },
    /// A volume of a removed application, a day after a person asked for it.
    Volume {
        /// The volume.
        volume: VolumeRef,
    },
}

fn instance<'a>(inventory: &'a Inventory, application: &Name, instance: &InstanceId) -> Option<&'a ObservedInstance> {
    inventory.applications.get(application)?.instances.get(instance)
}

impl Step {
    /// Returns true when there is nothing left to do for it in this inventory.
    pub fn is_done(&self, inventory: &Inventory) -> bool {
        match self {
            Step::Fetch { image, .. } => inventory.images.contains_key(image),
            Step::Unpack { image, .. } => inventory.images.get(image) == Some(&ImageState::Unpacked),
            Step::MakeVolume { volume, .. } => inventory.volumes.contains_key(&volume.id),
            Step::Mount { volume } => inventory.volumes.get(&volume.id).is_some_and(|found| found.mounted),
            Step::Mend { volume, .. } => inventory.volumes.get(&volume.id).is_none_or(|found| found.mends.is_none()),
            Step::Revive { volume } => inventory.volumes.get(&volume.id).is_none_or(|found| found.removal.is_none()),
            Step::Retire { volume, disposal } => {
                let is_so = |removal: ObservedRemoval| removal.disposal == *disposal;
                inventory.volumes.get(&volume.id).is_none_or(|found| found.removal.is_some_and(is_so))
            }
            Step::Grow { volume, size } => inventory.volumes.get(&volume.id).is_some_and(|found| found.size >= *size),
            Step::Snapshot { volume, to, .. } => {
                inventory.volumes.get(&volume.id).is_some_and(|found| found.lines.contains_key(to))
            }
            Step::Restore { volume, to, .. } => {
                inventory.volumes.get(&volume.id).is_some_and(|found| found.in_use == *to)
            }
            Step::Commit { number } => inventory.current >= *number,
            Step::Publish { application, port, at } => {
                let ours = Holder::Ours { application: application.clone(), port: port.clone() };
                inventory.ports.get(at) == Some(&ours)
            }
            Step::Retract { application, at } => {
                !matches!(inventory.ports.get(at), Some(Holder::Ours { application: holder, .. }) if holder == application)
            }
            Step::Collect(rubbish) => rubbish.is_gone(inventory),
            _ => self.is_done_with_application(inventory),
        }
    }

    /// The same for steps on one application's instances and door.
    fn is_done_with_application(&self, inventory: &Inventory) -> bool {
        let observed = |application: &Name| inventory.applications.get(application);
        match self {
            Step::Run { application, revision, job } => {
                observed(application).is_some_and(|found| found.jobs.contains(&(revision.clone(), job.clone())))
            }
            Step::Create { application, instance: id } => instance(inventory, application, id).is_some(),
            Step::Start { application, instance: id } => {
                instance(inventory, application, id).is_some_and(ObservedInstance::is_as_started)
            }
            Step::Gate { application, instance: id, .. } => {
                let passed = |found: &ObservedInstance| found.is_as_started() && found.gate == Some(Verdict::Passed);
                instance(inventory, application, id).is_some_and(passed)
            }
            Step::Admit { application, revision, instances, lines } => {
                is_admitted(inventory, application, revision, *instances)
                    && lines
                        .iter()
                        .all(|(volume, line)| inventory.volumes.get(&volume.id).is_some_and(|v| v.in_use == *line))
            }
            Step::Hold { application, .. } => observed(application).is_some_and(|found| found.door == Door::Holding),
            Step::Withdraw { application, instance: id, .. } => {
                instance(inventory, application, id).is_none_or(|found| found.traffic != Traffic::Admitted)
            }
            Step::Shut { application, page } => {
                let wanted = if *page { Door::Maintenance } else { Door::Closed };
                observed(application).map_or(Door::Closed, |found| found.door.clone()) == wanted
            }
            Step::Drain { application, instance: id, .. } => {
                instance(inventory, application, id).is_none_or(|found| found.traffic == Traffic::None)
            }
            Step::Stop { application, instance: id, .. } => {
                instance(inventory, application, id).is_none_or(ObservedInstance::is_ended)
            }
            Step::Probation { application, revision, .. } => {
                observed(application).is_some_and(|found| found.probation == Some((revision.clone(), Verdict::Passed)))
            }
            _ => false,
        }
    }

    /// Returns true where data are lost by it, and not only connections, which can be opened again.
    pub fn loses_data(&self) -> bool {
        matches!(self, Step::Collect(_)) && self.destroys().is_some()
    }

    /// Words for what is lost by it; `None` where nothing is.
    pub fn destroys(&self) -> Option<String> {
        match self {
            Step::Hold { cuts: true, .. } => Some("open connections of raw TCP, once".to_string()),
            Step::Collect(Rubbish::Line { volume, line }) => {
                Some(format!("line {line} of {volume}, which never had traffic"))
            }
            Step::Collect(Rubbish::Volume { volume }) => Some(format!("all data of {volume}")),
            Step::Collect(Rubbish::Instance { application, .. }) => {
                Some(format!("what {application} wrote outside of its volumes"))
            }
            _ => None,
        }
    }

    /// The application that it is about.
    pub fn application(&self) -> Option<&Name> {
        match self {
            Step::Fetch { .. } | Step::Unpack { .. } | Step::Commit { .. } => None,
            Step::MakeVolume { volume, .. }
            | Step::Mount { volume }
            | Step::Mend { volume, .. }
            | Step::Revive { volume }
            | Step::Retire { volume, .. }
            | Step::Grow { volume, .. }
            | Step::Snapshot { volume, .. }
            | Step::Restore { volume, .. }
            | Step::Collect(Rubbish::Line { volume, .. } | Rubbish::Volume { volume }) => Some(&volume.application),
            Step::Run { application, .. }
            | Step::Create { application, .. }
            | Step::Start { application, .. }
            | Step::Gate { application, .. }
            | Step::Admit { application, .. }
            | Step::Hold { application, .. }
            | Step::Withdraw { application, .. }
            | Step::Shut { application, .. }
            | Step::Drain { application, .. }
            | Step::Stop { application, .. }
            | Step::Publish { application, .. }
            | Step::Retract { application, .. }
            | Step::Probation { application, .. }
            | Step::Collect(Rubbish::Instance { application, .. }) => Some(application),
        }
    }
}

/// Returns true when the door is open to exactly so many running instances of a revision.
pub(crate) fn is_admitted(inventory: &Inventory, application: &Name, revision: &Revision, instances: u32) -> bool {
    let Some(found) = inventory.applications.get(application) else { return false };
    let admitted = |index: u32| {
        let id = InstanceId { revision: revision.clone(), index };
        found.instances.get(&id).is_some_and(|i| i.traffic == Traffic::Admitted && i.is_as_started())
    };
    let count = found.instances.values().filter(|instance| instance.traffic == Traffic::Admitted).count();
    found.door == Door::Open(revision.clone()) && (0..instances).all(admitted) && u32::try_from(count) == Ok(instances)
}

impl Rubbish {
    fn is_gone(&self, inventory: &Inventory) -> bool {
        match self {
            Rubbish::Instance { application, instance: id, .. } => instance(inventory, application, id).is_none(),
            Rubbish::Line { volume, line } => {
                inventory.volumes.get(&volume.id).is_none_or(|found| !found.lines.contains_key(line))
            }
            Rubbish::Volume { volume } => !inventory.volumes.contains_key(&volume.id),
        }
    }
}

/// Fate of set-aside data, in words.
fn fate(disposal: Disposal) -> &'static str {
    match disposal {
        Disposal::Keep => "its data stay until a person says otherwise",
        Disposal::Backup => "its data go in a day, and a backup stays",
        Disposal::Wipe => "its data go in a day",
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Fetch { image, source, bytes } => write!(f, "fetch {source} ({}, {})", short(image), bytes.human()),
            Step::Unpack { source, bytes, .. } => write!(f, "unpack {source} to {}", bytes.human()),
            Step::MakeVolume { volume, size } => write!(f, "make volume {volume} of {}, empty", size.human()),
            Step::Mount { volume } => write!(f, "mount volume {volume}"),
            Step::Mend { volume, cause } => write!(f, "mend volume {volume}: {cause}"),
            Step::Revive { volume } => write!(f, "take the removal of volume {volume} back"),
            Step::Retire { volume, disposal } => {
                write!(f, "set volume {volume} aside: {}", fate(*disposal))
            }
            Step::Grow { volume, size } => write!(f, "grow volume {volume} to {}", size.human()),
            Step::Snapshot { volume, from, to } => write!(f, "snapshot {volume}: line {to} as a clone of line {from}"),
            Step::Restore { volume, from, to } => {
                write!(f, "restore {volume}: from line {from}, which is kept, to line {to}")
            }
            Step::Run { application, job, .. } => write!(f, "run job {job} of {application}"),
            Step::Create { application, instance } => write!(f, "create {application} {instance}"),
            Step::Start { application, instance } => write!(f, "start {application} {instance}"),
            Step::Gate { application, instance, within } => {
                write!(f, "gate {application} {instance}: healthy within {within}, without traffic")
            }
            Step::Admit { application, revision, instances, lines } => {
                write!(f, "admit traffic to {application} {revision}")?;
                f.write_str(&if *instances > 1 { format!(", {instances} instances") } else { String::new() })?;
                lines.iter().try_for_each(|(volume, line)| write!(f, ", {} on line {line}", volume.name))
            }
            Step::Hold { application, at_most, .. } => {
                write!(f, "hold requests to {application} for at most {at_most}")
            }
            Step::Withdraw { application, instance, .. } => {
                write!(f, "lead new traffic past {application} {instance}, to its others")
            }
            Step::Shut { application, page: true } => write!(f, "answer for {application} with a maintenance page"),
            Step::Shut { application, page: false } => write!(f, "take no more traffic for {application}"),
            Step::Drain { application, instance, within } => {
                write!(f, "drain {application} {instance} within {within}")
            }
            Step::Stop { application, instance, kill_after } => {
                write!(f, "stop {application} {instance}, by force after {kill_after}")
            }
            Step::Publish { application, port, at } => write!(f, "publish {application} {port} at {at}"),
            Step::Retract { application, at } => write!(f, "retract {at} of {application}"),
            Step::Probation { application, revision, time } => {
                write!(f, "watch {application} {revision} with traffic for {time}")
            }
            Step::Commit { number } => write!(f, "commit generation {number}"),
            Step::Collect(Rubbish::Instance { application, instance, .. }) => {
                write!(f, "collect {application} {instance}")
            }
            Step::Collect(Rubbish::Line { volume, line }) => write!(f, "collect line {line} of {volume}"),
            Step::Collect(Rubbish::Volume { volume }) => write!(f, "collect volume {volume}"),
        }
    }
}
