//! Elements of the sets and maps of the ruleset, and the difference between two states of them.
//!
//! An element is kept as nft prints it, parts joined by ` . `: the same text is wanted, observed, added and deleted.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::IpAddr;

use openmesh_blueprint::document::Protocol;

use crate::network::Network;

/// Sets and maps of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Link and the only address that may come out of it.
    Instances,
    /// Pairs of addresses: the first reaches the second.
    Links,
    /// Each address with itself: an instance that reaches a published port of its own, and one that reaches the outside.
    Itself,
    /// Address of the host, protocol and port, to address and port of an instance.
    Published,
    /// Protocol and port at every address of the host, to address and port of an instance.
    PublishedAnywhere,
    /// Protocol and port of the host's processes that instances reach.
    HostPorts,
    /// Addresses that instances reach on port 53.
    Resolvers,
}

impl Set {
    /// All sets and maps, in the order of the ruleset.
    pub const ALL: [Set; 7] = [
        Set::Instances,
        Set::Links,
        Set::Itself,
        Set::Published,
        Set::PublishedAnywhere,
        Set::HostPorts,
        Set::Resolvers,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Set::Instances => "instances",
            Set::Links => "links",
            Set::Itself => "itself",
            Set::Published => "published",
            Set::PublishedAnywhere => "published_anywhere",
            Set::HostPorts => "host_ports",
            Set::Resolvers => "resolvers",
        }
    }

    /// Types of its key, and of its value where it is a map.
    pub fn types(self) -> (&'static str, Option<&'static str>) {
        match self {
            Set::Instances => ("ifname . ipv4_addr", None),
            Set::Links | Set::Itself => ("ipv4_addr . ipv4_addr", None),
            Set::Published => ("ipv4_addr . inet_proto . inet_service", Some("ipv4_addr . inet_service")),
            Set::PublishedAnywhere => ("inet_proto . inet_service", Some("ipv4_addr . inet_service")),
            Set::HostPorts => ("inet_proto . inet_service", None),
            Set::Resolvers => ("ipv4_addr", None),
        }
    }

    /// `set` or `map`.
    pub fn keyword(self) -> &'static str {
        if self.types().1.is_some() { "map" } else { "set" }
    }
}

/// Elements of all sets and maps: key, and value where it is a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements(BTreeMap<Set, BTreeMap<String, Option<String>>>);

impl Elements {
    /// Elements of a network.
    pub fn of(network: &Network) -> Elements {
        let mut elements = Elements::default();
        let allocations = network.allocations();
        for address in allocations.instances.keys() {
            elements.insert(Set::Instances, format!("{} . {address}", network.link_name(*address)), None);
            elements.insert(Set::Itself, format!("{address} . {address}"), None);
        }
        for (from, to) in network.pairs() {
            elements.insert(Set::Links, format!("{from} . {to}"), None);
        }
        for (at, target) in &allocations.published {
            let port = port(at.protocol, at.port);
            let target = Some(format!("{} . {}", target.address, target.port));
            match at.address.0 {
                IpAddr::V4(address) if address.is_unspecified() => {
                    elements.insert(Set::PublishedAnywhere, port, target)
                }
                address => elements.insert(Set::Published, format!("{address} . {port}"), target),
            }
        }
        for (protocol, number) in &allocations.host_ports {
            elements.insert(Set::HostPorts, port(*protocol, *number), None);
        }
        for resolver in &allocations.resolvers {
            elements.insert(Set::Resolvers, resolver.to_string(), None);
        }
        elements
    }

    /// Adds one element.
    pub fn insert(&mut self, set: Set, key: String, value: Option<String>) {
        self.0.entry(set).or_default().insert(key, value);
    }

    /// Elements of one set.
    pub fn get(&self, set: Set) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.get(&set).into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Returns true when a set has an element with this key and value.
    fn has(&self, set: Set, key: &str, value: Option<&str>) -> bool {
        self.0.get(&set).and_then(|elements| elements.get(key)).is_some_and(|found| found.as_deref() == value)
    }

    /// The changes that lead from these elements to others: deletions before additions, so that a changed target is one of each.
    pub fn changes_to(&self, wanted: &Elements) -> Vec<Change> {
        let missing = |from: &Elements, to: &Elements, add: bool| {
            let mut changes = Vec::new();
            for set in Set::ALL {
                for (key, value) in to.get(set).filter(|(key, value)| !from.has(set, key, *value)) {
                    changes.push(Change { add, set, key: key.to_string(), value: value.map(str::to_string) });
                }
            }
            changes
        };
        let mut changes = missing(wanted, self, false);
        changes.extend(missing(self, wanted, true));
        changes
    }

    /// The elements after changes.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            let elements = self.0.entry(change.set).or_default();
            if change.add {
                elements.insert(change.key.clone(), change.value.clone());
            } else {
                elements.remove(&change.key);
            }
        }
        self.0.retain(|_, elements| !elements.is_empty());
    }

    /// The line `elements = { ... }` of a set; `None` where it is empty.
    pub(crate) fn line(&self, set: Set) -> Option<String> {
        let texts: Vec<String> = self.get(set).map(|(key, value)| element(set, key, value)).collect();
        (!texts.is_empty()).then(|| format!("elements = {{ {} }}", texts.join(", ")))
    }
}

/// Protocol and port as nft prints them.
fn port(protocol: Protocol, port: u16) -> String {
    format!("{protocol} . {port}")
}

/// An element as nft reads it: names of links are quoted.
fn element(set: Set, key: &str, value: Option<&str>) -> String {
    let key = match (set, key.split_once(" . ")) {
        (Set::Instances, Some((link, rest))) => format!("\"{link}\" . {rest}"),
        _ => key.to_string(),
    };
    match value {
        Some(value) => format!("{key} : {value}"),
        None => key,
    }
}

/// One element that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// It comes; else it goes.
    pub add: bool,
    /// Set or map.
    pub set: Set,
    /// Its key.
    pub key: String,
    /// Its value in a map.
    pub value: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.add { '+' } else { '-' };
        write!(f, "{sign} {} {}", self.set.name(), element(self.set, &self.key, self.value.as_deref()))
    }
}

/// The transaction of changes as nft reads it: one command for each element, and nothing else of the table is named.
pub fn transaction(table: &str, changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let verb = if change.add { "add" } else { "delete" };
        // An element of a map is deleted by its key.
        let value = change.value.as_deref().filter(|_| change.add);
        let element = element(change.set, &change.key, value);
        let _ = writeln!(text, "{verb} element inet {table} {} {{ {element} }}", change.set.name());
    }
    text
}
