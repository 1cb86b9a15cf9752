//! The network of one agent as it is found, and its differences from what is wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use openmesh_blueprint::document::Name;

use crate::elements::Change;
use crate::elements::Elements;
use crate::ends::{End, EndFault, EndSpec, Ends, Kind, Way, read};
use crate::error::{LinksError, kernel};
use crate::listings::{Listings, observe_table};
use crate::names::{alias_prefix, link_prefix};
use crate::namespace::{Namespace, each};
use crate::netlink::Netlink;
use crate::network::{Endpoint, Network};
use crate::table::TableState;

/// The switch of forwarding of the whole host.
pub(crate) const FORWARDING: &str = "/proc/sys/net/ipv4/conf/all/forwarding";

/// The network of one agent as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The nft table.
    pub table: TableState,
    /// Links of the host with a name of this agent.
    pub links: BTreeMap<String, End>,
    /// Insides of the instances whose namespaces were given.
    pub inside: BTreeMap<Ipv4Addr, Inside>,
    /// Instances whose namespaces were given and cannot be looked into, with the reason.
    pub closed: BTreeMap<Ipv4Addr, String>,
    /// Routes over other links, with the name of the link.
    pub others: Vec<(String, Way)>,
    /// The host forwards packets.
    pub forwarding: bool,
}

/// The namespace of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The end of the veth pair.
    pub end: Option<End>,
    /// The loopback is up.
    pub loopback: bool,
}

/// Namespaces of instances by address.
pub type Namespaces = BTreeMap<Ipv4Addr, Namespace>;

/// Looks at everything of an agent: in the namespace of the calling thread, and in those that are given. An instance whose namespace is not given is looked at
/// from outside only.
///
/// # Errors
/// nft is missing or refuses, or the kernel does.
pub fn observe(network: &Network, namespaces: &Namespaces, listings: &Listings) -> Result<Inventory, LinksError> {
    let table = observe_table(network, listings)?;
    let ends = ends()?;
    let prefix = link_prefix(network.agent());
    let mut links = BTreeMap::new();
    for (name, end) in ends.links.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        links.insert(name.clone(), end.clone());
    }
    for (address, endpoint) in network.instances() {
        let spec = EndSpec::host(network, *address, endpoint);
        if let Some(end) = ends.end(&spec)? {
            links.insert(spec.link, end);
        }
    }
    let name_of = |index: u32| ends.links.iter().find(|(_, end)| end.index == index).map(|(name, _)| name.clone());
    let others = ends.ways.iter().filter_map(|(index, way)| Some((name_of(*index)?, *way)));
    // A link of ours that somebody has renamed is none of others: it goes with its other end.
    let renamed = |name: &String| ends.links.get(name).is_some_and(|end| has_alias(network.agent(), end));
    let others = others.filter(|(name, _)| !name.starts_with(&prefix) && !renamed(name)).collect();
    let given = network.instances().iter();
    let given: Vec<(Inner<'_>, &Namespace)> =
        given.filter_map(|(address, endpoint)| Some(((*address, endpoint), namespaces.get(address)?))).collect();
    let (mut inside, mut closed) = (BTreeMap::new(), BTreeMap::new());
    for ((address, _), found) in each(&given, |(address, endpoint)| look_inside(network, address, endpoint)) {
        match found {
            Ok(found) => drop(inside.insert(address, found)),
            // It is one instance's trouble, not that of all others.
            Err(error) => drop(closed.insert(address, in_full(&error))),
        }
    }
    let forwarding = read(Path::new(FORWARDING))?.as_deref() == Some("1");
    Ok(Inventory { table, links, inside, closed, others, forwarding })
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Links of the calling thread's namespace.
pub(crate) fn ends() -> Result<Ends, LinksError> {
    let list = || -> io::Result<Ends> { Ends::read(&mut Netlink::open()?) };
    list().map_err(kernel("list links, addresses, routes and queues"))
}

/// An instance whose namespace is looked into.
type Inner<'a> = (Ipv4Addr, &'a Endpoint);

/// Looks at an instance from within its namespace, in which the calling thread is.
fn look_inside(network: &Network, address: Ipv4Addr, endpoint: &Endpoint) -> Result<Inside, LinksError> {
    let ends = ends()?;
    let loopback = ends.links.get("lo").is_some_and(|end| end.up);
    Ok(Inside { end: ends.end(&EndSpec::inner(network, address, endpoint))?, loopback })
}

/// A difference of the network of an agent from what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A link has a name of ours and an alias that is not: nothing is done to it.
    Foreign {
        /// Name of the link.
        link: String,
        /// Its alias.
        alias: String,
    },
    /// An address is reached over a link of somebody else.
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Name of the link.
        link: String,
    },
    /// The namespace of an instance cannot be looked into: nothing is done in it.
    Closed {
        /// Address of the instance.
        address: Ipv4Addr,
        /// Reason.
        reason: String,
    },
    /// The host does not forward.
    NoForwarding,
    /// The table is not there.
    NoTable,
    /// The table has other rules.
    Altered(String),
    /// Elements are missing, or too many.
    Elements(Vec<Change>),
    /// A link of ours is not wanted.
    Stray(String),
    /// The veth pair of an instance is gone.
    NoLink(Ipv4Addr),
    /// The host's end of an instance leads into another namespace.
    Elsewhere(Ipv4Addr),
    /// The host's end differs.
    Outer(Ipv4Addr, EndFault),
    /// The loopback of an instance is down.
    NoLoopback(Ipv4Addr),
    /// The instance's end differs.
    Inner(Ipv4Addr, EndFault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Foreign { link, alias } => write!(f, "the link {link} is not ours, its alias is \"{alias}\""),
            Fault::AddressTaken { address, link } => write!(f, "{address} is reached over {link}, which is not ours"),
            Fault::Closed { address, reason } => write!(f, "{address}: {reason}"),
            Fault::NoForwarding => write!(f, "the host does not forward packets"),
            Fault::NoTable => write!(f, "the nft table is gone"),
            Fault::Altered(difference) => write!(f, "the nft table was altered: {difference}"),
            Fault::Elements(changes) => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                write!(f, "elements of the nft table differ: {}", changes.join("; "))
            }
            Fault::Stray(link) => write!(f, "the link {link} has no instance"),
            Fault::NoLink(address) => write!(f, "{address}: its veth pair is gone"),
            Fault::Elsewhere(address) => write!(f, "{address}: its veth pair leads to another namespace"),
            Fault::Outer(address, fault) => write!(f, "{address}: its end on the host: {fault}"),
            Fault::NoLoopback(address) => write!(f, "{address}: its loopback is down"),
            Fault::Inner(address, fault) => write!(f, "{address}: its own end: {fault}"),
        }
    }
}

/// Returns true when a link with a name of ours is ours. One without an alias is: we made it and died before it had one.
pub(crate) fn is_ours(agent: &Name, end: &End) -> bool {
    end.kind == Kind::Veth && (end.alias.is_empty() || has_alias(agent, end))
}

fn has_alias(agent: &Name, end: &End) -> bool {
    end.kind == Kind::Veth && end.alias.starts_with(&alias_prefix(agent))
}

impl Network {
    /// Faults of an inventory, in the order in which they are repaired: the rules are there before a link that they are for.
    pub fn faults(&self, inventory: &Inventory) -> Vec<Fault> {
        let mut faults = self.conflicts(inventory);
        let conflicts = faults.len();
        if !inventory.forwarding && !self.instances().is_empty() {
            faults.push(Fault::NoForwarding);
        }
        match &inventory.table {
            TableState::Gone => faults.push(Fault::NoTable),
            TableState::Altered(difference) => faults.push(Fault::Altered(difference.clone())),
            TableState::Whole(found) => {
                let changes = found.changes_to(&Elements::of(self));
                faults.extend((!changes.is_empty()).then_some(Fault::Elements(changes)));
            }
        }
        let wanted: BTreeMap<String, (Ipv4Addr, &Endpoint)> = self
            .instances()
            .iter()
            .map(|(address, endpoint)| (self.link_name(*address), (*address, endpoint)))
            .collect();
        let foreign = |link: &str| {
            faults[..conflicts].iter().any(|fault| matches!(fault, Fault::Foreign { link: name, .. } if name == link))
        };
        let ours: Vec<&String> = inventory.links.keys().filter(|link| !foreign(link)).collect();
        faults
            .extend(ours.iter().filter(|link| !wanted.contains_key(**link)).map(|link| Fault::Stray((*link).clone())));
        for (link, (address, endpoint)) in &wanted {
            let taken = |fault: &Fault| match fault {
                Fault::Foreign { link: name, .. } => name == link,
                Fault::AddressTaken { address: taken, .. } => taken == address,
                _ => false,
            };
            if !faults[..conflicts].iter().any(taken) {
                faults.extend(self.faults_of(inventory, *address, endpoint, inventory.links.get(link)));
            }
        }
        faults
    }

    /// Faults that only a person can mend.
    fn conflicts(&self, inventory: &Inventory) -> Vec<Fault> {
        let foreign = inventory.links.iter().filter(|(_, end)| !is_ours(self.agent(), end));
        let mut faults: Vec<Fault> =
            foreign.map(|(link, end)| Fault::Foreign { link: link.clone(), alias: end.alias.clone() }).collect();
        let subnet = self.allocations().subnet;
        for address in self.instances().keys() {
            let covers = |way: &Way| {
                way.prefix >= subnet.prefix
                    && (address.to_bits() ^ way.to.to_bits()).leading_zeros() >= u32::from(way.prefix)
            };
            if let Some((link, _)) = inventory.others.iter().find(|(_, way)| covers(way)) {
                faults.push(Fault::AddressTaken { address: *address, link: link.clone() });
            }
        }
        let closed = inventory.closed.iter();
        faults.extend(closed.map(|(address, reason)| Fault::Closed { address: *address, reason: reason.clone() }));
        faults
    }

    fn faults_of(
        &self,
        inventory: &Inventory,
        address: Ipv4Addr,
        endpoint: &Endpoint,
        outer: Option<&End>,
    ) -> Vec<Fault> {
        let inside = inventory.inside.get(&address);
        let Some(outer) = outer else {
            return inside.map(|_| Fault::NoLink(address)).into_iter().collect();
        };
        let mut faults = Vec::new();
        if let Some(inside) = inside {
            match &inside.end {
                Some(end) if end.peer == Some(outer.index) && outer.peer == Some(end.index) => {
                    faults.extend((!inside.loopback).then_some(Fault::NoLoopback(address)));
                    let spec = EndSpec::inner(self, address, endpoint);
                    // The order matters to the instance alone: its routes come after both ends are up.
                    faults.extend(spec.faults(end).into_iter().map(|fault| Fault::Inner(address, fault)));
                }
                _ => return vec![Fault::Elsewhere(address)],
            }
        }
        let spec = EndSpec::host(self, address, endpoint);
        faults.extend(spec.faults(outer).into_iter().map(|fault| Fault::Outer(address, fault)));
        faults
    }
}
