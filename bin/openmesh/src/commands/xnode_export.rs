//! `openmesh xnode export`: a document as a flake of NixOS. Of a file it is made here, on any machine; that of an agent by the agent.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use openmesh_agent::export::nixos_of;
use openmesh_agent::views::NixosExport;

use super::agent::{client, get, json, print};
use super::app::import::is_document;
use super::app::input::read;
use crate::cli::export::ExportArgs;
use crate::failure::Failure;

/// Writes or prints the files, and tells on standard error what belongs to them.
pub async fn run(asked: &ExportArgs) -> Result<(), Failure> {
    let made = match &asked.file {
        Some(file) => of_file(file, asked.binary.as_deref())?,
        None => {
            let path = match asked.generation {
                Some(number) => format!("/export/nixos?generation={number}"),
                None => "/export/nixos".to_string(),
            };
            get::<NixosExport>(&client(&asked.agent)?, &path).await?
        }
    };
    if let Some(folder) = &asked.out {
        write(folder, &made)?;
    }
    if asked.output.json {
        json(&made)?;
    } else if asked.out.is_none() {
        print(&shown(&made))?;
    }
    // Whoever closed it wants to read nothing.
    let _ = std::io::stderr().write_all(told(&made, asked.out.as_deref()).as_bytes());
    Ok(())
}

fn of_file(file: &Path, binary: Option<&Path>) -> Result<NixosExport, Failure> {
    let text = read(file)?;
    is_document(file, &text)?;
    nixos_of(&text, binary).map_err(|error| Failure::new(format!("{}:\n{error}", file.display())))
}

/// The files one after the other, each below its name.
fn shown(made: &NixosExport) -> String {
    made.files.iter().map(|(name, text)| format!("# ---- {name}\n{text}")).collect()
}

/// Words on an export, for people.
fn told(made: &NixosExport, out: Option<&Path>) -> String {
    let NixosExport { document, program, .. } = made;
    let mut text = format!("document  sha256 {document}\n");
    if let (Some(number), Some(portable)) = (made.generation, made.portable) {
        text += &format!("          of generation {number}, whose portable part has the sha256 {portable}\n");
    }
    text += &format!("program   sha256 {program}\n");
    if !made.is_whole {
        text += "          not the one file of make install: pin that one with --binary, or the package is not built\n";
    }
    if !made.secrets.is_empty() {
        let secrets = made.secrets.join(", ");
        text += &format!("secrets   to be set on that machine by openmesh xnode secret set: {secrets}\n");
    }
    if let Some(out) = out {
        let names = made.files.keys().cloned().collect::<Vec<_>>().join(", ");
        text += &format!("written   {names} to {}\n", out.display());
    }
    text
}

/// Writes the files. Nothing is written over: a file that is there with another text refuses all of them.
fn write(folder: &Path, made: &NixosExport) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| Failure::from_display(path.display(), error);
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut missing = Vec::new();
    for (name, text) in &made.files {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(there) if there == text.as_bytes() => {}
            Ok(_) => {
                return Err(Failure::new(format!("{} is there already, with another text", path.display()))
                    .hint("nothing was written; name another folder, and compare the two"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push((path, text)),
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    for (path, text) in missing {
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> NixosExport {
        nixos_of(text, None).unwrap()
    }

    #[test]
    fn files_are_written_once_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/flake");
        let first = made("version: 1\napplications: {web: {image: web, variables: {A: {secret: token}}}}\n");
        write(&out, &first).unwrap();
        write(&out, &first).unwrap();
        let mut names: Vec<String> =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["document.nix", "flake.nix", "module.nix", "package.nix"]);
        let refused = write(&out, &made("version: 1\n")).unwrap_err();
        assert!(refused.message().contains("document.nix is there already"), "{}", refused.message());
        assert_eq!(std::fs::read_to_string(out.join("document.nix")).unwrap(), first.files["document.nix"]);
        let (words, hash) = (told(&first, Some(&out)), first.document.to_string());
        for word in ["token", "not the one file of make install", hash.as_str(), "written   document.nix"] {
            assert!(words.contains(word), "{word} is not in {words}");
        }
        assert!(shown(&first).starts_with("# ---- document.nix\n# The document of an Xnode"));
    }
}
