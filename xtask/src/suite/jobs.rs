//! Jobs: programs with their tests, each test in exactly one, and other commands.

use std::path::{Path, PathBuf};

use super::list::{Entry, FILE, LOAD, List};
use super::programs::Program;

/// Something that runs as one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Name for people.
    pub name: String,
    /// Its process.
    pub work: Work,
    /// Share of a core that it keeps busy, percent.
    pub load: u32,
    /// Tests at once.
    pub threads: u32,
    /// Its time as it is known, seconds; 0 where it is not.
    pub seconds: u32,
    /// Nothing else runs beside it.
    pub alone: bool,
    /// It waits more than it computes, and is told by the clock: it comes before those that compute.
    pub waits: bool,
}

/// The process of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Tests of a program.
    Tests {
        /// The program.
        program: Program,
        /// The tests by their whole names; all of them where none are named.
        only: Vec<String>,
    },
    /// Another command, with its folder.
    Command {
        /// The program with its arguments.
        run: Vec<String>,
        /// The folder.
        folder: PathBuf,
    },
}

/// The job of all tests of a program.
fn whole(program: &Program, entry: Option<&Entry>) -> Job {
    let load = entry.map_or(LOAD, |entry| entry.load);
    Job {
        name: format!("{} {}", program.package, program.target),
        work: Work::Tests { program: program.clone(), only: Vec::new() },
        load,
        threads: threads(entry.map_or(0, |entry| entry.threads), load),
        seconds: entry.map_or(0, |entry| entry.seconds),
        alone: entry.is_some_and(|entry| entry.alone),
        waits: entry.is_some_and(|entry| entry.threads > 0 || entry.alone),
    }
}

/// Tests at once: as many as are named, or one for each core that is kept busy.
fn threads(named: u32, load: u32) -> u32 {
    if named > 0 { named } else { load.div_ceil(100).max(1) }
}

/// Jobs of a program whose parts run apart: each of its tests is in exactly one of them.
///
/// # Errors
/// A sentence where a part names no test of the program: it was renamed, and would run with the rest.
pub fn apart(program: &Program, entry: &Entry, tests: &[String]) -> Result<Vec<Job>, String> {
    let mut jobs = vec![whole(program, Some(entry))];
    let mut rest = tests.to_vec();
    for part in &entry.parts {
        let mut own = Vec::new();
        for begin in &part.tests {
            let (matching, others): (Vec<String>, Vec<String>) =
                rest.into_iter().partition(|test| test.starts_with(begin.as_str()));
            if matching.is_empty() {
                let name = &jobs[0].name;
                return Err(format!("{name} has no test that begins with `{begin}`: update {FILE}"));
            }
            own.extend(matching);
            rest = others;
        }
        jobs.push(Job {
            name: format!("{} ({})", jobs[0].name, part.tests.join(", ")),
            work: Work::Tests { program: program.clone(), only: own },
            load: part.load,
            threads: threads(part.threads, part.load),
            seconds: part.seconds,
            alone: part.alone,
            waits: part.threads > 0 || part.alone,
        });
    }
    if rest.is_empty() {
        jobs.remove(0);
    } else if let Work::Tests { only, .. } = &mut jobs[0].work {
        *only = rest;
    }
    Ok(jobs)
}

/// Jobs of all programs and commands. `tests` lists those of a program whose parts run apart.
///
/// # Errors
/// A sentence on a part that names no test, or the words of `tests`.
pub fn all(
    root: &Path,
    list: &List,
    programs: &[Program],
    mut tests: impl FnMut(&Program) -> Result<Vec<String>, String>,
) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for program in programs {
        match list.entry(&program.package, &program.target) {
            Some(entry) if !entry.parts.is_empty() => jobs.extend(apart(program, entry, &tests(program)?)?),
            entry => jobs.push(whole(program, entry)),
        }
    }
    jobs.extend(list.commands.iter().map(|command| Job {
        name: command.name.clone(),
        work: Work::Command { run: command.run.clone(), folder: root.join(&command.folder) },
        load: command.load,
        threads: 1,
        seconds: command.seconds,
        alone: command.alone,
        waits: true,
    }));
    Ok(jobs)
}
