//! Outcome of each mutant, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::run::{Outcome, Ran};

/// Outcome of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "words")]
pub enum Verdict {
    /// Every test that was named failed, in the words that it should.
    Caught,
    /// A test passed all the same.
    Survived(String),
    /// It is no program any more, so that it shows nothing.
    DoesNotCompile(String),
    /// A test failed, ended or went on for another reason, so that it shows nothing.
    Otherwise(String),
    /// It was not tried, for this reason.
    NotTried(String),
}

impl Verdict {
    /// The verdict of a test that had to fail with these words.
    pub fn of(name: &str, says: &str, ran: &Ran) -> Verdict {
        match &ran.outcome {
            Outcome::Failed if ran.output.contains(says) => Verdict::Caught,
            Outcome::Failed => {
                Verdict::Otherwise(format!("{name} failed without the words `{says}`:\n{}", last_words(&ran.output)))
            }
            Outcome::Passed => Verdict::Survived(format!("{name} passes")),
            Outcome::Skipped(why) => Verdict::Otherwise(format!("{name} did nothing: {why}")),
            Outcome::Crashed(how) => {
                Verdict::Otherwise(format!("the program of {name} ended with {how}:\n{}", last_words(&ran.output)))
            }
            Outcome::Absent => Verdict::Otherwise(format!("there is no test {name}")),
            Outcome::TimedOut => Verdict::Otherwise(format!("{name} did not end within {} s", ran.took.as_secs())),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Verdict::Caught => "caught",
            Verdict::Survived(_) => "SURVIVED",
            Verdict::DoesNotCompile(_) => "DOES NOT COMPILE",
            Verdict::Otherwise(_) => "OTHERWISE",
            Verdict::NotTried(_) => "not tried",
        }
    }

    fn words(&self) -> Option<&str> {
        match self {
            Verdict::Caught => None,
            Verdict::Survived(words)
            | Verdict::DoesNotCompile(words)
            | Verdict::Otherwise(words)
            | Verdict::NotTried(words) => Some(words),
        }
    }
}

/// A mutant that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// The clause that it breaks.
    pub clause: String,
    /// The consequence, in words.
    pub breaks: String,
    /// Tests that had to fail.
    pub tests: Vec<String>,
    /// Its outcome.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Time for compiling and testing, seconds.
    pub seconds: f64,
    /// Things that its tests left behind; they are gone.
    pub left: Vec<String>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Mutants that were caught.
    pub caught: usize,
    /// Mutants in the list.
    pub mutants: usize,
    /// Time for the tests of the whole code, with all that had to be compiled, seconds.
    pub before_seconds: f64,
    /// Time for everything, seconds.
    pub seconds: f64,
    /// Mutants, in the order of the list.
    pub rows: Vec<Row>,
}

impl Report {
    /// A report of rows.
    pub fn of(rows: Vec<Row>, before: Duration, all: Duration) -> Report {
        let caught = rows.iter().filter(|row| row.verdict == Verdict::Caught).count();
        let (before_seconds, seconds) = (rounded(before), rounded(all));
        Report { caught, mutants: rows.len(), before_seconds, seconds, rows }
    }

    /// Code with which a program ends: 0 where all were caught, 1 where one was not, 3 where none got away and some were not tried.
    pub fn code(&self) -> u8 {
        let (mut got_away, mut not_tried) = (false, false);
        for row in &self.rows {
            match row.verdict {
                Verdict::Caught => {}
                Verdict::NotTried(_) => not_tried = true,
                _ => got_away = true,
            }
        }
        match (got_away, not_tried) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let width = |of: fn(&Row) -> usize, least: usize| self.rows.iter().map(of).max().unwrap_or(0).max(least);
        let (ids, clauses) = (width(|row| row.id.len(), 6), width(|row| row.clause.len(), 6));
        let mut text = format!("{:ids$}  {:clauses$}  {:>6}  {:16}  tests\n", "mutant", "clause", "time", "verdict");
        for row in &self.rows {
            let Row { id, clause, seconds, .. } = row;
            let (word, tests) = (row.verdict.word(), row.tests.join(", "));
            let _ = writeln!(text, "{id:ids$}  {clause:clauses$}  {seconds:>5.0}s  {word:16}  {tests}");
        }
        for row in &self.rows {
            if let Some(words) = row.verdict.words() {
                let _ = writeln!(text, "\n{} ({}): {words}", row.id, row.breaks);
            }
        }
        let (minutes, seconds) = ((self.seconds / 60.0).floor(), self.seconds % 60.0);
        let _ = writeln!(text, "\n{} of {} caught in {minutes:.0} min {seconds:.0} s", self.caught, self.mutants);
        text
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// A number that JSON does not have.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// Seconds to the tenth.
pub fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// Last lines of an output.
pub fn last_words(output: &str) -> String {
    /// Lines that are shown: a panic with what it compares.
    const LINES: usize = 25;
    let lines: Vec<&str> = output.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
