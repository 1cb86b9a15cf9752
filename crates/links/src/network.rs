//! The network of an agent's instances as its generation wants it, checked: the one value that ruleset, links and texts are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use openmesh_blueprint::document::{Name, Protocol, Subnet};
use openmesh_blueprint::generation::HostPort;

use crate::names;

/// Lowest rate, in bits a second: that of a document.
pub const RATE_BITS_MIN: u64 = openmesh_blueprint::document::RATE_BITS_MIN;

/// One instance: an address with what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its application.
    pub application: Name,
    /// Limit in each direction, in bits a second.
    pub rate_bits: Option<u64>,
}

/// The place that a published port leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Address of an instance.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
}

/// Allocations of one agent, as they come out of a generation and are not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocations {
    /// Instance name of the agent.
    pub agent: Name,
    /// Addresses of its instances; the second one is the gateway's.
    pub subnet: Subnet,
    /// Instances by address.
    pub instances: BTreeMap<Ipv4Addr, Endpoint>,
    /// Links: the first application reaches the second. Names without an instance are passed over, since an application may be stopped.
    pub links: BTreeSet<(Name, Name)>,
    /// Published ports of the host.
    pub published: BTreeMap<HostPort, Target>,
    /// Ports of the host's own processes that instances reach, as those of the door. No other port of the host answers them.
    pub host_ports: BTreeSet<(Protocol, u16)>,
    /// Resolvers in the texts that instances get: reached on port 53 wherever they are.
    pub resolvers: BTreeSet<Ipv4Addr>,
}

/// Faults of allocations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An address is not one for instances.
    #[error(
        "{address} ({application}) is not an address for instances of {subnet}: outside of it, or its first, second or last one"
    )]
    Address {
        /// The address.
        address: Ipv4Addr,
        /// Its application.
        application: Name,
        /// The subnet.
        subnet: Subnet,
    },
    /// A rate is too low.
    #[error(
        "{address} ({application}): a rate of {rate_bits} bit/s is below {RATE_BITS_MIN} bit/s, at which a single packet takes a second"
    )]
    Rate {
        /// The address.
        address: Ipv4Addr,
        /// Its application.
        application: Name,
        /// The rate.
        rate_bits: u64,
    },
    /// A published port leads to no instance.
    #[error("{at} leads to {target}, which is no instance: publish it after the instance has its address")]
    NoTarget {
        /// Port of the host.
        at: HostPort,
        /// Its target.
        target: Target,
    },
    /// A published port, or its target, has the number 0.
    #[error("{at} leads to {target}: port 0 is no port")]
    Zero {
        /// Port of the host.
        at: HostPort,
        /// Its target.
        target: Target,
    },
    /// Two published ports claim one address and port.
    #[error("{one} and {other} claim the same port of the host: take another port or another address for one of them")]
    Overlap {
        /// The one.
        one: HostPort,
        /// The other.
        other: HostPort,
    },
    /// A port is published at an address of IPv6.
    #[error(
        "{at}: instances have no IPv6 (X-44), so ports are published at addresses of IPv4; a domain at the door is reached by both"
    )]
    Ipv6 {
        /// Port of the host.
        at: HostPort,
    },
    /// The subnet cannot hold instances.
    #[error("{0} is no subnet for instances: it is link-local, loopback or multicast")]
    Subnet(Subnet),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// Allocations that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    allocations: Allocations,
}

impl Network {
    /// Checks allocations.
    ///
    /// # Errors
    /// All problems at once.
    pub fn new(allocations: Allocations) -> Result<Network, Vec<Problem>> {
        let mut problems = Vec::new();
        let first = allocations.subnet.address;
        if first.is_loopback() || first.is_link_local() || first.is_multicast() {
            problems.push(Problem::Subnet(allocations.subnet));
        }
        for (address, endpoint) in &allocations.instances {
            endpoint_problems(allocations.subnet, *address, endpoint, &mut problems);
        }
        for (at, target) in &allocations.published {
            published_problems(&allocations, *at, *target, &mut problems);
        }
        if problems.is_empty() { Ok(Network { allocations }) } else { Err(problems) }
    }

    /// A network without instances, of which everything is to be removed.
    pub fn empty(agent: Name, subnet: Subnet) -> Network {
        Network {
            allocations: Allocations {
                agent,
                subnet,
                instances: BTreeMap::new(),
                links: BTreeSet::new(),
                published: BTreeMap::new(),
                host_ports: BTreeSet::new(),
                resolvers: BTreeSet::new(),
            },
        }
    }

    /// The allocations.
    pub fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// Instance name of the agent.
    pub fn agent(&self) -> &Name {
        &self.allocations.agent
    }

    /// Instances by address.
    pub fn instances(&self) -> &BTreeMap<Ipv4Addr, Endpoint> {
        &self.allocations.instances
    }

    /// Address of the gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        names::gateway(self.allocations.subnet)
    }

    /// Name of the host's end of an instance's veth pair.
    pub fn link_name(&self, address: Ipv4Addr) -> String {
        names::link_name(&self.allocations.agent, self.allocations.subnet, address)
    }

    /// Name of the nft table.
    pub fn table(&self) -> String {
        names::table(&self.allocations.agent)
    }

    /// Pairs of addresses of which the first reaches the second by a link.
    pub fn pairs(&self) -> BTreeSet<(Ipv4Addr, Ipv4Addr)> {
        let mut addresses: BTreeMap<&Name, Vec<Ipv4Addr>> = BTreeMap::new();
        for (address, endpoint) in &self.allocations.instances {
            addresses.entry(&endpoint.application).or_default().push(*address);
        }
        let of = |application: &Name| addresses.get(application).map_or(&[][..], Vec::as_slice);
        let pairs = self
            .allocations
            .links
            .iter()
            .flat_map(|(from, to)| of(from).iter().flat_map(move |from| of(to).iter().map(move |to| (*from, *to))));
        pairs.filter(|(from, to)| from != to).collect()
    }
}

fn endpoint_problems(subnet: Subnet, address: Ipv4Addr, endpoint: &Endpoint, problems: &mut Vec<Problem>) {
    let place = address.to_bits().wrapping_sub(subnet.address.to_bits());
    let application = endpoint.application.clone();
    if place < 2 || place >= subnet.addresses() - 1 {
        problems.push(Problem::Address { address, application: application.clone(), subnet });
    }
    if let Some(rate_bits) = endpoint.rate_bits.filter(|rate| *rate < RATE_BITS_MIN) {
        problems.push(Problem::Rate { address, application, rate_bits });
    }
}

fn published_problems(allocations: &Allocations, at: HostPort, target: Target, problems: &mut Vec<Problem>) {
    if !allocations.instances.contains_key(&target.address) {
        problems.push(Problem::NoTarget { at, target });
    }
    if at.port == 0 || target.port == 0 {
        problems.push(Problem::Zero { at, target });
    }
    if at.address.0.is_ipv6() {
        problems.push(Problem::Ipv6 { at });
    }
    let same =
        |other: &HostPort| (other.protocol, other.port) == (at.protocol, at.port) && other.address.overlaps(at.address);
    for other in allocations.published.keys().filter(|other| **other > at && same(other)) {
        problems.push(Problem::Overlap { one: at, other: *other });
    }
}
