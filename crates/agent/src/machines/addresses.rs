//! Addresses of this machine at which another one may reach it, as the kernel lists them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use openmesh_blueprint::document::Subnet;

/// File of the kernel with the tree of routes of IPv4, which has every address of the machine.
const IPV4: &str = "/proc/net/fib_trie";
/// File of the kernel with addresses of IPv6.
const IPV6: &str = "/proc/net/if_inet6";
/// Word for addresses of IPv6 that are not of a link or of the machine alone. Source: `IPV6_ADDR_SCOPE_GLOBAL` of the kernel, as `/proc/net/if_inet6` prints it.
const SCOPE_GLOBAL: &str = "00";

/// Addresses of this machine but for those of the network of its applications, at most `most`. What cannot be read is left out.
pub(super) fn own(applications: &Subnet, most: usize) -> Vec<IpAddr> {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let v4 = ipv4(&text(IPV4)).into_iter().filter(|address| !is_within(applications, *address)).map(IpAddr::V4);
    let v6 = ipv6(&text(IPV6)).into_iter().map(IpAddr::V6);
    v4.chain(v6).take(most).collect()
}

/// Returns true for an address of a network.
fn is_within(subnet: &Subnet, address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix.min(32))).unwrap_or(0);
    u32::from(address) & mask == u32::from(subnet.address) & mask
}

/// Local addresses in the text of `/proc/net/fib_trie`: a leaf is a line `|-- ADDRESS`, and what it is stands in the lines below it.
fn ipv4(text: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut leaf) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = leaf
            && !address.is_loopback()
            && !address.is_link_local()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Addresses of all scopes in the text of `/proc/net/if_inet6`: digits, number of the link, prefix, scope, flags, name.
fn ipv6(text: &str) -> Vec<Ipv6Addr> {
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let (digits, scope) = (words.next()?, words.nth(2)?);
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
        Some(Ipv6Addr::from(bits)).filter(|address| scope == SCOPE_GLOBAL && !address.is_loopback())
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_others_reach() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.5\n           /32 host LOCAL\n        |-- 10.0.0.255\n           /32 link BROADCAST\n\
                    Local:\n        |-- 10.0.0.5\n           /32 host LOCAL\n        |-- 10.89.0.1\n           /32 host LOCAL\n        |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 169.254.1.2\n           /32 host LOCAL\n";
        let found = ipv4(trie);
        assert_eq!(found, [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 89, 0, 1)]);
        let subnet = Subnet { address: Ipv4Addr::new(10, 89, 0, 0), prefix: 16 };
        assert!(is_within(&subnet, found[1]) && !is_within(&subnet, found[0]));
        let six = "00000000000000000000000000000001 01 80 10 80       lo\n\
                   fd000000000000000000000000000005 02 40 00 80     eth0\n\
                   fe800000000000000000000000000001 02 40 20 80     eth0\nodd\n";
        assert_eq!(ipv6(six), ["fd00::5".parse::<Ipv6Addr>().unwrap()]);
        assert!(ipv4("").is_empty() && ipv6("").is_empty());
    }

    #[test]
    fn this_machine_can_be_read() {
        let subnet = Subnet { address: Ipv4Addr::new(10, 89, 0, 0), prefix: 16 };
        assert!(own(&subnet, 8).iter().all(|address| !address.is_loopback()) && own(&subnet, 0).is_empty());
    }
}
