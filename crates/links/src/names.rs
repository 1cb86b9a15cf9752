//! Names of everything in the kernel that belongs to one agent: they carry its instance name, follow from it and from an address alone, and
//! are never those of another agent.
//!
//! The name of a link has 15 bytes: `om`, seven for the agent, `_`, five for the place of the address in its subnet. Seven bytes hold the agent's name where it is
//! that short, else `0` and six digits of its hash. Names begin with a letter and have no `_`, so a hash is never taken for a name, and no agent's
//! links begin as another's do: one pattern in the ruleset stands for all of them, also for those that are not there yet. Two long names whose hashes are equal
//! (one pair in two thousand million) are told apart by the alias, which holds the name in full.

use std::net::Ipv4Addr;

use openmesh_blueprint::document::{Name, Subnet};
use openmesh_primitives::sha256;

/// Longest name of a link, in bytes: `IFNAMSIZ` of Linux without the final NUL.
pub const LINK_NAME_BYTES_MAX: usize = 15;
/// Bytes of a link's name for the agent: with them `default` is written in full.
const TAG_BYTES: usize = 7;
/// Digits of a link's name for the place of an address: 36^5 is more than the addresses of the widest subnet, 2^24.
const PLACE_DIGITS: usize = 5;
/// Digits in use: no upper case, which people mistake.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Beginning of the names of the tables of all agents.
const TABLE: &str = "openmesh-";
/// Name of the link inside of an instance: the one that images expect.
pub const INNER_LINK: &str = "eth0";

/// Digits of a number to the base 36, the last ones where there are more than fit.
fn digits(mut number: u64, count: usize) -> String {
    let mut text = vec![b'0'; count];
    for digit in text.iter_mut().rev() {
        let index = usize::try_from(number % 36).unwrap_or(0);
        *digit = DIGITS[index];
        number /= 36;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The agent's part of a link's name.
fn tag(agent: &Name) -> String {
    let name = agent.as_str();
    if name.len() <= TAG_BYTES {
        return name.to_string();
    }
    let hash = sha256(&[b"openmesh links 1", name.as_bytes()]);
    let number = hash.to_string().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    format!("0{}", digits(number, TAG_BYTES - 1))
}

/// Beginning of the names of all links of an agent on the host, and of no other link.
pub fn link_prefix(agent: &Name) -> String {
    format!("om{}_", tag(agent))
}

/// Name of the host's end of an instance's veth pair.
pub fn link_name(agent: &Name, subnet: Subnet, address: Ipv4Addr) -> String {
    let place = address.to_bits().wrapping_sub(subnet.address.to_bits());
    link_prefix(agent) + &digits(u64::from(place), PLACE_DIGITS)
}

/// Alias of the host's end: the agent's name in full, the application and the address, for people and to know what is ours.
pub fn link_alias(agent: &Name, application: &Name, address: Ipv4Addr) -> String {
    format!("{}{application} {address}", alias_prefix(agent))
}

/// Beginning of the aliases of all links of an agent.
pub fn alias_prefix(agent: &Name) -> String {
    format!("openmesh {agent}: ")
}

/// Name of the one nft table of an agent, of the family `inet`.
pub fn table(agent: &Name) -> String {
    format!("{TABLE}{agent}")
}

/// The agent to whom a table belongs by its name; none for a table of somebody else.
pub fn agent_of(table: &str) -> Option<Name> {
    table.strip_prefix(TABLE)?.parse().ok()
}

/// Name for a network namespace of an instance, where one is kept as a file below `/run/netns`.
pub fn namespace(agent: &Name, application: &Name, address: Ipv4Addr) -> String {
    format!("openmesh-{agent}_{application}_{address}")
}

/// MAC address of the host's ends: the gateway's, the same for each instance and after each repair, so that no instance has a stale one.
pub fn gateway_mac(subnet: Subnet) -> [u8; 6] {
    openmesh_blueprint::generation::mac(gateway(subnet))
}

/// Address of the gateway: the second one of the subnet.
pub fn gateway(subnet: Subnet) -> Ipv4Addr {
    subnet.host(1).unwrap_or(subnet.address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_readable() {
        let subnet: Subnet = "10.89.0.0/16".parse().unwrap();
        let address = Ipv4Addr::new(10, 89, 0, 2);
        assert_eq!(link_name(&name("default"), subnet, address), "omdefault_00002");
        assert_eq!(link_name(&name("a"), subnet, Ipv4Addr::new(10, 89, 255, 254)), "oma_01eke");
        assert_eq!(link_name(&name("production"), subnet, address), "om08ijnx3_00002");
        assert_eq!(table(&name("default")), "openmesh-default");
        assert_eq!(link_alias(&name("default"), &name("web"), address), "openmesh default: web 10.89.0.2");
        assert_eq!(gateway_mac(subnet), [0x02, 0x4f, 10, 89, 0, 1]);
    }

    proptest! {
        #[test]
        fn no_agents_links_begin_as_anothers(one in "[a-z]([a-z0-9-]{0,30}[a-z0-9])?", other in "[a-z]([a-z0-9-]{0,30}[a-z0-9])?") {
            prop_assume!(one != other);
            let (one, other) = (link_prefix(&name(&one)), link_prefix(&name(&other)));
            prop_assert!(!one.starts_with(&other) && !other.starts_with(&one), "{one} {other}");
        }

        #[test]
        fn every_address_has_a_name_of_its_own_that_fits(agent in "[a-z]([a-z0-9-]{0,30}[a-z0-9])?", prefix in 8u8..=29, places in (0u32.., 0u32..)) {
            let subnet = Subnet { address: Ipv4Addr::new(10, 0, 0, 0), prefix };
            let of = |place: u32| {
                let address = Ipv4Addr::from_bits(subnet.address.to_bits() + place % subnet.addresses());
                (address, link_name(&name(&agent), subnet, address))
            };
            let ((one, first), (other, second)) = (of(places.0), of(places.1));
            prop_assert!(first.len() <= LINK_NAME_BYTES_MAX);
            prop_assert_eq!(one == other, first == second);
        }
    }
}
