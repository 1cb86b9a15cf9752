//! `xtask/tests.toml`: everything that is known of a program of tests before it runs.

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::Metadata;
use serde::Deserialize;

use super::programs::target_word;

/// The list, from the workspace's root.
pub const FILE: &str = "xtask/tests.toml";
/// Share of a core that a program keeps busy where nothing is known of it, percent.
pub const LOAD: u32 = 100;
/// Largest share that can be told of a program, percent: that of a program which leaves nothing for others on any machine.
const LOAD_MAX: u32 = 100_000;

/// The list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Programs of which something is known.
    #[serde(rename = "program", default)]
    pub programs: Vec<Entry>,
    /// Other commands that are tests.
    #[serde(rename = "command", default)]
    pub commands: Vec<Command>,
}

/// A program of which something is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Package.
    pub package: String,
    /// Target: `lib`, `bin` with a program's name, or the name of a test target.
    pub target: String,
    /// Its time in this way, seconds. It decides nothing but the order.
    #[serde(default)]
    pub seconds: u32,
    /// Tests at once; 0 stands for one for each core that it keeps busy.
    #[serde(default)]
    pub threads: u32,
    /// Share of a core that it keeps busy, percent.
    #[serde(default = "load")]
    pub load: u32,
    /// It is told by the clock, so that nothing else runs beside it.
    #[serde(default)]
    pub alone: bool,
    /// Tests of it that run apart from the rest, each set as a process of its own.
    #[serde(rename = "part", default)]
    pub parts: Vec<Part>,
}

/// Tests that run apart from the rest of their program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Beginnings of the tests' names: `moves::`, or the whole name of one.
    pub tests: Vec<String>,
    /// As of a program.
    #[serde(default)]
    pub seconds: u32,
    /// As of a program.
    #[serde(default)]
    pub threads: u32,
    /// As of a program.
    #[serde(default = "load")]
    pub load: u32,
    /// As of a program.
    #[serde(default)]
    pub alone: bool,
}

/// Another command that is a test: it has failed where it does not end with 0.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Name for people.
    pub name: String,
    /// The program with its arguments, from the folder; `cargo` is the one that all of this is built with.
    pub run: Vec<String>,
    /// The folder, from the workspace's root.
    pub folder: String,
    /// As of a program.
    #[serde(default)]
    pub seconds: u32,
    /// As of a program.
    #[serde(default = "load")]
    pub load: u32,
    /// As of a program.
    #[serde(default)]
    pub alone: bool,
}

const fn load() -> u32 {
    LOAD
}

/// A list that cannot be used.
#[derive(Debug)]
pub enum ListError {
    /// The file cannot be read.
    Read(std::io::Error),
    /// It is not of its form.
    Form(Box<toml::de::Error>),
}

impl std::fmt::Display for ListError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListError::Read(error) => write!(f, "{FILE} cannot be read: {error}"),
            ListError::Form(error) => write!(f, "{FILE} is not of its form: {error}"),
        }
    }
}

impl std::error::Error for ListError {}

/// Reads the list of a checkout.
///
/// # Errors
/// It cannot be read, or is not of its form.
pub fn read(root: &Path) -> Result<List, ListError> {
    let text = std::fs::read_to_string(root.join(FILE)).map_err(ListError::Read)?;
    toml::from_str(&text).map_err(|error| ListError::Form(Box::new(error)))
}

impl List {
    /// The entry of a program.
    pub fn entry(&self, package: &str, target: &str) -> Option<&Entry> {
        self.programs.iter().find(|entry| entry.package == package && entry.target == target)
    }
}

/// Everything in a list that cannot be, or is not true of the workspace, as sentences; none where all is well.
pub fn problems(root: &Path, list: &List, metadata: &Metadata) -> Vec<String> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut there = BTreeSet::new();
    for package in metadata.workspace_packages() {
        there.extend(package.targets.iter().filter_map(target_word).map(|target| (package.name.to_string(), target)));
    }
    for entry in &list.programs {
        let key = (entry.package.clone(), entry.target.clone());
        let name = format!("{} {}", entry.package, entry.target);
        if !there.contains(&key) {
            found.push(format!("{name}: the workspace has no such target"));
        }
        if !seen.insert(key) {
            found.push(format!("{name} stands there twice"));
        }
        let loads = entry.parts.iter().map(|part| part.load).chain([entry.load]);
        if loads.into_iter().any(|load| load == 0 || load > LOAD_MAX) {
            found.push(format!("{name}: a load is a share of a core in percent, from 1 to {LOAD_MAX}"));
        }
        if entry.parts.iter().any(|part| part.tests.is_empty() || part.tests.iter().any(String::is_empty)) {
            found.push(format!("{name}: a part names its tests"));
        }
    }
    for command in &list.commands {
        let name = &command.name;
        if command.run.is_empty() {
            found.push(format!("{name} runs nothing"));
        }
        if command.load == 0 || command.load > LOAD_MAX {
            found.push(format!("{name}: a load is a share of a core in percent, from 1 to {LOAD_MAX}"));
        }
        if !root.join(&command.folder).is_dir() {
            found.push(format!("{name}: there is no folder {}", command.folder));
        }
    }
    found
}
