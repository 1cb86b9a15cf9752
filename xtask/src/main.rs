//! `openmesh-mutants`: breaks each rule of `xtask/mutants.toml` in a copy of the checkout, and wants the tests that are named to fail.
//!
//! Usage: `openmesh-mutants --work FOLDER [--out FOLDER] [NAME...]`. Ends with 0 where all were caught, 1 where one was not, 2 where it could not be
//! looked, 3 where some need root and nobody got away.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use xtask::mutants::build::{Built, Cargo};
use xtask::mutants::list::{self, List, Mutant, Test};
use xtask::mutants::report::{Report, Row, Verdict, last_words, rounded};
use xtask::mutants::run::{self, Outcome, Ran};
use xtask::mutants::tree::Tree;

/// Longest time of a test of the whole code: it may build programs first.
const WHOLE_MAX: Duration = Duration::from_secs(3_600);
/// Longest time of a test beside three times that of before: tests have patience of two minutes with a busy machine, some of them more than once.
const BROKEN_MAX: Duration = Duration::from_secs(600);

/// Reason for which nothing can be said.
type Fault = Box<dyn std::error::Error>;

/// Orders of a person.
struct Orders {
    work: PathBuf,
    out: PathBuf,
    names: Vec<String>,
}

/// The machinery of a run.
struct Bench {
    tree: Tree,
    cargo: Cargo,
    is_root: bool,
    /// Time of each test of the whole code.
    took: BTreeMap<Test, Duration>,
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
    let problems = list::problems(&root, &list);
    if !problems.is_empty() {
        return Err(problems.join("\n").into());
    }
    let chosen = chosen(&list, &orders.names)?;
    std::fs::create_dir_all(&orders.work)?;
    // Held until the end: another run would break other rules in the same copy.
    let held = File::create(orders.work.join("lock"))?;
    if held.try_lock().is_err() {
        return Err(format!("another run is at work in {}", orders.work.display()).into());
    }
    let tree = Tree::new(&root, orders.work.join("tree"));
    let cargo = Cargo::new(tree.copy(), orders.work.join("target"));
    let is_root = rustix::process::geteuid().is_root();
    let mut bench = Bench { tree, cargo, is_root, took: BTreeMap::new() };
    let begun = Instant::now();
    bench.whole(&chosen)?;
    let before = begun.elapsed();
    let mut rows = Vec::new();
    for mutant in chosen {
        let row = bench.row(mutant)?;
        eprintln!("==> {}: {}", row.id, if row.verdict == Verdict::Caught { "caught" } else { "not caught" });
        rows.push(row);
    }
    let report = Report::of(rows, before, begun.elapsed());
    let file = orders.out.join("mutants.json");
    std::fs::create_dir_all(&orders.out)?;
    std::fs::write(&file, report.json()?)?;
    print!("{}", report.table());
    eprintln!("==> written: {}", file.display());
    Ok(report.code())
}

/// Reads the command line.
fn orders(mut words: impl Iterator<Item = String>) -> Result<Orders, Fault> {
    let (mut work, mut out, mut names) = (None, None, Vec::new());
    while let Some(word) = words.next() {
        let mut folder = || words.next().map(PathBuf::from).ok_or(format!("{word} wants a folder"));
        match word.as_str() {
            "--work" => work = Some(folder()?),
            "--out" => out = Some(folder()?),
            option if option.starts_with('-') => return Err(format!("{option} is no option: --work, --out").into()),
            name => names.push(name.to_string()),
        }
    }
    let work =
        work.ok_or("--work FOLDER is missing: the copy and its artefacts lie there and stay for the next run")?;
    let work = std::path::absolute(work)?;
    Ok(Orders { out: out.unwrap_or_else(|| work.clone()), work, names })
}

/// The mutants that are named; all where none is.
fn chosen<'a>(list: &'a List, names: &[String]) -> Result<Vec<&'a Mutant>, Fault> {
    if let Some(name) = names.iter().find(|name| !list.mutants.iter().any(|mutant| mutant.id == **name)) {
        let known: Vec<&str> = list.mutants.iter().map(|mutant| mutant.id.as_str()).collect();
        return Err(format!("there is no mutant {name}; there are {}", known.join(", ")).into());
    }
    let is_meant = |mutant: &&Mutant| names.is_empty() || names.contains(&mutant.id);
    Ok(list.mutants.iter().filter(is_meant).collect())
}

impl Bench {
    /// True where a test can find something here.
    fn can_run(&self, test: &Test) -> bool {
        self.is_root || !test.root
    }

    /// Runs the tests of all mutants on the code as it is. A mutant is told by a test that failed by it, and not before.
    fn whole(&mut self, mutants: &[&Mutant]) -> Result<(), Fault> {
        self.tree.sync()?;
        self.cargo.forget_programs()?;
        for test in mutants.iter().flat_map(|mutant| &mutant.tests) {
            if !self.can_run(test) || self.took.contains_key(test) {
                continue;
            }
            eprintln!("==> whole: {} {}", test.package, test.name);
            let program = match self.cargo.build(test)? {
                Built::Program(program) => program,
                Built::Refused(words) => return Err(format!("the code does not compile as it is:\n{words}").into()),
            };
            let ran = self.run(&program, test, WHOLE_MAX)?;
            match ran.outcome {
                Outcome::Passed => {
                    self.took.insert(test.clone(), ran.took);
                }
                Outcome::Skipped(why) => return Err(format!("{} does nothing here: {why}", test.name).into()),
                other => {
                    let words = last_words(&ran.output);
                    return Err(format!("{} has to pass on the code as it is: {other:?}\n{words}", test.name).into());
                }
            }
        }
        Ok(())
    }

    fn run(&self, program: &Path, test: &Test, limit: Duration) -> std::io::Result<Ran> {
        let folder = self.tree.copy().join(test.folder());
        run::run(self.cargo.command(program), &folder, &test.name, limit)
    }

    /// Tries a mutant, and makes the copy whole again.
    fn row(&self, mutant: &Mutant) -> Result<Row, Fault> {
        let begun = Instant::now();
        let mut left = Vec::new();
        let verdict = if mutant.tests.iter().all(|test| self.can_run(test)) {
            eprintln!("==> {}: {}", mutant.id, mutant.breaks);
            self.tree.apply(mutant)?;
            // Those of the whole code, or of the mutant before, would be found in the place of its own.
            self.cargo.forget_programs()?;
            let tried = self.verdict(mutant, &mut left);
            // Also where the machine has failed.
            self.tree.sync()?;
            self.cargo.forget_programs()?;
            tried?
        } else {
            Verdict::NotTried("its tests need root".into())
        };
        let tests = mutant.tests.iter().map(|test| format!("{} {}", test.package, test.name)).collect();
        let (id, clause, breaks) = (mutant.id.clone(), mutant.clause.clone(), mutant.breaks.clone());
        Ok(Row { id, clause, breaks, tests, verdict, seconds: rounded(begun.elapsed()), left })
    }

    fn verdict(&self, mutant: &Mutant, left: &mut Vec<String>) -> Result<Verdict, Fault> {
        for test in &mutant.tests {
            let program = match self.cargo.build(test)? {
                Built::Program(program) => program,
                Built::Refused(words) => return Ok(Verdict::DoesNotCompile(words)),
            };
            let before = self.took.get(test).copied().unwrap_or_default();
            let ran = self.run(&program, test, BROKEN_MAX + before * 3)?;
            left.extend(ran.left.iter().cloned());
            match Verdict::of(&test.name, &test.says, &ran) {
                Verdict::Caught => {}
                other => return Ok(other),
            }
        }
        Ok(Verdict::Caught)
    }
}
