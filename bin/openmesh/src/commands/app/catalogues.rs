//! `openmesh app catalogues`: the copies that a machine has of other publishers' catalogues.

use openmesh_agent::Name;
use openmesh_agent::views::catalogues::{Catalogue, State};
use openmesh_primitives::Timestamp;
use reqwest::Method;

use super::super::agent::{ask, client, columns, get, json, moment, print, unmarked};
use crate::cli::templates::{CataloguesArgs, CataloguesCommand};
use crate::cli::{AgentName, Output};
use crate::failure::Failure;

/// Nanoseconds of a minute.
const MINUTE_NANOS: i64 = 60 * 1_000_000_000;

/// Runs one of the commands of catalogues.
pub(super) async fn run(asked: CataloguesArgs) -> Result<(), Failure> {
    match asked.command {
        None => list(&asked.agent, asked.output).await,
        Some(CataloguesCommand::List { agent, output }) => list(&agent, output).await,
        Some(CataloguesCommand::Refresh { name, agent, output }) => refresh(name.as_ref(), &agent, output).await,
    }
}

async fn list(agent: &AgentName, output: Output) -> Result<(), Failure> {
    let all: Vec<Catalogue> = get(&client(agent)?, "/catalogues").await?;
    if output.json { json(&all) } else { print(&text(&all, Timestamp::now())) }
}

/// Fetches one catalogue, or each of them; one that cannot be fetched holds up no other.
async fn refresh(name: Option<&Name>, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let client = client(agent)?;
    let names = match name {
        Some(name) => vec![name.to_string()],
        None => get::<Vec<Catalogue>>(&client, "/catalogues").await?.into_iter().map(|one| one.name).collect(),
    };
    let (mut fetched, mut failed) = (Vec::new(), Vec::new());
    for name in &names {
        let request = client.request(Method::POST, &format!("/catalogues/{name}/refresh"));
        match ask::<Catalogue>(&client, request).await {
            Ok(one) => fetched.push(one),
            Err(error) => failed.push(error.message().to_string()),
        }
    }
    if output.json {
        json(&fetched)?;
    } else if !fetched.is_empty() {
        print(&text(&fetched, Timestamp::now()))?;
    } else if failed.is_empty() {
        print(NONE)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(failed.join("\n")).hint("the copy of before, where there is one, stays in use")),
    }
}

/// Words for a machine that names no catalogue.
const NONE: &str = "the document names no catalogue of another publisher; machine.catalogues is their place\n";

fn text(all: &[Catalogue], now: Timestamp) -> String {
    if all.is_empty() {
        return NONE.to_string();
    }
    let row = |one: &Catalogue| {
        vec![
            one.name.clone(),
            one.publisher.clone().unwrap_or_else(|| "unknown".to_string()),
            state(one).to_string(),
            one.checked.map_or("never".to_string(), |at| age(at, now)),
            one.expires.map(moment).unwrap_or_default(),
            one.templates.len().to_string(),
        ]
    };
    let head = ["CATALOGUE", "PUBLISHER", "STATE", "SEEN", "HOLDS UNTIL", "TEMPLATES"];
    let mut text = columns(&head, &all.iter().map(row).collect::<Vec<_>>());
    for one in all {
        for problem in &one.problems {
            text += &format!("{}: left out: {}\n", one.name, unmarked(problem));
        }
        if let Some(failure) = &one.failure {
            let (name, at) = (&one.name, moment(failure.at));
            text += &format!("{name}: could not be fetched at {at}: {}\n", unmarked(&failure.message));
        }
    }
    text
}

/// The state of a copy in words.
fn state(one: &Catalogue) -> &'static str {
    match one.state {
        State::Current => "current",
        State::Old => "old: its place is away",
        State::Expired => "ended: nothing new is made of it",
        State::Absent => "not here",
    }
}

/// The time since a moment in words.
fn age(at: Timestamp, now: Timestamp) -> String {
    let minutes = now.nanos().saturating_sub(at.nanos()).max(0) / MINUTE_NANOS;
    match minutes {
        0 => "just now".to_string(),
        1..120 => format!("{minutes} min ago"),
        120..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_agent::views::catalogues::Failure as Cause;

    use super::*;

    #[test]
    fn a_copy_says_how_old_it_is_and_what_is_wrong() {
        let now = Timestamp(1_796_000_000_000_000_000);
        let ago = |minutes: i64| Timestamp(now.nanos() - minutes * MINUTE_NANOS);
        for (minutes, words) in
            [(0, "just now"), (-5, "just now"), (119, "119 min ago"), (120, "2 h ago"), (2_880, "2 days ago")]
        {
            assert_eq!(age(ago(minutes), now), words);
        }
        let one = Catalogue {
            name: "acme".into(),
            address: "https://a.example".into(),
            key: "ab".repeat(32),
            state: State::Old,
            publisher: Some("Acme Ltd.".into()),
            sequence: Some(7),
            signed: Some(ago(10)),
            expires: Some(now),
            checked: Some(ago(300)),
            templates: vec!["shop".into()],
            problems: vec!["redis 3: has the name of a built-in template".into()],
            failure: Some(Cause { code: "catalogue_away".into(), message: "it is away".into(), at: ago(1) }),
        };
        let shown = text(&[one], now);
        for words in ["Acme Ltd.", "old: its place is away", "5 h ago", "left out: redis 3", "could not be fetched"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        assert_eq!(text(&[], now), NONE);
    }
}
