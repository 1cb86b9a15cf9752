//! The side of a machine that joins an Xnode: joining, reports, leaving.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openmesh_access::{Access, of_machine};
use openmesh_primitives::{Timestamp, sha256};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::book::Mark;
use super::error::JoinError;
use super::line::Line;
use super::report;
use super::views::{Heard, JoinState, JoinView, JoinWish, LetIn};
use crate::api::blocking;
use crate::error::AgentError;
use crate::face::tick;
use crate::moves::wire::{self, Other, Reach, Trouble};
use crate::service::Service;
use crate::views::EventKind;
use openmesh_alerts::unanswered::words;

/// Time between two reports: a machine that is silent is noticed within a minute.
const REPORT: Duration = Duration::from_secs(15);
/// Longest time between two reports to an Xnode that does not hear them.
const REPORT_MAX: Duration = Duration::from_secs(120);
/// Time between two looks whether there is somebody to report to; joining wakes at once.
const IDLE: Duration = Duration::from_secs(600);
/// Longest name and number that another Xnode gives, characters.
const WORD_CHARS_MAX: usize = 63;

/// Ways to an Xnode, the first one first: by the addresses of its invitation, by which it is found without a DNS; then as this machine's resolver says.
fn ways(addresses: &[IpAddr]) -> impl Iterator<Item = &[IpAddr]> {
    [addresses, &[]].into_iter().skip(usize::from(addresses.is_empty()))
}

/// The failure for a person.
fn failed(at: &str, trouble: Trouble) -> JoinError {
    let at = at.to_string();
    match trouble {
        Trouble::Away(cause) => JoinError::Unreachable { at, cause, clock: Timestamp::now().to_rfc3339() },
        // One that knows invitations asks nobody who joins to sign in.
        Trouble::Key(_) => JoinError::Old { at },
        Trouble::Refused(failure) if matches!(failure.code.as_str(), "no_endpoint" | "no_rule") => {
            JoinError::Old { at }
        }
        Trouble::Refused(failure) => JoinError::Refused { at, code: failure.code, message: failure.message },
    }
}

/// Root of the authority of the Xnode that made an invitation, which has the hash in it. The connection proves nothing, and nothing is told by it: the hash does.
async fn root(line: &Line) -> Result<Option<String>, JoinError> {
    let Some(expected) = line.root else { return Ok(None) };
    let value = JoinError::Value;
    let base = wire::address(&line.at).map_err(|error| value(error.to_string()))?;
    let mut first = None::<JoinError>;
    for addresses in ways(&line.addresses) {
        let http = wire::builder(&base, addresses).tls_danger_accept_invalid_certs(true).build();
        let http = http.map_err(|cause| value(format!("no client can be made: {cause}")))?;
        let mut url = base.clone();
        url.set_path("/v1/xnode/doors/authority");
        let answer = async {
            let answer = http.get(url).send().await.map_err(|error| Trouble::Away(words(&error, wire::ANSWER)))?;
            match answer.status().is_success() {
                true => wire::read(answer).await,
                false => Err(Trouble::Away(format!("it answers with status {}", answer.status().as_u16()))),
            }
        };
        let error = match answer.await {
            Ok(bytes) if sha256(&[bytes.as_slice()]) == expected => match String::from_utf8(bytes) {
                Ok(root) => return Ok(Some(root)),
                Err(_) => JoinError::Stranger { at: line.at.clone() },
            },
            Ok(_) => JoinError::Stranger { at: line.at.clone() },
            Err(trouble) => failed(&line.at, trouble),
        };
        // A stranger at the right address tells more than nobody at the wrong one.
        let tells_more = matches!(error, JoinError::Stranger { .. });
        if first.is_none() || tells_more {
            first = Some(error);
        }
    }
    Err(first.unwrap_or(JoinError::Stranger { at: line.at.clone() }))
}

/// Asks the Xnode of a mark, by one way after the other until somebody answers.
async fn ask<T: DeserializeOwned>(mark: &Mark, token: &str, path: &str, body: &impl Serialize) -> Result<T, Trouble> {
    let mut first = None::<Trouble>;
    for addresses in ways(&mark.addresses) {
        let reach = Reach { root: mark.root.as_deref(), only: true, addresses };
        let other = Other::by(&mark.at, reach, token.to_string()).map_err(|error| Trouble::Away(error.to_string()))?;
        match other.send(Method::POST, path, body).await {
            Err(Trouble::Away(words)) => {
                first.get_or_insert(Trouble::Away(words));
            }
            answered => return answered,
        }
    }
    Err(first.unwrap_or_else(|| Trouble::Away("no answer".into())))
}

/// The mark with which this machine asks by an invitation, and its token: the one of before where the same invitation was given.
fn begun(service: &Service, access: &Access, line: &Line) -> Result<(Mark, String), AgentError> {
    wire::address(&line.at).map_err(|error| JoinError::Value(error.to_string()))?;
    access.check_owner(&line.owner).map_err(|_| JoinError::Owned { owner: line.owner })?;
    let machines = service.machines();
    let invitation = sha256(&[line.token.as_bytes()]);
    let found = machines.find()?;
    if let Some(mark) = found.as_ref().filter(|mark| mark.state() == JoinState::Joined) {
        return Err(JoinError::Joined { at: mark.at.clone() }.into());
    }
    let same = found.filter(|mark| mark.state() == JoinState::Asks && mark.invitation == invitation);
    let token = match same {
        Some(mark) => machines.token(&mark)?,
        None => of_machine()?,
    };
    let mark = Mark {
        at: line.at.clone(),
        addresses: line.addresses.clone(),
        root: None,
        owner: line.owner,
        invitation,
        token: machines.seal(&token)?,
        id: None,
        node: None,
        since: None,
        is_removed: false,
    };
    Ok((mark, token))
}

/// Lets this machine join the Xnode of an invitation: its owner owns this machine from then on.
///
/// # Errors
/// The line is none, this machine has joined already or is somebody else's, the Xnode cannot be reached, or it refuses. Given again, the same line goes on.
pub(crate) async fn join(service: &Arc<Service>, access: &Arc<Access>, text: &str) -> Result<JoinView, AgentError> {
    let line = Line::parse(text).map_err(JoinError::from)?;
    let _alone = service.machines().change.lock().await;
    let (own_access, own_line) = (access.clone(), line.clone());
    let begin = move |service: &Service| Ok((begun(service, &own_access, &own_line)?, report::name(service)?));
    let ((mut mark, token), name) = blocking(service, begin).await?;
    mark.root = root(&line).await?;
    // Durable before anything is asked: a machine that dies now asks with the same token again.
    let kept = mark.clone();
    blocking(service, move |service| service.machines().keep(&kept)).await?;
    let wish = JoinWish { invitation: line.token.clone(), token: token.clone(), name };
    let answer: LetIn = ask(&mark, &token, "/machines", &wish).await.map_err(|trouble| failed(&line.at, trouble))?;
    let is_number = |id: &str| id.len() <= WORD_CHARS_MAX && id.bytes().all(|sign| sign.is_ascii_alphanumeric());
    if answer.owner != line.owner || answer.id.is_empty() || !is_number(&answer.id) {
        let message = "it answers for another owner than its invitation names".to_string();
        return Err(JoinError::Refused { at: line.at, code: String::new(), message }.into());
    }
    // It is shown in lists and terminals: nothing in it is hidden or turns the direction of text.
    mark.node = Some(answer.node.chars().filter(char::is_ascii_graphic).take(WORD_CHARS_MAX).collect());
    (mark.id, mark.since) = (Some(answer.id), Some(Timestamp::now()));
    let own_access = access.clone();
    let end = move |service: &Service| settle(service, &own_access, &mark, ahead_ms(answer.at));
    blocking(service, end).await
}

/// Takes the owner, then the mark: whoever finds the mark finds the owner too.
fn settle(service: &Service, access: &Access, mark: &Mark, clock_ms: i64) -> Result<JoinView, AgentError> {
    let node = mark.node.clone().unwrap_or_default();
    access.own(mark.owner, &format!("an invitation of {node}"), &tick())?;
    service.machines().keep(mark)?;
    service.machines().note(Ok(clock_ms));
    let text = format!("this machine has joined {node} ({}), and is {}'s", mark.at, mark.owner);
    service.history().note(EventKind::Agent, service.wanted()?, None, text);
    service.machines().news.notify_one();
    service.machines().view()
}

/// Time by which this machine's clock is ahead of a moment that was told just now, milliseconds.
fn ahead_ms(told: Timestamp) -> i64 {
    Timestamp::now().millis().saturating_sub(told.millis())
}

/// Lets this machine leave the Xnode that it has joined. It leaves also where that one cannot be told, which the answer says.
///
/// # Errors
/// It has joined none, or the mark cannot be removed.
pub(crate) async fn leave(service: &Arc<Service>, by: &str) -> Result<JoinView, AgentError> {
    let _alone = service.machines().change.lock().await;
    let found = blocking(service, |service| {
        let found = service.machines().find()?;
        found.map(|mark| Ok((service.machines().token(&mark)?, mark))).transpose()
    });
    let (token, mark) = found.await?.ok_or(JoinError::Alone)?;
    let told = match (mark.state(), &mark.id) {
        (JoinState::Joined, Some(id)) => {
            ask::<Heard>(&mark, &token, &format!("/machines/{id}/leave"), &()).await.map(|_| ())
        }
        _ => Ok(()),
    };
    let trouble = told.err().map(|trouble| {
        format!(
            "{} was not told, and lists this machine as silent until somebody removes it there: {}",
            mark.at,
            trouble.words()
        )
    });
    let by = by.to_string();
    blocking(service, move |service| {
        service.machines().forget()?;
        let text = format!("{by} let this machine leave {}", mark.at);
        service.history().note(EventKind::Agent, service.wanted()?, None, text);
        Ok(JoinView { trouble, ..service.machines().view()? })
    })
    .await
}

/// This machine with regard to another Xnode.
///
/// # Errors
/// The mark cannot be read.
pub(crate) fn look(service: &Service) -> Result<JoinView, AgentError> {
    service.machines().view()
}

/// Makes reports until the sender of `stays` is gone.
pub(super) async fn reports(service: &Arc<Service>, mut stays: watch::Receiver<()>) {
    loop {
        let pause = tokio::select! {
            pause = turn(service) => pause,
            () = ended(&mut stays) => return,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.machines().news.notified() => {}
            () = ended(&mut stays) => return,
        }
    }
}

/// Waits until the agent leaves.
pub(super) async fn ended(stays: &mut watch::Receiver<()>) {
    while stays.changed().await.is_ok() {}
}

/// Pause after so many reports that were not heard.
fn pause(failures: u32) -> Duration {
    REPORT.saturating_mul(2_u32.saturating_pow(failures.min(8))).min(REPORT_MAX)
}

/// Makes one report, where there is somebody to report to. The time until the next one.
async fn turn(service: &Arc<Service>) -> Duration {
    let found = blocking(service, |service| {
        let found = service.machines().find()?.filter(|mark| mark.state() == JoinState::Joined);
        found.map(|mark| Ok((service.machines().token(&mark)?, report::of(service)?, mark))).transpose()
    });
    let (token, report, mark) = match found.await {
        Ok(Some(found)) => found,
        Ok(None) => return IDLE,
        Err(error) => {
            noted(service, Err(error.to_string()));
            return pause(service.machines().told().failures);
        }
    };
    let path = format!("/machines/{}/report", mark.id.as_deref().unwrap_or_default());
    match ask::<Heard>(&mark, &token, &path, &report).await {
        Ok(heard) => noted(service, Ok(ahead_ms(heard.at))),
        Err(Trouble::Refused(failure)) if matches!(failure.code.as_str(), "machine_removed" | "machine_unknown") => {
            removed(service, &mark, &failure.message).await;
        }
        Err(trouble) => noted(service, Err(failed(&mark.at, trouble).to_string())),
    }
    pause(service.machines().told().failures)
}

/// Notes what became of a report; the history hears it where that is news.
fn noted(service: &Service, done: Result<i64, String>) {
    let (kind, text) = match &done {
        Ok(_) => (EventKind::Over, "the Xnode that this machine has joined hears its reports again".to_string()),
        Err(trouble) => (EventKind::Found, format!("a report of this machine is not heard: {trouble}")),
    };
    if service.machines().note(done) {
        service.history().note(kind, service.wanted().unwrap_or(0), None, text);
    }
}

/// Notes that this machine was removed from the list of the other Xnode: it reports no more, and stays its owner's.
async fn removed(service: &Arc<Service>, mark: &Mark, words: &str) {
    let _alone = service.machines().change.lock().await;
    let (mark, words) = (mark.clone(), words.to_string());
    let done = blocking(service, move |service| {
        // It may have left, and joined anew, since it asked.
        if service.machines().find()?.is_some_and(|now| now.token == mark.token && now.id == mark.id) {
            service.machines().note(Err(words.clone()));
            service.machines().keep(&Mark { is_removed: true, ..mark })?;
            service.history().note(EventKind::Found, service.wanted()?, None, words);
        }
        Ok(())
    });
    if let Err(error) = done.await {
        tracing::warn!(%error, "it cannot be noted that this machine was removed from a list");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Failure;

    #[test]
    fn each_failure_says_what_helps() {
        let code = |trouble| failed("https://xnode.lan", trouble).code().0;
        let refused = |code: &str| Trouble::Refused(Failure { code: code.into(), message: "no".into() });
        assert_eq!(code(Trouble::Away("refused".into())), "host_away");
        assert_eq!(code(Trouble::Key("no".into())), "host_old");
        assert_eq!(code(refused("no_endpoint")), "host_old");
        for word in ["invitation_unknown", "invitation_used", "invitation_expired", "invitation_revoked"] {
            assert_eq!(code(refused(word)), word);
        }
        assert_eq!(code(refused("full")), "host_refused");
        let away = failed("https://xnode.lan", Trouble::Away("connection refused".into())).to_string();
        assert!(away.contains("NAT") && away.contains("connection refused") && away.contains("here it is 2"), "{away}");
    }

    #[test]
    fn an_xnode_is_looked_for_at_its_addresses_and_by_its_name() {
        let addresses: Vec<IpAddr> = vec!["10.0.0.5".parse().unwrap()];
        assert_eq!(ways(&addresses).collect::<Vec<_>>(), [addresses.as_slice(), &[]]);
        assert_eq!(ways(&[]).collect::<Vec<_>>(), [&[] as &[IpAddr]]);
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(pause(0), REPORT);
        assert_eq!(pause(1), REPORT * 2);
        assert_eq!((pause(4), pause(u32::MAX)), (REPORT_MAX, REPORT_MAX));
    }
}
