//! Variables, files and choices that a compose file takes from outside of itself.

use std::collections::{BTreeMap, BTreeSet};

use super::interpolate::replaced;
use super::naming::{has_password, is_secret};
use crate::text::{Node, Value, parse_with_tags};

/// Most files that one compose file names and that are read for it: more is a mistake, or a folder of data.
pub const FILES_MAX: usize = 64;
/// Tags that the Compose specification knows.
pub(super) const TAGS: [&str; 2] = ["!reset", "!override"];

/// Parts of a compose file that lie outside of it: the reader reads nothing of them, all are handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Variables of the shell and of the file `.env`.
    pub variables: BTreeMap<String, String>,
    /// Texts of files that the compose file names, by the path as it stands there; see [`files_named`].
    pub files: BTreeMap<String, String>,
    /// Profiles that are asked for.
    pub profiles: BTreeSet<String>,
    /// Images by the service that would be built from a folder.
    pub images: BTreeMap<String, String>,
}

/// Returns true for a text that is a compose file and not a document: a map with `services`, and without `applications`.
pub fn is_compose(text: &str) -> bool {
    parse_with_tags(text, &TAGS)
        .is_ok_and(|tagged| tagged.root.get("services").is_some() && tagged.root.get("applications").is_none())
}

/// Paths of the files that a compose file names for its services and that lie beside it: env files, files of configs, and files that are
/// mounted. Only paths below the compose file's own folder are given, without the leading `./`; at most [`FILES_MAX`]. A text that cannot be read
/// names none.
pub fn files_named(text: &str, variables: &BTreeMap<String, String>) -> BTreeSet<String> {
    let Ok(tagged) = parse_with_tags(text, &TAGS) else { return BTreeSet::new() };
    let mut named: Vec<String> = Vec::new();
    for (_, service) in entries(tagged.root.get("services")) {
        for item in one_or_more(service.get("env_file")) {
            named.extend(item.as_text().or_else(|| item.get("path").and_then(Node::as_text)).map(str::to_string));
        }
        for item in one_or_more(service.get("volumes")) {
            let source = match item.as_text() {
                Some(text) => text.split(':').next(),
                None => item.get("source").and_then(Node::as_text),
            };
            named.extend(source.filter(|source| source.starts_with('.')).map(str::to_string));
        }
    }
    for (_, config) in entries(tagged.root.get("configs")) {
        named.extend(config.get("file").and_then(Node::as_text).map(str::to_string));
    }
    let mut room = super::interpolate::BYTES_MAX;
    let filled = named.iter().filter_map(|path| replaced(path, variables, &mut room).ok());
    filled.filter_map(|(path, _)| beside(&path)).take(FILES_MAX).collect()
}

/// A path below the compose file's folder, in its one spelling: without `./`, and without a part that leads elsewhere.
pub(super) fn beside(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let wrong = |part: &&str| matches!(*part, "" | ".." | "~") || part.contains(['\\', '\0']);
    (!parts.is_empty() && !parts.iter().any(wrong)).then(|| parts.join("/"))
}

impl Context {
    /// The text of a file that lies beside the compose file.
    pub(super) fn file(&self, path: &str) -> Option<&str> {
        self.files.get(&beside(path)?).map(String::as_str)
    }

    /// Returns true for a variable that is a password, by its name or by its value.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        is_secret(name) || self.variables.get(name).is_some_and(|value| has_password(value))
    }
}

/// Entries of a map; none of anything else.
pub(super) fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|entry| (entry.key.as_str(), &entry.value))
}

/// Items of a list, or the one value that stands in place of a list; none of nothing.
pub(super) fn one_or_more(node: Option<&Node>) -> &[Node] {
    match node {
        None => &[],
        Some(node) if node.is_null() => &[],
        Some(node) => match &node.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(node),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_files_are_told_from_documents() {
        assert!(is_compose("services: {a: {image: a}}\n"));
        assert!(is_compose("services:\n  a:\n    ports: !reset []\n"));
        assert!(is_compose("\u{feff}services: {a: {image: a}}\n"));
        for text in ["version: 1\napplications: {}\n", "[1]", "", "services: {}\napplications: {}\n", "a: ["] {
            assert!(!is_compose(text), "{text}");
        }
    }

    #[test]
    fn files_that_are_named() {
        let text = "services:\n  a:\n    image: a\n    env_file: [.env, {path: ./b.env}, /etc/passwd]\n    volumes: ['./x/y.conf:/y:ro', '../z:/z', 'data:/d', {type: bind, source: './${V}.d', target: /e}]\nconfigs: {c: {file: ./c.cnf}}\n";
        let variables = [("V".to_string(), "w".to_string())].into();
        let named: Vec<String> = files_named(text, &variables).into_iter().collect();
        assert_eq!(named, [".env", "b.env", "c.cnf", "w.d", "x/y.conf"]);
        for path in ["", "/a", "a//b", "..", "a/../b", "~/x", "a\\b", "./"] {
            assert_eq!(beside(path), None, "{path}");
        }
        assert!(files_named("a: [", &BTreeMap::new()).is_empty());
    }
}
