//! `openmesh app jobs` and `openmesh app job`.

use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::Client;
use openmesh_agent::views::{JobRun, JobView, LogLine};
use reqwest::Method;

use super::super::agent::{ask, client, columns, failure, get, json, moment, one_line, print};
use super::text::log_line;
use crate::cli::beside::{JobArgs, JobsArgs};
use crate::failure::Failure;

/// Lists the jobs of an application.
pub(super) async fn list(asked: &JobsArgs) -> Result<(), Failure> {
    let jobs: Vec<JobView> = get(&client(&asked.agent)?, &format!("/applications/{}/jobs", asked.name)).await?;
    if asked.output.json { json(&jobs) } else { print(&table(&jobs)) }
}

/// Runs a job to its end, with its log; this process ends with its exit code.
pub(super) async fn run(asked: &JobArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let path = format!("/applications/{}/jobs/{}", asked.name, asked.job);
    if asked.end {
        client.text(client.request(Method::DELETE, &path)).await.map_err(failure)?;
        return Ok(());
    }
    if asked.last {
        return log(&client, &format!("{path}/logs"), asked.output.json).await;
    }
    let run: JobRun = ask(&client, client.request(Method::POST, &path)).await?;
    if asked.no_wait {
        return if asked.output.json { json(&run) } else { print(&format!("run {} has begun\n", run.number)) };
    }
    log(&client, &format!("{path}/logs?follow=true&run={}", run.number), asked.output.json).await?;
    let jobs: Vec<JobView> = get(&client, &format!("/applications/{}/jobs", asked.name)).await?;
    let mut runs = jobs.iter().filter(|job| job.name == asked.job.as_str()).flat_map(|job| &job.runs);
    let ended = runs.find(|found| found.number == run.number);
    match ended.map(|ended| (ended.code, ended.words.clone().unwrap_or_default())) {
        Some((Some(0), _)) => Ok(()),
        Some((Some(code), _)) => std::process::exit(code),
        Some((None, words)) => Err(Failure::new(format!("run {}: {words}", run.number))),
        None => Err(Failure::new(format!("run {} is not kept any more", run.number))),
    }
}

async fn log(client: &Client, path: &str, as_json: bool) -> Result<(), Failure> {
    let mut found = pin!(client.lines::<LogLine>(client.request(Method::GET, path)).await.map_err(failure)?);
    while let Some(line) = found.next().await {
        let line = line.map_err(failure)?;
        print(&if as_json { one_line(&line)? } else { log_line(&line) })?;
    }
    Ok(())
}

fn table(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "it has no jobs; `jobs:` of its document names some\n".into();
    }
    let last = |job: &JobView| {
        job.runs.first().map_or_else(String::new, |run| {
            let end = if run.is_running { "runs".into() } else { run.words.clone().unwrap_or_default() };
            format!("{} {end} (run {})", moment(run.at), run.number)
        })
    };
    let row = |job: &JobView| {
        let when = job.schedule.clone().unwrap_or_else(|| format!("on {}", job.occasion));
        let next = job.next.map(moment).unwrap_or_default();
        vec![job.name.clone(), when, next, last(job), job.command.join(" ")]
    };
    columns(&["JOB", "WHEN", "NEXT (UTC)", "LAST", "COMMAND"], &jobs.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    #[test]
    fn jobs_are_told_with_their_last_run() {
        let run = JobRun {
            number: 3,
            occasion: "schedule".into(),
            by: "schedule".into(),
            revision: "r".into(),
            at: Timestamp(0),
            is_running: false,
            code: Some(0),
            words: Some("it ended with code 0".into()),
            lasted_ms: Some(5),
        };
        let job = JobView {
            name: "tidy".into(),
            command: vec!["vacuum".into(), "--all".into()],
            occasion: "schedule".into(),
            schedule: Some("30 3 * * *".into()),
            next: None,
            timeout_ms: 1,
            runs: vec![run],
        };
        let text = table(&[job]);
        for part in ["tidy", "30 3 * * *", "it ended with code 0 (run 3)", "vacuum --all"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(table(&[]).starts_with("it has no jobs"));
    }
}
