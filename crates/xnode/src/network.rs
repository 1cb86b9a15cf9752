//! The network as instances and marks want it.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{HostAddress, Name, Protocol, Subnet};
use openmesh_blueprint::generation::HostPort;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_links::{Allocations, Context, Endpoint, Fault, Namespace, Namespaces, Network, Target, converge};
use serde::{Deserialize, Serialize};

use crate::applications::Instances;
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
    /// Number of its port.
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

/// The network that instances and marks ask for. A published port leads to the first admitted instance: with the door closed it leads nowhere.
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
    for published in published(machine)? {
        let Ok(name) = published.application.parse::<Name>() else { continue };
        let door: DoorMark = marks::read(&machine.paths.application(&name).join("door.json"))?;
        let DoorMark::Open { revision, .. } = door else { continue };
        let Ok(revision) = revision.parse() else { continue };
        let made = instances.get(&name).and_then(|found| found.get(&InstanceId { revision, index: 0 })?.as_ref());
        if let Some(made) = made {
            let target = Target { address: made.address, port: published.to };
            allocations.published.insert(published.at(), target);
        }
    }
    Network::new(allocations).map_err(XnodeError::Network)
}

/// Network namespaces of the instances that have one.
pub(crate) fn namespaces(machine: &Machine, instances: &Instances) -> Result<Namespaces, XnodeError> {
    let mut open = Namespaces::new();
    for (name, found) in instances {
        for (id, made) in found {
            let Some(made) = made else { continue };
            let files = machine.namespaces(&instance_name(name, id));
            if files.are_there() {
                open.insert(made.address, Namespace::at(files.network)?);
            }
        }
    }
    Ok(open)
}

/// Brings the network to what instances and marks ask for. Returns what was found different and repaired.
pub(crate) fn settle(
    machine: &Machine,
    subnet: Subnet,
    instances: &Instances,
    door: Door<'_>,
) -> Result<Vec<Fault>, XnodeError> {
    let network = wanted(machine, subnet, instances)?;
    let context = Context { marks: &machine.paths.network_marks(), effect: door };
    Ok(converge(&network, &namespaces(machine, instances)?, context)?)
}

/// Subnet of a generation.
pub(crate) fn subnet(generation: &Generation) -> Subnet {
    generation.placement.subnet
}
