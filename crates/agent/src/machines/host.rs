//! The side of an Xnode that other machines join: invitations, and the list.

use std::sync::Arc;
use std::time::Duration;

use openmesh_access::{Access, Principal};
use openmesh_primitives::{Digest, sha256};
use reqwest::Url;
use tokio::sync::watch;

use super::addresses;
use super::error::JoinError;
use super::guest::ended;
use super::line::{ADDRESSES_MAX, Line};
use super::report;
use super::views::{InvitationWish, MachineList, MadeInvitation};
use crate::api::blocking;
use crate::doors::{Maker, is_public};
use crate::error::AgentError;
use crate::face::tick;
use crate::moves::wire;
use crate::service::Service;
use crate::settings::{SUBNET, Settings};
use crate::views::EventKind;

/// Longest address in a line, bytes: the longest name of the DNS with scheme and port.
const AT_BYTES_MAX: usize = 300;
/// Time between two notes of the last reports: after a death of the agent they are as old at most.
const KEPT_EACH: Duration = Duration::from_secs(600);

/// Makes an invitation in somebody's name. `asked` is the name of this machine under which they ask; none on loopback.
///
/// # Errors
/// Nobody could reach this machine, a value cannot be, or the invitation is refused.
pub(crate) fn invite(
    service: &Service,
    access: &Access,
    actor: &Principal,
    (wish, asked): (&InvitationWish, Option<&str>),
) -> Result<MadeInvitation, AgentError> {
    let at = reached_at(service.settings(), wish.at.as_deref(), asked)?;
    let addresses = match &wish.addresses {
        Some(given) if given.len() > ADDRESSES_MAX => {
            return Err(JoinError::Value(format!("an invitation has at most {ADDRESSES_MAX} addresses")).into());
        }
        Some(given) => given.clone(),
        // An address without TLS is of loopback, and needs no other one.
        None if at.scheme() == "http" => Vec::new(),
        None => addresses::own(&subnet(service)?, ADDRESSES_MAX),
    };
    let (root, remark) = (root(service, &at)?, remark(service, &at));
    let (token, entry) = access.invite(actor, wish.owner, wish.lasts_ms, &tick())?;
    let at = at.as_str().trim_end_matches('/').to_string();
    let line = Line { at: at.clone(), addresses, root, owner: entry.owner, token }.text();
    let text = format!("{actor} made the invitation {} for another machine of {}", entry.id, entry.owner);
    service.history().note(EventKind::Agent, service.wanted()?, None, text);
    let command = format!("echo {line} | sudo openmesh xnode join");
    Ok(MadeInvitation { line, command, at, remark, entry })
}

/// Network of the applications of this machine.
fn subnet(service: &Service) -> Result<openmesh_blueprint::document::Subnet, AgentError> {
    let settings = service.settings();
    Ok(match service.wanted()? {
        0 => settings.subnet.unwrap_or(SUBNET),
        number => settings.placed(&service.document(number)?).machine.subnet,
    })
}

/// Address at which another machine reaches this one.
fn reached_at(settings: &Settings, named: Option<&str>, asked: Option<&str>) -> Result<Url, JoinError> {
    let is_own = |host: &&str| {
        let name = host.rsplit_once(':').map_or(*host, |(name, _)| name);
        settings.people.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let text = match (named, asked.filter(is_own)) {
        (Some(named), _) => named.to_string(),
        (None, Some(asked)) => format!("https://{asked}"),
        (None, None) => report::own_address(settings).ok_or(JoinError::NoName)?,
    };
    if text.len() > AT_BYTES_MAX {
        return Err(JoinError::Value(format!(
            "an address has at most {AT_BYTES_MAX} bytes; a line would be too long with it"
        )));
    }
    wire::address(&text).map_err(|error| JoinError::Value(error.to_string()))
}

/// SHA-256 of the root of the own authority, where that vouches for a name of this machine.
fn root(service: &Service, at: &Url) -> Result<Option<Digest>, AgentError> {
    let (Some(keeper), Some(host), "https") = (service.doors(), at.host_str(), at.scheme()) else { return Ok(None) };
    let maker = keeper.cabinet().list()?.into_iter().find(|held| held.name == host).map(|held| held.maker);
    let is_house = maker.map_or(!is_public(host), |maker| maker == Maker::House);
    if is_house { Ok(Some(sha256(&[keeper.cabinet().root()?.as_bytes()]))) } else { Ok(None) }
}

/// Reason for which this machine may not be reached at a name of its own now; none where it is, or where it cannot know.
fn remark(service: &Service, at: &Url) -> Option<String> {
    let host = at.host_str().filter(|_| at.scheme() == "https")?;
    service.settings().people.hosts.iter().find(|own| own.eq_ignore_ascii_case(host))?;
    let Some(carrier) = service.agent().machine().doors.get() else {
        return Some("this agent has no door, so that nobody is led to its names".into());
    };
    let document = carrier.look().document;
    let is_served = document.is_some_and(|document| {
        document.certificates.iter().any(|certificate| certificate.names.iter().any(|name| name == host))
    });
    let words = format!("the door does not serve {host} with TLS yet; `openmesh xnode doors` tells why");
    (!is_served).then_some(words)
}

/// Keeps last reports until the sender of `stays` is gone, and then once more.
pub(super) async fn keep(service: &Arc<Service>, mut stays: watch::Receiver<()>) {
    loop {
        let leaves = tokio::select! {
            () = tokio::time::sleep(KEPT_EACH) => false,
            () = ended(&mut stays) => true,
        };
        if let Err(error) = blocking(service, |service| service.machines().keep_reports()).await {
            tracing::warn!(%error, "last reports of machines are not kept");
        }
        if leaves {
            return;
        }
    }
}

/// This machine and those that joined it.
///
/// # Errors
/// This machine cannot be looked at.
pub(crate) fn list(service: &Service, access: &Access) -> Result<MachineList, AgentError> {
    let all = access.machines();
    service.machines().know(&all);
    let machines = all.into_iter().map(|one| service.machines().joined(one)).collect();
    Ok(MachineList { own: report::of(service)?, machines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_reached_by_a_name_with_tls() {
        let mut settings = Settings::usual("default".parse().unwrap()).unwrap();
        let at = |settings: &Settings, named: Option<&str>, asked: Option<&str>| {
            reached_at(settings, named, asked).map(|url| url.to_string())
        };
        assert!(matches!(at(&settings, None, None), Err(JoinError::NoName)));
        assert!(
            matches!(at(&settings, None, Some("attic:8443")), Err(JoinError::NoName)),
            "a name that no door serves"
        );
        settings.people.hosts = vec!["xnode.lan".into(), "other.lan".into()];
        assert_eq!(at(&settings, None, None).unwrap(), "https://xnode.lan/");
        assert_eq!(at(&settings, None, Some("Other.lan:8443")).unwrap(), "https://other.lan:8443/");
        assert_eq!(at(&settings, None, Some("attic")).unwrap(), "https://xnode.lan/");
        assert_eq!(at(&settings, Some("https://far.example.org"), None).unwrap(), "https://far.example.org/");
        assert_eq!(at(&settings, Some("http://127.0.0.1:7780"), None).unwrap(), "http://127.0.0.1:7780/");
        let long = format!("https://{}.example.org", "a".repeat(AT_BYTES_MAX));
        for wrong in ["http://10.0.0.5", "far.example.org", "https://far.example.org/path", long.as_str()] {
            assert!(matches!(at(&settings, Some(wrong), None), Err(JoinError::Value(_))), "{wrong}");
        }
    }
}
