//! `openmesh-tests`: builds and runs every test of the workspace, several programs at a time.
//!
//! Usage: `openmesh-tests [--plan] [WORD...]`. With words only jobs whose name has one of them; with `--plan` none is run, and their order is told. Ends with 0
//! where everything passed, 1 where something did not, 2 where it could not be run.

use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use xtask::suite::jobs::{self, Job};
use xtask::suite::machine::Ticks;
use xtask::suite::report::{Row, code, summary};
use xtask::suite::run::{HUNG, Hall};
use xtask::suite::{list, order, programs};

/// Reason for which nothing can be said.
type Fault = Box<dyn std::error::Error>;

/// Orders of a person.
struct Orders {
    is_plan: bool,
    words: Vec<String>,
}

fn main() -> ExitCode {
    match all() {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(2)
        }
    }
}

fn all() -> Result<u8, Fault> {
    let orders = orders(std::env::args().skip(1))?;
    let root = xtask::root();
    let list = list::read(&root)?;
    let metadata = xtask::metadata(false)?;
    let problems = list::problems(&root, &list, &metadata);
    if !problems.is_empty() {
        return Err(problems.join("\n").into());
    }
    let programs = programs::build(&root, &metadata)?;
    let tests = |program: &programs::Program| program.tests().map_err(|error| error.to_string());
    let mut jobs = jobs::all(&root, &list, &programs, tests)?;
    jobs.retain(|job| orders.words.is_empty() || orders.words.iter().any(|word| job.name.contains(word)));
    if jobs.is_empty() {
        return Err(format!("no job has {} in its name", orders.words.join(" or ")).into());
    }
    if orders.is_plan {
        plan(jobs);
        return Ok(0);
    }
    let is_built = programs::build_helper(&root, metadata.target_directory.as_std_path())?;
    if !is_built {
        eprintln!("==> openmesh-cage-helper cannot be built: tests that need it try again, and say what lacks");
    }
    run(jobs, is_built)
}

/// Reads the command line.
fn orders(words: impl Iterator<Item = String>) -> Result<Orders, Fault> {
    let mut orders = Orders { is_plan: false, words: Vec::new() };
    for word in words {
        match word.as_str() {
            "--plan" => orders.is_plan = true,
            option if option.starts_with('-') => return Err(format!("{option} is no option: --plan").into()),
            _ => orders.words.push(word),
        }
    }
    Ok(orders)
}

/// Tells the order of jobs.
fn plan(mut jobs: Vec<Job>) {
    order::sort(&mut jobs);
    for job in jobs {
        let alone = if job.alone { ", alone" } else { "" };
        let Job { name, seconds, threads, load, .. } = job;
        println!("{name}: {seconds} s, {threads} tests at once, {load} % of a core{alone}");
    }
}

/// Runs jobs, and tells each with what it said; keeps all of that where something failed.
fn run(jobs: Vec<Job>, is_built: bool) -> Result<u8, Fault> {
    let (begun, before) = (Instant::now(), Ticks::now());
    let folder = std::env::temp_dir().join(format!("openmesh-tests-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let cores = u32::try_from(cores)?;
    let hall = Hall { cores, folder: &folder, is_built, limit: HUNG };
    let rows = hall.run(jobs, |row: &Row, output: &str| {
        println!("\n==> {}\n{}", row.line(), output.trim_end());
    });
    let busy = Ticks::now().zip(before).map_or(0.0, |(now, before)| now.busy_since(before, cores));
    print!("\n{}", summary(&rows, begun.elapsed(), busy));
    let code = code(&rows);
    keep_or_remove(&folder, code)?;
    Ok(code)
}

/// Removes the outputs where everything passed, and says where they are otherwise.
fn keep_or_remove(folder: &Path, code: u8) -> std::io::Result<()> {
    if code == 0 {
        return std::fs::remove_dir_all(folder);
    }
    println!("\neverything that was said is in {}", folder.display());
    Ok(())
}
