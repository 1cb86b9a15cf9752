//! Changes of this machine that a move makes, by generations like every other change, and what is observed of them.

use std::collections::BTreeMap;
use std::time::Duration;

use openmesh_blueprint::document::{Application, Name, Port, Wish};
use openmesh_blueprint::generation::{Disposal, Retired};
use openmesh_blueprint::inventory::{Door, ObservedInstance, Traffic, Verdict};
use openmesh_blueprint::{Document, Generation};
use tokio::runtime::Handle;

use super::error::MovesError;
use crate::backups::Job;
use crate::backups::restore::committed_from;
use crate::error::AgentError;
use crate::outcomes;
use crate::service::{Asked, Service, Terms};
use crate::views::Deployment;

/// Longest time for one change: an image that is unpacked and a gate of an hour are within it.
const CHANGE_MAX: Duration = Duration::from_secs(7_200);

/// The document of the wanted generation; one without anything before the first.
///
/// # Errors
/// It cannot be read.
pub(super) fn wanted(service: &Service) -> Result<(u64, Document), AgentError> {
    let number = service.wanted()?;
    let document = match number {
        0 => Document::parse("version: 1\n").map_err(|problems| AgentError::Document { problems })?,
        number => service.document(number)?,
    };
    Ok((number, document))
}

/// Returns true where data of an application that was removed are kept: whoever deploys one of its name gets them.
///
/// # Errors
/// A generation cannot be read.
pub(super) fn has_kept(service: &Service, name: &Name) -> Result<bool, AgentError> {
    let is_kept = |one: &Retired| &one.application == name && one.disposal != Disposal::Wipe;
    let found = service.agent().generations()?;
    Ok(found.is_some_and(|(wanted, _)| wanted.placement.retired.values().any(is_kept)))
}

/// Refuses an application that comes where data of one of its name are kept: they would go with it where it does not stay.
///
/// # Errors
/// There are such; or a generation cannot be read.
pub(super) fn check_kept(service: &Service, name: &Name) -> Result<(), AgentError> {
    if !has_kept(service, name)? {
        return Ok(());
    }
    let why = format!(
        "data of a `{name}` that was removed are kept at that machine, and would be mixed with its own; deploy it there once more and remove it with them: `openmesh app remove {name} --data wipe`"
    );
    Err(MovesError::NotMovable { application: name.to_string(), why }.into())
}

/// Deploys the wanted document with a change, and waits until that is committed. Where somebody changes it in the same moment, theirs stays, and the change is
/// made to it. What is so already is waited for.
///
/// # Errors
/// It is refused, held, or fails: then with the cause of that.
pub(super) fn change(
    service: &Service,
    (runtime, job): (&Handle, &Job),
    (terms, asked): (&Terms, &Asked),
    change: impl Fn(&mut Document) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let taken = loop {
        let (number, before) = wanted(service)?;
        let mut document = before.clone();
        change(&mut document)?;
        if document == before {
            break None;
        }
        let asked = Asked { expected: Some(number), ..asked.clone() };
        match runtime.block_on(service.deploy_on(&document, terms, &asked, true)) {
            Err(AgentError::Changed { .. }) => {}
            taken => break Some(taken?),
        }
    };
    let (generation, events) = match &taken {
        Some(Deployment { generation, events, .. }) => (*generation, *events),
        None => (service.wanted()?, service.history().since(u64::MAX).1),
    };
    let waited = async { tokio::time::timeout(CHANGE_MAX, committed_from(service, job, generation, events)).await };
    let done = runtime.block_on(waited).unwrap_or_else(|_| {
        Err(MovesError::Failed(format!("generation {generation} was not done within {} s", CHANGE_MAX.as_secs()))
            .into())
    });
    done.map_err(|error| match outcomes::find(&service.settings().state, generation) {
        Some(outcome) => MovesError::Failed(outcome.cause).into(),
        None => error,
    })
}

/// Gives an application of a document another wish.
///
/// # Errors
/// The document does not have it.
pub(super) fn wish(document: &mut Document, name: &Name, wish: Wish) -> Result<(), AgentError> {
    let missing = || MovesError::Failed(format!("{name} is not on this machine any more"));
    document.applications.get_mut(name).ok_or_else(missing)?.wish = wish;
    Ok(())
}

/// An application that nobody outside reaches: without published ports and domains. Its instances are those of the same one with them.
pub(super) fn shut(application: &Application) -> Application {
    let ports = application.ports.iter().map(|(name, port)| (name.clone(), Port { publish: None, ..port.clone() }));
    Application { ports: ports.collect(), domains: BTreeMap::new(), ..application.clone() }
}

/// Gives an application that is shut the ports and domains of the whole one. Where a person has changed it since its gate, that stays: it does not run by their
/// wish, or has ports or domains of their choice.
pub(super) fn admitted(found: &mut Application, whole: &Application) {
    if found.wish == Wish::Running && shut(found) == *found {
        found.ports.clone_from(&whole.ports);
        found.domains.clone_from(&whole.domains);
    }
}

/// Returns true where no client is let in to an application, nothing of it runs, nobody changes its files, and nothing that is wanted or serves here wishes
/// otherwise.
///
/// # Errors
/// The machine cannot be looked at.
pub(super) fn is_quiet(service: &Service, name: &Name) -> Result<bool, AgentError> {
    Ok(unrest(service, name)?.is_none())
}

/// Words for what keeps an application from being quiet; none where it is.
///
/// # Errors
/// The machine cannot be looked at.
pub(super) fn unrest(service: &Service, name: &Name) -> Result<Option<String>, AgentError> {
    let look = service.agent().look()?;
    let wishes = |generation: &Option<Generation>| {
        let found = generation.as_ref().map(|generation| generation.portable.applications.get(name));
        found.is_none_or(|found| found.is_some_and(|resolved| resolved.application.wish == Wish::Running))
    };
    // A wanted generation that is refused leaves the one that serves attended, so both count.
    if wishes(&look.wanted) || wishes(&look.serving) {
        return Ok(Some(format!("{name} is wished to run")));
    }
    if let Some(found) = look.inventory.applications.get(name) {
        if let Some(fault) = &found.fault {
            return Ok(Some(format!("{name} cannot be looked at: {fault}")));
        }
        if !matches!(found.door, Door::Closed | Door::Maintenance) {
            return Ok(Some(format!("clients are let in to {name}")));
        }
        let is_ended = |one: &ObservedInstance| one.is_ended() && one.traffic == Traffic::None;
        if let Some((id, _)) = found.instances.iter().find(|(_, one)| !is_ended(one)) {
            return Ok(Some(format!("instance {id} of {name} still runs")));
        }
    }
    if service.moves().writes.has(name) {
        return Ok(Some(format!("a file of {name} is being written")));
    }
    let jobs = service.agent().running_jobs(name)?;
    Ok(jobs.first().map(|(job, _)| format!("job {job} of {name} still runs")))
}

/// Words for why no client is let in to an application that is wished to run; none where they are. A version that is started again may be held at its gate in a
/// generation that is committed: there is no other version to which that could return.
///
/// # Errors
/// The machine cannot be looked at.
pub(super) fn shut_out(service: &Service, name: &Name) -> Result<Option<String>, AgentError> {
    let look = service.agent().look()?;
    let Some(found) = look.inventory.applications.get(name) else {
        return Ok(Some("nothing of it is there".to_string()));
    };
    if matches!(found.door, Door::Open(_) | Door::Holding) {
        return Ok(None);
    }
    let failed = found.instances.values().find_map(|one| match &one.gate {
        Some(Verdict::Failed(cause)) => Some(cause.clone()),
        _ => None,
    });
    Ok(Some(failed.unwrap_or_else(|| "it has not passed its gate".to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_that_is_shut_differs_in_nothing_that_an_instance_sees() {
        let text = "version: 1\napplications:\n  web:\n    image: \"shop:1\"\n    ports: {http: {port: 80, publish: {port: 8080}}, db: {port: 5432}}\n    \
                    domains: {shop.lan: {port: http}}\n";
        let document = Document::parse(text).unwrap();
        let web = document.applications.values().next().unwrap();
        let shut = shut(web);
        assert!(shut.domains.is_empty() && shut.ports.values().all(|port| port.publish.is_none()));
        assert_eq!(shut.ports.keys().collect::<Vec<_>>(), web.ports.keys().collect::<Vec<_>>());
        let mut again = shut.clone();
        admitted(&mut again, web);
        assert_eq!(again, *web);
        // What a person has changed meanwhile stays.
        let paused = Application { wish: Wish::Paused, ..shut };
        let other = Application { domains: BTreeMap::new(), ..web.clone() };
        for changed in [paused, other] {
            let mut found = changed.clone();
            admitted(&mut found, web);
            assert_eq!(found, changed);
        }
    }

    #[test]
    fn only_what_a_document_has_is_wished() {
        let mut document = Document::parse("version: 1\napplications: {web: {image: \"shop:1\"}}\n").unwrap();
        let (web, db): (Name, Name) = ("web".parse().unwrap(), "db".parse().unwrap());
        wish(&mut document, &web, Wish::Paused).unwrap();
        assert_eq!(document.applications[&web].wish, Wish::Paused);
        assert!(wish(&mut document, &db, Wish::Paused).is_err());
    }
}
