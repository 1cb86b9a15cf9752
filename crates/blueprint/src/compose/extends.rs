//! `extends` within one file, and the tags `!reset` and `!override`, by the rules of merging.
//!
//! Source: the Compose specification, "Merge" and "extends". Another file is never read: `docker compose config` prints the whole as one.

use std::collections::BTreeMap;

use super::context::one_or_more;
use super::finding::Findings;
use crate::text::{Entry, Node, Place, Problems, Value};

/// Most values of all services after `extends` was followed, each service with its own copy: as many as a text may have after its aliases.
const SIZE_MAX: usize = 200_000;
/// Keys whose value takes the place of the extended service's as a whole, although it may be a list.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];
/// Keys that are a map, or a list of `KEY=VALUE` with the same meaning.
const PAIRS: [&str; 5] = ["environment", "labels", "annotations", "sysctls", "extra_hosts"];

/// Tags of values by their place.
pub(super) type Tags = BTreeMap<Place, String>;

struct Extender<'a> {
    services: &'a [Entry],
    tags: &'a Tags,
    done: BTreeMap<usize, Node>,
    /// Services that are being extended, each by the next.
    way: Vec<usize>,
    size: usize,
}

/// Takes away what is `!reset`, in maps and lists.
pub(super) fn strip(node: &mut Node, tags: &Tags) {
    if tags.is_empty() {
        return;
    }
    let stays = |node: &Node| tags.get(&node.place).is_none_or(|tag| tag != "!reset");
    match &mut node.value {
        Value::List(items) => {
            items.retain(stays);
            items.iter_mut().for_each(|item| strip(item, tags));
        }
        Value::Map(entries) => {
            entries.retain(|entry| stays(&entry.value));
            entries.iter_mut().for_each(|entry| strip(&mut entry.value, tags));
        }
        Value::Scalar { .. } => {}
    }
}

/// The services with what they extend.
pub(super) fn extended(
    services: &[Entry],
    tags: &Tags,
    findings: &mut Findings<'_>,
    problems: &mut Problems,
) -> Vec<Entry> {
    let mut extender = Extender { services, tags, done: BTreeMap::new(), way: Vec::new(), size: 0 };
    let all = services.iter().enumerate().map(|(index, entry)| {
        let mut value = extender.one(index, findings, problems);
        strip(&mut value, tags);
        Entry { value, ..entry.clone() }
    });
    all.collect()
}

impl Extender<'_> {
    fn one(&mut self, index: usize, findings: &mut Findings<'_>, problems: &mut Problems) -> Node {
        if let Some(done) = self.done.get(&index) {
            return done.clone();
        }
        let services = self.services;
        let Entry { key, value, .. } = &services[index];
        let Some(extends) = value.get("extends").filter(|node| !node.is_null()) else { return value.clone() };
        let base = extends.as_text().or_else(|| extends.get("service").and_then(Node::as_text)).unwrap_or_default();
        if let Some(file) = extends.get("file").and_then(Node::as_text) {
            let why = format!("`{file}` is not read; `docker compose config` prints all files as one");
            let mut notes = Findings { path: format!("services.{key}"), found: &mut *findings.found };
            notes.unsupported_at("extends", extends.place, why);
            return without(value, "extends");
        }
        let Some(other) = services.iter().position(|entry| entry.key == base) else {
            problems.add(extends.place, format!("`{key}` extends `{base}`, which is no service here"));
            return without(value, "extends");
        };
        self.way.push(index);
        if self.way.contains(&other) {
            problems.add(extends.place, format!("`{key}` extends `{base}`, which extends itself by it"));
            self.way.pop();
            return without(value, "extends");
        }
        let under = self.one(other, findings, problems);
        self.way.pop();
        self.size += under.size + value.size;
        if self.size > SIZE_MAX {
            problems.add(extends.place, format!("services with what they extend have more than {SIZE_MAX} values"));
            return without(value, "extends");
        }
        let merged = merge(&under, &without(value, "extends"), "", self.tags);
        self.done.insert(index, merged.clone());
        merged
    }
}

fn without(node: &Node, key: &str) -> Node {
    let mut node = node.clone();
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != key);
    }
    node
}

/// One value over another one of the same key.
fn merge(under: &Node, over: &Node, key: &str, tags: &Tags) -> Node {
    let tag = tags.get(&over.place).map(String::as_str);
    if tag.is_some() || REPLACED.contains(&key) {
        return over.clone();
    }
    let (under, over) = match PAIRS.contains(&key) {
        true => (pairs(under), pairs(over)),
        false if key == "depends_on" && under.kind() != over.kind() => (names(under), names(over)),
        false => (under.clone(), over.clone()),
    };
    let value = match (&under.value, &over.value) {
        (Value::Map(under), Value::Map(over)) => {
            let mut entries = under.clone();
            let mut places: BTreeMap<String, usize> =
                under.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
            for entry in over {
                match places.get(&entry.key) {
                    Some(at) => {
                        let value = merge(&entries[*at].value, &entry.value, &entry.key, tags);
                        entries[*at] = Entry { value, ..entry.clone() };
                    }
                    None => {
                        places.insert(entry.key.clone(), entries.len());
                        entries.push(entry.clone());
                    }
                }
            }
            Value::Map(entries)
        }
        (Value::List(under), Value::List(over)) => Value::List(appended(under, over, key)),
        _ => over.value.clone(),
    };
    Node { place: over.place, value, size: under.size + over.size }
}

/// Items of both; of two with one target, as of volumes, the later.
fn appended(under: &[Node], over: &[Node], key: &str) -> Vec<Node> {
    let target = |item: &Node| -> Option<String> {
        if key != "volumes" {
            return item.as_text().map(str::to_string);
        }
        match item.as_text() {
            Some(text) => text.split(':').nth(usize::from(text.contains(':'))).map(str::to_string),
            None => item.get("target").and_then(Node::as_text).map(str::to_string),
        }
    };
    let taken: std::collections::BTreeSet<String> = over.iter().filter_map(&target).collect();
    let kept = under.iter().filter(|item| target(item).is_none_or(|target| !taken.contains(&target)));
    kept.chain(over).cloned().collect()
}

/// A list of `KEY=VALUE` as a map.
fn pairs(node: &Node) -> Node {
    let Value::List(items) = &node.value else { return node.clone() };
    let mut entries: Vec<Entry> = Vec::new();
    for item in items {
        let text = item.as_text().unwrap_or_default();
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Node { size: item.size, ..Node::text(value, item.place) }),
            None => (text, Node { value: Value::Scalar { text: String::new(), plain: true }, ..item.clone() }),
        };
        entries.push(Entry { key: key.to_string(), place: item.place, value });
    }
    Node { value: Value::Map(entries), ..node.clone() }
}

/// A list of names as a map of nothing.
fn names(node: &Node) -> Node {
    let Value::List(_) = &node.value else { return node.clone() };
    let nothing = |item: &Node| Node { value: Value::Scalar { text: String::new(), plain: true }, ..item.clone() };
    let entry = |item: &Node| Some(Entry { key: item.as_text()?.to_string(), place: item.place, value: nothing(item) });
    let entries = one_or_more(Some(node)).iter().filter_map(entry).collect();
    Node { value: Value::Map(entries), ..node.clone() }
}
