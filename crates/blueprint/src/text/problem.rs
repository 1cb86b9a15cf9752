//! Problems of a text, each with its place, its path and a hint.

use std::fmt;

use super::node::Place;

/// Most problems that one text gives: what is behind the hundredth is seldom read, and a hostile text must not make megabytes of them.
pub const PROBLEMS_MAX: usize = 100;

/// Edits between a key and the nearest known one up to which it is offered: more than that is a different word.
const HINT_EDITS_MAX: usize = 3;

/// A fault of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Place in the text.
    pub place: Place,
    /// Path from the root: `applications.web.ports.http`; empty for the text as a whole.
    pub path: String,
    /// The fault, as a half sentence that follows the path.
    pub what: String,
    /// A way out, where one is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Collector of problems, which knows the path that is being read.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    path: Vec<String>,
    dropped: usize,
}

impl Problems {
    /// Reads something below a key; problems in there carry the longer path.
    pub fn below<T>(&mut self, key: impl Into<String>, read: impl FnOnce(&mut Problems) -> T) -> T {
        self.path.push(key.into());
        let result = read(self);
        self.path.pop();
        result
    }

    /// The path that is being read.
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// Adds a problem at the present path.
    pub fn add(&mut self, place: Place, what: impl Into<String>) {
        self.push(place, what.into(), None);
    }

    /// Adds a problem with a way out.
    pub fn add_with_hint(&mut self, place: Place, what: impl Into<String>, hint: impl Into<String>) {
        self.push(place, what.into(), Some(hint.into()));
    }

    fn push(&mut self, place: Place, what: String, hint: Option<String>) {
        match self.found.len() < PROBLEMS_MAX {
            true => self.found.push(Problem { place, path: self.path(), what, hint }),
            false => self.dropped += 1,
        }
    }

    /// Returns true as long as nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Number of problems so far.
    pub fn len(&self) -> usize {
        self.found.len() + self.dropped
    }

    /// All problems in the order of the text. Where there were more than [`PROBLEMS_MAX`] the last one says how many are missing.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found.dedup();
        if let (Some(last), true) = (self.found.last().map(|p| p.place), self.dropped > 0) {
            let what = format!("and {} more problems", self.dropped);
            self.found.push(Problem { place: last, path: String::new(), what, hint: None });
        }
        self.found
    }
}

/// Words of other systems with the word that stands for them here.
const SYNONYMS: [(&str, &str); 19] = [
    ("apps", "applications"),
    ("services", "applications"),
    ("env", "variables"),
    ("environment", "variables"),
    ("enviroment", "variables"),
    ("entrypoint", "command"),
    ("args", "arguments"),
    ("cmd", "arguments"),
    ("depends_on", "after"),
    ("healthcheck", "health"),
    ("deploy", "limits"),
    ("resources", "limits"),
    ("replicas", "instances"),
    ("scale", "instances"),
    ("cap_add", "capabilities"),
    ("working_dir", "workdir"),
    ("cpus", "processors"),
    ("cpu", "processors"),
    ("pids", "processes"),
];

/// The known word that is meant by another one: its synonym, or the nearest where one is near enough.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == word);
    if let Some(found) = synonym.and_then(|(_, ours)| known.iter().find(|known| *known == ours)) {
        return Some(found);
    }
    let fold = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let distances = known.iter().map(|candidate| (strsim::osa_distance(&fold(word), &fold(candidate)), *candidate));
    let (distance, candidate) = distances.min()?;
    let allowed = HINT_EDITS_MAX.min(candidate.len().max(word.len()) / 2);
    (distance <= allowed).then_some(candidate)
}
