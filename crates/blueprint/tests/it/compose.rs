//! Compose files: what becomes of them, and what is said about the rest.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Document;
use openmesh_blueprint::compose::{Finding, import};
use proptest::prelude::*;

use crate::golden::golden;

const BLOG: &str = include_str!("compose.yaml");

fn variables() -> BTreeMap<String, String> {
    [("DB_PASSWORD".to_string(), "tr:0ub4dor".to_string())].into()
}

#[test]
fn a_blog() {
    let imported = import(BLOG, &variables()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let text: String = imported.findings().iter().map(|finding| format!("{finding}\n")).collect();
    golden("compose.findings.txt", &text);
    let unsupported = imported.accept(&BTreeSet::new()).unwrap_err();
    let keys: BTreeSet<String> = unsupported.iter().map(|finding| finding.key.clone()).collect();
    let all_but_one: BTreeSet<String> = keys.iter().filter(|key| *key != "build").cloned().collect();
    let left: Vec<&Finding> = imported.accept(&all_but_one).unwrap_err();
    assert!(left.iter().all(|finding| finding.key == "build") && left.len() == 1);
    let document = imported.accept(&keys).unwrap();
    golden("compose.document.yaml", &document.to_yaml());
    assert_eq!(&Document::parse(&document.to_yaml()).unwrap(), document);
}

#[test]
fn files_that_give_no_document() {
    for (text, expected) in [
        ("a: 1\n", "1:1: has no `services`"),
        ("services: [a]\n", "1:11: must be a map of services"),
        ("services:\n  a: {}\n", "2:6: services.a: has no image"),
        ("services:\n  a: {image: 'A B'}\n", "2:14: services.a.image: `A B` is not a reference"),
        (
            "services:\n  a: {image: 'a:${V}'}\n",
            "2:14: services.a.image: needs the variable V (give it with `--set V=...`)",
        ),
        ("services:\n  a_b: {image: a}\n  a-b: {image: a}\n", "3:3: service `a-b` would have the name `a-b`"),
        (
            "services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}\n",
            "waits for itself: a -> b -> a",
        ),
        (
            "services:\n  a: {image: a, ports: ['80:80']}\n  b: {image: b, ports: ['80:81']}\n",
            "claims port 80/tcp of the host",
        ),
    ] {
        let problems = import(text, &BTreeMap::new()).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|problem| problem.contains(expected)), "{text:?} gives {said:#?}");
    }
}

proptest! {
    /// A compose file with a piece of it put elsewhere gives an answer; what it gives is a right document.
    #[test]
    fn mixed_files_are_answered(from in 0usize..2500, length in 0usize..80, to in 0usize..2500) {
        let text: Vec<char> = BLOG.chars().collect();
        let (from, to) = (from % text.len(), to % text.len());
        let piece = &text[from..(from + length).min(text.len())];
        let mixed: String = text[..to].iter().chain(piece).chain(&text[to..]).collect();
        match import(&mixed, &variables()) {
            Ok(imported) => {
                let keys = imported.findings().iter().map(|finding| finding.key.clone()).collect();
                let document = imported.accept(&keys).unwrap();
                prop_assert_eq!(&Document::parse(&document.to_yaml()).unwrap(), document);
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
