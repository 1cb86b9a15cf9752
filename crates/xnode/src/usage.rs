//! Use of resources by instances: figures of the kernel at one moment, and what they say of an application.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_links::names::{alias_prefix, link_alias};

use crate::agent::Agent;
use crate::error::XnodeError;
use crate::execute::{Room, room_usage};
use crate::marks::{self, DoorMark};
use crate::paths::instance_name;
use crate::{Machine, applications};

/// Folder of the kernel with the host's links.
const LINKS: &str = "/sys/class/net";
/// Waiting for a processor that is told, thousandths of the time: below it a service still answers as usual.
pub const THROTTLED_PERMILLE_MIN: u64 = 100;
/// Use of a disk that is told, thousandths: a database wants room to tidy up.
pub const DISK_PERMILLE_MIN: u64 = 950;
/// Thousandths of a whole.
const WHOLE: u64 = 1_000;

/// Figures of an instance at one moment. Counters never go down while the instance is there, and begin anew with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Processor time, microseconds; a counter.
    pub cpu_us: u64,
    /// Time that was waited for want of processor time, microseconds; a counter.
    pub throttled_us: u64,
    /// Memory in use that cannot be taken back, bytes.
    pub memory_bytes: u64,
    /// Limit of memory, bytes; 0 without one.
    pub memory_limit_bytes: u64,
    /// Processes that were killed for want of memory; a counter.
    pub oom_kills: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Time in which some of its work waited for a processor, microseconds; a counter, 0 where the kernel does not say.
    pub pressure_cpu_us: u64,
    /// The same for memory.
    pub pressure_memory_us: u64,
    /// The same for a disk.
    pub pressure_io_us: u64,
    /// Bytes of its volumes and its writable root that are used.
    pub disk_used_bytes: u64,
    /// Bytes that they have.
    pub disk_bytes: u64,
    /// Use of the fullest of them, thousandths.
    pub disk_fullest_permille: u64,
    /// Bytes that it has received; a counter.
    pub received_bytes: u64,
    /// Bytes that it has sent; a counter.
    pub sent_bytes: u64,
}

/// An instance with its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Application.
    pub application: Name,
    /// Instance.
    pub instance: InstanceId,
    /// Traffic comes to its version.
    pub is_admitted: bool,
    /// Figures.
    pub figures: Figures,
}

impl Agent {
    /// Figures of every instance that has a control group at this moment.
    ///
    /// # Errors
    /// The notes of instances cannot be read. Figures that cannot be read of one instance leave it out.
    pub fn sample(&self) -> Result<Vec<Sampled>, XnodeError> {
        let machine = self.machine();
        let (links, rooms) = (links(machine), rooms(machine));
        let mut sampled = Vec::new();
        for (name, found) in applications::read(&machine.paths)?.instances {
            let door: DoorMark = marks::read(&machine.paths.application(&name).join("door.json")).unwrap_or_default();
            for (instance, made) in found {
                let Some(made) = made else { continue };
                let link = links.get(&link_alias(&machine.agent, &name, made.address));
                let (sent, received) = link.map(|link| counters(link)).unwrap_or_default();
                let own = instance_name(&name, &instance);
                let mut rooms = rooms.get(name.as_str()).cloned().unwrap_or_default();
                rooms.extend(room_usage(machine, &own));
                let Some(mut figures) = group(machine, &own) else { continue };
                (figures.received_bytes, figures.sent_bytes) = (received, sent);
                add_rooms(&mut figures, &rooms);
                let is_admitted =
                    matches!(&door, DoorMark::Open { revision, .. } if *revision == instance.revision.to_string());
                sampled.push(Sampled { application: name.clone(), instance, is_admitted, figures });
            }
        }
        Ok(sampled)
    }
}

/// Figures of a control group; none where it is not there.
fn group(machine: &Machine, instance: &str) -> Option<Figures> {
    let usage = machine.group(instance).usage().ok().flatten()?;
    let pressure = usage.pressure.unwrap_or_default();
    Some(Figures {
        cpu_us: usage.cpu_us,
        throttled_us: usage.throttled_us,
        memory_bytes: usage.memory_working_bytes(),
        memory_limit_bytes: usage.memory_limit_bytes.unwrap_or(0),
        oom_kills: usage.oom_kills,
        processes: usage.processes,
        pressure_cpu_us: pressure.cpu_us,
        pressure_memory_us: pressure.memory_us,
        pressure_io_us: pressure.io_us,
        ..Figures::default()
    })
}

fn add_rooms(figures: &mut Figures, rooms: &[Room]) {
    for room in rooms {
        let used = room.bytes.saturating_sub(room.bytes_free);
        figures.disk_bytes += room.bytes;
        figures.disk_used_bytes += used;
        figures.disk_fullest_permille = figures.disk_fullest_permille.max(permille(used, room.bytes));
    }
}

/// Part of a whole, thousandths; 0 of nothing.
pub fn permille(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * u128::from(WHOLE);
    share.checked_div(u128::from(whole)).map_or(0, |share| u64::try_from(share).unwrap_or(u64::MAX))
}

/// Rooms of the volumes that are mounted, by the application's name.
fn rooms(machine: &Machine) -> BTreeMap<String, Vec<Room>> {
    let mut rooms: BTreeMap<String, Vec<Room>> = BTreeMap::new();
    for (record, usage) in machine.volumes.rooms().unwrap_or_default() {
        let room = Room { bytes: usage.bytes, bytes_free: usage.bytes_free };
        rooms.entry(record.application).or_default().push(room);
    }
    rooms
}

/// Links of this agent on the host: folder of the kernel by alias.
fn links(machine: &Machine) -> BTreeMap<String, std::path::PathBuf> {
    let prefix = alias_prefix(&machine.agent);
    let entries = fs::read_dir(LINKS).into_iter().flatten().flatten();
    let alias = |folder: &Path| Some(fs::read_to_string(folder.join("ifalias")).ok()?.trim_end().to_string());
    let found = entries.filter_map(|entry| Some((alias(&entry.path())?, entry.path())));
    found.filter(|(alias, _)| alias.starts_with(&prefix)).collect()
}

/// Bytes that a link of the host has received and sent: its instance has sent the one and received the other.
fn counters(link: &Path) -> (u64, u64) {
    let number = |file: &str| {
        let text = fs::read_to_string(link.join("statistics").join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    (number("rx_bytes"), number("tx_bytes"))
}

/// Condition of an application that is shown with its figures. Nothing is restarted for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its work waited for a processor by its limit.
    Throttled {
        /// Share of the time, thousandths.
        permille: u64,
        /// The time, milliseconds.
        over_ms: u64,
    },
    /// The kernel killed processes of it.
    OutOfMemory {
        /// Their number.
        kills: u64,
        /// Memory in use now, bytes.
        memory_bytes: u64,
        /// Its limit, bytes.
        limit_bytes: u64,
    },
    /// One of its file systems is nearly full.
    DiskFull {
        /// Use of the fullest, thousandths.
        permille: u64,
        /// Bytes that are used of all.
        used_bytes: u64,
        /// Bytes that they have.
        bytes: u64,
    },
}

/// Conditions that two samples of one instance show, `over_ms` apart. A counter that went down began anew in between.
pub fn conditions(before: &Figures, after: &Figures, over_ms: u64) -> Vec<Condition> {
    let grown = |before: u64, after: u64| if after >= before { after - before } else { after };
    let mut found = Vec::new();
    let waited = grown(before.throttled_us, after.throttled_us);
    // Each of several threads waits on its own: together they may wait longer than the time was.
    let share = permille(waited, over_ms.saturating_mul(1_000)).min(WHOLE);
    if share >= THROTTLED_PERMILLE_MIN {
        found.push(Condition::Throttled { permille: share, over_ms });
    }
    let kills = grown(before.oom_kills, after.oom_kills);
    if kills > 0 {
        let (memory_bytes, limit_bytes) = (after.memory_bytes, after.memory_limit_bytes);
        found.push(Condition::OutOfMemory { kills, memory_bytes, limit_bytes });
    }
    if after.disk_fullest_permille >= DISK_PERMILLE_MIN {
        let (used_bytes, bytes) = (after.disk_used_bytes, after.disk_bytes);
        found.push(Condition::DiskFull { permille: after.disk_fullest_permille, used_bytes, bytes });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_carry_their_figures() {
        let before = Figures { throttled_us: 1_000_000, oom_kills: 2, ..Figures::default() };
        assert_eq!(conditions(&before, &before, 60_000), []);
        let after = Figures {
            throttled_us: 31_000_000,
            oom_kills: 3,
            memory_bytes: 7,
            memory_limit_bytes: 8,
            disk_fullest_permille: 990,
            disk_used_bytes: 99,
            disk_bytes: 100,
            ..Figures::default()
        };
        assert_eq!(
            conditions(&before, &after, 60_000),
            [
                Condition::Throttled { permille: 500, over_ms: 60_000 },
                Condition::OutOfMemory { kills: 1, memory_bytes: 7, limit_bytes: 8 },
                Condition::DiskFull { permille: 990, used_bytes: 99, bytes: 100 },
            ]
        );
        // A run that began anew: its counters are its own.
        let anew = Figures { throttled_us: 3_000_000, ..Figures::default() };
        assert_eq!(conditions(&after, &anew, 60_000), []);
        assert_eq!(conditions(&after, &anew, 10_000), [Condition::Throttled { permille: 300, over_ms: 10_000 }]);
    }

    #[test]
    fn rooms_are_added_and_the_fullest_is_told() {
        let mut figures = Figures::default();
        let rooms = [Room { bytes: 1_000, bytes_free: 10 }, Room { bytes: 9_000, bytes_free: 9_000 }];
        add_rooms(&mut figures, &rooms);
        assert_eq!((figures.disk_bytes, figures.disk_used_bytes, figures.disk_fullest_permille), (10_000, 990, 990));
        assert_eq!((permille(1, 0), permille(u64::MAX, 1)), (0, u64::MAX));
    }
}
