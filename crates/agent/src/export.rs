//! A document as a flake of NixOS, with the program that is pinned in it: the one that runs, or the file of another one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::OnceLock;

use openmesh_blueprint::Document;
use openmesh_blueprint::nixos::{self, Export, Program};
use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::carried::Carried;
use crate::error::AgentError;

/// The program that runs, also where its file was replaced meanwhile.
const OWN: &str = "/proc/self/exe";
/// First bytes of a program, and the place of the number of its machine among the next ones. Source: elf(5).
const ELF: [u8; 4] = *b"\x7fELF";
const ELF_MACHINE: std::ops::Range<usize> = 18..20;
/// Machines by those numbers, as Rust and Nix name them both. Source: `elf.h` of the kernel.
const MACHINES: [(u16, &str); 3] = [(0x3e, "x86_64"), (0xb7, "aarch64"), (0xf3, "riscv64")];

/// A document as a flake of NixOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NixosExport {
    /// Texts of the files by their names: flake.nix, module.nix, package.nix, document.nix.
    pub files: BTreeMap<String, String>,
    /// SHA-256 of the document.
    #[schema(value_type = String, format = "sha256")]
    pub document: Digest,
    /// Number of the generation that it was taken from; none for a document of a file.
    pub generation: Option<u64>,
    /// Hash of the portable part of that generation.
    #[schema(value_type = Option<String>, format = "sha256")]
    pub portable: Option<Digest>,
    /// Names of the secrets that it needs; no value leaves the machine.
    pub secrets: Vec<String>,
    /// SHA-256 of the program that the flake pins.
    #[schema(value_type = String, format = "sha256")]
    pub program: Digest,
    /// The program is the one file with everything in it; of another one the flake makes no package.
    pub is_whole: bool,
}

/// A program's file, as far as a flake pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pinned {
    sha256: Digest,
    architecture: &'static str,
    is_whole: bool,
}

/// The flake of a document, with the number and the portable hash of its generation where it has one. Pinned is the file of a program, or the program that runs.
/// Reads the whole program: not for an asynchronous task.
///
/// # Errors
/// No value of Nix can hold a part of the document, or the program cannot be read.
pub fn nixos(
    document: &Document,
    generation: Option<(u64, Digest)>,
    program: Option<&Path>,
) -> Result<NixosExport, AgentError> {
    let Pinned { sha256, architecture, is_whole } = match program {
        Some(file) => pinned(file)?,
        None => own()?,
    };
    let program = Program { version: env!("CARGO_PKG_VERSION").into(), sha256, architecture: architecture.into() };
    let files = Export { document, generation, program: &program }.files()?;
    Ok(NixosExport {
        files: files.into_iter().map(|(name, text)| (name.to_string(), text)).collect(),
        document: document.hash(),
        generation: generation.map(|(number, _)| number),
        portable: generation.map(|(_, portable)| portable),
        secrets: nixos::secrets(document).into_iter().map(ToString::to_string).collect(),
        program: sha256,
        is_whole,
    })
}

/// The flake of a document's text.
///
/// # Errors
/// The text is no document; or as [`nixos()`].
pub fn nixos_of(text: &str, program: Option<&Path>) -> Result<NixosExport, AgentError> {
    let document = Document::parse(text).map_err(|problems| AgentError::Document { problems })?;
    nixos(&document, None, program)
}

/// The program that runs. It is read once: nothing can write to what runs.
fn own() -> Result<Pinned, AgentError> {
    static READ: OnceLock<Pinned> = OnceLock::new();
    if let Some(read) = READ.get() {
        return Ok(*read);
    }
    let read = pinned(Path::new(OWN))?;
    Ok(*READ.get_or_init(|| read))
}

fn pinned(file: &Path) -> Result<Pinned, AgentError> {
    let (mut hasher, mut head) = (Sha256::new(), Vec::new());
    let read = File::open(file).and_then(|mut open| {
        open.by_ref().take(ELF_MACHINE.end as u64).read_to_end(&mut head)?;
        hasher.update(&head);
        io::copy(&mut open, &mut hasher)
    });
    read.map_err(AgentError::file("reading", file))?;
    let carried = Carried::of(file).map_err(AgentError::file("reading", file))?;
    let architecture = machine(&head).unwrap_or(std::env::consts::ARCH);
    Ok(Pinned { sha256: Digest(hasher.finalize().into()), architecture, is_whole: carried.is_some() })
}

/// The machine that a program is for, by its first bytes; none where they do not say it.
fn machine(head: &[u8]) -> Option<&'static str> {
    let number: [u8; 2] = head.get(ELF_MACHINE)?.try_into().ok()?;
    let number = u16::from_le_bytes(number);
    let named = MACHINES.iter().find(|(known, _)| *known == number && head.starts_with(&ELF));
    named.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_pinned_by_the_hash_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        std::fs::write(&file, "abc").unwrap();
        let text = "version: 1\napplications: {a: {image: a, variables: {A: {secret: token}}}}\n";
        let export = nixos_of(text, Some(&file)).unwrap();
        // Source: FIPS 180-4, the example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((export.program.to_string().as_str(), export.is_whole), (expected, false));
        assert!(export.files["package.nix"].contains(expected));
        assert_eq!((export.secrets, export.generation, export.portable), (vec!["token".to_string()], None, None));
        assert!(matches!(nixos_of("version: 2\nx: 1\n", Some(&file)), Err(AgentError::Document { .. })));
        let missing = folder.path().join("none");
        assert!(matches!(nixos_of(text, Some(&missing)), Err(AgentError::File { .. })));
        // A program for another machine is a package for that one.
        let mut other = [0; 64];
        other[..4].copy_from_slice(&ELF);
        other[18] = 0xb7;
        std::fs::write(&file, other).unwrap();
        let flake = nixos_of(text, Some(&file)).unwrap().files["flake.nix"].clone();
        assert!(flake.contains("system = \"aarch64-linux\";"), "{flake}");
        let own = nixos_of(text, None).unwrap();
        assert!(own.files["flake.nix"].contains(&format!("system = \"{}-linux\";", std::env::consts::ARCH)));
        assert_ne!(own.program, export.program);
        assert_eq!(own.document, export.document);
    }

    #[test]
    fn a_document_that_nix_cannot_hold_is_refused_in_words() {
        let text = "version: 1\napplications: {a: {image: a, variables: {outPath: x}}}\n";
        let error = nixos_of(text, None).unwrap_err();
        assert_eq!(error.code(), ("nix", 422));
        assert!(error.to_string().contains("applications.a.variables"), "{error}");
    }
}
