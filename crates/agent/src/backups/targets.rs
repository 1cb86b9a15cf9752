//! Places for backups: stores that a document names, and the repository in each (B-4, B-62, B-63).

use std::collections::BTreeSet;
use std::path::Path;

use data_encoding::BASE64;
use openmesh_backup::peer::TRIES;
use openmesh_backup::{
    BackupError, BadId, Folder, NodeKey, NodePublicKey, Peer, PeerSettings, Repository, RepositoryId, Room, S3,
    S3Settings, Store, StoreError, open,
};
use openmesh_blueprint::document::{self, Content, Name, StoreKind};

use crate::backups::error::BackupsError;
use crate::backups::keys::Keys;
use crate::backups::records::TargetRecord;
use crate::backups::views::{self, Place};
use crate::error::AgentError;
use crate::service::Service;

/// Region that signatures name where a document names none: servers of one's own take it.
const REGION: &str = "us-east-1";
/// Marker of a repository in a folder.
const FORMAT_FILE: &str = "format";
/// Digits of a key that words about a place have: enough to tell machines apart.
const KEY_DIGITS_SHOWN: usize = 16;

/// An open place for backups.
pub(crate) struct Target {
    /// Its name in the document.
    pub name: Name,
    /// The place, in words.
    pub place: String,
    store: Box<dyn Store>,
}

fn wrong(name: impl ToString, why: impl Into<String>) -> AgentError {
    BackupsError::Target { target: name.to_string(), why: why.into() }.into()
}

/// A place in words, without keys.
pub(crate) fn words(store: &document::Store) -> String {
    match store.kind {
        StoreKind::Folder => format!("folder {}", store.address),
        StoreKind::S3 => format!("bucket {} at {}", store.bucket.as_deref().unwrap_or_default(), store.address),
        StoreKind::Peer => {
            let node = store.node.as_deref().unwrap_or_default();
            format!("Xnode {} at {}", node.get(..KEY_DIGITS_SHOWN).unwrap_or(node), store.address)
        }
    }
}

/// The place of a store in a document, with the values of its secrets.
///
/// # Errors
/// A secret is not there, or the kind is not.
pub(crate) fn place(service: &Service, name: &Name, store: &document::Store) -> Result<Place, AgentError> {
    let value = |what: &str, content: &Option<Content>| -> Result<String, AgentError> {
        match content {
            Some(Content::Text(text)) => Ok(text.clone()),
            Some(Content::Secret(secret)) => secret_text(service, secret)?.ok_or_else(|| {
                wrong(name, format!("the secret `{secret}` is not set; `openmesh xnode secret set {secret}` sets it"))
            }),
            None => Err(wrong(name, format!("it lacks `{what}`"))),
        }
    };
    match store.kind {
        StoreKind::Folder if Path::new(&store.address).starts_with(&service.settings().state) => Err(wrong(
            name,
            format!("{} is in the folder of the agent itself, with which it would be lost", store.address),
        )),
        StoreKind::Folder => Ok(Place::Folder { path: store.address.clone() }),
        StoreKind::S3 => Ok(Place::S3 {
            address: store.address.clone(),
            bucket: store.bucket.clone().unwrap_or_default(),
            region: store.region.clone(),
            key: value("key", &store.key)?,
            secret: value("secret", &store.secret)?,
        }),
        StoreKind::Peer if store.node == Some(service.lending().lender_key().to_string()) => {
            Err(wrong(name, "its key is this machine's own as a lender; a backup beside what it is of is lost with it"))
        }
        StoreKind::Peer => {
            Ok(Place::Peer { address: store.address.clone(), node: store.node.clone().unwrap_or_default() })
        }
    }
}

/// Returns true where a place of a document is a place that was named in a request. A lender is known by its key: its address may be another one by now.
pub(crate) fn is_at(store: &document::Store, place: &Place) -> bool {
    match place {
        Place::Peer { node, .. } => store.kind == StoreKind::Peer && store.node.as_ref() == Some(node),
        Place::Folder { .. } | Place::S3 { .. } => words(store) == format!("{place:?}"),
    }
}

/// Present value of a secret, as a text without the line break at its end.
fn secret_text(service: &Service, name: &Name) -> Result<Option<String>, AgentError> {
    let present = service.secrets()?.into_iter().find(|secret| secret.name == name.as_str());
    let value = present.and_then(|secret| service.agent().machine().secrets.value(name, secret.version));
    let Some(value) = value else { return Ok(None) };
    let text = String::from_utf8(value).map_err(|_| wrong(name, format!("the secret `{name}` is no text")))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_string()))
}

/// Opens a place. `own` is this machine's key as a guest. `known` says that its repository was used before: a folder without it is a disk that is not mounted,
/// and nothing is made there.
///
/// # Errors
/// The place cannot be used.
pub(crate) fn open_place(own: &NodeKey, name: &Name, place: &Place, known: bool) -> Result<Target, AgentError> {
    let failed = |cause: StoreError| wrong(name, format!("{place:?}: {cause}"));
    let store: Box<dyn Store> = match place {
        Place::Folder { path } => {
            if known && !Path::new(path).join(FORMAT_FILE).exists() {
                let why = format!(
                    "{path} does not hold its repository any more; mount its disk, or give the target another name for a new one"
                );
                return Err(wrong(name, why));
            }
            Box::new(Folder::open(path.as_str()).map_err(failed)?)
        }
        Place::S3 { address, bucket, region, key, secret } => {
            let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket.as_str(), ""));
            let settings = S3Settings {
                endpoint: address.clone(),
                bucket: bucket.to_string(),
                prefix: prefix.trim_end_matches('/').to_string(),
                region: region.clone().unwrap_or_else(|| REGION.into()),
                access_key: key.clone(),
                secret_key: secret.clone(),
                session_token: None,
            };
            Box::new(S3::open(settings).map_err(failed)?)
        }
        Place::Peer { address, node } => {
            let none = |_| wrong(name, format!("`{node}` is no key of a machine"));
            let lender = node.parse::<NodePublicKey>().map_err(none)?;
            let settings = PeerSettings { address: address.clone(), lender, own: own.clone(), tries: TRIES };
            Box::new(Peer::open(settings).map_err(failed)?)
        }
    };
    Ok(Target { name: name.clone(), place: format!("{place:?}"), store })
}

/// Opens a target of a document. What was known of another place under its name is not this one's.
///
/// # Errors
/// The place cannot be used.
pub(crate) fn open_target(service: &Service, name: &Name, store: &document::Store) -> Result<Target, AgentError> {
    let record = service.backups().records.target(name)?;
    let known = record.place == words(store) && !record.repository.is_empty();
    let own = service.lending().guest_key();
    let opened = place(service, name, store).and_then(|place| open_place(own, name, &place, known));
    if let Err(error) = &opened {
        service.backups().records.change_target(name, |record| {
            if record.place != words(store) {
                *record = TargetRecord { place: words(store), ..TargetRecord::default() };
            }
            record.cause = Some(error.to_string());
        })?;
    }
    opened
}

impl Target {
    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The repository, opened with the node's key; made where there is none and never was. Its id is noted, and a key file is added for an owner who has
    /// none.
    ///
    /// # Errors
    /// It is another one than before, it is for others, or the store fails.
    pub fn repository(&self, service: &Service) -> Result<Repository<'_>, AgentError> {
        let (keys, records) = (&service.backups().keys, &service.backups().records);
        let record = records.target(&self.name)?;
        let known = (record.place == self.place && !record.repository.is_empty()).then_some(record);
        let opened = self.opened(keys, known.as_ref()).map_err(|error| self.explained(error));
        let (repository, is_new) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                records.change_target(&self.name, |record| record.cause = Some(error.to_string()))?;
                return Err(error);
            }
        };
        let mut recipients: BTreeSet<String> = known.into_iter().flat_map(|record| record.recipients).collect();
        let wanted = keys.recipients()?;
        if !is_new && wanted.iter().any(|recipient| !recipients.contains(&recipient.to_string())) {
            repository.add_key(&wanted, &open)?;
        }
        recipients.extend(wanted.iter().map(ToString::to_string));
        records.change_target(&self.name, |record| {
            if record.place != self.place {
                *record = TargetRecord::default();
            }
            record.place.clone_from(&self.place);
            record.repository = repository.id().to_string();
            record.recipients = recipients.into_iter().collect();
            record.key_file = None;
            record.cause = None;
        })?;
        Ok(repository)
    }

    /// The repository, opened to list what is in it: nothing is made and nothing is noted. None where there is none yet.
    ///
    /// # Errors
    /// It is another one than before, it is for others, or the store fails.
    pub fn reading(&self, service: &Service) -> Result<Option<Repository<'_>>, AgentError> {
        let record = service.backups().records.target(&self.name)?;
        let is_known = record.place == self.place && !record.repository.is_empty();
        let expected = if is_known { Some(self.id_of(&record)?) } else { None };
        let identities = std::slice::from_ref(service.backups().keys.node());
        match Repository::open(self.store(), identities, expected) {
            Err(BackupError::NoRepository) if !is_known => Ok(None),
            opened => opened.map(Some).map_err(|error| self.explained(error.into())),
        }
    }

    /// Notes the room that the place grants, where it says so. What it does not say now, or cannot be written, is told the next time.
    pub fn note_room(&self, service: &Service) {
        let told = self.store.room().map_err(AgentError::from).and_then(|room| {
            let room = room.map(|Room { all_bytes, used_bytes, until }| views::Room { all_bytes, used_bytes, until });
            service.backups().records.change_target(&self.name, |record| record.room = room)
        });
        if let Err(error) = told {
            tracing::warn!(place = %self.name, %error, "the room of a place for backups is not known");
        }
    }

    fn id_of(&self, record: &TargetRecord) -> Result<RepositoryId, AgentError> {
        let damaged = |_: BadId| wrong(&self.name, "the id of its repository is damaged");
        record.repository.parse::<RepositoryId>().map_err(damaged)
    }

    /// The repository, and whether it was made just now.
    fn opened(&self, keys: &Keys, known: Option<&TargetRecord>) -> Result<(Repository<'_>, bool), AgentError> {
        let identities = std::slice::from_ref(keys.node());
        if let Some(known) = known {
            let expected = Some(self.id_of(known)?);
            return match (Repository::open(self.store(), identities, expected), &known.key_file) {
                // This machine was restored from it while it took nothing (B-84).
                (Err(BackupError::NotForThisKey { .. }), Some(file)) => {
                    let damaged = |_| wrong(&self.name, "the key file for its repository is damaged");
                    let file = BASE64.decode(file.as_bytes()).map_err(damaged)?;
                    Repository::put_key_file(self.store(), &file, &open)?;
                    Ok((Repository::open(self.store(), identities, expected)?, false))
                }
                (opened, _) => Ok((opened?, false)),
            };
        }
        match Repository::open(self.store(), identities, None) {
            Err(BackupError::NoRepository) => {}
            opened => return Ok((opened?, false)),
        }
        let recipients = keys.recipients()?;
        match Repository::create(self.store(), &recipients, &open) {
            // Somebody made one in the same moment.
            Err(BackupError::Exists { .. }) => Ok((Repository::open(self.store(), identities, None)?, false)),
            created => Ok((created?, true)),
        }
    }

    /// An error with the way out that only the agent knows.
    fn explained(&self, error: AgentError) -> AgentError {
        let name = &self.name;
        match &error {
            AgentError::Backups(BackupsError::Repository(cause))
                if matches!(**cause, BackupError::NotForThisKey { .. }) =>
            {
                let why = format!(
                    "{cause}. The owner lets this machine in: `openmesh xnode backup-key join {name} --identity FILE`"
                );
                wrong(name, why)
            }
            _ => error,
        }
    }

    /// Lets this machine into a repository of the owner's: a key file for the node is added.
    ///
    /// # Errors
    /// The identity is not for it, no owner's key is set, or the store fails.
    pub fn join(&self, service: &Service, identity: &openmesh_backup::Identity) -> Result<RepositoryId, AgentError> {
        let keys = &service.backups().keys;
        let repository = Repository::open(self.store(), std::slice::from_ref(identity), None)?;
        let recipients = keys.recipients()?;
        if recipients.contains(&identity.recipient()) {
            // Whoever has it tells by the way what a lender has to know.
            keys.set_owner(identity.recipient(), Some(NodeKey::of_owner(identity).public()), false)?;
        }
        repository.add_key(&recipients, &open)?;
        let id = repository.id();
        service.backups().records.change_target(&self.name, |record| {
            *record = TargetRecord {
                place: self.place.clone(),
                repository: id.to_string(),
                recipients: recipients.iter().map(ToString::to_string).collect(),
                ..TargetRecord::default()
            };
        })?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_no_secrets_and_are_known_by_their_words() {
        let node = "0123456789abcdef".repeat(4);
        let other = format!("{{kind: peer, address: \"10.0.0.7:7790\", node: {node}}}");
        let text = format!("version: 1\nmachine: {{backups: {{other: {other}}}}}\n");
        let document = openmesh_blueprint::Document::parse(&text).unwrap();
        let place = Place::Peer { address: "10.0.0.7:7790".into(), node: node.clone() };
        let store = document.machine.backups.values().next().unwrap();
        // A lender that moved is the same one; another key at the same address is another one.
        assert!(
            is_at(store, &place) && is_at(store, &Place::Peer { address: "attic.lan:1".into(), node: node.clone() })
        );
        let another = Place::Peer { address: "10.0.0.7:7790".into(), node: node.replace('0', "1") };
        assert!(!is_at(store, &another) && !is_at(store, &Place::Folder { path: "/mnt/a".into() }));
        assert_eq!(words(store), "Xnode 0123456789abcdef at 10.0.0.7:7790");
        assert_eq!(format!("{place:?}"), words(store));
        let place = Place::S3 {
            address: "https://s3.example".into(),
            bucket: "b/p".into(),
            region: None,
            key: "id".into(),
            secret: "hidden".into(),
        };
        assert_eq!(format!("{place:?}"), "bucket b/p at https://s3.example");
    }

    #[test]
    fn a_folder_whose_disk_is_gone_is_not_filled() {
        let folder = tempfile::tempdir().unwrap();
        let name: Name = "disk".parse().unwrap();
        let path = folder.path().join("store").to_str().unwrap().to_string();
        let place = Place::Folder { path };
        let own = NodeKey::from_seed([1; 32]);
        let refused = open_place(&own, &name, &place, true);
        assert!(refused.is_err_and(|error| error.to_string().contains("mount its disk")));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(open_place(&own, &name, &place, false).is_ok());
        let place = Place::Peer { address: "attic.lan:7790".into(), node: "ab".into() };
        let refused = open_place(&own, &name, &place, false);
        assert!(refused.is_err_and(|error| error.to_string().contains("no key of a machine")));
    }
}
