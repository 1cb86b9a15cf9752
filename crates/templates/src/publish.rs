//! A publisher's side of a catalogue: the index of a folder's files.

use std::collections::BTreeMap;

use openmesh_blueprint::document::{Application, Content, Name, TemplateUse};
use openmesh_blueprint::template::{OptionKind, Template, TemplateOption};
use openmesh_blueprint::text::Shape as _;
use openmesh_primitives::Timestamp;

use crate::icons::icon_fault;
use crate::index::{Entry, Index, IndexRefusal, LIFE_DAYS_MAX, Part, VERSION_MAX};
use crate::library::built_in;
use crate::others;

/// Name under which the texts are read, where no machine has given one.
const NOBODYS: &str = "catalogue";
/// Name of a secret where no person has given one.
const STAND_IN: &str = "stand-in";
/// Nanoseconds of a day.
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

/// An index that a publisher wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Name of the catalogue.
    pub catalogue: Name,
    /// Publisher, for people.
    pub publisher: String,
    /// Days for which it holds.
    pub days: u32,
}

/// The entries of a folder's files, by their names: `shop@3.yaml` for a template and `shop.svg` for its icon. Other files are none of the catalogue's.
///
/// # Errors
/// Every fault, with its file.
pub fn entries(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<Entry>, Vec<String>> {
    let (mut found, mut faults) = (BTreeMap::new(), Vec::new());
    for (file, bytes) in files {
        let Some(stem) = file.strip_suffix(".yaml") else { continue };
        match entry(stem, bytes, files) {
            Ok(entry) => drop(found.insert((entry.name.clone(), entry.version), entry)),
            Err(words) => faults.push(format!("{file}: {words}")),
        }
    }
    for (file, bytes) in files.iter().filter(|(file, _)| file.ends_with(".svg")) {
        faults.extend(icon_fault(bytes).map(|words| format!("{file}: {words}")));
    }
    match (found.is_empty(), faults.is_empty()) {
        (true, true) => Err(vec!["no file is called NAME@VERSION.yaml".to_string()]),
        (false, true) => Ok(found.into_values().collect()),
        _ => Err(faults),
    }
}

fn entry(stem: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<Entry, String> {
    let wrong = || format!("a template's file is called NAME@VERSION.yaml, with a version from 1 to {VERSION_MAX}");
    let (name, version) = stem.split_once('@').ok_or_else(wrong)?;
    let number = version.parse::<u32>().ok().filter(|number| number.to_string() == version).ok_or_else(wrong)?;
    let icon = files.get(&format!("{name}.svg")).map(|icon| Part::of(icon));
    let entry = Entry { name: name.to_string(), version: number, text: Part::of(bytes), icon };
    let catalogue = NOBODYS.parse::<Name>().map_err(|error| error.to_string())?;
    let template = others::read(&catalogue, &entry, bytes, &|name: &Name| built_in().templates().contains_key(name))?;
    try_out(&template)?;
    Ok(entry)
}

/// Fills a template in, as a machine does for an order. Fails with the first problem of the application. One whose answers a person alone can give is not tried.
fn try_out(template: &Template) -> Result<(), String> {
    let open = template.options.iter().filter(|(_, option)| option.default.is_none());
    let answers: Option<BTreeMap<Name, Content>> =
        open.map(|(name, option)| Some((name.clone(), stand_in(name, option)?))).collect();
    let (Some(answers), Some(mut own)) = (answers, Application::absent()) else { return Ok(()) };
    own.template = Some(TemplateUse {
        name: template.name.clone(),
        catalogue: template.catalogue.clone(),
        version: Some(template.version.clone()),
        answers,
    });
    let problems = template.render(&own).err().unwrap_or_default();
    match problems.first() {
        Some(first) if !problems.iter().any(|problem| problem.path.starts_with("template.answers")) => {
            Err(format!("the application that it comes to: {first}"))
        }
        _ => Ok(()),
    }
}

/// An answer where no person has given one; none where a person alone can. Applications and domains of two options are two.
fn stand_in(name: &Name, option: &TemplateOption) -> Option<Content> {
    let text = |text: &str| Some(Content::Text(text.to_string()));
    match option.kind {
        OptionKind::Secret => STAND_IN.parse().ok().map(Content::Secret),
        OptionKind::Application => text(name.as_str()),
        OptionKind::Domain => text(&format!("{name}.example")),
        OptionKind::Port => text("none"),
        OptionKind::Boolean => text("true"),
        OptionKind::Choice => option.choices.first().and_then(|choice| text(choice)),
        OptionKind::Number => text(option.least.as_deref().unwrap_or("1")),
        OptionKind::Size => text(option.least.as_deref().unwrap_or("64 MiB")),
        OptionKind::Text => None,
    }
}

/// The index that follows another one, or the first.
///
/// # Errors
/// The one before is of another catalogue, or a text was changed under its version.
pub fn next(wish: &Wish, entries: Vec<Entry>, previous: Option<&Index>, now: Timestamp) -> Result<Index, IndexRefusal> {
    let days = i64::from(wish.days.clamp(1, LIFE_DAYS_MAX));
    let index = Index {
        catalogue: wish.catalogue.to_string(),
        publisher: wish.publisher.clone(),
        sequence: previous.map_or(1, |previous| previous.sequence.saturating_add(1)),
        signed: now,
        expires: Timestamp(now.nanos().saturating_add(days * DAY_NANOS)),
        templates: entries,
    };
    if let Some(previous) = previous {
        if previous.catalogue != index.catalogue {
            return Err(IndexRefusal::Other { found: index.catalogue, seen: previous.catalogue.clone() });
        }
        index.check_texts(previous)?;
    }
    Ok(index)
}
