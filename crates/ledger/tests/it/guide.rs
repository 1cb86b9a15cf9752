//! `docs/guide/adding-a-module.md` followed by a test: the places that it lists are the ones at which the modules that exist
//! stand, and there are no others.

use std::fs;
use std::path::{Path, PathBuf};

fn ledger() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn guide() -> String {
    fs::read_to_string(ledger().join("../../docs/guide/adding-a-module.md")).unwrap()
}

/// The rows of a table of the guide: file and line, both without the marks of code.
fn rows(heading: &str) -> Vec<(String, String)> {
    let guide = guide();
    let part = guide.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let cells = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_string());
        Some((cells.next()?, cells.next()?))
    };
    part.lines().filter(|line| line.starts_with("| `")).filter_map(cells).collect()
}

/// A line of the guide for another module than its example.
fn of_module(text: &str, module: &str) -> String {
    let variant = module[..1].to_uppercase() + &module[1..];
    text.replace("escrows", module).replace("Escrows", &variant)
}

/// Lines of a file without blanks, so that their layout does not matter.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_places_of_the_guide_are_where_the_modules_stand() {
    let modules = [
        "accounts",
        "beacon",
        "deposits",
        "sources",
        "stamps",
        "supply",
        "fees",
        "upgrades",
        "windows",
        "evidence",
        "validators",
        "epochs",
        "incidents",
    ];
    let folders: Vec<String> = fs::read_dir(ledger().join("src/modules"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders.len(), modules.len(), "{folders:?}");
    assert!(rows("2.").len() >= 10 && rows("1.").len() >= 10, "the tables of the guide");
    for module in ["accounts", "sources", "stamps"] {
        for (file, line) in rows("2.") {
            let wanted = of_module(&line, module);
            let found = lines(&ledger().join("src").join(&file));
            let stands = found.iter().filter(|have| have.contains(&wanted)).count();
            assert!(stands > 0, "{file} has no line {wanted:?}");
        }
    }
}

/// Outside its own folder an action enum is named in the rows of the guide, the crate's list of public names, and nowhere else:
/// so there is no further place that whoever adds a module has to find.
#[test]
fn there_are_no_other_places() {
    let listed: Vec<String> = rows("2.").into_iter().map(|(file, _)| file).collect();
    for module in ["accounts", "sources", "stamps"] {
        let name = of_module("EscrowsAction", module);
        for path in sources(&ledger().join("src")) {
            let relative = path.strip_prefix(ledger().join("src")).unwrap().display().to_string();
            if relative.starts_with(&format!("modules/{module}/")) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // What a file has to try itself with is no such place.
            let text = text.split("#[cfg(test)]").next().unwrap();
            if text.contains(&name) || text.contains(&of_module("Action::Escrows", module)) {
                assert!(
                    listed.contains(&relative) || relative == "lib.rs",
                    "{relative} knows {name}, and the guide does not list it"
                );
            }
        }
    }
}

#[test]
fn the_files_of_a_module_are_those_of_the_guide() {
    let named: Vec<String> = rows("1.").into_iter().map(|(file, _)| file).collect();
    for module in ["accounts", "sources", "stamps"] {
        for entry in fs::read_dir(ledger().join("src/modules").join(module)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(named.contains(&name) || name == "spec.rs", "{module}/{name} is not in the guide");
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(sources(&path)) } else { found.push(path) }
    }
    found
}

/// Follows the guide: writes the files of its example into a copy of the crate, adds the lines of its second part, and has the
/// compiler and the example's own test judge it.
#[test]
#[ignore = "compiles the crate once more; `make soak` runs it"]
fn a_module_added_by_the_guide_works() {
    let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guide/ledger");
    let _ = fs::remove_dir_all(&copy);
    for path in sources(&ledger().join("src")) {
        let to = copy.join("src").join(path.strip_prefix(ledger().join("src")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&path, &to).unwrap();
    }
    let guide = guide();
    let mut written = 0;
    for block in guide.split("```rust\n").skip(1) {
        let code = block.split("```").next().unwrap();
        let Some(file) = code.lines().next().and_then(|line| line.strip_prefix("// ")) else { continue };
        let to = copy.join("src").join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, code.split_once('\n').unwrap().1).unwrap();
        written += 1;
    }
    assert!(written >= 4, "the guide's example has {written} files");
    for (file, line) in rows("2.") {
        let path = copy.join("src").join(&file);
        let text = fs::read_to_string(&path).unwrap();
        let witness = of_module(&line, "sources");
        let old = text.lines().find(|have| have.contains(&witness)).unwrap();
        let new = old.replace(&witness, &line);
        fs::write(&path, text.replacen(old, &format!("{new}\n{old}"), 1)).unwrap();
    }
    let manifest = fs::read_to_string(ledger().join("Cargo.toml")).unwrap();
    let workspace = fs::read_to_string(ledger().join("../../Cargo.toml")).unwrap();
    let (root, dependencies) = (ledger().join("../.."), workspace.split("[workspace.dependencies]").nth(1).unwrap());
    let dependencies = dependencies.split("\n[").next().unwrap();
    let dependencies =
        dependencies.replace("path = \"", &format!("path = \"{}/", root.canonicalize().unwrap().display()));
    let package = workspace.split("[workspace.package]").nth(1).unwrap().split("\n[").next().unwrap();
    let manifest = manifest.replace("[lints]\nworkspace = true\n", "");
    let whole =
        format!("{manifest}\n[workspace]\n[workspace.package]{package}\n[workspace.dependencies]{dependencies}\n");
    fs::write(copy.join("Cargo.toml"), whole).unwrap();
    fs::copy(ledger().join("../../Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    let target = copy.parent().unwrap().join("target");
    let tested = std::process::Command::new(env!("CARGO"))
        .args(["test", "--offline", "--lib", "escrows"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tested.stderr).into_owned() + &String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success() && said.contains("1 passed"), "{said}");
}
