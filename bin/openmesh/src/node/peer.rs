//! Other nodes as a person names them: `HOST` or `HOST:PORT`. `docs/spec/operators.md`, clause O-3.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Port of a node's API.
pub const API_PORT: u16 = 8_420;
/// Port at which a node's consensus listens; that for gossip, content and questions is the next one.
pub const PORT: u16 = 8_421;
/// Greatest port of a peer: there is a next one.
const PORT_MAX: u16 = u16::MAX - 1;
/// Longest name of a host (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
/// Form of a peer, for a person.
const FORM: &str = "an address or a name, with a port where it is not 8421, is expected: 10.0.0.2, node.example.org:8421, [fd00::2]:8421";

/// A node: its host, and the first of its two ports for other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Peer {
    /// A node at this address.
    pub fn at(address: IpAddr, port: u16) -> Peer {
        Peer { host: Host::Address(address), port }
    }

    /// Its socket, where it is named by an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Address(ip) => Some(SocketAddr::new(*ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// Multiaddress of its consensus.
    pub fn consensus(&self) -> String {
        self.multiaddress(self.port)
    }

    /// Multiaddress of its host for gossip, content and questions.
    pub fn network(&self) -> String {
        // A port has a next one: `from_str` sees to it.
        self.multiaddress(self.port.saturating_add(1))
    }

    fn multiaddress(&self, port: u16) -> String {
        match &self.host {
            Host::Address(IpAddr::V4(ip)) => format!("/ip4/{ip}/tcp/{port}"),
            Host::Address(IpAddr::V6(ip)) => format!("/ip6/{ip}/tcp/{port}"),
            Host::Name(name) => format!("/dns/{name}/tcp/{port}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Address(ip) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        let wrong = || format!("{text:?}: {FORM}");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                let host = host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or_else(wrong)?),
                };
                (Host::Address(host.into()), port)
            }
            None => match text.parse::<Ipv6Addr>() {
                Ok(address) => (Host::Address(address.into()), None),
                Err(_) => {
                    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                    (host_of(host).ok_or_else(wrong)?, port)
                }
            },
        };
        let port = match port.map(str::parse::<u16>) {
            None => PORT,
            Some(Ok(port @ 1..=PORT_MAX)) => port,
            Some(_) => return Err(format!("{text:?}: a port from 1 to 65534 is expected")),
        };
        Ok(Peer { host, port })
    }
}

/// An address of IPv4 or a name. Numbers and dots alone are an address or a mistake.
fn host_of(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(Host::Address(address.into()));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label);
    let is_numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (is_name && !is_numeric).then(|| Host::Name(text.to_ascii_lowercase()))
}

/// A list of peers, separated by commas; `none` for no peer.
///
/// # Errors
/// The first that is none, with what is expected.
pub fn list(text: &str) -> Result<Vec<Peer>, String> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_as_people_write_them() {
        for (text, consensus, network, shown) in [
            ("10.0.0.2", "/ip4/10.0.0.2/tcp/8421", "/ip4/10.0.0.2/tcp/8422", "10.0.0.2:8421"),
            ("10.0.0.2:9000", "/ip4/10.0.0.2/tcp/9000", "/ip4/10.0.0.2/tcp/9001", "10.0.0.2:9000"),
            (
                "Node.Example.org",
                "/dns/node.example.org/tcp/8421",
                "/dns/node.example.org/tcp/8422",
                "node.example.org:8421",
            ),
            ("fd00::2", "/ip6/fd00::2/tcp/8421", "/ip6/fd00::2/tcp/8422", "[fd00::2]:8421"),
            ("[fd00::2]:7", "/ip6/fd00::2/tcp/7", "/ip6/fd00::2/tcp/8", "[fd00::2]:7"),
            ("[::1]", "/ip6/::1/tcp/8421", "/ip6/::1/tcp/8422", "[::1]:8421"),
        ] {
            let peer: Peer = text.parse().unwrap();
            assert_eq!((peer.network().as_str(), peer.consensus().as_str()), (network, consensus), "{text}");
            assert_eq!(peer.to_string(), shown);
            assert_eq!(shown.parse::<Peer>().unwrap(), peer, "what is shown is read again");
        }
    }

    #[test]
    fn what_is_no_peer_is_refused_with_what_is_expected() {
        for text in
            ["", "10.0.0.300", "1.2.3", "a b", "-a.b", "a..b", "[::1", "[::1]8421", "http://a", "/ip4/1.2.3.4/tcp/5"]
        {
            assert!(text.parse::<Peer>().unwrap_err().contains("is expected"), "{text}");
        }
        for text in ["a:0", "a:65535", "a:x", "a:", "10.0.0.2:99999"] {
            assert!(text.parse::<Peer>().unwrap_err().contains("1 to 65534"), "{text}");
        }
    }

    #[test]
    fn a_list_may_be_empty_by_a_word_alone() {
        assert_eq!(list("none"), Ok(Vec::new()));
        assert_eq!(list("a, b:9 ,").unwrap().len(), 2);
        assert!(list("a,10.0.0.300").unwrap_err().contains("10.0.0.300"));
    }
}
