//! `openmesh app templates`, `new` and `upgrade`: the store, an application made of answers, and one brought to a newer version of its template.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};

use openmesh_agent::Client;
use openmesh_agent::views::Fault;
use openmesh_agent::views::templates::{BackupWish, Field, OrderBody, Preflight, Sheet, Summary};
use reqwest::Method;

use super::super::agent::{ask, client, columns, json, print, unmarked};
use super::change::{change, with_query};
use crate::cli::NewArgs;
use crate::cli::templates::{TemplateName, TemplatesArgs, UpgradeArgs};
use crate::failure::Failure;

/// Lists templates, or shows one of them with its form.
pub(super) async fn list(asked: TemplatesArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    if let Some(name) = &asked.name {
        let sheet = sheet_of(&client, name, None).await?;
        return if asked.output.json { json(&sheet) } else { print(&sheet_text(&sheet)) };
    }
    let query = [("search", asked.search.join(" ")), ("category", asked.category.unwrap_or_default())];
    let found: Vec<Summary> = ask(&client, with_query(client.request(Method::GET, "/templates"), &query)?).await?;
    if asked.output.json { json(&found) } else { print(&list_text(&found)) }
}

/// A template with its form.
async fn sheet_of(client: &Client, template: &TemplateName, version: Option<&String>) -> Result<Sheet, Failure> {
    let mut query = Vec::new();
    query.extend(version.map(|version| ("version", version.clone())));
    query.extend(template.catalogue.as_ref().map(|catalogue| ("catalogue", catalogue.to_string())));
    let request = client.request(Method::GET, &format!("/templates/{}", template.name));
    ask(client, with_query(request, &query)?).await
}

/// A wish about backups of the command line; none where nothing is said.
fn backup_wish(asked: &NewArgs) -> Option<BackupWish> {
    match &asked.backups {
        Some(place) => Some(BackupWish { on: true, to: Some(place.clone()) }),
        None if asked.no_backups => Some(BackupWish::default()),
        None => None,
    }
}

/// Makes an application out of a template: asks what is not answered, shows what it comes to, does it.
pub(super) async fn new(asked: NewArgs) -> Result<(), Failure> {
    let client = client(&asked.change.agent)?;
    let template = &asked.template;
    let path = format!("/templates/{}", template.name);
    let sheet = sheet_of(&client, template, asked.template_version.as_ref()).await?;
    let mut order = OrderBody {
        name: asked.name.as_ref().unwrap_or(&template.name).to_string(),
        catalogue: template.catalogue.as_ref().map(ToString::to_string),
        version: Some(sheet.summary.version.clone()),
        answers: answers(&asked.set)?,
        backup: backup_wish(&asked),
    };
    let asks = !asked.defaults && !asked.change.output.json && std::io::stdin().is_terminal();
    if asks {
        let publisher =
            sheet.summary.publisher.as_ref().map(|publisher| format!(" of {publisher}")).unwrap_or_default();
        print(&format!("{}{publisher}: an empty answer takes what stands in brackets\n", sheet.summary.title))?;
        for field in sheet.fields.iter().filter(|field| !field.advanced || field.required) {
            if !order.answers.contains_key(&field.name) {
                question(field, &mut order)?;
            }
        }
    }
    let preflight = settle(&client, &path, &sheet, &mut order, asks).await?;
    if !asked.change.output.json {
        print(&preflight_text(&preflight))?;
    }
    let does = |client: &Client| client.request(Method::POST, &format!("{path}/deploy")).json(&order);
    change(&asked.change, does).await?;
    if !asked.change.output.json && !asked.change.no_wait {
        print(&opening_text(&preflight))?;
    }
    Ok(())
}

/// Brings an application to a newer version of its template: shows the plan, does it, and follows it.
pub(super) async fn upgrade(asked: &UpgradeArgs) -> Result<(), Failure> {
    let version = asked.version.map(|version| format!("?version={version}")).unwrap_or_default();
    let path = format!("/applications/{}/upgrade{version}", asked.name);
    change(&asked.change, |client| client.request(Method::POST, &path)).await
}

/// Holds an order against the machine; at a terminal, what is wrong is asked again.
async fn settle(
    client: &Client,
    path: &str,
    sheet: &Sheet,
    order: &mut OrderBody,
    asks: bool,
) -> Result<Preflight, Failure> {
    loop {
        let request = client.request(Method::POST, &format!("{path}/preflight")).json(&*order);
        let found: Preflight = ask(client, request).await?;
        if found.problems.is_empty() {
            return Ok(found);
        }
        let about = |fault: &Fault| sheet.fields.iter().find(|field| Some(&field.name) == fault.option.as_ref());
        let wrong: Vec<&Field> = found.problems.iter().filter_map(about).collect();
        if !asks || wrong.len() < found.problems.len() {
            let lines: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
            let hint = format!(
                "openmesh app templates {} shows its options; --set OPTION=ANSWER answers one",
                full_name(&sheet.summary)
            );
            return Err(Failure::usage(lines.join("\n")).hint(hint));
        }
        for fault in &found.problems {
            print(&format!("{fault}\n"))?;
        }
        for field in wrong {
            question(field, order)?;
        }
    }
}

/// `OPTION=ANSWER` of the command line.
fn answers(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut answers = BTreeMap::new();
    for text in given {
        let Some((option, answer)) = text.split_once('=') else {
            return Err(Failure::usage(format!("--set {text}: OPTION=ANSWER is expected")));
        };
        if answers.insert(option.to_string(), answer.to_string()).is_some() {
            return Err(Failure::usage(format!("--set {option} stands there twice")));
        }
    }
    Ok(answers)
}

/// Asks for one answer.
fn question(field: &Field, order: &mut OrderBody) -> Result<(), Failure> {
    print(&question_text(field))?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.map_err(|error| Failure::from_display("standard input", &error))? == 0 {
        return Err(Failure::new("the answers end here; nothing was changed"));
    }
    match line.trim() {
        "" => drop(order.answers.remove(&field.name)),
        answer => drop(order.answers.insert(field.name.clone(), answer.to_string())),
    }
    Ok(())
}

fn question_text(field: &Field) -> String {
    let mut text = String::new();
    if let Some(help) = &field.help {
        text += &format!("  ({})\n", unmarked(help));
    }
    let bracket = match (&field.default, field.generated, &field.makes) {
        (Some(default), _, _) if !default.is_empty() => format!(" [{default}]"),
        (_, Some(length), _) => format!(" [made: {length} letters and digits; or secret:NAME]"),
        (_, _, Some(template)) => format!(" [made: {template}]"),
        _ if field.required => String::new(),
        _ => " [none]".to_string(),
    };
    let unit = field.unit.as_ref().map(|unit| format!(", {unit}")).unwrap_or_default();
    let choices = if field.choices.is_empty() { String::new() } else { format!(" ({})", field.choices.join(", ")) };
    text + &format!("{}{unit}{choices}{bracket}: ", unmarked(&field.title))
}

/// A template as a person writes it.
fn full_name(template: &Summary) -> String {
    match &template.catalogue {
        Some(catalogue) => format!("{catalogue}/{}", template.name),
        None => template.name.clone(),
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes >= 10 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

fn list_text(found: &[Summary]) -> String {
    if found.is_empty() {
        return "no template is like that; `openmesh app templates` lists all of them\n".into();
    }
    let row = |template: &Summary| {
        let tried = match mark(template).as_str() {
            _ if template.not_run_here => "not run here".to_string(),
            "none" => "not yet".to_string(),
            word => word.to_string(),
        };
        let publisher = template.publisher.as_ref().map(|publisher| format!(" (of {publisher})")).unwrap_or_default();
        vec![
            full_name(template),
            template.category.clone(),
            mebibytes(template.memory_bytes),
            mebibytes(template.disk_bytes),
            tried,
            format!("{}{publisher}", unmarked(&template.summary)),
        ]
    };
    let head = ["TEMPLATE", "CATEGORY", "MEMORY", "DISK", "TRIED", "WHAT IT IS"];
    columns(&head, &found.iter().map(row).collect::<Vec<_>>())
}

/// The grade in the word of JSON.
fn mark(template: &Summary) -> String {
    let value = serde_json::to_value(template.mark).ok();
    value.and_then(|value| Some(value.as_str()?.to_string())).unwrap_or_default()
}

fn sheet_text(sheet: &Sheet) -> String {
    let summary = &sheet.summary;
    let described = unmarked(&sheet.description);
    let (name, version) = (full_name(summary), &summary.version);
    let mut text = format!("{} ({name} {version})\n\n{described}\n\n", summary.title);
    if let Some(publisher) = &summary.publisher {
        text += &format!("{:<11}{publisher}, whose key signed it; it is no part of this program\n", "publisher");
    }
    let needs = format!("{} of memory, {} of disk", mebibytes(summary.memory_bytes), mebibytes(summary.disk_bytes));
    for (label, value) in [("home page", &sheet.homepage), ("licence", &sheet.licence), ("needs", &needs)] {
        text += &format!("{label:<11}{value}\n");
    }
    if !sheet.architectures.is_empty() {
        text += &format!("{:<11}{}\n", "made for", sheet.architectures.join(", "));
    }
    for kept in &sheet.data {
        text += &format!("{:<11}{}: {}\n", "volume", kept.volume, unmarked(&kept.holds));
    }
    if let Some(backup) = &sheet.backup {
        text += &format!(
            "{:<11}at {} (UTC) where the machine has a place for them: {}\n",
            "backups", backup.schedule, backup.keeps
        );
    }
    if let Some(sign_in) = sheet.open.as_ref().and_then(|open| open.sign_in.as_ref()) {
        text += &format!("{:<11}{}\n", "sign-in", unmarked(sign_in));
    }
    if summary.not_run_here {
        text += &format!("{:<11}it was never run by those who wrote it\n", "beware");
    }
    for note in &sheet.notes {
        text += &format!("{:<11}{}\n", "note", unmarked(note));
    }
    text += "\n";
    let row = |field: &Field| {
        let default = match (&field.default, field.generated, &field.makes) {
            (Some(default), _, _) => default.clone(),
            (None, Some(_), _) => "(made)".to_string(),
            (None, None, Some(template)) => format!("(a {template} is made)"),
            (None, None, None) => "(needed)".to_string(),
        };
        let unit = field.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let kind = if field.choices.is_empty() { field.kind.clone() } else { field.choices.join("|") };
        vec![field.name.clone(), format!("{default}{unit}"), kind, unmarked(&field.title)]
    };
    text + &columns(&["OPTION", "DEFAULT", "KIND", "WHAT IT IS"], &sheet.fields.iter().map(row).collect::<Vec<_>>())
}

fn preflight_text(found: &Preflight) -> String {
    let mut text = String::new();
    for application in &found.applications {
        let ports = application.ports.iter().map(|(name, at)| format!("{name} at {at}"));
        let ports = ports.chain(application.domains.iter().cloned()).collect::<Vec<_>>().join(", ");
        let ports = if ports.is_empty() { "not published".to_string() } else { ports };
        let memory = mebibytes(application.memory_bytes);
        let publisher = application.publisher.as_ref().map(|publisher| format!(" of {publisher}")).unwrap_or_default();
        let (name, template) = (&application.name, &application.template);
        text += &format!("{name} ({template}{publisher}): {memory} of memory, {ports}\n");
    }
    if let Some(backups) = &found.backups {
        text += &match (&backups.to, &backups.lacks) {
            (Some(to), None) => format!("backups: to {to}\n"),
            (Some(to), Some(lacks)) => format!("backups: to {to}, but {}\n", unmarked(lacks)),
            (None, lacks) => format!("backups: none: {}\n", unmarked(lacks.as_deref().unwrap_or("nothing is kept"))),
        };
    }
    if !found.secrets.is_empty() {
        text += &format!("secrets that are made: {}\n", found.secrets.join(", "));
    }
    text + "\n"
}

/// Words for the first use of what was made.
fn opening_text(found: &Preflight) -> String {
    let mut text = String::new();
    for application in &found.applications {
        let Some(open) = application.open.as_ref().filter(|_| !application.ports.is_empty()) else { continue };
        text += &format!("{}: openmesh app why {} shows its port", application.name, application.name);
        let words = open.sign_in.as_ref().map(|words| unmarked(words).replace("NAME", &application.name));
        text += &words.map(|words| format!(". {words}\n")).unwrap_or_else(|| "\n".to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field() -> Field {
        Field {
            name: "memory".into(),
            kind: "size".into(),
            title: "Memory limit".into(),
            help: Some("Half as much again.".into()),
            default: Some("64 MiB".into()),
            choices: Vec::new(),
            least: None,
            greatest: None,
            unit: None,
            pattern: None,
            pattern_words: None,
            advanced: false,
            required: false,
            generated: None,
            makes: None,
            port: None,
        }
    }

    #[test]
    fn answers_of_the_command_line_are_pairs_and_stand_once() {
        let set = |texts: &[&str]| answers(&texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            set(&["a=b=c", "d="]).unwrap(),
            BTreeMap::from([("a".into(), "b=c".into()), ("d".into(), String::new())])
        );
        assert!(set(&["memory"]).unwrap_err().message().contains("OPTION=ANSWER"));
        assert!(set(&["a=1", "a=2"]).unwrap_err().message().contains("twice"));
    }

    #[test]
    fn a_question_says_what_an_empty_answer_takes() {
        assert_eq!(question_text(&field()), "  (Half as much again.)\nMemory limit [64 MiB]: ");
        let secret = Field { default: None, help: None, generated: Some(32), ..field() };
        assert!(question_text(&secret).contains("[made: 32 letters and digits; or secret:NAME]"));
        let needed = Field { default: None, help: None, required: true, ..field() };
        assert_eq!(question_text(&needed), "Memory limit: ");
        let choice = Field { default: Some("a".into()), help: None, choices: vec!["a".into(), "b".into()], ..field() };
        assert_eq!(question_text(&choice), "Memory limit (a, b) [a]: ");
        let marked = Field { help: Some("`auto` takes a free one.".into()), ..field() };
        assert_eq!(question_text(&marked), "  (auto takes a free one.)\nMemory limit [64 MiB]: ");
    }
}
