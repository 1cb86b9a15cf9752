//! The network as instances and marks want it.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{HostAddress, Name, Protocol, Subnet};
use openmesh_blueprint::generation::{HostPort, Revision};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_links::{
    Allocations, Context, Endpoint, Fault, LinksError, Namespace, Namespaces, Network, Target, converge,
};
use serde::{Deserialize, Serialize};

use crate::applications::Instances;
use crate::door::Gathered;
use crate::error::XnodeError;
use crate::marks::{self, DoorMark};
use crate::paths::instance_name;
use crate::{Door, Machine};

/// A port of the host that is given out, with the port of the instance that it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    /// Address of the host.
    pub address: std::net::IpAddr,
    /// Port of the host.
    pub port: u16,
    /// It is one of UDP.
    pub udp: bool,
    /// The application.
    pub application: String,
    /// Name of its port.
    pub name: String,
    /// Number of its port, where the version that has traffic is not known.
    pub to: u16,
}

impl Published {
    /// The port of the host.
    pub fn at(&self) -> HostPort {
        let protocol = if self.udp { Protocol::Udp } else { Protocol::Tcp };
        HostPort { address: HostAddress(self.address), port: self.port, protocol }
    }
}

/// Ports that are given out.
pub(crate) fn published(machine: &Machine) -> Result<Vec<Published>, XnodeError> {
    marks::read(&machine.paths.published())
}

/// The network that instances and marks ask for. A published port leads to the first admitted instance: with the door closed it leads nowhere. One of
/// HTTP is the door's, which listens at it.
pub(crate) fn wanted(machine: &Machine, subnet: Subnet, instances: &Instances) -> Result<Network, XnodeError> {
    let mut allocations = Allocations {
        agent: machine.agent.clone(),
        subnet,
        instances: BTreeMap::new(),
        links: BTreeSet::new(),
        published: BTreeMap::new(),
        host_ports: BTreeSet::new(),
        resolvers: machine.resolvers.servers.iter().copied().collect(),
    };
    for (name, found) in instances {
        for made in found.values().flatten() {
            let endpoint = Endpoint { application: name.clone(), rate_bits: made.rate_bits };
            allocations.instances.insert(made.address, endpoint);
            let links = made.links.iter().filter_map(|link| link.parse::<Name>().ok());
            allocations.links.extend(links.map(|link| (name.clone(), link)));
        }
    }
    let gathered = Gathered::read(machine, instances)?;
    for published in published(machine)? {
        let Ok(name) = published.application.parse::<Name>() else { continue };
        // One that cannot be read is its application's fault, which observation names.
        let door = marks::read(&machine.paths.application(&name).join("door.json"));
        let Ok(DoorMark::Open { revision, .. }) = door else { continue };
        let Ok(revision) = revision.parse::<Revision>() else { continue };
        let port = gathered.as_ref().and_then(|all| all.port(&name, &revision, &published.name.parse::<Name>().ok()?));
        if matches!(port, Some((Protocol::Http, _))) {
            continue;
        }
        let to = port.map_or(published.to, |(_, number)| number);
        let made = instances.get(&name).and_then(|found| found.get(&InstanceId { revision, index: 0 })?.as_ref());
        if let Some(made) = made {
            let target = Target { address: made.address, port: to };
            allocations.published.insert(published.at(), target);
        }
    }
    Network::new(allocations).map_err(XnodeError::Network)
}

/// Network namespaces of the instances that have one, and applications with one that cannot be opened.
fn namespaces(machine: &Machine, instances: &Instances) -> (Namespaces, BTreeMap<Name, String>) {
    let (mut open, mut faults) = (Namespaces::new(), BTreeMap::new());
    for (name, found) in instances {
        for (id, made) in found {
            let Some(made) = made else { continue };
            let files = machine.namespaces(&instance_name(name, id));
            if files.are_there() {
                match Namespace::at(files.network) {
                    Ok(namespace) => drop(open.insert(made.address, namespace)),
                    Err(error) => drop(faults.insert(name.clone(), error.to_string())),
                }
            }
        }
    }
    (open, faults)
}

/// Result of a settling.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Applications with an instance that could not be served, each with the cause.
    pub faults: BTreeMap<Name, String>,
}

/// Brings network and door to what instances and marks ask for. An error of one instance is its application's alone.
pub(crate) fn settle(
    machine: &Machine,
    subnet: Subnet,
    instances: &Instances,
    door: Door<'_>,
) -> Result<Settled, XnodeError> {
    crate::door::settle(machine, instances, door)?;
    let network = wanted(machine, subnet, instances)?;
    let (namespaces, mut faults) = namespaces(machine, instances);
    let context = Context { marks: &machine.paths.network_marks(), effect: door };
    let error = match converge(&network, &namespaces, context) {
        Ok(_) => return Ok(Settled { faults }),
        Err(error @ LinksError::Effect { .. }) => return Err(error.into()),
        Err(error) => error,
    };
    let left = network.faults(&openmesh_links::observe(&network, &namespaces)?);
    let mut is_attributed = false;
    for fault in &left {
        match owner(&network, fault) {
            Owner::All => return Err(error.into()),
            Owner::One(name) => {
                is_attributed = true;
                faults.entry(name.clone()).or_insert_with(|| format!("its network: {fault}"));
            }
            Owner::Nobody => {}
        }
    }
    if is_attributed { Ok(Settled { faults }) } else { Err(error.into()) }
}

/// Those whom a fault concerns.
enum Owner<'a> {
    /// Every instance.
    All,
    /// One application.
    One(&'a Name),
    /// None that is there.
    Nobody,
}

fn owner<'a>(network: &'a Network, fault: &Fault) -> Owner<'a> {
    let instances = &network.allocations().instances;
    let at = |address: &std::net::Ipv4Addr| instances.get(address).map(|endpoint| &endpoint.application);
    let found = match fault {
        Fault::NoForwarding | Fault::NoTable | Fault::Altered(_) | Fault::Elements(_) => return Owner::All,
        Fault::AddressTaken { address, .. }
        | Fault::Closed { address, .. }
        | Fault::NoLink(address)
        | Fault::Elsewhere(address)
        | Fault::Outer(address, _)
        | Fault::NoLoopback(address)
        | Fault::Inner(address, _) => at(address),
        Fault::Foreign { link, .. } | Fault::Stray(link) => {
            instances.keys().find(|address| network.link_name(**address) == *link).and_then(at)
        }
    };
    found.map_or(Owner::Nobody, Owner::One)
}

/// Subnet of a generation.
pub(crate) fn subnet(generation: &Generation) -> Subnet {
    generation.placement.subnet
}
