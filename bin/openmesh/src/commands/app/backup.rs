//! Backups of applications: made, listed, restored, proved.

use openmesh_agent::Client;
use openmesh_agent::views::backups::{Backup, Job, Line, RestoreRequest};
use reqwest::Method;

use super::change::{self, Followed, with_query};
use crate::cli::backup::{ActArgs, DrillArgs, LinesArgs, RestoreArgs};
use crate::cli::{AgentName, Output};
use crate::commands::agent::{ask, client, columns, failure, get, json, moment, print};
use crate::commands::xnode_backup::{asker, follow, size};
use crate::failure::Failure;

/// Makes a backup.
pub async fn back_up(name: &openmesh_agent::Name, act: &ActArgs) -> Result<(), Failure> {
    let client = client(&act.agent)?;
    let request = client.request(Method::POST, &format!("/applications/{name}/backups"));
    begin(&client, act, with_query(request, &[("by", asker())])?).await
}

/// Restores a backup.
pub async fn restore(asked: &RestoreArgs) -> Result<(), Failure> {
    let client = client(&asked.act.agent)?;
    let wanted = RestoreRequest {
        backup: asked.backup.clone(),
        volumes: asked.volumes.clone(),
        as_name: asked.as_name.as_ref().map(ToString::to_string),
    };
    let body = serde_json::to_vec(&wanted).map_err(|error| Failure::from_display("the request", &error))?;
    let request = client.request(Method::POST, &format!("/applications/{}/backups/restore", asked.name)).body(body);
    begin(&client, &asked.act, with_query(request, &[("by", asker())])?).await
}

/// Tries a backup by restoring it to a scratch place.
pub async fn drill(asked: &DrillArgs) -> Result<(), Failure> {
    let client = client(&asked.act.agent)?;
    let mut query = vec![("by", asker())];
    query.extend(asked.backup.clone().map(|backup| ("backup", backup)));
    let request = client.request(Method::POST, &format!("/applications/{}/backups/drill", asked.name));
    begin(&client, &asked.act, with_query(request, &query)?).await
}

async fn begin(client: &Client, act: &ActArgs, request: reqwest::RequestBuilder) -> Result<(), Failure> {
    let job: Job = ask(client, request).await?;
    let Some(ended) = follow(client, &job, act).await? else { return Ok(()) };
    // A restore is done when its generation serves.
    let (Some(generation), Some(events)) = (ended.generation, ended.events) else { return Ok(()) };
    let json = act.output.json;
    change::follow(client, &Followed { generation, events, applications: None, committed: false, json }).await
}

/// Lists backups.
pub async fn list(name: &openmesh_agent::Name, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let all: Vec<Backup> = get(&client(agent)?, &format!("/applications/{name}/backups")).await?;
    if output.json {
        return json(&all);
    }
    if all.is_empty() {
        return print(&format!("{name} has no backup yet; `openmesh app backup {name}` makes one\n"));
    }
    let row = |backup: &Backup| {
        let volumes = backup.volumes.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes)));
        vec![
            backup.id.get(..12).unwrap_or(&backup.id).to_owned(),
            moment(backup.at),
            size(backup.bytes),
            backup.generation.to_string(),
            volumes.collect::<Vec<_>>().join(", "),
            backup.target.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    print(&columns(&["BACKUP", "DATA OF", "SIZE", "GENERATION", "VOLUMES", "PLACE"], &rows))
}

/// Lists lines of data, or removes one.
pub async fn lines(asked: &LinesArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    if let Some((volume, line)) = &asked.drop {
        let path = format!("/applications/{}/lines/{volume}/{line}", asked.name);
        let request = with_query(client.request(Method::DELETE, &path), &[("by", asker())])?;
        client.text(request).await.map_err(failure)?;
        return print(&format!("line {line} of {volume} is removed with its data\n"));
    }
    let all: Vec<Line> = get(&client, &format!("/applications/{}/lines", asked.name)).await?;
    if asked.output.json {
        return json(&all);
    }
    let row = |line: &Line| {
        vec![
            line.volume.clone(),
            line.number.to_string(),
            if line.in_use { "in use" } else { "" }.to_owned(),
            moment(line.at),
            line.by.clone(),
            line.reason.clone(),
        ]
    };
    print(&columns(&["VOLUME", "LINE", "", "MADE", "BY", "REASON"], &all.iter().map(row).collect::<Vec<_>>()))
}
