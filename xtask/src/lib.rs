//! Checks on the workspace itself, run as tests: the layering of `layers.toml`, the licences of `deny.toml`, the paths that
//! `ARCHITECTURE.md` names, import circles inside a crate, sizes, and the form of doc comments.
//!
//! They are tests, not scripts, so that the one command that runs all tests runs them too, with nothing installed. That command is the program `openmesh-tests`,
//! which lets programs of tests run side by side ([`suite`]). What takes longer than a suite may is `openmesh-mutants`: it breaks rules and wants tests to fail
//! ([`mutants`]).

pub mod circles;
pub mod layers;
pub mod licences;
pub mod mutants;
pub mod notices;
pub mod source;
pub mod suite;
pub mod tidy;
pub mod unused;

use std::path::PathBuf;

/// The workspace's root.
pub fn root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}

/// Metadata of the workspace as cargo has it; offline, from the lock file.
pub fn metadata(with_dependencies: bool) -> Result<cargo_metadata::Metadata, cargo_metadata::Error> {
    let mut command = cargo_metadata::MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).other_options(vec![
        "--locked".into(),
        "--filter-platform".into(),
        "x86_64-unknown-linux-gnu".into(),
    ]);
    if !with_dependencies {
        command.no_deps();
    }
    command.exec()
}

/// Names and versions of what is linked into the workspace's programs. From `cargo tree`, because only it leaves out what
/// features that are off, building and procedural macros would bring.
pub fn linked() -> std::io::Result<std::collections::BTreeSet<(String, String)>> {
    let arguments = ["tree", "--locked", "--workspace", "--edges", "normal,no-proc-macro", "--prefix", "none"];
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}"])
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let packages = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
    });
    Ok(packages.collect())
}

/// The room's name of a package: `openmesh-ledger` is `ledger`.
pub fn room(package: &str) -> &str {
    package.strip_prefix("openmesh-").unwrap_or(package)
}
