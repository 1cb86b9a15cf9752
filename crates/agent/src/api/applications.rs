//! Views of applications: their state, with instances, ports and volumes, from one look at the machine.

use openmesh_blueprint::document::{Audience, Domain, Name, Route};
use openmesh_blueprint::inventory::{Door, InstanceState, Traffic, Verdict};
use openmesh_xnode::look::{InstanceLook, Look};
use openmesh_xnode::marks::{self, RestartMark};
use openmesh_xnode::words;

use crate::api::usage;
use crate::error::AgentError;
use crate::outcomes;
use crate::service::Service;
use crate::views::{self, ApplicationState};

/// The end of the last version that was wanted for an application, where that failed and nothing was wanted since.
pub(super) fn returned(service: &Service, name: &str) -> Option<views::Returned> {
    let paths = &service.agent().machine().paths;
    let wanted = marks::generation(paths, service.wanted().ok()?).ok()?;
    let outcome = outcomes::find(&service.settings().state, wanted.parent)?;
    let cause = outcome.causes.get(name)?.clone();
    let serves = marks::pointer(&paths.current()).ok()?;
    outcome.is_followed_by(wanted.parent, &wanted).then_some(views::Returned {
        generation: wanted.parent,
        cause,
        returned_by: wanted.number,
        serves,
    })
}

/// Every application that is wanted or there, as it is now, with what their use says of them.
pub(crate) fn applications_now(service: &Service) -> Result<Vec<views::Application>, AgentError> {
    let mut all = views_of(&service.agent().look()?, &service.work());
    for view in &mut all {
        view.conditions = usage::present(service, &view.name);
    }
    Ok(all)
}

/// Every application that is wanted or there, without what their use says of them.
pub(crate) fn views_of(look: &Look, work: &views::Work) -> Vec<views::Application> {
    let wanted = look.wanted.iter().flat_map(|wanted| wanted.portable.applications.keys());
    let there = look.instances.iter().filter(|(_, instances)| !instances.is_empty()).map(|(name, _)| name);
    let all: std::collections::BTreeSet<&Name> = wanted.chain(there).collect();
    all.into_iter().map(|name| view_of(look, work, name)).collect()
}

fn view_of(look: &Look, work: &views::Work, name: &Name) -> views::Application {
    let resolved = look.wanted.as_ref().and_then(|wanted| wanted.portable.applications.get(name));
    let placed = look.wanted.as_ref().and_then(|wanted| wanted.placement.applications.get(name));
    let found = look.instances.get(name);
    let admitted = |id| {
        let observed = look.inventory.applications.get(name).and_then(|found| found.instances.get(id));
        observed.is_some_and(|observed| observed.traffic == Traffic::Admitted)
    };
    let instances = found.into_iter().flatten().map(|(id, look)| instance(id.to_string(), look, admitted(id)));
    let (state, cause) = state(look, work, name);
    let ports = resolved.into_iter().flat_map(|resolved| resolved.application.ports.keys()).map(|port| {
        let at = placed.and_then(|placed| placed.ports.get(port)).map(ToString::to_string);
        (port.to_string(), at)
    });
    let volumes = placed.into_iter().flat_map(|placed| &placed.volumes);
    views::Application {
        name: name.to_string(),
        state,
        cause,
        image: resolved.map(|resolved| resolved.image.source.to_string()),
        digest: resolved.map(|resolved| format!("sha256:{}", resolved.image.digest)),
        revision: look.wanted.as_ref().and_then(|wanted| wanted.revision(name)).map(|revision| revision.to_string()),
        instances: instances.collect(),
        ports: ports.collect(),
        volumes: volumes
            .map(|(name, volume)| (name.to_string(), format!("{} line {}", volume.id, volume.line)))
            .collect(),
        domains: resolved.into_iter().flat_map(|resolved| &resolved.application.domains).map(domain).collect(),
        returned: None,
        restart: look.restarts.get(name).map(|restart| restart_of(look, name, restart)),
        conditions: Vec::new(),
    }
}

/// A domain, and who may open the application there.
fn domain((domain, route): (&Domain, &Route)) -> (String, String) {
    let wallets: Vec<String> = route.wallets.iter().map(ToString::to_string).collect();
    let who = match route.audience {
        Audience::Everybody => "everybody".into(),
        Audience::Owner => "the owner and admins of this Xnode".into(),
        Audience::Members => "members of this Xnode".into(),
        Audience::Wallets => wallets.join(", "),
    };
    (domain.to_string(), who)
}

fn restart_of(look: &Look, name: &Name, mark: &RestartMark) -> views::Restart {
    let found = look.inventory.applications.get(name);
    let due = found.into_iter().flat_map(|found| &found.instances).filter(|(_, one)| one.is_due);
    views::Restart {
        number: mark.number,
        by: mark.by.clone(),
        reason: mark.reason.clone(),
        at: mark.at,
        left: due.map(|(id, _)| id.to_string()).collect(),
        is_over: mark.is_told,
    }
}

fn instance(id: String, look: &InstanceLook, admitted: bool) -> views::Instance {
    let status = look.status.as_ref();
    let word = |status: &openmesh_shim::protocol::Status| {
        serde_json::to_value(status.state).ok().and_then(|word| Some(word.as_str()?.to_string())).unwrap_or_default()
    };
    views::Instance {
        id,
        state: match status {
            None => "created".into(),
            Some(_) if !look.is_watched => "without a shim".into(),
            Some(status) => word(status),
        },
        address: look.address.to_string(),
        pid: status.and_then(|status| status.first.as_ref()).map(|first| first.pid),
        restarts: status.map_or(0, |status| status.restarts),
        admitted,
        last_end: status.and_then(|status| status.ends.last()).map(words::end),
    }
}

/// State of an application, with the cause of one that nobody wished.
fn state(look: &Look, work: &views::Work, name: &Name) -> (ApplicationState, Option<String>) {
    let wanted =
        look.wanted.as_ref().and_then(|wanted| Some((wanted.revision(name)?, wanted.portable.applications.get(name)?)));
    let Some((revision, resolved)) = wanted else { return (ApplicationState::Leaving, None) };
    let trouble = work.troubles.iter().find(|trouble| trouble.application.as_deref() == Some(name.as_str()));
    let observed = look.inventory.applications.get(name);
    let instances: Vec<_> =
        observed.into_iter().flat_map(|found| &found.instances).filter(|(id, _)| id.revision == revision).collect();
    let looks = look.instances.get(name);
    let looped = instances.iter().find_map(|(id, _)| {
        let status = looks?.get(id)?.status.as_ref()?;
        status.crash_loop.then(|| status.ends.last().map(words::end).unwrap_or_default())
    });
    if let Some(cause) = looped {
        return (ApplicationState::CrashLoop, Some(cause));
    }
    if instances.iter().any(|(_, found)| found.state == InstanceState::Frozen) {
        return (ApplicationState::Frozen, Some("its first process was stopped by a signal or the freezer".into()));
    }
    if let Some(Verdict::Failed(cause)) =
        instances.iter().find_map(|(_, found)| found.gate.clone().filter(|gate| *gate != Verdict::Passed))
    {
        return (ApplicationState::Failed, Some(cause));
    }
    if let Some(trouble) = trouble {
        return (ApplicationState::Held, Some(trouble.cause.clone()));
    }
    if resolved.application.wish != openmesh_blueprint::document::Wish::Running {
        return (ApplicationState::Stopped, None);
    }
    if let Some((id, InstanceState::Exited(code) | InstanceState::Over(code))) = instances
        .iter()
        .map(|(id, found)| (id, found.state))
        .find(|(_, state)| matches!(state, InstanceState::Exited(_) | InstanceState::Over(_)))
    {
        return (
            ApplicationState::Ended,
            Some(format!("instance {id} has ended with code {code}, and its policy starts it no more")),
        );
    }
    let open = observed.is_some_and(|found| found.door == Door::Open(revision.clone()));
    let running = instances.iter().filter(|(_, found)| found.state == InstanceState::Running).count();
    let all = usize::try_from(resolved.application.instances).is_ok_and(|wanted| running >= wanted);
    (if open && all { ApplicationState::Running } else { ApplicationState::Starting }, None)
}
