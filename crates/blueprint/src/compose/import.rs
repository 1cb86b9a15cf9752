//! A compose file as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::capabilities::NOT_GIVEN;
use super::context::{Context, TAGS, entries, one_or_more};
use super::extends::{extended, strip};
use super::files::{configs, secrets};
use super::finding::{FINDINGS_MAX, Finding, FindingKind, Findings};
use super::interpolate::{Uses, interpolate};
use super::naming::name_of;
use super::networks::{SERVICES_MAX, ties};
use super::service::Service;
use super::shared::Shared;
use super::storage::declared;
use crate::document::{Application, Document, Name};
use crate::text::{Entry, Node, Place, Problem, Problems, Shape, Value, parse_with_tags};

/// Longest key of a compose file, in bytes: as long as the longest name of a variable; names of services have 63.
const KEY_BYTES_MAX: usize = 256;

/// A compose file as a document, with what is not done as Docker does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    document: Document,
    findings: Vec<Finding>,
}

impl Import {
    /// All findings in the order of the file.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The document, whatever is unsupported: to be looked at, not to be deployed.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The document, if every unsupported part is among those that the person can do without: by its key in all services (`build`), or by its path
    /// (`services.web.build`). Fails with the unsupported parts that are left.
    pub fn accept(&self, without: &BTreeSet<String>) -> Result<&Document, Vec<&Finding>> {
        let unsupported = self.findings.iter().filter(|finding| finding.kind == FindingKind::Unsupported);
        let is_left = |finding: &&Finding| !without.contains(&finding.key) && !without.contains(&finding.path);
        let left: Vec<&Finding> = unsupported.filter(is_left).collect();
        if left.is_empty() { Ok(&self.document) } else { Err(left) }
    }
}

/// Reads a compose file with what it takes from outside. Fails with all problems: a file that is no compose file, a value that cannot be read, a
/// variable without a value, or services that make no right document.
pub fn import(text: &str, context: &Context) -> Result<Import, Vec<Problem>> {
    let tagged = parse_with_tags(text, &TAGS)?;
    let mut tree = tagged.root;
    let mut problems = Problems::default();
    keys(&tree, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_sorted());
    }
    let variables = variables(&tree, context);
    let mut uses = interpolate(&mut tree, &variables, &mut problems);
    let mut findings = Vec::new();
    let services = services(&mut tree, &tagged.tags, &mut findings, &mut problems);
    let document = services.and_then(|services| {
        let services = asked_for(services, context, &mut uses, &mut findings);
        translate(&tree, &services, context, &mut uses, &mut findings, &mut problems)
    });
    for (place, used) in uses {
        if let Some((path, what, hint)) = used.missing {
            problems.below(path, |problems| problems.add_with_hint(place, what, hint));
        }
    }
    if findings.len() >= FINDINGS_MAX {
        problems.add(tree.place, format!("has {FINDINGS_MAX} parts or more that are not as in Docker"));
    }
    let document = match document {
        Some(document) if problems.is_empty() => document,
        _ => return Err(problems.into_sorted()),
    };
    // The document's own rules, said at the service that breaks them.
    if let Err(faults) = Document::parse(&document.to_yaml()) {
        for fault in faults {
            let place = place_of(&tree, &fault.path);
            problems.below(fault.path, |problems| match fault.hint {
                Some(hint) => problems.add_with_hint(place, fault.what, hint),
                None => problems.add(place, fault.what),
            });
        }
        return Err(problems.into_sorted());
    }
    findings.sort();
    findings.dedup();
    Ok(Import { document, findings })
}

/// Notes keys that are too long: each stands in the path of all that is said below it.
fn keys(node: &Node, problems: &mut Problems) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                if entry.key.len() > KEY_BYTES_MAX {
                    let what =
                        format!("has a key of {} bytes, of which at most {KEY_BYTES_MAX} are read", entry.key.len());
                    problems.add(entry.place, what);
                }
                keys(&entry.value, problems);
            }
        }
        Value::List(items) => items.iter().for_each(|item| keys(item, problems)),
        Value::Scalar { .. } => {}
    }
}

/// The variables of the context with those that Docker makes itself.
fn variables(tree: &Node, context: &Context) -> BTreeMap<String, String> {
    let mut variables = context.variables.clone();
    if let Some(name) = tree.get("name").and_then(Node::as_text) {
        variables.entry("COMPOSE_PROJECT_NAME".to_string()).or_insert_with(|| name.to_string());
    }
    variables
}

/// Place of the service that a path of the document is about.
fn place_of(tree: &Node, path: &str) -> Place {
    let application = path.split('.').nth(1).unwrap_or_default();
    let Some(Value::Map(entries)) = tree.get("services").map(|services| &services.value) else { return tree.place };
    let found = entries.iter().find(|entry| name_of(&entry.key).is_some_and(|name| name.as_str() == application));
    found.map_or(tree.place, |entry| entry.place)
}

/// The services with what they extend, and the tree without what is reset.
fn services(
    tree: &mut Node,
    tags: &BTreeMap<Place, String>,
    findings: &mut Vec<Finding>,
    problems: &mut Problems,
) -> Option<Vec<Entry>> {
    let Some(services) = tree.get("services") else {
        problems.add_with_hint(tree.place, "has no `services`", "a compose file begins with `services:`");
        return None;
    };
    let Value::Map(entries) = &services.value else {
        problems.add(services.place, "must be a map of services");
        return None;
    };
    if entries.len() > SERVICES_MAX {
        let what = format!("has {} services, of which at most {SERVICES_MAX} are read", entries.len());
        problems.add_with_hint(services.place, what, "take it apart");
        return None;
    }
    let mut notes = Findings { path: "services".to_string(), found: findings };
    let services = extended(entries, tags, &mut notes, problems);
    strip(tree, tags);
    Some(services)
}

/// Services without a profile, or with one that is asked for. Of the others nothing is needed.
fn asked_for(services: Vec<Entry>, context: &Context, uses: &mut Uses, findings: &mut Vec<Finding>) -> Vec<Entry> {
    let is_asked = |entry: &Entry| {
        let profiles = profiles(entry);
        profiles.is_empty() || profiles.iter().any(|profile| context.profiles.contains(*profile))
    };
    let (left, others): (Vec<Entry>, Vec<Entry>) = services.into_iter().partition(is_asked);
    // Values of one that is left out may stand in another one that extends it.
    let mut needed = BTreeSet::new();
    left.iter().for_each(|entry| places(&entry.value, &mut needed));
    for entry in others {
        let within = format!("services.{}.", entry.key);
        for (_, used) in uses.iter_mut().filter(|(place, _)| !needed.contains(*place)) {
            drop(used.missing.take_if(|(path, ..)| path.starts_with(within.as_str())));
        }
        let named = profiles(&entry).join(", ");
        let why = format!("left out, as in Docker: its profile ({named}) is not asked for; `--profile` does");
        let path = format!("services.{}", entry.key);
        let (key, kind) = ("profiles".to_string(), FindingKind::Ignored);
        findings.push(Finding { place: entry.place, path, key, kind, why });
    }
    left
}

fn profiles(entry: &Entry) -> Vec<&str> {
    one_or_more(entry.value.get("profiles")).iter().filter_map(Node::as_text).collect()
}

/// Adds the places of all values of a tree.
fn places(node: &Node, found: &mut BTreeSet<Place>) {
    found.insert(node.place);
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| places(item, found)),
        Value::Map(entries) => entries.iter().for_each(|entry| places(&entry.value, found)),
        Value::Scalar { .. } => {}
    }
}

fn translate(
    tree: &Node,
    services: &[Entry],
    context: &Context,
    uses: &mut Uses,
    findings: &mut Vec<Finding>,
    problems: &mut Problems,
) -> Option<Document> {
    let mut shared = whole(tree, context, uses, findings);
    let names = names(services, problems);
    let named: Vec<(&Entry, &Name)> =
        services.iter().filter_map(|entry| Some((entry, names.get(&entry.key)?))).collect();
    let ties = ties(&named, tree, context, findings);
    let mut applications = BTreeMap::new();
    for (&(entry, name), ties) in named.iter().zip(ties) {
        let path = format!("services.{}", entry.key);
        let mut below = Findings { path: path.clone(), found: &mut *findings };
        if name.as_str() != entry.key {
            below.changed_at("name", entry.place, format!("is called `{name}` here, and reached by that name"));
        }
        let shared = &mut shared;
        let service = Service { name, entry, context, shared, uses: &mut *uses, findings: below };
        let translated = problems.below(&path, |problems| service.translate(ties, problems));
        if let Some(application) = translated {
            applications.insert(name.clone(), application);
        }
    }
    usual(services, tree, findings);
    document(applications, tree)
}

/// A document of nothing but its applications.
fn document(applications: BTreeMap<Name, Application>, tree: &Node) -> Option<Document> {
    let version = Node { place: tree.place, value: Value::Scalar { text: "1".to_string(), plain: true }, size: 1 };
    let entry = Entry { key: "version".to_string(), place: tree.place, value: version };
    let empty = Node { place: tree.place, value: Value::Map(vec![entry]), size: 2 };
    let mut document = Document::read(&empty, &mut Problems::default())?;
    document.applications = applications;
    Some(document)
}

/// Notes what is so for every service that says nothing else.
fn usual(services: &[Entry], tree: &Node, findings: &mut Vec<Finding>) {
    let place = tree.get("services").map_or(tree.place, |services| services.place);
    let without = |keys: &[&str]| {
        let found = services.iter().filter(|entry| keys.iter().all(|key| entry.value.get(key).is_none()));
        found.map(|entry| format!("`{}`", entry.key)).collect::<Vec<_>>().join(", ")
    };
    let mut notes = Findings { path: String::new(), found: findings };
    let unhealthy = without(&["healthcheck"]);
    if !unhealthy.is_empty() {
        let why = format!("the image's own HEALTHCHECK is not run for {unhealthy}; write `health` where it matters");
        notes.changed_at("services", place, why);
    }
    let rights = without(&["cap_drop"]);
    if !rights.is_empty() {
        let why = format!("of Docker's default capabilities {NOT_GIVEN} are not given, so not to {rights}");
        notes.changed_at("services", place, why);
    }
}

/// Names of the services here; two that would have one name are a problem.
fn names(services: &[Entry], problems: &mut Problems) -> BTreeMap<String, Name> {
    let mut names: BTreeMap<String, Name> = BTreeMap::new();
    let mut taken: BTreeSet<Name> = BTreeSet::new();
    for entry in services {
        match name_of(&entry.key) {
            Some(name) if taken.contains(&name) => {
                problems.add(
                    entry.place,
                    format!("service `{}` would have the name `{name}`, which another one has", entry.key),
                );
            }
            Some(name) => {
                taken.insert(name.clone());
                names.insert(entry.key.clone(), name);
            }
            None => problems.add(entry.place, format!("service `{}` has a name that cannot be one here", entry.key)),
        }
    }
    names
}

/// The parts of the file beside its services.
fn whole(tree: &Node, context: &Context, uses: &mut Uses, findings: &mut Vec<Finding>) -> Shared {
    let mut shared = Shared::default();
    let Value::Map(entries) = &tree.value else { return shared };
    let mut notes = Findings { path: String::new(), found: findings };
    for entry in entries {
        match entry.key.as_str() {
            "services" => {}
            "version" | "name" => notes.ignored(entry, "has no meaning any more"),
            "networks" => networks(entry, &mut notes),
            "volumes" => declared(entry, &mut shared, &mut notes),
            "secrets" => secrets(entry, &mut shared),
            "configs" => configs(entry, context, uses, &mut shared, &mut notes),
            "include" => {
                notes.unsupported(entry, "other files are not read; `docker compose config` prints all of them as one");
            }
            key if key.starts_with("x-") => notes.ignored(entry, "an extension, of which the anchors were followed"),
            _ => notes.unsupported(entry, "is not known here"),
        }
    }
    shared
}

/// Takes the networks of the file: reach is done by links, what else is said of them is told.
fn networks(entry: &Entry, notes: &mut Findings<'_>) {
    for (network, node) in entries(Some(&entry.value)) {
        let Value::Map(options) = &node.value else { continue };
        for option in options.iter().filter(|option| !option.value.is_null()) {
            let say = |why: &str| format!("{network}.{}: {why}", option.key);
            let place = option.place;
            match (option.key.as_str(), option.value.as_text()) {
                ("name" | "labels" | "attachable", _)
                | ("driver", Some("bridge"))
                | ("external" | "internal" | "enable_ipv6", Some("false")) => {}
                (key, _) if key.starts_with("x-") => {}
                ("internal", _) => {
                    notes.unsupported_at("networks", place, say("applications reach the outside as well"));
                }
                ("external", _) => {
                    notes.unsupported_at("networks", place, say("only applications of this document are reached"));
                }
                ("enable_ipv6", _) => notes.unsupported_at("networks", place, say("instances have IPv4 alone")),
                ("ipam", _) => {
                    notes.changed_at("networks", place, say("addresses are chosen from the machine's `subnet`"));
                }
                _ => notes.unsupported_at("networks", place, say("links of applications have no such option")),
            }
        }
    }
}
