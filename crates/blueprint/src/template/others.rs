//! Limits of templates of other publishers: the rules that every built-in one keeps, and stricter ones where a hostile one could reach for more.
//!
//! A built-in template is part of the program and was read by those who made it; one of others comes signed by somebody whom the owner of a machine trusts to choose
//! software, and not with the machine. So two things are looked at: its text, before it is in any store ([`check_form`]), and each application that it is filled in to,
//! whatever was answered ([`check_application`]). The text may take nothing that a person has not named: no secret, no other application, no port of the host.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;

use super::card::Card;
use super::option::{OptionKind, TemplateOption};
use super::placing::Publication;
use super::policy::BackupPolicy;
use crate::document::{Application, Content, ImageReference, Job, Name, Occasion, PackageVersion, Root, Schedule};
use crate::text::{Node, Place, Problems, Value};

/// Longest text, in bytes: the longest built-in one has a twentieth of it.
pub const OTHERS_BYTES_MAX: usize = 128 << 10;
/// Most values of a text after aliases were followed: a long text counts one for each 64 bytes, and the longest built-in template has a tenth of it.
pub(super) const OTHERS_NODES_MAX: usize = 4_000;
/// Most options: a form of more is read by nobody.
const OPTIONS_MAX: usize = 40;
/// Most choices of an option.
const CHOICES_MAX: usize = 64;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// Longest sentence of card or form, in characters.
const SENTENCE_CHARS_MAX: usize = 300;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 80;
/// Most notes.
const NOTES_MAX: usize = 12;
/// Most volumes, ports, jobs and packages that are named, each.
const PARTS_MAX: usize = 16;
/// Most files and variables, each.
const FILES_MAX: usize = 128;
/// Longest time in which it may be asked to end, in milliseconds: its removal waits for it.
const STOP_MS_MAX: u64 = 120_000;
/// Longest gate, in milliseconds.
const GATE_MS_MAX: u64 = 900_000;
/// Longest drain, in milliseconds: its removal waits for it as well.
const DRAIN_MS_MAX: u64 = 120_000;
/// Longest probation, in milliseconds: the restore of a machine waits for it.
const PROBATION_MS_MAX: u64 = 3_600_000;
/// Longest run of a job, in milliseconds.
const JOB_MS_MAX: u64 = 3_600_000;
/// Longest run of a job for which a backup, a drill or a switch waits, in milliseconds: few backups and drills of a machine are under way at a time.
const AWAITED_JOB_MS_MAX: u64 = 600_000;
/// Jobs for which a backup or a drill waits.
const AWAITED_JOBS: [&str; 2] = ["before-backup", "drill"];
/// Most runs of a job of eight days by its schedule: one each five minutes, since each is a container.
const RUNS_OF_EIGHT_DAYS_MAX: u32 = 8 * 24 * 12;
/// Shortest time between two tests of health, in milliseconds: the agent makes them.
const INTERVAL_MS_MIN: u64 = 1_000;
/// Most backups of eight days: one an hour.
const BACKUPS_OF_EIGHT_DAYS_MAX: u32 = 8 * 24;
/// Eight days, in nanoseconds.
const EIGHT_DAYS_NANOS: i64 = 8 * 86_400 * 1_000_000_000;
/// Most backups that are kept of a span.
const KEPT_MAX: u32 = 100;
/// Schemes of addresses at which an application may be opened: none of them is run by a browser.
const SCHEMES: [&str; 10] = ["http", "https", "ws", "wss", "tcp", "redis", "postgresql", "mysql", "mqtt", "ssh"];
/// Registry of images that the machine makes of its own program.
const OWN_REGISTRY: &str = "xnode.internal";
/// Parts of an application that a person alone says.
const PERSONS: [&str; 5] = ["domains", "gpus", "backup", "wish", "template"];

/// Parts of a template that are looked at.
pub(super) struct Parts<'a> {
    /// Version.
    pub version: &'a PackageVersion,
    /// Card.
    pub card: Option<&'a Card>,
    /// Options.
    pub options: &'a BTreeMap<Name, TemplateOption>,
    /// Backups that it proposes.
    pub backup: Option<&'a BackupPolicy>,
    /// Its application as a tree.
    pub application: &'a Node,
    /// Place of the whole.
    pub place: Place,
}

/// Notes what a template of others may not have, as far as its text tells.
pub(super) fn check_form(parts: &Parts<'_>, problems: &mut Problems) {
    let place = parts.place;
    let version = parts.version.as_str();
    if version.len() > 6 || version.starts_with('0') || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        problems.below("version", |problems| problems.add(place, "must be a whole number from 1 to 999999"));
    }
    match parts.card {
        Some(card) => problems.below("card", |problems| check_card(card, place, problems)),
        None => problems.add(place, "lacks `card`"),
    }
    if parts.options.len() > OPTIONS_MAX {
        problems.add(place, format!("has {} options, but at most {OPTIONS_MAX} fit", parts.options.len()));
    }
    for (name, option) in parts.options {
        problems.below(format!("options.{name}"), |problems| check_option(option, place, problems));
    }
    if let Some(policy) = parts.backup {
        problems.below("backup", |problems| check_policy(policy, place, problems));
    }
    problems.below("application", |problems| check_tree(parts.application, parts.options, problems));
}

/// Notes a text of more characters than fit, or one that tells a terminal or a reader's eye something else than it says.
fn check_text(text: &str, chars_max: usize, key: &str, place: Place, problems: &mut Problems) {
    if text.chars().count() > chars_max {
        problems.below(key, |problems| problems.add(place, format!("has more than {chars_max} characters")));
    }
    if text.contains(is_hidden) || text.contains('\n') {
        problems.below(key, |problems| problems.add(place, "holds a character that is not shown"));
    }
}

/// Returns true for a control character, but for the line feed, and for one that turns the direction of text or is not seen: Unicode's
/// `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt), separators of lines, marks of annotations.
pub fn is_hidden(c: char) -> bool {
    let is_control = c.is_control() && c != '\n';
    is_control
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn check_card(card: &Card, place: Place, problems: &mut Problems) {
    let mut text = |text: &str, chars_max: usize, key: &str| check_text(text, chars_max, key, place, problems);
    text(&card.title, TITLE_CHARS_MAX, "title");
    text(&card.summary, SENTENCE_CHARS_MAX, "summary");
    text(&card.description.replace('\n', " "), DESCRIPTION_CHARS_MAX, "description");
    text(&card.homepage, SENTENCE_CHARS_MAX, "homepage");
    text(&card.licence, TITLE_CHARS_MAX, "licence");
    text(card.needs.release.as_deref().unwrap_or_default(), TITLE_CHARS_MAX, "needs.release");
    for kept in card.data.values() {
        text(&kept.holds, SENTENCE_CHARS_MAX, "data");
    }
    for note in &card.notes {
        text(note, SENTENCE_CHARS_MAX, "notes");
    }
    let open = card.open.as_ref();
    text(open.and_then(|open| open.sign_in.as_deref()).unwrap_or_default(), SENTENCE_CHARS_MAX, "open.sign_in");
    if card.notes.len() > NOTES_MAX {
        problems.below("notes", |problems| problems.add(place, format!("are more than {NOTES_MAX}")));
    }
    let is_homepage = card.homepage.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    if !is_homepage || card.homepage.contains([' ', '"', '<', '>', '\\']) {
        problems.below("homepage", |problems| problems.add(place, "is no address of https"));
    }
    let Some(open) = open else { return };
    if !SCHEMES.contains(&open.scheme.as_str()) {
        let what = format!("is `{}`, but one of {} is expected", open.scheme, SCHEMES.join(", "));
        problems.below("open.scheme", |problems| problems.add(place, what));
    }
    let path = open.path.as_str();
    let is_path = path.is_empty() || (path.starts_with('/') && !path.starts_with("//"));
    if !is_path || path.len() > SENTENCE_CHARS_MAX || path.contains([' ', '\\']) || path.contains(char::is_control) {
        problems.below("open.path", |problems| problems.add(place, "is no path of this application"));
    }
}

fn check_option(option: &TemplateOption, place: Place, problems: &mut Problems) {
    let mut text = |text: Option<&String>, chars_max: usize, key: &str| {
        check_text(text.map_or("", String::as_str), chars_max, key, place, problems);
    };
    text(option.title.as_ref(), TITLE_CHARS_MAX, "title");
    text(option.help.as_ref(), SENTENCE_CHARS_MAX, "help");
    text(option.unit.as_ref(), TITLE_CHARS_MAX, "unit");
    text(option.pattern_words.as_ref(), SENTENCE_CHARS_MAX, "pattern_words");
    text(option.default.as_ref(), SENTENCE_CHARS_MAX, "default");
    for choice in &option.choices {
        text(Some(choice), SENTENCE_CHARS_MAX, "choices");
    }
    if option.choices.len() > CHOICES_MAX {
        problems.below("choices", |problems| problems.add(place, format!("are more than {CHOICES_MAX}")));
    }
    let default = option.default.as_deref().unwrap_or_default();
    let fault = match option.kind {
        OptionKind::Application if !default.is_empty() => Some("names an application that a person has not named"),
        OptionKind::Domain if !default.is_empty() => Some("names a domain that a person has not named"),
        OptionKind::Port if !is_private(default) => Some("must be `none`, or at 127.0.0.1 alone"),
        _ => None,
    };
    if let Some(fault) = fault {
        problems.below("default", |problems| problems.add(place, fault));
    }
    let companion = option.makes.as_ref();
    if companion.is_some_and(|made| made.answers.values().any(|answer| matches!(answer, Content::Secret(_)))) {
        problems.below("makes.answers", |problems| problems.add(place, "name a secret that a person has not named"));
    }
}

/// Returns true where nobody but programs of this machine reaches a port that is published so.
fn is_private(default: &str) -> bool {
    match default.parse::<Publication>() {
        Ok(Publication::None) => true,
        Ok(Publication::At(publish)) => publish.address.0.is_loopback(),
        Err(_) => default.is_empty(),
    }
}

/// Returns true for a schedule with more moments in eight days than so many.
fn is_oftener(schedule: &Schedule, most: u32) -> bool {
    let (first, last) = (Timestamp(0), Timestamp(EIGHT_DAYS_NANOS));
    schedule.moments_between(first, last, most.saturating_add(1)) > most
}

fn check_policy(policy: &BackupPolicy, place: Place, problems: &mut Problems) {
    let often = |schedule: &Schedule| is_oftener(schedule, BACKUPS_OF_EIGHT_DAYS_MAX);
    if often(&policy.schedule) || policy.drill.as_ref().is_some_and(often) {
        problems.add(place, "has more than one backup or drill an hour");
    }
    let keep = &policy.keep;
    if [keep.last, keep.daily, keep.weekly, keep.monthly].into_iter().any(|count| count > KEPT_MAX) {
        problems.below("keep", |problems| problems.add(place, format!("keeps more than {KEPT_MAX} of a span")));
    }
}

/// Looks at the tree of an application before anything is filled in: answers change single values alone, so its form is that of every application made of it.
fn check_tree(tree: &Node, options: &BTreeMap<Name, TemplateOption>, problems: &mut Problems) {
    hidden(tree, problems);
    for key in PERSONS {
        if let Some(node) = tree.get(key) {
            problems.below(key, |problems| problems.add(node.place, "is for a person to say, beside the template"));
        }
    }
    for (key, node) in entries(tree.get("ports")) {
        if let Some(publish) = node.get("publish") {
            problems.below(format!("ports.{key}.publish"), |problems| {
                problems.add(publish.place, "is for a person to say: an option of the kind `port` asks for it")
            });
        }
    }
    let files = entries(tree.get("files")).filter_map(|(key, file)| Some((key, file.get("content")?)));
    for (key, value) in entries(tree.get("variables")).chain(files) {
        if matches!(value.value, Value::Map(_)) {
            problems.below(key, |problems| {
                problems.add(value.place, "names a secret of the machine: a secret is the answer of an option")
            });
        }
    }
    for key in ["links", "after"] {
        let items = match tree.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let is_asked = |text: &str| {
            let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let option = name.and_then(|name| options.iter().find(|(known, _)| known.as_str() == name));
            option.is_some_and(|(_, option)| option.kind == OptionKind::Application)
        };
        for item in items.iter().filter(|item| !item.as_text().is_some_and(is_asked)) {
            problems.below(key, |problems| {
                problems.add(
                    item.place,
                    "names an application that a person has not named: an option of the kind `application` asks for it",
                )
            });
        }
    }
}

/// Entries of a map; none of anything else.
fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|entry| (entry.key.as_str(), &entry.value))
}

/// Notes characters that nobody sees, in keys and values: a tab and a line feed are in many files.
fn hidden(node: &Node, problems: &mut Problems) {
    let is_odd = |text: &str| text.contains(|c: char| c != '\t' && is_hidden(c));
    match &node.value {
        Value::Scalar { text, .. } if is_odd(text) => problems.add(node.place, "holds a character that is not shown"),
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| hidden(item, problems)),
        Value::Map(entries) => {
            for entry in entries {
                if is_odd(&entry.key) {
                    problems.add(entry.place, "has a key with a character that is not shown");
                }
                problems.below(&entry.key, |problems| hidden(&entry.value, problems));
            }
        }
    }
}

/// Times for which somebody waits, each with its place, whether it is too long, and the longest one in words.
fn times(application: &Application) -> [(&'static str, bool, &'static str); 4] {
    let switch = &application.switch;
    [
        ("stop_after", application.stop_after.0 > STOP_MS_MAX, "2m"),
        ("switch.gate", switch.gate.0 > GATE_MS_MAX, "15m"),
        ("switch.drain", switch.drain.0 > DRAIN_MS_MAX, "2m"),
        ("switch.probation", switch.probation.0 > PROBATION_MS_MAX, "1h"),
    ]
}

/// Faults of a job as half sentences: others wait for it, or for the room that it takes.
fn job_faults(name: &Name, job: &Job) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let is_awaited = AWAITED_JOBS.contains(&name.as_str()) || job.occasion == Occasion::Switch;
    if is_awaited && job.timeout.0 > AWAITED_JOB_MS_MAX {
        faults.push("must have a `timeout` of at most 10m in a template of others, since something waits for it");
    } else if job.timeout.0 > JOB_MS_MAX {
        faults.push("must have a `timeout` of at most 1h in a template of others");
    }
    if job.schedule.as_ref().is_some_and(|schedule| is_oftener(schedule, RUNS_OF_EIGHT_DAYS_MAX)) {
        faults.push("must have a `schedule` of at most one run each five minutes in a template of others");
    }
    faults
}

/// Notes what an application of a template of others may not be, whatever was answered.
pub(super) fn check_application(application: &Application, place: Place, problems: &mut Problems) {
    let mut add = |key: &str, what: &str| problems.below(key, |problems| problems.add(place, what));
    if application.user.is_none_or(|user| user.uid == 0) {
        add("user", "must be there and not 0: a template of others does not run as root");
    }
    if application.root != Root::ReadOnly {
        add("root", "must be `read-only` in a template of others");
    }
    if !application.capabilities.is_empty() {
        add("capabilities", "must be none in a template of others");
    }
    if application.limits.memory.is_none() {
        add("limits.memory", "must be there in a template of others");
    }
    let base = application.recipe.as_ref().and_then(|recipe| recipe.base.as_ref());
    let is_loose = |image: &ImageReference| image.digest.is_none() || image.registry == OWN_REGISTRY;
    if application.image.iter().chain(base).any(is_loose) {
        add("image", "must be of a registry and have its digest in a template of others");
    }
    match &application.health {
        None => add("health", "must be there in a template of others"),
        Some(health) if health.interval.0 < INTERVAL_MS_MIN => {
            add("health.interval", "must be at least 1s in a template of others");
        }
        Some(_) => {}
    }
    for (key, is_longer, most) in times(application) {
        if is_longer {
            add(key, &format!("must be at most {most} in a template of others"));
        }
    }
    for (name, job) in &application.jobs {
        for fault in job_faults(name, job) {
            add(&format!("jobs.{name}"), fault);
        }
    }
    let packages = application
        .recipe
        .as_ref()
        .map_or(0, |recipe| recipe.debian.len().saturating_add(recipe.npm.len()).saturating_add(recipe.pypi.len()));
    let counts = [
        ("recipe", packages, PARTS_MAX),
        ("volumes", application.volumes.len(), PARTS_MAX),
        ("ports", application.ports.len(), PARTS_MAX),
        ("jobs", application.jobs.len(), PARTS_MAX),
        ("files", application.files.len(), FILES_MAX),
        ("variables", application.variables.len(), FILES_MAX),
    ];
    for (key, count, most) in counts {
        if count > most {
            add(key, &format!("are {count}, but a template of others has at most {most}"));
        }
    }
}
