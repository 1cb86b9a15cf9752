//! The data that a backup of an application is of: its volumes with the lines in use, and the place that keeps them.

use std::collections::BTreeMap;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Backup, Keep, Name, Schedule, Store, Wish};
use openmesh_blueprint::generation::{Disposal, PlacedVolume};
use openmesh_primitives::Timestamp;
use openmesh_volume::Id as VolumeId;
use openmesh_xnode::{XnodeError, marks};

use crate::backups::error::BackupsError;
use crate::error::AgentError;
use crate::service::{Service, names};

/// Backups that are kept of an application whose document does not say how many.
const KEEP: Keep = Keep { last: 3, daily: 7, weekly: 4, monthly: 6 };

/// An application with data.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub name: Name,
    /// Generation whose document belongs to the data.
    pub generation: u64,
    /// Name of the machine.
    pub node: String,
    /// It is wished to run: then the lines in use are its data, else those that the generation chose.
    pub runs: bool,
    /// First of its user ids.
    pub first_id: u32,
    /// Its volumes that are in backups, by name.
    pub volumes: BTreeMap<Name, PlacedVolume>,
    /// The place that keeps them, with its name; none where the document names none.
    pub target: Option<(Name, Store)>,
    /// Backups that are kept.
    pub keep: Keep,
    /// Moments of its backups.
    pub schedule: Option<Schedule>,
    /// Moments of its drills.
    pub drill: Option<Schedule>,
    /// Moment of its removal, where that asked for a last backup.
    pub removed: Option<Timestamp>,
}

impl Subject {
    /// The target.
    ///
    /// # Errors
    /// The document names none.
    pub fn target(&self) -> Result<&(Name, Store), AgentError> {
        self.target.as_ref().ok_or_else(|| BackupsError::NoTarget { application: self.name.clone() }.into())
    }

    /// Volumes with their ids.
    ///
    /// # Errors
    /// There is none, or one has no id.
    pub fn volumes(&self) -> Result<Vec<(Name, VolumeId, PlacedVolume)>, AgentError> {
        if self.volumes.is_empty() {
            return Err(BackupsError::NothingToKeep { application: self.name.clone() }.into());
        }
        let with_id = |(name, placed): (&Name, &PlacedVolume)| -> Result<_, AgentError> {
            Ok((name.clone(), volume_id(placed)?, placed.clone()))
        };
        self.volumes.iter().map(with_id).collect()
    }
}

/// Id of a placed volume.
///
/// # Errors
/// It is none.
pub(crate) fn volume_id(placed: &PlacedVolume) -> Result<VolumeId, AgentError> {
    let wrong = |_| BackupsError::Value(format!("{} is no id of a volume", placed.id));
    Ok(VolumeId::try_from(&placed.id).map_err(wrong)?)
}

/// The generation by which the machine is at present: the one that serves, else the wanted one; none before the first.
///
/// # Errors
/// A pointer or a generation cannot be read.
pub(crate) fn present(service: &Service) -> Result<Option<Generation>, AgentError> {
    Ok(service.agent().generations()?.map(|(wanted, serving)| serving.unwrap_or(wanted)))
}

/// An application with all of its volumes, also those that are in no backup: it leaves this machine as a whole.
///
/// # Errors
/// It is not there, or a generation cannot be read.
pub(crate) fn whole(service: &Service, name: &Name) -> Result<Subject, AgentError> {
    let generation = present(service)?;
    let known = generation.iter().flat_map(|generation| generation.portable.applications.keys());
    let missing = || AgentError::NoApplication { name: name.to_string(), known: names(known) };
    let placed = generation.as_ref().and_then(|generation| generation.placement.applications.get(name));
    let subject = generation.as_ref().and_then(|generation| of(generation, name)).zip(placed);
    let (subject, placed) = subject.ok_or_else(missing)?;
    Ok(Subject { volumes: placed.volumes.clone(), ..subject })
}

/// An application as it is, or as it was where it was removed.
///
/// # Errors
/// It is not there, or a generation cannot be read.
pub(crate) fn find(service: &Service, name: &Name) -> Result<Subject, AgentError> {
    let generations = service.agent().generations()?;
    let known: Vec<&Generation> =
        generations.iter().flat_map(|(wanted, serving)| serving.iter().chain([wanted])).collect();
    if let Some(subject) = known.iter().find_map(|generation| of(generation, name)) {
        return Ok(subject);
    }
    if let Some(generation) = known.iter().copied().find(|generation| retired_of(generation, name).next().is_some()) {
        return removed(service, generation, name);
    }
    let all = known.iter().flat_map(|generation| generation.portable.applications.keys());
    let known = names(all.collect::<std::collections::BTreeSet<_>>().into_iter());
    Err(AgentError::NoApplication { name: name.to_string(), known })
}

/// Applications that have backups or ought to: those with a schedule, and those that were removed and wait for a last one.
///
/// # Errors
/// A generation cannot be read.
pub(crate) fn all(service: &Service) -> Result<Vec<Subject>, AgentError> {
    let Some(generation) = present(service)? else { return Ok(Vec::new()) };
    let applications = generation.portable.applications.iter();
    let scheduled = applications.filter(|(_, resolved)| resolved.application.backup.is_some()).map(|(name, _)| name);
    let mut subjects: Vec<Subject> = scheduled.filter_map(|name| of(&generation, name)).collect();
    let retired = generation.placement.retired.values().filter(|retired| retired.disposal == Disposal::Backup);
    let gone: std::collections::BTreeSet<&Name> = retired.map(|retired| &retired.application).collect();
    for name in gone.into_iter().filter(|name| !generation.portable.applications.contains_key(*name)) {
        subjects.push(removed(service, &generation, name)?);
    }
    Ok(subjects)
}

/// An application of a generation; none where it does not have it.
fn of(generation: &Generation, name: &Name) -> Option<Subject> {
    let application = &generation.portable.applications.get(name)?.application;
    let placed = generation.placement.applications.get(name)?;
    let kept = |volume: &Name| application.volumes.get(volume).is_some_and(|volume| volume.backup);
    let volumes = placed.volumes.iter().filter(|(volume, _)| kept(volume));
    Some(Subject {
        name: name.clone(),
        generation: generation.number,
        node: generation.placement.node.to_string(),
        runs: application.wish == Wish::Running,
        first_id: placed.first_id,
        volumes: volumes.map(|(name, placed)| (name.clone(), placed.clone())).collect(),
        target: target(application.backup.as_ref(), &generation.portable.backups),
        keep: application.backup.as_ref().map_or(KEEP, |backup| backup.keep.clone()),
        schedule: application.backup.as_ref().map(|backup| backup.schedule),
        drill: application.backup.as_ref().and_then(|backup| backup.drill),
        removed: None,
    })
}

/// The place that a document names for an application, else the only one of the machine.
fn target(backup: Option<&Backup>, stores: &BTreeMap<Name, Store>) -> Option<(Name, Store)> {
    let named = backup.and_then(|backup| stores.get_key_value(&backup.to));
    let only = stores.iter().next().filter(|_| stores.len() == 1);
    named.or(only).map(|(name, store)| (name.clone(), store.clone()))
}

fn retired_of<'a>(
    generation: &'a Generation,
    name: &'a Name,
) -> impl Iterator<Item = &'a openmesh_blueprint::generation::Retired> {
    generation.placement.retired.values().filter(move |retired| &retired.application == name)
}

/// An application that was removed, by the last generation that had it. All of its volumes are in the last backup, also those that no other had: none could
/// go without one.
fn removed(service: &Service, generation: &Generation, name: &Name) -> Result<Subject, AgentError> {
    let last = last_with(service, generation.number, name)?;
    let volumes: BTreeMap<Name, PlacedVolume> =
        retired_of(generation, name).map(|retired| (retired.name.clone(), retired.volume.clone())).collect();
    let asked = retired_of(generation, name).filter(|retired| retired.disposal == Disposal::Backup);
    let since = asked.map(|retired| retired.since).max();
    let before = last.as_ref().and_then(|last| of(last, name));
    let own = before.as_ref().and_then(|before| before.target.clone());
    // A place that the machine has by now counts more than one of its past.
    let target = match own {
        Some((to, store)) => Some(generation.portable.backups.get_key_value(&to).map_or((to, store), owned)),
        None => self::target(None, &generation.portable.backups),
    };
    Ok(Subject {
        name: name.clone(),
        generation: last.as_ref().map_or(generation.number, |last| last.number),
        node: generation.placement.node.to_string(),
        runs: before.as_ref().is_none_or(|before| before.runs),
        first_id: before.as_ref().map_or(0, |before| before.first_id),
        volumes,
        target,
        keep: before.as_ref().map_or(KEEP, |before| before.keep.clone()),
        schedule: None,
        drill: None,
        removed: since,
    })
}

fn owned((name, store): (&Name, &Store)) -> (Name, Store) {
    (name.clone(), store.clone())
}

/// The last generation before a number that has an application and is still kept.
fn last_with(service: &Service, before: u64, name: &Name) -> Result<Option<Generation>, AgentError> {
    let paths = &service.agent().machine().paths;
    for number in marks::numbers(paths)?.into_iter().rev().filter(|number| *number < before) {
        match marks::generation(paths, number) {
            Ok(generation) if generation.portable.applications.contains_key(name) => return Ok(Some(generation)),
            Ok(_) | Err(XnodeError::NoGeneration { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Standing of the last backup of a removed application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// Its volumes are not all set aside yet: whoever wrote to them may still do.
    Early,
    /// It is to be made.
    Due,
    /// Every volume is in a backup since it was set aside, or is gone.
    Made,
}

/// Standing of the last backup of an application; made where none was asked for.
///
/// # Errors
/// A volume has no id.
pub(crate) fn last(service: &Service, subject: &Subject) -> Result<Last, AgentError> {
    if subject.removed.is_none() {
        return Ok(Last::Made);
    }
    let volumes = &service.agent().machine().volumes;
    let mut standing = Last::Made;
    for placed in subject.volumes.values() {
        let found = volumes.observe_one(volume_id(placed)?);
        match (found.record, found.removal, found.backed_up) {
            (None, _, _) => {}
            (Some(_), None, _) => return Ok(Last::Early),
            // The mark of the removal says from when on a backup counts.
            (Some(_), Some(removal), Some(at)) if at >= removal.at => {}
            _ => standing = Last::Due,
        }
    }
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::Document;

    use super::*;

    #[test]
    fn the_only_place_of_a_machine_is_that_of_every_application() {
        let document = |backups: &str| {
            let text = format!("version: 1\nmachine: {{backups: {backups}}}\napplications: {{}}\n");
            Document::parse(&text).unwrap().machine.backups
        };
        let (none, one) = (document("{}"), document("{disk: {kind: folder, address: /mnt/a}}"));
        let two = document("{disk: {kind: folder, address: /mnt/a}, other: {kind: folder, address: /mnt/b}}");
        let named = |to: &str| Backup {
            to: to.parse().unwrap(),
            schedule: "0 3 * * *".parse().unwrap(),
            keep: KEEP,
            drill: None,
        };
        let found = |backup: Option<&Backup>, stores| target(backup, stores).map(|(name, _)| name.to_string());
        assert_eq!(found(None, &none), None);
        assert_eq!(found(None, &one).as_deref(), Some("disk"));
        assert_eq!(found(None, &two), None);
        assert_eq!(found(Some(&named("other")), &two).as_deref(), Some("other"));
    }
}
