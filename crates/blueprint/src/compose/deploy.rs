//! `deploy`, `restart` and limits of a service.

use super::context::one_or_more;
use super::finding::Findings;
use super::values::bytes;
use crate::document::{Application, Restart, Root, Size, Wish};
use crate::text::{Entry, Node, Value};

/// Limits of an application without a word of the document, as words for a person.
const USUAL: [(&str, &str); 3] = [("memory", "512 MiB"), ("processors", "1"), ("processes", "512")];

/// Takes `deploy`; `restart` comes before its policy.
pub(super) fn deploy(entry: &Entry, service: &Node, application: &mut Application, findings: &mut Findings<'_>) {
    let Value::Map(entries) = &entry.value.value else {
        return findings.unsupported(entry, "is not a map");
    };
    for part in entries.iter().filter(|part| !part.value.is_null()) {
        match part.key.as_str() {
            "replicas" => replicas(part, application, findings),
            "resources" => resources(part, application, findings),
            "restart_policy" if service.get("restart").is_some() => {
                findings.ignored(part, "`restart` says it already");
            }
            "restart_policy" => policy(part, application, findings),
            "mode" if matches!(part.value.as_text(), Some("replicated" | "global")) => {
                findings.ignored(part, "there is one machine");
            }
            "labels" | "placement" | "update_config" | "rollback_config" | "endpoint_mode" => {
                findings.ignored(part, "switches follow the document's own rules");
            }
            key if key.starts_with("x-") => findings.ignored(part, "an extension of another program"),
            key => findings.unsupported(part, format!("{key} is not known here")),
        }
    }
}

/// Takes a number of instances; none is an application that does not run.
pub(super) fn replicas(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    match entry.value.as_text().and_then(|text| text.parse().ok()) {
        Some(0) => {
            application.wish = Wish::Stopped;
            findings.changed(entry, "no instance: the application is there and stopped, `wish: running` starts it");
        }
        Some(number) => application.instances = number,
        None => findings.unsupported(entry, "is not a number"),
    }
}

fn resources(part: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let Value::Map(entries) = &part.value.value else {
        return findings.unsupported(part, "is not a map");
    };
    for entry in entries {
        let inner = match &entry.value.value {
            Value::Map(inner) => inner.as_slice(),
            _ => &[],
        };
        for limit in inner {
            match (entry.key.as_str(), limit.key.as_str()) {
                ("limits", _) => self::limit(limit, application, findings),
                ("reservations", "cpus" | "memory") => {
                    findings.ignored(limit, "a limit is always set, and what is promised is kept free");
                }
                ("reservations", "devices") => devices(limit, findings),
                (outer, key) => findings.unsupported(limit, format!("{outer}.{key} is not given")),
            }
        }
    }
}

/// Devices that are reserved: graphics cards as a rule.
fn devices(entry: &Entry, findings: &mut Findings<'_>) {
    let listed = one_or_more(Some(&entry.value));
    for device in listed {
        let capabilities = device.get("capabilities");
        let words: Vec<&str> = one_or_more(capabilities).iter().filter_map(Node::as_text).collect();
        let what = if words.is_empty() { "devices".to_string() } else { words.join(", ") };
        let why = format!("{what}: devices of the host are not given, so the service runs without");
        findings.unsupported_at("devices", device.place, why);
    }
}

fn policy(part: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let text = |key: &str| part.value.get(key).and_then(Node::as_text);
    application.restart = match text("condition") {
        Some("none") => Restart::Never,
        Some("on-failure") => Restart::OnFailure,
        Some("any") | None => Restart::Always,
        Some(other) => return findings.unsupported(part, format!("`{other}` is not a condition")),
    };
    for key in ["delay", "max_attempts", "window"] {
        if let Some(node) = part.value.get(key) {
            let why = format!("{key}: pauses grow from 0.1 s to 60 s, and it is always tried again");
            findings.changed_at("restart_policy", node.place, why);
        }
    }
}

/// Takes `restart`.
pub(super) fn restart(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let text = entry.value.as_text().unwrap_or_default();
    let (policy, number) = text.split_once(':').map_or((text, None), |(policy, number)| (policy, Some(number)));
    application.restart = match policy {
        "always" | "unless-stopped" => Restart::Always,
        "on-failure" => Restart::OnFailure,
        "no" | "false" => Restart::Never,
        _ => return findings.unsupported(entry, format!("`{text}` is not a policy")),
    };
    if let Some(number) = number {
        let why = format!("it is tried again without an end, not {number} times; pauses grow to 60 s");
        findings.changed(entry, why);
    }
}

/// Takes one limit.
pub(super) fn limit(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let text = entry.value.as_text().unwrap_or_default();
    let limits = &mut application.limits;
    // Docker's words for no limit: what is left out has the usual one, which is told of each service.
    let is_none =
        matches!((entry.key.as_str(), text), ("pids" | "pids_limit", "-1" | "0") | ("cpus" | "mem_limit", "0"));
    if is_none {
        return;
    }
    let done = match entry.key.as_str() {
        "memory" | "mem_limit" => bytes(text).map(|size| limits.memory = Some(size)).is_some(),
        "cpus" => text.parse().ok().map(|processors| limits.processors = Some(processors)).is_some(),
        "pids" | "pids_limit" => text.parse().ok().map(|number| limits.processes = Some(number)).is_some(),
        _ => false,
    };
    if !done {
        findings.unsupported(entry, format!("`{text}` is not a limit here"));
    }
}

/// Notes the limits that an application has without a word of its service: Docker has none.
pub(super) fn usual(service: &Entry, application: &Application, findings: &mut Findings<'_>) {
    let limits = &application.limits;
    let set = [limits.memory.is_some(), limits.processors.is_some(), limits.processes.is_some()];
    let lacking = USUAL.iter().zip(set).filter(|(_, set)| !set);
    let mut shown: Vec<String> = lacking.map(|((key, value), _)| format!("{key} {value}")).collect();
    if application.root == Root::Writable && limits.disk.is_none() {
        shown.push(format!("disk {}", Size(1 << 30)));
    }
    if !shown.is_empty() {
        let why =
            format!("has the usual limits of {}, where Docker has none; write `limits` for others", shown.join(", "));
        findings.changed_at("limits", service.place, why);
    }
}
