//! `/etc/hosts` and `/etc/resolv.conf` of instances.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use openmesh_blueprint::document::Name;

use crate::network::Network;

/// Most resolvers in a text. Source: `MAXNS` of the C library; further ones are never asked.
pub const RESOLVERS_MAX: usize = 3;
/// Most search domains in a text. Source: `MAXDNSRCH` of older C libraries, which cut the list there.
pub const SEARCH_MAX: usize = 6;

/// Resolvers of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Addresses that an instance reaches.
    pub servers: Vec<Ipv4Addr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options, as `ndots:2`.
    pub options: Vec<String>,
}

/// Reads a `resolv.conf` of the host. Servers on the host's loopback and those of IPv6 are left out: no instance reaches them. Lines that are
/// not understood are passed over, as the C library does. Source: resolv.conf(5).
pub fn read_resolv_conf(text: &str) -> Resolvers {
    let mut found = Resolvers::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let server = words.next().and_then(|word| word.parse::<Ipv4Addr>().ok());
                let reachable = server.filter(|server| !server.is_loopback() && !server.is_unspecified());
                found.servers.extend(reachable.filter(|server| !found.servers.contains(server)));
            }
            // The last of several lines counts.
            Some("search" | "domain") => found.search = words.map(str::to_string).collect(),
            Some("options") => found.options.extend(words.map(str::to_string)),
            _ => {}
        }
    }
    found.servers.truncate(RESOLVERS_MAX);
    found.search.truncate(SEARCH_MAX);
    found
}

/// `/etc/resolv.conf` of every instance.
pub fn resolv_conf(resolvers: &Resolvers) -> String {
    let mut text = String::new();
    for server in &resolvers.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (word, values) in [("search", &resolvers.search), ("options", &resolvers.options)] {
        if !values.is_empty() {
            let _ = writeln!(text, "{word} {}", values.join(" "));
        }
    }
    text
}

/// `/etc/hosts` of an instance: itself, the applications that it links to by their names, and the gateway as `host.openmesh.internal`. An application with
/// several instances has a line for each; a name that has no instance is not there. `None` where the address is no instance's.
pub fn hosts(network: &Network, address: Ipv4Addr) -> Option<String> {
    let own = &network.instances().get(&address)?.application;
    let mut names: BTreeMap<&Name, Vec<Ipv4Addr>> = BTreeMap::new();
    for (from, to) in network.pairs() {
        if let Some(endpoint) = network.instances().get(&to).filter(|_| from == address) {
            names.entry(&endpoint.application).or_default().push(to);
        }
    }
    let mut lines = vec![(IpAddr::from(Ipv4Addr::LOCALHOST), "localhost".to_string())];
    lines.push((address.into(), own.to_string()));
    lines.push((network.gateway().into(), "host.openmesh.internal".to_string()));
    for (name, addresses) in names.iter().filter(|(name, _)| **name != own) {
        lines.extend(addresses.iter().map(|address| ((*address).into(), name.to_string())));
    }
    let mut text = String::new();
    for (address, name) in lines {
        let _ = writeln!(text, "{address} {name}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_resolvers_that_an_instance_reaches_are_taken() {
        let text = "# by hand\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver 192.0.2.1 # first\nnameserver 192.0.2.1\n\
                    search a.example\nsearch b.example c.example\noptions ndots:2 edns0\nsortlist 1.2.3.4\nnameserver\n";
        let found = read_resolv_conf(text);
        assert_eq!(found.servers, [Ipv4Addr::new(192, 0, 2, 1)]);
        assert_eq!(resolv_conf(&found), "nameserver 192.0.2.1\nsearch b.example c.example\noptions ndots:2 edns0\n");
        assert_eq!(read_resolv_conf(&resolv_conf(&found)), found);
        assert_eq!(resolv_conf(&Resolvers::default()), "");
    }
}
