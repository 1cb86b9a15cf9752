//! The list of test programs is true of the workspace, and the pure parts of what runs them: jobs, order, outcomes, the words and the code at the end; and that a
//! process is run, told and ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::suite::family;
use xtask::suite::jobs::{self, Job, Work};
use xtask::suite::list::{self, List};
use xtask::suite::machine::Ticks;
use xtask::suite::order;
use xtask::suite::programs::{Program, names};
use xtask::suite::report::{Counts, Outcome, Row, announced, code, counts, failed, outcome, summary};
use xtask::suite::run::{HUNG, Hall, computed};
use xtask::{metadata, root};

fn parsed(text: &str) -> List {
    toml::from_str(text).expect("a list")
}

fn program(package: &str, target: &str) -> Program {
    let (file, folder) = (PathBuf::from("/bin/true"), PathBuf::from("/"));
    Program { package: package.into(), version: "0.1.0".into(), target: target.into(), file, folder }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// A job of some name, time, load, and whether it is alone.
fn job(name: &str, seconds: u32, load: u32, alone: bool) -> Job {
    let work = Work::Command { run: texts(&["true"]), folder: "/".into() };
    Job { name: name.into(), work, load, threads: 1, seconds, alone, waits: true }
}

/// Every Rust file of a package.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// True for the file of a module.
fn is_of(file: &Path, module: &str) -> bool {
    let folder = file.parent().and_then(Path::file_name);
    let is_named = file.file_stem().is_some_and(|name| name == module);
    is_named || (file.ends_with("mod.rs") && folder.is_some_and(|name| name == module))
}

#[test]
fn the_list_is_true_of_the_workspace() {
    let list = list::read(&root()).unwrap_or_else(|error| panic!("{error}"));
    let metadata = metadata(false).expect("cargo metadata");
    let problems = list::problems(&root(), &list, &metadata);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    // Beginnings of names that no test has are told by a run; here a module has to be there.
    for (entry, part) in list.programs.iter().flat_map(|entry| entry.parts.iter().map(move |part| (entry, part))) {
        let mut packages = metadata.workspace_packages().into_iter();
        let package = packages.find(|package| package.name.as_str() == entry.package).expect("a package");
        let files = sources(package.manifest_path.parent().expect("a folder").as_std_path());
        for name in &part.tests {
            let (modules, function) = name.rsplit_once("::").unwrap_or(("", name.as_str()));
            let module = modules.rsplit("::").next().unwrap_or_default();
            let has = |file: &PathBuf| std::fs::read_to_string(file).expect("text").contains(&format!("fn {function}"));
            assert!(files.iter().any(|file| is_of(file, module) && has(file)), "{} has no {name}", entry.package);
        }
    }
}

#[test]
fn whatever_is_not_true_of_the_workspace_is_said() {
    let list = parsed(
        r#"
        [[program]]
        package = "openmesh-agent"
        target = "it"
        load = 0
        [[program.part]]
        tests = [""]
        [[program]]
        package = "openmesh-agent"
        target = "it"
        [[program]]
        package = "openmesh-nobody"
        target = "lib"
        [[command]]
        name = "nothing"
        run = []
        folder = "no/such/folder"
        "#,
    );
    let found = list::problems(&root(), &list, &metadata(false).expect("cargo metadata")).join("\n");
    for part in [
        "openmesh-agent it: a load is",
        "openmesh-agent it: a part names its tests",
        "openmesh-agent it stands there twice",
        "openmesh-nobody lib: the workspace has no such target",
        "nothing runs nothing",
        "nothing: there is no folder no/such/folder",
    ] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
    assert!(toml::from_str::<List>("[[program]]\npackage = \"a\"\ntarget = \"it\"\nthread = 4\n").is_err());
}

#[test]
fn a_program_of_which_nothing_is_known_has_one_test_at_a_time() {
    let list = parsed("[[program]]\npackage = \"b\"\ntarget = \"it\"\nload = 150\nseconds = 9\n");
    let programs = [program("a", "lib"), program("b", "it")];
    let all = jobs::all(Path::new("/"), &list, &programs, |_| panic!("no part, no list")).expect("jobs");
    let shown: Vec<_> = all.iter().map(|job| (job.name.as_str(), job.load, job.threads, job.waits)).collect();
    assert_eq!(shown, [("a lib", 100, 1, false), ("b it", 150, 2, false)]);
    assert!(all.iter().all(|job| matches!(&job.work, Work::Tests { only, .. } if only.is_empty())));
}

#[test]
fn each_test_is_in_exactly_one_job_of_its_program() {
    let list = parsed(
        r#"
        [[program]]
        package = "a"
        target = "it"
        threads = 5
        [[program.part]]
        tests = ["moves::", "z::last"]
        threads = 2
        [[program.part]]
        tests = ["visits::soon"]
        alone = true
        [[command]]
        name = "pages"
        run = ["npm", "run", "e2e"]
        folder = "studio"
        alone = true
        "#,
    );
    let (moves, visits) = (["moves::a", "moves::crash::b"], ["visits::soon", "visits::sooner"]);
    let tests = texts(&[&["b::one"][..], &moves, &["removes::c"], &visits, &["z::last"]].concat());
    let all = jobs::all(Path::new("/w"), &list, &[program("a", "it")], |_| Ok(tests.clone())).expect("jobs");
    let only = |job: &Job| match &job.work {
        Work::Tests { only, .. } => only.clone(),
        Work::Command { .. } => Vec::new(),
    };
    let shown: Vec<_> = all.iter().map(|job| (job.name.as_str(), only(job), job.alone, job.waits)).collect();
    assert_eq!(
        shown,
        [
            ("a it", texts(&["b::one", "removes::c"]), false, true),
            ("a it (moves::, z::last)", texts(&["moves::a", "moves::crash::b", "z::last"]), false, true),
            ("a it (visits::soon)", texts(&visits), true, true),
            ("pages", Vec::new(), true, true),
        ]
    );
    assert!(matches!(&all[3].work, Work::Command { folder, .. } if folder == Path::new("/w/studio")));
    let mut seen: Vec<String> = all.iter().flat_map(only).collect();
    seen.sort();
    assert_eq!(seen, tests);
    // One that was renamed would run among the others, and nobody would know.
    let renamed = jobs::apart(&program("a", "it"), &list.programs[0], &texts(&["moves::a", "z::last"])).unwrap_err();
    assert!(renamed.contains("no test that begins with `visits::soon`"), "{renamed}");
    // Where parts are all of it, nothing is left to run without a name: that would be everything once more.
    let whole = texts(&["moves::a", "visits::soon", "z::last"]);
    let parts = jobs::apart(&program("a", "it"), &list.programs[0], &whole).expect("jobs");
    assert!(parts.len() == 2 && parts.iter().all(|job| !only(job).is_empty()), "{parts:?}");
}

/// Names of jobs in the order in which they begin, where those that run end in the order of their times.
fn begun(mut waiting: Vec<Job>, cores: u32) -> Vec<(u32, String)> {
    order::sort(&mut waiting);
    let (mut now, mut running, mut begun) = (0, Vec::<(u32, Job)>::new(), Vec::new());
    loop {
        while let Some(at) = order::next(&waiting, running.iter().map(|(_, job)| job), cores) {
            let job = waiting.remove(at);
            begun.push((now, job.name.clone()));
            running.push((now + job.seconds, job));
            let load: u32 = running.iter().map(|(_, job)| job.load).sum();
            assert!(running.len() == 1 || load <= cores * 100, "{running:?}");
            assert!(running.len() == 1 || running.iter().all(|(_, job)| !job.alone), "{running:?}");
        }
        running.sort_by_key(|(end, _)| *end);
        if running.is_empty() {
            assert!(waiting.is_empty(), "{waiting:?}");
            return begun;
        }
        now = running.remove(0).0;
    }
}

#[test]
fn the_longest_begins_first_and_as_many_as_fit() {
    let all = vec![job("a", 10, 100, false), job("b", 30, 70, false), job("c", 20, 70, false), job("d", 5, 60, false)];
    let named = |all: &[(u32, &str)]| all.iter().map(|(at, name)| (*at, name.to_string())).collect::<Vec<_>>();
    // `a` is longer than `d`, and does not fit beside the first two.
    assert_eq!(begun(all.clone(), 2), named(&[(0, "b"), (0, "c"), (0, "d"), (20, "a")]));
    assert_eq!(begun(all.clone(), 1), named(&[(0, "b"), (30, "c"), (50, "a"), (60, "d")]));
    assert_eq!(begun(all, 4), named(&[(0, "b"), (0, "c"), (0, "a"), (0, "d")]));
}

#[test]
fn one_that_is_alone_runs_at_the_end_with_nobody_beside_it() {
    let clocks = [job("clock", 90, 50, true), job("other", 5, 50, true)];
    let all = [&clocks[..], &[job("a", 10, 50, false), job("b", 20, 50, false)]].concat();
    let names: Vec<(u32, String)> = begun(all, 8);
    let names: Vec<(u32, &str)> = names.iter().map(|(at, name)| (*at, name.as_str())).collect();
    assert_eq!(names, [(0, "b"), (0, "a"), (20, "clock"), (110, "other")]);
}

#[test]
fn one_that_wants_more_than_the_machine_has_runs_all_the_same() {
    let names = begun(vec![job("large", 20, 900, false), job("small", 10, 10, false)], 2);
    assert_eq!(names, [(0, "large".to_string()), (20, "small".to_string())]);
    assert!(begun(Vec::new(), 2).is_empty());
}

const GOOD: &str = "running 2 tests\ntest a ... ok\ntest b ... ignored, so\n\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s\n\n";
const BAD: &str = "running 2 tests\ntest a ... ok\ntest m::b ... FAILED\n\nfailures:\n    m::b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s\n";

#[test]
fn outcomes_are_those_of_the_last_summary_and_of_the_end() {
    assert_eq!(counts(GOOD), Some(Counts { passed: 1, failed: 0, ignored: 1 }));
    // A process that a test has started was one of tests too.
    assert_eq!(counts(&format!("{BAD}{GOOD}")), Some(Counts { passed: 1, failed: 0, ignored: 1 }));
    assert_eq!((counts("memory allocation failed\n"), failed(BAD)), (None, texts(&["m::b"])));
    // Words of others stand within the lines of single tests, and say nothing of names.
    let torn = BAD.replace("test m::b ... FAILED", "test m::b ... up: ready\nFAILED\ntest x ... FAILED");
    assert_eq!((failed(&torn), failed(GOOD), failed("failures:\n    m::b\n")), (texts(&["m::b"]), vec![], vec![]));
    assert_eq!(outcome(GOOD, None, None), Outcome::Passed);
    assert_eq!(outcome(GOOD, None, Some(2)), Outcome::Passed);
    assert_eq!(outcome(BAD, Some("it ended with exit status: 101"), Some(2)), Outcome::Failed(texts(&["m::b"])));
    let ended = |outcome: Outcome| match outcome {
        Outcome::Ended(how) => how,
        other => panic!("{other:?}"),
    };
    // Neither silence, nor a death, nor fewer tests than were named, nor a good end with failures is good.
    let killed = ended(outcome("test a ... ", Some("it ended with signal: 9"), None));
    assert!(killed.contains("signal: 9 without a summary"), "{killed}");
    assert!(ended(outcome("", None, None)).contains("it ended without a summary"));
    assert!(ended(outcome(GOOD, None, Some(3))).contains("2 tests ran, and 3 were named"));
    assert!(ended(outcome(BAD, None, None)).contains("1 tests failed"));
    // Nor is the summary of a process that a test has started, where its own program was ended by that test.
    let left = ended(outcome(&format!("running 3 tests\ntest a ... {GOOD}"), None, None));
    assert_eq!(left, "its summary has 2 tests, and it began with 3");
    let no_header = GOOD.split_once('\n').expect("lines").1;
    let numbers = [GOOD, "running 1 test\n", no_header].map(announced);
    assert_eq!(numbers, [Some(2), Some(1), None]);
    assert!(ended(outcome(no_header, None, None)).contains("began with none"));
    assert!(ended(outcome(GOOD, Some("it ended with exit status: 1"), None)).contains("exit status: 1"));
}

fn row(name: &str, outcome: Outcome, counts: Option<Counts>, seconds: u64) -> Row {
    Row { name: name.into(), outcome, counts, took: Duration::from_secs(seconds), computed: Duration::from_secs(3) }
}

#[test]
fn a_run_ends_with_0_only_where_everything_passed() {
    let (passed, one) = (|| row("a it", Outcome::Passed, counts(GOOD), 6), row("pages", Outcome::Passed, None, 2));
    assert_eq!(code(&[passed(), one]), 0);
    assert_eq!(code(&[]), 1, "nothing ran");
    let hung = Outcome::Hung(Duration::from_secs(60));
    for outcome in [Outcome::Failed(texts(&["m::b"])), Outcome::Failed(Vec::new()), Outcome::Ended("so".into()), hung] {
        assert_eq!(code(&[passed(), row("b lib", outcome, None, 1)]), 1);
    }
    let cannot = Row::cannot("pages".into(), &std::io::Error::other("no bash"));
    assert_eq!(code(&[passed(), cannot.clone()]), 1);
    assert!(cannot.line().contains("FAILED: it cannot be started: no bash"), "{}", cannot.line());
}

#[test]
fn what_failed_is_told_at_the_very_end_by_its_names() {
    let bad = row("b lib", Outcome::Failed(texts(&["m::b", "m::c"])), counts(BAD), 61);
    let hung = row("c it", Outcome::Hung(Duration::from_secs(60)), None, 30);
    let rows = [row("a it", Outcome::Passed, counts(GOOD), 6), bad, hung];
    assert_eq!(rows[0].line(), "a it: ok, 1 passed, 1 ignored, 6.0 s, 0.5 cores busy");
    let text = summary(&rows, Duration::from_secs(125), 1.5);
    assert!(text.starts_with("longest"), "{text}");
    assert!(text.find("b lib").expect("b") < text.find("a it").expect("a"), "the longest first: {text}");
    let sum = "\n3 jobs, 2 tests passed, 1 failed, 1 ignored, in 2 min 5 s with 1.5 cores busy\n";
    assert!(text.contains(sum), "{text}");
    let (_, end) = text.split_once("\nfailed:\n").expect("failures");
    assert_eq!(
        end,
        "    b lib: m::b\n    b lib: m::c\n    c it: FAILED: it has not ended within 60 s, 30.0 s, 0.1 cores busy\n"
    );
    assert!(!summary(&rows[..1], Duration::ZERO, 0.0).contains("failed:"));
}

#[test]
fn the_kernels_words_are_read() {
    let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 5 0 0 0 150 50 25 25 20 0 1 0 100 0 0";
    assert_eq!((computed(stat), computed("")), (Duration::from_millis(2_500), Duration::ZERO));
    let before = Ticks::of("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\n").expect("ticks");
    assert_eq!(before, Ticks { busy: 200, all: 1_000 });
    let after = Ticks::of("cpu  250 0 100 750 100 0 0 0 50 0\n").expect("ticks");
    assert!((after.busy_since(before, 2) - 1.5).abs() < 1e-9);
    assert!(before.busy_since(before, 2).abs() < 1e-9);
    assert_eq!((Ticks::of("cpu  1 2 3\n"), Ticks::of("")), (None, None));
    assert_eq!(names("a::b: test\na::c: test\nspeed: benchmark\n\n2 tests, 1 benchmark\n"), ["a::b", "a::c"]);
}

/// A shell as a job.
fn shell(name: &str, script: &str, seconds: u32) -> Job {
    let work = Work::Command { run: texts(&["sh", "-c", script]), folder: std::env::temp_dir() };
    Job { work, ..job(name, seconds, 100, false) }
}

#[test]
fn processes_are_run_and_told_with_all_that_they_said() {
    let folder = std::env::temp_dir().join(format!("openmesh-suite-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let missing = Work::Command { run: texts(&["/no/such/program"]), folder: "/".into() };
    let all = vec![
        shell("good", "echo out; echo built $OPENMESH_PROGRAMS_ARE_BUILT >&2", 3),
        shell("bad", "echo words; exit 3", 2),
        Job { work: missing, ..job("missing", 1, 100, false) },
    ];
    let hall = Hall { cores: 1, folder: &folder, is_built: true, limit: HUNG };
    let mut told = Vec::new();
    let rows = hall.run(all, |row, output| told.push((row.name.clone(), output.to_string())));
    std::fs::remove_dir_all(&folder).expect("removed");
    let said = |name: &str, words: &str| (name.to_string(), words.to_string());
    assert_eq!(told, [said("good", "out\nbuilt 1\n"), said("bad", "words\n"), said("missing", "")]);
    assert_eq!((rows.len(), &rows[0].outcome, rows[0].counts), (3, &Outcome::Passed, None));
    assert_eq!(rows[1].outcome, Outcome::Ended("it ended with exit status: 3".into()));
    assert!(matches!(&rows[2].outcome, Outcome::Ended(how) if how.starts_with("it cannot be started: ")), "{rows:?}");
    assert_eq!(code(&rows), 1);
}

#[test]
fn of_a_lot_the_beginning_and_the_end_are_told() {
    let folder = std::env::temp_dir().join(format!("openmesh-suite-lot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let hall = Hall { cores: 1, folder: &folder, is_built: false, limit: HUNG };
    let mut said = String::new();
    let rows = hall.run(vec![shell("lot", "echo begin; yes | head -c 5000000; echo end", 1)], |_, output| {
        said.push_str(output);
    });
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(rows[0].outcome, Outcome::Passed);
    assert!(said.starts_with("begin\ny\n") && said.ends_with("y\nend\n"), "{}", said.len());
    assert!(said.contains("\n... 2902858 bytes are left out here ...\n"), "{}", said.len());
}

#[test]
fn a_family_is_found_by_its_parents() {
    assert_eq!(family::below(1, &[(2, 1), (3, 2), (4, 9), (5, 1)]), [1, 2, 5, 3]);
    // Numbers come again while one reads.
    assert_eq!(family::below(1, &[(1, 2), (2, 1)]), [1, 2]);
    assert_eq!((family::parent("7 (a b) c) S 12 7"), family::parent("7 (a)")), (Some(12), None));
}

#[test]
fn whatever_hangs_is_ended_with_all_that_it_has_begun() {
    let folder = std::env::temp_dir().join(format!("openmesh-suite-hung-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // Also on a busy machine a shell says its word within this time.
    let limit = Duration::from_secs(5);
    let hall = Hall { cores: 1, folder: &folder, is_built: false, limit };
    let mut said = String::new();
    let rows = hall.run(vec![shell("hangs", "sh -c 'sleep 1000 & echo $!; wait'; wait", 1)], |_, output| {
        said.push_str(output);
    });
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!((&rows[0].outcome, code(&rows)), (&Outcome::Hung(limit), 1));
    let stat = format!("/proc/{}/stat", said.trim().parse::<u32>().expect("a process"));
    let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let begun = std::time::Instant::now();
    while lives() {
        assert!(begun.elapsed() < Duration::from_secs(60), "what it has begun goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// This very program, as cargo has built it, is one of those that are run.
#[test]
fn a_program_lists_its_tests_and_runs_those_that_are_named() {
    let own = Program { file: std::env::current_exe().expect("a program"), ..program("xtask", "suite") };
    let tests = own.tests().expect("a list");
    assert!(tests.contains(&"the_kernels_words_are_read".to_string()), "{tests:?}");
    let folder = std::env::temp_dir().join(format!("openmesh-suite-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let only = texts(&["the_kernels_words_are_read", "one_that_is_alone_runs_at_the_end_with_nobody_beside_it"]);
    let run = |only: Vec<String>, waits: bool| {
        let work = Work::Tests { program: own.clone(), only };
        let hall = Hall { cores: 2, folder: &folder, is_built: false, limit: HUNG };
        hall.run(vec![Job { work, waits, ..job("own", 1, 100, false) }], |_, _| ()).remove(0)
    };
    for waits in [true, false] {
        let row = run(only.clone(), waits);
        assert_eq!((row.outcome, row.counts.map(|counts| counts.passed)), (Outcome::Passed, Some(2)));
    }
    // One that is not there is missed, though everything that ran has passed.
    let row = run([only, texts(&["no_such_test"])].concat(), true);
    assert!(matches!(&row.outcome, Outcome::Ended(how) if how.contains("2 tests ran, and 3 were named")), "{row:?}");
    std::fs::remove_dir_all(&folder).expect("removed");
}
