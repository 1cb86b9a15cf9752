//! Machines that join: invitations and the list here, and this machine with regard to another Xnode.
//!
//! A machine proves itself by a token of its own, which is neither a session's nor an API key's: the table of rights asks nobody who joins or reports to sign in, and
//! these handlers look at the token.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use openmesh_access::views::{Invitation, Joined};
use openmesh_access::{Access, Principal, Refusal};
use openmesh_primitives::Timestamp;

use super::access::told;
use super::common::{Change, Shared, blocking};
use crate::error::AgentError;
use crate::face::{Circumstances, Gate, SignedInAs, tick};
use crate::machines;
use crate::moves::node_name;
use crate::service::Service;
use crate::views::EventKind;
use crate::views::machines::{
    Heard, InvitationWish, JoinLine, JoinView, JoinWish, LetIn, MachineList, MachineReport, MadeInvitation,
};

/// Largest request of a machine that is not known yet, or of a report, bytes: some lines. Strangers send it.
const MACHINE_BYTES_MAX: usize = 64 << 10;

/// The gate, as a handler gets it.
type Held = Extension<Arc<Gate>>;

/// The routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    let of_machines: Router<Arc<Service>> = Router::new()
        .route("/v1/xnode/machines", get(list).post(join_here))
        .route("/v1/xnode/machines/{id}/report", post(report))
        .route("/v1/xnode/machines/{id}/leave", post(leave_here));
    Router::new()
        .merge(of_machines.layer(DefaultBodyLimit::max(MACHINE_BYTES_MAX)))
        .route("/v1/xnode/machines/{id}", delete(remove))
        .route("/v1/xnode/invitations", get(invitations).post(invite))
        .route("/v1/xnode/invitations/{id}", delete(revoke))
        .route("/v1/xnode/join", get(look).post(join).delete(leave))
}

/// Does what writes the files of access on a thread for that.
async fn with_access<T: Send + 'static>(
    service: &Arc<Service>,
    gate: &Arc<Gate>,
    does: impl FnOnce(&Service, &Access) -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    let gate = gate.clone();
    blocking(service, move |service| does(service, gate.access())).await
}

/// Notes an event of a machine that joined or left.
fn note(service: &Service, kind: EventKind, text: String) {
    service.history().note(kind, service.wanted().unwrap_or(0), None, text);
}

async fn invitations(Extension(gate): Held) -> Json<Vec<Invitation>> {
    Json(gate.access().invitations(&tick()))
}

async fn invite(
    State(service): Shared,
    Extension(gate): Held,
    Extension(principal): Extension<Principal>,
    Extension(circumstances): Extension<Circumstances>,
    Json(wish): Json<InvitationWish>,
) -> Result<Json<MadeInvitation>, AgentError> {
    let Circumstances { host, takes_cookie, .. } = circumstances;
    let made = with_access(&service, &gate, move |service, access| {
        let asked = Some(host.as_str()).filter(|_| takes_cookie);
        machines::invite(service, access, &principal, (&wish, asked))
    });
    Ok(Json(made.await?))
}

async fn revoke(
    State(service): Shared,
    Extension(gate): Held,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, AgentError> {
    let done = with_access(&service, &gate, move |service, access| {
        access.end_invitation(&principal, &id, &tick())?;
        note(service, EventKind::Agent, format!("{principal} took the invitation {id} back"));
        Ok(())
    });
    done.await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list(State(service): Shared, Extension(gate): Held) -> Result<Json<MachineList>, AgentError> {
    Ok(Json(with_access(&service, &gate, machines::list).await?))
}

/// Name of a machine, for the history and the audit log.
fn named(joined: &Joined) -> String {
    format!("machine {} ({})", joined.name, joined.id)
}

async fn join_here(
    State(service): Shared,
    Extension(gate): Held,
    Extension(circumstances): Extension<Circumstances>,
    Json(wish): Json<JoinWish>,
) -> Result<Response, AgentError> {
    let (joined, node) = with_access(&service, &gate, move |service, access| {
        let before = access.machines().len();
        let joined = access.join(&wish.invitation, &wish.token, &wish.name, &tick())?;
        let all = access.machines();
        service.machines().know(&all);
        // One that asks again has joined before.
        if all.len() > before {
            let text = format!("{} of {} has joined, from {}", named(&joined), joined.owner, circumstances.from);
            note(service, EventKind::Agent, text);
        }
        // Last: whoever has no invitation causes no look at a disk, and one that has not heard this asks again.
        Ok((joined, node_name(service)?))
    })
    .await?;
    let who = SignedInAs(named(&joined));
    let answer = LetIn { id: joined.id, owner: joined.owner, node, at: Timestamp::now() };
    Ok((Extension(who), Json(answer)).into_response())
}

async fn remove(
    State(service): Shared,
    Extension(gate): Held,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, AgentError> {
    let done = with_access(&service, &gate, move |service, access| {
        let gone = access.remove_machine(&principal, &id, &tick())?;
        service.machines().know(&access.machines());
        note(service, EventKind::Agent, format!("{principal} took {} out of the list", named(&gone)));
        Ok(())
    });
    done.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token of a machine that asks.
fn token(headers: &HeaderMap) -> Result<String, Refusal> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim().to_string()).ok_or(Refusal::MachineUnknown)
}

/// Refuses a number that is not the one of whoever asks.
fn check(joined: &Joined, id: &str) -> Result<(), Refusal> {
    if joined.id == id { Ok(()) } else { Err(Refusal::MachineUnknown) }
}

async fn report(
    State(service): Shared,
    Extension(gate): Held,
    Extension(circumstances): Extension<Circumstances>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(report): Json<MachineReport>,
) -> Result<Json<Heard>, AgentError> {
    // Nothing of this waits for a disk.
    let joined = gate.access().machine(&token(&headers)?)?;
    check(&joined, &id)?;
    let report = report.checked()?;
    let now = Timestamp::now();
    let clock_ms = report.at.millis().saturating_sub(now.millis());
    if service.machines().hear(&joined, &circumstances.from, clock_ms, report) {
        let text = format!("{} reports, from {}", named(&joined), circumstances.from);
        blocking(&service, move |service| {
            note(service, EventKind::Over, text);
            Ok(())
        })
        .await?;
    }
    Ok(Json(Heard { at: now }))
}

async fn leave_here(
    State(service): Shared,
    Extension(gate): Held,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, AgentError> {
    let token = token(&headers)?;
    let gone = with_access(&service, &gate, move |service, access| {
        check(&access.machine(&token)?, &id)?;
        let gone = access.leave(&token, &tick())?;
        service.machines().know(&access.machines());
        note(service, EventKind::Agent, format!("{} has left", named(&gone)));
        Ok(gone)
    })
    .await?;
    Ok((Extension(SignedInAs(named(&gone))), Json(Heard { at: Timestamp::now() })).into_response())
}

async fn look(State(service): Shared) -> Result<Json<JoinView>, AgentError> {
    Ok(Json(blocking(&service, machines::look).await?))
}

async fn join(
    State(service): Shared,
    Extension(gate): Held,
    Json(JoinLine { line }): Json<JoinLine>,
) -> Result<Json<JoinView>, AgentError> {
    let joined = machines::join(&service, gate.access(), &line).await?;
    // There may be a first owner now, who comes in at the agent whatever the door knows.
    told(&service, &gate).await?;
    Ok(Json(joined))
}

async fn leave(State(service): Shared, change: Change) -> Result<Json<JoinView>, AgentError> {
    Ok(Json(machines::leave(&service, &change.asked("").by).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_proves_itself_by_a_bearer_token_alone() {
        let with = |name: header::HeaderName, value: &'static str| {
            let headers: HeaderMap = [(name, header::HeaderValue::from_static(value))].into_iter().collect();
            token(&headers)
        };
        assert_eq!(with(header::AUTHORIZATION, "Bearer omm_00").as_deref(), Ok("omm_00"));
        assert_eq!(with(header::AUTHORIZATION, "bearer  omm_00 ").as_deref(), Ok("omm_00"));
        for (name, value) in [
            (header::AUTHORIZATION, "omm_00"),
            (header::AUTHORIZATION, "Basic omm_00"),
            (header::COOKIE, "Bearer omm_00"),
        ] {
            assert_eq!(with(name, value), Err(Refusal::MachineUnknown), "{value}");
        }
    }
}
