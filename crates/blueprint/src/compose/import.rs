//! A compose file as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, FindingKind, Findings};
use super::interpolate::interpolate;
use super::service::Service;
use super::storage::{Shared, VOLUME_BYTES_DEFAULT, name_of};
use crate::document::{Application, Document, Name, Size};
use crate::text::{Entry, Node, Problem, Problems, Shape, Value, parse};

/// A compose file as a document, with what has no meaning here.
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

    /// The document, if every unsupported key is among those that the person can do without. Fails with the unsupported keys that are left.
    pub fn accept(&self, without: &BTreeSet<String>) -> Result<&Document, Vec<&Finding>> {
        let unsupported = self.findings.iter().filter(|finding| finding.kind == FindingKind::Unsupported);
        let left: Vec<&Finding> = unsupported.filter(|finding| !without.contains(&finding.key)).collect();
        if left.is_empty() { Ok(&self.document) } else { Err(left) }
    }
}

/// Reads a compose file with the values of its variables. Fails with all problems: a file that is no compose file, a value that cannot be read, a
/// variable without a value, or services that make no right document.
pub fn import(text: &str, variables: &BTreeMap<String, String>) -> Result<Import, Vec<Problem>> {
    let mut tree = parse(text)?;
    let mut problems = Problems::default();
    interpolate(&mut tree, variables, &mut problems);
    let mut findings = Vec::new();
    let document = translate(&tree, &mut findings, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_sorted());
    }
    let Some(document) = document else { return Err(problems.into_sorted()) };
    // The document's own rules, said at the service that breaks them.
    if let Err(faults) = Document::parse(&document.to_yaml()) {
        for fault in faults {
            let place = tree.get("services").map_or(tree.place, |services| place_of(services, &fault.path));
            problems.below(fault.path, |problems| problems.add(place, fault.what));
        }
        return Err(problems.into_sorted());
    }
    findings.sort();
    Ok(Import { document, findings })
}

/// Place of the service that a path of the document is about.
fn place_of(services: &Node, path: &str) -> crate::text::Place {
    let Value::Map(entries) = &services.value else { return services.place };
    let application = path.split('.').nth(1).unwrap_or_default();
    let found = entries.iter().find(|entry| name_of(&entry.key).is_some_and(|name| name.as_str() == application));
    found.map_or(services.place, |entry| entry.place)
}

fn translate(tree: &Node, findings: &mut Vec<Finding>, problems: &mut Problems) -> Option<Document> {
    let Some(services) = tree.get("services") else {
        problems.add_with_hint(tree.place, "has no `services`", "a compose file begins with `services:`");
        return None;
    };
    let Value::Map(entries) = &services.value else {
        problems.add(services.place, "must be a map of services");
        return None;
    };
    let mut shared = whole(tree, findings);
    let names = names(entries, problems);
    let mut applications = BTreeMap::new();
    for entry in entries {
        let Some(name) = names.get(&entry.key) else { continue };
        let path = format!("services.{}", entry.key);
        if name.as_str() != entry.key {
            let why = format!("is reached as `{name}` here");
            let (path, key, kind) = (path.clone(), entry.key.clone(), FindingKind::Unsupported);
            findings.push(Finding { place: entry.place, path, key, kind, why });
        }
        let below = Findings { path: path.clone(), found: findings };
        let service = Service { name, names: &names, shared: &mut shared, findings: below };
        let translated = problems.below(&path, |problems| service.translate(&entry.value, problems));
        if let Some(application) = translated {
            sizes(entry, &application, &path, findings);
            applications.insert(name.clone(), application);
        }
    }
    let mut document = Document::read(&empty(tree), &mut Problems::default())?;
    document.applications = applications;
    Some(document)
}

/// The tree of a document without applications.
fn empty(tree: &Node) -> Node {
    let version = Node { value: Value::Scalar { text: "1".to_string(), plain: true }, ..tree.clone() };
    let entry = Entry { key: "version".to_string(), place: tree.place, value: version };
    Node { place: tree.place, value: Value::Map(vec![entry]), size: 2 }
}

/// Notes that volumes get a size.
fn sizes(entry: &Entry, application: &Application, path: &str, findings: &mut Vec<Finding>) {
    if application.volumes.is_empty() {
        return;
    }
    let place = entry.value.get("volumes").map_or(entry.place, |node| node.place);
    let why =
        format!("each volume gets a limit of {}; change `size` where that does not fit", Size(VOLUME_BYTES_DEFAULT));
    let (path, key) = (format!("{path}.volumes"), "volumes".to_string());
    findings.push(Finding { place, path, key, kind: FindingKind::Ignored, why });
}

/// Names of the services here; two that would have one name are a problem.
fn names(entries: &[Entry], problems: &mut Problems) -> BTreeMap<String, Name> {
    let mut names: BTreeMap<String, Name> = BTreeMap::new();
    for entry in entries {
        match name_of(&entry.key) {
            Some(name) if names.values().any(|known| *known == name) => {
                problems.add(
                    entry.place,
                    format!("service `{}` would have the name `{name}`, which another one has", entry.key),
                );
            }
            Some(name) => drop(names.insert(entry.key.clone(), name)),
            None => problems.add(entry.place, format!("service `{}` has a name that cannot be one here", entry.key)),
        }
    }
    names
}

/// The parts of the file beside its services.
fn whole(tree: &Node, findings: &mut Vec<Finding>) -> Shared {
    let mut shared = Shared::default();
    let Value::Map(entries) = &tree.value else { return shared };
    let mut notes = Findings { path: String::new(), found: findings };
    for entry in entries {
        match entry.key.as_str() {
            "services" => {}
            "version" | "name" => notes.ignored(entry, "has no meaning any more"),
            "networks" => notes.ignored(entry, "an application reaches those that it depends on, by their name"),
            "volumes" => external(entry, &mut notes),
            "secrets" => shared.secrets = secrets(entry),
            "configs" => shared.configs = configs(entry),
            key if key.starts_with("x-") => notes.ignored(entry, "an extension, of which the anchors were followed"),
            _ => notes.unsupported(entry, "is not known here"),
        }
    }
    shared
}

fn parts(entry: &Entry) -> &[Entry] {
    match &entry.value.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// Volumes that are made elsewhere, or in another way.
fn external(entry: &Entry, notes: &mut Findings<'_>) {
    for volume in parts(entry) {
        for option in parts(volume) {
            match option.key.as_str() {
                "name" | "labels" => {}
                "driver" if option.value.as_text() == Some("local") => {}
                "external" if option.value.as_text() == Some("false") => {}
                key => notes.unsupported_at(
                    "volumes",
                    option.place,
                    format!("{}.{key}: volumes are made here, empty", volume.key),
                ),
            }
        }
    }
}

/// Secrets by the name that they have here. Their values are never read from a file: a person sets them.
fn secrets(entry: &Entry) -> BTreeMap<String, Name> {
    parts(entry).iter().filter_map(|secret| Some((secret.key.clone(), name_of(&secret.key)?))).collect()
}

fn configs(entry: &Entry) -> BTreeMap<String, Option<String>> {
    let content = |config: &Entry| config.value.get("content").and_then(Node::as_text).map(str::to_string);
    parts(entry).iter().map(|config| (config.key.clone(), content(config))).collect()
}
