//! Published ports: from everywhere, taken back, and changed under traffic.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openmesh_blueprint::document::Protocol;
use openmesh_links::Allocations;

use crate::lab::{HOST, Lab, OUTSIDE, PATIENCE, PORT, SILENCE, ask_by, echoes};
use crate::sample::{address, host_port, network, shop, target};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn publish(allocations: &mut Allocations, at: &str, port: u16, to: u8) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        allocations.published.insert(host_port(at, port, protocol), target(address(to), PORT));
    }
}

#[test]
fn published_ports_are_reached_from_where_they_are_published_for() {
    let mut shop = shop("publish");
    publish(&mut shop, "0.0.0.0", 80, 2);
    publish(&mut shop, "127.0.0.1", 81, 2);
    publish(&mut shop, "192.0.2.2", 82, 2);
    let Some(lab) = Lab::with(&network(&shop)) else { return };
    let web = |from: Ipv4Addr| Some((address(2).to_string(), from.to_string()));
    let gateway = Ipv4Addr::new(10, 89, 0, 1);
    let both = |space: &crate::lab::Space, at: (Ipv4Addr, u16), expected: Option<(String, String)>| {
        let patience = if expected.is_some() { PATIENCE } else { SILENCE };
        assert_eq!(space.ask(at, patience), expected, "TCP {at:?}");
        assert_eq!(space.ask_udp(at, patience), expected, "UDP {at:?}");
    };
    // From outside, with the outside's own address.
    both(&lab.outside, (HOST, 80), web(OUTSIDE));
    both(&lab.outside, (HOST, 81), None);
    both(&lab.outside, (HOST, 82), web(OUTSIDE));
    // From the host.
    both(&lab.host, (LOOPBACK, 80), web(gateway));
    both(&lab.host, (LOOPBACK, 81), web(gateway));
    both(&lab.host, (LOOPBACK, 82), None);
    both(&lab.host, (HOST, 80), web(HOST));
    both(&lab.host, (HOST, 82), web(HOST));
    // From an instance without a link, with its own address; and from the instance itself.
    both(&lab.instances[&address(6)], (HOST, 80), web(address(6)));
    both(&lab.instances[&address(6)], (HOST, 81), None);
    both(&lab.instances[&address(6)], (address(2), PORT), None);
    both(&lab.instances[&address(2)], (HOST, 80), web(gateway));
}

#[test]
fn nobody_outside_reaches_a_port_that_is_published_on_loopback() {
    let mut shop = shop("loopback");
    publish(&mut shop, "127.0.0.1", 81, 2);
    let Some(lab) = Lab::with(&network(&shop)) else { return };
    assert!(lab.host.ask((LOOPBACK, 81), PATIENCE).is_some());
    // A neighbour sends a packet for 127.0.0.1 to the host.
    lab.outside.shell(
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; ip address flush dev lo; \
         ip route add 127.0.0.1 via 192.0.2.2 dev eth0 src 192.0.2.1",
    );
    assert_eq!(lab.outside.ask((LOOPBACK, 81), SILENCE), None);
    assert_eq!(lab.outside.ask_udp((LOOPBACK, 81), SILENCE), None);
}

#[test]
fn a_port_that_is_taken_back_takes_no_connection_and_keeps_its_open_ones() {
    let mut before = shop("retract");
    publish(&mut before, "0.0.0.0", 80, 2);
    let Some(lab) = Lab::with(&network(&before)) else { return };
    let mut stream = lab.outside.connect((HOST, 80));
    let faults = lab.converge(&network(&shop("retract"))).unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(lab.outside.ask((HOST, 80), SILENCE), None);
    assert_eq!(lab.outside.ask_udp((HOST, 80), SILENCE), None);
    assert!(echoes(&mut stream, PATIENCE), "it is drained, not cut");
}

#[test]
fn a_port_moves_under_traffic_without_a_refused_connection() {
    const MOVES: u8 = 20;
    let mut to = shop("moves");
    publish(&mut to, "0.0.0.0", 80, 2);
    let Some(lab) = Lab::with(&network(&to)) else { return };
    let done = Arc::new(AtomicBool::new(false));
    let moving = done.clone();
    let lab = Arc::new(lab);
    let mover = {
        let lab = lab.clone();
        std::thread::spawn(move || {
            for turn in 0..MOVES {
                publish(&mut to, "0.0.0.0", 80, 2 + (turn + 1) % 2);
                lab.converge(&network(&to)).unwrap();
            }
            moving.store(true, Ordering::SeqCst);
        })
    };
    let mut asked = [0, 0];
    while !done.load(Ordering::SeqCst) {
        let (label, _) = lab.outside.ask((HOST, 80), PATIENCE).expect("every connection is answered");
        asked[usize::from(label == address(3).to_string())] += 1;
    }
    mover.join().unwrap();
    assert!(asked.iter().all(|count| *count > 0), "both served: {asked:?}");
    println!("{MOVES} moves, {} connections, none refused", asked[0] + asked[1]);
}

#[test]
fn a_flow_of_udp_follows_its_port() {
    let mut to = shop("flow");
    publish(&mut to, "0.0.0.0", 80, 2);
    let Some(lab) = Lab::with(&network(&to)) else { return };
    let socket = lab.outside.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((HOST, 80)).unwrap();
        socket
    });
    assert_eq!(ask_by(&socket, PATIENCE).unwrap().0, address(2).to_string());
    publish(&mut to, "0.0.0.0", 80, 3);
    lab.converge(&network(&to)).unwrap();
    assert_eq!(ask_by(&socket, PATIENCE).unwrap().0, address(3).to_string(), "the same socket, without a pause");
    // A death after the port has moved and before its flows have.
    publish(&mut to, "0.0.0.0", 80, 2);
    let dies = |name: &str| if name == "flows.forget" { Err(std::io::Error::other("death")) } else { Ok(()) };
    assert!(lab.converge_through(&network(&to), dies).is_err());
    lab.converge(&network(&to)).unwrap();
    assert_eq!(ask_by(&socket, PATIENCE).unwrap().0, address(2).to_string(), "the next one finds it");
    assert!(
        std::fs::read_dir(lab.marks.path()).unwrap().flatten().all(|mark| mark.file_name() != "flows-may-be-stale")
    );
    let mut none = to.clone();
    none.published.clear();
    lab.converge(&network(&none)).unwrap();
    assert_eq!(ask_by(&socket, SILENCE), None);
}
