//! Talking to the agent of this machine.

use std::io::Write as _;

use openmesh_agent::client::ClientError;
use openmesh_agent::views::{Event, EventKind};
use openmesh_agent::{Client, Settings};
use openmesh_primitives::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::AgentName;
use crate::failure::{Failure, unless_broken_pipe};

/// Settings of an agent that is named on the command line.
pub fn settings(name: &AgentName) -> Result<Settings, Failure> {
    let usual = Settings::usual(name.agent.clone());
    let mut settings = usual.map_err(|error| Failure::from_display("the path of this program", &error))?;
    if let Some(state) = &name.agent_state {
        settings.state.clone_from(state);
    }
    if let Some(run) = &name.agent_run {
        settings.run.clone_from(run);
    }
    Ok(settings)
}

/// A client of that agent.
pub fn client(name: &AgentName) -> Result<Client, Failure> {
    Client::new(&settings(name)?.socket()).map_err(failure)
}

/// A failure of the agent, for a person.
pub fn failure(error: ClientError) -> Failure {
    let is_unreachable = matches!(error, ClientError::Unreachable { .. });
    let failure = Failure::new(error.to_string());
    if is_unreachable {
        return failure.hint("is the agent running (openmesh xnode agent, as root)? This command needs root as well");
    }
    failure
}

/// Asks, and reads the answer.
pub async fn ask<T: DeserializeOwned>(client: &Client, request: RequestBuilder) -> Result<T, Failure> {
    client.ask(request).await.map_err(failure)
}

/// `GET` of a path below `/v1/xnode`.
pub async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Failure> {
    ask(client, client.request(Method::GET, path)).await
}

/// A part of a path, whatever it has in it.
pub fn part(text: &str) -> String {
    // Spaces are written as `+` for forms; in a path that is a plus.
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::from_display("the answer", &error))?;
    print(&format!("{text}\n"))
}

/// Prints a text; a reader that went away is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).or_else(unless_broken_pipe)
}

/// A text of a template or a form as a terminal shows it: without the marks around code (CommonMark 0.31, 6.1), which belong to no command that is copied from
/// it. A mark without its other one is none, and stays.
pub fn unmarked(text: &str) -> String {
    let mut parts = text.split('`');
    let mut plain = parts.next().unwrap_or_default().to_string();
    while let Some(code) = parts.next() {
        match parts.next() {
            Some(after) => plain.extend([code, after]),
            None => plain.extend(["`", code]),
        }
    }
    plain
}

/// A moment to the second, for people.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// A value as one line of JSON.
pub fn one_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::from_display("the answer", &error))?;
    Ok(format!("{text}\n"))
}

/// An event as a person reads it.
pub fn event_line(event: &Event) -> String {
    let mark = match event.kind {
        EventKind::Wanted | EventKind::Restart => "*",
        EventKind::Begins => ">",
        EventKind::Done => "+",
        EventKind::Failed | EventKind::Held | EventKind::Found => "!",
        EventKind::Returned => "<",
        EventKind::Serves | EventKind::Rest | EventKind::Over | EventKind::Repaired | EventKind::Restarted => "=",
        EventKind::Agent | EventKind::Secret => "-",
    };
    format!("{} {mark} {}\n", moment(event.at), event.text.replace('\n', "; "))
}

/// Rows in columns, each as wide as its widest cell.
pub fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_no_marks_around_code() {
        for (text, shown) in [
            ("", ""),
            ("no code", "no code"),
            ("`auto` takes a free one; `none` is for sites.", "auto takes a free one; none is for sites."),
            ("`secret:validator-key`", "secret:validator-key"),
            ("one mark ` alone", "one mark ` alone"),
            ("`code` and ` alone", "code and ` alone"),
            ("``", ""),
        ] {
            assert_eq!(unmarked(text), shown, "{text}");
        }
    }
}
