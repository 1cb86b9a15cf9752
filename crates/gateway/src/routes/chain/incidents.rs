//! Incidents: those that the ledger names, and those that this site's collector saw.
//!
//! The recent ones of both come from memory, in one order of time. Behind them the list goes on in the ledger's state,
//! which keeps every incident since the beginning, so that a page is never the last one only because memory ends.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger as ledger;
use openmesh_primitives::Height;

use crate::error::Refusal;
use crate::http::request::{self, Params, cursor, pair};
use crate::node::Node;
use crate::reads;
use crate::views;

struct Filter {
    kind: Option<api::IncidentKind>,
    source: Option<String>,
    validator: Option<String>,
    site: Option<api::IncidentSite>,
}

impl Filter {
    fn fits(&self, info: &api::IncidentInfo) -> bool {
        self.kind.is_none_or(|k| k == info.kind)
            && self.site.is_none_or(|s| s == info.site)
            && self.source.as_ref().is_none_or(|s| info.source.as_ref() == Some(s))
            && self.validator.as_ref().is_none_or(|v| info.validator.as_ref() == Some(v))
    }
}

/// Place at which a page goes on.
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
#[utoipa::path(get, path = api::path::INCIDENTS, tag = "ledger", params(api::IncidentQuery), responses((status = 200, body = api::Page<api::IncidentInfo>)))]
pub async fn incidents(
    State(node): State<Node>,
    Params(query): Params<api::IncidentQuery>,
) -> Result<Json<api::Page<api::IncidentInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), after)?;
    let validator = query.validator.as_deref().map(request::address).transpose()?.map(|a| a.to_string());
    let filter = Filter { kind: query.kind, source: query.source, validator, site: query.site };
    node.scan(move |node, budget| {
        let mut items = Vec::new();
        let place = match after {
            Some(After::Place(height, number)) => Some((height, number)),
            other => {
                let before = other.and_then(|a| if let After::Time(nanos) = a { Some(nanos) } else { None });
                if let Some(next) = recent(&node, &filter, before, limit, &mut items) {
                    return Ok(Json(api::Page { items, next: Some(next) }));
                }
                node.memory().index().oldest_incident()
            }
        };
        if filter.site.is_some_and(|site| site != api::IncidentSite::Ledger) {
            return Ok(Json(api::Page { items, next: None }));
        }
        let next = reads::incidents::before(node.store(), place, budget, |incident, time| {
            if items.len() >= limit {
                return false;
            }
            let info = views::incidents::of_ledger(incident, time);
            if filter.fits(&info) {
                items.push(info);
            }
            true
        })?;
        Ok(Json(api::Page { items, next: next.map(|(height, number)| format!("h{height}-{number}")) }))
    })
    .await
}

/// One incident: of the ledger as long as it stands in the state, of this site as long as it is remembered.
#[utoipa::path(get, path = api::path::INCIDENT, tag = "ledger", params(("id" = String, Path, description = "Of the list")), responses((status = 200, body = api::IncidentInfo), (status = 404, body = api::ErrorBody)))]
pub async fn incident(State(node): State<Node>, Path(id): Path<String>) -> Result<Json<api::IncidentInfo>, Refusal> {
    let found = match (pair(&id), id.strip_prefix("site-").and_then(|number| number.parse::<u64>().ok())) {
        (Some((height, number)), _) => node.read(move |node| look(&node, height, number)).await?,
        (None, Some(number)) => of_site(&node, number),
        (None, None) => {
            let hint = "the id of /v1/incidents: a height and a number, or site- and a number";
            return Err(Refusal::new(ErrorCode::BadIncident, format!("{id:.60?} is no id of an incident"), hint));
        }
    };
    let info = found.ok_or_else(|| {
        let message = format!("this node does not know the incident {id:.60}");
        let hint =
            "incidents of the ledger leave the state some epochs later, those of a site are forgotten with its restart";
        Refusal::new(ErrorCode::UnknownIncident, message, hint)
    })?;
    Ok(Json(info))
}

fn look(node: &Node, height: Height, number: u32) -> Result<Option<api::IncidentInfo>, Refusal> {
    let Some(incident) = ledger::incident(&node.store().state()?, height, number)? else { return Ok(None) };
    let time = node.store().block(height)?.map(|stored| stored.block.header.time);
    Ok(Some(views::incidents::of_ledger(&incident, time)))
}

/// An incident of this site's collector or duties, which share their numbers.
fn of_site(node: &Node, number: u64) -> Option<api::IncidentInfo> {
    let live = node.memory().live();
    let of_collector = live.incidents().iter().find(|seen| seen.number == number).map(views::incidents::of_site);
    of_collector.or_else(|| {
        let of_duties = live.duty_incidents().into_iter().find(|(known, _)| *known == number);
        of_duties.map(|(number, seen)| views::incidents::of_duty(number, &seen))
    })
}

/// Takes from memory; returns a cursor where there is more of it than wanted.
fn recent(
    node: &Node,
    filter: &Filter,
    before: Option<i64>,
    limit: usize,
    items: &mut Vec<api::IncidentInfo>,
) -> Option<String> {
    let memory = node.memory();
    let of_site = memory.live().incidents();
    let mut all: Vec<(i64, api::IncidentInfo)> =
        of_site.iter().map(|seen| (seen.time.nanos(), views::incidents::of_site(seen))).collect();
    let of_duties = memory.live().duty_incidents();
    all.extend(of_duties.iter().map(|(number, seen)| (seen.time.nanos(), views::incidents::of_duty(*number, seen))));
    {
        let index = memory.index();
        all.extend(
            index.incidents(None).map(|i| (i.time.nanos(), views::incidents::of_ledger(&i.incident, Some(i.time)))),
        );
    }
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
