//! Use of processors, memory, disk and network by an application.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use openmesh_primitives::Timestamp;
use openmesh_xnode::usage::Condition;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, blocking, name};
use crate::error::AgentError;
use crate::service::Service;
use crate::usage::{COARSE_S, FINE_S, POINTS_MAX, Span, Store, UsagePoint, points};

/// Time before the last moment where none is asked for, seconds: an hour.
const SPAN_S: u64 = 3_600;
/// Points where no step is asked for: what a terminal has columns.
const POINTS: u64 = 120;

/// Use of an instance number: a new version goes on where the one before ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceUsage {
    /// Number of the instance, from 0.
    pub index: u32,
    /// Steps in which it was looked at, the oldest first.
    pub points: Vec<UsagePoint>,
}

/// Condition that is shown with its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageCondition {
    /// `throttled`, `out_of_memory` or `disk_full`.
    pub kind: String,
    /// Number of the instance.
    pub index: u32,
    /// Words with figures.
    pub text: String,
}

/// Use of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// First moment.
    #[schema(value_type = String, format = "seconds")]
    pub from: Timestamp,
    /// Last moment.
    #[schema(value_type = String, format = "seconds")]
    pub to: Timestamp,
    /// Time of one point, seconds.
    pub step_s: u64,
    /// Instances.
    pub instances: Vec<InstanceUsage>,
    /// Conditions at this moment.
    pub conditions: Vec<UsageCondition>,
}

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/applications/{name}/usage", get(usage))
}

/// Query of use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// First moment.
    #[serde(default)]
    from: Option<Timestamp>,
    /// Last moment.
    #[serde(default)]
    to: Option<Timestamp>,
    /// Time of one point, seconds.
    #[serde(default)]
    step: Option<u64>,
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.nanos().div_euclid(1_000_000_000)).unwrap_or(0)
}

fn moment(at_s: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at_s.saturating_mul(1_000)).unwrap_or(i64::MAX))
}

/// The span that is asked for: steps are whole periods of the series, and no more than fit into an answer.
fn span(query: &UsageQuery, now_s: u64) -> Result<Span, AgentError> {
    let to_s = query.to.map_or(now_s, seconds);
    let from_s = query.from.map_or(to_s.saturating_sub(SPAN_S), seconds);
    let Some(long) = to_s.checked_sub(from_s).filter(|long| *long > 0) else {
        return Err(AgentError::Name("`from` has to be before `to`".into()));
    };
    let least = long.div_ceil(POINTS_MAX);
    let step = query.step.unwrap_or(long.div_ceil(POINTS)).clamp(least, long);
    let period = if step >= COARSE_S { COARSE_S } else { FINE_S };
    Ok(Span { from_s, to_s, step_s: step.next_multiple_of(period) })
}

async fn usage(
    State(service): Shared,
    Path(text): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Usage>, AgentError> {
    let name = name(&text)?;
    let now_s = seconds(Timestamp::now());
    let span = span(&query, now_s)?;
    let usage = blocking(&service, move |service| {
        let store = Store::new(&service.settings().state);
        let failed = |cause| AgentError::file("reading the use of", name.as_str())(cause);
        let mut instances = Vec::new();
        for index in store.indexes(name.as_str()) {
            let records = store.read(name.as_str(), index, &span, now_s).map_err(failed)?;
            instances.push(InstanceUsage { index, points: points(&records, &span) });
        }
        let conditions = conditions(service, name.as_str(), now_s);
        Ok(Usage { from: moment(span.from_s), to: moment(span.to_s), step_s: span.step_s, instances, conditions })
    });
    Ok(Json(usage.await?))
}

/// Conditions of an application at a moment. Where they cannot be read there are none to show.
fn conditions(service: &Service, application: &str, now_s: u64) -> Vec<UsageCondition> {
    let store = Store::new(&service.settings().state);
    let found = store.conditions(application, now_s).unwrap_or_default();
    found.iter().map(|(index, condition)| condition_view(*index, condition)).collect()
}

/// Conditions of an application now, for its view.
pub(super) fn present(service: &Service, application: &str) -> Vec<UsageCondition> {
    conditions(service, application, seconds(Timestamp::now()))
}

fn condition_view(index: u32, condition: &Condition) -> UsageCondition {
    let percent = |permille: u64| format!("{}.{} %", permille / 10, permille % 10);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let (kind, text) = match condition {
        Condition::Throttled { permille, over_ms } => (
            "throttled",
            format!(
                "it waited {} of the last {} s for its limit of processors; raise `limits.processors`",
                percent(*permille),
                over_ms / 1_000
            ),
        ),
        Condition::OutOfMemory { kills, memory_bytes, limit_bytes } => (
            "out_of_memory",
            format!(
                "the kernel killed {kills} of its processes for want of memory within the last hour; it has {} of {} now; raise `limits.memory`",
                mib(*memory_bytes),
                mib(*limit_bytes)
            ),
        ),
        Condition::DiskFull { permille, used_bytes, bytes } => (
            "disk_full",
            format!(
                "the fullest of its disks is at {}, all together at {} of {}; let the volume grow, or remove what is not needed",
                percent(*permille),
                mib(*used_bytes),
                mib(*bytes)
            ),
        ),
    };
    UsageCondition { kind: kind.into(), index, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(from: Option<i64>, to: Option<i64>, step: Option<u64>) -> Result<Span, AgentError> {
        let at = |s: i64| Timestamp(s * 1_000_000_000);
        span(&UsageQuery { from: from.map(at), to: to.map(at), step }, 1_000_000)
    }

    #[test]
    fn steps_are_whole_periods_and_answers_are_bounded() {
        let usual = ask(None, None, None).unwrap();
        assert_eq!(usual, Span { from_s: 1_000_000 - SPAN_S, to_s: 1_000_000, step_s: 30 });
        assert_eq!(ask(None, None, Some(1)).unwrap().step_s, 10);
        let month = ask(Some(0), Some(2_600_000), Some(10)).unwrap();
        assert_eq!(month.step_s % COARSE_S, 0);
        assert!((month.to_s - month.from_s) / month.step_s <= POINTS_MAX);
        assert_eq!(ask(None, None, Some(u64::MAX)).unwrap().step_s, SPAN_S, "one point is for all of the time");
        assert!(ask(Some(10), Some(10), None).is_err());
        assert!(ask(Some(20), Some(10), None).is_err());
    }

    #[test]
    fn conditions_are_told_with_figures() {
        let told = condition_view(0, &Condition::Throttled { permille: 431, over_ms: 60_000 });
        assert_eq!(told.kind, "throttled");
        assert!(told.text.starts_with("it waited 43.1 % of the last 60 s"), "{}", told.text);
        let killed = Condition::OutOfMemory { kills: 2, memory_bytes: 5 << 20, limit_bytes: 8 << 20 };
        assert!(condition_view(1, &killed).text.contains("killed 2 of its processes"), "{killed:?}");
    }
}
