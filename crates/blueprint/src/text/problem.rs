//! Problems of a text, each with its place, its path and a hint.

use std::fmt;

use super::node::Place;

/// Most problems that one text gives: what is behind the hundredth is seldom read, and a hostile text must not make megabytes of them.
pub const PROBLEMS_MAX: usize = 100;

/// Longest part of a path that is shown, in characters: paths of files in it seldom have more, and a key of a megabyte must not stand in
/// each of a hundred problems.
const PART_CHARACTERS_MAX: usize = 512;
/// Longest word that is compared with the known ones, in bytes: that of a name.
const WORD_BYTES_MAX: usize = 32;

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

    /// The path that is being read; of a long key its beginning.
    pub fn path(&self) -> String {
        let parts: Vec<&str> = self.path.iter().map(|part| beginning(part)).collect();
        parts.join(".")
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
            true => self.found.push(Problem {
                place,
                path: printable(self.path()),
                what: printable(what),
                hint: hint.map(printable),
            }),
            false => self.dropped += 1,
        }
    }

    /// Returns true where further problems are counted and not kept.
    pub fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
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

/// The beginning of a part of a path; the whole of one that is not long.
fn beginning(part: &str) -> &str {
    part.char_indices().nth(PART_CHARACTERS_MAX).map_or(part, |(end, _)| &part[..end])
}

/// The text with a sign in place of each control character: what is shown to a person tells a terminal nothing.
pub(crate) fn printable(text: String) -> String {
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, "\u{fffd}"),
        false => text,
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
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_cut_and_nothing_commands_a_terminal() {
        let mut problems = Problems::default();
        let key = "é".repeat(1 << 20);
        problems.below(key, |problems| problems.add_with_hint(Place::default(), "a\u{1b}[2Jb", "c\nd"));
        let found = problems.into_sorted().remove(0);
        assert_eq!(found.path, "é".repeat(PART_CHARACTERS_MAX));
        assert_eq!((found.what.as_str(), found.hint.as_deref()), ("a\u{fffd}[2Jb", Some("c\u{fffd}d")));
        assert_eq!(nearest(&"x".repeat(1 << 20), &["image"]), None);
        assert_eq!(nearest("imaeg", &["image"]), Some("image"));
    }

    #[test]
    fn problems_beyond_the_bound_are_counted() {
        let mut problems = Problems::default();
        for line in 0..150 {
            problems.add(Place { line, column: 1 }, "is wrong");
        }
        assert!(problems.is_full() && problems.len() == 150);
        let sorted = problems.into_sorted();
        assert_eq!((sorted.len(), sorted[PROBLEMS_MAX].what.as_str()), (PROBLEMS_MAX + 1, "and 50 more problems"));
    }
}
