//! Templates: an application with options, filled in with answers.
//!
//! The application of a template is kept as a tree. An answer replaces `${option}` in single values of that tree and never in its form, so that
//! no answer can add a key; then the tree is read like any other document. What a person may write beside `template` is laid over it.
//!
//! A domain and the publication of a port are answers too, but have their place beside `template`: whoever makes a document of answers puts them there.

mod card;
mod option;
mod others;
mod placing;
mod policy;

use std::collections::BTreeMap;

use crate::document::{Application, Content, Name, PackageVersion, TemplateUse, application_problems};
use crate::text::{Entry, Fields, Node, Out, Place, Problem, Problems, Shape, Value, parse, parse_with_limits};

pub use card::{Architecture, Card, Category, Kept, Needs, Open};
pub use option::{
    ANSWER_BYTES_MAX, Companion, Generate, OptionKind, PATTERN_BYTES_MAX, SECRET_CHARS_MAX, SECRET_CHARS_MIN,
    TemplateOption,
};
pub use others::{OTHERS_BYTES_MAX, is_hidden};
pub use placing::Publication;
pub use policy::BackupPolicy;

/// Most bytes of all single values of an application once they are filled in: as many as a whole document has. A name of an option has some bytes and an answer
/// thousands, so that a text of a hundred kilobytes could become a hundred megabytes.
const FILLED_BYTES_MAX: usize = 1 << 20;

/// A template of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: PackageVersion,
    /// Catalogue of another publisher that it is of, by the machine's name for it; none of a built-in one.
    pub catalogue: Option<Name>,
    /// Its words for people; none where it is in no store.
    pub card: Option<Card>,
    /// Backups that it proposes for what it keeps.
    pub backup: Option<BackupPolicy>,
    /// Its options.
    pub options: BTreeMap<Name, TemplateOption>,
    application: Node,
}

impl Template {
    /// The template of a text with `name`, `version`, `card`, `options`, `backup` and `application`. Fails with all problems but those that only an answer
    /// shows: the application is read when it is filled in.
    pub fn parse(text: &str) -> Result<Template, Vec<Problem>> {
        let tree = parse(text)?;
        let mut problems = Problems::default();
        let template = Template::read(&tree, &mut problems);
        match template {
            Some(template) if problems.is_empty() => Ok(template),
            _ => Err(problems.into_sorted()),
        }
    }

    /// The template of a text of another publisher's catalogue, which keeps the limits of X-125, and so does each application that it is filled in to. Fails as
    /// [`Template::parse`], and with everything in the text that such a template may not have.
    pub fn parse_of_others(text: &str, catalogue: &Name) -> Result<Template, Vec<Problem>> {
        let tree = parse_with_limits(text, OTHERS_BYTES_MAX, others::OTHERS_NODES_MAX)?;
        let mut problems = Problems::default();
        let template = Template::read(&tree, &mut problems);
        if let Some(template) = &template {
            let parts = others::Parts {
                version: &template.version,
                card: template.card.as_ref(),
                options: &template.options,
                backup: template.backup.as_ref(),
                application: &template.application,
                place: tree.place,
            };
            others::check_form(&parts, &mut problems);
        }
        match template {
            Some(template) if problems.is_empty() => Ok(Template { catalogue: Some(catalogue.clone()), ..template }),
            _ => Err(problems.into_sorted()),
        }
    }

    fn read(tree: &Node, problems: &mut Problems) -> Option<Template> {
        let fields = Fields::of(tree, &["name", "version", "card", "options", "backup", "application"], problems)?;
        let name = fields.read("name", None, problems);
        let version = fields.read("version", None, problems);
        let card: Option<Option<Card>> = fields.read("card", None, problems);
        let options: Option<BTreeMap<Name, TemplateOption>> = fields.read("options", None, problems);
        let backup: Option<Option<BackupPolicy>> = fields.read("backup", None, problems);
        let Some(application) = tree.get("application").cloned() else {
            problems.add(tree.place, "lacks `application`");
            return None;
        };
        for (name, option) in options.iter().flatten() {
            let place =
                tree.get("options").and_then(|all| all.get(name.as_str())).map_or(tree.place, |node| node.place);
            problems.below(format!("options.{name}"), |problems| {
                option.faults().into_iter().for_each(|fault| problems.add(place, fault));
            });
            let default = option.default.clone().map(Content::Text);
            if let Some(reason) = default.and_then(|default| option.refusal(&default)) {
                problems.below(format!("options.{name}.default"), |problems| problems.add(place, reason));
            }
        }
        let (name, version, card) = (name?, version?, card?);
        Some(Template { name, version, catalogue: None, card, backup: backup?, options: options?, application })
    }

    /// The application with the answers of a person, and with what that person wrote beside `template`. Fails with all problems; those of the
    /// answers come first.
    pub fn render(&self, own: &Application) -> Result<Application, Vec<Problem>> {
        let mut problems = Problems::default();
        let answers = own.template.as_ref().map(|using| self.answers(using, &mut problems)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems.into_sorted());
        }
        let mut tree = self.application.clone();
        let mut room = FILLED_BYTES_MAX;
        fill(&mut tree, &answers, &mut room, &mut problems);
        let beside = Application { template: None, ..own.clone() };
        overlay(&mut tree, node_of(&beside.write()));
        let application = Application::read(&tree, &mut problems);
        if let Some(application) = &application {
            application_problems(application, &tree, &mut problems);
            if self.catalogue.is_some() {
                others::check_application(application, tree.place, &mut problems);
            }
        }
        match application {
            Some(application) if problems.is_empty() && application.template.is_none() => Ok(application),
            Some(_) if problems.is_empty() => {
                problems.add(tree.place, "a template is not made of another template");
                Err(problems.into_sorted())
            }
            _ => Err(problems.into_sorted()),
        }
    }

    fn answers(&self, using: &TemplateUse, problems: &mut Problems) -> BTreeMap<Name, (OptionKind, Content)> {
        let place = Place { line: 1, column: 1 };
        let mut answers = BTreeMap::new();
        let known: Vec<&str> = self.options.keys().map(Name::as_str).collect();
        problems.below("template.answers", |problems| {
            for name in using.answers.keys().filter(|name| !self.options.contains_key(name)) {
                let hint = match crate::text::nearest(name.as_str(), &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its options are {}", known.join(", ")),
                };
                problems.below(name.as_str(), |problems| {
                    problems.add_with_hint(place, "is no option of the template", hint)
                });
            }
            for (name, option) in &self.options {
                let given = using.answers.get(name).cloned().or_else(|| option.default.clone().map(Content::Text));
                problems.below(name.as_str(), |problems| {
                    let Some(given) = given else { return problems.add(place, "needs an answer") };
                    match option.refusal(&given) {
                        None => drop(answers.insert(name.clone(), (option.kind, given))),
                        Some(reason) => problems.add(place, reason),
                    }
                });
            }
        });
        answers
    }
}

/// Replaces `${option}` in every single value; `$${` stands for `${`. `room`: bytes that the values may still come to.
fn fill(node: &mut Node, answers: &BTreeMap<Name, (OptionKind, Content)>, room: &mut usize, problems: &mut Problems) {
    let place = node.place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, answers, room, problems)),
        Value::Map(entries) => {
            for entry in entries {
                problems.below(&entry.key, |problems| fill(&mut entry.value, answers, room, problems));
            }
        }
        Value::Scalar { text, plain } => match whole(text, answers) {
            Some((_, Content::Secret(name))) => {
                let value = Node::text(name.as_str(), place);
                node.value = Value::Map(vec![Entry { key: "secret".to_string(), place, value }]);
            }
            Some((kind, Content::Text(answer))) => {
                *plain = matches!(kind, OptionKind::Number | OptionKind::Size | OptionKind::Boolean);
                match spend(answer.len(), room) {
                    Ok(()) => text.clone_from(answer),
                    Err(reason) => problems.add(place, reason),
                }
            }
            None => match filled(text, answers, *room).and_then(|done| spend(done.len(), room).map(|()| done)) {
                Ok(done) => *text = done,
                Err(reason) => problems.add(place, reason),
            },
        },
    }
}

/// Takes bytes of a room. Fails with words where there are fewer.
fn spend(bytes: usize, room: &mut usize) -> Result<(), String> {
    let (left, spent) = match room.checked_sub(bytes) {
        Some(left) => (left, Ok(())),
        None => (0, Err(too_much())),
    };
    *room = left;
    spent
}

fn too_much() -> String {
    format!("comes to more text with the answers than the {FILLED_BYTES_MAX} bytes that an application has")
}

/// The answer of a value that is nothing but `${option}`.
fn whole<'a>(text: &str, answers: &'a BTreeMap<Name, (OptionKind, Content)>) -> Option<&'a (OptionKind, Content)> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    answers.iter().find(|(known, _)| known.as_str() == name).map(|(_, answer)| answer)
}

/// A text with its answers. Fails with words: beyond `room` bytes nothing is put together.
fn filled(text: &str, answers: &BTreeMap<Name, (OptionKind, Content)>, room: usize) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if done.len() > room {
            return Err(too_much());
        }
        if rest[..at].ends_with('$') {
            done.push_str(&rest[..at - 1]);
            done.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let (name, after) =
            rest[at + 2..].split_once('}').ok_or("has a `${` that is not closed; `$${` stands for the text `${`")?;
        done.push_str(&rest[..at]);
        match answers.iter().find(|(known, _)| known.as_str() == name) {
            Some((_, (_, Content::Text(answer)))) => done.push_str(answer),
            Some((_, (_, Content::Secret(_)))) => return Err(format!("puts the secret of `{name}` into a text")),
            None => return Err(format!("names the option `{name}`, which the template does not have")),
        }
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// Lays one tree over another: maps are joined, everything else is replaced.
fn overlay(under: &mut Node, over: Node) {
    match (&mut under.value, over.value) {
        (Value::Map(under), Value::Map(over)) => {
            for entry in over {
                match under.iter_mut().find(|own| own.key == entry.key) {
                    Some(own) => overlay(&mut own.value, entry.value),
                    None => under.push(entry),
                }
            }
        }
        (value, over) => *value = over,
    }
}

/// The tree of a printed value, without places.
fn node_of(out: &Out) -> Node {
    let place = Place { line: 1, column: 1 };
    let scalar = |text: String, plain: bool| Value::Scalar { text, plain };
    let value = match out {
        Out::Text(text) => scalar(text.clone(), false),
        Out::Number(number) => scalar(number.to_string(), true),
        Out::Decimal(text) => scalar(text.clone(), true),
        Out::Bool(truth) => scalar(truth.to_string(), true),
        Out::List(items) => Value::List(items.iter().map(node_of).collect()),
        Out::Map(pairs) => {
            let entry = |(key, value): &(String, Out)| Entry { key: key.clone(), place, value: node_of(value) };
            Value::Map(pairs.iter().map(entry).collect())
        }
    };
    Node { place, value, size: 1 }
}
