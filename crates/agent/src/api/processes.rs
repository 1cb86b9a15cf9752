//! Processes of an application.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_xnode::processes::{Looked, Owner, Process, State as Found, TICK_MS};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, blocking, name};
use crate::error::AgentError;
use crate::processes::{Hidden, Ticks, share};
use crate::service::{Service, names};

/// Processes of an answer: more than anybody reads.
const PROCESSES_MAX: usize = 1_000;
/// Bytes of all command lines of an answer.
const COMMANDS_BYTES_MAX: usize = 1 << 20;

/// Processes of an application at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessList {
    /// The moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Processes in the order that was asked for.
    pub processes: Vec<ProcessInfo>,
    /// Processes that are left out: beyond the limit of an answer, or of what is read at once.
    pub left_out: u64,
}

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs, or could.
    Running,
    /// It waits for something that happens.
    Sleeping,
    /// It waits for a disk or a lock of the kernel, and no signal reaches it.
    Waiting,
    /// A signal has stopped it.
    Stopped,
    /// Whoever traces it has stopped it.
    Traced,
    /// All processes of its instance are frozen, as in a pause.
    Frozen,
    /// It has ended, and its parent has not asked how.
    Ended,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessInfo {
    /// Its instance, or `job NAME run NUMBER`.
    pub of: String,
    /// Its number on the host.
    pub pid: u32,
    /// Its number inside; none as long as it is on its way in.
    pub pid_inside: Option<u32>,
    /// Number of its parent on the host.
    pub parent: u32,
    /// Number of its parent inside; none where that is outside.
    pub parent_inside: Option<u32>,
    /// Number of its user inside; none where that is none of the application's.
    pub user: Option<u32>,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its state.
    pub state: ProcessState,
    /// Its begin.
    #[schema(value_type = String, format = "seconds")]
    pub started: Timestamp,
    /// Its share of processors over `over_ms`, thousandths of one.
    pub processors_milli: u64,
    /// Time of that share: since an earlier look, or since its begin; milliseconds.
    pub over_ms: u64,
    /// Its processor time since its begin, milliseconds.
    pub cpu_ms: u64,
    /// Its memory, bytes.
    pub memory_bytes: u64,
    /// Shared pages are divided among those who have them; else they count as a whole.
    pub is_share: bool,
    /// Its threads.
    pub threads: u64,
    /// Its arguments as plain text; `[secret]` stands where a value of a secret would be.
    pub command: Vec<String>,
    /// It has more of them than are shown.
    pub is_cut: bool,
}

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/applications/{name}/processes", get(processes))
}

/// Order of processes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// The busiest first.
    #[default]
    Cpu,
    /// The largest first.
    Memory,
    /// The one with most threads first.
    Threads,
    /// The oldest first.
    Started,
    /// By number.
    Pid,
    /// By name.
    Name,
}

/// Query of processes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessQuery {
    /// Order.
    #[serde(default)]
    sort: Order,
    /// Text in the name or the arguments.
    #[serde(default)]
    contains: Option<String>,
    /// The one instance that is meant, by name or number.
    #[serde(default)]
    instance: Option<String>,
    /// Most of them.
    #[serde(default)]
    limit: Option<usize>,
}

async fn processes(
    State(service): Shared,
    Path(text): Path<String>,
    Query(query): Query<ProcessQuery>,
) -> Result<Json<ProcessList>, AgentError> {
    let name = name(&text)?;
    Ok(Json(blocking(&service, move |service| list(service, &name, &query)).await?))
}

fn list(service: &Service, name: &Name, query: &ProcessQuery) -> Result<ProcessList, AgentError> {
    let looked = service.agent().look_at_processes(name)?;
    if looked.is_empty() {
        check_known(service, name)?;
    }
    let at = Timestamp::now();
    let all = looked.iter().flat_map(|looked| &looked.look.processes);
    let ticks: Ticks = all.map(|process| ((process.pid, process.start_ticks), process.cpu_ticks)).collect();
    let before = service.looks().note(name, ticks, Instant::now());
    let hidden = Hidden::of(service.secret_values(name)?);
    let mut processes = Vec::new();
    for looked in looked.iter().filter(|looked| is_meant(&looked.owner, query.instance.as_deref())) {
        let inside: BTreeMap<u32, Option<u32>> =
            looked.look.processes.iter().map(|process| (process.pid, process.pid_inside)).collect();
        for process in &looked.look.processes {
            let age_ms = looked.look.uptime_ms.saturating_sub(process.start_ticks.saturating_mul(TICK_MS));
            let share = share(before.as_ref(), (process.pid, process.start_ticks), process.cpu_ticks, age_ms);
            let parent_inside = inside.get(&process.parent).copied().flatten();
            let started = at.millis().saturating_sub(i64::try_from(age_ms).unwrap_or(i64::MAX));
            processes.push(ProcessInfo {
                parent_inside,
                started: Timestamp::from_millis(started),
                ..view(looked, process, share, &hidden)
            });
        }
    }
    let left_out = looked.iter().map(|looked| looked.look.left_out).sum();
    Ok(answer(ProcessList { at, processes, left_out }, query))
}

/// An application without a process is told from none.
fn check_known(service: &Service, name: &Name) -> Result<(), AgentError> {
    let generations = service.agent().generations()?;
    let all = generations.iter().flat_map(|(wanted, serving)| [wanted].into_iter().chain(serving));
    let known: BTreeSet<&Name> = all.flat_map(|generation| generation.portable.applications.keys()).collect();
    match known.contains(name) {
        true => Ok(()),
        false => Err(AgentError::NoApplication { name: name.to_string(), known: names(known.into_iter()) }),
    }
}

fn is_meant(owner: &Owner, instance: Option<&str>) -> bool {
    let Some(wanted) = instance else { return true };
    match owner {
        Owner::Instance(id) => id.to_string() == wanted || id.index.to_string() == wanted,
        Owner::Run { .. } => owner.to_string() == wanted,
    }
}

/// A process by itself; `share` is its share of processors and the time over which that is.
fn view(looked: &Looked, process: &Process, share: (u64, u64), hidden: &Hidden) -> ProcessInfo {
    let state = match process.state {
        Found::Ended => ProcessState::Ended,
        _ if looked.is_frozen => ProcessState::Frozen,
        Found::Running => ProcessState::Running,
        Found::Sleeping => ProcessState::Sleeping,
        Found::Waiting => ProcessState::Waiting,
        Found::Stopped => ProcessState::Stopped,
        Found::Traced => ProcessState::Traced,
    };
    ProcessInfo {
        of: looked.owner.to_string(),
        pid: process.pid,
        pid_inside: process.pid_inside,
        parent: process.parent,
        parent_inside: None,
        user: process.user_inside,
        name: hidden.name(&process.name),
        state,
        started: Timestamp::default(),
        processors_milli: share.0,
        over_ms: share.1,
        cpu_ms: process.cpu_ticks.saturating_mul(TICK_MS),
        memory_bytes: process.share_bytes.unwrap_or(process.resident_bytes),
        is_share: process.share_bytes.is_some(),
        threads: process.threads,
        command: hidden.arguments(&process.command, process.is_cut),
        is_cut: process.is_cut,
    }
}

/// The list as it was asked for: filtered, sorted, and within its bounds.
fn answer(mut list: ProcessList, query: &ProcessQuery) -> ProcessList {
    // What is hidden is not looked into: answers would tell it letter by letter.
    let text = query.contains.as_deref().unwrap_or_default().to_lowercase();
    let has = |process: &ProcessInfo| {
        process.name.to_lowercase().contains(&text) || process.command.join(" ").to_lowercase().contains(&text)
    };
    list.processes.retain(has);
    list.processes.sort_by_key(|process| process.pid);
    match query.sort {
        Order::Cpu => list.processes.sort_by_key(|process| Reverse(process.processors_milli)),
        Order::Memory => list.processes.sort_by_key(|process| Reverse(process.memory_bytes)),
        Order::Threads => list.processes.sort_by_key(|process| Reverse(process.threads)),
        Order::Started => list.processes.sort_by_key(|process| process.started),
        Order::Pid => {}
        Order::Name => list.processes.sort_by(|one, other| one.name.cmp(&other.name)),
    }
    let limit = query.limit.unwrap_or(PROCESSES_MAX).min(PROCESSES_MAX);
    list.left_out += list.processes.len().saturating_sub(limit) as u64;
    list.processes.truncate(limit);
    let mut left = COMMANDS_BYTES_MAX;
    for process in &mut list.processes {
        let bytes: usize = process.command.iter().map(String::len).sum();
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => {
                process.command.clear();
                process.is_cut = true;
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &str, milli: u64, memory_bytes: u64) -> ProcessInfo {
        ProcessInfo {
            of: "r.0".into(),
            pid,
            pid_inside: Some(pid),
            parent: 1,
            parent_inside: None,
            user: Some(0),
            name: name.into(),
            state: ProcessState::Sleeping,
            started: Timestamp(i64::from(100 - pid)),
            processors_milli: milli,
            over_ms: 1_000,
            cpu_ms: 0,
            memory_bytes,
            is_share: true,
            threads: u64::from(pid),
            command: vec![format!("/usr/bin/{name}"), "--pass=[secret]".into()],
            is_cut: false,
        }
    }

    fn pids(query: &ProcessQuery) -> (Vec<u32>, u64) {
        let processes = vec![process(3, "nginx", 5, 10), process(1, "redis", 5, 30), process(2, "Nginx-w", 9, 20)];
        let list = answer(ProcessList { at: Timestamp(0), processes, left_out: 4 }, query);
        (list.processes.iter().map(|process| process.pid).collect(), list.left_out)
    }

    #[test]
    fn a_list_is_filtered_sorted_and_bounded() {
        let sorted = |sort: Order| pids(&ProcessQuery { sort, ..ProcessQuery::default() }).0;
        assert_eq!(sorted(Order::Cpu), [2, 1, 3], "those that are equal by number");
        assert_eq!(sorted(Order::Memory), [1, 2, 3]);
        assert_eq!(sorted(Order::Threads), [3, 2, 1]);
        assert_eq!(sorted(Order::Started), [3, 2, 1]);
        assert_eq!(sorted(Order::Pid), [1, 2, 3]);
        assert_eq!(sorted(Order::Name), [2, 3, 1]);
        let contains = |text: &str| pids(&ProcessQuery { contains: Some(text.into()), ..ProcessQuery::default() }).0;
        assert_eq!((contains("NGINX"), contains("bin/redis --pass")), (vec![2, 3], vec![1]));
        assert_eq!(contains("hunter"), Vec::<u32>::new());
        let limited = ProcessQuery { limit: Some(1), ..ProcessQuery::default() };
        assert_eq!(pids(&limited), (vec![2], 6));
    }

    #[test]
    fn command_lines_of_an_answer_are_bounded_together() {
        let half = "x".repeat(COMMANDS_BYTES_MAX / 2);
        let large = |pid: u32| ProcessInfo { command: vec![half.clone()], ..process(pid, "a", 0, 0) };
        let processes = (1..=3).map(large).chain([process(4, "b", 0, 0)]).collect();
        let list = answer(ProcessList { at: Timestamp(0), processes, left_out: 0 }, &ProcessQuery::default());
        let shown: Vec<(bool, bool)> =
            list.processes.iter().map(|process| (process.command.is_empty(), process.is_cut)).collect();
        assert_eq!(shown, [(false, false), (false, false), (true, true), (true, true)]);
    }

    #[test]
    fn instances_are_named_by_name_or_number() {
        let run = Owner::Run { job: "tidy".parse().unwrap(), number: 3 };
        assert!(is_meant(&run, None) && is_meant(&run, Some("job tidy run 3")) && !is_meant(&run, Some("3")));
        let owner = Owner::Instance("0123456789ab.1".parse().unwrap());
        assert!(is_meant(&owner, Some("1")) && is_meant(&owner, Some("0123456789ab.1")));
        assert!(!is_meant(&owner, Some("0")));
    }
}
