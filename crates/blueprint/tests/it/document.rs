//! The document: reading, printing, problems, schema.

use openmesh_blueprint::Document;
use openmesh_blueprint::document::schema;
use openmesh_blueprint::text::parse;
use proptest::prelude::*;

use crate::golden::golden;

/// A document with everything in it.
pub const FULL: &str = include_str!("full.yaml");

fn problems(text: &str) -> String {
    let problems = Document::parse(text).unwrap_err();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_document_with_everything_prints_in_one_way() {
    let document = Document::parse(FULL).unwrap_or_else(|p| panic!("{p:#?}"));
    golden("full.canonical.yaml", &document.to_yaml());
    golden("full.canonical.json", &document.to_json());
    assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
    assert_eq!(Document::parse(&document.to_json()).unwrap(), document);
    // JSON of others: in one line, indented by tabs, with pairs of surrogates.
    let value: serde_json::Value = serde_json::from_str(&document.to_json()).unwrap();
    assert_eq!(Document::parse(&value.to_string()).unwrap(), document);
    assert_eq!(Document::parse(&document.to_json().replace("  ", "\t")).unwrap(), document);
    let text = "{\"version\":1,\"applications\":{\"a\":{\"image\":\"a\",\"description\":\"\\ud83d\\ude00 \\u00e9\"}}}";
    let pair = Document::parse(text).unwrap();
    assert_eq!(pair.applications.values().next().unwrap().description.as_deref(), Some("😀 é"));
}

/// `packaging/openmesh-node.yaml`, a node of a network as an application.
#[test]
fn the_packaged_document_of_a_node_is_one() {
    let text = include_str!("../../../../packaging/openmesh-node.yaml");
    let document = Document::parse(text).unwrap_or_else(|p| panic!("{p:#?}"));
    let (name, node) = document.applications.iter().next().unwrap();
    assert_eq!(name.to_string(), "openmesh-node");
    assert_eq!(node.ports.len(), 3);
}

#[test]
fn all_problems_are_said_at_once_with_their_places() {
    golden("problems.txt", &problems(include_str!("wrong.yaml")));
}

#[test]
fn what_no_type_can_say() {
    golden("problems_of_the_whole.txt", &problems(include_str!("clashes.yaml")));
}

/// A network that cannot be is a problem of the document, before anything is fetched or made.
#[test]
fn networks_that_cannot_be() {
    let with = |machine: &str, application: &str| {
        format!("version: 1\nmachine: {{{machine}}}\napplications:\n  a: {{image: a, {application}}}\n")
    };
    for (machine, application, expected) in [
        ("subnet: 127.0.0.0/8", "", "2:19: machine.subnet: is 127.0.0.0/8, but 127.0.0.0/8 are the loopback"),
        ("subnet: 169.254.16.0/24", "", "machine.subnet: is 169.254.16.0/24, but 169.254.0.0/16 are the link-local"),
        ("subnet: 169.0.0.0/8", "", "but 169.254.0.0/16 are the link-local"),
        ("subnet: 239.1.0.0/16", "", "but 224.0.0.0/4 are the multicast"),
        ("subnet: 250.0.0.0/8", "", "but 240.0.0.0/4 are the reserved"),
        ("subnet: 0.0.0.0/8", "", "but 0.0.0.0/8 are the addresses of \"this network\""),
        (
            "",
            "ports: {x: {port: 80, publish: {address: '::'}}}",
            "a.ports.x.publish.address: is ::, but ports are published at addresses of IPv4 alone",
        ),
        (
            "",
            "ports: {x: {port: 53, protocol: udp, publish: {address: '::1'}}}",
            "a.ports.x.publish.address: is ::1, but ports",
        ),
        ("", "limits: {rate: 1 bit/s}", "a.limits.rate: is 1 bit/s, but below 16 kbit/s a full frame"),
        ("", "limits: {rate: 0 bit/s}", "a.limits.rate: is 0, with which nothing runs"),
    ] {
        let found = problems(&with(machine, application));
        assert!(found.contains(expected) && found.lines().count() == 1, "{machine} {application} gives {found}");
    }
    for (machine, application) in [
        ("subnet: 10.0.0.0/8", "limits: {rate: 16 kbit/s}"),
        ("subnet: 192.168.7.0/29", "ports: {x: {port: 80, protocol: http, publish: {address: 127.0.0.1}}}"),
    ] {
        assert!(Document::parse(&with(machine, application)).is_ok(), "{machine} {application}");
    }
}

#[test]
fn texts_that_are_no_documents() {
    for (text, start) in [
        ("", "1:1: is empty"),
        ("# only a comment\n", "1:1: is empty"),
        ("version: 1\n---\nversion: 1\n", "2:1: holds a second document"),
        ("version: 1\nversion: 1\n", "2:1: `version` stands here again, first at 1:1"),
        ("version: 1\n  machine: {\n", "2:10: is neither YAML nor JSON"),
        ("[1]", "1:1: is a list, but a map with `version`, `machine`, `applications` is expected"),
        ("version: \"1\"", "1:10: version: must be a whole number"),
        ("? [a]\n: 1\n", "1:3: a key must be a single value"),
        ("a: &x [*x]\n", "1:8: refers to an anchor"),
    ] {
        let found = problems(text);
        assert!(found.starts_with(start), "{text:?} gives {found}");
    }
    let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
    assert!(problems(&deep).contains("is nested deeper than 32"), "{}", problems(&deep));
    let long = format!("a: {}", "x".repeat(2 << 20));
    assert!(problems(&long).contains("of which at most 1048576 are read"));
}

/// Rules between many parts end with the problems that are kept.
#[test]
fn many_faults_are_counted_and_not_looked_for() {
    let applications: String = (0..400).map(|at| format!("  a{at}: {{image: a}}\n")).collect();
    let names: String = (0..30_000).map(|at| format!("nobody-of-this-name-{at}, ")).collect();
    let text = format!("version: 1\napplications:\n{applications}  b: {{image: b, links: [{names}]}}\n");
    let found = problems(&text);
    assert!(
        found.contains("which is no application here") && found.lines().count() == 101,
        "{}",
        found.lines().count()
    );
    let applications: String = (0..20_000).map(|at| format!("  a{at}: {{image: a, links: [a{}]}}\n", at + 1)).collect();
    let found = problems(&format!("version: 1\napplications:\n{applications}"));
    assert!(found.ends_with("applications: has 20000 applications, but at most 500 fit\n"), "{found}");
    assert_eq!(found.lines().count(), 1);
}

/// A billion laughs: each line holds the one before ten times.
#[test]
fn aliases_are_bounded() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let found = parse(&text).unwrap_err();
    assert!(found[0].what.contains("holds more than 200000 values"), "{found:?}");
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text =
        "version: 1\napplications:\n  a: &a\n    image: a:1\n    variables: {A: x}\n  b:\n    <<: *a\n    image: b:1\n";
    let document = Document::parse(text).unwrap();
    let b = &document.applications[&"b".parse().unwrap()];
    assert_eq!(b.image.as_ref().unwrap().to_string(), "docker.io/library/b:1");
    assert_eq!(b.variables.len(), 1);
}

/// Words that other readers of YAML take for something else stay what they are.
#[test]
fn variables_are_kept_as_written() {
    let text = "version: 1\napplications:\n  a:\n    image: a\n    variables: {A: on, B: 1.10, C: 0x1f, D: no, E: \"\", F: 012}\n";
    let document = Document::parse(text).unwrap();
    let printed = document.to_yaml();
    assert!(
        printed.contains(
            "A: \"on\"\n      B: \"1.10\"\n      C: \"0x1f\"\n      D: \"no\"\n      E: \"\"\n      F: \"012\"\n"
        ),
        "{printed}"
    );
    assert_eq!(Document::parse(&printed).unwrap(), document);
}

#[test]
fn the_schema_is_that_of_the_declarations() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schema/xnode.schema.json");
    let text = schema().to_json();
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "OPENMESH_UPDATE=1 writes {}", path.display());
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Every reference leads somewhere, and every definition is led to.
    let definitions: Vec<&String> = parsed["$defs"].as_object().unwrap().keys().collect();
    for name in definitions.iter().filter(|name| **name != "Document") {
        assert!(text.contains(&format!("\"#/$defs/{name}\"")), "{name} is not used");
    }
    for part in text.split("\"#/$defs/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(definitions.iter().any(|known| *known == name), "{name} is not defined");
    }
}

proptest! {
    /// Any text at all gives a document or problems, and never a panic.
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        if let Err(problems) = Document::parse(&text) {
            prop_assert!(!problems.is_empty());
        }
    }

    /// A piece of a right document put elsewhere in it gives a document or problems within its lines.
    #[test]
    fn places_lie_in_the_text(from in 0usize..4000, length in 0usize..60, to in 0usize..4000) {
        let text: Vec<char> = FULL.chars().collect();
        let (from, to) = (from % text.len(), to % text.len());
        let piece = &text[from..(from + length).min(text.len())];
        let mixed: String = text[..to].iter().chain(piece).chain(&text[to..]).collect();
        match Document::parse(&mixed) {
            Ok(document) => prop_assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document),
            Err(problems) => {
                let lines = mixed.lines().count() as u32 + 1;
                prop_assert!(problems.iter().all(|p| p.place.line >= 1 && p.place.line <= lines && p.place.column >= 1));
            }
        }
    }

    /// Whatever text a variable holds is the same after printing and reading, as YAML and as JSON.
    #[test]
    fn texts_survive_printing(value in any::<String>(), description in "[ -~\\n\\t]{1,40}") {
        prop_assume!(!value.contains('\0'));
        let mut document = Document::parse("version: 1\napplications: {a: {image: a}}").unwrap();
        let application = document.applications.values_mut().next().unwrap();
        application.description = Some(description);
        application.variables.insert("X".parse().unwrap(), openmesh_blueprint::document::Content::Text(value));
        prop_assert_eq!(&Document::parse(&document.to_yaml()).unwrap(), &document);
        prop_assert_eq!(&Document::parse(&document.to_json()).unwrap(), &document);
    }
}

/// Returns true when a value fits a schema: the part of JSON schema that ours uses, patterns excepted.
fn fits(schema: &serde_json::Value, root: &serde_json::Value, value: &serde_json::Value) -> bool {
    let all = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(&root["$defs"][reference.rsplit('/').next().unwrap()], root, value);
    }
    let is = |word: &str| match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the type {other} is not in use"),
    };
    let typed = match &schema["type"] {
        serde_json::Value::String(word) => is(word),
        serde_json::Value::Array(words) => words.iter().any(|word| is(word.as_str().unwrap())),
        _ => true,
    };
    let listed = all("enum").is_empty() || all("enum").contains(value);
    let any = all("anyOf").is_empty() || all("anyOf").iter().any(|schema| fits(schema, root, value));
    let one = all("oneOf").is_empty() || all("oneOf").iter().filter(|schema| fits(schema, root, value)).count() == 1;
    let there = all("required").iter().all(|key| !value[key.as_str().unwrap()].is_null());
    let items = value
        .as_array()
        .is_none_or(|items| schema["items"].is_null() || items.iter().all(|item| fits(&schema["items"], root, item)));
    let pairs = value.as_object().is_none_or(|pairs| {
        pairs.iter().all(|(key, value)| match (&schema["properties"][key], &schema["additionalProperties"]) {
            (serde_json::Value::Null, serde_json::Value::Bool(more)) => *more,
            (serde_json::Value::Null, serde_json::Value::Null) => true,
            (serde_json::Value::Null, more) => fits(more, root, value),
            (known, _) => fits(known, root, value),
        })
    });
    typed && listed && any && one && there && items && pairs
}

#[test]
fn the_schema_takes_what_is_printed_and_refuses_unknown_keys() {
    let root: serde_json::Value = serde_json::from_str(&schema().to_json()).unwrap();
    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let full = json(&Document::parse(FULL).unwrap().to_json());
    assert!(fits(&root, &root, &full));
    let mut unknown = full.clone();
    unknown["applications"]["db"]["limits"]["memry"] = "1 GiB".into();
    let mut two = full.clone();
    two["applications"]["db"]["recipe"] = json("{}");
    let mut word = full.clone();
    word["applications"]["web"]["root"] = "writeable".into();
    let mut quoted = full.clone();
    quoted["applications"]["web"]["ports"]["http"]["port"] = "8080".into();
    let mut lacks = full;
    lacks.as_object_mut().unwrap().remove("version");
    for wrong in [unknown, two, word, quoted, lacks] {
        assert!(!fits(&root, &root, &wrong));
        assert!(Document::parse(&wrong.to_string()).is_err());
    }
}
