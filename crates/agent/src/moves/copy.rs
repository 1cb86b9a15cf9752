//! Copies of an application that moves: a repository in a loan for both machines' keys, and what is in it.
//!
//! A copy is a backup (B-55) whose description has this application alone: a document without its neighbours and without the machine, and the values of its own
//! secrets. The other machine may be somebody else's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use openmesh_backup::{BackupError, Id, NodeKey, Recipient, Repository, RepositoryId, open};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Application, ImageReference, Name, Origin, Wish};
use openmesh_blueprint::generation::ImageSource;
use openmesh_xnode::OWN_REGISTRY;

use super::error::MovesError;
use super::views::MoveLender;
use crate::backups::Job;
use crate::backups::head::{self, Head, Opened};
use crate::backups::make::{self, Copied};
use crate::backups::subject;
use crate::backups::targets::{self, Target};
use crate::backups::views::Place;
use crate::error::AgentError;
use crate::service::Service;

/// Name of the place in which copies lie.
const PLACE: &str = "move";

/// Opens the loan of a move at a lender. `own` is the key of this machine for the move.
///
/// # Errors
/// The address or a key is none.
pub(super) fn place(address: &str, lender: &str, own: &NodeKey) -> Result<Target, AgentError> {
    let place = Place::Peer { address: address.into(), node: lender.into() };
    targets::open_place(own, &crate::api::name(PLACE)?, &place, false)
}

/// Address at which a lender is reached: the one at which it listens, or where it listens at every address, its port at a host by which its machine is known.
/// None before it listens.
pub(super) fn address(lender: &MoveLender, host: &str) -> Option<String> {
    let listens = lender.listens.first()?;
    let at: SocketAddr = listens.parse().ok()?;
    Some(if at.ip().is_unspecified() { format!("{host}:{}", at.port()) } else { listens.clone() })
}

/// The repository in a loan. Where `recipients` are given it is made for them if there is none and never was.
///
/// # Errors
/// It is another one than was `expected`, it is not for this machine, or the lender fails.
pub(super) fn repository<'t>(
    service: &Service,
    target: &'t Target,
    expected: Option<&str>,
    recipients: &[Recipient],
) -> Result<Repository<'t>, AgentError> {
    let identities = std::slice::from_ref(service.backups().keys.node());
    let wrong = |_| MovesError::Value("the id of the repository with the copies is none".into());
    let expected = expected.map(str::parse::<RepositoryId>).transpose().map_err(wrong)?;
    match Repository::open(target.store(), identities, expected) {
        Err(BackupError::NoRepository) if expected.is_none() && !recipients.is_empty() => {}
        opened => return Ok(opened?),
    }
    match Repository::create(target.store(), recipients, &open) {
        // A request that was sent twice has made it.
        Err(BackupError::Exists { .. }) => Ok(Repository::open(target.store(), identities, None)?),
        created => Ok(created?),
    }
}

/// An application as another machine gets it.
pub(super) struct Portable {
    /// The document with it alone.
    pub document: Document,
    /// Values of its secrets, those that it has.
    pub secrets: BTreeMap<Name, Vec<u8>>,
    /// Digest of its image; none where no registry has it.
    pub image: Option<String>,
}

/// The document with one application alone.
///
/// # Errors
/// This program cannot read an empty document.
pub(super) fn document_of(name: &Name, application: Application) -> Result<Document, AgentError> {
    let mut document = Document::parse("version: 1\n").map_err(|problems| AgentError::Document { problems })?;
    document.applications.insert(name.clone(), application);
    Ok(document)
}

/// An application as it is in the generation that serves here: pinned to its image, and without what only this machine can mean.
///
/// # Errors
/// It is not there, or a secret has no value.
pub(super) fn portable(service: &Service, name: &Name) -> Result<Portable, AgentError> {
    let missing = || AgentError::NoApplication { name: name.to_string(), known: "others".into() };
    let present = subject::present(service)?.ok_or_else(missing)?;
    let resolved = present.portable.applications.get(name).ok_or_else(missing)?;
    let placed = present.placement.applications.get(name).ok_or_else(missing)?;
    let written = service.document(present.number)?;
    let written = written.applications.get(name).ok_or_else(missing)?;
    let image = match &resolved.image.source {
        ImageSource::Registry(reference) if reference.registry != OWN_REGISTRY => Some(resolved.image.digest),
        ImageSource::Registry(_) | ImageSource::Recipe(_) => None,
    };
    let mut application = Application { wish: Wish::Running, backup: None, ..written.clone() };
    if let (Some(Origin::Image(reference)), Some(digest)) = (written.origin(), image) {
        application.image = Some(ImageReference { digest: Some(digest), ..reference.clone() });
    }
    let mut secrets = BTreeMap::new();
    for (secret, version) in &placed.secrets {
        let value = service.agent().machine().secrets.value(secret, *version);
        let lacks = || MovesError::Failed(format!("version {version} of the secret `{secret}` is not here any more"));
        secrets.insert(secret.clone(), value.ok_or_else(lacks)?);
    }
    let image = image.map(|digest| format!("sha256:{digest}"));
    Ok(Portable { document: document_of(name, application)?, secrets, image })
}

/// Stores a copy of an application as it is now: all of its volumes, and a description for some recipients alone.
///
/// # Errors
/// Whatever stands in its way; then there is no such copy.
pub(super) fn make(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    name: &Name,
    recipients: &[Recipient],
) -> Result<Copied, AgentError> {
    let subject = subject::whole(service, name)?;
    let portable = portable(service, name)?;
    let describe = |head: &Head, folder: &Path| {
        let templates = service.publishers().carried(&portable.document);
        head::begin(head, &portable.document, &templates, folder)?;
        portable.secrets.iter().try_for_each(|(secret, value)| head::add_secret(folder, secret, value, recipients))
    };
    make::copy(service, job, repository, &subject, &describe)
}

/// The description of a copy. It has this application alone, and every secret of it can be opened here.
///
/// # Errors
/// It has not, or the repository fails.
pub(super) fn read(
    service: &Service,
    repository: &Repository<'_>,
    name: &Name,
    copy: &str,
) -> Result<Opened, AgentError> {
    let wrong = |_| MovesError::Value(format!("`{}` is no id of a copy", copy.chars().take(64).collect::<String>()));
    let id: Id = copy.parse().map_err(wrong)?;
    let scratch = head::scratch(service, &format!("{name}.move"));
    let opened = head::read(repository, id, service.backups().keys.node(), &scratch)?;
    let only = opened.document.applications.keys().all(|one| one == name) && opened.document.applications.len() == 1;
    if !only || opened.head.application != name.as_str() {
        return Err(MovesError::Failed(format!("copy {copy} is not of {name} alone")).into());
    }
    opened.all_open()?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lender_is_reached_where_it_listens_or_by_the_name_of_its_machine() {
        let at = |listens: &[&str]| {
            let listens = listens.iter().map(ToString::to_string).collect();
            address(&MoveLender { key: "ab".into(), listens }, "b.lan")
        };
        assert_eq!(at(&[]), None);
        assert_eq!(at(&["10.0.0.7:7790"]).as_deref(), Some("10.0.0.7:7790"));
        assert_eq!(at(&["0.0.0.0:7790", "10.0.0.7:1"]).as_deref(), Some("b.lan:7790"));
        assert_eq!(at(&["[::]:7790"]).as_deref(), Some("b.lan:7790"));
        assert_eq!(at(&["nowhere"]), None);
    }

    #[test]
    fn a_document_of_one_application_has_nothing_of_the_machine() {
        let text = "version: 1\nmachine: {name: attic, reserve: {disk: 5GiB}}\napplications: {web: {image: \"shop:1\"}, db: {image: \"db:1\"}}\n";
        let document = Document::parse(text).unwrap();
        let (name, application) = document.applications.iter().find(|(name, _)| name.as_str() == "web").unwrap();
        let alone = document_of(name, application.clone()).unwrap();
        assert_eq!(Document::parse(&alone.to_yaml()).unwrap(), alone);
        let words = alone.to_yaml();
        assert!(!words.contains("attic") && !words.contains("db") && words.contains("shop:1"), "{words}");
    }
}
