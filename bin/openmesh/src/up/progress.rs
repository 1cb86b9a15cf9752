//! The live line of progress.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use openmesh_api::Status;

use super::market::Market;

/// Seconds between two lines where the output is no terminal (a log, a pipe).
const QUIET_SECONDS: u32 = 10;

/// Shows height, agreed chunks and events a second until it is dropped.
pub async fn show(apis: &[String], market: &Market) {
    let terminal = std::io::stdout().is_terminal();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap_or_default();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for second in 0u32.. {
        tick.tick().await;
        let line = match newest(&http, apis).await {
            Some((up, status)) => describe(up, apis.len(), &status, market),
            None => format!("no validator answers ({} expected)", apis.len()),
        };
        let mut out = std::io::stdout();
        // A terminal that has gone away is no reason to stop the network.
        let _ = match terminal {
            true => write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush()),
            false if second % QUIET_SECONDS == 0 => writeln!(out, "{line}"),
            false => Ok(()),
        };
    }
}

async fn newest(http: &reqwest::Client, apis: &[String]) -> Option<(usize, Status)> {
    let asks = apis.iter().map(|api| async move {
        let answer = http.get(format!("{api}/v1/status")).send().await.ok()?;
        answer.json::<Status>().await.ok()
    });
    let answers: Vec<Status> = futures::future::join_all(asks).await.into_iter().flatten().collect();
    let up = answers.len();
    answers.into_iter().max_by_key(|s| s.height).map(|s| (up, s))
}

fn describe(up: usize, all: usize, status: &Status, market: &Market) -> String {
    let word = market.word();
    let trouble: Vec<String> =
        [(status.chunks_disputed, "disputed"), (status.chunks_uncovered, "uncovered"), (status.incidents, "incidents")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
    let trouble = if trouble.is_empty() { String::new() } else { format!("  {}", trouble.join(", ")) };
    let agreed = match status.chunks_accepted {
        // A window is agreed on once it was watched whole and its latest events have come.
        0 => "chunks agreed 0 (the first within a minute)".to_owned(),
        chunks => format!("chunks agreed {chunks}"),
    };
    format!(
        "{word}  height {}  {agreed}  {:.0} events/s  validators {up}/{all}{trouble}",
        status.height,
        // Never a negative zero.
        status.events_per_second.max(0.0) + 0.0
    )
}
