//! Memory and processor of an agent while nothing happens, with its shims and its door, and the time of a deployment that changes nothing.

use std::time::Duration;

use super::agent::Agent;
use super::lab::Lab;
use super::machine;
use super::table::{Bar, MEBIBYTES, PERCENT_OF_A_CORE, Row, SECONDS};
use crate::proc::{memory_kib, processor_time_with_programs};

/// Applications beside which the agent is idle.
pub const APPLICATIONS: usize = 10;
/// Applications of a deployment that changes nothing.
const OBSERVED: usize = 20;
/// The same of a trial.
const TRIAL_OBSERVED: usize = 4;
/// Bar of memory, mebibytes: fifty million bytes.
const MEMORY_MIB: f64 = 50e6 / 1024.0 / 1024.0;
/// Bar of processor time, hundredths of a core.
const PROCESSOR_PERCENT: f64 = 1.0;
/// Bar of a deployment that changes nothing, seconds.
const NOTHING_S: f64 = 1.0;
/// Deployments that change nothing.
const ROUNDS: usize = 10;
/// The same of a trial.
const TRIAL_ROUNDS: usize = 2;
/// Time over which processor time is counted.
const WATCHED: Duration = Duration::from_secs(60);
/// The same of a trial.
const TRIAL_WATCHED: Duration = Duration::from_secs(5);
/// Time in which the agent does what follows a deployment: its looks are at most 5 s apart.
const REST: Duration = Duration::from_secs(15);

/// A document of small web servers, half of them behind the door.
pub fn document(applications: usize) -> String {
    let mut text = String::from("version: 1\napplications:\n");
    for number in 0..applications {
        let protocol = if number % 2 == 0 { "protocol: http, " } else { "" };
        text += &format!(
            "  web{number}:\n    recipe:\n      debian: {{ busybox: newest }}\n      files: {{ /srv/index.html: {{ content: \"it works\\n\" }} }}\n      \
             command: [/bin/busybox, httpd, -f, -p, \"8080\", -h, /srv]\n    \
             ports: {{ http: {{ port: 8080, {protocol}publish: {{ address: 127.0.0.1 }} }} }}\n    \
             health: {{ http: {{ port: http }} }}\n    limits: {{ memory: 32MiB }}\n    switch: {{ probation: 0ms }}\n"
        );
    }
    text
}

/// Processes of the product that an agent has while nothing happens.
fn own(agent: &Agent) -> anyhow::Result<Vec<u32>> {
    let mut found = vec![agent.pid()?];
    for program in ["openmesh-shim", "openmesh-door"] {
        found.extend(agent.helpers(program)?);
    }
    Ok(found)
}

/// Memory of processes by a field, mebibytes.
fn memory(processes: &[u32], fields: &[&str]) -> anyhow::Result<f64> {
    let mut kib = 0;
    for pid in processes {
        for field in fields {
            kib += memory_kib(*pid, field)?;
        }
    }
    Ok(kib as f64 / 1024.0)
}

/// Name of the row of processor time.
fn over(watched: Duration) -> String {
    format!("the same: processor over {} s, with programs that they start", watched.as_secs())
}

/// Measures an idle agent.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let (is_trial, rounds) = (lab.is_trial, lab.rounds(ROUNDS, TRIAL_ROUNDS));
    let watched = if is_trial { TRIAL_WATCHED } else { WATCHED };
    let agent = lab.agent()?;
    agent.deploy(&document(APPLICATIONS))?;
    if !is_trial {
        std::thread::sleep(REST);
    }
    // Pages of a program that was just written count as dirty until they are on the disk.
    rustix::fs::sync();
    let processes = own(agent)?;
    let times = || processes.iter().map(|pid| processor_time_with_programs(*pid)).sum::<Duration>();
    let before = times();
    std::thread::sleep(watched);
    machine::go_on()?;
    let percent = (times() - before).as_secs_f64() / watched.as_secs_f64() * 100.0;
    let named = format!(
        "agent, {} shims and door, idle with {APPLICATIONS} applications",
        agent.helpers("openmesh-shim")?.len()
    );
    let dirty = memory(&processes, &["Private_Dirty", "Swap"])?;
    let whole = memory(&processes, &["Private_Dirty", "Swap", "Private_Clean"])?;
    let observed = if is_trial { TRIAL_OBSERVED } else { OBSERVED };
    agent.deploy(&document(observed))?;
    let path = agent.document(&document(observed))?;
    let mut nothing = Vec::new();
    for _ in 0..rounds {
        machine::go_on()?;
        let took = machine::milliseconds(|| agent.ask(&["app", "deploy", &path]).map(drop))?;
        nothing.push(took / 1e3);
    }
    agent.deploy("version: 1\napplications: {}\n")?;
    Ok(vec![
        Row::new(format!("{named}: private memory"), MEBIBYTES, vec![dirty]).bar(Bar::Below(MEMORY_MIB)),
        Row::new("the same with clean pages of their programs' files", MEBIBYTES, vec![whole]),
        Row::new(over(watched), PERCENT_OF_A_CORE, vec![percent]).bar(Bar::Below(PROCESSOR_PERCENT)),
        Row::new(format!("deployment that changes nothing, {observed} applications"), SECONDS, nothing)
            .bar(Bar::Below(NOTHING_S)),
    ])
}
