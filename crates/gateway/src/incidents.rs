//! Incidents: what the ledger names, and what this site's collector saw.
//!
//! The recent ones of both come from memory, in one order of time. Behind them the list goes on in the ledger's state,
//! which keeps every incident since the beginning, so that a page is never the last one only because memory ends.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_ledger::{LedgerIncident, StateError, StateRead, keys};
use openmesh_primitives::{Height, Timestamp, canonical};
use openmesh_storage::{Store, StoreError};
use serde::Deserialize;

use crate::error::Refusal;
use crate::ledger::parse_address;
use crate::node::Node;
use crate::page::{self, Params, cursor, pair};

/// Most incidents looked through for one page in the ledger's state.
const SEARCHED_MAX: usize = 5_000;
/// Incidents read from the state at once.
const BATCH: usize = 500;

/// Filters of `GET /v1/incidents`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct IncidentQuery {
    /// `differing`, `missing`, `disputed`, `equivocation`, or a collector's kind: `gap`, `checksum`, `garbage`, `disconnected`, `refused`,
    /// `crossed`, `silence`.
    kind: Option<String>,
    /// Source.
    source: Option<String>,
    /// Validator's address.
    validator: Option<String>,
    /// `ledger` or `collector`.
    #[param(value_type = Option<api::IncidentSite>)]
    site: Option<String>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

struct Filter {
    kind: Option<String>,
    source: Option<String>,
    validator: Option<String>,
    site: Option<String>,
}

impl Filter {
    fn fits(&self, info: &api::IncidentInfo) -> bool {
        self.kind.as_ref().is_none_or(|k| *k == info.kind)
            && self.site.as_ref().is_none_or(|s| *s == info.site)
            && self.source.as_ref().is_none_or(|s| info.source.as_ref() == Some(s))
            && self.validator.as_ref().is_none_or(|v| info.validator.as_ref() == Some(v))
    }
}

/// Where a page goes on.
enum After {
    /// In memory: before this time in nanoseconds.
    Time(i64),
    /// In the state: before this incident.
    Place(Height, u32),
}

fn after(text: &str) -> Option<After> {
    match text.strip_prefix('h') {
        Some(place) => pair(place).map(|(height, number)| After::Place(height, number)),
        None => text.parse().ok().map(After::Time),
    }
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/v1/incidents", tag = "ledger", params(IncidentQuery), responses((status = 200, body = api::Page<api::IncidentInfo>)))]
pub async fn incidents(
    State(node): State<Node>,
    Params(query): Params<IncidentQuery>,
) -> Result<Json<api::Page<api::IncidentInfo>>, Refusal> {
    if let Some(site) = query.site.as_deref()
        && !["ledger", "collector"].contains(&site)
    {
        return Err(Refusal::bad("bad_site", format!("{site:.40?} is no site"), "ledger or collector"));
    }
    let limit = page::limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), after)?;
    let validator = query.validator.as_deref().map(parse_address).transpose()?.map(|a| a.to_string());
    let filter = Filter { kind: query.kind, source: query.source, validator, site: query.site };
    node.blocking(move |node| {
        let mut items = Vec::new();
        let place = match after {
            Some(After::Place(height, number)) => Some((height, number)),
            other => {
                let before = other.and_then(|a| if let After::Time(nanos) = a { Some(nanos) } else { None });
                if let Some(next) = recent(&node, &filter, before, limit, &mut items) {
                    return Ok(Json(api::Page { items, next: Some(next) }));
                }
                node.index().oldest_incident()
            }
        };
        if filter.site.as_deref() == Some("collector") {
            return Ok(Json(api::Page { items, next: None }));
        }
        let next = older(&node, &filter, place, limit, &mut items)?;
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// Takes from memory; a cursor where there is more of it than wanted.
fn recent(
    node: &Node,
    filter: &Filter,
    before: Option<i64>,
    limit: usize,
    items: &mut Vec<api::IncidentInfo>,
) -> Option<String> {
    let mut all = node.incidents();
    all.retain(|(nanos, info)| before.is_none_or(|b| *nanos < b) && filter.fits(info));
    all.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
    let end = page_end(&all.iter().map(|(nanos, _)| *nanos).collect::<Vec<_>>(), limit);
    let more = end < all.len();
    let next = all.get(end.saturating_sub(1)).filter(|_| more).map(|(nanos, _)| nanos.to_string());
    items.extend(all.into_iter().take(end).map(|(_, info)| info));
    next
}

/// Incidents of one block share its time: a page never ends between them, or the rest would be lost.
fn page_end(times: &[i64], limit: usize) -> usize {
    let mut end = limit.min(times.len());
    while end > 0 && end < times.len() && times[end] == times[end - 1] {
        end += 1;
    }
    end
}

/// Takes from the ledger's state, before a place; a cursor unless the beginning was reached.
fn older(
    node: &Node,
    filter: &Filter,
    place: Option<(Height, u32)>,
    limit: usize,
    items: &mut Vec<api::IncidentInfo>,
) -> Result<Option<String>, Refusal> {
    let state = node.store().state()?;
    let mut before = place.map(|(height, number)| keys::incident(height, number));
    let mut time = (0, Timestamp(0));
    let mut searched = 0;
    loop {
        let batch = state.scan_back(keys::INCIDENTS, before.as_deref(), BATCH)?;
        let ended = batch.len() < BATCH;
        for (key, value) in batch {
            let incident: LedgerIncident =
                canonical::decode(&value).map_err(|e| Refusal::internal("reading an incident", &e))?;
            if items.len() >= limit || searched >= SEARCHED_MAX {
                // The one that was just read comes first on the next page.
                return Ok(Some(format!("h{}-{}", incident.height, incident.number.saturating_add(1))));
            }
            searched += 1;
            if time.0 != incident.height {
                let stored = node.store().block(incident.height)?;
                time = (incident.height, stored.map_or(Timestamp(0), |s| s.block.header.time));
            }
            let info = info(&incident, time.1);
            if filter.fits(&info) {
                items.push(info);
            }
            before = Some(key);
        }
        if ended {
            return Ok(None);
        }
    }
}

/// An incident of the ledger as the API shows it.
pub fn info(incident: &LedgerIncident, time: Timestamp) -> api::IncidentInfo {
    api::IncidentInfo {
        id: incident.id(),
        time: time.to_rfc3339(),
        kind: incident.kind.as_str().into(),
        source: Some(incident.source.clone()),
        window: Some(incident.window),
        stream: incident.stream.clone(),
        validator: incident.validator.map(|v| v.to_string()),
        detail: incident.detail.clone(),
        height: Some(incident.height),
        site: "ledger".into(),
    }
}

/// How many incidents the ledger has had before a height.
pub fn count_before(store: &Store, height: Height) -> Result<u64, StoreError> {
    let broken = |error: StateError| StoreError::Damaged(error.to_string());
    let state = store.state()?;
    let end = keys::incidents_at(height);
    let (mut from, mut count) = (keys::INCIDENTS.to_vec(), 0);
    loop {
        let batch = state.scan(keys::INCIDENTS, Some(&from), BATCH).map_err(broken)?;
        let full = batch.len() == BATCH;
        for (mut key, _) in batch {
            if key >= end {
                return Ok(count);
            }
            count += 1;
            // The next batch begins behind this key.
            key.push(0);
            from = key;
        }
        if !full {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_does_not_end_between_incidents_of_one_block() {
        assert_eq!(page_end(&[9, 8, 8, 8, 7], 2), 4);
        assert_eq!(page_end(&[9, 8, 7], 2), 2);
        assert_eq!(page_end(&[9], 2), 1);
        assert_eq!(page_end(&[], 2), 0);
    }

    #[test]
    fn both_kinds_of_cursor() {
        assert!(matches!(after("17"), Some(After::Time(17))));
        assert!(matches!(after("h4-2"), Some(After::Place(4, 2))));
        assert!(after("h4").is_none() && after("x").is_none());
    }
}
