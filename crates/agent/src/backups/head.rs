//! The description of a backup: a small tree beside the data, stored last, so that a backup that is seen is whole (B-55).
//!
//! ```text
//! backup.json        what this is, and the snapshots of its volumes
//! document.yaml      the document of the whole machine
//! generation         canonical bytes of the generation
//! secrets/NAME.age   present value of each secret, for the owner and the node alone
//! templates/N.json   text of each template of another publisher that applications of the document are made of
//! ```
//!
//! Secrets are sealed once more in here, each in a file of age: all who write to a repository can read what is in it, and secrets are no business of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use openmesh_backup::{
    Id, Identity, KEY_FILE_BYTES_MAX, Owners, Recipient, Repository, Restoration, Snapshot, open, open_file, seal_file,
};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::Name;
use openmesh_primitives::{Timestamp, canonical};
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};

use crate::backups::error::BackupsError;
use crate::backups::views;
use crate::error::AgentError;
use crate::publishers::Carried;
use crate::service::{Service, names};

/// Version of the description.
const VERSION: u32 = 1;
/// Largest description and document that are read, bytes: hundreds of applications with their files.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most texts of templates that are read: more than applications fit into a document.
const TEMPLATES_MAX: usize = 1_000;
/// Largest file with such a text, bytes: JSON makes at most six of one.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;

/// Label: mark of the machine.
pub(crate) const MACHINE: &str = "machine";
/// Label: name of the machine.
pub(crate) const NODE: &str = "node";
/// Label: application.
pub(crate) const APPLICATION: &str = "application";
/// Label: number of the generation.
pub(crate) const GENERATION: &str = "generation";
/// Label: mark that all snapshots of one backup share.
pub(crate) const BACKUP: &str = "backup";
/// Label: the part of the backup, [`HEAD`] or `volume NAME`.
pub(crate) const PART: &str = "part";
/// The part that describes a backup.
pub(crate) const HEAD: &str = "head";
/// Label of a description: its place in the order of a machine's backups.
pub(crate) const NUMBER: &str = "number";
/// Label of a description: bytes of all files of the volumes.
pub(crate) const BYTES: &str = "bytes";
/// Prefix of a label of a description: bytes of one volume's files.
pub(crate) const VOLUME_BYTES: &str = "volume ";

/// Description of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// Version of the form.
    pub version: u32,
    /// Mark of the machine.
    pub machine: String,
    /// Name of the machine.
    pub node: String,
    /// Application; empty where the machine alone is described.
    pub application: String,
    /// Generation whose document is in it.
    pub generation: u64,
    /// Place in the order of the machine's backups in this repository. Clocks are set, and a machine that was restored begins its generations anew: the
    /// newest backup is the one with the highest number.
    pub number: u64,
    /// Moment of the data.
    pub at: Timestamp,
    /// First user id of the application on that machine.
    pub first_id: u32,
    /// Volumes by their name in the application.
    pub volumes: BTreeMap<String, Part>,
}

/// A volume in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Id of its snapshot.
    pub snapshot: String,
    /// Id of the volume on that machine.
    pub volume: String,
    /// Line that was in use.
    pub line: u32,
    /// Size of the volume, bytes.
    pub size_bytes: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Part {
    /// Id of its snapshot.
    ///
    /// # Errors
    /// It is none.
    pub fn snapshot(&self) -> Result<Id, AgentError> {
        let wrong = |_| BackupsError::Description { backup: self.snapshot.clone(), why: "it names no snapshot".into() };
        Ok(self.snapshot.parse::<Id>().map_err(wrong)?)
    }
}

impl Head {
    /// A description of this version.
    pub fn new(
        machine: String,
        node: String,
        application: &Name,
        generation: u64,
        at: Timestamp,
        first_id: u32,
    ) -> Head {
        let application = application.to_string();
        let volumes = BTreeMap::new();
        Head { version: VERSION, machine, node, application, generation, number: 0, at, first_id, volumes }
    }

    /// A description of the machine alone: of no application, with document and secrets.
    pub fn of_machine(machine: String, node: String, generation: u64, at: Timestamp) -> Head {
        let (application, volumes) = (String::new(), BTreeMap::new());
        Head { version: VERSION, machine, node, application, generation, number: 0, at, first_id: 0, volumes }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.volumes.values().map(|part| part.bytes).sum()
    }
}

/// A description that was opened.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// Id of its snapshot, which is the backup's.
    pub id: Id,
    /// The description.
    pub head: Head,
    /// The document.
    pub document: Document,
    /// Values of the secrets.
    pub secrets: BTreeMap<Name, Vec<u8>>,
    /// Secrets that are for other keys than the one given: of an owner or a machine before.
    pub closed: BTreeSet<Name>,
    /// Texts of templates of other publishers; none in a backup of before.
    pub templates: Vec<Carried>,
}

impl Opened {
    /// Fails where a secret is for another key.
    ///
    /// # Errors
    /// One is; the names are said.
    pub fn all_open(&self) -> Result<(), AgentError> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let why = format!(
            "its secrets {} are for another key: that of the owner or the machine when it was made",
            names(self.closed.iter())
        );
        Err(BackupsError::Description { backup: self.id.to_string(), why }.into())
    }
}

/// Number of the next description of a machine in a repository: higher than that of every one which is there.
///
/// # Errors
/// The repository fails.
pub(crate) fn next_number(repository: &Repository<'_>, machine: &str) -> Result<u64, AgentError> {
    let found = repository.snapshots()?.found;
    let own = found.values().filter(|snapshot| label(snapshot, MACHINE) == machine);
    Ok(own.map(number).max().unwrap_or(0).saturating_add(1))
}

/// Place of a description in the order of its machine's; 0 for another snapshot.
pub(crate) fn number(snapshot: &Snapshot) -> u64 {
    label(snapshot, NUMBER).parse().unwrap_or(0)
}

/// Writes the tree of a description into a folder, which is made anew.
///
/// # Errors
/// The document or a secret cannot be had, or a file cannot be written.
pub(crate) fn write(service: &Service, head: &Head, folder: &Path) -> Result<(), AgentError> {
    let document = service.document(head.generation)?;
    begin(head, &document, &service.publishers().carried(&document), folder)?;
    let generation = marks::generation(&service.agent().machine().paths, head.generation)?;
    write_file(&folder.join("generation"), &canonical::encode(&generation))?;
    let recipients = service.backups().keys.recipients()?;
    for secret in service.secrets()? {
        let name: Name = crate::api::name(&secret.name)?;
        // Removed since it was listed.
        let Some(value) = service.agent().machine().secrets.value(&name, secret.version) else { continue };
        add_secret(folder, &name, &value, &recipients)?;
    }
    Ok(())
}

/// Begins the tree of a description in a folder, which is made anew: with the description, a document and texts of templates, and without a secret.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn begin(head: &Head, document: &Document, templates: &[Carried], folder: &Path) -> Result<(), AgentError> {
    clear(folder)?;
    make(folder)?;
    let words = |cause: serde_json::Error| BackupsError::Value(cause.to_string());
    write_file(&folder.join("backup.json"), &serde_json::to_vec_pretty(head).map_err(words)?)?;
    write_file(&folder.join("document.yaml"), document.to_yaml().as_bytes())?;
    write_templates(&folder.join("templates"), templates)?;
    make(&folder.join("secrets"))
}

/// Adds the value of a secret to the tree of a description, for some recipients alone.
///
/// # Errors
/// It cannot be sealed or written.
pub(crate) fn add_secret(folder: &Path, name: &Name, value: &[u8], recipients: &[Recipient]) -> Result<(), AgentError> {
    let file = seal_file(recipients, value)?;
    write_file(&folder.join("secrets").join(format!("{name}.age")), &file)
}

/// Writes texts of templates, each into a file of its own.
fn write_templates(folder: &Path, templates: &[Carried]) -> Result<(), AgentError> {
    make(folder)?;
    let words = |cause: serde_json::Error| BackupsError::Value(cause.to_string());
    for (number, template) in templates.iter().enumerate() {
        write_file(&folder.join(format!("{number}.json")), &serde_json::to_vec(template).map_err(words)?)?;
    }
    Ok(())
}

/// Reads texts of templates; none where there is no such folder. One that is none is left out: a deployment that needs it says so.
fn read_templates(folder: &Path) -> Result<Vec<Carried>, AgentError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(AgentError::file("listing", folder))?,
    };
    let mut templates = Vec::new();
    for entry in entries.take(TEMPLATES_MAX) {
        let path = entry.map_err(AgentError::file("listing", folder))?.path();
        templates.extend(serde_json::from_slice::<Carried>(&read_file(&path, TEMPLATE_BYTES_MAX)?).ok());
    }
    Ok(templates)
}

/// Removes the folder of a description.
///
/// # Errors
/// The system's word.
pub(crate) fn clear(folder: &Path) -> Result<(), AgentError> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(AgentError::file("removing", folder)),
    }
}

fn make(folder: &Path) -> Result<(), AgentError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(AgentError::file("making", folder))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), AgentError> {
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(AgentError::file("writing", path))
}

/// Reads the description of a backup out of its repository, by way of a folder that is gone afterwards.
///
/// # Errors
/// It is no description of this version, a secret is damaged, or the repository fails.
pub(crate) fn read(
    repository: &Repository<'_>,
    id: Id,
    identity: &Identity,
    folder: &Path,
) -> Result<Opened, AgentError> {
    clear(folder)?;
    if let Some(parent) = folder.parent() {
        make(parent)?;
    }
    let order = Restoration { snapshot: id, target: folder, owners: Owners::Callers, verify: true };
    repository.restore(&order, &open)?;
    let read = parse(id, folder, identity);
    clear(folder)?;
    read
}

fn parse(id: Id, folder: &Path, identity: &Identity) -> Result<Opened, AgentError> {
    let wrong = |why: String| BackupsError::Description { backup: id.to_string(), why };
    let text = |name: &str| -> Result<String, AgentError> {
        let bytes = read_file(&folder.join(name), FILE_BYTES_MAX)?;
        Ok(String::from_utf8(bytes).map_err(|_| wrong(format!("{name} is no text")))?)
    };
    let head: Head = serde_json::from_str(&text("backup.json")?).map_err(|cause| wrong(cause.to_string()))?;
    if head.version != VERSION {
        return Err(wrong(format!("it is of version {}, and this program reads {VERSION}", head.version)).into());
    }
    let document = Document::parse(&text("document.yaml")?);
    let document = document.map_err(|problems| AgentError::Document { problems })?;
    let (mut secrets, mut closed) = (BTreeMap::new(), BTreeSet::new());
    let place = folder.join("secrets");
    for entry in fs::read_dir(&place).map_err(AgentError::file("listing", &place))? {
        let path = entry.map_err(AgentError::file("listing", &place))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()?.parse::<Name>().ok());
        let name = name.ok_or_else(|| wrong(format!("{} is no secret", path.display())))?;
        let file = read_file(&path, KEY_FILE_BYTES_MAX as u64)?;
        match open_file(std::slice::from_ref(identity), &file)? {
            Some(value) => {
                secrets.insert(name, value);
            }
            None => {
                closed.insert(name);
            }
        }
    }
    let templates = read_templates(&folder.join("templates"))?;
    Ok(Opened { id, head, document, secrets, closed, templates })
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, AgentError> {
    let about = fs::symlink_metadata(path).map_err(AgentError::file("reading", path))?;
    if !about.is_file() || about.len() > bytes_max {
        let words = format!("a file of at most {bytes_max} bytes is expected");
        return Err(AgentError::Damaged { path: path.into(), words });
    }
    fs::read(path).map_err(AgentError::file("reading", path))
}

/// Folder for the description of an application's backup while it is written or read.
pub(crate) fn scratch(service: &Service, name: &str) -> PathBuf {
    service.backups().folder().join("heads").join(name)
}

/// Labels of a part of a backup.
pub(crate) fn labels(head: &Head, backup: &str, part: &str) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        (MACHINE, head.machine.clone()),
        (NODE, head.node.clone()),
        (APPLICATION, head.application.clone()),
        (GENERATION, head.generation.to_string()),
        (BACKUP, backup.to_string()),
        (PART, part.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    if part == HEAD {
        labels.insert(NUMBER.into(), head.number.to_string());
        labels.insert(BYTES.into(), head.bytes().to_string());
        // A list shows the volumes without reading each description; of more than fit, the description has the rest.
        for (name, volume) in head.volumes.iter().take(openmesh_backup::LABELS_MAX - labels.len()) {
            labels.insert(format!("{VOLUME_BYTES}{name}"), volume.bytes.to_string());
        }
    }
    labels
}

/// A label of a snapshot; empty where it has none of the name.
pub(crate) fn label<'a>(snapshot: &'a Snapshot, name: &str) -> &'a str {
    snapshot.labels.get(name).map_or("", String::as_str)
}

/// A backup as a list shows it; none for a snapshot that describes none.
pub(crate) fn view(id: Id, snapshot: &Snapshot, target: &str) -> Option<views::Backup> {
    if label(snapshot, PART) != HEAD {
        return None;
    }
    let volumes = snapshot.labels.iter().filter_map(|(name, bytes)| {
        let volume = name.strip_prefix(VOLUME_BYTES)?;
        Some((volume.to_string(), bytes.parse::<u64>().ok()?))
    });
    Some(views::Backup {
        id: id.to_string(),
        application: label(snapshot, APPLICATION).into(),
        target: target.into(),
        node: label(snapshot, NODE).into(),
        generation: label(snapshot, GENERATION).parse().unwrap_or(0),
        number: number(snapshot),
        at: snapshot.time,
        volumes: volumes.collect(),
        bytes: label(snapshot, BYTES).parse().unwrap_or(0),
        stored_bytes: None,
        still_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::ValidatorPublicKey;

    use super::*;

    #[test]
    fn texts_of_templates_are_read_as_they_were_written_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("templates");
        assert_eq!(read_templates(&place).unwrap(), []);
        let one = Carried {
            catalogue: "acme".into(),
            name: "shop".into(),
            version: "3".into(),
            publisher: "Acme Ltd.".into(),
            key: ValidatorPublicKey([7; 32]),
            text: "name: shop\n".into(),
        };
        write_templates(&place, std::slice::from_ref(&one)).unwrap();
        fs::write(place.join("more.json"), b"{}").unwrap();
        assert_eq!(read_templates(&place).unwrap(), [one]);
    }

    #[test]
    fn labels_are_those_that_a_list_reads() {
        let name: Name = "web".parse().unwrap();
        let mut head = Head::new("m".into(), "node".into(), &name, 7, Timestamp(5), 65_536);
        for number in 0..100_u64 {
            let part = Part {
                snapshot: Id::of(b"x").to_string(),
                volume: "v".into(),
                line: 1,
                size_bytes: 9,
                bytes: number,
                entries: 1,
            };
            head.volumes.insert(format!("v{number}"), part);
        }
        let of_head = labels(&head, "ab", HEAD);
        assert_eq!((of_head.len(), of_head["bytes"].as_str()), (openmesh_backup::LABELS_MAX, "4950"));
        let of_volume = labels(&head, "ab", "volume v1");
        assert_eq!((of_volume.len(), of_volume["part"].as_str()), (6, "volume v1"));
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
        assert_eq!(head.volumes["v1"].snapshot().unwrap(), Id::of(b"x"));
        head.number = 12;
        assert_eq!(labels(&head, "ab", HEAD)[NUMBER], "12");
    }
}
