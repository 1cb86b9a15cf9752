//! Templates: an application with options, filled in with answers.
//!
//! The application of a template is kept as a tree. An answer replaces `${option}` in single values of that tree and never in its form, so that
//! no answer can add a key; then the tree is read like any other document. What a person may write beside `template` is laid over it.

use std::collections::BTreeMap;

use crate::document::{Application, Content, Name, PackageVersion, Size, TemplateUse, application_problems};
use crate::text::{Entry, Fields, Node, Out, Place, Problem, Problems, Shape, Value, parse, record, words};

/// Longest answer, in bytes: an answer is a word or a line, and text of more belongs into a file.
pub const ANSWER_BYTES_MAX: usize = 4096;

words! {
    /// Kind of an option's answers.
    OptionKind {
        /// A line of text.
        Text = "text",
        /// A whole number.
        Number = "number",
        /// A size with its unit.
        Size = "size",
        /// `true` or `false`.
        Boolean = "boolean",
        /// One of the choices.
        Choice = "choice",
        /// The name of a secret.
        Secret = "secret",
    }
}

record! {
    /// An option of a template.
    TemplateOption {
        /// Kind of its answers.
        kind: OptionKind,
        /// A label for people.
        title: Option<String>,
        /// A sentence for people.
        help: Option<String>,
        /// The answer of those who give none.
        default: Option<String>,
        /// Answers of the kind `choice`.
        choices: Vec<String>,
        /// Least answer of the kind `number`.
        least: Option<u64>,
        /// Greatest answer of the kind `number`.
        greatest: Option<u64>,
    }
}

/// A template of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: PackageVersion,
    /// Its options.
    pub options: BTreeMap<Name, TemplateOption>,
    application: Node,
}

impl Template {
    /// The template of a text with `name`, `version`, `options` and `application`. Fails with all problems, also those that its application has
    /// with the default answers, where every option has one.
    pub fn parse(text: &str) -> Result<Template, Vec<Problem>> {
        let tree = parse(text)?;
        let mut problems = Problems::default();
        let template = Template::read(&tree, &mut problems);
        match template {
            Some(template) if problems.is_empty() => Ok(template),
            _ => Err(problems.into_sorted()),
        }
    }

    fn read(tree: &Node, problems: &mut Problems) -> Option<Template> {
        let fields = Fields::of(tree, &["name", "version", "options", "application"], problems)?;
        let name = fields.read("name", None, problems);
        let version = fields.read("version", None, problems);
        let options: Option<BTreeMap<Name, TemplateOption>> = fields.read("options", None, problems);
        let Some(application) = tree.get("application").cloned() else {
            problems.add(tree.place, "lacks `application`");
            return None;
        };
        for (name, option) in options.iter().flatten() {
            let default = option.default.clone().map(Content::Text);
            if let Some(Err(reason)) = default.map(|default| answer(option, &default)) {
                problems.below(format!("options.{name}.default"), |problems| problems.add(tree.place, reason));
            }
        }
        Some(Template { name: name?, version: version?, options: options?, application })
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
        fill(&mut tree, &answers, &mut problems);
        let beside = Application { template: None, ..own.clone() };
        overlay(&mut tree, node_of(&beside.write()));
        let application = Application::read(&tree, &mut problems);
        if let Some(application) = &application {
            application_problems(application, &tree, &mut problems);
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
                    match given.map(|given| answer(option, &given).map(|()| given)) {
                        Some(Ok(given)) => drop(answers.insert(name.clone(), (option.kind, given))),
                        Some(Err(reason)) => problems.add(place, reason),
                        None => problems.add(place, "needs an answer"),
                    }
                });
            }
        });
        answers
    }
}

/// Refuses an answer that does not fit its option, with the reason.
fn answer(option: &TemplateOption, given: &Content) -> Result<(), String> {
    let text = match (option.kind, given) {
        (OptionKind::Secret, Content::Secret(_)) => return Ok(()),
        (OptionKind::Secret, Content::Text(_)) => {
            return Err("must be the name of a secret: `{ secret: NAME }`".to_string());
        }
        (OptionKind::Text, Content::Secret(_)) => return Ok(()),
        (_, Content::Secret(_)) => return Err(format!("is a secret, but a {} is expected", option.kind)),
        (_, Content::Text(text)) => text,
    };
    match option.kind {
        OptionKind::Text if text.len() > ANSWER_BYTES_MAX || text.chars().any(char::is_control) => {
            Err(format!("must be one line of at most {ANSWER_BYTES_MAX} bytes"))
        }
        OptionKind::Number => {
            let (least, greatest) = (option.least.unwrap_or(0), option.greatest.unwrap_or(u64::MAX));
            let number = text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            let fits = number.is_some_and(|number| (least..=greatest).contains(&number));
            if fits { Ok(()) } else { Err(format!("must be a whole number from {least} to {greatest}")) }
        }
        OptionKind::Size => text.parse::<Size>().map(|_| ()).map_err(|error| error.to_string()),
        OptionKind::Boolean if text != "true" && text != "false" => Err("must be true or false".to_string()),
        OptionKind::Choice if !option.choices.contains(text) => {
            Err(format!("is `{text}`, but one of {} is expected", option.choices.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Replaces `${option}` in every single value; `$${` stands for `${`.
fn fill(node: &mut Node, answers: &BTreeMap<Name, (OptionKind, Content)>, problems: &mut Problems) {
    let place = node.place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, answers, problems)),
        Value::Map(entries) => {
            for entry in entries {
                problems.below(&entry.key, |problems| fill(&mut entry.value, answers, problems));
            }
        }
        Value::Scalar { text, plain } => match whole(text, answers) {
            Some((_, Content::Secret(name))) => {
                let value = Node::text(name.as_str(), place);
                node.value = Value::Map(vec![Entry { key: "secret".to_string(), place, value }]);
            }
            Some((kind, Content::Text(answer))) => {
                *plain = *kind != OptionKind::Text && *kind != OptionKind::Choice;
                *text = answer.clone();
            }
            None => match filled(text, answers) {
                Ok(done) => *text = done,
                Err(reason) => problems.add(place, reason),
            },
        },
    }
}

/// The answer of a value that is nothing but `${option}`.
fn whole<'a>(text: &str, answers: &'a BTreeMap<Name, (OptionKind, Content)>) -> Option<&'a (OptionKind, Content)> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    answers.iter().find(|(known, _)| known.as_str() == name).map(|(_, answer)| answer)
}

fn filled(text: &str, answers: &BTreeMap<Name, (OptionKind, Content)>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
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
