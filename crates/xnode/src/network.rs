//! The network as instances and marks want it.

mod known;
mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Name, Protocol, Subnet};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_links::{
    Allocations, Context, Endpoint, Fault, LinksError, Namespace, Namespaces, Network, Problem, Target, converge,
};

pub(crate) use known::Known;
pub(crate) use published::{Published, published};

use crate::applications::Instances;
use crate::door::Gathered;
use crate::error::XnodeError;
use crate::events::{EventKind, Finding};
use crate::marks::{self, DoorMark, MADE};
use crate::memory::lock;
use crate::paths::instance_name;
use crate::{Door, Machine, texts};

/// The network that instances and marks ask for. A published port leads to the first admitted instance: with the door closed it leads nowhere. One of
/// HTTP is the door's, which listens at it. What cannot be served is left out, and is a fault of its application.
pub(crate) fn wanted(
    machine: &Machine,
    subnet: Subnet,
    instances: &Instances,
    gathered: Option<&Gathered>,
) -> Result<(Network, BTreeMap<Name, String>), XnodeError> {
    let subnet = in_force(subnet, instances);
    let mut allocations = Allocations {
        agent: machine.agent.clone(),
        subnet,
        instances: BTreeMap::new(),
        links: BTreeSet::new(),
        published: BTreeMap::new(),
        host_ports: BTreeSet::new(),
        resolvers: machine.resolvers().servers.into_iter().collect(),
    };
    for (name, found) in instances {
        for made in found.values().flatten() {
            // One of another network has no link in this one; a plan ends it.
            if !subnet.contains(made.address) {
                continue;
            }
            let endpoint = Endpoint { application: name.clone(), rate_bits: made.rate_bits };
            allocations.instances.insert(made.address, endpoint);
            let links = made.links.iter().filter_map(|link| link.parse::<Name>().ok());
            allocations.links.extend(links.map(|link| (name.clone(), link)));
        }
    }
    for published in published(machine)? {
        let Ok(name) = published.application.parse::<Name>() else { continue };
        // One that cannot be read is its application's fault, which observation names.
        let door = marks::read(&machine.paths.application(&name).join("door.json"));
        let Ok(DoorMark::Open { revision, without, .. }) = door else { continue };
        let Ok(revision) = revision.parse::<Revision>() else { continue };
        let port = gathered.and_then(|all| all.port(&name, &revision, &published.name.parse::<Name>().ok()?));
        if matches!(port, Some((Protocol::Http, _))) {
            continue;
        }
        let to = port.map_or(published.to, |(_, number)| number);
        // The first one, or its neighbour while that is started anew.
        let id = InstanceId { revision, index: u32::from(without == Some(0)) };
        let made = instances.get(&name).and_then(|found| found.get(&id)?.as_ref());
        if let Some(made) = made.filter(|made| allocations.instances.contains_key(&made.address)) {
            let target = Target { address: made.address, port: to };
            allocations.published.insert(published.at(), target);
        }
    }
    servable(allocations)
}

/// The network without what cannot be served, and whom something was left out of, each with the cause: a published port that leads nowhere holds up
/// its own application and no other one. Fails where nothing can be served at all.
fn servable(mut allocations: Allocations) -> Result<(Network, BTreeMap<Name, String>), XnodeError> {
    let mut faults = BTreeMap::new();
    let problems = match Network::new(allocations.clone()) {
        Ok(network) => return Ok((network, faults)),
        Err(problems) => problems,
    };
    for problem in problems {
        let name = match &problem {
            Problem::Address { address, application, .. } | Problem::Rate { address, application, .. } => {
                allocations.instances.remove(address);
                allocations.published.retain(|_, target| target.address != *address);
                Some(application.clone())
            }
            Problem::NoTarget { at, .. }
            | Problem::Zero { at, .. }
            | Problem::Ipv6 { at }
            | Problem::Overlap { other: at, .. } => {
                let target = allocations.published.remove(at);
                let endpoint = target.and_then(|target| allocations.instances.get(&target.address));
                endpoint.map(|endpoint| endpoint.application.clone())
            }
            Problem::Subnet(_) => None,
        };
        if let Some(name) = name {
            faults.entry(name).or_insert_with(|| format!("its network: {problem}"));
        }
    }
    let network = Network::new(allocations).map_err(XnodeError::Network)?;
    Ok((network, faults))
}

/// Subnet of the network that is there: the one that is asked for, but as long as an instance of another one is there that one, since all links of an
/// agent have one gateway. A plan ends them all before anything of the new one is made.
pub(crate) fn in_force(asked: Subnet, instances: &Instances) -> Subnet {
    let mut outside =
        instances.values().flat_map(BTreeMap::values).flatten().filter(|made| !asked.contains(made.address));
    let noted = outside.find_map(|made| made.subnet().filter(|subnet| subnet.contains(made.address)));
    noted.unwrap_or(asked)
}

/// Network namespaces of the instances that have one, applications with one that cannot be opened, and instances whose namespaces went from under them.
fn namespaces(machine: &Machine, instances: &Instances) -> (Namespaces, BTreeMap<Name, String>, Vec<Finding>) {
    let (mut open, mut faults, mut findings) = (Namespaces::new(), BTreeMap::new(), Vec::new());
    for (name, found) in instances {
        for (id, made) in found {
            let Some(made) = made else { continue };
            let instance = instance_name(name, id);
            let files = machine.namespaces(&instance);
            if !files.are_there() {
                // After the machine has started they are made by the next start.
                if machine.paths.shim(&instance).join(MADE).exists() {
                    let words = "the files of its namespaces are gone: its own end of the network is looked at no more; stop and start the application";
                    findings.push(Finding::new(Some(name), format!("instance {id}: {words}")));
                }
            } else {
                match Namespace::at(files.network) {
                    Ok(namespace) => drop(open.insert(made.address, namespace)),
                    Err(error) => drop(faults.insert(name.clone(), error.to_string())),
                }
            }
        }
    }
    (open, faults, findings)
}

/// Tells what somebody else has changed, and remembers the network as it is now.
fn tell(machine: &Machine, repaired: &[Fault], network: &Network, inside: BTreeSet<Ipv4Addr>) {
    let mut known = lock(&machine.memory.network);
    for fault in repaired.iter().filter(|fault| known.as_ref().is_some_and(|known| known.is_news(fault, network))) {
        let name = match owner(network, fault) {
            Owner::One(name) => Some(name),
            Owner::All | Owner::Nobody => None,
        };
        machine.memory.events.tell(EventKind::Repaired, name, format!("{fault}; it is as it was again"));
    }
    *known = Some(Known { network: network.clone(), inside });
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
    let gathered = Gathered::read(machine, instances)?;
    crate::door::settle(machine, gathered.as_ref(), door)?;
    let (network, left_out) = wanted(machine, subnet, instances, gathered.as_ref())?;
    let (namespaces, mut faults, findings) = namespaces(machine, instances);
    for (name, cause) in left_out {
        faults.entry(name).or_insert(cause);
    }
    machine.memory.events.lasting("network", findings);
    let listings = &machine.memory.listings;
    let context = Context { marks: &machine.paths.network_marks(), listings, effect: door };
    let error = match converge(&network, &namespaces, context) {
        Ok(repaired) => {
            tell(machine, &repaired, &network, namespaces.keys().copied().collect());
            faults.extend(texts::follow(machine, &network, instances, door));
            return Ok(Settled { faults });
        }
        Err(error @ LinksError::Effect { .. }) => return Err(error.into()),
        Err(error) => error,
    };
    let left = network.faults(&openmesh_links::observe(&network, &namespaces, listings)?);
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
    if !is_attributed {
        return Err(error.into());
    }
    // The others find one another all the same.
    for (name, cause) in texts::follow(machine, &network, instances, door) {
        faults.entry(name).or_insert(cause);
    }
    Ok(Settled { faults })
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
    let at = |address: &Ipv4Addr| instances.get(address).map(|endpoint| &endpoint.application);
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

#[cfg(test)]
mod tests {
    use openmesh_blueprint::document::HostAddress;
    use openmesh_blueprint::generation::HostPort;

    use super::*;

    fn network(instances: &[(u8, &str)], published: &[u16]) -> Network {
        let empty = Network::empty("test".parse().unwrap(), "10.9.0.0/24".parse().unwrap());
        let mut all = empty.allocations().clone();
        for (last, name) in instances {
            let endpoint = Endpoint { application: name.parse().unwrap(), rate_bits: None };
            all.instances.insert(Ipv4Addr::new(10, 9, 0, *last), endpoint);
        }
        for port in published {
            let at = HostPort { address: HostAddress::ANY, port: *port, protocol: Protocol::Tcp };
            all.published.insert(at, Target { address: Ipv4Addr::new(10, 9, 0, 2), port: 80 });
        }
        Network::new(all).unwrap()
    }

    /// A change that a step asks for is no news; one that goes behind the agent's back is.
    #[test]
    fn changes_of_others_are_told_from_the_agents_own() {
        let before = network(&[(2, "web"), (3, "db")], &[80]);
        let known = Known { network: before.clone(), inside: [Ipv4Addr::new(10, 9, 0, 2)].into() };
        let changed = network(&[(2, "web"), (4, "db")], &[81]);
        let link = |last| Fault::NoLink(Ipv4Addr::new(10, 9, 0, last));
        for (fault, same, other) in [
            (link(2), true, true),
            (link(3), false, false),
            (link(4), false, false),
            (Fault::Elements(Vec::new()), true, false),
            (Fault::Altered("a chain".into()), true, false),
            (Fault::NoTable, true, true),
            (Fault::Stray("omtest_00009".into()), true, false),
        ] {
            assert_eq!(known.is_news(&fault, &before), same, "{fault}");
            assert_eq!(known.is_news(&fault, &changed), other, "{fault}");
        }
        let renamed = network(&[(2, "other")], &[]);
        assert!(!known.is_news(&link(2), &renamed), "the address is another one's now");
    }

    /// Something that nobody can give to one application is that one's trouble.
    #[test]
    fn what_cannot_be_served_is_left_out() {
        let mut all = network(&[(2, "web"), (3, "db"), (4, "slow")], &[80]).allocations().clone();
        let at = |address: &str, port| HostPort {
            address: HostAddress(address.parse().unwrap()),
            port,
            protocol: Protocol::Tcp,
        };
        all.published.insert(at("::1", 81), Target { address: Ipv4Addr::new(10, 9, 0, 3), port: 81 });
        all.published.insert(at("127.0.0.1", 82), Target { address: Ipv4Addr::new(10, 9, 0, 4), port: 82 });
        all.instances.get_mut(&Ipv4Addr::new(10, 9, 0, 4)).unwrap().rate_bits = Some(1);
        let (served, faults) = servable(all.clone()).unwrap();
        let shown: Vec<String> = faults.iter().map(|(name, cause)| format!("{name}: {cause}")).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with("db: its network: ") && shown[0].contains("IPv6"), "{shown:?}");
        assert!(shown[1].starts_with("slow: its network: ") && shown[1].contains("1 bit/s"), "{shown:?}");
        assert_eq!(served, network(&[(2, "web"), (3, "db")], &[80]));
        // A network that nobody can have is everybody's.
        all.subnet = "127.0.0.0/24".parse().unwrap();
        assert!(matches!(servable(all), Err(XnodeError::Network(_))));
    }

    /// As long as one instance of the network before is there, the network is that one.
    #[test]
    fn a_network_moves_with_its_last_instance() {
        let (old, new): (Subnet, Subnet) = ("10.9.0.0/24".parse().unwrap(), "10.8.0.0/24".parse().unwrap());
        let made = |address: [u8; 4], subnet: Option<Subnet>| crate::applications::Made {
            address: address.into(),
            rate_bits: None,
            links: Vec::new(),
            subnet: subnet.map(|subnet| subnet.to_string()),
            generation: 1,
            gpus: Vec::new(),
        };
        let with = |all: Vec<crate::applications::Made>| -> Instances {
            let id = |index| InstanceId { revision: "aaaaaaaaaaaa".parse().unwrap(), index };
            let found = (0..).zip(all).map(|(index, made)| (id(index), Some(made)));
            [("web".parse().unwrap(), found.collect())].into()
        };
        assert_eq!(in_force(new, &with(Vec::new())), new);
        assert_eq!(in_force(new, &with(vec![made([10, 8, 0, 2], Some(new))])), new);
        let both = with(vec![made([10, 8, 0, 2], Some(new)), made([10, 9, 0, 2], Some(old))]);
        assert_eq!((in_force(new, &both), in_force(old, &both)), (old, new));
        assert_eq!(in_force(new, &with(vec![made([10, 9, 0, 2], None)])), new, "an old note says nothing");
    }
}
