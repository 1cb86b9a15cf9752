//! A whole machine restored from nothing but a repository and the owner's key (B-64).
//!
//! The document comes up with every application that has data stopped, so that nothing runs on an empty volume; then the data come as lines, a generation
//! chooses them, and the document's own wishes are deployed. A mark on the disk lets a restore that broke off be asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use data_encoding::BASE64;
use openmesh_backup::{
    BackupError, Id, Identity, NodeKey, Recipient, Refusal, Repository, RepositoryId, Snapshot, StoreError, open,
};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, Wish};
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use tokio::runtime::Handle;

use crate::backups::error::BackupsError;
use crate::backups::find;
use crate::backups::head::{self, HEAD, MACHINE, NODE, Opened, PART, label};
use crate::backups::jobs::{Done, Job};
use crate::backups::records::TargetRecord;
use crate::backups::restore::{Restored, choose, committed, deploy, fill_application};
use crate::backups::targets::{self, Target, open_place};
use crate::backups::views::{self, MachinePlan, MachineRequest};
use crate::error::AgentError;
use crate::service::{Asked, Service, names};

/// Name of the place while nothing of the document is known.
const PLACE: &str = "restore";

/// Backups of a machine, the newest of each application.
struct Found {
    machine: String,
    node: String,
    /// By application.
    backups: BTreeMap<String, views::Backup>,
    /// The one whose document is taken.
    newest: views::Backup,
}

/// Says what would be restored.
///
/// # Errors
/// The place or the key cannot be used, or the repository has no machine, or several and none is named.
pub(crate) fn plan(service: &Service, request: &MachineRequest) -> Result<MachinePlan, AgentError> {
    let (target, identity) = opened_place(service, request)?;
    let repository = repository(&target, &identity, request)?;
    let found = find_machine(&repository, request.node.as_deref())?;
    let opened = describe(service, &repository, &identity, &found.newest)?;
    opened.all_open()?;
    let all = opened.document.applications.keys();
    let with_data: BTreeSet<Name> = all.filter(|name| found.backups.contains_key(name.as_str())).cloned().collect();
    let (document, _) = wished(&opened.document, &with_data);
    Ok(MachinePlan {
        repository: repository.id().to_string(),
        node: found.node,
        generation: found.newest.generation,
        at: found.newest.at,
        backups: found.backups.into_values().collect(),
        secrets: opened.secrets.keys().map(ToString::to_string).collect(),
        runs: with_wish(&document, Wish::Running).map(ToString::to_string).collect(),
    })
}

/// Applications of a document with a wish.
fn with_wish(document: &Document, wish: Wish) -> impl Iterator<Item = &Name> {
    document.applications.iter().filter(move |(_, application)| application.wish == wish).map(|(name, _)| name)
}

/// Refuses a machine that has something already, unless that is what a restore which broke off has made, and nobody has changed since.
///
/// # Errors
/// It has.
pub(crate) fn check_fresh(service: &Service) -> Result<(), AgentError> {
    let wanted = service.wanted()?;
    if wanted == 0 {
        return Ok(());
    }
    let made = marks::generation(&service.agent().machine().paths, wanted)?.cause.reason;
    match std::fs::read_to_string(mark(service)) {
        Ok(reason) if reason == made => Ok(()),
        _ => Err(BackupsError::NotFresh { wanted }.into()),
    }
}

/// File with the reason of all generations of a restore that has not ended.
fn mark(service: &Service) -> PathBuf {
    service.backups().folder().join("restoring-machine")
}

/// Restores a machine.
///
/// # Errors
/// Whatever stands in its way; asked again it begins anew, with what is there by then.
pub(crate) fn restore(
    service: &Service,
    runtime: &Handle,
    job: &Job,
    request: &MachineRequest,
) -> Result<Done, AgentError> {
    check_fresh(service)?;
    job.say("opens the repository");
    let (target, identity) = opened_place(service, request)?;
    let repository = repository(&target, &identity, request)?.metered(job.meter.clone());
    let found = find_machine(&repository, request.node.as_deref())?;
    let opened = describe(service, &repository, &identity, &found.newest)?;
    opened.all_open()?;
    let reason = format!("the machine {} is restored from its backups", found.node);
    let path = mark(service);
    marks::replace(&path, reason.as_bytes()).map_err(AgentError::file("writing", &path))?;
    let is_in = take_over(service, job, (&request.place, &target, &repository, &identity), &found, &opened)?;
    let asked = Asked { by: job.by.clone(), reason, expected: None };
    job.say("deploys the document, with what has data stopped");
    let taken = deploy(service, runtime, &stopped(&opened.document), &asked)?;
    runtime.block_on(committed(service, job, &taken))?;
    let restored = fill(service, job, &repository, &identity, &found, &opened.document)?;
    let with_data: BTreeSet<Name> = restored.keys().map(|(name, _)| name.clone()).collect();
    if !restored.is_empty() {
        let taken = choose(service, runtime, &restored, &asked)?;
        runtime.block_on(committed(service, job, &taken))?;
    }
    job.say("deploys the document as it was");
    let (document, left) = wished(&opened.document, &with_data);
    let taken = deploy(service, runtime, &document, &asked)?;
    std::fs::remove_file(&path).map_err(AgentError::file("removing", &path))?;
    let mut text = format!("the machine {} is restored from repository {}", found.node, repository.id());
    if !left.is_empty() {
        text += &format!(
            "; no backup has the data of {}, which stay stopped: start them where empty data will do",
            names(left.iter())
        );
    }
    text += &as_of(&document, found.newest.at);
    if !is_in {
        text += &format!(
            "; its place takes nothing of this machine yet, so that no backup is made: the lender's owner adds the key {} to the loan, and backups go on by themselves",
            service.lending().guest_key().public()
        );
    }
    Ok(Done { text, backup: Some(found.newest.id), generation: Some((taken.generation, taken.events)) })
}

/// Words about a machine that is as it was at a moment: whatever moved to another one since is here again, and no backup knows of that.
fn as_of(document: &Document, at: Timestamp) -> String {
    let (at, mut text) = (at.to_rfc3339(), String::new());
    if with_wish(document, Wish::Running).next().is_some() {
        let all = names(with_wish(document, Wish::Running));
        text += &format!(
            "; it is as it was at {at}, and {all} run here: where one of them has moved to another machine since, stop it here at once, or move it back by hand"
        );
    }
    if with_wish(document, Wish::Paused).next().is_some() {
        let all = names(with_wish(document, Wish::Paused));
        text += &format!(
            "; {all} were paused at {at}, as what has moved away is: where one has, it serves at the other machine, and is not started here"
        );
    }
    text
}

/// The place of a request, with the owner's identity. At another Xnode that does not know this machine the owner's reading key opens it (B-83).
fn opened_place(service: &Service, request: &MachineRequest) -> Result<(Target, Identity), AgentError> {
    let identity: Identity = request.identity.parse()?;
    let name: Name = crate::api::name(PLACE)?;
    let (guest, owner) = (service.lending().guest_key(), NodeKey::of_owner(&identity));
    for key in [guest, &owner] {
        let target = open_place(key, &name, &request.place, true)?;
        match target.store().room() {
            Ok(_) => return Ok((target, identity)),
            Err(StoreError::Refused { refusal: Refusal::Stranger, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (guest, reading) = (guest.public().to_string(), owner.public().to_string());
    Err(BackupsError::Unknown { guest, reading }.into())
}

fn repository<'t>(
    target: &'t Target,
    identity: &Identity,
    request: &MachineRequest,
) -> Result<Repository<'t>, AgentError> {
    let wrong = |_| BackupsError::Value("the id of a repository has 64 hexadecimal digits in lower case".into());
    let expected = request.repository.as_deref().map(str::parse::<RepositoryId>).transpose().map_err(wrong)?;
    Ok(Repository::open(target.store(), std::slice::from_ref(identity), expected)?)
}

/// The machine that is meant, with the newest backup of each of its applications.
fn find_machine(repository: &Repository<'_>, node: Option<&str>) -> Result<Found, AgentError> {
    pick(&repository.snapshots()?.found, node).map_err(AgentError::from)
}

/// Picks a machine and its backups out of snapshots. Pure.
fn pick(snapshots: &BTreeMap<Id, Snapshot>, node: Option<&str>) -> Result<Found, BackupsError> {
    let heads: Vec<(&Id, &Snapshot)> = snapshots.iter().filter(|(_, snapshot)| label(snapshot, PART) == HEAD).collect();
    let meant = heads.iter().filter(|(_, one)| node.is_none_or(|node| label(one, NODE) == node));
    let machines: BTreeSet<&str> = meant.map(|(_, one)| label(one, MACHINE)).collect();
    let nodes: BTreeSet<&str> = heads.iter().map(|(_, one)| label(one, NODE)).collect();
    let no_backup = |known: String| BackupsError::NoBackup {
        application: "the repository".into(),
        wanted: node.unwrap_or("(its machine)").into(),
        known,
    };
    let Some(machine) = machines.first().copied() else {
        return Err(no_backup(format!("it has backups of {}", names(nodes.iter()))));
    };
    if machines.len() > 1 {
        return Err(no_backup(format!("it has backups of several machines, {}: say which", names(nodes.iter()))));
    }
    let own = heads.iter().filter(|(_, one)| label(one, MACHINE) == machine);
    let views: Vec<views::Backup> = own.filter_map(|(id, snapshot)| head::view(**id, snapshot, PLACE)).collect();
    let newest = views.iter().max_by_key(|backup| (backup.number, backup.generation, backup.at)).cloned();
    let newest = newest.ok_or_else(|| no_backup("it has none".into()))?;
    let mut backups: BTreeMap<String, views::Backup> = BTreeMap::new();
    // One of no application describes the machine alone.
    for view in views.into_iter().filter(|view| !view.application.is_empty()) {
        let order = |one: &views::Backup| (one.number, one.at, one.id.clone());
        if backups.get(&view.application).is_none_or(|other| order(other) < order(&view)) {
            backups.insert(view.application.clone(), view);
        }
    }
    Ok(Found { machine: machine.to_string(), node: newest.node.clone(), backups, newest })
}

fn describe(
    service: &Service,
    repository: &Repository<'_>,
    identity: &Identity,
    backup: &views::Backup,
) -> Result<Opened, AgentError> {
    let scratch = head::scratch(service, &format!("{}.machine", backup.application));
    head::read(repository, find::id(backup)?, identity, &scratch)
}

/// Stores a key file for this machine, and returns it where the place takes nothing at present: a loan that is over or full, or that the owner alone reads (B-84).
fn let_in(
    target: &Target,
    repository: &Repository<'_>,
    recipients: &[Recipient],
) -> Result<Option<String>, AgentError> {
    let file = repository.key_file(recipients)?;
    match Repository::put_key_file(target.store(), &file, &open) {
        Err(BackupError::Store(StoreError::Refused { .. })) => Ok(Some(BASE64.encode(&file))),
        put => {
            put?;
            Ok(None)
        }
    }
}

/// Makes this machine the one of before for its backups: owner, mark, a key file of its own, secrets, texts of templates, the repository of each target that is
/// this place. False where the key file waits until the place takes it.
fn take_over(
    service: &Service,
    job: &Job,
    (place, target, repository, identity): (&views::Place, &Target, &Repository<'_>, &Identity),
    found: &Found,
    opened: &Opened,
) -> Result<bool, AgentError> {
    let (keys, records) = (&service.backups().keys, &service.backups().records);
    keys.set_owner(identity.recipient(), Some(NodeKey::of_owner(identity).public()), false)?;
    keys.set_machine(&found.machine)?;
    let recipients = keys.recipients()?;
    let key_file = let_in(target, repository, &recipients)?;
    for (name, store) in opened.document.machine.backups.iter().filter(|(_, store)| targets::is_at(store, place)) {
        records.change_target(name, |record| {
            *record = TargetRecord {
                place: targets::words(store),
                repository: repository.id().to_string(),
                recipients: recipients.iter().map(ToString::to_string).collect(),
                key_file: key_file.clone(),
                ..TargetRecord::default()
            };
        })?;
    }
    job.say(format!("sets {} secrets", opened.secrets.len()));
    let machine = service.agent().machine();
    let present: BTreeMap<String, u32> =
        service.secrets()?.into_iter().map(|secret| (secret.name, secret.version)).collect();
    for (name, value) in &opened.secrets {
        let has = present.get(name.as_str()).and_then(|version| machine.secrets.value(name, *version));
        if has.as_ref() != Some(value) {
            service.set_secret(name, value)?;
        }
    }
    // The catalogues that they came from may be gone with their publishers.
    service.publishers().adopt(&opened.templates)?;
    Ok(key_file.is_none())
}

/// A document with every application that has volumes stopped.
fn stopped(document: &Document) -> Document {
    let mut document = document.clone();
    for application in document.applications.values_mut().filter(|application| has_data(application)) {
        application.wish = Wish::Stopped;
    }
    document
}

/// Returns true where an application has data, or may get some from its template.
fn has_data(application: &openmesh_blueprint::document::Application) -> bool {
    !application.volumes.is_empty() || application.template.is_some()
}

/// A document with the wishes that it has, but for applications with volumes of which no data were restored: those stay stopped, and are returned.
fn wished(document: &Document, with_data: &BTreeSet<Name>) -> (Document, BTreeSet<Name>) {
    let mut document = document.clone();
    let mut left = BTreeSet::new();
    let running = document.applications.iter_mut().filter(|(_, application)| application.wish == Wish::Running);
    for (name, application) in running.filter(|(name, application)| has_data(application) && !with_data.contains(*name))
    {
        application.wish = Wish::Stopped;
        left.insert(name.clone());
    }
    (document, left)
}

/// Restores the newest backup of every application of the document to lines.
fn fill(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    identity: &Identity,
    found: &Found,
    document: &Document,
) -> Result<Restored, AgentError> {
    let mut restored = Restored::new();
    for name in document.applications.keys() {
        let Some(backup) = found.backups.get(name.as_str()) else { continue };
        let opened = describe(service, repository, identity, backup)?;
        let wanted = service.agent().generations()?.map(|(wanted, _)| wanted);
        let placed = wanted.as_ref().and_then(|wanted| wanted.placement.applications.get(name));
        let mut parts = Vec::new();
        for (volume, part) in &opened.head.volumes {
            let volume: Name = crate::api::name(volume)?;
            // The document may have lost a volume since that backup.
            if placed.is_some_and(|placed| placed.volumes.contains_key(&volume)) {
                parts.push((volume, part));
            }
        }
        restored.extend(fill_application(service, job, repository, &opened, name, &parts)?);
    }
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use openmesh_backup::{Folder, Order, Special};

    use super::*;

    fn snapshots(made: &[(&str, &str, &str, u64, i64)]) -> BTreeMap<Id, Snapshot> {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path().join("store")).unwrap();
        let owner = Identity::generate().unwrap();
        let repository = Repository::create(&store, &[owner.recipient()], &open).unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for (machine, node, application, generation, time) in made {
            let at = Timestamp(*time);
            let (machine, node) = (machine.to_string(), node.to_string());
            let head = match application.parse::<Name>() {
                Ok(name) => head::Head::new(machine, node, &name, *generation, at, 0),
                Err(_) => head::Head::of_machine(machine, node, *generation, at),
            };
            for part in ["volume data", HEAD] {
                let labels = head::labels(&head, "mark", part);
                let order = Order { root: &tree, labels, time: at, writer: "test", special: Special::Refuse };
                repository.backup(&order, &open).unwrap();
            }
        }
        repository.snapshots().unwrap().found
    }

    #[test]
    fn the_newest_backup_of_each_application_and_the_newest_document_are_taken() {
        let all = [
            ("m", "one", "web", 3, 10),
            ("m", "one", "web", 4, 30),
            ("m", "one", "db", 5, 20),
            ("m", "one", "db", 2, 5),
        ];
        let found = pick(&snapshots(&all), None).ok().unwrap();
        assert_eq!((found.machine.as_str(), found.node.as_str()), ("m", "one"));
        let at: Vec<(&str, i64)> =
            found.backups.values().map(|one| (one.application.as_str(), one.at.nanos())).collect();
        assert_eq!(at, [("db", 20), ("web", 30)]);
        assert_eq!((found.newest.application.as_str(), found.newest.generation), ("db", 5));
    }

    #[test]
    fn a_description_of_the_machine_alone_is_taken_for_its_document() {
        let all = [("m", "one", "web", 3, 10), ("m", "one", "", 7, 12)];
        let found = pick(&snapshots(&all), None).ok().unwrap();
        assert_eq!((found.newest.application.as_str(), found.newest.generation), ("", 7));
        assert_eq!(found.backups.keys().collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn the_order_of_backups_counts_more_than_generations_and_clocks() {
        // Restored once, the machine has begun its generations anew; its clock was ahead before.
        let all = [("m", "one", "web", 50, 900), ("m", "one", "web", 3, 20), ("m", "one", "", 4, 30)];
        let mut found = snapshots(&all);
        for (generation, number) in [("50", "7"), ("3", "8"), ("4", "9")] {
            let of = |one: &&mut Snapshot| label(one, PART) == HEAD && label(one, head::GENERATION) == generation;
            let meant = found.values_mut().find(of).unwrap();
            meant.labels.insert(head::NUMBER.into(), number.into());
        }
        let found = pick(&found, None).ok().unwrap();
        assert_eq!((found.newest.generation, found.backups["web"].generation), (4, 3));
    }

    #[test]
    fn several_machines_have_to_be_told_apart_by_name() {
        let all = [("m", "one", "web", 1, 10), ("n", "two", "web", 1, 20)];
        let all = snapshots(&all);
        let refused = pick(&all, None).err().unwrap().to_string();
        assert!(refused.contains("one, two"), "{refused}");
        assert_eq!(pick(&all, Some("two")).ok().unwrap().machine, "n");
        let refused = pick(&all, Some("three")).err().unwrap().to_string();
        assert!(refused.contains("one, two"), "{refused}");
        assert!(pick(&BTreeMap::new(), None).err().unwrap().to_string().contains("none"));
    }

    #[test]
    fn nothing_with_data_runs_before_its_data_are_there() {
        let text = "version: 1\napplications:\n  web: {image: a}\n  db: {image: a, volumes: {data: {path: /data, size: 16MiB}}}\n  \
                    other: {image: a, volumes: {data: {path: /data, size: 16MiB}}}\n";
        let document = Document::parse(text).unwrap();
        let wishes = |document: &Document| -> Vec<(String, Wish)> {
            document.applications.iter().map(|(name, one)| (name.to_string(), one.wish)).collect()
        };
        let (db, other, web) = ("db".to_string(), "other".to_string(), "web".to_string());
        assert_eq!(
            wishes(&stopped(&document)),
            [(db.clone(), Wish::Stopped), (other.clone(), Wish::Stopped), (web.clone(), Wish::Running)]
        );
        let (wished, left) = wished(&document, &BTreeSet::from(["db".parse().unwrap()]));
        assert_eq!(wishes(&wished), [(db, Wish::Running), (other, Wish::Stopped), (web, Wish::Running)]);
        assert_eq!(left, BTreeSet::from(["other".parse().unwrap()]));
        // What runs again is named with the moment: one of them may serve at another machine by now.
        let words = as_of(&wished, Timestamp(1_796_000_000_000_000_000));
        assert!(words.contains("2026-11-30T00:53:20") && words.contains("db, web run here"), "{words}");
        assert!(!words.contains("other,") && !words.contains("paused"), "{words}");
        assert_eq!(as_of(&stopped(&Document::parse("version: 1\n").unwrap()), Timestamp(0)), "");
    }

    #[test]
    fn what_was_paused_by_a_move_is_named_too() {
        let text = "version: 1\napplications: {web: {image: a, wish: paused}, db: {image: a, wish: stopped}}\n";
        let words = as_of(&Document::parse(text).unwrap(), Timestamp(0));
        assert!(words.contains("; web were paused at 1970-01-01T") && !words.contains("db"), "{words}");
    }
}
