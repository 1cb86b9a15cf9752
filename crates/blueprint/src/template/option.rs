//! Options of templates, and the answers that fit them.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};

use super::placing::Publication;
use crate::document::{Content, Domain, Name, Size};
use crate::text::{record, words};

/// Longest answer, in bytes: an answer is a word or a line, and text of more belongs into a file.
pub const ANSWER_BYTES_MAX: usize = 4096;
/// Longest pattern, in bytes: the longest of a built-in template has a fifth of it.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Largest pattern once it is compiled, in bytes: an answer is held against it in a time that grows with this (a count of 200 over ten ranges needs 35 KiB).
const COMPILED_BYTES_MAX: usize = 64 << 10;
/// Shortest secret that is generated, in characters: of 62 letters and digits they hold 95 bits.
pub const SECRET_CHARS_MIN: u32 = 16;
/// Longest secret that is generated, in characters: some programs cut what is longer.
pub const SECRET_CHARS_MAX: u32 = 128;

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
        /// A domain that leads to a port of the application.
        Domain = "domain",
        /// Publication of a port on the machine: `none`, `auto`, a number, each with `ADDRESS:` before it where it is for one address.
        Port = "port",
        /// The name of another application, which this one is linked to.
        Application = "application",
    }
}

record! {
    /// A value that is made where a person gives none.
    Generate {
        /// Letters and digits that it has.
        length: u32 = 32,
    }
}

record! {
    /// An application that is made together with this one, unless a person names one that is there.
    Companion {
        /// Its template.
        template: Name,
        /// Answers to its options.
        answers: BTreeMap<Name, Content>,
        /// Its options that have the answers of options of this template.
        share: BTreeMap<Name, Name>,
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
        /// Least answer of the kinds `number` (a number) and `size` (a size).
        least: Option<String>,
        /// Greatest answer of the kinds `number` and `size`.
        greatest: Option<String>,
        /// Unit of a number, for people.
        unit: Option<String>,
        /// Regular expression that a whole text must match.
        pattern: Option<String>,
        /// The pattern in words, as they follow "must be".
        pattern_words: Option<String>,
        /// Few people need it.
        advanced: bool = false,
        /// Place in a form, the lowest first.
        rank: u32 = 50,
        /// A secret is made where none is given.
        generate: Option<Generate>,
        /// Port of the application that a domain leads to, or that is published.
        port: Option<Name>,
        /// The application that is made where none is named.
        makes: Option<Companion>,
    }
}

impl TemplateOption {
    /// Notes what is wrong with the option itself, as half sentences.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let only = |there: bool, kinds: &[OptionKind], key: &str| {
            let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            (there && !kinds.contains(&self.kind)).then(|| format!("has `{key}`, which is for {}", words.join(", ")))
        };
        use OptionKind::{Application, Choice, Domain, Number, Port, Secret, Size, Text};
        faults.extend(only(!self.choices.is_empty(), &[Choice], "choices"));
        faults.extend(only(self.least.is_some() || self.greatest.is_some(), &[Number, Size], "least` or `greatest"));
        faults.extend(only(self.unit.is_some(), &[Number], "unit"));
        faults.extend(only(self.pattern.is_some(), &[Text], "pattern"));
        faults.extend(only(self.generate.is_some(), &[Secret], "generate"));
        faults.extend(only(self.port.is_some(), &[Domain, Port], "port"));
        faults.extend(only(self.makes.is_some(), &[Application], "makes"));
        if matches!(self.kind, Domain | Port) && self.port.is_none() {
            faults.push("lacks `port`, the name of the application's port".to_string());
        }
        if self.kind == Choice && self.choices.is_empty() {
            faults.push("is a choice without `choices`".to_string());
        }
        if self.pattern.is_some() != self.pattern_words.is_some() {
            faults.push("has one of `pattern` and `pattern_words`, which belong together".to_string());
        }
        if self.pattern.as_ref().is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            faults.push(format!("has a `pattern` of more than {PATTERN_BYTES_MAX} bytes"));
            return faults;
        }
        if let Some(Err(error)) = self.pattern.as_deref().map(whole_text) {
            faults.push(format!("has a `pattern` that is none: {error}"));
        }
        for (key, bound) in [("least", &self.least), ("greatest", &self.greatest)] {
            if bound.as_deref().is_some_and(|text| self.amount(text).is_none()) {
                faults.push(format!("has a `{key}` that is no {}", self.kind));
            }
        }
        let range = SECRET_CHARS_MIN..=SECRET_CHARS_MAX;
        if self.generate.as_ref().is_some_and(|generate| !range.contains(&generate.length)) {
            faults.push(format!("generates a secret of a length that is not {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX}"));
        }
        faults
    }

    /// The amount of a number or a size.
    fn amount(&self, text: &str) -> Option<u64> {
        match self.kind {
            OptionKind::Number => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
            OptionKind::Size => text.parse::<Size>().ok().map(|size| size.0),
            _ => None,
        }
    }

    /// Reason for which an answer does not fit, as a half sentence; none where it fits.
    pub(super) fn refusal(&self, given: &Content) -> Option<String> {
        let text = match (self.kind, given) {
            (OptionKind::Secret, Content::Secret(_)) | (OptionKind::Text, Content::Secret(_)) => return None,
            (OptionKind::Secret, Content::Text(_)) => {
                return Some("must be the name of a secret: `{ secret: NAME }`".to_string());
            }
            (kind, Content::Secret(_)) => return Some(format!("is a secret, but a {kind} is expected")),
            (_, Content::Text(text)) => text,
        };
        if text.len() > ANSWER_BYTES_MAX || text.chars().any(char::is_control) {
            return Some(format!("must be one line of at most {ANSWER_BYTES_MAX} bytes"));
        }
        match self.kind {
            // Nothing is an answer where nothing is the default.
            OptionKind::Text | OptionKind::Domain if text.is_empty() && self.default.as_deref() == Some("") => None,
            OptionKind::Text => self.unlike_pattern(text),
            OptionKind::Number | OptionKind::Size => self.out_of_range(text),
            OptionKind::Boolean => (text != "true" && text != "false").then(|| "must be true or false".to_string()),
            OptionKind::Choice => (!self.choices.contains(text))
                .then(|| format!("is `{text}`, but one of {} is expected", self.choices.join(", "))),
            OptionKind::Domain => text.parse::<Domain>().err().map(|error| error.to_string()),
            OptionKind::Port => text.parse::<Publication>().err(),
            OptionKind::Application => text.parse::<Name>().err().map(|error| error.to_string()),
            OptionKind::Secret => None,
        }
    }

    fn unlike_pattern(&self, text: &str) -> Option<String> {
        let pattern = whole_text(self.pattern.as_deref()?).ok()?;
        let words = self.pattern_words.as_deref().unwrap_or("of another form");
        (!pattern.is_match(text)).then(|| format!("must be {words}"))
    }

    fn out_of_range(&self, text: &str) -> Option<String> {
        if self.kind == OptionKind::Size
            && let Err(error) = text.parse::<Size>()
        {
            return Some(error.to_string());
        }
        let bound = |bound: &Option<String>| bound.as_deref().and_then(|bound| self.amount(bound));
        let (least, greatest) = (bound(&self.least).unwrap_or(0), bound(&self.greatest).unwrap_or(u64::MAX));
        let fits = self.amount(text).is_some_and(|amount| (least..=greatest).contains(&amount));
        let noun = if self.kind == OptionKind::Size { "a size" } else { "a whole number" };
        let words = match (&self.least, &self.greatest) {
            (Some(least), Some(greatest)) => format!("must be {noun} from {least} to {greatest}"),
            (Some(least), None) => format!("must be {noun} of at least {least}"),
            (None, Some(greatest)) => format!("must be {noun} of at most {greatest}"),
            (None, None) => format!("must be {noun}"),
        };
        (!fits).then_some(words)
    }
}

/// A pattern of the whole text, as browsers take it.
fn whole_text(pattern: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(COMPILED_BYTES_MAX).build()
}
