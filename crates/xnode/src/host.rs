//! Facts of the host for an inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::{HostAddress, Protocol, Size};
use openmesh_blueprint::generation::HostPort;
use openmesh_blueprint::inventory::{Feature, Holder, Host};
use openmesh_cage::system::program;
use openmesh_primitives::report;

use crate::error::XnodeError;
use crate::events::Finding;
use crate::guard::lock;
use crate::{Machine, gpus, network};

/// State of a listening socket of TCP in `/proc/net/tcp`. Source: `tcp_states.h` of the kernel.
const TCP_LISTEN: &str = "0A";
/// File of the ports that are given out, for people.
const PUBLISHED: &str = "published.json";
/// Time for which a machine that has every feature is not looked through for them again.
const FEATURES_LAST: Duration = Duration::from_secs(60);
/// State of a UDP socket without a peer.
const UDP_OPEN: &str = "07";

/// Facts of the host. What cannot be read counts as nothing, and is said.
pub(crate) fn host(machine: &Machine, findings: &mut Vec<Finding>) -> Host {
    let (memory, disk) = (memory_bytes(), rustix::fs::statvfs(machine.paths.state()));
    if memory == 0 {
        findings.push(Finding::new(None, "the memory of the machine is not known: /proc/meminfo does not say it"));
    }
    if let Err(cause) = &disk {
        let words = format!("the free disk below {} is not known: {cause}", machine.paths.state().display());
        findings.push(Finding::new(None, words));
    }
    let found = gpus::found(machine);
    Host {
        memory: Size(memory),
        disk_free: Size(disk.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))),
        largest: Vec::new(),
        features: features(machine),
        gpu_lack: if found.is_empty() { None } else { gpus::lack(machine) },
        gpus: found,
    }
}

pub(crate) fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub(crate) fn disk_free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Features of the machine. A kernel loses none while it runs: where all are there they are looked for again after a while.
fn features(machine: &Machine) -> BTreeSet<Feature> {
    let mut whole_since = lock(&machine.memory.features);
    if whole_since.is_some_and(|since| since.elapsed() < FEATURES_LAST) {
        return Feature::ALL.into_iter().collect();
    }
    let found: BTreeSet<Feature> = Feature::ALL.into_iter().filter(|feature| has(*feature)).collect();
    // What lacks is looked for each time: somebody is about to bring it.
    *whole_since = (found.len() == Feature::ALL.len()).then(Instant::now);
    found
}

pub(crate) fn has(feature: Feature) -> bool {
    let there = |path: &str| Path::new(path).exists();
    match feature {
        Feature::UserNamespaces => {
            let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
            there("/proc/self/ns/user") && most.trim().parse::<u64>().is_ok_and(|most| most > 0)
        }
        Feature::Seccomp => fs::read_to_string("/proc/self/status").unwrap_or_default().contains("\nSeccomp:"),
        Feature::Overlay => file_system("overlay"),
        Feature::Loop => there("/dev/loop-control"),
        Feature::Nftables => program("nft").is_some(),
        Feature::Cgroups => openmesh_cage::cgroup::Layout::find().is_ok(),
    }
}

fn file_system(name: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // A module that is not loaded yet is loaded by the first mount.
    known.split_whitespace().any(|word| word == name) || Path::new("/lib/modules").exists()
}

/// Ports of the host that somebody holds: those that are given out, others on which a process of the host listens, and those of other agents. A port that is given out is its
/// application's, whoever listens there besides: the door where it carries it, else somebody who gets nothing from outside.
pub(crate) fn ports(machine: &Machine, findings: &mut Vec<Finding>) -> Result<BTreeMap<HostPort, Holder>, XnodeError> {
    let mut ports = foreign_ports(findings);
    match openmesh_links::others_ports(&machine.agent, &machine.memory.listings) {
        Ok(others) => {
            ports.extend(others.into_iter().map(|(at, by)| (at, Holder::Foreign(format!("the agent `{by}`")))))
        }
        Err(error) => {
            let words = format!("ports of other agents are not known: {}", report(&error));
            findings.push(Finding::new(None, words));
        }
    }
    for published in network::published(machine)? {
        match (published.application.parse(), published.name.parse()) {
            (Ok(application), Ok(port)) => {
                let at = published.at();
                let meets = |other: &HostPort| {
                    (other.port, other.protocol) == (at.port, at.protocol) && other.address.overlaps(at.address)
                };
                ports.retain(|other, holder| !meets(other) || matches!(holder, Holder::Ours { .. }));
                ports.insert(at, Holder::Ours { application, port });
            }
            _ => {
                let (name, port) = (&published.application, &published.name);
                let words =
                    format!("{PUBLISHED} says that the port {port} of `{name}` is published, which are no names");
                findings.push(Finding::new(None, words));
            }
        }
    }
    Ok(ports)
}

/// Ports on which processes of the host listen.
pub(crate) fn foreign_ports(findings: &mut Vec<Finding>) -> BTreeMap<HostPort, Holder> {
    let mut found = BTreeMap::new();
    let tables = [
        ("/proc/net/tcp", Protocol::Tcp, false),
        ("/proc/net/tcp6", Protocol::Tcp, true),
        ("/proc/net/udp", Protocol::Udp, false),
        ("/proc/net/udp6", Protocol::Udp, true),
    ];
    for (file, protocol, is_ipv6) in tables {
        let sockets: Vec<(IpAddr, u16)> = match openmesh_links::waiting(protocol, is_ipv6) {
            Ok(sockets) => sockets.into_iter().map(|at| (plain(at.ip()), at.port())).collect(),
            // A kernel without that list has a file.
            Err(_) => listed(file, protocol, findings),
        };
        for (address, port) in sockets {
            let at = HostPort { address: HostAddress(address), port, protocol };
            found.entry(at).or_insert_with(|| Holder::Foreign("a process of the host".into()));
        }
    }
    found
}

/// Sockets on which somebody waits, by a file of the kernel.
fn listed(file: &str, protocol: Protocol, findings: &mut Vec<Finding>) -> Vec<(IpAddr, u16)> {
    let state = if protocol == Protocol::Udp { UDP_OPEN } else { TCP_LISTEN };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        // A kernel without IPv6 has no such table.
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(cause) => {
            let words = format!("ports of other processes are not known: {file} cannot be read: {cause}");
            findings.push(Finding::new(None, words));
            return Vec::new();
        }
    };
    let at = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        socket(fields.get(1)?).filter(|_| fields.get(3) == Some(&state))
    };
    text.lines().skip(1).filter_map(at).collect()
}

/// An address as whoever connects means it: a socket on all addresses of IPv6 takes those of IPv4 too, and one on a mapped address only those.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Reads `0100007F:1F90`, or the same with an address of IPv6: words of 32 bits in the byte order of the machine.
fn socket(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            plain(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_the_kernel_are_read() {
        let v4 = socket("0100007F:1F90");
        assert_eq!(v4, cfg!(target_endian = "little").then_some((IpAddr::from([127, 0, 0, 1]), 8_080)).or(v4));
        assert_eq!(socket("00000000:0050"), Some((IpAddr::from([0, 0, 0, 0]), 80)));
        assert_eq!(socket("00000000000000000000000000000000:0016"), Some((IpAddr::from([0u16; 8]), 22)));
        for wrong in ["", "00", "0000:0050", "zz000000:0050", "00000000:xyz"] {
            assert_eq!(socket(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_listening_socket_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let at = HostPort { address: HostAddress(IpAddr::from([127, 0, 0, 1])), port, protocol: Protocol::Tcp };
        let mut findings = Vec::new();
        assert!(foreign_ports(&mut findings).contains_key(&at));
        // A kernel without the list has the file, which says the same.
        let by_file = listed("/proc/net/tcp", Protocol::Tcp, &mut findings);
        assert!(by_file.contains(&(at.address.0, port)));
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let connected = (at.address.0, stream.local_addr().unwrap().port());
        assert!(!listed("/proc/net/tcp", Protocol::Tcp, &mut findings).contains(&connected), "a connection is none");
        assert!(findings.is_empty(), "{findings:?}");
    }
}
