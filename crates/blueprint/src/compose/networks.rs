//! Reach between services: common networks, `depends_on` and `links` into links of applications.
//!
//! In Docker every service reaches every other one of its networks, in both directions and in no order. Here reach is a link, links are an order of
//! starting, and they have no cycle. So links are made of what the file says, in this order: what a service depends on; what its texts name
//! as a host (`DB_HOST: db`, `redis://cache:6379`); what it starts after anyway; and between two of which the file says nothing, from one that
//! publishes a port to one that does not, or from the later to the earlier of two that publish. What is left without a link is told.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, entries, one_or_more};
use super::finding::{Finding, FindingKind, Findings};
use crate::document::Name;
use crate::text::{Entry, Node, Place, Value};

/// Most services of one compose file: the largest that are known have seventy, and what is reached by each fits into one number.
pub const SERVICES_MAX: usize = 128;
/// Most networks of one service: each is compared with those of all others.
const NETWORKS_MAX: usize = 64;
/// Most bytes of texts in which names of services are looked for: several times the longest file, with files that are mounted by many services.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Parts of a variable's or an option's name that tell a host.
const HOST_WORDS: [&str; 10] =
    ["HOST", "SERVER", "ADDR", "ENDPOINT", "URL", "URI", "UPSTREAM", "BROKER", "BACKEND", "DSN"];

/// Applications that one is linked to, and those that it is only started after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ties {
    pub(super) links: BTreeSet<Name>,
    pub(super) after: BTreeSet<Name>,
}

/// A service with what is known of its ties.
struct Service<'a> {
    entry: &'a Entry,
    name: &'a Name,
    publishes: bool,
    /// Services of its networks, itself excepted, as bits.
    common: u128,
    links: u128,
    after: u128,
    /// All that start before it, as bits.
    before: u128,
}

/// A word in a service's texts that names another one.
struct Mention {
    index: usize,
    place: Place,
    key: &'static str,
    word: String,
}

fn bit(index: usize) -> u128 {
    1 << index
}

fn bits(set: u128) -> impl Iterator<Item = usize> {
    (0..SERVICES_MAX).filter(move |index| set & bit(*index) != 0)
}

/// Ties of the services, in their order; at most [`SERVICES_MAX`] are given.
pub(super) fn ties(
    services: &[(&Entry, &Name)],
    tree: &Node,
    context: &Context,
    found: &mut Vec<Finding>,
) -> Vec<Ties> {
    let mut all: Vec<Service<'_>> = services.iter().map(|(entry, name)| service(entry, name)).collect();
    common(&mut all, found);
    for index in 0..all.len() {
        dependencies(&mut all, index, found);
    }
    mentions(&mut all, tree, context, found);
    rest(&mut all, found);
    let named =
        |set: u128| -> BTreeSet<Name> { bits(set).filter_map(|index| Some(all.get(index)?.name.clone())).collect() };
    all.iter().map(|service| Ties { links: named(service.links), after: named(service.after) }).collect()
}

fn service<'a>(entry: &'a Entry, name: &'a Name) -> Service<'a> {
    let publishes = !one_or_more(entry.value.get("ports")).is_empty();
    Service { entry, name, publishes, common: 0, links: 0, after: 0, before: 0 }
}

fn notes<'a>(service: &Service<'_>, found: &'a mut Vec<Finding>) -> Findings<'a> {
    Findings { path: format!("services.{}", service.entry.key), found }
}

/// Networks of a service: those that are named, else `default`; none with a mode of its own.
fn networks<'a>(service: &Service<'a>) -> Vec<&'a str> {
    let entry: &'a Entry = service.entry;
    let node = &entry.value;
    if node.get("network_mode").is_some_and(|mode| !mode.is_null()) {
        return Vec::new();
    }
    match node.get("networks").map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => items.iter().filter_map(Node::as_text).collect(),
        Some(Value::Map(entries)) if !entries.is_empty() => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => vec!["default"],
    }
}

/// Notes for each service the others of its networks.
fn common(all: &mut [Service<'_>], found: &mut Vec<Finding>) {
    let mut members: BTreeMap<&str, u128> = BTreeMap::new();
    let mut of: Vec<Vec<&str>> = Vec::new();
    for (index, service) in all.iter().enumerate() {
        let mut named = networks(service);
        if named.len() > NETWORKS_MAX {
            let why = format!("has more than {NETWORKS_MAX} networks; those behind are left out");
            notes(service, found).unsupported_at("networks", service.entry.place, why);
            named.truncate(NETWORKS_MAX);
        }
        named.iter().for_each(|network| *members.entry(*network).or_default() |= bit(index));
        of.push(named);
    }
    for (index, (service, named)) in all.iter_mut().zip(of).enumerate() {
        let together = named.iter().filter_map(|network| members.get(network)).fold(0u128, |all, more| all | more);
        service.common = together & !bit(index);
    }
}

/// Lets one start after another, directly and with all that is known of orders.
fn order(all: &mut [Service<'_>], from: usize, to: usize) {
    let more = all[to].before | bit(to);
    if all[from].before & more == more {
        return;
    }
    for (index, service) in all.iter_mut().enumerate() {
        if index == from || service.before & bit(from) != 0 {
            service.before |= more;
        }
    }
}

/// Takes `depends_on` and `links` of a service.
fn dependencies(all: &mut [Service<'_>], index: usize, found: &mut Vec<Finding>) {
    let entry = all[index].entry;
    for key in ["depends_on", "links"] {
        let Some(node) = entry.value.get(key).filter(|node| !node.is_null()) else { continue };
        let listed = one_or_more(Some(node)).iter().filter_map(|item| Some((item.as_text()?, item)));
        let wanted: Vec<(&str, &Node)> = listed.chain(entries(Some(node))).collect();
        for (text, value) in wanted {
            let (service, alias) = text.split_once(':').map_or((text, None), |(service, alias)| (service, Some(alias)));
            let mut notes = notes(&all[index], found);
            condition(key, value, &mut notes);
            if let Some(alias) = alias.filter(|alias| *alias != service) {
                notes.unsupported_at(key, value.place, format!("a second name, `{alias}`, is not given"));
            }
            match all.iter().position(|known| known.entry.key == service) {
                Some(other) if other == index => {
                    notes.unsupported_at(key, value.place, "a service does not depend on itself");
                }
                Some(other) => {
                    let is_reached = key == "links" || all[index].common & bit(other) != 0;
                    let set = if is_reached { &mut all[index].links } else { &mut all[index].after };
                    *set |= bit(other);
                    order(all, index, other);
                }
                None if value.get("required").and_then(Node::as_text) == Some("false") => {
                    notes.ignored_at(key, value.place, format!("`{service}` is not here and not required"));
                }
                None => {
                    let why = format!("there is no service `{service}`, or its profile is not asked for");
                    notes.unsupported_at(key, value.place, why);
                }
            }
        }
    }
}

/// Notes what is beside a start in order.
fn condition(key: &str, value: &Node, notes: &mut Findings<'_>) {
    if value.get("condition").and_then(Node::as_text) == Some("service_completed_successfully") {
        let why =
            "nothing waits for the end of an application; make it a job of the other one, with `occasion: switch`";
        notes.unsupported_at(key, value.place, why);
    }
    if value.get("restart").and_then(Node::as_text) == Some("true") {
        notes.changed_at(key, value.place, "it is not started again when the other one is replaced");
    }
}

/// Links services to those that their texts name.
fn mentions(all: &mut [Service<'_>], tree: &Node, context: &Context, found: &mut Vec<Finding>) {
    let known = words(all);
    let mut room = TEXT_BYTES_MAX;
    for index in 0..all.len() {
        for Mention { index: other, place, key, word } in mentioned(all[index].entry, &known, tree, context, &mut room)
        {
            if other == index || all[index].common & bit(other) == 0 {
                continue;
            }
            let name = all[other].name;
            let mut notes = notes(&all[index], found);
            if word != name.as_str() {
                let why = format!("names `{word}`, which is reached as `{name}` alone; write that");
                notes.unsupported_at(key, place, why);
            }
            if all[index].links & bit(other) != 0 {
                continue;
            }
            if all[other].before & bit(index) != 0 {
                let why = format!(
                    "names `{name}`, which starts after it: links have no cycle, so it does not reach `{name}`"
                );
                notes.unsupported_at(key, place, why);
                continue;
            }
            all[index].links |= bit(other);
            order(all, index, other);
        }
    }
}

/// Words by which a service is known in Docker's networks: its name, its container's, and its aliases.
fn words(all: &[Service<'_>]) -> BTreeMap<String, usize> {
    let mut known = BTreeMap::new();
    for (index, service) in all.iter().enumerate() {
        let node = &service.entry.value;
        let container = node.get("container_name").and_then(Node::as_text);
        let networks = entries(node.get("networks"));
        let aliases = networks.flat_map(|(_, network)| one_or_more(network.get("aliases"))).filter_map(Node::as_text);
        for word in container.into_iter().chain(aliases) {
            known.entry(word.to_string()).or_insert(index);
        }
    }
    // A service's own name comes before the alias of another one.
    known.extend(all.iter().enumerate().map(|(index, service)| (service.entry.key.clone(), index)));
    known
}

/// Services that the texts of one name, each once.
fn mentioned(
    entry: &Entry,
    known: &BTreeMap<String, usize>,
    tree: &Node,
    context: &Context,
    room: &mut usize,
) -> Vec<Mention> {
    let mut found: BTreeMap<String, Mention> = BTreeMap::new();
    let mut look = |key: &'static str, before: Option<&str>, text: &str, place: Place| {
        let Some(left) = room.checked_sub(text.len()) else { return };
        *room = left;
        for word in hosts(before, text) {
            if let Some(index) = known.get(word).filter(|_| !found.contains_key(word)) {
                found.insert(word.to_string(), Mention { index: *index, place, key, word: word.to_string() });
            }
        }
    };
    let node = &entry.value;
    for (name, value) in entries(node.get("environment")) {
        look("environment", Some(name), value.as_text().unwrap_or_default(), value.place);
    }
    for key in ["environment", "command", "entrypoint"] {
        let mut before = None;
        for item in one_or_more(node.get(key)) {
            let text = item.as_text().unwrap_or_default();
            look(key, before, text, item.place);
            before = Some(text).filter(|text| text.starts_with('-'));
        }
    }
    for item in one_or_more(node.get("env_file")) {
        let path = item.as_text().or_else(|| item.get("path").and_then(Node::as_text)).unwrap_or_default();
        look("env_file", None, context.file(path).unwrap_or_default(), item.place);
    }
    for item in one_or_more(node.get("volumes")) {
        let source = match item.as_text() {
            Some(text) => text.split(':').next(),
            None => item.get("source").and_then(Node::as_text),
        };
        look("volumes", None, source.and_then(|path| context.file(path)).unwrap_or_default(), item.place);
    }
    for item in one_or_more(node.get("configs")) {
        let source = item.as_text().or_else(|| item.get("source").and_then(Node::as_text)).unwrap_or_default();
        let config = tree.get("configs").and_then(|configs| configs.get(source));
        let text = |key: &str| config.and_then(|config| config.get(key)).and_then(Node::as_text);
        let text = text("content").or_else(|| text("file").and_then(|path| context.file(path)));
        look("configs", None, text.unwrap_or_default(), item.place);
    }
    found.into_values().collect()
}

/// Words of a text that stand where hosts stand: before a port, in an address, behind `host=`, or alone where the name before says so.
fn hosts<'a>(before: Option<&str>, text: &'a str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut found = Vec::new();
    let (mut last, mut at) = ("", 0);
    while let Some(begin) = text[at..].find(is_word).map(|offset| at + offset) {
        let end = text[begin..].find(|c: char| !is_word(c)).map_or(text.len(), |offset| begin + offset);
        let (gap, word) = (&text[at..begin], &text[begin..end]);
        let rest = &text[end..];
        let has_port = rest.starts_with(':') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        let is_option = gap == "=" || (gap == " " && last.starts_with('-'));
        let is_alone = at == 0 && text.trim() == word && before.is_some_and(is_host);
        let is_told = is_option && (is_host(last) || last == "-h");
        // `://user:password@host`: of these the host alone.
        let is_user = || rest.split(['/', ' ', '"', '\'']).next().is_some_and(|part| part.contains('@'));
        let is_address = gap.ends_with("://") && !is_user();
        if has_port || is_address || gap.ends_with('@') || is_told || is_alone {
            found.push(word.trim_matches('.'));
        }
        (last, at) = (word, end);
    }
    found
}

fn is_host(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    upper == "-H" || HOST_WORDS.iter().any(|word| upper.contains(word))
}

/// Links the pairs of common networks of which nothing is said, and tells what is left.
fn rest(all: &mut [Service<'_>], found: &mut Vec<Finding>) {
    let mut added = vec![0u128; all.len()];
    for index in 0..all.len() {
        for other in bits(all[index].common & !all[index].links) {
            let (one, two) = (&all[index], &all[other]);
            if two.before & bit(index) != 0 {
                continue;
            }
            let is_after = one.before & bit(other) != 0;
            let is_front = one.publishes && (!two.publishes || index > other);
            if is_after || is_front {
                all[index].links |= bit(other);
                added[index] |= if is_after { 0 } else { bit(other) };
                order(all, index, other);
            }
        }
    }
    let names = |set: u128| {
        let names: Vec<String> = bits(set).filter_map(|at| Some(format!("`{}`", all.get(at)?.name))).collect();
        names.join(", ")
    };
    for (index, service) in all.iter().enumerate() {
        let reached_from = bits(service.common).filter(|other| all[*other].links & bit(index) != 0);
        let reached_from = reached_from.fold(0u128, |set, other| set | bit(other));
        let lost = service.common & !service.links & !reached_from;
        if added[index] | lost == 0 {
            continue;
        }
        let mut why =
            "Docker lets all of a network reach one another; here links lead one way, and are an order".to_string();
        if added[index] != 0 {
            why += &format!(": linked to {}, of which the file says nothing", names(added[index]));
        }
        if lost != 0 {
            why += &format!(": not linked to {}, which nothing here names", names(lost));
        }
        let place = service.entry.value.get("networks").map_or(service.entry.place, |node| node.place);
        notes(service, found).changed_at("networks", place, why + "; change `links` where that is wrong");
    }
    let is_tied = all.iter().any(|service| service.links != 0);
    if let Some(first) = all.first().filter(|_| is_tied) {
        let why = "a link lets one application reach another and not the other way round; in Docker networks do both";
        let (path, key) = ("services".to_string(), "services".to_string());
        found.push(Finding { place: first.entry.place, path, key, kind: FindingKind::Changed, why: why.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_texts() {
        for (before, text, expected) in [
            (None, "postgres://u:p@db:5432/x?sslmode=off", "db"),
            (None, "redis://cache/0", "cache"),
            (None, "kafka1:9092,kafka2:9092", "kafka1 kafka2"),
            (None, "host=db user=x dbname=shop", "db"),
            (None, "u:p@tcp(mysql:3306)/x", "tcp mysql"),
            (None, "--redis-host cache -h db --name web", "cache db"),
            (Some("DB_HOST"), "db", "db"),
            (Some("--host"), "db", "db"),
            (Some("MYSQL_DATABASE"), "wordpress", ""),
            (None, "wordpress", ""),
            (None, "DB_SERVER=db", "db"),
            (None, "MYSQL_USER=wordpress", ""),
            (None, "proxy_pass http://app:3000;", "app"),
            (None, "targets: ['node-exporter:9100']", "node-exporter"),
            (None, "é://é ::: @", ""),
            (None, "at db.:80", "db"),
        ] {
            assert_eq!(hosts(before, text).join(" "), expected, "{text}");
        }
    }
}
