//! Capabilities of a service: `cap_add` and `cap_drop`.

use std::collections::BTreeSet;

use super::context::one_or_more;
use super::finding::Findings;
use crate::document::Capability;
use crate::text::{Entry, Node};

/// Capabilities that Docker gives without being asked and that no application has here.
pub(super) const NOT_GIVEN: &str = "AUDIT_WRITE, FSETID, MKNOD, NET_RAW, SETFCAP, SETPCAP, SYS_CHROOT";

/// Capabilities of Linux that no application has here.
const OTHERS: [&str; 34] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETPCAP",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// A name as Linux has it: Docker takes it in any case, with and without `CAP_`.
fn plain(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or_else(|| upper.clone(), str::to_string)
}

fn list(node: &Node, key: &str) -> BTreeSet<String> {
    one_or_more(node.get(key)).iter().filter_map(Node::as_text).map(plain).collect()
}

/// Capabilities of a service by Docker's rule: all but the dropped where all are added; the added alone where all are dropped; else those that
/// are given without being asked, without the dropped and with the added. Only those that exist here.
pub(super) fn capabilities(node: &Node) -> BTreeSet<Capability> {
    let (added, dropped) = (list(node, "cap_add"), list(node, "cap_drop"));
    let is_given = |word: &str| {
        if added.contains("ALL") {
            return !dropped.contains(word);
        }
        added.contains(word) || !(dropped.contains("ALL") || dropped.contains(word))
    };
    let given = Capability::WORDS.iter().filter(|word| is_given(word));
    given.filter_map(|word| word.parse::<Capability>().ok()).collect()
}

/// Notes what of `cap_add` is not given.
pub(super) fn added(entry: &Entry, findings: &mut Findings<'_>) {
    for item in one_or_more(Some(&entry.value)) {
        let word = plain(item.as_text().unwrap_or_default());
        if word == "ALL" {
            findings.unsupported_at("cap_add", item.place, format!("only {} are given", Capability::WORDS.join(", ")));
        } else if !Capability::WORDS.contains(&word.as_str()) {
            findings.unsupported_at("cap_add", item.place, format!("`{word}` is not given to any application"));
        }
    }
}

/// Notes what of `cap_drop` is no capability: a word that drops nothing would leave more rights than a person thinks.
pub(super) fn dropped(entry: &Entry, findings: &mut Findings<'_>) {
    for item in one_or_more(Some(&entry.value)) {
        let text = item.as_text().unwrap_or_default();
        let word = plain(text);
        let is_known = word == "ALL" || Capability::WORDS.contains(&word.as_str());
        if !is_known && OTHERS.contains(&word.as_str()) {
            findings.ignored_at("cap_drop", item.place, format!("`{word}` is not given to any application"));
        } else if !is_known {
            findings.unsupported_at(
                "cap_drop",
                item.place,
                format!("`{text}` is no capability, so nothing is dropped"),
            );
        }
    }
}
