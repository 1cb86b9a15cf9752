//! Ports of HTTP, which the door carries: of TCP towards the host, and held instead of cut in a switch.

use openmesh_blueprint::document::{Document, Protocol};
use openmesh_blueprint::generation::Resource;
use openmesh_blueprint::plan;
use openmesh_blueprint::step::Step;
use openmesh_blueprint::{Generation, Inventory};

use crate::world::{empty_machine, generation, name, reach};

/// A single writer with a published port.
fn single(image: &str, protocol: &str) -> String {
    format!(
        "version: 1\napplications:\n  web:\n    image: {image}\n    volumes: {{data: {{path: /data, size: 16MiB}}}}\n    \
         ports: {{http: {{port: 8080, protocol: {protocol}, publish: {{}}}}}}\n    domains: {{shop.example.org: {{port: http}}}}\n"
    )
}

fn installed(text: &str) -> (Inventory, Generation) {
    let first = generation(text, None, 0).unwrap();
    let mut machine = empty_machine();
    reach(&mut machine, &first, None, &[]);
    (machine, first)
}

#[test]
fn a_switch_of_http_destroys_no_connection() {
    for (before, protocol, cuts) in [("http", "http", false), ("tcp", "tcp", true), ("tcp", "http", true)] {
        let (mut machine, first) = installed(&single("web:1", before));
        let second = generation(&single("web:2", protocol), Some(&first), 60).unwrap();
        let planned = plan(&machine, &second, Some(&first)).unwrap();
        let holds = planned.steps.iter().find_map(|planned| match &planned.step {
            Step::Hold { cuts, .. } => Some(*cuts),
            _ => None,
        });
        assert_eq!(holds, Some(cuts), "{before} {protocol}");
        let drained = planned.steps.iter().any(|planned| matches!(planned.step, Step::Drain { .. }));
        assert!(drained, "{planned}");
        let lost = "open connections of raw TCP, once".to_string();
        assert_eq!(planned.destroys().contains(&lost), cuts, "{planned}");
        reach(&mut machine, &second, Some(&first), &[]);
    }
}

#[test]
fn a_port_of_http_is_one_of_tcp_towards_the_host() {
    let (_, first) = installed(&single("web:1", "http"));
    let at = first.placement.applications[&name("web")].ports[&name("http")];
    assert_eq!(at.protocol, Protocol::Tcp);
    // The same port stays when the document says `tcp` from now on, and goes to nobody else in between.
    let second = generation(&single("web:1", "tcp"), Some(&first), 60).unwrap();
    assert_eq!(second.placement.applications[&name("web")].ports[&name("http")], at);
    assert!(!second.placement.freed.contains_key(&Resource::Port(at.port, Protocol::Tcp)));
    let port =
        |number: u16, protocol: &str| format!("{{port: {number}, protocol: {protocol}, publish: {{port: 8080}}}}");
    let clash = format!(
        "version: 1\napplications:\n  a: {{image: a, ports: {{one: {}}}}}\n  b: {{image: b, ports: {{one: {}}}}}\n",
        port(80, "http"),
        port(80, "tcp")
    );
    let problems = Document::parse(&clash).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|text| text.contains("claims port 8080/tcp of the host")), "{said:#?}");
    let same =
        "version: 1\napplications:\n  a: {image: a, ports: {one: {port: 80, protocol: http}, two: {port: 80}}}\n";
    let said: Vec<String> = Document::parse(same).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|text| text.contains("is 80/tcp, and so is one")), "{said:#?}");
}

#[test]
fn nobody_waits_longer_than_half_a_minute() {
    let with = |hold: &str| single("web:1", "http") + &format!("    switch: {{hold: {hold}}}\n");
    assert!(Document::parse(&with("30s")).is_ok());
    let said: Vec<String> = Document::parse(&with("31s")).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|text| text.contains("switch.hold: is longer than 30s")), "{said:#?}");
}

#[test]
fn a_domain_leads_to_http_or_tcp_and_never_to_udp() {
    for (protocol, good) in [("http", true), ("tcp", true), ("udp", false)] {
        let read = Document::parse(&single("web:1", protocol));
        assert_eq!(read.is_ok(), good, "{protocol}");
    }
}
