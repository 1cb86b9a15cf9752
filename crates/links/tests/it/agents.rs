//! Two agents on one machine, and the removal of one.

use openmesh_blueprint::document::Protocol;
use openmesh_links::{Context, LinksError, Listings, others_ports, remove};

use crate::lab::{HOST, Lab, PATIENCE, PORT, SILENCE};
use crate::sample::{address, empty, endpoint, host_port, link, name, network, shop, target};

fn second() -> openmesh_links::Allocations {
    let mut second = empty("one-more", "10.90.0.0/24");
    for (last, application) in [(2, "web"), (3, "api")] {
        second.instances.insert(std::net::Ipv4Addr::new(10, 90, 0, last), endpoint(application));
    }
    second.links.insert(link("web", "api"));
    second
        .published
        .insert(host_port("0.0.0.0", 90, Protocol::Tcp), target(std::net::Ipv4Addr::new(10, 90, 0, 3), PORT));
    second
}

#[test]
fn two_agents_do_not_see_each_other_and_one_goes_alone() {
    let (one, two) = (network(&shop("one")), network(&second()));
    let Some(mut lab) = Lab::new() else { return };
    // The first agent comes, and the machine with it is remembered.
    lab.instances(&one);
    lab.converge(&one).unwrap();
    let before = lab.dump();
    lab.instances(&two);
    lab.converge(&two).unwrap();
    assert!(lab.converge(&one).unwrap().is_empty(), "neither finds a fault with the other's things");
    for from in one.instances().keys() {
        for to in two.instances().keys() {
            assert_eq!(lab.instances[from].ask((*to, PORT), SILENCE), None);
            assert_eq!(lab.instances[to].ask((*from, PORT), SILENCE), None);
        }
    }
    let (web, api) = (std::net::Ipv4Addr::new(10, 90, 0, 2), std::net::Ipv4Addr::new(10, 90, 0, 3));
    assert!(lab.instances[&web].ask((api, PORT), PATIENCE).is_some());
    // Each finds the ports of the other, and none of its own.
    let seen = |from: &'static str| {
        let listings = lab.listings.clone();
        let found = lab.host.run(move || others_ports(&name(from), &listings).unwrap());
        found.into_iter().map(|(port, by)| format!("{port} {by}")).collect::<Vec<_>>()
    };
    assert_eq!(seen("one"), ["0.0.0.0:90/tcp one-more"]);
    assert!(seen("one-more").is_empty());
    // A published port is one for everybody.
    let (label, _) = lab.instances[&address(2)].ask((HOST, 90), PATIENCE).unwrap();
    assert_eq!(label, api.to_string());
    let marks = lab.marks.clone();
    let removed = lab.host.run(move || {
        let context =
            Context { marks: &marks.path().join("another"), listings: &Listings::default(), effect: &|_| Ok(()) };
        remove(&name("one-more"), context).unwrap()
    });
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert_eq!(lab.dump(), before, "of the first nothing was touched");
    assert!(lab.instances[&address(2)].ask((address(4), PORT), PATIENCE).is_some());
}

#[test]
fn a_removal_leaves_the_machine_as_it_was() {
    let one = network(&shop("gone"));
    let Some(mut lab) = Lab::new() else { return };
    let before = lab.dump();
    lab.instances(&one);
    lab.converge(&one).unwrap();
    let marks = lab.marks.clone();
    lab.host.shell("ip link del up0 type veth");
    // Without the veth pair of the lab, which another one could need the forwarding for.
    let removed = lab.host.run(move || {
        remove(&name("gone"), Context { marks: marks.path(), listings: &Listings::default(), effect: &|_| Ok(()) })
            .unwrap()
    });
    assert_eq!(removed.len(), 7, "five links, a table, forwarding: {removed:?}");
    let after = lab.dump();
    let without: String = before.lines().filter(|line| !line.contains("up0")).map(|line| format!("{line}\n")).collect();
    assert_eq!(after, without);
}

#[test]
fn forwarding_that_others_need_stays_on() {
    let one = network(&shop("stays"));
    let Some(lab) = Lab::with(&one) else { return };
    let marks = lab.marks.clone();
    let removed = lab.host.run(move || {
        remove(&name("stays"), Context { marks: marks.path(), listings: &Listings::default(), effect: &|_| Ok(()) })
            .unwrap()
    });
    assert!(!removed.contains(&"forwarding".to_string()), "the veth pair to the outside is there: {removed:?}");
    assert_eq!(lab.host.shell("cat /proc/sys/net/ipv4/ip_forward").trim(), "1");
}

#[test]
fn what_carries_our_name_and_is_not_ours_is_left_alone() {
    let one = network(&shop("alias"));
    let Some(lab) = Lab::with(&one) else { return };
    let link = one.link_name(address(6));
    lab.host.shell(&format!("ip link set {link} alias 'openmesh somebody-else: web 10.89.0.6'"));
    let before = lab.dump();
    let refused = lab.converge(&one);
    assert!(matches!(refused, Err(LinksError::Foreign { .. })), "{refused:?}");
    assert_eq!(lab.dump(), before);
}

#[test]
fn an_address_that_another_link_reaches_is_refused_and_the_others_are_served() {
    let one = network(&shop("taken"));
    let Some(mut lab) = Lab::new() else { return };
    lab.host.shell("ip link add other0 type bridge; ip link set other0 up; ip route add 10.89.0.6/32 dev other0");
    lab.instances(&one);
    let refused = lab.converge(&one);
    assert!(matches!(refused, Err(LinksError::AddressTaken { .. })), "{refused:?}");
    assert!(lab.instances[&address(2)].ask((address(4), PORT), PATIENCE).is_some());
}
