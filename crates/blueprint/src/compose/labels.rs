//! Labels: nothing reads them here, but what a proxy would read there is done by the machine's door.

use std::collections::BTreeSet;

use super::context::{entries, one_or_more};
use super::finding::Findings;
use crate::document::{Application, Audience, Domain, Name, Port, Protocol, Route};
use crate::text::{Entry, Place};

/// Labels of other proxies, which are not understood.
const PROXIES: [&str; 3] = ["caddy", "caddy_", "com.github.nginx-proxy."];

/// A label with its place.
struct Label<'a> {
    key: &'a str,
    value: &'a str,
    place: Place,
}

/// Takes `labels`; to be done after ports.
pub(super) fn labels(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let in_list = one_or_more(Some(&entry.value)).iter().filter_map(|item| {
        let text = item.as_text()?;
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        Some(Label { key, value, place: item.place })
    });
    let in_map = entries(Some(&entry.value)).map(|(key, value)| Label {
        key,
        value: value.as_text().unwrap_or_default(),
        place: value.place,
    });
    let all: Vec<Label<'_>> = in_list.chain(in_map).collect();
    let is_off = all.iter().any(|label| label.key == "traefik.enable" && label.value == "false");
    let traefik: Vec<&Label<'_>> = all.iter().filter(|label| label.key.starts_with("traefik.") && !is_off).collect();
    if traefik.is_empty() {
        match all.iter().find(|label| PROXIES.iter().any(|proxy| label.key.starts_with(proxy))) {
            Some(label) => {
                let why = format!("`{}` is for a proxy; write `domains`, which the door serves", label.key);
                findings.unsupported_at("labels", label.place, why);
            }
            None => findings.ignored(entry, "nothing reads them"),
        }
        return;
    }
    let number = traefik.iter().find(|label| label.key.ends_with(".loadbalancer.server.port"));
    let number = number.and_then(|label| label.value.parse().ok());
    for label in &traefik {
        match label.key.split('.').collect::<Vec<_>>().as_slice() {
            ["traefik", "enable"] => {}
            ["traefik", "http", "services", _, "loadbalancer", "server", "port"] => {}
            ["traefik", "http", "routers", _, "rule"] => rule(label, number, application, findings),
            ["traefik", "http", "routers", _, "tls" | "entrypoints" | "service" | "priority", ..]
            | ["traefik", "docker", ..] => {
                findings.ignored_at("labels", label.place, format!("`{}`: the door has its own", label.key));
            }
            _ => {
                findings.unsupported_at("labels", label.place, format!("`{}` is for Traefik, and not done", label.key))
            }
        }
    }
}

/// A rule of a router as domains.
fn rule(label: &Label<'_>, number: Option<u16>, application: &mut Application, findings: &mut Findings<'_>) {
    let Some(domains) = hosts(label.value) else {
        let why = format!("`{}` asks for more than hosts; write `domains`, which the door serves", label.value);
        return findings.unsupported_at("labels", label.place, why);
    };
    let Some(port) = port(number, application) else {
        let why = "names no port of several; say it by `loadbalancer.server.port`";
        return findings.unsupported_at("labels", label.place, why);
    };
    for domain in domains {
        let why = format!("the machine's door leads {domain} to {port}, in place of Traefik");
        findings.changed_at("labels", label.place, why);
        let route = Route { port: port.clone(), audience: Audience::Everybody, wallets: BTreeSet::new() };
        drop(application.domains.insert(domain, route));
    }
}

/// Hosts of a rule that asks for nothing else: ``Host(`a.org`) || Host(`b.org`, `c.org`)``.
fn hosts(rule: &str) -> Option<Vec<Domain>> {
    let mut domains = Vec::new();
    for part in rule.split("||") {
        let inside = part.trim().strip_prefix("Host(")?.strip_suffix(')')?;
        for host in inside.split(',') {
            let host = host.trim().trim_matches(['`', '"']).to_ascii_lowercase();
            domains.push(host.parse().ok()?);
        }
    }
    Some(domains)
}

/// The port of a number, made where it is not there; without a number the only one there is.
fn port(number: Option<u16>, application: &mut Application) -> Option<Name> {
    let is_tcp = |port: &Port| port.protocol.transport() == Protocol::Tcp;
    let Some(number) = number else {
        let mut all = application.ports.iter().filter(|(_, port)| is_tcp(port));
        return all.next().map(|(name, _)| name.clone()).filter(|_| all.next().is_none());
    };
    if let Some((name, _)) = application.ports.iter().find(|(_, port)| port.port == number && is_tcp(port)) {
        return Some(name.clone());
    }
    let name: Name = format!("tcp-{number}").parse().ok()?;
    application.ports.insert(name.clone(), Port { port: number, protocol: Protocol::Http, publish: None });
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_rules() {
        let shown =
            |rule: &str| hosts(rule).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(shown("Host(`A.example.org`)").unwrap(), "a.example.org");
        assert_eq!(shown("Host(`a.org`) || Host(`b.org`, `c.org`)").unwrap(), "a.org b.org c.org");
        for rule in ["", "Host(`a.org`) && PathPrefix(`/x`)", "PathPrefix(`/`)", "HostRegexp(`.*`)", "Host(`a b`)"] {
            assert_eq!(shown(rule), None, "{rule}");
        }
    }
}
