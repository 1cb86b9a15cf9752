//! Grades of templates: the findings of the last run on a real machine.
//!
//! `make templates` installs each template with a real agent, uses it by its own protocol, and writes what it found to `docs/templates.json`, which becomes part of
//! the next program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The file, as this program was built with it.
const GRADES: &str = include_str!("../../../docs/templates.json");

/// A thing that is tried with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateCheck)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It is deployed and becomes healthy.
    Install,
    /// It answers by its own protocol.
    Answer,
    /// It keeps what it was given.
    Use,
    /// The version that it takes the place of is installed and used; then this version and changed answers take its place, and what was kept is there. Of a template
    /// with one version only answers are changed.
    Upgrade,
    /// A second one runs beside it.
    SecondInstance,
    /// A backup of its data is made.
    Backup,
    /// That backup becomes another application, in which its data are.
    Restore,
    /// It is removed, and the machine is as before.
    Remove,
}

impl Check {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Check; 8] = [
        Check::Install,
        Check::Answer,
        Check::Use,
        Check::Upgrade,
        Check::SecondInstance,
        Check::Backup,
        Check::Restore,
        Check::Remove,
    ];
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateCheckOutcome)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It worked.
    Passed,
    /// It did not.
    Failed,
    /// There is nothing of it to try: it keeps nothing, so that no backup is made.
    Nothing,
}

/// The findings of one run of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateGrade)]
#[serde(deny_unknown_fields)]
pub struct Grade {
    /// Version of the template.
    pub version: String,
    /// Day of the run: `2026-11-29`.
    pub day: String,
    /// Architecture of the machine.
    pub architecture: String,
    /// Outcomes; a check that is not there was not tried.
    pub checks: BTreeMap<Check, Outcome>,
    /// Words of the first failure.
    pub failure: Option<String>,
}

/// A grade in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = TemplateMark)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Every check passed.
    Full,
    /// Every check that was tried passed, and some were not tried.
    Part,
    /// A check failed.
    Failed,
    /// This version was never tried.
    None,
}

impl Grade {
    /// The grade in one word, for a template of this version.
    pub fn mark(&self, version: &str) -> Mark {
        if self.version != version || self.checks.is_empty() {
            return Mark::None;
        }
        if self.checks.values().any(|outcome| *outcome == Outcome::Failed) {
            return Mark::Failed;
        }
        if self.checks.len() == Check::ALL.len() { Mark::Full } else { Mark::Part }
    }
}

/// Grades by the name of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grades(pub BTreeMap<String, Grade>);

impl Grades {
    /// The grades of a text. Fails where it is not of their form, with the parser's words.
    pub fn parse(text: &str) -> Result<Grades, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The grades that this program was built with; none where their file is not of its form, which a test excludes.
    pub fn built_in() -> Grades {
        Grades::parse(GRADES).unwrap_or_default()
    }

    /// The text of the file, with a line break at its end.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_of_its_form() {
        let grades = Grades::parse(GRADES).unwrap();
        assert_eq!(grades.text(), GRADES);
    }

    #[test]
    fn a_mark_is_of_one_version_and_says_what_was_not_tried() {
        let mut grade = Grade {
            version: "1".into(),
            day: "2026-11-29".into(),
            architecture: "amd64".into(),
            checks: BTreeMap::from([(Check::Install, Outcome::Passed)]),
            failure: None,
        };
        assert_eq!((grade.mark("1"), grade.mark("2")), (Mark::Part, Mark::None));
        grade.checks = Check::ALL.into_iter().map(|check| (check, Outcome::Passed)).collect();
        assert_eq!(grade.mark("1"), Mark::Full);
        grade.checks.insert(Check::Backup, Outcome::Nothing);
        assert_eq!(grade.mark("1"), Mark::Full, "what keeps nothing has no backup");
        grade.checks.insert(Check::Remove, Outcome::Failed);
        assert_eq!(grade.mark("1"), Mark::Failed);
    }
}
