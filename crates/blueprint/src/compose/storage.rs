//! Volumes, mounted files and temporary file systems of a service.

use super::context::{Context, entries, one_or_more};
use super::finding::Findings;
use super::naming::{has_password, holds_secret, name_of, propose, word};
use super::shared::{IN_THE_CLEAR, Shared, TAKEN, is_room};
use crate::document::{AppPath, Application, Content, FILE_BYTES_MAX, File, Mode, Name, Root, Size, Volume};
use crate::text::{Entry, Node, Place, Value};

/// Size of a volume of a compose file, which has none, in bytes: 10 GiB, which most databases of a small machine stay below, and which can grow.
pub const VOLUME_BYTES_DEFAULT: u64 = 10 << 30;

/// Places that are bounded memory in every application.
const MEMORY_PATHS: [&str; 3] = ["/tmp", "/run", "/dev/shm"];
/// Files of the host that tell its time zone.
const TIME_PATHS: [&str; 3] = ["/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"];
/// Options of the short form that change nothing here: who may share what, and labels of SELinux.
const OPTIONS: [&str; 14] = [
    "rw",
    "z",
    "Z",
    "cached",
    "delegated",
    "consistent",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "nosuid",
    "nodev",
];

/// A mount of a service.
struct Mount {
    source: Option<String>,
    target: String,
    read_only: bool,
    /// Docker copies what the image has at the target into a new volume.
    is_filled: bool,
    place: Place,
}

/// Takes the volumes of the file as a whole: those that are made elsewhere, or in another way, are told.
pub(super) fn declared(entry: &Entry, shared: &mut Shared, notes: &mut Findings<'_>) {
    for (volume, node) in entries(Some(&entry.value)) {
        shared.volumes.insert(volume.to_string());
        let Value::Map(options) = &node.value else { continue };
        for option in options.iter().filter(|option| !option.value.is_null()) {
            match (option.key.as_str(), option.value.as_text()) {
                ("name" | "labels", _) | ("driver", Some("local")) | ("external", Some("false")) => {}
                ("external", _) => notes.unsupported_at(
                    "volumes",
                    option.place,
                    format!("{volume}.external: a volume that is there already is not taken over; it begins empty"),
                ),
                ("driver_opts", _) if entries(Some(&option.value)).next().is_none() => {}
                (key, _) if key.starts_with("x-") => {}
                (key, _) => {
                    notes.unsupported_at(
                        "volumes",
                        option.place,
                        format!("{volume}.{key}: volumes are made here, empty"),
                    );
                }
            }
        }
    }
}

/// Mounts of a service on their way.
pub(super) struct Mounts<'a> {
    pub(super) owner: &'a Name,
    pub(super) context: &'a Context,
    pub(super) shared: &'a mut Shared,
}

impl Mounts<'_> {
    /// Takes `volumes`.
    pub(super) fn take(&mut self, entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
        let Value::List(items) = &entry.value.value else {
            return findings.unsupported(entry, "is not a list");
        };
        let before = application.volumes.len();
        for item in items {
            let mount = match (item.as_text(), &item.value) {
                (Some(text), _) => short(text, item.place, findings),
                (None, Value::Map(_)) => long(item, application.root, findings),
                _ => {
                    findings.unsupported_at("volumes", item.place, "is not understood");
                    None
                }
            };
            if let Some(mount) = mount {
                self.add(mount, application, findings);
            }
        }
        if application.volumes.len() > before {
            let size = Size(VOLUME_BYTES_DEFAULT);
            let why = format!("each volume gets a limit of {size}; change `size` where that does not fit");
            findings.changed_at("volumes", entry.value.place, why);
        }
    }

    fn add(&mut self, mount: Mount, application: &mut Application, findings: &mut Findings<'_>) {
        let place = mount.place;
        let target = mount.target.trim_end_matches('/');
        let Ok(path) = target.parse::<AppPath>() else {
            findings.unsupported_at("volumes", place, format!("`{}` is not a path in the application", mount.target));
            return;
        };
        if mount.source.as_deref().is_some_and(is_of_host) {
            self.of_host(mount, path, application, findings);
            return;
        }
        let wanted = mount.source.clone().unwrap_or_else(|| path.as_str().trim_start_matches('/').to_string());
        let Some(name) = name_of(&wanted) else {
            findings.unsupported_at("volumes", place, format!("`{wanted}` cannot be a name here"));
            return;
        };
        if let Some(source) = mount.source {
            if !self.shared.volumes.contains(&source) {
                let why = format!("`{source}` is not among the `volumes` of this file");
                findings.unsupported_at("volumes", place, why);
            }
            let first = self.shared.owners.entry(source).or_insert_with(|| self.owner.clone());
            if first != self.owner {
                let why = format!("the volume belongs to {first}, and two applications do not share one");
                findings.unsupported_at("volumes", place, why);
                return;
            }
        }
        if application.volumes.contains_key(&name) {
            findings.unsupported_at("volumes", place, format!("{name} is mounted twice, of which one is done"));
            return;
        }
        if mount.is_filled {
            let why = format!("{name} begins empty; Docker fills a new one with what the image has at {path}");
            findings.changed_at("volumes", place, why);
        }
        let volume = Volume { path, size: Size(VOLUME_BYTES_DEFAULT), read_only: mount.read_only, backup: true };
        drop(application.volumes.insert(name, volume));
    }

    /// Something of the host: a file that lies beside the compose file becomes one of the document.
    fn of_host(&mut self, mount: Mount, path: AppPath, application: &mut Application, findings: &mut Findings<'_>) {
        let source = mount.source.unwrap_or_default();
        let place = mount.place;
        if TIME_PATHS.contains(&source.as_str()) {
            let why = format!("`{source}`: applications have UTC; give another zone by `TZ` under `environment`");
            return findings.changed_at("volumes", place, why);
        }
        if source.ends_with("docker.sock") {
            return findings.unsupported_at("volumes", place, "the socket of Docker: there is no Docker here");
        }
        match self.context.file(&source) {
            Some(text) if text.len() <= FILE_BYTES_MAX && !is_room(&mut self.shared.taken, text.len()) => {
                findings.unsupported_at("volumes", place, format!("`{source}` {TAKEN}"));
            }
            Some(text) if text.len() <= FILE_BYTES_MAX => {
                let mode = if text.starts_with("#!") { Mode(0o755) } else { Mode(0o644) };
                let secret = holds_secret(&source, text)
                    .then(|| propose(&source, &format!("files.{source}"), &mut self.shared.proposed))
                    .flatten();
                let content = match secret {
                    Some(secret) => {
                        let why = format!(
                            "`{source}` becomes the secret `{secret}`: set it with `openmesh xnode secret set {secret} --file {}`",
                            word(&source)
                        );
                        findings.changed_at("volumes", place, why);
                        Content::Secret(secret)
                    }
                    None => {
                        if has_password(text) {
                            findings.changed_at("volumes", place, format!("`{source}` {IN_THE_CLEAR}"));
                        }
                        Content::Text(text.to_string())
                    }
                };
                let file = File { content, mode, owner: None };
                if !mount.read_only {
                    let why = format!("`{source}` becomes a file of the document; what is written to it is not kept");
                    findings.changed_at("volumes", place, why);
                }
                drop(application.files.insert(path, file));
            }
            Some(_) => {
                let why = format!("`{source}` has more than {}; put it into a volume", Size(FILE_BYTES_MAX as u64));
                findings.unsupported_at("volumes", place, why);
            }
            None => {
                let why = format!("`{source}` is of the host; put a small file into `files`, and data into a volume");
                findings.unsupported_at("volumes", place, why);
            }
        }
    }
}

/// `[source:]target[:options]`.
fn short(text: &str, place: Place, findings: &mut Findings<'_>) -> Option<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some((*source).to_string()), *target, ""),
        [source, target, options] => (Some((*source).to_string()), *target, *options),
        _ => {
            findings.unsupported_at("volumes", place, "is not understood");
            return None;
        }
    };
    let (mut read_only, mut is_filled) = (false, true);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "nocopy" => is_filled = false,
            other if OPTIONS.contains(&other) => {}
            other => findings.unsupported_at("volumes", place, format!("the option `{other}` is not known here")),
        }
    }
    Some(Mount { source, target: target.to_string(), read_only, is_filled, place })
}

fn long(item: &Node, root: Root, findings: &mut Findings<'_>) -> Option<Mount> {
    let text = |key: &str| item.get(key).and_then(Node::as_text).map(str::to_string);
    let target = text("target").unwrap_or_default();
    for (key, value) in entries(Some(item)) {
        let known = ["type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs"];
        if !known.contains(&key) && !key.starts_with("x-") {
            findings.unsupported_at("volumes", value.place, format!("{key} is not known here"));
        }
    }
    let source = match text("type").as_deref().unwrap_or("volume") {
        "volume" => text("source"),
        "bind" => Some(text("source").filter(|source| is_of_host(source)).unwrap_or_else(|| "./".to_string())),
        "tmpfs" => {
            let has_size = entries(item.get("tmpfs")).next().is_some();
            memory(&target, has_size, "volumes", item.place, root, findings);
            return None;
        }
        other => {
            findings.unsupported_at("volumes", item.place, format!("mounts of the type {other} are not there"));
            return None;
        }
    };
    let option = |key: &str| item.get("volume").and_then(|options| options.get(key));
    if let Some(node) = option("subpath") {
        let why = "subpath: a volume is mounted as a whole, so that the path is another one in it";
        findings.unsupported_at("volumes", node.place, why);
    }
    let is_filled = option("nocopy").and_then(Node::as_text) != Some("true");
    let read_only = text("read_only").as_deref() == Some("true");
    Some(Mount { source, target, read_only, is_filled, place: item.place })
}

/// Returns true for a folder or a file of the host.
fn is_of_host(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.contains('\\')
}

/// Takes `tmpfs` of a service: what is memory here anyway.
pub(super) fn tmpfs(entry: &Entry, root: Root, findings: &mut Findings<'_>) {
    for item in one_or_more(Some(&entry.value)) {
        let text = item.as_text().unwrap_or_default();
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        memory(path, !options.is_empty(), "tmpfs", item.place, root, findings);
    }
}

/// Notes a temporary file system: memory where every application has some, else a part of the writable root.
fn memory(path: &str, has_options: bool, key: &str, place: Place, root: Root, findings: &mut Findings<'_>) {
    let path = path.trim_end_matches('/');
    let is_memory = MEMORY_PATHS.contains(&path);
    if !is_memory && root == Root::Writable {
        let why = format!("{path} lies in the writable root and not in memory; it goes with the instance as well");
        findings.changed_at(key, place, why);
    } else if !is_memory {
        let why = format!("{path}: only {} are memory, and the root is read-only", MEMORY_PATHS.join(", "));
        findings.unsupported_at(key, place, why);
    } else if has_options {
        findings.changed_at(key, place, format!("{path}: its memory has the bound and mode of all applications"));
    }
}
