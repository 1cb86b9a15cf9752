//! Rules of a document that no single type can say.

use std::collections::{BTreeMap, BTreeSet};

use super::application::{Application, Audience, Content, Health, Protocol, SwitchKind};
use super::check_machine::machine;
use super::checker::Checker;
use super::names::{AppPath, HostAddress, Name};
use super::root::Document;
use super::units::{Rate, Size};
use crate::text::{Node, Place, Problems, Value};

/// Most applications of one machine: their addresses, ids and cgroups were tried up to here.
pub const APPLICATIONS_MAX: usize = 500;
/// Most instances of one application on one machine: more do not serve more where the processors are the same.
pub const INSTANCES_MAX: u32 = 32;
/// Most GPUs of one instance: no machine has more.
pub const GPUS_MAX: u32 = 16;
/// Smallest volume, in bytes: below it ext4 has more journal than room.
pub const VOLUME_BYTES_MIN: u64 = 16 << 20;
/// Largest volume, in bytes: ext4's limit with blocks of 4 KiB is 16 TiB.
pub const VOLUME_BYTES_MAX: u64 = 16 << 40;
/// Lowest limit of the network, in bits a second: below it a full frame waits longer than a second, and connections break instead of being slow.
pub const RATE_BITS_MIN: u64 = 16_000;
/// Least memory, in bytes: a process and its libraries need as much.
const MEMORY_BYTES_MIN: u64 = 4 << 20;
/// Longest text of a file in a document, in bytes: what is longer belongs into an image or a volume.
pub const FILE_BYTES_MAX: usize = 256 << 10;
/// Longest time of gate, drain and stopping, in milliseconds: an hour in which a switch hangs is noticed by people.
const WAIT_MS_MAX: u64 = 3_600_000;
/// Longest time that requests wait, in milliseconds: below the minute after which browsers and balancers give up.
const HOLD_MS_MAX: u64 = 30_000;
/// Longest probation, in milliseconds: both lines of data are kept for so long.
const PROBATION_MS_MAX: u64 = 7 * 86_400_000;
/// Places of the kernel and of the container itself, on which nothing is mounted.
const RESERVED_PATHS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Keys that may stand beside `template`: the rest is the template's, so that nothing that it needs is changed by accident.
const BESIDE_TEMPLATE: [&str; 11] =
    ["template", "description", "variables", "ports", "domains", "links", "after", "limits", "gpus", "backup", "wish"];

/// Notes every problem of a document that was read from a tree.
pub(super) fn check(document: &Document, tree: &Node, problems: &mut Problems) {
    let mut checker = Checker { tree, base: Vec::new(), problems };
    if document.version != 1 {
        checker.add(&["version"], format!("is {}, but only 1 is known", document.version), Some("write `version: 1`"));
    }
    if document.applications.len() > APPLICATIONS_MAX {
        let what = format!("has {} applications, but at most {APPLICATIONS_MAX} fit", document.applications.len());
        // Rules between so many are not looked at: their time grows faster than their number.
        return checker.add(&["applications"], what, None);
    }
    machine(&document.machine, &mut checker);
    host_ports(document, &mut checker);
    domains(document, &mut checker);
    links(document, &mut checker);
    for (name, application) in &document.applications {
        if let Some(backup) = &application.backup
            && !document.machine.backups.contains_key(&backup.to)
        {
            let what = format!("is `{}`, which is not among machine.backups", backup.to);
            checker.add(&["applications", name.as_str(), "backup", "to"], what, None);
        }
        if let Some(node) = tree.get("applications").and_then(|all| all.get(name.as_str())) {
            let base = vec!["applications".to_string(), name.to_string()];
            one(application, &mut Checker { tree: node, base, problems: checker.problems });
        }
    }
}

/// Notes every problem of one application by itself, as a template makes it, read from a tree.
pub fn application_problems(application: &Application, tree: &Node, problems: &mut Problems) {
    one(application, &mut Checker { tree, base: Vec::new(), problems });
}

/// Two applications do not claim one address and port of the host.
fn host_ports(document: &Document, checker: &mut Checker<'_>) {
    let mut claims: BTreeMap<(u16, Protocol), Vec<(HostAddress, String)>> = BTreeMap::new();
    for (name, application) in &document.applications {
        for (port_name, port) in &application.ports {
            let Some((publish, number)) = port.publish.as_ref().and_then(|publish| Some((publish, publish.port?)))
            else {
                continue;
            };
            let here = format!("applications.{name}.ports.{port_name}");
            let transport = port.protocol.transport();
            let taken = claims.entry((number, transport)).or_default();
            if let Some((_, other)) = taken.iter().find(|(address, _)| address.overlaps(publish.address)) {
                let what = format!("claims port {number}/{transport} of the host, which {other} claims");
                let path = ["applications", name.as_str(), "ports", port_name.as_str(), "publish", "port"];
                checker.add(&path, what, Some("leave `port` out for a free one"));
            }
            taken.push((publish.address, here));
        }
    }
}

fn domains(document: &Document, checker: &mut Checker<'_>) {
    let mut claims = BTreeMap::new();
    for (name, application) in &document.applications {
        for domain in application.domains.keys() {
            if let Some(other) = claims.insert(domain, name) {
                let what = format!("is also a domain of {other}");
                checker.add(&["applications", name.as_str(), "domains", domain.as_str()], what, None);
            }
        }
    }
}

/// Links and orders lead to applications that exist, and have no cycle.
fn links(document: &Document, checker: &mut Checker<'_>) {
    let known: Vec<&str> = document.applications.keys().map(Name::as_str).collect();
    for (name, application) in &document.applications {
        for (key, targets) in [("links", &application.links), ("after", &application.after)] {
            let written = checker.tree.get("applications").and_then(|all| all.get(name.as_str())?.get(key));
            for (sorted, target) in
                targets.iter().enumerate().filter(|(_, target)| !document.applications.contains_key(target))
            {
                if checker.problems.is_full() {
                    return checker.problems.add(Place::default(), String::new());
                }
                let index = written.and_then(|list| position(list, target)).unwrap_or(sorted);
                let path = ["applications", name.as_str(), key, &index.to_string()];
                let near = crate::text::nearest(target.as_str(), &known).map(|near| format!("did you mean `{near}`?"));
                checker.add(&path, format!("names `{target}`, which is no application here"), near.as_deref());
            }
        }
    }
    if let Some(cycle) = cycle(&document.applications) {
        let words: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
        let path = ["applications", words[0]];
        checker.add(&path, format!("waits for itself: {}", words.join(" -> ")), Some("take one of these links away"));
    }
}

/// Position of a name in a list as it was written, which need not be sorted.
fn position(list: &Node, name: &Name) -> Option<usize> {
    match &list.value {
        Value::List(items) => items.iter().position(|item| item.as_text() == Some(name.as_str())),
        _ => None,
    }
}

/// A cycle of links and orders, its first application also at the end.
fn cycle(applications: &BTreeMap<Name, Application>) -> Option<Vec<&Name>> {
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    for start in applications.keys() {
        let mut way: Vec<(&Name, Vec<&Name>)> = vec![(start, before(applications, start))];
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            let Some(next) = next.pop() else {
                done.insert(at);
                way.pop();
                continue;
            };
            if let Some(from) = way.iter().position(|(name, _)| *name == next) {
                return Some(way[from..].iter().map(|(name, _)| *name).chain([next]).collect());
            }
            if !done.contains(next) {
                way.push((next, before(applications, next)));
            }
        }
    }
    None
}

fn before<'a>(applications: &'a BTreeMap<Name, Application>, name: &Name) -> Vec<&'a Name> {
    let all =
        applications.get(name).into_iter().flat_map(|application| application.links.iter().chain(&application.after));
    all.filter_map(|target| applications.get_key_value(target).map(|(key, _)| key))
        .rev()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .rev()
        .collect()
}

/// Rules within one application.
fn one(application: &Application, checker: &mut Checker<'_>) {
    origin(application, checker);
    mounts(application, checker);
    ports(application, checker);
    limits(application, checker);
    switch(application, checker);
    if let Some(health) = &application.health {
        health_check(application, health, checker);
    }
    for (name, job) in &application.jobs {
        if job.command.is_empty() {
            checker.add(&["jobs", name.as_str(), "command"], "is empty", None);
        }
    }
    if application.backup.is_some() && application.template.is_none() && !application.volumes.values().any(|v| v.backup)
    {
        checker.add(&["backup"], "has no volume to keep", Some("give the application a volume, or take `backup` away"));
    }
}

fn origin(application: &Application, checker: &mut Checker<'_>) {
    let origins = [
        ("image", application.image.is_some()),
        ("recipe", application.recipe.is_some()),
        ("template", application.template.is_some()),
    ];
    let named: Vec<&str> = origins.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
    match named.as_slice() {
        [] => checker.add(&[], "has no origin", Some("write one of `image`, `recipe`, `template`")),
        [_] => {}
        several => checker.add(&[], format!("has several origins: {}", several.join(", ")), Some("keep one of them")),
    }
    if application.template.as_ref().is_some_and(|using| using.catalogue.is_some() && using.version.is_none()) {
        checker.add(&["template", "version"], "is not there: a template of a catalogue needs its version", None);
    }
    if application.template.is_some()
        && let Value::Map(entries) = &checker.tree.value
    {
        let others: Vec<String> =
            entries.iter().map(|e| e.key.clone()).filter(|key| !BESIDE_TEMPLATE.contains(&key.as_str())).collect();
        for key in others.iter().filter(|key| !matches!(key.as_str(), "image" | "recipe")) {
            let hint = format!("beside `template` there may be {}", BESIDE_TEMPLATE[1..].join(", "));
            checker.add(&[key], "is the template's to say", Some(&hint));
        }
    }
    if let Some(recipe) = &application.recipe {
        for (path, file) in &recipe.files {
            if matches!(file.content, Content::Secret(_)) {
                let path = ["recipe", "files", path.as_str(), "content"];
                checker.add(
                    &path,
                    "is a secret, which would lie in the image",
                    Some("put it into the application's `files`"),
                );
            }
        }
    }
}

/// Two mounts do not share a path, and none lies where the kernel has its own.
fn mounts(application: &Application, checker: &mut Checker<'_>) {
    let mut taken: BTreeMap<&AppPath, String> = BTreeMap::new();
    let volumes = application.volumes.iter().map(|(name, volume)| (["volumes", name.as_str()], &volume.path));
    let files = application.files.keys().map(|path| (["files", path.as_str()], path));
    for (place, path) in volumes.chain(files) {
        let reserved = RESERVED_PATHS.iter().any(|reserved| {
            path.as_str() == *reserved || path.as_str().strip_prefix(reserved).is_some_and(|rest| rest.starts_with('/'))
        });
        if reserved || path.as_str() == "/" {
            checker.add(&place, format!("is mounted at {path}, which the container itself needs"), None);
        }
        if let Some(other) = taken.insert(path, place.join(".")) {
            checker.add(&place, format!("is mounted at {path}, and so is {other}"), None);
        }
    }
    for (name, volume) in &application.volumes {
        if !(VOLUME_BYTES_MIN..=VOLUME_BYTES_MAX).contains(&volume.size.0) {
            let (min, max) = (Size(VOLUME_BYTES_MIN), Size(VOLUME_BYTES_MAX));
            checker.add(
                &["volumes", name.as_str(), "size"],
                format!("is {}, but {min} to {max} are possible", volume.size),
                None,
            );
        }
    }
    for (path, file) in &application.files {
        if matches!(&file.content, Content::Text(text) if text.len() > FILE_BYTES_MAX) {
            let what = format!("has more than {}", Size(FILE_BYTES_MAX as u64));
            checker.add(&["files", path.as_str(), "content"], what, Some("put it into a volume or an image"));
        }
    }
}

fn ports(application: &Application, checker: &mut Checker<'_>) {
    let mut taken = BTreeMap::new();
    for (name, port) in &application.ports {
        if port.port == 0 || port.publish.as_ref().is_some_and(|publish| publish.port == Some(0)) {
            checker.add(&["ports", name.as_str()], "has the port 0, which cannot be listened on", None);
        }
        let at = port.publish.as_ref().map(|publish| publish.address);
        if let Some(address) = at.filter(|address| address.0.is_ipv6()) {
            let what =
                format!("is {address}, but ports are published at addresses of IPv4 alone, as instances have them");
            let hint = "leave `address` out for all of IPv4; who has IPv6 alone reaches an application by a domain";
            checker.add(&["ports", name.as_str(), "publish", "address"], what, Some(hint));
        }
        let transport = port.protocol.transport();
        if let Some(other) = taken.insert((port.port, transport), name) {
            let what = format!("is {}/{transport}, and so is {other}", port.port);
            checker.add(&["ports", name.as_str(), "port"], what, None);
        }
    }
    for (domain, route) in &application.domains {
        let path = ["domains", domain.as_str(), "port"];
        port_exists(application, &route.port, &path, checker);
        let wallets = route.audience == Audience::Wallets;
        if wallets == route.wallets.is_empty() {
            let what =
                if wallets { "lets wallets in, but names none" } else { "names wallets, but does not ask for them" };
            checker.add(&path[..2], what, Some("`audience: wallets` and `wallets: [...]` belong together"));
        }
        if domain.as_str().starts_with("*.") && route.audience != Audience::Everybody {
            // A name below it may lead to another machine, whose owner would have the passes of those who come back there.
            let what = "is a pattern, and visitors are led back to a name that stands in the document alone";
            checker.add(&path[..2], what, Some("write each name that is not for everybody, or `audience: everybody`"));
        }
    }
}

/// A port that is led to by HTTP or tested by TCP exists. What a template brings is looked at when it is filled in.
fn port_exists(application: &Application, port: &Name, path: &[&str], checker: &mut Checker<'_>) {
    match application.ports.get(port) {
        Some(found) if found.protocol.transport() == Protocol::Tcp => {}
        Some(_) => checker.add(path, format!("names `{port}`, which is not TCP"), None),
        None if application.template.is_some() => {}
        None => checker.add(path, format!("names `{port}`, which is not among `ports`"), Some("add it to `ports`")),
    }
}

fn health_check(application: &Application, health: &Health, checker: &mut Checker<'_>) {
    let kinds = [health.http.is_some(), health.tcp.is_some(), !health.command.is_empty()];
    if kinds.iter().filter(|there| **there).count() != 1 {
        checker.add(&["health"], "must have exactly one of `http`, `tcp` and `command`", None);
    }
    if let Some(http) = &health.http {
        port_exists(application, &http.port, &["health", "http", "port"], checker);
        if !http.path.starts_with('/') || http.path.chars().any(|c| c.is_control() || c == ' ') {
            checker.add(&["health", "http", "path"], "must begin with / and hold no blank", None);
        }
    }
    if let Some(tcp) = &health.tcp {
        port_exists(application, &tcp.port, &["health", "tcp", "port"], checker);
    }
    if health.interval.0 == 0 || health.timeout.0 == 0 || health.failures == 0 {
        checker.add(&["health"], "must have an interval, a time-out and failures above 0", None);
    }
}

fn limits(application: &Application, checker: &mut Checker<'_>) {
    let limits = &application.limits;
    if limits.memory.is_some_and(|memory| memory.0 < MEMORY_BYTES_MIN) {
        checker.add(
            &["limits", "memory"],
            format!("is below {}, with which nothing starts", Size(MEMORY_BYTES_MIN)),
            None,
        );
    }
    let nothing = [
        ("processors", limits.processors.is_some_and(|p| p.0 == 0)),
        ("processes", limits.processes == Some(0)),
        ("rate", limits.rate.is_some_and(|rate| rate.0 == 0)),
    ];
    for (key, _) in nothing.iter().filter(|(_, nothing)| *nothing) {
        checker.add(&["limits", key], "is 0, with which nothing runs", Some("leave it out for the default"));
    }
    if let Some(rate) = limits.rate.filter(|rate| (1..RATE_BITS_MIN).contains(&rate.0)) {
        let what = format!("is {rate}, but below {} a full frame takes longer than a second", Rate(RATE_BITS_MIN));
        checker.add(&["limits", "rate"], what, Some("write a higher one, or leave it out for no limit"));
    }
    if let Some(gpus) = application.gpus.as_ref().filter(|gpus| !(1..=GPUS_MAX).contains(&gpus.count)) {
        let what = format!("is {}, but 1 to {GPUS_MAX} are possible", gpus.count);
        checker.add(&["gpus", "count"], what, Some("leave `gpus` out for none"));
    }
    if !(1..=INSTANCES_MAX).contains(&application.instances) {
        checker.add(
            &["instances"],
            format!("is {}, but 1 to {INSTANCES_MAX} are possible", application.instances),
            None,
        );
    }
}

fn switch(application: &Application, checker: &mut Checker<'_>) {
    let switch = &application.switch;
    match switch.kind {
        SwitchKind::Overlap if application.writes() && application.instances == 1 => {
            let hint = "write `hold`, or give it several instances if its data may have several writers";
            checker.add(&["switch", "kind"], "is `overlap`, but two versions would write to one volume", Some(hint));
        }
        SwitchKind::Overlap if application.gpus.is_some() => {
            let hint = "leave `kind` out: the old version ends before the new one starts";
            checker.add(&["switch", "kind"], "is `overlap`, but two versions would have one GPU", Some(hint));
        }
        SwitchKind::Hold if application.instances > 1 => {
            checker.add(&["switch", "kind"], "is `hold`, which is for a single instance", Some("write `overlap`"));
        }
        _ => {}
    }
    let waits = [("gate", switch.gate), ("drain", switch.drain)];
    for (key, _) in waits.iter().filter(|(_, wait)| wait.0 > WAIT_MS_MAX) {
        checker.add(&["switch", key], "is longer than 1h", None);
    }
    if switch.hold.0 > HOLD_MS_MAX {
        checker.add(&["switch", "hold"], "is longer than 30s, after which clients give up", None);
    }
    if switch.gate.0 == 0 {
        checker.add(&["switch", "gate"], "is 0, in which nothing starts", None);
    }
    if switch.probation.0 > PROBATION_MS_MAX {
        checker.add(&["switch", "probation"], "is longer than 7d", None);
    }
    if application.stop_after.0 > WAIT_MS_MAX {
        checker.add(&["stop_after"], "is longer than 1h", None);
    }
}
