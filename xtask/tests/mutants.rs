//! The list of mutants is true of the code, and the pure parts of what tries them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use xtask::mutants::clean::is_of;
use xtask::mutants::list::{self, List, Mutant, Test};
use xtask::mutants::report::{Report, Row, Verdict};
use xtask::mutants::run::{Outcome, Ran, summary};
use xtask::root;

#[test]
fn the_list_is_true_of_the_code() {
    let list = list::read(&root()).unwrap_or_else(|error| panic!("{error}"));
    let problems = list::problems(&root(), &list);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn mutant(original: &str, replacement: &str) -> Mutant {
    Mutant {
        id: "one".into(),
        clause: "X-1".into(),
        breaks: "a rule is broken".into(),
        file: "crates/blueprint/src/lib.rs".into(),
        original: original.into(),
        replacement: replacement.into(),
        tests: vec![test("lib", "tests::none")],
    }
}

fn test(target: &str, name: &str) -> Test {
    let (package, target) = ("openmesh-blueprint".to_string(), target.to_string());
    Test { package, target, name: name.into(), says: "nothing".into(), root: false }
}

#[test]
fn a_text_that_has_moved_is_no_mutant() {
    let one = mutant("a < b", "a > b");
    assert_eq!(one.applied("if a < b {}").as_deref(), Ok("if a > b {}"));
    for moved in ["if a<b {}", "a < b; a < b"] {
        assert!(one.applied(moved).unwrap_err().contains("the code has moved"), "{moved}");
    }
}

#[test]
fn whatever_is_not_true_of_the_code_is_said() {
    let wrong = Mutant { clause: "X-999".into(), ..mutant("this text is nowhere", "this text is nowhere") };
    let found = list::problems(&root(), &List { mutants: vec![wrong.clone(), wrong] }).join("\n");
    for part in [
        "there are 2 mutants, and 20 are wanted",
        "one stands there twice",
        "no clause X-999",
        "one changes nothing",
        "the code has moved",
        "has no test tests::none",
    ] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
}

#[test]
fn tests_are_found_where_their_modules_are() {
    let there = [("lib", "probation::tests::data_returns_by_itself_only_when_nobody_wrote"), ("it", "plan::a_repair")];
    assert!(there.iter().all(|(target, name)| test(target, name).is_there(&root())));
    for (target, name) in [("it", "choices::a_repair"), ("lib", "plan::a_repair"), ("it", "plan::a_repai")] {
        assert!(!test(target, name).is_there(&root()), "{target} {name}");
    }
    assert_eq!(test("it", "plan::a_repair").folder(), Path::new("crates/blueprint"));
}

#[test]
fn the_summary_of_a_program_is_its_last_one() {
    let of = |text: &str| format!("test result: {text}; 0 ignored; 0 measured; 9 filtered out; finished in 0.05s\n");
    assert_eq!(summary(&of("ok. 1 passed; 0 failed")), Some((1, 0)));
    assert_eq!(summary(&format!("{}{}", of("ok. 1 passed; 0 failed"), of("FAILED. 0 passed; 1 failed"))), Some((0, 1)));
    assert_eq!(summary("memory allocation failed\n"), None);
}

fn ran(outcome: Outcome, output: &str) -> Ran {
    Ran { outcome, output: output.into(), took: Duration::from_secs(1), left: Vec::new() }
}

#[test]
fn only_a_failure_in_the_right_words_has_noticed() {
    let of = |outcome, output: &str| Verdict::of("t", "right: 2", &ran(outcome, output));
    assert_eq!(of(Outcome::Failed, "left: 1\n right: 2"), Verdict::Caught);
    let other = of(Outcome::Failed, "No space left on device");
    assert!(matches!(&other, Verdict::Otherwise(words) if words.contains("No space")), "{other:?}");
    assert_eq!(of(Outcome::Passed, ""), Verdict::Survived("t passes".into()));
    let (crashed, skipped) = (Outcome::Crashed("signal: 9".into()), Outcome::Skipped("no root".into()));
    for other in [Outcome::TimedOut, Outcome::Absent, crashed, skipped] {
        assert!(matches!(of(other.clone(), "right: 2"), Verdict::Otherwise(_)), "{other:?}");
    }
}

#[test]
fn a_report_ends_with_0_only_where_all_were_caught() {
    let row = |verdict| Row {
        id: "one".into(),
        clause: "X-1".into(),
        breaks: "a rule is broken".into(),
        tests: vec!["openmesh-xnode a::b".into()],
        verdict,
        seconds: 1.5,
        left: Vec::new(),
    };
    let report = |rows| Report::of(rows, Duration::from_secs(2), Duration::from_secs(61));
    let caught = row(Verdict::Caught);
    let (away, left_out) = (row(Verdict::Survived("b passes".into())), row(Verdict::NotTried("root".into())));
    assert_eq!(report(vec![caught.clone()]).code(), 0);
    assert_eq!(report(vec![caught.clone(), left_out.clone()]).code(), 3);
    let all = report(vec![caught, left_out, away]);
    assert_eq!(all.code(), 1);
    let (table, json) = (all.table(), all.json().expect("JSON"));
    assert!(table.contains("SURVIVED") && table.contains("one (a rule is broken): b passes"), "{table}");
    assert!(table.ends_with("1 of 3 caught in 1 min 1 s\n"), "{table}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&value["rows"][0]["verdict"], &value["rows"][2]["words"]), (&"caught".into(), &"b passes".into()));
}

#[test]
fn only_agents_of_a_test_are_its_own() {
    let pid = 0x1_2345;
    for own in ["t48d145", "t48d140", "a48d157", "test-48d141-00c0ffee"] {
        assert!(is_of(own, pid), "{own}");
    }
    for other in ["default", "up-48d141", "t48d181", "a48d187", "test-48d181-00c0ffee", "t", ""] {
        assert!(!is_of(other, pid), "{other}");
    }
}
