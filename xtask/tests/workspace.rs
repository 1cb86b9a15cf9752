//! The workspace keeps its own rules.

use std::collections::BTreeSet;

use xtask::{layers, licences, metadata, root};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn layering() {
    let rules: layers::Layers = toml::from_str(&read("layers.toml")).expect("layers.toml");
    let found = layers::violations(&rules, &metadata(false).expect("cargo metadata"));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn licences_of_dependencies() {
    let deny: licences::Deny = toml::from_str(&read("deny.toml")).expect("deny.toml");
    let linked = xtask::linked().expect("cargo tree");
    assert!(linked.len() > 300, "cargo tree named only {} packages", linked.len());
    let found = licences::violations(&deny, &metadata(true).expect("cargo metadata"), &linked);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn licence_expressions() {
    let allow: BTreeSet<String> = ["MIT", "Apache-2.0", "Zlib"].map(String::from).into();
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND Zlib", "MIT AND (Zlib OR X)"] {
        assert!(licences::allowed(good, &allow), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "", "Apache-2.0 WITH LLVM-exception"] {
        assert!(!licences::allowed(bad, &allow), "{bad}");
    }
}

/// `cargo build` and `cargo test` differ in how our own crates are compiled, and in nothing else, so that every dependency is compiled once.
#[test]
fn both_forms_share_every_dependency() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let metadata = metadata(false).expect("cargo metadata");
    let members: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let test = manifest["profile"]["test"].as_table().expect("the tests' profile");
    let of_all: Vec<&String> = test.keys().filter(|key| !["opt-level", "package"].contains(&key.as_str())).collect();
    assert!(of_all.is_empty(), "the tests' profile sets {of_all:?}, for dependencies too");
    let packages = test.get("package").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    let foreign: Vec<&String> = packages.filter(|name| !members.contains(*name)).collect();
    assert!(foreign.is_empty(), "the tests' profile compiles {foreign:?} in another way");
    // A dependency without a level of its own would have that of the form.
    let level = &manifest["profile"]["dev"]["package"]["*"]["opt-level"];
    assert!(level.is_integer(), "{level}");
}

/// `ARCHITECTURE.md` names every room and no path that does not exist.
#[test]
fn architecture_is_a_true_map() {
    let map = read("ARCHITECTURE.md");
    for entry in std::fs::read_dir(root().join("crates")).expect("crates") {
        let name = entry.expect("entry").file_name().into_string().expect("name");
        assert!(map.contains(&format!("`crates/{name}`")), "ARCHITECTURE.md does not name crates/{name}");
    }
    for path in map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|p| p.contains('/') && !p.starts_with('/') && !p.contains([' ', '<', '{', '*', ':']))
    {
        assert!(root().join(path).exists(), "ARCHITECTURE.md names {path}, which does not exist");
    }
}

/// Pure rooms refuse by lint what would make two nodes differ or a run impossible to repeat.
#[test]
fn pure_rooms_refuse_clocks_floats_and_random_orders() {
    const REFUSED: [&str; 6] = [
        "std::collections::HashMap",
        "std::collections::HashSet",
        "std::time::Instant",
        "std::time::SystemTime",
        "f32",
        "f64",
    ];
    let rules: layers::Layers = toml::from_str(&read("layers.toml")).expect("layers.toml");
    // The contract with clients holds what JSON holds, floats too.
    for (name, _) in rules.ring.iter().filter(|(name, ring)| rules.pure.rings.contains(ring) && *name != "api") {
        let lints: toml::Table = read(&format!("crates/{name}/clippy.toml")).parse().expect("TOML");
        let refused = lints["disallowed-types"].as_array().expect("disallowed-types");
        let paths: BTreeSet<&str> = refused.iter().filter_map(|entry| entry["path"].as_str()).collect();
        assert!(REFUSED.iter().all(|path| paths.contains(path)), "crates/{name}/clippy.toml refuses {paths:?} only");
    }
}

/// Every type that the glossary of `ARCHITECTURE.md` names is public in exactly one place.
#[test]
fn the_glossary_names_one_type_for_each_word() {
    let map = read("ARCHITECTURE.md");
    let (_, glossary) = map.split_once("## Glossary").expect("a glossary");
    let types: Vec<&str> = glossary
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.trim_end_matches('|').rsplit('|').next())
        .filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
        .collect();
    assert!(types.len() > 10, "{types:?}");
    let sources = xtask::source::crates(&root(), &metadata(false).expect("cargo metadata")).expect("source code");
    for name in types {
        let defines = |text: &str| {
            ["struct", "enum"].iter().any(|kind| {
                text.lines().any(|line| {
                    let rest = line.trim_start().strip_prefix("pub ").and_then(|line| line.strip_prefix(kind));
                    let word = rest.map(|rest| rest.trim_start().split(|c: char| !c.is_alphanumeric()).next());
                    word.flatten() == Some(name)
                })
            })
        };
        let places: Vec<String> = sources
            .iter()
            .flat_map(|source| source.files.values())
            .filter(|file| defines(&file.text))
            .map(|file| file.path.display().to_string())
            .collect();
        assert_eq!(places.len(), 1, "{name} is defined in {places:?}");
    }
}
