//! `healthcheck` of a service, with Docker's own times.

use super::finding::Findings;
use super::values::duration;
use crate::document::{Application, Health, Period};
use crate::text::{Entry, Node, Value};

/// Time between two tests without a word. Source: Dockerfile reference, "HEALTHCHECK".
const INTERVAL: Period = Period(30_000);
/// Time for one test without a word. Source: as [`INTERVAL`].
const TIMEOUT: Period = Period(30_000);
/// Failures in a row that make it unhealthy, without a word. Source: as [`INTERVAL`].
const FAILURES: u32 = 3;
/// Longest gate of a document, in milliseconds.
const GATE_MS_MAX: u64 = 3_600_000;

/// Takes `healthcheck`. The gate becomes as long as Docker takes to call a service unhealthy that never was healthy.
pub(super) fn health(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let node = &entry.value;
    unknown(node, findings);
    if node.get("disable").and_then(Node::as_text) == Some("true") {
        return;
    }
    let Some(command) = test(entry, findings) else { return };
    let mut period = |key: &str, usual: Period| match node.get(key).filter(|node| !node.is_null()) {
        None => usual,
        Some(value) => match value.as_text().and_then(duration) {
            // Docker's word for its own default.
            Some(Period(0)) => usual,
            Some(period) => period,
            None => {
                findings.unsupported_at("healthcheck", value.place, format!("{key} is not a duration as 1m30s"));
                usual
            }
        },
    };
    let interval = period("interval", INTERVAL);
    let timeout = period("timeout", TIMEOUT);
    let start = period("start_period", Period(0));
    let failures = match node
        .get("retries")
        .filter(|node| !node.is_null())
        .map(|retries| (retries, retries.as_text().map(str::parse::<u32>)))
    {
        None | Some((_, Some(Ok(0)))) => FAILURES,
        Some((_, Some(Ok(retries)))) => retries,
        Some((retries, _)) => {
            findings.unsupported_at("healthcheck", retries.place, "retries is not a number");
            FAILURES
        }
    };
    let round = interval.0.saturating_add(timeout.0);
    let gate = start.0.saturating_add(round.saturating_mul(u64::from(failures))).max(application.switch.gate.0);
    if gate > GATE_MS_MAX {
        findings.changed_at("healthcheck", entry.place, "it is called unhealthy after 1h, the longest gate");
    }
    application.switch.gate = Period(gate.min(GATE_MS_MAX));
    application.health = Some(Health { http: None, tcp: None, command, interval, timeout, failures });
}

fn unknown(node: &Node, findings: &mut Findings<'_>) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        match entry.key.as_str() {
            "test" | "interval" | "timeout" | "retries" | "start_period" | "disable" => {}
            "start_interval" => {
                let why = "start_interval: tests come each `interval` from the beginning";
                findings.changed_at("healthcheck", entry.place, why);
            }
            key if key.starts_with("x-") => {}
            key => findings.unsupported_at("healthcheck", entry.place, format!("{key} is not known here")),
        }
    }
}

/// The command of a test; `None` where there is none, or where it would be the image's own.
fn test(entry: &Entry, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let shell = |text: &str| ["/bin/sh", "-c", text].map(str::to_string).to_vec();
    let Some(node) = entry.value.get("test").filter(|node| !node.is_null()) else {
        findings.unsupported(entry, "has no `test`; the image's own HEALTHCHECK is not read, write its command here");
        return None;
    };
    let mut words: Vec<String> = match (&node.value, node.as_text()) {
        (Value::List(items), _) => items.iter().filter_map(Node::as_text).map(str::to_string).collect(),
        (_, Some(text)) => return Some(shell(text)),
        _ => Vec::new(),
    };
    match words.first().map(String::as_str) {
        Some("NONE") => None,
        Some("CMD") if words.len() > 1 => Some(words.split_off(1)),
        Some("CMD-SHELL") if words.len() == 2 => Some(shell(&words[1])),
        _ => {
            let why = "test must be a text, or a list that begins with NONE, CMD or CMD-SHELL";
            findings.unsupported_at("healthcheck", node.place, why);
            None
        }
    }
}
