//! Allocations of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use openmesh_blueprint::document::{HostAddress, Name, Protocol};
use openmesh_blueprint::generation::HostPort;
use openmesh_links::{Allocations, Endpoint, Network, Target};

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Allocations of an agent without anything.
pub fn empty(agent: &str, subnet: &str) -> Allocations {
    Allocations {
        agent: name(agent),
        subnet: subnet.parse().unwrap(),
        instances: BTreeMap::new(),
        links: BTreeSet::new(),
        published: BTreeMap::new(),
        host_ports: BTreeSet::new(),
        resolvers: BTreeSet::new(),
    }
}

pub fn endpoint(application: &str) -> Endpoint {
    Endpoint { application: name(application), rate_bits: None }
}

pub fn link(from: &str, to: &str) -> (Name, Name) {
    (name(from), name(to))
}

pub fn host_port(address: &str, port: u16, protocol: Protocol) -> HostPort {
    HostPort { address: HostAddress(address.parse().unwrap()), port, protocol }
}

pub fn target(address: Ipv4Addr, port: u16) -> Target {
    Target { address, port }
}

pub fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 89, 0, last)
}

/// A shop: two instances of `web` reach `api`, which reaches `db`; `other` has no links.
pub fn shop(agent: &str) -> Allocations {
    let mut shop = empty(agent, "10.89.0.0/16");
    for (last, application) in [(2, "web"), (3, "web"), (4, "api"), (5, "db"), (6, "other")] {
        shop.instances.insert(address(last), endpoint(application));
    }
    shop.links.extend([link("web", "api"), link("api", "db")]);
    shop
}

pub fn network(allocations: &Allocations) -> Network {
    Network::new(allocations.clone()).unwrap()
}
