//! Ports of a service: `ports` and `expose`.

use std::net::IpAddr;

use super::finding::Findings;
use super::naming::name_of;
use super::values::{ServicePort, ports, protocol};
use crate::document::{Application, Name, Port, Protocol, Publish};
use crate::text::{Entry, Node, Value};

/// Most ports of one service, ranges counted port by port: five of the longest ranges; each is compared with the others.
const PORTS_MAX: usize = 512;

/// Takes `ports`.
pub(super) fn published(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let Value::List(items) = &entry.value.value else {
        return findings.unsupported(entry, "is not a list");
    };
    let mut left = PORTS_MAX;
    for item in items {
        let found = match item.as_text() {
            Some(text) => ports(text),
            None => long(item, findings),
        };
        match found {
            Some(ports) if !is_room(&mut left, ports.len()) => return too_many(entry, findings),
            Some(ports) => ports.into_iter().for_each(|port| take(port, item, application, findings)),
            None => findings.unsupported_at("ports", item.place, "is not a port as 8080:80"),
        }
    }
}

/// Takes `expose`: ports that the service has and that are not published.
pub(super) fn exposed(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let Value::List(items) = &entry.value.value else {
        return findings.unsupported(entry, "is not a list");
    };
    let mut left = PORTS_MAX;
    for item in items {
        match item.as_text().and_then(ports) {
            Some(ports) if !is_room(&mut left, ports.len()) => return too_many(entry, findings),
            Some(ports) => {
                for port in ports {
                    take(ServicePort { published: None, ..port }, item, application, findings);
                }
            }
            None => findings.unsupported_at("expose", item.place, "is not a port"),
        }
    }
}

fn is_room(left: &mut usize, ports: usize) -> bool {
    let rest = left.checked_sub(ports);
    *left = rest.unwrap_or_default();
    rest.is_some()
}

fn too_many(entry: &Entry, findings: &mut Findings<'_>) {
    findings.unsupported(entry, format!("names more than {PORTS_MAX} ports; those behind are left out"));
}

fn take(port: ServicePort, item: &Node, application: &mut Application, findings: &mut Findings<'_>) {
    let Some(name) = named(&port, application) else { return };
    let mut publish = port.published.map(|(address, port)| Publish { port, address });
    if publish.as_ref().is_some_and(|publish| matches!(publish.address.0, IpAddr::V6(_))) {
        let why =
            format!("port {}: instances have IPv4 alone, so nothing is published at an IPv6 address", port.target);
        findings.unsupported_at("ports", item.place, why);
        publish = None;
    }
    let known =
        application.ports.entry(name).or_insert(Port { port: port.target, protocol: port.protocol, publish: None });
    match (&known.publish, publish) {
        (Some(before), Some(after)) if *before != after => {
            let why = format!("port {} is published a second time, which one port is not", port.target);
            findings.unsupported_at("ports", item.place, why);
        }
        (None, publish) => known.publish = publish,
        _ => {}
    }
}

/// Name of a port: that of the one with the same number, else its own, else protocol and number.
fn named(port: &ServicePort, application: &Application) -> Option<Name> {
    let transport = port.protocol.transport();
    let same = |known: &Port| known.port == port.target && known.protocol.transport() == transport;
    let known = application.ports.iter().find(|(_, known)| same(known)).map(|(name, _)| name.clone());
    let own = port.name.as_deref().and_then(name_of).filter(|name| !application.ports.contains_key(name));
    known.or(own).or_else(|| name_of(&format!("{transport}-{}", port.target)))
}

/// A port of the long form.
fn long(item: &Node, findings: &mut Findings<'_>) -> Option<Vec<ServicePort>> {
    let text = |key: &str| item.get(key).and_then(Node::as_text);
    if let Value::Map(entries) = &item.value {
        let known = ["target", "published", "host_ip", "protocol", "app_protocol", "mode", "name"];
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let why = if entry.key.starts_with("x-") { continue } else { "is not known here" };
            findings.unsupported_at("ports", entry.place, format!("{} {why}", entry.key));
        }
    }
    let target = text("target")?.parse::<u16>().ok().filter(|port| *port > 0)?;
    let protocol = match (protocol(text("protocol").unwrap_or("tcp"))?, text("app_protocol")) {
        (Protocol::Tcp, Some("http")) => Protocol::Http,
        (protocol, _) => protocol,
    };
    let address = text("host_ip").unwrap_or("0.0.0.0").parse().ok()?;
    let port = match text("published") {
        Some(text) if text.contains('-') => {
            findings.changed_at("ports", item.place, format!("any free port is taken in place of one of {text}"));
            None
        }
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    let name = text("name").map(str::to_string);
    Some(vec![ServicePort { target, protocol, published: Some((address, port)), name }])
}
