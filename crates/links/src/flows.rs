//! Flows of UDP that the kernel has tracked: one that is under way keeps the target that it began with for as long as it sends, so when a published port
//! moves, its flows are forgotten and begin anew. Connections of TCP are left alone: they are drained.
//!
//! What is forgotten follows from the ports as they are wanted and the flows as they are, so it can be done again after any death.
//!
//! Kernels without a list of tracked connections (`CONFIG_NF_CT_NETLINK`) are left as they are: there a flow follows after half a minute of silence.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NlaBuffer, NlasIterator};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;

use openmesh_blueprint::document::Subnet;

use crate::elements::{Change, Elements, Set};
use crate::ends::Ends;

// Source: linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const MESSAGE_GET: u16 = 0x0101;
const MESSAGE_DELETE: u16 = 0x0102;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const HEADER_BYTES: usize = 16;
/// Bytes of `struct nfgenmsg`: family, version, resource.
const FAMILY_BYTES: usize = 4;
const FAMILY_INET: u8 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE: u16 = 2;
const PROTOCOL_DESTINATION: u16 = 3;
const NESTED: u16 = 0x8000;
/// Number of UDP in the header of IP.
const UDP: u8 = 17;

/// Addresses, ports and protocol of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tuple {
    protocol: u8,
    source: (u32, u16),
    destination: (u32, u16),
}

/// A tracked flow: its first direction, the one of its answers, and the attributes that name it to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Flow {
    original: Tuple,
    reply: Tuple,
    name: Vec<u8>,
}

impl Flow {
    /// Returns true when the flow goes on to another place than its port leads to: to another instance, to one although its port leads nowhere, or to the host.
    fn is_stale(&self, ports: &Ports) -> bool {
        let (address, port) = self.original.destination;
        let address = Ipv4Addr::from_bits(address);
        if self.original.protocol != UDP || !ports.local.contains(&address) {
            return false;
        }
        let answers = Ipv4Addr::from_bits(self.reply.source.0);
        // The rules ask for the one address first.
        let keys = [format!("{address} . udp . {port}"), format!("udp . {port}")];
        match keys.iter().find_map(|key| ports.targets.get(key)) {
            Some(target) => *target != format!("{answers} . {}", self.reply.source.1),
            // Nobody has turned it.
            None if answers == address => false,
            None => {
                let host_bits = u32::BITS.saturating_sub(u32::from(ports.subnet.prefix));
                let differs = answers.to_bits() ^ ports.subnet.address.to_bits();
                differs.checked_shr(host_bits).unwrap_or(0) == 0
            }
        }
    }
}

/// Published ports as they are wanted.
struct Ports {
    /// Target of each by its key in the map.
    targets: BTreeMap<String, String>,
    /// Addresses of instances.
    subnet: Subnet,
    /// Addresses of the host.
    local: BTreeSet<Ipv4Addr>,
}

/// Returns true when changes move, add or remove a published port of UDP.
pub(crate) fn concern(changes: &[Change]) -> bool {
    let is_port = |change: &Change| matches!(change.set, Set::Published | Set::PublishedAnywhere);
    changes.iter().any(|change| is_port(change) && change.key.contains("udp"))
}

/// Forgets the flows that go on to another place than their published port leads to.
pub(crate) fn forget(wanted: &Elements, subnet: Subnet, ends: &Ends) -> io::Result<()> {
    let sets = [Set::Published, Set::PublishedAnywhere];
    let targets = sets.into_iter().flat_map(|set| wanted.get(set));
    let ports = Ports {
        targets: targets.filter_map(|(key, value)| Some((key.to_string(), value?.to_string()))).collect(),
        subnet,
        local: ends.links.values().flat_map(|end| end.addresses.iter().map(|(address, _)| *address)).collect(),
    };
    let mut tracker = match Tracker::open() {
        Ok(tracker) => tracker,
        Err(error) if missing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let flows = match tracker.list() {
        Err(error) if missing(&error) => return Ok(()),
        flows => flows?,
    };
    for flow in flows.iter().filter(|flow| flow.is_stale(&ports)) {
        match tracker.delete(flow) {
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Returns true when an error says that the kernel has no list of flows.
fn missing(error: &io::Error) -> bool {
    let codes = [Errno::EPROTONOSUPPORT, Errno::EINVAL, Errno::EOPNOTSUPP].map(|errno| errno as i32);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// A netlink socket for tracked flows.
struct Tracker {
    socket: Socket,
    sequence: u32,
}

impl Tracker {
    fn open() -> io::Result<Tracker> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Tracker { socket, sequence: 0 })
    }

    fn send(&mut self, kind: u16, flags: u16, attributes: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER_BYTES + FAMILY_BYTES + attributes.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([FAMILY_INET, 0, 0, 0]);
        bytes.extend(attributes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Kinds and bodies of the messages of one datagram that answer the last request.
    fn receive(&mut self) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut messages = Vec::new();
        let mut rest = &bytes[..];
        while let (Some(length), Some(kind), Some(sequence)) = (word(rest, 0), word(rest, 4), word(rest, 8)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(body) = rest.get(HEADER_BYTES..length) else { break };
            if sequence == self.sequence {
                // The kind is the lower half of its word on any machine: the upper one are flags.
                let kind = kind.to_ne_bytes();
                messages.push((u16::from_ne_bytes([kind[0], kind[1]]), body.to_vec()));
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }

    fn list(&mut self) -> io::Result<Vec<Flow>> {
        self.send(MESSAGE_GET, NLM_F_DUMP, &[])?;
        let mut flows = Vec::new();
        loop {
            for (kind, body) in self.receive()? {
                match kind {
                    MESSAGE_DONE => return Ok(flows),
                    MESSAGE_ERROR => return Err(error(&body).unwrap_or_else(|| io::ErrorKind::InvalidData.into())),
                    _ => flows.extend(read(&body)),
                }
            }
        }
    }

    fn delete(&mut self, flow: &Flow) -> io::Result<()> {
        self.send(MESSAGE_DELETE, NLM_F_ACK, &flow.name)?;
        loop {
            for (kind, body) in self.receive()? {
                if kind == MESSAGE_ERROR {
                    return error(&body).map_or(Ok(()), Err);
                }
            }
        }
    }
}

/// A word of 32 bits at a place.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The error of an answer; `None` for an acknowledgement.
fn error(body: &[u8]) -> Option<io::Error> {
    let code = word(body, 0)?.cast_signed();
    (code != 0).then(|| io::Error::from_raw_os_error(code.wrapping_neg()))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).flatten()
}

fn read(body: &[u8]) -> Option<Flow> {
    let mut flow = Flow::default();
    for attribute in attributes(body.get(FAMILY_BYTES..)?) {
        match attribute.kind() {
            TUPLE_ORIGINAL => {
                flow.original = tuple(attribute.value());
                name(&mut flow.name, TUPLE_ORIGINAL | NESTED, attribute.value());
            }
            TUPLE_REPLY => flow.reply = tuple(attribute.value()),
            ID => name(&mut flow.name, ID, attribute.value()),
            _ => {}
        }
    }
    Some(flow)
}

/// Appends an attribute.
fn name(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let attribute = DefaultNla::new(kind, value.to_vec());
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    to.extend(bytes);
}

fn tuple(bytes: &[u8]) -> Tuple {
    let mut tuple = Tuple::default();
    let port = |value: &[u8]| value.try_into().map_or(0, u16::from_be_bytes);
    let address = |value: &[u8]| value.try_into().map_or(0, u32::from_be_bytes);
    for part in attributes(bytes) {
        for attribute in attributes(part.value()) {
            let value = attribute.value();
            match (part.kind(), attribute.kind()) {
                (TUPLE_IP, IP_SOURCE) => tuple.source.0 = address(value),
                (TUPLE_IP, IP_DESTINATION) => tuple.destination.0 = address(value),
                (TUPLE_PROTOCOL, PROTOCOL_NUMBER) => tuple.protocol = value.first().copied().unwrap_or(0),
                (TUPLE_PROTOCOL, PROTOCOL_SOURCE) => tuple.source.1 = port(value),
                (TUPLE_PROTOCOL, PROTOCOL_DESTINATION) => tuple.destination.1 = port(value),
                _ => {}
            }
        }
    }
    tuple
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(to: (Ipv4Addr, u16), answers: (Ipv4Addr, u16)) -> Flow {
        let tuple = |source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)| Tuple {
            protocol: UDP,
            source: (source.0.to_bits(), source.1),
            destination: (destination.0.to_bits(), destination.1),
        };
        let from = (Ipv4Addr::new(192, 0, 2, 1), 4000);
        Flow { original: tuple(from, to), reply: tuple(answers, from), name: Vec::new() }
    }

    #[test]
    fn flows_are_stale_when_their_port_leads_elsewhere() {
        let host = Ipv4Addr::new(192, 0, 2, 2);
        let [one, two] = [2, 3].map(|last| Ipv4Addr::new(10, 89, 0, last));
        let ports = |targets: &[(&str, Ipv4Addr)]| Ports {
            targets: targets.iter().map(|(key, to)| (key.to_string(), format!("{to} . 7000"))).collect(),
            subnet: Subnet { address: Ipv4Addr::new(10, 89, 0, 0), prefix: 16 },
            local: BTreeSet::from([host]),
        };
        let (to_one, to_two) = (flow((host, 80), (one, 7000)), flow((host, 80), (two, 7000)));
        let to_host = flow((host, 80), (host, 80));
        for key in ["udp . 80", "192.0.2.2 . udp . 80"] {
            let moved = ports(&[(key, two)]);
            assert!(to_one.is_stale(&moved) && !to_two.is_stale(&moved));
            assert!(to_host.is_stale(&moved), "it began before the port was published");
            assert!(!to_one.is_stale(&ports(&[(key, one)])));
        }
        let both = ports(&[("udp . 80", one), ("192.0.2.2 . udp . 80", two)]);
        assert!(to_one.is_stale(&both) && !to_two.is_stale(&both), "the one address comes first");
        for key in ["udp . 81", "tcp . 80", "192.0.2.9 . udp . 80"] {
            let elsewhere = ports(&[(key, one)]);
            assert!(to_one.is_stale(&elsewhere), "nobody publishes its port any more");
            assert!(!to_host.is_stale(&elsewhere), "a service of the host");
        }
        let gateway = Ipv4Addr::new(10, 89, 0, 1);
        let asks = flow((gateway, 53), (gateway, 53));
        assert!(!asks.is_stale(&Ports { local: BTreeSet::from([gateway]), ..ports(&[]) }), "a question to the gateway");
        let others = flow((host, 80), (Ipv4Addr::new(10, 90, 0, 2), 7000));
        assert!(!others.is_stale(&ports(&[])), "the port of another agent");
        let nowhere = Ports { local: BTreeSet::new(), ..ports(&[("udp . 80", two)]) };
        assert!(!to_one.is_stale(&nowhere), "a flow that the host only forwards");
    }
}
