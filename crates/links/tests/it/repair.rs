//! Whatever somebody does to our things is found, named and repaired.

use openmesh_blueprint::document::Protocol;
use openmesh_links::{Network, foreign_drops};

use crate::lab::{HOST, Lab, PATIENCE, PORT};
use crate::sample::{address, host_port, network, shop, target};

fn sample(agent: &str) -> Network {
    let mut shop = shop(agent);
    shop.instances.get_mut(&address(2)).unwrap().rate_bits = Some(80_000_000);
    shop.published.insert(host_port("0.0.0.0", 80, Protocol::Tcp), target(address(2), PORT));
    network(&shop)
}

/// Does something to the host or to an instance, and expects one word in what is repaired.
fn check(lab: &Lab, network: &Network, inside: bool, script: &str, word: &str) {
    let before = lab.dump();
    if inside {
        lab.instances[&address(2)].shell(script);
    } else {
        lab.host.shell(script);
    }
    let faults = lab.converge(network).unwrap();
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|fault| fault.contains(word)), "{script}: {text:?}");
    assert_eq!(lab.dump(), before, "{script}");
    assert!(lab.converge(network).unwrap().is_empty(), "{script}");
    assert!(lab.outside.ask((HOST, 80), PATIENCE).is_some(), "{script}");
    assert!(lab.instances[&address(2)].ask((address(4), PORT), PATIENCE).is_some(), "{script}");
}

#[test]
fn links_addresses_routes_and_rates_are_made_again() {
    let network = sample("repair");
    let Some(lab) = Lab::with(&network) else { return };
    let link = network.link_name(address(2));
    let host = |script: &str, word: &str| check(&lab, &network, false, &script.replace("LINK", &link), word);
    host("ip link del LINK", "its veth pair is gone");
    host("ip link set LINK down", "it is down");
    host("ip address flush dev LINK", "its address 10.89.0.1 is gone");
    host("ip address add 10.1.2.3/24 dev LINK", "stray address 10.1.2.3/24");
    host("ip route del 10.89.0.2", "its route to 10.89.0.2/32 is gone");
    host("tc qdisc del dev LINK root", "its rate is no limit");
    host(
        "tc qdisc replace dev LINK root tbf rate 1mbit burst 16k limit 64k",
        "its rate is 1000000 bit/s instead of 80000000",
    );
    host("ip link set LINK address 02:00:00:00:00:09", "MAC");
    host("ip link set LINK alias ''", "alias");
    host("echo 0 > /proc/sys/net/ipv4/conf/LINK/route_localnet", "route_localnet is 0");
    host("echo 0 > /proc/sys/net/ipv4/conf/LINK/forwarding", "forwarding is 0");
    for key in ["accept_redirects", "accept_source_route", "send_redirects"] {
        host(&format!("echo 1 > /proc/sys/net/ipv4/conf/LINK/{key}"), &format!("{key} is 1"));
    }
    host("echo 0 > /proc/sys/net/ipv4/ip_forward", "does not forward");
    let inside = |script: &str, word: &str| check(&lab, &network, true, script, word);
    inside("ip link del eth0", "its veth pair is gone");
    inside("ip link set eth0 down", "it is down");
    inside("ip address flush dev eth0", "its address 10.89.0.2 is gone");
    inside("ip route del default", "its route to 0.0.0.0/0 via 10.89.0.1 is gone");
    inside("ip link set lo down", "loopback is down");
    inside("tc qdisc del dev eth0 root", "its rate is no limit");
    inside("echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start", "ip_unprivileged_port_start is 1024");
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        host("echo 0 > /proc/sys/net/ipv6/conf/LINK/disable_ipv6", "disable_ipv6 is 0");
        inside("echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6", "conf/eth0/disable_ipv6 is 0");
        inside("echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6", "conf/default/disable_ipv6 is 0");
    }
}

#[test]
fn a_renamed_link_is_made_anew_and_one_instance_holds_up_no_other() {
    let network = sample("others");
    let Some(lab) = Lab::with(&network) else { return };
    let link = network.link_name(address(2));
    lab.host.shell(&format!("ip link set {link} down; ip link set {link} name stolen"));
    lab.converge(&network).unwrap();
    assert!(lab.outside.ask((HOST, 80), PATIENCE).is_some());
    assert!(!lab.dump().contains("stolen"), "the other end of the old pair has gone with it");
    // A link inside that is not ours has the name of ours, for ever.
    lab.instances[&address(3)].shell("ip link del eth0; ip link add eth0 type bridge");
    lab.host.shell(&format!("ip link del {link}"));
    let refused = lab.converge(&network).unwrap_err();
    assert!(refused.to_string().contains("make the link"), "{refused}");
    assert!(lab.outside.ask((HOST, 80), PATIENCE).is_some(), "the others are served");
    lab.instances[&address(3)].shell("ip link del eth0");
    lab.converge(&network).unwrap();
    assert!(lab.host.ask((address(3), PORT), PATIENCE).is_some());
}

#[test]
fn tables_rules_and_elements_are_made_again() {
    let network = sample("rules");
    let Some(lab) = Lab::with(&network) else { return };
    let table = network.table();
    let host = |script: &str, word: &str| {
        check(&lab, &network, false, &script.replace("TABLE", &format!("inet {table}")), word)
    };
    host("nft flush ruleset", "the nft table is gone");
    host("nft delete table TABLE", "the nft table is gone");
    host("nft flush table TABLE", "was altered: the chain bound has no rule");
    host("nft flush chain TABLE source", "was altered: the chain source has no rule");
    host("nft insert rule TABLE enter accept", "was altered: the chain enter has other rules");
    host("nft add chain TABLE more", "more is not one of ours");
    host("nft flush set TABLE links", "+ links 10.89.0.2 . 10.89.0.4");
    host("nft flush map TABLE published_anywhere", "+ published_anywhere tcp . 80 : 10.89.0.2 . 7000");
    host("nft add element TABLE links '{ 10.89.0.6 . 10.89.0.5 }'", "- links 10.89.0.6 . 10.89.0.5");
    host("nft 'add table TABLE { flags dormant; }'", "dormant");
}

#[test]
fn chains_of_others_that_drop_our_packets_are_named() {
    let network = sample("drops");
    let Some(lab) = Lab::with(&network) else { return };
    let drops = |network: Network| lab.host.run(move || foreign_drops(&network).unwrap());
    assert_eq!(drops(network.clone()), Vec::<String>::new());
    lab.host.shell(
        "nft add table ip wall; nft 'add chain ip wall FORWARD { type filter hook forward priority 0; policy drop; }'",
    );
    let found = drops(network.clone());
    assert!(found.len() == 1 && found[0].contains("the chain FORWARD of the table ip wall"), "{found:?}");
    // The older interface, where the kernel has it.
    let legacy = lab.host.run(|| {
        let mut command = std::process::Command::new("/usr/sbin/iptables-legacy");
        command.args(["-P", "INPUT", "DROP"]).output().is_ok_and(|output| output.status.success())
    });
    if legacy {
        let found = drops(network.clone());
        assert!(found.iter().any(|text| text.contains("the chain INPUT of iptables-legacy")), "{found:?}");
    } else {
        println!("skipped: iptables-legacy or its kernel modules are missing (Debian package iptables)");
    }
}
