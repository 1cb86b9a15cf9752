//! Templates as data: rows of a store, and a form for one of them.

use std::collections::BTreeMap;

use openmesh_blueprint::document::{Application, Content, Name};
use openmesh_blueprint::template::{BackupPolicy, Card, Open, Publication, Template, TemplateOption};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::compose::{Composition, Fault};
use crate::grade::{Grade, Grades, Mark};
use crate::library::Library;
use crate::preflight;

/// A template as a row of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateSummary)]
pub struct Summary {
    /// Name.
    pub name: String,
    /// Catalogue of another publisher that it is of; none of a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<String>,
    /// That publisher, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Version.
    pub version: String,
    /// Title.
    pub title: String,
    /// Category.
    pub category: String,
    /// One line.
    pub summary: String,
    /// Icon, as SVG.
    pub icon: String,
    /// Memory that it needs, bytes.
    pub memory_bytes: u64,
    /// Disk that it needs, bytes.
    pub disk_bytes: u64,
    /// It was never run by those who wrote it.
    pub not_run_here: bool,
    /// Grade in one word.
    pub mark: Mark,
}

/// A template with all that a person reads before it is deployed, and its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateSheet)]
pub struct Sheet {
    /// Its row.
    pub summary: Summary,
    /// Versions that this program has, from the oldest.
    pub versions: Vec<String>,
    /// Description.
    pub description: String,
    /// Home page of the software.
    pub homepage: String,
    /// Licence of the software.
    pub licence: String,
    /// Architectures that it exists for; every one where the list is empty.
    pub architectures: Vec<String>,
    /// Release of Debian that it is made of.
    pub release: Option<String>,
    /// The place at which it is opened.
    pub open: Option<Opening>,
    /// Volumes.
    pub data: Vec<Keeping>,
    /// Hints.
    pub notes: Vec<String>,
    /// Versions that this one may take the place of.
    pub upgrades: Vec<String>,
    /// Backups that it proposes for what it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Proposal>,
    /// The form, in its order; what few people need comes last.
    pub fields: Vec<Field>,
    /// Findings of the last run.
    pub grade: Option<Grade>,
}

/// The place at which an application is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateOpening)]
pub struct Opening {
    /// Name of the port.
    pub port: String,
    /// Scheme.
    pub scheme: String,
    /// Path.
    pub path: String,
    /// Words for the first sign-in.
    pub sign_in: Option<String>,
}

/// A volume, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateVolume)]
pub struct Keeping {
    /// Name.
    pub volume: String,
    /// Contents.
    pub holds: String,
    /// Only one instance at a time may write to it.
    pub single_writer: bool,
}

/// Backups that a template proposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateBackup)]
pub struct Proposal {
    /// Their moments, UTC, as five fields: minute, hour, day, month, day of the week.
    pub schedule: String,
    /// Moments at which one is restored and tried.
    pub drill: Option<String>,
    /// Words for those that are kept.
    pub keeps: String,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateField)]
pub struct Field {
    /// Name of the option.
    pub name: String,
    /// Kind: `text`, `number`, `size`, `boolean`, `choice`, `secret`, `domain`, `port`, `application`.
    pub kind: String,
    /// Label.
    pub title: String,
    /// A sentence.
    pub help: Option<String>,
    /// The answer of those who give none.
    pub default: Option<String>,
    /// Possible answers.
    pub choices: Vec<String>,
    /// Least answer.
    pub least: Option<String>,
    /// Greatest answer.
    pub greatest: Option<String>,
    /// Unit.
    pub unit: Option<String>,
    /// Regular expression that the whole answer must match; of a template of another publisher none is told, and the machine alone looks.
    pub pattern: Option<String>,
    /// The pattern in words, as they follow "must be".
    pub pattern_words: Option<String>,
    /// Few people need it.
    pub advanced: bool,
    /// It must be answered.
    pub required: bool,
    /// Letters and digits of the secret that is made where none is given.
    pub generated: Option<u32>,
    /// Template of the application that is made where none is named.
    pub makes: Option<String>,
    /// Port of the application that a domain leads to, or that is published.
    pub port: Option<String>,
}

/// A template as a row.
pub fn summary(library: &Library, grades: &Grades, template: &Template, card: &Card) -> Summary {
    let version = template.version.to_string();
    let grade = grades.0.get(template.name.as_str()).filter(|_| template.catalogue.is_none());
    Summary {
        name: template.name.to_string(),
        catalogue: template.catalogue.as_ref().map(ToString::to_string),
        publisher: library.publisher(template).map(str::to_string),
        title: card.title.clone(),
        category: card.category.to_string(),
        summary: card.summary.clone(),
        icon: library.icon(template).to_string(),
        memory_bytes: card.needs.memory.0,
        disk_bytes: card.needs.disk.0,
        not_run_here: card.not_run_here,
        mark: grade.map_or(Mark::None, |grade| grade.mark(&version)),
        version,
    }
}

/// A template with its form; none where it has no words for people.
pub fn sheet(library: &Library, grades: &Grades, template: &Template) -> Option<Sheet> {
    let card = template.card.as_ref()?;
    let versions = library.versions(template).iter();
    let open = card.open.as_ref().map(opening);
    let data = card.data.iter().map(|(name, kept)| Keeping {
        volume: name.to_string(),
        holds: kept.holds.clone(),
        single_writer: kept.single_writer,
    });
    Some(Sheet {
        summary: summary(library, grades, template, card),
        versions: versions.map(|template| template.version.to_string()).collect(),
        description: card.description.clone(),
        homepage: card.homepage.clone(),
        licence: card.licence.clone(),
        architectures: card.needs.architectures.iter().map(ToString::to_string).collect(),
        release: card.needs.release.clone(),
        open,
        data: data.collect(),
        notes: card.notes.clone(),
        upgrades: card.upgrades.iter().map(ToString::to_string).collect(),
        backup: template.backup.as_ref().map(proposal),
        fields: fields(template),
        grade: grades.0.get(template.name.as_str()).filter(|_| template.catalogue.is_none()).cloned(),
    })
}

fn proposal(policy: &BackupPolicy) -> Proposal {
    let keep = &policy.keep;
    Proposal {
        schedule: policy.schedule.to_string(),
        drill: policy.drill.as_ref().map(ToString::to_string),
        keeps: format!(
            "the last {}, and one for each of {} days, {} weeks and {} months",
            keep.last, keep.daily, keep.weekly, keep.monthly
        ),
    }
}

fn opening(open: &Open) -> Opening {
    Opening {
        port: open.port.to_string(),
        scheme: open.scheme.clone(),
        path: open.path.clone(),
        sign_in: open.sign_in.clone(),
    }
}

fn fields(template: &Template) -> Vec<Field> {
    let mut options: Vec<(&Name, &TemplateOption)> = template.options.iter().collect();
    options.sort_by_key(|(name, option)| (option.advanced, option.rank, *name));
    let is_built_in = template.catalogue.is_none();
    options.into_iter().map(|(name, option)| field(name, option, is_built_in)).collect()
}

fn field(name: &Name, option: &TemplateOption, is_built_in: bool) -> Field {
    let is_made = option.generate.is_some() || option.makes.is_some();
    Field {
        name: name.to_string(),
        kind: option.kind.to_string(),
        title: option.title.clone().unwrap_or_else(|| name.to_string()),
        help: option.help.clone(),
        default: option.default.clone(),
        choices: option.choices.clone(),
        least: option.least.clone(),
        greatest: option.greatest.clone(),
        unit: option.unit.clone(),
        pattern: option.pattern.clone().filter(|_| is_built_in),
        pattern_words: option.pattern_words.clone(),
        advanced: option.advanced,
        required: option.default.is_none() && !is_made,
        generated: option.generate.as_ref().map(|generate| generate.length),
        makes: option.makes.as_ref().map(|companion| companion.template.to_string()),
        port: option.port.as_ref().map(ToString::to_string),
    }
}

/// An order as JSON: `{"name": "cache", "answers": {"memory": "64 MiB"}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateOrder)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// Name of the application.
    pub name: String,
    /// Catalogue of another publisher; a built-in template without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<String>,
    /// Version of the template; the newest without it.
    #[serde(default)]
    pub version: Option<String>,
    /// Answers, each as text; those left out have their default.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// Backups; without it they are made as the template proposes where the machine has a place for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupWish>,
}

/// A wish about the backups of what an order makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateBackupWish)]
#[serde(deny_unknown_fields)]
pub struct BackupWish {
    /// They are made.
    pub on: bool,
    /// Place of the machine that keeps them; its first one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Backups that an order comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateBackups)]
pub struct BackupOutcome {
    /// Place of the machine that keeps them; none where none are made.
    pub to: Option<String>,
    /// Places that the machine has.
    pub places: Vec<String>,
    /// The reason for which none are made, or what lacks for those that are; none where nothing does.
    pub lacks: Option<String>,
}

/// An application that an order comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateOutcome)]
pub struct Outcome {
    /// Name.
    pub name: String,
    /// Template with its version; one of another publisher with its catalogue: `acme/shop 3`.
    pub template: String,
    /// That publisher, for people; none of a built-in template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Disk, bytes.
    pub disk_bytes: u64,
    /// Published ports: name, and address with port as they were asked for; `auto` is a free one.
    pub ports: Vec<(String, String)>,
    /// Domains.
    pub domains: Vec<String>,
    /// Secrets that it is given.
    pub secrets: Vec<String>,
    /// The place at which it is opened.
    pub open: Option<Opening>,
}

/// An order held against a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplatePreflight)]
pub struct Preflight {
    /// Reasons against it, each with its option; it can be deployed where there are none.
    pub problems: Vec<Fault>,
    /// Applications that it comes to; none where the answers do not fit.
    pub applications: Vec<Outcome>,
    /// Secrets that would be made.
    pub secrets: Vec<String>,
    /// Memory of all of them, bytes.
    pub memory_bytes: u64,
    /// Memory that no application has been promised, bytes.
    pub memory_free_bytes: u64,
    /// Disk of all of them, bytes.
    pub disk_bytes: u64,
    /// Free disk, bytes.
    pub disk_free_bytes: u64,
    /// Backups of what they keep; none where their templates propose none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupOutcome>,
    /// Their part of a document, as YAML.
    pub document: String,
}

/// Words for a template with its version.
fn words(template: &Template) -> String {
    let catalogue = template.catalogue.as_ref().map(|catalogue| format!("{catalogue}/")).unwrap_or_default();
    format!("{catalogue}{} {}", template.name, template.version)
}

/// Applications that an order comes to, as rows.
pub fn outcomes(library: &Library, composition: &Composition) -> Vec<Outcome> {
    let row = |(name, application): (&Name, &Application)| {
        let template = composition.templates.get(name);
        let card = template.and_then(|template| template.card.as_ref());
        let ports = application.ports.iter().filter_map(|(name, port)| {
            let publish = port.publish.clone()?;
            Some((name.to_string(), Publication::At(publish).to_string()))
        });
        let answers = application.variables.values().chain(application.files.values().map(|file| &file.content));
        let mut secrets: Vec<String> = answers
            .filter_map(|content| match content {
                Content::Secret(secret) => Some(secret.to_string()),
                Content::Text(_) => None,
            })
            .collect();
        secrets.sort();
        secrets.dedup();
        Outcome {
            name: name.to_string(),
            template: template.map(words).unwrap_or_default(),
            publisher: template.and_then(|template| library.publisher(template)).map(str::to_string),
            memory_bytes: preflight::memory(application),
            disk_bytes: preflight::disk(application, card),
            ports: ports.collect(),
            domains: application.domains.keys().map(ToString::to_string).collect(),
            secrets,
            open: card.and_then(|card| card.open.as_ref()).map(opening),
        }
    };
    composition.rendered.iter().map(row).collect()
}
