//! `openmesh app import`: a compose file as a document. Nobody is asked and nothing is deployed, so it runs on any machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use openmesh_agent::views::{ImportBody, Imported};
use openmesh_agent::{compose, imported};

use super::super::agent::{json, print};
use super::input::read;
use crate::cli::import::ImportArgs;
use crate::failure::Failure;

/// Largest file beside a compose file that is read, bytes: a document takes a quarter of it, and what is longer is data.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a compose file and prints its document on standard output and what is not as in Docker on standard error.
pub(super) fn run(asked: &ImportArgs) -> Result<(), Failure> {
    let text = read(&asked.file)?;
    let folder = asked.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let variables = variables(folder, &asked.set)?;
    let files = beside(folder, compose::files_named(&text, &variables));
    let body = ImportBody {
        text,
        files,
        variables,
        profiles: asked.profile.iter().cloned().collect(),
        images: asked.image.iter().cloned().collect(),
        without: asked.without.iter().cloned().collect(),
    };
    let made = imported(&body).map_err(|error| {
        Failure::new(format!("{}:\n{error}", asked.file.display()))
            .hint("nothing was made of it; see docs/guide/compose.md")
    })?;
    if asked.output.json {
        json(&made)?;
    } else {
        tell(&made);
    }
    match &asked.out {
        Some(out) if made.is_complete => write(out, &made.document)?,
        None if !asked.output.json => print(&shown(&made))?,
        _ => {}
    }
    let left = made.findings.iter().filter(|finding| finding.is_left).count();
    match left {
        0 => Ok(()),
        left => {
            let parts = if left == 1 { "one part is".to_string() } else { format!("{left} parts are") };
            Err(Failure::new(format!("{parts} unsupported, so this is not what Docker would run")).hint(
                "change the file, or say --without KEY (or --without services.NAME.KEY) for what can be done without",
            ))
        }
    }
}

/// Refuses a compose file where a document is expected.
pub fn is_document(path: &Path, text: &str) -> Result<(), Failure> {
    if !compose::is_compose(text) {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::usage(format!("{path} is a compose file, and a document is expected")).hint(format!(
        "openmesh app import {path} --out document.yaml makes one of it and tells what is not as in Docker; look at it and deploy that"
    )))
}

/// Variables of a compose file as Docker has them: the shell's before those of the file `.env`; before both those that were said.
fn variables(folder: &Path, said: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let shell =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut variables: BTreeMap<String, String> = shell.collect();
    variables.extend(said.iter().cloned());
    let path = folder.join(".env");
    let Some(text) = text_of(&path) else { return Ok(variables) };
    let pairs = compose::env_lines(&text, &variables);
    let pairs = pairs.map_err(|fault| Failure::new(format!("{}: {fault}", path.display())))?;
    for (name, value) in pairs {
        if let Some(value) = value {
            variables.entry(name).or_insert(value);
        }
    }
    Ok(variables)
}

/// Texts of files that lie below a folder, links followed. What lies elsewhere, is no text, or is too long is left out, and told as not being here.
fn beside(folder: &Path, named: BTreeSet<String>) -> BTreeMap<String, String> {
    let Ok(folder) = folder.canonicalize() else { return BTreeMap::new() };
    let text = |path: &String| {
        let real = folder.join(path).canonicalize().ok().filter(|real| real.starts_with(&folder))?;
        text_of(&real)
    };
    named.into_iter().filter_map(|path| text(&path).map(|text| (path, text))).collect()
}

fn text_of(path: &Path) -> Option<String> {
    let found = std::fs::metadata(path).ok().filter(|found| found.is_file() && found.len() <= FILE_BYTES_MAX);
    found.and_then(|_| std::fs::read_to_string(path).ok())
}

/// Tells findings and secrets on standard error, so that standard output is the document alone.
fn tell(made: &Imported) {
    let mut error = std::io::stderr().lock();
    for finding in &made.findings {
        let without = if finding.kind == "unsupported" && !finding.is_left { " (done without)" } else { "" };
        let _ = writeln!(error, "line {}: {}: {}: {}{without}", finding.line, finding.path, finding.kind, finding.why);
    }
    if !made.secrets.is_empty() {
        let _ = writeln!(error, "secrets to set before it is deployed: {}", made.secrets.join(", "));
    }
}

/// The document, which says itself where it is not complete.
fn shown(made: &Imported) -> String {
    match made.is_complete {
        true => made.document.clone(),
        false => format!("# Not complete: the compose file has parts that are unsupported.\n{}", made.document),
    }
}

fn write(path: &Path, document: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(document.as_bytes()));
    written.map_err(|error| Failure::from_display(path.display(), &error).hint("name a file that does not exist yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(file: &Path, out: Option<&Path>, without: &[&str]) -> ImportArgs {
        ImportArgs {
            file: file.into(),
            without: without.iter().map(ToString::to_string).collect(),
            out: out.map(Into::into),
            set: vec![("TAG".into(), "2".into())],
            profile: Vec::new(),
            image: Vec::new(),
            output: crate::cli::Output { json: true },
        }
    }

    #[test]
    fn a_file_becomes_a_document_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (folder.path().join("compose.yaml"), folder.path().join("document.yaml"));
        let text = "services:\n  web:\n    image: web:${TAG}\n    env_file: web.env\n    privileged: true\n";
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("web.env"), "MODE=${SPEED}\n").unwrap();
        std::fs::write(folder.path().join(".env"), "TAG=1\nSPEED=fast\n").unwrap();
        // Something is unsupported: nothing is written.
        let refused = run(&asked(&file, Some(&out), &[])).unwrap_err();
        assert!(refused.message().starts_with("one part is unsupported"), "{}", refused.message());
        assert!(!out.exists());
        run(&asked(&file, Some(&out), &["services.web.privileged"])).unwrap();
        let written = std::fs::read_to_string(&out).unwrap();
        assert!(written.contains("docker.io/library/web:2") && written.contains("MODE: fast"), "{written}");
        // What is there is not written over.
        assert!(run(&asked(&file, Some(&out), &["privileged"])).is_err());
        // A compose file is no document.
        let refused = is_document(&file, text).unwrap_err();
        assert!(refused.what_to_do().unwrap_or_default().contains("openmesh app import"));
        assert!(is_document(&out, &written).is_ok());
    }

    #[test]
    fn files_elsewhere_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("outside"), "x").unwrap();
        std::fs::write(inner.join("inside"), "y").unwrap();
        std::os::unix::fs::symlink(folder.path().join("outside"), inner.join("link")).unwrap();
        let named = ["inside", "link", "../outside", "none"].map(String::from);
        let read = beside(&inner, named.into_iter().collect());
        assert_eq!(read.keys().collect::<Vec<_>>(), ["inside"]);
    }
}
