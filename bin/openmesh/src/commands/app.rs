//! `openmesh app`.

use std::io::Read as _;
use std::path::Path;
use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::Client;
use openmesh_agent::views::{Application, Deployment, Event, EventKind, Generation, LogLine, Node};
use reqwest::{Method, RequestBuilder};

use super::agent::{ask, client, columns, failure, get, json, moment, print};
use super::xnode::{event_line, one_line};
use crate::cli::{AppCommand, ChangeArgs, DataFate};
use crate::failure::Failure;

/// Runs one of the app commands.
pub async fn run(command: AppCommand) -> Result<(), Failure> {
    match command {
        AppCommand::List { state, agent, output } => {
            let mut all: Vec<Application> = get(&client(&agent)?, "/applications").await?;
            if let Some(state) = state {
                all.retain(|application| word(application) == state);
            }
            if output.json { json(&all) } else { print(&list(&all)) }
        }
        AppCommand::Why { name, agent, output } => {
            let application: Application = get(&client(&agent)?, &format!("/applications/{name}")).await?;
            if output.json { json(&application) } else { print(&why(&application)) }
        }
        AppCommand::Plan { document, agent, output } => {
            let (client, text) = (client(&agent)?, read(&document)?);
            let request = client.request(Method::POST, "/applications?plan=true").body(text);
            let deployment: Deployment = ask(&client, request).await?;
            if output.json { json(&deployment) } else { print(&format!("{}\n", deployment.plan.trim_end())) }
        }
        AppCommand::Deploy { document, change } => {
            let text = read(&document)?;
            let does = |client: &Client| client.request(Method::POST, "/applications").body(text.clone());
            self::change(&change, does).await
        }
        AppCommand::Logs { name, follow, lines, contains, stream, agent, output } => {
            let client = client(&agent)?;
            let request = client.request(Method::GET, &format!("/applications/{name}/logs"));
            let mut query = vec![("lines", lines.to_string()), ("follow", follow.to_string())];
            query.extend(contains.map(|text| ("contains", text)));
            query.extend(stream.map(|stream| ("stream", stream)));
            let request = with_query(request, &query)?;
            let mut found = pin!(client.lines::<LogLine>(request).await.map_err(failure)?);
            while let Some(line) = found.next().await {
                let line = line.map_err(failure)?;
                print(&if output.json { one_line(&line)? } else { log_line(&line) })?;
            }
            Ok(())
        }
        AppCommand::History { agent, output } => {
            let all: Vec<Generation> = get(&client(&agent)?, "/generations").await?;
            if output.json { json(&all) } else { print(&history(&all)) }
        }
        AppCommand::Show { generation, agent } => {
            let client = client(&agent)?;
            let number = match generation {
                Some(number) => number,
                None => get::<Node>(&client, "").await?.wanted,
            };
            let request = client.request(Method::GET, &format!("/generations/{number}"));
            print(&client.text(request).await.map_err(failure)?)
        }
        AppCommand::Diff { before, after, agent, output } => {
            let changes: Vec<String> = get(&client(&agent)?, &format!("/generations/{before}/diff/{after}")).await?;
            if output.json {
                json(&changes)
            } else {
                print(&changes.iter().map(|line| format!("{line}\n")).collect::<String>())
            }
        }
        AppCommand::Rollback { generation, change } => {
            let path = format!("/generations/{generation}/restore");
            self::change(&change, |client| client.request(Method::POST, &path)).await
        }
        AppCommand::Remove { name, data, change } => {
            let data = match data {
                DataFate::Keep => "keep",
                DataFate::Backup => "backup",
                DataFate::Wipe => "wipe",
            };
            let path = format!("/applications/{name}?data={data}");
            self::change(&change, |client| client.request(Method::DELETE, &path)).await
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path).map_err(|error| Failure::from_display(path.display(), &error));
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::from_display("standard input", &error))?;
    Ok(text)
}

/// A request with more in its query.
fn with_query(request: RequestBuilder, query: &[(&str, String)]) -> Result<RequestBuilder, Failure> {
    let (client, request) = request.build_split();
    let mut request = request.map_err(|error| Failure::from_display("the request", &error))?;
    request.url_mut().query_pairs_mut().extend_pairs(query);
    Ok(RequestBuilder::from_parts(client, request))
}

/// Shows the plan, does it, and follows it to its end.
async fn change(change: &ChangeArgs, request: impl Fn(&Client) -> RequestBuilder) -> Result<(), Failure> {
    let client = client(&change.agent)?;
    let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".into());
    let mut query = vec![("by", by)];
    query.extend(change.reason.clone().map(|reason| ("reason", reason)));
    query.extend(change.expect.map(|expected| ("expected", expected.to_string())));
    let plan = with_query(request(&client), &[query.as_slice(), &[("plan", "true".into())]].concat())?;
    let plan: Deployment = ask(&client, plan).await?;
    if !change.output.json {
        print(&format!("{}\n", plan.plan.trim_end()))?;
    }
    if !plan.destroys.is_empty() && !change.yes {
        let lost = plan.destroys.join("\n  ");
        return Err(Failure::new(format!("nothing was changed, since this would be lost:\n  {lost}"))
            .hint("say --yes to do it"));
    }
    let taken: Deployment = ask(&client, with_query(request(&client), &query)?).await?;
    if change.output.json {
        json(&taken)?;
    }
    if change.no_wait {
        return Ok(());
    }
    follow(&client, &taken, change.output.json).await
}

/// Prints what is done until the machine is as it is wanted.
async fn follow(client: &Client, taken: &Deployment, as_json: bool) -> Result<(), Failure> {
    let path = format!("/events?follow=true&from={}", taken.events);
    let mut events = pin!(client.lines::<Event>(client.request(Method::GET, &path)).await.map_err(failure)?);
    while let Some(event) = events.next().await {
        let event = event.map_err(failure)?;
        print(&if as_json { one_line(&event)? } else { event_line(&event) })?;
        let is_ours = event.generation == taken.generation;
        match event.kind {
            EventKind::Rest if is_ours => return Ok(()),
            EventKind::Held if is_ours => {
                return Err(Failure::new(format!("generation {} is held: {}", taken.generation, event.text))
                    .hint("openmesh app why NAME tells more; openmesh app rollback GENERATION goes back"));
            }
            EventKind::Wanted if event.generation > taken.generation => {
                return Err(Failure::new(format!(
                    "generation {} took the place of {}",
                    event.generation, taken.generation
                )));
            }
            _ => {}
        }
    }
    Err(Failure::new("the agent left before it was done").hint("started again it goes on: openmesh xnode events"))
}

fn word(application: &Application) -> String {
    let value = serde_json::to_value(application.state).ok();
    value.and_then(|value| Some(value.as_str()?.to_string())).unwrap_or_default()
}

fn list(all: &[Application]) -> String {
    if all.is_empty() {
        return "there are no applications; `openmesh app deploy FILE` makes some\n".into();
    }
    let row = |application: &Application| {
        let ports = application.ports.iter().filter_map(|(name, at)| Some(format!("{name} {}", at.as_ref()?)));
        let up = application.instances.iter().filter(|instance| instance.state == "running").count();
        vec![
            application.name.clone(),
            word(application).replace('_', " "),
            format!("{up}/{}", application.instances.len()),
            ports.collect::<Vec<_>>().join(", "),
            application.image.clone().unwrap_or_default(),
            application.cause.clone().unwrap_or_default().replace('\n', "; "),
        ]
    };
    columns(&["NAME", "STATE", "UP", "PORTS", "IMAGE", "CAUSE"], &all.iter().map(row).collect::<Vec<_>>())
}

fn why(application: &Application) -> String {
    let mut text = format!("{} is {}\n", application.name, word(application).replace('_', " "));
    if let Some(cause) = &application.cause {
        text += &format!("cause      {cause}\n");
    }
    if let (Some(image), Some(digest)) = (&application.image, &application.digest) {
        text += &format!("image      {image} {digest}\n");
    }
    for (name, at) in &application.ports {
        text += &format!("port       {name} {}\n", at.as_deref().unwrap_or("(not published)"));
    }
    for (name, volume) in &application.volumes {
        text += &format!("volume     {name} {volume}\n");
    }
    for instance in &application.instances {
        let pid = instance.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let traffic = if instance.admitted { ", has traffic" } else { "" };
        let starts =
            if instance.restarts > 0 { format!(", started again {} times", instance.restarts) } else { String::new() };
        text +=
            &format!("instance   {} {} at {}{pid}{traffic}{starts}\n", instance.id, instance.state, instance.address);
        if let Some(end) = &instance.last_end {
            text += &format!("           last time it {end}\n");
        }
    }
    text
}

fn log_line(line: &LogLine) -> String {
    let at = line.at.to_rfc3339();
    let mark = if line.stream == "shim" { "[shim] " } else { "" };
    format!("{} {mark}{}\n", at.get(..23).unwrap_or(&at), line.text)
}

fn history(all: &[Generation]) -> String {
    if all.is_empty() {
        return "there is no generation yet\n".into();
    }
    let row = |generation: &Generation| {
        let mark = match (generation.serves, generation.is_wanted) {
            (true, _) => "serves",
            (false, true) => "wanted",
            _ => "",
        };
        vec![
            generation.number.to_string(),
            mark.into(),
            moment(generation.at),
            generation.by.clone(),
            generation.reason.clone(),
            generation.applications.join(", "),
        ]
    };
    columns(&["GENERATION", "", "WHEN", "BY", "REASON", "APPLICATIONS"], &all.iter().map(row).collect::<Vec<_>>())
}
