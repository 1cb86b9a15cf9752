//! Visitors of applications: what they are asked to sign in for, and the way back to it (clauses of `docs/spec/access.md`).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use openmesh_access::{Attempt, Purpose, Refusal, views};
use openmesh_door::document::Document;
use openmesh_door::pass::Moment;
use openmesh_primitives::Address;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, blocking};
use crate::error::AgentError;
use crate::face::{Circumstances, Gate, SignedInAs, tick};
use crate::service::Service;
use crate::visits::{Wanted, Way};

/// Largest request, bytes: the longest message, signature and target as JSON. Strangers send it.
const BYTES_MAX: usize = 64 << 10;

/// An application that a visitor wants to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Visited {
    /// The application.
    pub application: String,
    /// Its host, with the port where it is not the scheme's own.
    pub host: String,
    /// Text for the person that a message for it must have.
    pub statement: String,
}

/// A sign-in of a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitWish {
    /// The way back.
    pub way: Way,
    /// Message of EIP-4361, as it was signed.
    pub message: String,
    /// Signature, in hexadecimal.
    pub signature: String,
}

/// Leave to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VisitLeave)]
pub struct Leave {
    /// Address at which the door takes the visitor in, within a minute, once.
    pub location: String,
    /// The wallet.
    #[schema(value_type = String, format = "address")]
    pub wallet: Address,
}

/// The routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    let routes: Router<Arc<Service>> = Router::new().route("/v1/xnode/access/visit", get(visited).post(visit));
    routes.layer(DefaultBodyLimit::max(BYTES_MAX))
}

/// The document that the door serves. Strangers ask for it: it is read anew only where it is another one.
async fn served(service: &Arc<Service>) -> Result<Arc<Document>, AgentError> {
    let kept = blocking(service, |service| {
        Ok(service.agent().machine().doors.get().and_then(openmesh_xnode::door::Carrier::remembered))
    });
    let none = || Refusal::Return("the door of this Xnode serves nothing yet".into());
    Ok(kept.await?.ok_or_else(none)?)
}

async fn visited(
    State(service): Shared,
    Extension(circumstances): Extension<Circumstances>,
    Query(way): Query<Way>,
) -> Result<Json<Visited>, AgentError> {
    let document = served(&service).await?;
    let wanted = Wanted::find(&document, &way)?;
    let (application, host) = (wanted.application(), wanted.host());
    let statement = Purpose::Visit { application, host: &host }.statement(&circumstances.host);
    Ok(Json(Visited { application: application.into(), statement, host }))
}

async fn visit(
    State(service): Shared,
    Extension(gate): Extension<Arc<Gate>>,
    Extension(circumstances): Extension<Circumstances>,
    Json(wish): Json<VisitWish>,
) -> Result<Response, AgentError> {
    let document = served(&service).await?;
    let wanted = Wanted::find(&document, &wish.way)?;
    let signed = views::SignIn { message: wish.message, signature: wish.signature, code: None };
    let Circumstances { host, from, source, .. } = &circumstances;
    let attempt = Attempt { wish: &signed, host, from, source };
    let (may, at) = (|wallet: &Address| wanted.admits(wallet), wanted.host());
    let wallet = gate.access().prove(attempt, (wanted.application(), at.as_str()), may, &tick()).await?;
    let location = wanted.address(&wallet, Moment::now())?;
    let who = SignedInAs(format!("{wallet} visits {}", wanted.application()));
    Ok((Extension(who), Json(Leave { location, wallet })).into_response())
}
