//! nft is asked again where somebody has changed rules, and only there.

use std::collections::BTreeMap;

use openmesh_links::{Network, TableState, observe, observe_table, others_ports};

use crate::lab::Lab;
use crate::sample::{address, name, network, shop};

/// Table of another agent, with one port.
const OTHER: &str = "nft add table inet openmesh-other; \
    nft add map inet openmesh-other published_anywhere '{ type inet_proto . inet_service : ipv4_addr . inet_service; }'; \
    nft add element inet openmesh-other published_anywhere '{ tcp . 90 : 10.90.0.2 . 80 }'";

/// Lists that were made so far.
fn made(lab: &Lab) -> u64 {
    lab.listings.made()
}

/// Ports of others, as they are kept or found.
fn others(lab: &Lab) -> Vec<String> {
    let listings = lab.listings.clone();
    let found = lab.host.run(move || others_ports(&name("listings"), &listings).unwrap());
    found.into_iter().map(|(port, by)| format!("{port} {by}")).collect()
}

/// State of the table, as it is kept or found.
fn table(lab: &Lab, network: &Network) -> TableState {
    let (network, listings) = (network.clone(), lab.listings.clone());
    lab.host.run(move || observe_table(&network, &listings).unwrap())
}

/// Looks until nothing is listed any more; returns the lists that this took.
fn settle(lab: &Lab, network: &Network) -> u64 {
    let first = made(lab);
    for _ in 0..8 {
        let before = made(lab);
        assert!(lab.converge(network).unwrap().is_empty());
        others(lab);
        if made(lab) == before {
            return before - first;
        }
    }
    panic!("each look lists");
}

#[test]
fn rules_that_nobody_changes_are_not_listed_again() {
    let network = network(&shop("listings"));
    let Some(lab) = Lab::with(&network) else { return };
    assert!(settle(&lab, &network) <= 4, "two lists of each kind");
    let before = made(&lab);
    for _ in 0..10 {
        assert!(lab.converge(&network).unwrap().is_empty());
        others(&lab);
    }
    // Links are not nft's: they are found by the kernel's own lists.
    lab.host.shell(&format!("ip link del {}", network.link_name(address(2))));
    assert!(!lab.converge(&network).unwrap().is_empty());
    assert_eq!(made(&lab), before, "no program was started");
}

#[test]
fn whatever_somebody_does_to_rules_is_seen_by_the_next_look() {
    let network = network(&shop("listings"));
    let Some(lab) = Lab::with(&network) else { return };
    let own = network.table();
    settle(&lab, &network);
    assert_eq!(others(&lab), Vec::<String>::new());
    lab.host.shell(OTHER);
    assert_eq!(others(&lab), ["0.0.0.0:90/tcp other"]);
    settle(&lab, &network);
    lab.host.shell("nft add element inet openmesh-other published_anywhere '{ udp . 91 : 10.90.0.2 . 81 }'");
    assert_eq!(others(&lab), ["0.0.0.0:90/tcp other", "0.0.0.0:91/udp other"]);
    settle(&lab, &network);
    lab.host.shell("nft delete table inet openmesh-other");
    assert_eq!(others(&lab), Vec::<String>::new());
    let whole = table(&lab, &network);
    assert!(matches!(whole, TableState::Whole(_)), "{whole:?}");
    let (link, first) = (network.link_name(address(2)), address(2));
    let changes = [
        format!("nft delete element inet {own} instances '{{ \"{link}\" . {first} }}'"),
        format!("nft insert rule inet {own} enter accept"),
        format!("nft delete table inet {own}"),
    ];
    for change in changes {
        settle(&lab, &network);
        lab.host.shell(&change);
        assert_ne!(table(&lab, &network), whole, "{change}");
        assert!(!lab.converge(&network).unwrap().is_empty(), "{change}");
        assert_eq!(table(&lab, &network), whole, "{change}");
    }
}

/// A list is of one namespace, and never taken for that of another.
#[test]
fn a_list_of_another_namespace_is_another() {
    let network = network(&shop("listings"));
    let Some(lab) = Lab::with(&network) else { return };
    settle(&lab, &network);
    for _ in 0..3 {
        let (wanted, listings) = (network.clone(), lab.listings.clone());
        let outside = lab.outside.run(move || observe_table(&wanted, &listings).unwrap());
        assert_eq!(outside, TableState::Gone);
        assert!(matches!(table(&lab, &network), TableState::Whole(_)));
    }
    // Nor is one that was not looked at before.
    let (wanted, listings) = (network.clone(), lab.listings.clone());
    let found = lab.host.run(move || observe(&wanted, &BTreeMap::new(), &listings).unwrap());
    assert!(matches!(found.table, TableState::Whole(_)));
}
