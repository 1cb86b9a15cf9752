//! Compose files: what becomes of them, and what is said about the rest.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Document;
use openmesh_blueprint::compose::{Context, Finding, FindingKind, import};
use proptest::prelude::*;

use crate::golden::golden;

const BLOG: &str = include_str!("compose.yaml");

fn blog() -> Context {
    let variables = [("DB_PASSWORD".to_string(), "tr:0ub4dor".to_string())].into();
    let files = [("uploads.ini", "upload_max_filesize = 64M\n"), (".env", "API_TOKEN=abc\nMODE=fast\n")];
    let files = files.map(|(path, text)| (path.to_string(), text.to_string())).into();
    let profiles = ["debug".to_string()].into();
    Context { variables, files, profiles, images: BTreeMap::new() }
}

#[test]
fn a_blog() {
    let imported = import(BLOG, &blog()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let text: String = imported.findings().iter().map(|finding| format!("{finding}\n")).collect();
    golden("compose.findings.txt", &text);
    let unsupported = imported.accept(&BTreeSet::new()).unwrap_err();
    let keys: BTreeSet<String> = unsupported.iter().map(|finding| finding.key.clone()).collect();
    let all_but_one: BTreeSet<String> = keys.iter().filter(|key| *key != "build").cloned().collect();
    let left: Vec<&Finding> = imported.accept(&all_but_one).unwrap_err();
    assert!(left.iter().all(|finding| finding.key == "build") && left.len() == 1);
    // One place alone, by its path.
    let mut with_path = all_but_one.clone();
    with_path.insert("services.db.build".to_string());
    assert!(imported.accept(&with_path).is_err());
    with_path.insert("services.worker.build".to_string());
    assert!(imported.accept(&with_path).is_ok());
    let document = imported.accept(&keys).unwrap();
    golden("compose.document.yaml", &document.to_yaml());
    assert_eq!(&Document::parse(&document.to_yaml()).unwrap(), document);
    // No password is in the document, whatever way it came.
    for secret in ["tr:0ub4dor", "abc"] {
        assert!(!document.to_yaml().contains(secret), "{secret}");
    }
}

#[test]
fn files_that_give_no_document() {
    for (text, expected) in [
        ("a: 1\n", "1:1: has no `services`"),
        ("services: [a]\n", "1:11: must be a map of services"),
        ("services:\n  a: {}\n", "2:6: services.a: has no image"),
        ("services:\n  a: [x]\n", "2:6: services.a: is a list, but a service is expected"),
        ("services:\n  a: {build: .}\n", "2:14: services.a: has no image: it is built from a folder"),
        ("services:\n  a: {image: 'A B'}\n", "2:14: services.a.image: `A B` is not a reference"),
        (
            "services:\n  a: {image: 'a:${V}'}\n",
            "2:14: services.a.image: needs the variable V (give it with `--set V=...`)",
        ),
        ("services:\n  a: {image: a, command: '${'}\n", "services.a.command: has a `${` that is not closed"),
        ("services:\n  a: {image: a, environment: {'1A': x}}\n", "`1A` is not a name of a variable"),
        ("services:\n  a: {image: a, environment: {A: [x]}}\n", "A is a list, but a text is expected"),
        ("services:\n  a_b: {image: a}\n  a-b: {image: a}\n", "3:3: service `a-b` would have the name `a-b`"),
        (
            "services:\n  base: {image: 'a:${NONE}', profiles: [x]}\n  a: {extends: base, profiles: !override []}\n",
            "services.base.image: needs the variable NONE",
        ),
        ("services:\n  a: {image: a, extends: b}\n", "`a` extends `b`, which is no service here"),
        ("services:\n  a: {extends: b}\n  b: {extends: a}\n", "which extends itself by it"),
        ("services:\n  a: {image: a, ports: !remove []}\n", "has the tag `!remove`, which means nothing here"),
        (
            "services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}\n",
            "waits for itself: a -> b -> a",
        ),
        (
            "services:\n  a: {image: a, ports: ['80:80']}\n  b: {image: b, ports: ['80:81']}\n",
            "claims port 80/tcp of the host",
        ),
    ] {
        let problems = import(text, &Context::default()).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|problem| problem.contains(expected)), "{text:?} gives {said:#?}");
    }
}

/// A hostile file is refused or read, and neither takes long.
#[test]
fn large_files_are_bounded() {
    let services: String = (0..200).map(|at| format!("  s{at}: {{image: a}}\n")).collect();
    let problems = import(&format!("services:\n{services}"), &Context::default()).unwrap_err();
    assert!(problems[0].to_string().contains("has 200 services, of which at most 128 are read"), "{problems:?}");

    // Each extends the one before, which has a list of a hundred kilobytes.
    let long = vec!["a=1"; 20_000].join(", ");
    let chain: String = (1..120).map(|at| format!("  s{at}: {{extends: s{}, environment: [x=1]}}\n", at - 1)).collect();
    let text = format!("services:\n  s0: {{image: a, environment: [{long}]}}\n{chain}");
    let problems = import(&text, &Context::default()).unwrap_err();
    assert!(problems.iter().any(|problem| problem.what.contains("more than 200000 values")), "{problems:?}");

    // All of one network, each publishing a port and naming all others.
    let hosts: Vec<String> = (0..128).map(|at| format!("s{at}:80")).collect();
    let services: String = (0..128)
        .map(|at| format!("  s{at}: {{image: a, ports: ['80'], environment: {{ALL: '{}'}}}}\n", hosts.join(",")))
        .collect();
    let imported = import(&format!("services:\n{services}"), &Context::default()).unwrap();
    let links: usize = imported.document().applications.values().map(|application| application.links.len()).sum();
    assert_eq!(links, 128 * 127 / 2, "each pair has one link");

    // A long key would stand in each of ten thousand findings below it.
    let keys: String = (0..9_000).map(|at| format!("k{at}: 1, ")).collect();
    let text = format!("services:\n  ? {}\n  : {{image: a, {keys}}}\n", "s".repeat(400_000));
    let problems = import(&text, &Context::default()).unwrap_err();
    assert!(problems.iter().any(|problem| problem.what.contains("has a key of 400000 bytes")), "{}", problems[0].what);
    let names: String = (0..9_000).map(|at| format!("PASSWORD{at}=x\n")).collect();
    let files = [("a.env".to_string(), names)].into();
    let text = "services:\n  a: {image: a, env_file: a.env}\n";
    let imported = import(text, &Context { files, ..Context::default() }).unwrap();
    let secrets = imported.document().applications.values().next().unwrap().secrets().len();
    assert_eq!(secrets, 9_000);

    // A short text of long variables, which many services extend.
    let chain: String = (1..120).map(|at| format!("  s{at}: {{extends: s0}}\n")).collect();
    let text = format!("services:\n  s0: {{image: a, environment: {{A: $L$L$L}}}}\n{chain}");
    let variables = [("L".to_string(), "x".repeat(1 << 20))].into();
    let problems = import(&text, &Context { variables, ..Context::default() }).unwrap_err();
    assert!(problems.iter().any(|problem| problem.what.contains("more than 200000 values")), "{problems:?}");

    // Each port is compared with the others.
    let ranges: String = (0..600).map(|at| format!("'{}-{}', ", at * 100 + 1, at * 100 + 100)).collect();
    let text = format!("services:\n  a: {{image: a, ports: [{ranges}]}}\n");
    let imported = import(&text, &Context::default()).unwrap();
    assert_eq!(imported.document().applications.values().next().unwrap().ports.len(), 500);
    assert!(imported.findings().iter().any(|finding| finding.why.contains("more than 512 ports")));

    let deep = format!("services:\n  a: {{image: 'a{}'}}\n", "${A:-".repeat(20_000));
    assert!(import(&deep, &Context::default()).is_err());
}

proptest! {
    /// A compose file with a piece of it put elsewhere gives an answer; what it gives is a right document.
    #[test]
    fn mixed_files_are_answered(from in 0usize..2500, length in 0usize..80, to in 0usize..2500) {
        let text: Vec<char> = BLOG.chars().collect();
        let (from, to) = (from % text.len(), to % text.len());
        let piece = &text[from..(from + length).min(text.len())];
        let mixed: String = text[..to].iter().chain(piece).chain(&text[to..]).collect();
        match import(&mixed, &blog()) {
            Ok(imported) => {
                let keys = imported.findings().iter().map(|finding| finding.key.clone()).collect();
                let document = imported.accept(&keys).unwrap();
                prop_assert_eq!(&Document::parse(&document.to_yaml()).unwrap(), document);
                let unsupported = imported.findings().iter().any(|found| found.kind == FindingKind::Unsupported);
                prop_assert_eq!(imported.accept(&BTreeSet::new()).is_err(), unsupported);
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    /// Links never have a cycle but where the file itself asks for one, and each pair of a network has at most one.
    #[test]
    fn links_of_any_networks_have_no_cycle(
        of in prop::collection::vec((0u8..8, any::<bool>(), 0usize..8, 0usize..8), 1..8),
    ) {
        let mut text = "services:\n".to_string();
        for (at, (networks, publishes, depends, names)) in of.iter().enumerate() {
            let networks: Vec<String> = (0u8..3).filter(|bit| (*networks >> *bit) & 1 == 1).map(|n| format!("n{n}")).collect();
            let ports = if *publishes { "['80']" } else { "[]" };
            // Orders lead to earlier ones alone, so that the file itself has no cycle.
            let depends = if at > 0 { format!("[s{}]", depends % at) } else { "[]".to_string() };
            text += &format!(
                "  s{at}: {{image: a, ports: {ports}, networks: [{}], depends_on: {depends}, environment: {{X_HOST: s{}}}}}\n",
                networks.join(", "),
                names % of.len(),
            );
        }
        let imported = import(&text, &Context::default()).map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?;
        let applications = &imported.document().applications;
        for (name, application) in applications {
            for link in &application.links {
                prop_assert!(!applications[link].links.contains(name), "{}", text);
            }
        }
    }
}
