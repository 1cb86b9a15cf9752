//! The source code keeps its own rules of shape: no circles, no long functions or files, comments that say what an item is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xtask::source::{Crate, SourceFile};
use xtask::{circles, metadata, root, source, tidy, unused};

/// Share of functions that may be longer than [`tidy::FUNCTION_LINES_MAX`], in thousandths.
const LONG_FUNCTIONS_PER_MILLE: usize = 3;
/// Files that may be longer than [`tidy::FILE_CODE_LINES_MAX`].
const LONG_FILES_MAX: usize = 3;

fn workspace() -> Vec<Crate> {
    source::crates(&root(), &metadata(false).expect("cargo metadata")).expect("the workspace's source code")
}

/// Every Rust file that git knows, tests too.
fn rust_files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["bin", "crates", "fuzz", "xtask", "benches"].map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("entry").path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path.strip_prefix(root()).expect("inside").display().to_string(), text));
            }
        }
    }
    assert!(found.len() > 300, "{} files only", found.len());
    found
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n{} in all\n", found.join("\n"), found.len());
}

#[test]
fn no_file_is_in_an_import_circle() {
    assert_none(workspace().iter().flat_map(circles::circles).collect());
}

#[test]
fn functions_are_short() {
    let all: Vec<tidy::Function> = workspace().iter().flat_map(tidy::functions).collect();
    let long: Vec<String> = all
        .iter()
        .filter(|f| f.lines > tidy::FUNCTION_LINES_MAX)
        .map(|f| format!("{} has {} lines", f.place, f.lines))
        .collect();
    assert!(all.len() > 3000, "{} functions only", all.len());
    assert!(
        long.len() * 1000 < all.len() * LONG_FUNCTIONS_PER_MILLE,
        "\n{}\n{} of {} functions\n",
        long.join("\n"),
        long.len(),
        all.len()
    );
}

#[test]
fn files_are_short() {
    let sources = workspace();
    let lengths = sources.iter().flat_map(|s| s.files.values()).map(|f| (tidy::code_lines(f), &f.path));
    let long: Vec<String> = lengths
        .filter(|(lines, _)| *lines > tidy::FILE_CODE_LINES_MAX)
        .map(|(lines, path)| format!("{} has {lines} lines of code", path.display()))
        .collect();
    assert!(long.len() <= LONG_FILES_MAX, "\n{}\n", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let sources = workspace();
    let files = sources.iter().flat_map(|s| s.files.values());
    assert_none(files.filter(|f| !tidy::has_module_docs(f)).map(|f| f.path.display().to_string()).collect());
}

#[test]
fn comments_say_what_an_item_is_or_does() {
    assert_none(rust_files().iter().flat_map(|(path, text)| tidy::questions(path, text)).collect());
}

#[test]
fn exceptions_have_reasons() {
    assert_none(rust_files().iter().flat_map(|(path, text)| tidy::unreasoned(path, text)).collect());
}

#[test]
fn declared_dependencies_are_used() {
    let parse = |path: &Path| -> toml::Table {
        std::fs::read_to_string(path).expect("manifest").parse().expect("a manifest is TOML")
    };
    let metadata = metadata(false).expect("cargo metadata");
    let members: Vec<toml::Table> =
        metadata.workspace_packages().iter().map(|p| parse(p.manifest_path.as_std_path())).collect();
    assert_none(unused::workspace_dependencies(&parse(&root().join("Cargo.toml")), &members));
}

fn example(files: &[(&[&str], &str)]) -> Crate {
    let files = files.iter().map(|(module, text)| {
        let module: Vec<String> = module.iter().map(ToString::to_string).collect();
        let path = PathBuf::from(if module.is_empty() { "lib".to_string() } else { module.join("/") });
        let tree = syn::parse_file(text).expect("Rust");
        (module, SourceFile { path, text: text.to_string(), tree })
    });
    Crate { package: "example".into(), files: files.collect::<BTreeMap<_, _>>() }
}

#[test]
fn a_circle_is_found_through_re_exports_and_paths_in_code() {
    let found = circles::circles(&example(&[
        (&[], "mod a; mod b; pub use a::A;"),
        (&["a"], "pub struct A; fn f() { crate::b::g() }"),
        (&["b"], "use crate::A; pub fn g() { let _ = A; }"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a -> b: g") && found[0].contains("b -> a: A"), "{}", found[0]);
}

#[test]
fn a_parent_that_hands_its_children_on_is_in_no_circle() {
    let found = circles::circles(&example(&[
        (&[], "mod a; mod b; pub use a::A; pub use b::B;"),
        (&["a"], "pub struct A;"),
        (&["b"], "use crate::A; pub struct B(A); #[cfg(test)] mod tests { use crate::c::C; }"),
        (&["c"], "use crate::{A, B}; pub struct C(A, B); mod inner { use super::C; fn f(_: C) {} }"),
    ]));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_parent_that_uses_its_child_is_in_a_circle_when_the_child_uses_it() {
    let found = circles::circles(&example(&[
        (&[], "mod a; pub struct Config; pub fn run() { a::start(Config) }"),
        (&["a"], "use super::Config; pub fn start(_: Config) {}"),
    ]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn lengths_leave_tests_out() {
    let source = example(&[(
        &[],
        "//! Docs.\n\nfn a() {\n    1;\n}\n\n// A comment.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {}\n}\n",
    )]);
    let lengths: Vec<usize> = tidy::functions(&source).iter().map(|f| f.lines).collect();
    assert_eq!(lengths, [3]);
    let file = &source.files[&Vec::new()];
    // The attribute above the tests is code of this file.
    assert_eq!((tidy::code_lines(file), tidy::has_module_docs(file)), (3, true));
}

#[test]
fn a_comment_that_begins_with_a_question_is_found_at_its_first_line_only() {
    let text = "/// Where it is.\nfn a() {}\n/// The place\n/// where it is.\nfn b() {}\n//! Whether.\n";
    assert_eq!(tidy::questions("f.rs", text).len(), 2);
    assert_eq!(tidy::unreasoned("f.rs", "#[allow(x)]\n#[allow(y, reason = \"z\")]\n").len(), 1);
}
