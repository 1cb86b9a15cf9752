//! Reachability between instances, host and outside, by real connections.

use std::net::{Ipv4Addr, SocketAddr};

use openmesh_blueprint::document::Protocol;

use crate::lab::{HOST, Lab, OUTSIDE, PATIENCE, PORT, SILENCE, echoes};
use crate::sample::{address, network, shop};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);

#[test]
fn instances_reach_their_links_and_the_outside_and_nobody_else() {
    let wanted = network(&shop("reach"));
    let Some(lab) = Lab::with(&wanted) else { return };
    let pairs = wanted.pairs();
    for (from, space) in &lab.instances {
        for to in lab.instances.keys().filter(|to| *to != from) {
            let linked = pairs.contains(&(*from, *to));
            let patience = if linked { PATIENCE } else { SILENCE };
            let expected = linked.then(|| (to.to_string(), from.to_string()));
            assert_eq!(space.ask((*to, PORT), patience), expected, "TCP {from} -> {to}");
            assert_eq!(space.ask_udp((*to, PORT), patience), expected, "UDP {from} -> {to}");
        }
        let outside = Some(("outside".to_string(), HOST.to_string()));
        assert_eq!(space.ask((OUTSIDE, PORT), PATIENCE), outside);
        assert_eq!(space.ask_udp((OUTSIDE, PORT), PATIENCE), outside);
        assert_eq!(lab.outside.ask((*from, PORT), SILENCE), None, "the outside has a route, and no way");
        assert_eq!(lab.outside.ask_udp((*from, PORT), SILENCE), None);
        let expected = Some((from.to_string(), GATEWAY.to_string()));
        assert_eq!(lab.host.ask((*from, PORT), PATIENCE), expected, "the host reaches all");
        assert_eq!(lab.host.ask_udp((*from, PORT), PATIENCE), expected);
    }
}

#[test]
fn a_refusal_is_said_at_once() {
    let wanted = network(&shop("refusal"));
    let Some(lab) = Lab::with(&wanted) else { return };
    let error = lab.instances[&address(6)]
        .run(|| std::net::TcpStream::connect_timeout(&SocketAddr::from((address(5), PORT)), PATIENCE).unwrap_err());
    assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{error}");
}

#[test]
fn of_the_host_only_its_ports_for_instances_answer() {
    let mut shop = shop("hostports");
    shop.host_ports.insert((Protocol::Tcp, 9001));
    shop.resolvers.insert(HOST);
    let wanted = network(&shop);
    let Some(lab) = Lab::with(&wanted) else { return };
    for port in [9000, 9001] {
        lab.host.serve_on(SocketAddr::from(([0, 0, 0, 0], port)), "host");
    }
    lab.host.serve_on(SocketAddr::from((HOST, 53)), "host");
    let web = &lab.instances[&address(2)];
    let expected = Some(("host".to_string(), address(2).to_string()));
    for at in [GATEWAY, HOST] {
        assert_eq!(web.ask((at, 9001), PATIENCE), expected);
        assert_eq!(web.ask((at, 9000), SILENCE), None);
        assert_eq!(web.ask_udp((at, 9001), SILENCE), None, "the port is one of TCP");
    }
    assert_eq!(web.ask_udp((HOST, 53), PATIENCE), expected, "a resolver on the host");
    assert_eq!(web.ask_udp((GATEWAY, 53), SILENCE), None);
}

#[test]
fn a_link_that_is_taken_away_ends_its_connections() {
    let Some(lab) = Lab::with(&network(&shop("unlink"))) else { return };
    let mut stream = lab.instances[&address(2)].connect((address(4), PORT));
    assert!(echoes(&mut stream, PATIENCE));
    let mut without = shop("unlink");
    without.links.remove(&crate::sample::link("web", "api"));
    lab.converge(&network(&without)).unwrap();
    assert!(!echoes(&mut stream, SILENCE));
    assert_eq!(lab.instances[&address(2)].ask((address(4), PORT), SILENCE), None);
}

#[test]
fn an_instance_with_every_right_in_its_namespace_speaks_for_itself_alone() {
    let wanted = network(&shop("forge"));
    let Some(lab) = Lab::with(&wanted) else { return };
    let other = &lab.instances[&address(6)];
    // It takes the address of `api`, which reaches `db`.
    other.shell("ip address add 10.89.0.4/32 dev eth0; ip route add 10.89.0.5 via 10.89.0.1 dev eth0 src 10.89.0.4");
    assert_eq!(other.ask((address(5), PORT), SILENCE), None);
    assert_eq!(other.ask_udp((address(5), PORT), SILENCE), None);
    // The real one is not disturbed.
    let api = &lab.instances[&address(4)];
    assert!(api.ask((address(5), PORT), PATIENCE).is_some());
    assert!(
        lab.instances[&address(2)].ask((address(4), PORT), PATIENCE).is_some_and(|(label, _)| label == "10.89.0.4")
    );
    // It sends to the loopback of the host, through its link.
    lab.host.serve_on(SocketAddr::from(([127, 0, 0, 1], 9000)), "loopback");
    assert!(lab.host.ask((Ipv4Addr::LOCALHOST, 9000), PATIENCE).is_some());
    other.shell(
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip address flush dev lo; ip route add 127.0.0.1 via 10.89.0.1 dev eth0 src 10.89.0.6",
    );
    assert_eq!(other.ask((Ipv4Addr::LOCALHOST, 9000), SILENCE), None);
}

#[test]
fn there_is_no_ipv6_around_the_rules() {
    let wanted = network(&shop("six"));
    let Some(lab) = Lab::with(&wanted) else { return };
    if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
        println!("skipped: this kernel has no IPv6");
        return;
    }
    for space in lab.instances.values() {
        assert_eq!(space.shell("ip -6 -o address show dev eth0"), "");
    }
    let link = wanted.link_name(address(2));
    assert_eq!(lab.host.shell(&format!("ip -6 -o address show dev {link}")), "");
    // An instance switches it on again, and takes an address and a way for itself.
    let web = &lab.instances[&address(2)];
    web.shell(
        "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip -6 address add fd00::2/64 dev eth0 nodad; \
         ip -6 route add default via fe80::1 dev eth0; ip -6 neigh add fe80::1 lladdr 02:4f:0a:59:00:01 dev eth0",
    );
    lab.host.shell("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 address add fd00:1::1/64 dev up0 nodad");
    lab.host.serve_on("[fd00:1::1]:9000".parse().unwrap(), "six");
    assert_eq!(web.ask("[fd00:1::1]:9000".parse::<SocketAddr>().unwrap(), SILENCE), None);
    // Also where somebody switches it on for the host's end: the rules drop it.
    lab.host.shell(&format!(
        "echo 0 > /proc/sys/net/ipv6/conf/{link}/disable_ipv6; ip -6 address add fe80::1/64 dev {link} nodad; \
         ip -6 route add fd00::2/128 dev {link}"
    ));
    assert_eq!(web.ask("[fd00:1::1]:9000".parse::<SocketAddr>().unwrap(), SILENCE), None);
    // It is the rules: without them there is a way.
    lab.host.shell(&format!("nft delete table inet {}", wanted.table()));
    assert!(web.ask("[fd00:1::1]:9000".parse::<SocketAddr>().unwrap(), PATIENCE).is_some());
    assert!(!lab.converge(&wanted).unwrap().is_empty());
    assert_eq!(lab.host.shell(&format!("ip -6 -o address show dev {link}")), "");
}

#[test]
fn the_metadata_of_a_cloud_is_out_of_reach() {
    let wanted = network(&shop("metadata"));
    let Some(lab) = Lab::with(&wanted) else { return };
    lab.outside.shell("ip address add 169.254.169.254/32 dev lo");
    lab.host.shell("ip route add 169.254.169.254 via 192.0.2.1");
    let at = (Ipv4Addr::new(169, 254, 169, 254), PORT);
    assert!(lab.host.ask(at, PATIENCE).is_some());
    assert_eq!(lab.instances[&address(2)].ask(at, SILENCE), None);
}

#[test]
fn low_ports_need_no_right() {
    let wanted = network(&shop("low"));
    let Some(lab) = Lab::with(&wanted) else { return };
    let start = lab.instances[&address(2)].shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
    assert_eq!(start.trim(), "0");
}

#[test]
fn a_reused_address_is_reached_at_once() {
    let wanted = network(&shop("reuse"));
    let Some(mut lab) = Lab::with(&wanted) else { return };
    for _ in 0..3 {
        // All of them have just spoken with the old one.
        assert!(lab.host.ask((address(5), PORT), PATIENCE).is_some());
        assert!(lab.instances[&address(4)].ask((address(5), PORT), PATIENCE).is_some());
        lab.instances.remove(&address(5));
        lab.instances(&wanted);
        lab.converge(&wanted).unwrap();
        assert!(lab.instances[&address(4)].ask((address(5), PORT), PATIENCE).is_some());
        assert!(lab.host.ask((address(5), PORT), PATIENCE).is_some());
        // A neighbour can only be stale where its MAC address changes: on both sides it is the same as before.
        let neighbours = (
            lab.host.shell("ip -o neigh show 10.89.0.5 | cut -d' ' -f4,5"),
            lab.instances[&address(4)].shell("ip -o neigh show 10.89.0.1 | cut -d' ' -f4,5"),
        );
        assert_eq!(neighbours, ("lladdr 02:4f:0a:59:00:05\n".to_string(), "lladdr 02:4f:0a:59:00:01\n".to_string()));
    }
}

/// A process in a user and a network namespace of its own, as an instance is; it ends with this value.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_instance_is_given_by_its_process_also_in_a_user_namespace() {
    let mut one = crate::sample::empty("process", "10.89.0.0/16");
    let mut endpoint = crate::sample::endpoint("web");
    endpoint.rate_bits = Some(8_000_000);
    one.instances.insert(address(2), endpoint);
    let wanted = network(&one);
    let Some(lab) = Lab::new() else { return };
    let script = ["--user", "--map-root-user", "--net", "sh", "-c", "echo; exec sleep 1000"];
    let mut command = std::process::Command::new("unshare");
    let mut process = Process(command.args(script).stdout(std::process::Stdio::piped()).spawn().unwrap());
    if std::io::Read::read_exact(process.0.stdout.as_mut().unwrap(), &mut [0]).is_err() {
        println!("skipped: user namespaces are switched off");
        return;
    }
    let pid = process.0.id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    let marks = lab.marks.clone();
    let converge = move || {
        let namespaces = [(address(2), openmesh_links::Namespace::of_process(pid, start).unwrap())].into();
        let context = openmesh_links::Context {
            marks: marks.path(),
            listings: &openmesh_links::Listings::default(),
            effect: &|_| Ok(()),
        };
        openmesh_links::converge(&wanted, &namespaces, context).unwrap()
    };
    assert!(lab.host.run(converge.clone()).len() >= 3);
    assert!(lab.host.run(converge).is_empty());
    let inside = openmesh_links::Namespace::of_process(pid, start).unwrap();
    let ports = inside.enter(|| Ok(std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap()));
    assert_eq!(ports.unwrap().trim(), "0");
    let another = openmesh_links::Namespace::of_process(pid, start + 1);
    assert!(matches!(another, Err(openmesh_links::LinksError::Namespace { .. })), "a number that was used again");
    drop(process);
    let gone = openmesh_links::Namespace::of_process(pid, start);
    assert!(matches!(gone, Err(openmesh_links::LinksError::Namespace { .. })), "{gone:?}");
}

#[test]
fn one_instance_does_not_use_up_the_connections_of_the_machine() {
    let network = network(&shop("bound"));
    let Some(lab) = Lab::with(&network) else { return };
    let most = u16::try_from(openmesh_links::CONNECTIONS_MAX).unwrap();
    // It is also what makes the neighbours known: before that packets are lost.
    assert!(lab.instances[&address(2)].ask((OUTSIDE, PORT), PATIENCE).is_some());
    let begun = lab.instances[&address(2)].run(move || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        // Each port of the outside is a connection of its own; refusals come back and are no matter.
        (10_000..10_000 + most + 2_000).filter(|port| socket.send_to(b"?", (OUTSIDE, *port)).is_ok()).count()
    });
    println!("{begun} connections begun");
    assert_eq!(lab.instances[&address(2)].ask((OUTSIDE, PORT), SILENCE), None, "it has all that it gets");
    assert!(lab.instances[&address(3)].ask((OUTSIDE, PORT), PATIENCE).is_some(), "its neighbours have theirs");
    assert!(lab.converge(&network).unwrap().is_empty(), "what the kernel counts is no fault");
}
