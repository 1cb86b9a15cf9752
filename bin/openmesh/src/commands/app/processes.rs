//! `openmesh app processes`: the processes of an application.

use openmesh_agent::views::{ProcessInfo, ProcessList, ProcessState};
use reqwest::Method;

use super::super::agent::{ask, client, columns, json, moment, print};
use super::change::with_query;
use crate::cli::beside::ProcessesArgs;
use crate::failure::Failure;

/// Longest command line in the table, characters; JSON has all of it.
const COMMAND_CHARS_MAX: usize = 160;

/// Lists the processes of an application.
pub(super) async fn run(asked: &ProcessesArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let request = client.request(Method::GET, &format!("/applications/{}/processes", asked.name));
    let mut query = vec![("sort", asked.sort.word().to_string())];
    query.extend(asked.contains.clone().map(|text| ("contains", text)));
    query.extend(asked.instance.clone().map(|instance| ("instance", instance)));
    query.extend(asked.limit.map(|limit| ("limit", limit.to_string())));
    let list: ProcessList = ask(&client, with_query(request, &query)?).await?;
    if asked.output.json { json(&list) } else { print(&table(&list)) }
}

fn table(list: &ProcessList) -> String {
    let owners: std::collections::BTreeSet<&str> = list.processes.iter().map(|process| process.of.as_str()).collect();
    let mut head = vec!["PID", "INSIDE", "PARENT", "USER", "STATE", "STARTED (UTC)", "CPU", "MEMORY", "THREADS"];
    // One instance is what most applications have.
    if owners.len() > 1 {
        head.push("OF");
    }
    head.push("COMMAND");
    let rows: Vec<Vec<String>> = list.processes.iter().map(|process| row(process, owners.len() > 1)).collect();
    let mut text = match rows.is_empty() {
        true => "there is no such process\n".to_string(),
        false => columns(&head, &rows),
    };
    if list.left_out > 0 {
        text += &format!("and {} more; --limit, --contains and --instance choose others\n", list.left_out);
    }
    text
}

fn row(process: &ProcessInfo, tells_owner: bool) -> Vec<String> {
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_string(), |number| number.to_string());
    let milli = process.processors_milli;
    let mut row = vec![
        process.pid.to_string(),
        number(process.pid_inside),
        number(process.parent_inside),
        number(process.user),
        state(process.state).into(),
        moment(process.started),
        format!("{}.{} %", milli / 10, milli % 10),
        // What is shared counts as a whole for each that has it.
        format!("{}{} MiB", if process.is_share { "" } else { "<= " }, process.memory_bytes.div_ceil(1 << 20)),
        process.threads.to_string(),
    ];
    if tells_owner {
        row.push(process.of.clone());
    }
    row.push(command(process));
    row
}

fn state(state: ProcessState) -> &'static str {
    match state {
        ProcessState::Running => "running",
        ProcessState::Sleeping => "sleeping",
        ProcessState::Waiting => "waiting",
        ProcessState::Stopped => "stopped",
        ProcessState::Traced => "traced",
        ProcessState::Frozen => "frozen",
        ProcessState::Ended => "ended",
    }
}

/// The command line in one line; a name in brackets where there is none.
fn command(process: &ProcessInfo) -> String {
    if process.command.is_empty() {
        return format!("[{}]", process.name);
    }
    let line = process.command.join(" ");
    match line.char_indices().nth(COMMAND_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None if process.is_cut => format!("{line}..."),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    fn process(of: &str, pid: u32) -> ProcessInfo {
        ProcessInfo {
            of: of.into(),
            pid,
            pid_inside: Some(7),
            parent: 4_710,
            parent_inside: None,
            user: Some(1_000),
            name: "redis-server".into(),
            state: ProcessState::Sleeping,
            started: Timestamp(0),
            processors_milli: 1_503,
            over_ms: 2_000,
            cpu_ms: 9,
            memory_bytes: (3 << 20) + 1,
            is_share: true,
            threads: 4,
            command: vec!["redis-server".into(), "--requirepass".into(), "[secret]".into()],
            is_cut: false,
        }
    }

    #[test]
    fn a_process_is_a_line() {
        let list = ProcessList { at: Timestamp(0), processes: vec![process("r.0", 4_711)], left_out: 2 };
        let text = table(&list);
        let expected = "4711  7       -       1000  sleeping  1970-01-01 00:00:00  150.3 %  4 MiB   4        redis-server --requirepass [secret]\n";
        assert!(text.contains(expected) && !text.contains("r.0"), "{text}");
        assert!(text.ends_with("and 2 more; --limit, --contains and --instance choose others\n"), "{text}");
        let several = ProcessList { processes: vec![process("r.0", 1), process("job tidy run 3", 2)], ..list };
        assert!(table(&several).contains("  job tidy run 3  redis-server"), "{}", table(&several));
        let none = ProcessList { processes: Vec::new(), left_out: 0, ..several };
        assert_eq!(table(&none), "there is no such process\n");
    }

    #[test]
    fn what_is_not_known_or_too_long_is_said() {
        let bare = ProcessInfo { command: Vec::new(), ..process("r.0", 1) };
        assert_eq!(command(&bare), "[redis-server]");
        let long = ProcessInfo { command: vec!["é".repeat(500)], ..process("r.0", 1) };
        assert_eq!(command(&long).chars().count(), COMMAND_CHARS_MAX + 3);
        let cut = ProcessInfo { is_cut: true, ..process("r.0", 1) };
        assert!(command(&cut).ends_with("[secret]..."));
        let resident = ProcessInfo { is_share: false, user: None, ..process("r.0", 1) };
        assert!(row(&resident, false).contains(&"<= 4 MiB".to_string()), "{:?}", row(&resident, false));
    }
}
