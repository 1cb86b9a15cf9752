//! `openmesh app`.

mod backup;
mod catalogues;
pub(super) mod change;
mod costs;
mod exec;
mod files;
pub(super) mod import;
pub(super) mod input;
mod jobs;
mod moves;
mod processes;
mod restart;
mod templates;
mod text;
mod usage;

use std::path::Path;
use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::Name;
use openmesh_agent::views::{Application, Deployment, Generation, LogLine, Node};
use reqwest::Method;

use self::change::{change, patiently, with_query};
use self::input::read;
use super::agent::{ask, client, failure, get, json, one_line, print};
use crate::cli::{AgentName, AppCommand, ChangeArgs, DataFate, LogArgs, Output};
use crate::failure::Failure;

/// Runs one of the app commands.
pub async fn run(command: AppCommand) -> Result<(), Failure> {
    match command {
        AppCommand::List { state, agent, output } => list(state.as_deref(), &agent, output).await,
        AppCommand::Why { name, agent, output } => why(&name, &agent, output).await,
        AppCommand::Plan { document, refresh, make_secrets, agent, output } => {
            plan(&document, [("refresh", refresh), ("make_secrets", make_secrets)], &agent, output).await
        }
        AppCommand::Deploy { document, refresh, make_secrets, change } => {
            deploy(&document, [("refresh", refresh), ("make_secrets", make_secrets)], &change).await
        }
        AppCommand::Logs(asked) => logs(asked).await,
        AppCommand::Backup { name, act } => backup::back_up(&name, &act).await,
        AppCommand::Backups { name, agent, output } => backup::list(&name, &agent, output).await,
        AppCommand::Restore(asked) => backup::restore(&asked).await,
        AppCommand::Drill(asked) => backup::drill(&asked).await,
        AppCommand::Lines(asked) => backup::lines(&asked).await,
        AppCommand::History { agent, output } => {
            let all: Vec<Generation> = get(&client(&agent)?, "/generations").await?;
            if output.json { json(&all) } else { print(&text::history(&all)) }
        }
        AppCommand::Show { generation, agent } => show(generation, &agent).await,
        AppCommand::Diff { before, after, agent, output } => diff(before, after, &agent, output).await,
        AppCommand::Rollback { generation, lines, change } => roll_back(generation, &lines, &change).await,
        AppCommand::Restart(asked) => restart::run(&asked).await,
        AppCommand::Remove { name, data, change } => remove(&name, data, &change).await,
        AppCommand::Templates(asked) => templates::list(asked).await,
        AppCommand::New(asked) => templates::new(asked).await,
        AppCommand::Upgrade(asked) => templates::upgrade(&asked).await,
        AppCommand::Catalogues(asked) => catalogues::run(asked).await,
        AppCommand::Costs { agent, output } => costs::run(&agent, output).await,
        AppCommand::Exec(asked) => exec::run(asked).await,
        AppCommand::Jobs(asked) => jobs::list(&asked).await,
        AppCommand::Job(asked) => jobs::run(&asked).await,
        AppCommand::Processes(asked) => processes::run(&asked).await,
        AppCommand::Usage(asked) => usage::run(&asked).await,
        AppCommand::Files(asked) => files::run(asked).await,
        AppCommand::Move(asked) => moves::run(&asked).await,
        AppCommand::Moves(asked) => moves::list(&asked).await,
        AppCommand::Import(asked) => import::run(&asked),
    }
}

/// Lists applications; with a state, those in it.
async fn list(state: Option<&str>, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let mut all: Vec<Application> = get(&client(agent)?, "/applications").await?;
    if let Some(state) = state {
        all.retain(|application| text::word(application) == state);
    }
    if output.json { json(&all) } else { print(&text::list(&all)) }
}

/// Tells why an application is as it is.
async fn why(name: &Name, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let application: Application = get(&client(agent)?, &format!("/applications/{name}")).await?;
    if output.json { json(&application) } else { print(&text::why(&application)) }
}

/// Prints the way to a document, with the wishes of the query that are on.
async fn plan(document: &Path, wishes: [(&str, bool); 2], agent: &AgentName, output: Output) -> Result<(), Failure> {
    let text = read(document)?;
    import::is_document(document, &text)?;
    let client = client(agent)?;
    let request = client.request(Method::POST, &deployment(wishes)).body(text);
    let request = with_query(request, &[("plan", "true".into())])?;
    let deployment: Deployment = patiently(ask(&client, request)).await?;
    if output.json { json(&deployment) } else { print(&format!("{}\n", deployment.plan.trim_end())) }
}

/// Brings the machine to a document, with the wishes of the query that are on.
async fn deploy(document: &Path, wishes: [(&str, bool); 2], asked: &ChangeArgs) -> Result<(), Failure> {
    let text = read(document)?;
    import::is_document(document, &text)?;
    let path = deployment(wishes);
    change(asked, |client| client.request(Method::POST, &path).body(text.clone())).await
}

/// Path of a deployment, with the wishes of its query that are on.
fn deployment(wishes: [(&str, bool); 2]) -> String {
    let query: Vec<String> = wishes.iter().filter(|(_, is_on)| *is_on).map(|(key, _)| format!("{key}=true")).collect();
    format!("/applications?{}", query.join("&"))
}

/// Prints the document of a generation, of the wanted one without a number.
async fn show(generation: Option<u64>, agent: &AgentName) -> Result<(), Failure> {
    let client = client(agent)?;
    let number = match generation {
        Some(number) => number,
        None => get::<Node>(&client, "").await?.wanted,
    };
    let request = client.request(Method::GET, &format!("/generations/{number}"));
    print(&client.text(request).await.map_err(failure)?)
}

/// Prints the differences between two generations.
async fn diff(before: u64, after: u64, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let changes: Vec<String> = get(&client(agent)?, &format!("/generations/{before}/diff/{after}")).await?;
    match output.json {
        true => json(&changes),
        false => print(&changes.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
}

/// Removes an application.
async fn remove(name: &Name, data: DataFate, asked: &ChangeArgs) -> Result<(), Failure> {
    let data = match data {
        DataFate::Keep => "keep",
        DataFate::Backup => "backup",
        DataFate::Wipe => "wipe",
    };
    let path = format!("/applications/{name}?data={data}");
    change(asked, |client| client.request(Method::DELETE, &path)).await
}

async fn logs(asked: LogArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let request = client.request(Method::GET, &format!("/applications/{}/logs", asked.name));
    let mut query = vec![("lines", asked.lines.to_string()), ("follow", asked.follow.to_string())];
    query.extend(asked.contains.map(|text| ("contains", text)));
    query.extend(asked.stream.map(|stream| ("stream", stream)));
    let request = with_query(request, &query)?;
    let mut found = pin!(client.lines::<LogLine>(request).await.map_err(failure)?);
    while let Some(line) = found.next().await {
        let line = line.map_err(failure)?;
        print(&if asked.output.json { one_line(&line)? } else { text::log_line(&line) })?;
    }
    Ok(())
}

/// Goes back to a generation, with the present data but for the lines that are named.
async fn roll_back(generation: u64, lines: &[String], asked: &ChangeArgs) -> Result<(), Failure> {
    let path = match lines {
        [] => format!("/generations/{generation}/restore"),
        lines => format!("/generations/{generation}/restore?lines={}", lines.join(",")),
    };
    change(asked, |client| client.request(Method::POST, &path)).await
}
