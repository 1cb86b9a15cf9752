//! A machine before it becomes an Xnode: what is there, what lacks, and what helps.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_blueprint::document::{Name, Subnet};
use openmesh_blueprint::inventory::Feature;
use openmesh_cage::cgroup::Layout;
use openmesh_cage::system::program;
use openmesh_image::unpack::has_landlock;
use serde::{Deserialize, Serialize};

use crate::host;

/// Oldest kernel whose overlay file systems take layers with mapped ids (`Documentation/filesystems/idmappings` of the kernel): 5.19.
const KERNEL_MIN: (u32, u32) = (5, 19);
/// Memory below which a machine holds little beside itself, bytes.
const MEMORY_BYTES_MIN: u64 = 1 << 30;
/// Free disk below which few images have room, bytes.
const DISK_BYTES_MIN: u64 = 5 << 30;
/// File systems in memory. Source: `TMPFS_MAGIC` and `RAMFS_MAGIC` of the kernel (`linux/magic.h`).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Moment before which a clock is certainly wrong: the first of January 2026, seconds since 1970.
const CLOCK_MIN: Duration = Duration::from_secs(1_767_225_600);

/// Judgement on a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Applications run, and something is worse than it could be.
    Odd,
    /// There can be no Xnode.
    Wrong,
}

/// A thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub thing: String,
    /// The judgement.
    pub grade: Grade,
    /// As it was found, in words.
    pub found: String,
    /// A way to better it; none where it is good.
    pub remedy: Option<String>,
}

impl Finding {
    fn good(thing: &str, found: impl Into<String>) -> Finding {
        Finding { thing: thing.into(), grade: Grade::Good, found: found.into(), remedy: None }
    }

    fn bad(thing: &str, grade: Grade, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { thing: thing.into(), grade, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything that an agent of this name, with its state and what goes with the machine's run below these folders, needs of the machine. Changes nothing.
pub fn preflight(agent: &Name, state: &Path, run: &Path) -> Vec<Finding> {
    let mut findings = vec![user(), kernel(&read("/proc/sys/kernel/osrelease")), groups()];
    findings.extend(Feature::ALL.into_iter().filter(|feature| *feature != Feature::Cgroups).map(feature));
    findings.push(landlock());
    findings.extend(programs());
    findings.push(firewalls(agent));
    findings.push(memory(host::memory_bytes()));
    findings.push(disk(state));
    findings.push(run_folder(run));
    findings.push(clock(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));
    findings
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_string()
}

fn user() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => Finding::good("user", "root"),
        false => Finding::bad(
            "user",
            Grade::Wrong,
            "not root",
            "start it with sudo: namespaces, control groups and networks are made by root",
        ),
    }
}

fn kernel(release: &str) -> Finding {
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_MIN => Finding::good("kernel", release),
        _ => {
            let remedy = format!("boot Linux {}.{} or newer", KERNEL_MIN.0, KERNEL_MIN.1);
            Finding::bad("kernel", Grade::Wrong, release, remedy)
        }
    }
}

fn groups() -> Finding {
    match Layout::find() {
        Ok(Layout::V1 { .. }) => Finding::good("control groups", "version 1"),
        Ok(Layout::V2 { .. }) => Finding::good("control groups", "version 2"),
        Err(error) => Finding::bad("control groups", Grade::Wrong, error.to_string(), Feature::Cgroups.remedy()),
    }
}

fn feature(feature: Feature) -> Finding {
    let thing = feature.to_string();
    match host::has(feature) {
        true => Finding::good(&thing, "there"),
        false => Finding::bad(&thing, Grade::Wrong, "not there", feature.remedy()),
    }
}

fn landlock() -> Finding {
    match has_landlock() {
        true => Finding::good("landlock", "there"),
        false => Finding::bad(
            "landlock",
            Grade::Wrong,
            "not there",
            "boot a kernel with CONFIG_SECURITY_LANDLOCK and `landlock` among its lsm=: without it no image is unpacked",
        ),
    }
}

/// Programs of Debian, each with its package, the grade of its lack, and what lacks without it.
const PROGRAMS: [(&str, &str, Grade, &str); 4] = [
    ("mkfs.ext4", "e2fsprogs", Grade::Wrong, "volumes cannot be made"),
    ("mkfs.xfs", "xfsprogs", Grade::Odd, "volumes are ext4, and their snapshots are copies"),
    ("mmdebstrap", "mmdebstrap", Grade::Odd, "recipes with Debian packages cannot be built"),
    ("ip", "iproute2", Grade::Odd, "a person who looks into an instance's network misses it"),
];

fn programs() -> Vec<Finding> {
    let finding = |(name, package, grade, without): (&str, &str, Grade, &str)| match program(name).is_some() {
        true => Finding::good(name, "there"),
        false => {
            Finding::bad(name, grade, format!("not there: {without}"), format!("install the Debian package {package}"))
        }
    };
    PROGRAMS.into_iter().map(finding).collect()
}

/// Rules of other firewalls that drop what they do not know: a drop is final, whatever our table says.
fn firewalls(agent: &Name) -> Finding {
    let thing = "firewalls";
    // No address of it matters: the chains of others are looked at.
    let subnet = Subnet { address: Ipv4Addr::new(10, 89, 0, 0), prefix: 16 };
    match openmesh_links::foreign_drops(&openmesh_links::Network::empty(agent.clone(), subnet)) {
        Ok(drops) if drops.is_empty() => Finding::good(thing, "none drops what it does not know"),
        Ok(drops) => Finding::bad(
            thing,
            Grade::Odd,
            drops.join("; "),
            "let it accept what goes from and to links whose names begin with `om`; no rule of somebody else is changed by an agent",
        ),
        Err(error) => Finding::bad(thing, Grade::Odd, error.to_string(), "look at `nft list ruleset` as root"),
    }
}

fn memory(bytes: u64) -> Finding {
    let found = format!("{} MiB", bytes >> 20);
    match bytes >= MEMORY_BYTES_MIN {
        true => Finding::good("memory", found),
        false => Finding::bad("memory", Grade::Odd, found, "1 GiB or more leaves room for applications"),
    }
}

/// The folder that is there of a path.
fn there(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// The run folder, in which values of secrets lie unsealed as long as an application has them.
fn run_folder(run: &Path) -> Finding {
    let (thing, there) = ("run folder", there(run));
    let kind = rustix::fs::statfs(there).ok().and_then(|about| u64::try_from(about.f_type).ok());
    match kind.is_some_and(|kind| IN_MEMORY.contains(&kind)) {
        true => Finding::good(thing, "in memory"),
        false => Finding::bad(
            thing,
            Grade::Odd,
            format!("{} is on a disk: values of secrets that applications have are written to it", there.display()),
            "mount a tmpfs at /run, as systemd does",
        ),
    }
}

fn disk(state: &Path) -> Finding {
    let there = there(state);
    let free = host::disk_free(there);
    let found = format!("{} MiB free below {}", free >> 20, there.display());
    match free >= DISK_BYTES_MIN {
        true => Finding::good("disk", found),
        false => {
            Finding::bad("disk", Grade::Odd, found, "make room, or put the state on another disk with --agent-state")
        }
    }
}

fn clock(since: Duration) -> Finding {
    match since >= CLOCK_MIN {
        true => Finding::good("clock", "plausible"),
        false => Finding::bad(
            "clock",
            Grade::Wrong,
            format!("{} s after 1970", since.as_secs()),
            "set the clock: certificates and sessions are judged by it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, grade) in [
            ("6.1.0-28-amd64", Grade::Good),
            ("5.19.0", Grade::Good),
            ("10.0-rc1", Grade::Good),
            ("5.9.16", Grade::Wrong),
            ("4.19.0-27", Grade::Wrong),
            ("", Grade::Wrong),
        ] {
            assert_eq!(kernel(release).grade, grade, "{release}");
        }
    }

    #[test]
    fn every_fault_has_a_remedy() {
        let odd = [memory(1 << 20), clock(Duration::from_secs(12)), kernel("3.2")];
        let found = preflight(
            &"default".parse().unwrap(),
            Path::new("/var/lib/openmesh/no/such/folder"),
            Path::new("/run/openmesh/no/such/folder"),
        );
        for finding in odd.iter().chain(&found) {
            assert_eq!(finding.remedy.is_some(), finding.grade != Grade::Good, "{finding:?}");
        }
        assert!(found.iter().any(|finding| finding.thing == "landlock"));
        assert_eq!(run_folder(Path::new("/proc/no/such")).grade, Grade::Odd, "not of memory files");
        assert!(odd.iter().all(|finding| finding.grade != Grade::Good));
    }
}
