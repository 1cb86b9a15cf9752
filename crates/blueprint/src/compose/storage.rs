//! Volumes, temporary file systems, secrets and configs of a service.

use std::collections::BTreeMap;

use super::finding::Findings;
use crate::document::{AppPath, Application, Content, File, Mode, Name, Size, Volume};
use crate::text::{Entry, Node, Place, Value};

/// Size of a volume of a compose file, which has none, in bytes: 10 GiB, which most databases of a small machine stay below, and which can grow.
pub const VOLUME_BYTES_DEFAULT: u64 = 10 << 30;

/// Places that are bounded memory in every application.
const MEMORY_PATHS: [&str; 3] = ["/tmp", "/run", "/dev/shm"];

/// Named parts of the file as a whole.
#[derive(Default)]
pub(super) struct Shared {
    /// Service that has a named volume.
    pub(super) owners: BTreeMap<String, Name>,
    /// Texts of configs; `None` for those that lie in a file.
    pub(super) configs: BTreeMap<String, Option<String>>,
    /// Names of secrets.
    pub(super) secrets: BTreeMap<String, Name>,
}

/// A mount of a service.
struct Mount {
    source: Option<String>,
    target: String,
    read_only: bool,
    place: Place,
}

/// Takes `volumes` of a service.
pub(super) fn volumes(
    entry: &Entry,
    owner: &Name,
    application: &mut Application,
    shared: &mut Shared,
    findings: &mut Findings<'_>,
) {
    let Value::List(items) = &entry.value.value else {
        findings.unsupported(entry, "is not a list");
        return;
    };
    for item in items {
        let mount = match (item.as_text(), &item.value) {
            (Some(text), _) => short(text, item.place),
            (None, Value::Map(_)) => long(item, findings),
            _ => None,
        };
        match mount {
            Some(mount) => add(mount, owner, application, shared, findings),
            None if matches!(item.value, Value::Map(_)) => {}
            None => findings.unsupported_at("volumes", item.place, "is not understood"),
        }
    }
}

/// `[source:]target[:options]`.
fn short(text: &str, place: Place) -> Option<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some((*source).to_string()), *target, ""),
        [source, target, options] => (Some((*source).to_string()), *target, *options),
        _ => return None,
    };
    let read_only = options.split(',').any(|option| option == "ro");
    Some(Mount { source, target: target.to_string(), read_only, place })
}

fn long(item: &Node, findings: &mut Findings<'_>) -> Option<Mount> {
    let text = |key: &str| item.get(key).and_then(Node::as_text).map(str::to_string);
    let target = text("target").unwrap_or_default();
    let source = match text("type").as_deref().unwrap_or("volume") {
        "volume" => text("source"),
        "bind" => Some(text("source").filter(|source| is_folder(source)).unwrap_or_else(|| "./".to_string())),
        "tmpfs" if MEMORY_PATHS.contains(&target.as_str()) => return None,
        other => {
            findings.unsupported_at("volumes", item.place, format!("mounts of the type {other} are not there"));
            return None;
        }
    };
    let read_only = text("read_only").as_deref() == Some("true");
    Some(Mount { source, target, read_only, place: item.place })
}

/// Returns true for a folder of the host.
fn is_folder(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.contains('\\')
}

fn add(mount: Mount, owner: &Name, application: &mut Application, shared: &mut Shared, findings: &mut Findings<'_>) {
    let Mount { source, target, read_only, place } = mount;
    if source.as_deref().is_some_and(is_folder) {
        let why = "a folder of the host; put small files into `files`, and data into a volume";
        findings.unsupported_at("volumes", place, why);
        return;
    }
    let Ok(path) = target.trim_end_matches('/').parse::<AppPath>() else {
        findings.unsupported_at("volumes", place, format!("`{target}` is not a path in the application"));
        return;
    };
    let wanted = source.clone().unwrap_or_else(|| path.as_str().trim_start_matches('/').to_string());
    let Some(name) = name_of(&wanted) else {
        findings.unsupported_at("volumes", place, format!("`{wanted}` cannot be a name here"));
        return;
    };
    if let Some(source) = source {
        let first = shared.owners.entry(source).or_insert_with(|| owner.clone());
        if first != owner {
            let why = format!("the volume belongs to {first}, and two applications do not share one");
            findings.unsupported_at("volumes", place, why);
            return;
        }
    }
    let volume = Volume { path, size: Size(VOLUME_BYTES_DEFAULT), read_only, backup: true };
    if application.volumes.insert(name.clone(), volume).is_some() {
        findings.unsupported_at("volumes", place, format!("the volume {name} is mounted twice"));
    }
}

/// The nearest name that is allowed here: lower case, with `-` for what a name does not have.
pub(super) fn name_of(text: &str) -> Option<Name> {
    let lower = text.to_ascii_lowercase();
    let plain: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = plain.trim_matches('-');
    let begins =
        if trimmed.starts_with(|c: char| c.is_ascii_digit()) { format!("n{trimmed}") } else { trimmed.to_string() };
    let short: String = begins.chars().take(32).collect();
    short.trim_end_matches('-').parse().ok()
}

/// Takes `tmpfs` of a service: what is memory here anyway.
pub(super) fn tmpfs(entry: &Entry, findings: &mut Findings<'_>) {
    let single = [entry.value.clone()];
    let items = match &entry.value.value {
        Value::List(items) => items.as_slice(),
        _ => &single,
    };
    for item in items {
        let path = item.as_text().unwrap_or_default().split(':').next().unwrap_or_default();
        if !MEMORY_PATHS.contains(&path.trim_end_matches('/')) {
            findings.unsupported_at("tmpfs", item.place, format!("only {} are memory", MEMORY_PATHS.join(", ")));
        }
    }
}

/// Takes `secrets` and `configs` of a service: each becomes a file.
pub(super) fn files(entry: &Entry, application: &mut Application, shared: &Shared, findings: &mut Findings<'_>) {
    let secrets = entry.key == "secrets";
    let items = match &entry.value.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    for item in items {
        let text = |key: &str| item.get(key).and_then(Node::as_text);
        let source = item.as_text().or_else(|| text("source")).unwrap_or_default();
        let content = match secrets {
            true => shared.secrets.get(source).cloned().map(Content::Secret),
            false => shared.configs.get(source).cloned().flatten().map(Content::Text),
        };
        let Some(content) = content else {
            findings.unsupported_at(&entry.key, item.place, format!("`{source}` has no content in this file"));
            continue;
        };
        let default = if secrets { format!("/run/secrets/{source}") } else { format!("/{source}") };
        let target = text("target").map_or(default, |target| match target.starts_with('/') {
            true => target.to_string(),
            false => format!("/run/secrets/{target}"),
        });
        match target.parse() {
            Ok(path) => drop(application.files.insert(path, File { content, mode: Mode(0o444), owner: None })),
            Err(_) => findings.unsupported_at(&entry.key, item.place, format!("`{target}` is not a path")),
        }
    }
}
