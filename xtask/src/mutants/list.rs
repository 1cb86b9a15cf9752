//! The list of mutants, and whether it is still true of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The list, from the workspace's root.
pub const FILE: &str = "xtask/mutants.toml";
/// Least number of mutants. Source: the bar that the Xnode is measured by.
pub const MUTANTS_MIN: usize = 20;
/// Target of the tests within a library.
pub const LIB: &str = "lib";
/// Beginning of the packages' names, whose rest is the name of their folder.
const PREFIX: &str = "openmesh-";

/// `xtask/mutants.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Mutants, in the order in which they are tried: those of one crate one after the other, so that little is compiled twice.
    #[serde(rename = "mutant")]
    pub mutants: Vec<Mutant>,
}

/// A rule that is broken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name.
    pub id: String,
    /// The clause that it breaks: `X-22`, or `door.md, section 6`.
    pub clause: String,
    /// The consequence, in words.
    pub breaks: String,
    /// The file, from the workspace's root.
    pub file: PathBuf,
    /// The text as it is, once in the file.
    pub original: String,
    /// The text in its place.
    pub replacement: String,
    /// Tests of which each has to fail.
    pub tests: Vec<Test>,
}

/// A test that has to fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Package.
    pub package: String,
    /// Target: `lib`, or the name of a test target.
    pub target: String,
    /// Name within it, as `plan::a_repair`.
    pub name: String,
    /// Words that its failure has to say: it fails for this reason and no other.
    pub says: String,
    /// It does nothing without root.
    #[serde(default)]
    pub root: bool,
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

impl Mutant {
    /// A file's text with the rule broken.
    ///
    /// # Errors
    /// Words where the text stands in it never, or more than once.
    pub fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.original).count() {
            1 => Ok(text.replacen(&self.original, &self.replacement, 1)),
            found => Err(format!(
                "{}: {} has its text {found} times and not once: the code has moved, update {FILE}",
                self.id,
                self.file.display()
            )),
        }
    }
}

impl Test {
    /// Folder of its crate, from the workspace's root.
    pub fn folder(&self) -> PathBuf {
        Path::new("crates").join(self.package.strip_prefix(PREFIX).unwrap_or(&self.package))
    }

    /// Files in which it may stand, from the workspace's root, the likeliest first.
    fn files(&self) -> Vec<PathBuf> {
        let modules: Vec<&str> = self.name.split("::").collect();
        let modules = &modules[..modules.len() - 1];
        let below = if self.target == LIB { "src".into() } else { format!("tests/{}", self.target) };
        let folder = self.folder().join(below);
        // A module can be a file, a folder, or lie in the file of the one around it.
        let nested = (1..=modules.len()).rev().flat_map(|depth| {
            let path: PathBuf = modules[..depth].iter().collect();
            [folder.join(&path).with_extension("rs"), folder.join(path).join("mod.rs")]
        });
        let roots = [folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
        nested.chain(roots).collect()
    }

    /// True where the code has a function of its name at its place.
    pub fn is_there(&self, root: &Path) -> bool {
        let function = self.name.rsplit("::").next().unwrap_or_default();
        let begin = format!("fn {function}(");
        let has = |file: PathBuf| std::fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains(&begin));
        self.files().into_iter().any(has)
    }
}

/// True where a clause stands in the specification.
fn has_clause(root: &Path, clause: &str) -> bool {
    let folder = root.join("docs/spec");
    if let Some((file, section)) = clause.split_once(", section ") {
        let heading = format!("\n## {section}. ");
        return std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.contains(&heading));
    }
    let begin = format!("- **{clause}** ");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = files.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.any(|text| text.contains(&begin))
}

/// Everything in a list that is not true of the code, as sentences; none where all is well.
pub fn problems(root: &Path, list: &List) -> Vec<String> {
    let (mut found, mut ids) = (Vec::new(), BTreeSet::new());
    if list.mutants.len() < MUTANTS_MIN {
        found.push(format!("there are {} mutants, and {MUTANTS_MIN} are wanted", list.mutants.len()));
    }
    for mutant in &list.mutants {
        let id = &mutant.id;
        if !ids.insert(id) {
            found.push(format!("{id} stands there twice"));
        }
        if !has_clause(root, &mutant.clause) {
            found.push(format!("{id}: no clause {} in docs/spec", mutant.clause));
        }
        if mutant.original == mutant.replacement || mutant.original.trim().is_empty() {
            found.push(format!("{id} changes nothing"));
        }
        match std::fs::read_to_string(root.join(&mutant.file)) {
            Ok(text) => found.extend(mutant.applied(&text).err()),
            Err(error) => found.push(format!("{id}: {}: {error}", mutant.file.display())),
        }
        if mutant.tests.is_empty() {
            found.push(format!("{id} names no test"));
        }
        for test in &mutant.tests {
            if test.says.trim().is_empty() {
                found.push(format!("{id}: nothing is said of how {} fails", test.name));
            }
            if !test.is_there(root) {
                found.push(format!("{id}: {} ({}) has no test {}", test.package, test.target, test.name));
            }
        }
    }
    found
}
