//! Catalogues of other publishers: their states, and a look at the place of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use openmesh_blueprint::document::{CatalogueSource, Name};
use openmesh_primitives::Timestamp;

use super::common::{Shared, blocking, name};
use crate::error::AgentError;
use crate::publishers::views::Catalogue;
use crate::publishers::{CatalogueError, of_catalogue};
use crate::service::{Service, names};

/// The routes of catalogues.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/catalogues", get(list)).route("/v1/xnode/catalogues/{name}/refresh", post(refresh))
}

async fn list(State(service): Shared) -> Result<Json<Vec<Catalogue>>, AgentError> {
    Ok(Json(blocking(&service, |service| Ok(views(service, &service.catalogues()?))).await?))
}

fn views(service: &Service, sources: &BTreeMap<Name, CatalogueSource>) -> Vec<Catalogue> {
    service.publishers().views(sources, Timestamp::now())
}

async fn refresh(State(service): Shared, Path(text): Path<String>) -> Result<Json<Catalogue>, AgentError> {
    let wanted = name(&text)?;
    let sources = blocking(&service, |service| service.catalogues()).await?;
    let unknown = || CatalogueError::NotNamed { known: names(sources.keys()) };
    let source = sources.get(&wanted).ok_or_else(unknown).map_err(of_catalogue(&wanted))?;
    service.publishers().refresh(&wanted, source).await.map_err(of_catalogue(&wanted))?;
    let one = BTreeMap::from([(wanted.clone(), source.clone())]);
    let view = views(&service, &one).into_iter().next();
    view.map(Json).ok_or_else(unknown).map_err(of_catalogue(&wanted))
}
