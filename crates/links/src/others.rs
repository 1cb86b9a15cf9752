//! Ports of the host that tables of other agents lead to their instances (X-5, X-44): no process listens there, so the kernel's lists of sockets have none of
//! them, and a second table for such a port would be passed over without a word.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use openmesh_blueprint::document::{HostAddress, Name, Protocol};
use openmesh_blueprint::generation::HostPort;
use serde_json::Value;

use crate::elements::Set;
use crate::error::LinksError;
use crate::listings::Listings;
use crate::names::agent_of;
use crate::table::{entry, nft, said};

/// Looks for the ports that the tables of other agents have, in the namespace of the calling thread: by what is kept of them, where nothing has changed
/// the rules since.
///
/// # Errors
/// nft is missing, refuses, or prints something else.
pub fn others_ports(agent: &Name, listings: &Listings) -> Result<BTreeMap<HostPort, Name>, LinksError> {
    listings.others(agent, || list(agent))
}

fn list(agent: &Name) -> Result<BTreeMap<HostPort, Name>, LinksError> {
    let output = nft(&["-j", "list", "maps", "inet"], "")?;
    if !output.status.success() {
        return Err(LinksError::Nft { task: "list the maps".to_string(), output: said(&output) });
    }
    let error = |reason| LinksError::Json { table: "all tables".to_string(), reason };
    read_others(agent, &String::from_utf8_lossy(&output.stdout)).map_err(error)
}

/// Reads the JSON of `nft -j list maps inet`: ports with the agents whose tables have them. What is of another form in others' tables is passed over.
///
/// # Errors
/// A reason where it is not such JSON.
pub fn read_others(agent: &Name, json: &str) -> Result<BTreeMap<HostPort, Name>, String> {
    let document: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let items = document["nftables"].as_array().ok_or("it has no list nftables")?;
    let mut found = BTreeMap::new();
    for map in items.iter().map(|item| &item["map"]) {
        let text = |key: &str| map[key].as_str().unwrap_or_default();
        let Some(owner) = agent_of(text("table")).filter(|owner| owner != agent) else { continue };
        let published = [Set::Published, Set::PublishedAnywhere];
        let Some(set) = published.into_iter().find(|set| set.name() == text("name")) else { continue };
        let elements = map["elem"].as_array().into_iter().flatten();
        let ports = elements.filter_map(|element| host_port(set, &entry(set, element)?.0));
        found.extend(ports.map(|port| (port, owner.clone())));
    }
    Ok(found)
}

/// The port of a key, such as `192.0.2.1 . tcp . 80`, or `tcp . 80` where it is one of every address.
fn host_port(set: Set, key: &str) -> Option<HostPort> {
    let (address, rest) = match set {
        Set::PublishedAnywhere => (Ipv4Addr::UNSPECIFIED, key),
        _ => {
            let (address, rest) = key.split_once(" . ")?;
            (address.parse().ok()?, rest)
        }
    };
    let (protocol, port) = rest.split_once(" . ")?;
    let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.to_string() == protocol)?;
    Some(HostPort { address: HostAddress(IpAddr::V4(address)), port: port.parse().ok()?, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 prints it.
    const MAPS: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"map": {"family": "inet", "name": "published", "table": "openmesh-one", "type": ["ipv4_addr", "inet_proto", "inet_service"],
            "map": "ipv4_addr . inet_service", "elem": [[{"concat": ["192.0.2.1", "tcp", 80]}, {"concat": ["10.89.0.2", 80]}]]}},
        {"map": {"family": "inet", "name": "published_anywhere", "table": "openmesh-one", "type": ["inet_proto", "inet_service"],
            "map": "ipv4_addr . inet_service", "elem": [[{"concat": ["tcp", 20000]}, {"concat": ["10.89.0.2", 80]}],
            [{"concat": ["udp", 53]}, {"concat": ["10.89.0.3", 53]}], [{"concat": ["sctp", 7]}, {"concat": ["10.89.0.3", 7]}], "odd"]}},
        {"map": {"family": "inet", "name": "published_anywhere", "table": "openmesh-own", "elem": [[{"concat": ["tcp", 1]}, {"concat": ["10.90.0.2", 1]}]]}},
        {"map": {"family": "inet", "name": "published", "table": "openmesh-empty"}},
        {"map": {"family": "inet", "name": "published_anywhere", "table": "docker", "elem": [[{"concat": ["tcp", 2]}, {"concat": ["10.90.0.2", 1]}]]}},
        {"map": {"family": "inet", "name": "another", "table": "openmesh-one", "elem": [[{"concat": ["tcp", 3]}, {"concat": ["10.90.0.2", 1]}]]}}]}"#;

    #[test]
    fn ports_of_others_are_read_and_nothing_else() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let found = read_others(&name("own"), MAPS).unwrap();
        let found: Vec<String> = found.iter().map(|(port, owner)| format!("{port} {owner}")).collect();
        assert_eq!(found, ["0.0.0.0:53/udp one", "0.0.0.0:20000/tcp one", "192.0.2.1:80/tcp one"]);
        let of_one = read_others(&name("one"), MAPS).unwrap();
        assert_eq!(of_one.into_values().collect::<Vec<_>>(), [name("own")]);
        assert!(read_others(&name("own"), "{\"nftables\": []}").unwrap().is_empty());
        for wrong in ["", "{}", "[]"] {
            assert!(read_others(&name("own"), wrong).is_err(), "{wrong}");
        }
    }
}
