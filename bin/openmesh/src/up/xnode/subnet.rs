//! Choice of the network of an agent that shares the machine with others: one that no route of the machine and no other agent has.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use openmesh_agent::{SUBNET, Subnet};

/// Ranges for private use (RFC 1918) that are searched, with their prefixes.
const POOLS: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(172, 16, 0, 0), 12), (Ipv4Addr::new(192, 168, 0, 0), 16)];
/// Prefix of the network: 4,093 addresses, more than one machine runs instances.
const PREFIX: u8 = 20;
/// Networks that other container tools take as soon as they are used (Docker's and Podman's defaults), beside that of a default agent.
const USUAL: [Subnet; 2] = [
    Subnet { address: Ipv4Addr::new(172, 17, 0, 0), prefix: 16 },
    Subnet { address: Ipv4Addr::new(10, 88, 0, 0), prefix: 16 },
];

/// First and last address of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(u32, u32);

impl Range {
    fn of(subnet: Subnet) -> Range {
        let first = subnet.address.to_bits();
        Range(first, first + (subnet.addresses() - 1))
    }

    fn meets(self, other: Range) -> bool {
        self.0 <= other.1 && other.0 <= self.1
    }
}

/// The first free network, beginning at a place of one's own so that two homes seldom want the same one.
pub fn choose(seed: u32, taken: &[Range]) -> Option<Subnet> {
    POOLS.iter().find_map(|(first, prefix)| {
        let blocks = 1_u32 << (PREFIX - prefix);
        let block = |number: u32| {
            let address = Ipv4Addr::from_bits(first.to_bits() + (number << (32 - u32::from(PREFIX))));
            Subnet { address, prefix: PREFIX }
        };
        let all = (0..blocks).map(|step| block((seed % blocks + step) % blocks));
        let mut free = all.filter(|subnet| !taken.iter().any(|range| range.meets(Range::of(*subnet))));
        free.next()
    })
}

/// Everything that is taken on this machine. A table of routes that cannot be read takes nothing.
pub fn taken(ids: &Path) -> Vec<Range> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let usual = USUAL.into_iter().chain([SUBNET]).map(Range::of);
    ranges(&routes).into_iter().chain(usual).chain(of_others(ids).into_iter().map(Range::of)).collect()
}

/// Ranges of a table of routes in the form of `/proc/net/route` (proc(5)), but for the default route.
fn ranges(table: &str) -> Vec<Range> {
    let range = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Hexadecimal as the processor reads the bytes, which are in the order of the network.
        let bits = |at: usize| {
            let number = u32::from_str_radix(fields.get(at)?, 16).ok()?;
            Some(u32::from_be_bytes(number.to_ne_bytes()))
        };
        let (first, mask) = (bits(1)?, bits(7)?);
        (mask != 0).then_some(Range(first & mask, first | !mask))
    };
    table.lines().skip(1).filter_map(range).collect()
}

/// File in an agent's folder that tells its network to others who choose one.
pub fn file(state: &Path) -> PathBuf {
    state.join("subnet")
}

/// Networks of the agents that other homes have started, by the list of the machine's agents.
fn of_others(ids: &Path) -> Vec<Subnet> {
    let holders: BTreeMap<String, PathBuf> =
        std::fs::read(ids).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    holders.values().filter_map(|state| std::fs::read_to_string(file(state)).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n\
        nonsense\n";

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn routes_are_read_and_the_default_one_takes_nothing() {
        assert_eq!(ranges(ROUTES), [Range::of(subnet("192.168.1.0/24")), Range::of(subnet("10.0.0.0/8"))]);
        let chosen = choose(0, &ranges(ROUTES)).unwrap();
        assert_eq!(chosen, subnet("172.16.0.0/20"), "all of 10.0.0.0/8 leads into a tunnel");
        assert!(ranges("").is_empty());
    }

    #[test]
    fn every_choice_is_free_and_private() {
        let mut taken = vec![Range::of(SUBNET)];
        for seed in (0..60).map(|n: u32| n.wrapping_mul(2_654_435_761)) {
            let chosen = choose(seed, &taken).unwrap();
            assert!(taken.iter().all(|range| !range.meets(Range::of(chosen))), "{chosen}");
            assert!(chosen.address.is_private(), "{chosen}");
            assert_eq!(subnet(&chosen.to_string()), chosen);
            taken.push(Range::of(chosen));
        }
        assert_eq!(choose(7, &[Range(0, u32::MAX)]), None);
        assert_eq!(choose(5, &[]), choose(5, &[]), "the same home wants the same one");
    }

    #[test]
    fn homes_of_other_agents_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("one/xnode");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(file(&state), "10.7.16.0/20\n").unwrap();
        let ids = folder.path().join("ids.json");
        let list = serde_json::json!({ "0": "/var/lib/openmesh/xnodes/default", "1": state });
        std::fs::write(&ids, list.to_string()).unwrap();
        assert_eq!(of_others(&ids), [subnet("10.7.16.0/20")]);
        assert!(taken(&ids).contains(&Range::of(subnet("10.7.16.0/20"))));
        assert!(of_others(&folder.path().join("none")).is_empty());
    }
}
