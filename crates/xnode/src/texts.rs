//! `/etc/hosts` and `/etc/resolv.conf` of instances, which follow what is there.
//!
//! Both are files of the host that are bound into the instance, so they are written in place: whoever has them open, or bound, sees what they say now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_links::{Network, texts};

use crate::applications::{Instances, Made};
use crate::marks::{self, DoorMark};
use crate::{Door, Machine};

/// Name of an instance's `/etc/hosts` among its files.
pub(crate) const HOSTS: &str = "hosts";
/// Name of its `/etc/resolv.conf`.
pub(crate) const RESOLV_CONF: &str = "resolv.conf";

/// Addresses by which instances find the applications that they link to: those of the version that has traffic, and where none has it of the newest.
/// The other one is about to go, or not healthy yet.
pub(crate) fn named(machine: &Machine, instances: &Instances) -> BTreeSet<Ipv4Addr> {
    let mut addresses = BTreeSet::new();
    for (name, found) in instances {
        // A mark that cannot be read says nothing; observation names its fault.
        let door = marks::read(&machine.paths.application(name).join("door.json")).unwrap_or_default();
        let Some(revision) = serves(&door, found) else { continue };
        // One that is started anew is found again afterwards.
        let is_out = |id: &InstanceId| matches!(&door, DoorMark::Open { without, .. } if *without == Some(id.index));
        let its = found.iter().filter(|(id, _)| id.revision == revision && !is_out(id));
        addresses.extend(its.filter_map(|(_, made)| made.as_ref()).map(|made| made.address));
    }
    addresses
}

/// The version of an application by which others find it.
fn serves(door: &DoorMark, found: &BTreeMap<InstanceId, Option<Made>>) -> Option<Revision> {
    let there: Vec<(&InstanceId, &Made)> = found.iter().filter_map(|(id, made)| Some((id, made.as_ref()?))).collect();
    let admitted = match door {
        DoorMark::Open { revision, .. } => there.iter().find(|(id, _)| id.revision.to_string() == *revision),
        _ => None,
    };
    let newest = || there.iter().max_by_key(|(_, made)| made.generation);
    admitted.or_else(newest).map(|(id, _)| id.revision.clone())
}

/// `/etc/hosts` of the instance with an address; none where the network does not have it.
pub(crate) fn hosts(network: &Network, named: &BTreeSet<Ipv4Addr>, address: Ipv4Addr) -> Option<String> {
    texts::hosts(&shown(network, named, Some(address))?, address)
}

/// The network as an instance finds it: those that are named, and itself.
fn shown(network: &Network, named: &BTreeSet<Ipv4Addr>, own: Option<Ipv4Addr>) -> Option<Network> {
    let mut allocations = network.allocations().clone();
    allocations.instances.retain(|other, _| Some(*other) == own || named.contains(other));
    allocations.published.clear();
    Network::new(allocations).ok()
}

/// Lets the texts of all instances say what is so now. Returns the applications with one that cannot be written, each with the cause.
pub(crate) fn follow(
    machine: &Machine,
    network: &Network,
    instances: &Instances,
    door: Door<'_>,
) -> BTreeMap<Name, String> {
    let (named, resolv_conf) = (named(machine, instances), texts::resolv_conf(&machine.resolvers()));
    // Those that are named find one network: it is made once for all of them.
    let all = shown(network, &named, None);
    let hosts = |address: Ipv4Addr| match named.contains(&address) {
        true => all.as_ref().and_then(|all| texts::hosts(all, address)),
        false => hosts(network, &named, address),
    };
    let mut faults = BTreeMap::new();
    for (name, found) in instances {
        for (id, made) in found {
            let Some(made) = made else { continue };
            let Some(hosts) = hosts(made.address) else { continue };
            let folder = machine.paths.instance(name, id).join("files");
            for (file, text) in [(HOSTS, &hosts), (RESOLV_CONF, &resolv_conf)] {
                if let Err(error) = renew(&folder.join(file), text, door) {
                    faults.insert(name.clone(), format!("its /etc/{file} cannot be brought up to date: {error}"));
                }
            }
        }
    }
    faults
}

/// Writes a text where it differs. One that is not there is a file of the document's own.
fn renew(path: &Path, text: &str, door: Door<'_>) -> io::Result<()> {
    let before = match fs::read(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        before => before?,
    };
    if before == text.as_bytes() {
        return Ok(());
    }
    marks::through(door, "instance.texts", || in_place(path, text.as_bytes(), before.len()))
}

/// Replaces the content of a file in one write: what is longer of the old one is empty lines until it is cut off.
fn in_place(path: &Path, bytes: &[u8], before: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().max(before), b'\n');
    file.write_all_at(&whole, 0)?;
    file.set_len(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use openmesh_links::{Allocations, Endpoint};

    use super::*;

    const ONE: &str = "aaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbb";

    fn id(revision: &str) -> InstanceId {
        InstanceId { revision: revision.parse().unwrap(), index: 0 }
    }

    fn made(last: u8, generation: u64) -> Made {
        let (address, links) = (Ipv4Addr::new(10, 9, 0, last), Vec::new());
        Made { address, rate_bits: None, links, subnet: None, generation, gpus: Vec::new() }
    }

    #[test]
    fn the_version_with_traffic_is_found_and_else_the_newest() {
        // Revisions are hashes: their order says nothing.
        let found = BTreeMap::from([(id(OTHER), Some(made(2, 1))), (id(ONE), Some(made(3, 2)))]);
        let open = |revision: &str| DoorMark::Open { revision: revision.into(), instances: 1, without: None };
        let served = |door: &DoorMark| serves(door, &found).map(|revision| revision.to_string());
        assert_eq!(served(&open(OTHER)).as_deref(), Some(OTHER));
        assert_eq!(served(&open(ONE)).as_deref(), Some(ONE));
        for door in [DoorMark::Closed, DoorMark::Holding, DoorMark::Maintenance, open("cccccccccccc")] {
            assert_eq!(served(&door).as_deref(), Some(ONE), "{door:?}: the one of generation 2");
        }
        assert_eq!(serves(&DoorMark::Closed, &BTreeMap::from([(id(ONE), None)])), None, "half made");
    }

    #[test]
    fn one_address_is_named_for_each_instance_that_serves() {
        let endpoint = |name: &str| Endpoint { application: name.parse().unwrap(), rate_bits: None };
        let address = |last| Ipv4Addr::new(10, 9, 0, last);
        let mut allocations = Network::empty("test".parse().unwrap(), "10.9.0.0/24".parse().unwrap());
        let mut all: Allocations = allocations.allocations().clone();
        all.instances =
            [(address(2), endpoint("db")), (address(3), endpoint("db")), (address(4), endpoint("web"))].into();
        all.links = [("web".parse().unwrap(), "db".parse().unwrap())].into();
        allocations = Network::new(all).unwrap();
        let text = hosts(&allocations, &[address(3), address(4)].into(), address(4)).unwrap();
        assert!(text.contains("10.9.0.3 db\n") && !text.contains("10.9.0.2"), "{text}");
        let all = shown(&allocations, &[address(3), address(4)].into(), None).unwrap();
        assert_eq!(texts::hosts(&all, address(4)), Some(text), "one for all that are named is that of each");
        let own = hosts(&allocations, &[address(3)].into(), address(2)).unwrap();
        assert!(own.contains("10.9.0.2 db\n"), "one that does not serve knows itself: {own}");
        assert_eq!(hosts(&allocations, &BTreeSet::new(), address(9)), None);
    }

    #[test]
    fn a_text_is_written_in_place_and_only_where_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let passed = std::sync::atomic::AtomicUsize::new(0);
        let door = |_: &str| -> io::Result<()> {
            passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        };
        renew(&path, "new\n", &door).unwrap();
        assert!(!path.exists(), "a file of the document's own stands there");
        fs::write(&path, "a longer text of before\n").unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        for text in ["new\n", "new\n", "another one that is longer still\n"] {
            renew(&path, text, &door).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().ino(), before, "what is bound to it sees it");
        assert_eq!(passed.into_inner(), 4, "twice, before and after");
    }
}
