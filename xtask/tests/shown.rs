//! The table of what shows each promise of the Xnode names tests and commands that are there.

use xtask::mutants::list::Test;
use xtask::root;

/// The table, from the workspace's root.
const FILE: &str = "docs/spec/xnode-shown.md";

/// Words between backquotes.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A span that names a test: its room, its target, its name.
fn test(span: &str) -> Option<Test> {
    let [room, target, name]: [&str; 3] = span.split(' ').collect::<Vec<_>>().try_into().ok()?;
    if !["it", "lib"].contains(&target) {
        return None;
    }
    Some(Test {
        package: format!("openmesh-{room}"),
        target: target.into(),
        name: name.into(),
        says: String::new(),
        root: false,
    })
}

#[test]
fn every_promise_is_shown_by_what_is_there() {
    let text = std::fs::read_to_string(root().join(FILE)).unwrap();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let (mut tests, mut found) = (0, Vec::new());
    for span in spans(&text) {
        if let Some(test) = test(span) {
            tests += 1;
            if !test.is_there(&root()) {
                found.push(format!("{FILE} names the test {span}, which is not there"));
            }
        }
        if let Some(word) = span.strip_prefix("make ").and_then(|rest| rest.split(' ').next())
            && !makefile.contains(&format!("\n{word}:"))
        {
            found.push(format!("{FILE} names {span}, which the Makefile does not have"));
        }
    }
    assert!(tests > 60, "{tests} tests are named");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    // Each row of a table names something.
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let shown = row.rsplit('|').nth(1).unwrap_or_default();
        let is_head = shown.trim() == "shown by";
        let names = spans(shown).any(|span| test(span).is_some() || span.starts_with("make "));
        assert!(is_head || names, "nothing shows {row}");
    }
}
