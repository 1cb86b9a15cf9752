//! Outcomes of jobs, and all of them as a table with the code of a run.

use std::fmt::Write as _;
use std::time::Duration;

/// Beginning of the first line of a program of tests.
const HEADER: &str = "running ";
/// Beginning of the last line of a program of tests.
const SUMMARY: &str = "test result: ";
/// Line before the names of the tests that failed, which stand before the last line.
const FAILURES: &str = "failures:";
/// Beginning of a line with such a name.
const NAME: &str = "    ";
/// Jobs that are named in the table of the longest.
const LONGEST: usize = 12;

/// Numbers of a program's tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests that are only run where they are asked for.
    pub ignored: u32,
}

/// Outcome of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It found nothing wrong.
    Passed,
    /// These tests failed.
    Failed(Vec<String>),
    /// It ended otherwise than tests do, in words.
    Ended(String),
    /// It did not end in the time after which nothing is awaited any more.
    Hung(Duration),
}

/// A job that is over.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// Numbers of its tests; none of a command that is no program of tests.
    pub counts: Option<Counts>,
    /// Its time.
    pub took: Duration,
    /// Time of processors that it and its children had, as far as they were waited for.
    pub computed: Duration,
}

/// Numbers in the last summary of a program of tests. Processes that a test starts can be such programs too, and say theirs before.
pub fn counts(output: &str) -> Option<Counts> {
    // Whatever a process that was left behind has said may stand before it.
    let line = output.lines().rev().find_map(|line| Some(line.rsplit_once(SUMMARY)?.1))?;
    let number = |word: &str| line.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word)?.parse().ok());
    Some(Counts { passed: number(" passed")?, failed: number(" failed")?, ignored: number(" ignored")? })
}

/// Number of tests that a program began with: it says so before anything that a test starts can say something.
pub fn announced(output: &str) -> Option<u32> {
    output.lines().find_map(|line| line.strip_prefix(HEADER)?.split_once(" test")?.0.parse().ok())
}

/// Names of the tests that failed, in the last list of a program of tests. The lines of single tests do not do: whatever a process that a test has started says
/// can stand within them.
pub fn failed(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    let Some(end) = lines.iter().rposition(|line| line.contains(SUMMARY)) else { return Vec::new() };
    let Some(begin) = lines[..end].iter().rposition(|line| *line == FAILURES) else { return Vec::new() };
    lines[begin + 1..end].iter().filter_map(|line| line.strip_prefix(NAME)).map(ToString::to_string).collect()
}

/// Outcome of a program of tests that has ended. `end` are the system's words for its end, none where it ended with 0; `wanted` is the number of tests that were
/// named to it, none where all were to run.
pub fn outcome(output: &str, end: Option<&str>, wanted: Option<usize>) -> Outcome {
    let Some(counts) = counts(output) else {
        return Outcome::Ended(format!("{} without a summary", end.unwrap_or("it ended")));
    };
    let all = counts.passed + counts.failed + counts.ignored;
    match end {
        None if wanted.is_some_and(|wanted| u32::try_from(wanted) != Ok(all)) => {
            Outcome::Ended(format!("{all} tests ran, and {} were named", wanted.unwrap_or_default()))
        }
        // A test that ends its process with 0 takes the others along; the summary is then one of a process that a test has started.
        None if announced(output) != Some(all) => {
            let begun = announced(output).map_or("none".to_string(), |number| number.to_string());
            Outcome::Ended(format!("its summary has {all} tests, and it began with {begun}"))
        }
        None if counts.failed == 0 => Outcome::Passed,
        None => Outcome::Ended(format!("it ended with 0, and {} tests failed", counts.failed)),
        Some(_) if counts.failed > 0 => Outcome::Failed(failed(output)),
        Some(end) => Outcome::Ended(end.to_string()),
    }
}

impl Row {
    /// The row of a job whose process could not be started.
    pub fn cannot(name: String, error: &std::io::Error) -> Row {
        let outcome = Outcome::Ended(format!("it cannot be started: {error}"));
        Row { name, outcome, counts: None, took: Duration::ZERO, computed: Duration::ZERO }
    }

    /// Words on it, in one line.
    pub fn line(&self) -> String {
        let word = match &self.outcome {
            Outcome::Passed => "ok".to_string(),
            Outcome::Failed(_) => "FAILED".to_string(),
            Outcome::Ended(how) => format!("FAILED: {how}"),
            Outcome::Hung(limit) => format!("FAILED: it has not ended within {} s", limit.as_secs()),
        };
        let tests = self.counts.map_or(String::new(), |Counts { passed, failed, ignored }| {
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            let ignored = if ignored > 0 { format!(", {ignored} ignored") } else { String::new() };
            format!(", {passed} passed{failed}{ignored}")
        });
        let (seconds, cores) = (self.took.as_secs_f64(), self.cores());
        format!("{}: {word}{tests}, {seconds:.1} s, {cores:.1} cores busy", self.name)
    }

    /// Cores that it kept busy.
    fn cores(&self) -> f64 {
        let took = self.took.as_secs_f64();
        if took > 0.0 { self.computed.as_secs_f64() / took } else { 0.0 }
    }

    /// Everything that failed of it, one line each.
    fn failures(&self) -> Vec<String> {
        match &self.outcome {
            Outcome::Passed => Vec::new(),
            Outcome::Failed(tests) if !tests.is_empty() => {
                tests.iter().map(|test| format!("{}: {test}", self.name)).collect()
            }
            _ => vec![self.line()],
        }
    }
}

/// Code with which a run ends: 0 where everything passed, 1 where something did not, or nothing ran.
pub fn code(rows: &[Row]) -> u8 {
    let is_well = !rows.is_empty() && rows.iter().all(|row| row.outcome == Outcome::Passed);
    u8::from(!is_well)
}

/// Everything of a run at its end: the jobs that took longest, numbers, and at the very end all that failed. `busy` are the cores that the machine had at work.
pub fn summary(rows: &[Row], took: Duration, busy: f64) -> String {
    let mut longest: Vec<&Row> = rows.iter().collect();
    longest.sort_by_key(|row| std::cmp::Reverse(row.took));
    longest.truncate(LONGEST);
    let width = longest.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>7}  cores busy\n", "longest", "time");
    for row in longest {
        let _ = writeln!(text, "{:width$}  {:>5.0} s  {:.1}", row.name, row.took.as_secs_f64(), row.cores());
    }
    let mut all = Counts::default();
    for counts in rows.iter().filter_map(|row| row.counts) {
        all.passed += counts.passed;
        all.failed += counts.failed;
        all.ignored += counts.ignored;
    }
    let (minutes, seconds) = (took.as_secs() / 60, took.as_secs() % 60);
    let (jobs, Counts { passed, failed, ignored }) = (rows.len(), all);
    let _ = writeln!(
        text,
        "\n{jobs} jobs, {passed} tests passed, {failed} failed, {ignored} ignored, in {minutes} min {seconds} s with {busy:.1} cores busy"
    );
    let failures: Vec<String> = rows.iter().flat_map(Row::failures).collect();
    if !failures.is_empty() {
        let _ = writeln!(text, "\nfailed:");
        for failure in failures {
            let _ = writeln!(text, "    {failure}");
        }
    }
    text
}
