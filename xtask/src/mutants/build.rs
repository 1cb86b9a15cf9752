//! Test programs of the copy.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::Message;

use super::list::{LIB, Test};

/// Package that all rooms meet in. It is named beside the package of a test, so that a room is compiled with the features that it has in the product, and
/// every mutant finds the dependencies of the one before. It has no library, and no tests in the copy.
const WHOLE: &str = "openmesh";
/// Programs that tests build where they are not there: one of a mutant must not stay.
const PROGRAMS: [&str; 4] = ["openmesh-shim", "openmesh-unpack", "openmesh-door", "openmesh-lender"];
/// Variables that let tests write down what they should compare.
const UPDATES: [&str; 2] = ["OPENMESH_UPDATE", "INSTA_UPDATE"];

/// Result of a compilation.
pub enum Built {
    /// The program of the tests.
    Program(PathBuf),
    /// The compiler's words.
    Refused(String),
}

/// cargo, for a copy and a folder of artefacts.
pub struct Cargo {
    copy: PathBuf,
    target: PathBuf,
}

impl Cargo {
    /// cargo for a copy, with artefacts in a folder of their own.
    pub fn new(copy: &Path, target: PathBuf) -> Cargo {
        Cargo { copy: copy.into(), target }
    }

    /// The program.
    fn program() -> OsString {
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }

    /// A command with what cargo, and a test that calls cargo, need.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("CARGO", Cargo::program()).env("CARGO_TARGET_DIR", &self.target).env("CARGO_TERM_COLOR", "never");
        for name in UPDATES {
            command.env_remove(name);
        }
        command
    }

    /// Compiles the program that holds a test.
    ///
    /// # Errors
    /// cargo cannot be run, or names no one program.
    pub fn build(&self, test: &Test) -> io::Result<Built> {
        let mut command = self.command(Path::new(&Cargo::program()));
        command.args(["test", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]);
        command.args(["-p", &test.package, "-p", WHOLE]).current_dir(&self.copy);
        match test.target.as_str() {
            LIB => command.arg("--lib"),
            target => command.args(["--test", target]),
        };
        let output = command.output()?;
        if !output.status.success() {
            return Ok(Built::Refused(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut programs = Vec::new();
        for message in Message::parse_stream(output.stdout.as_slice()) {
            if let Message::CompilerArtifact(artifact) = message?
                && artifact.profile.test
                && let Some(program) = artifact.executable
            {
                programs.push(program.into_std_path_buf());
            }
        }
        match programs.as_slice() {
            [program] => Ok(Built::Program(program.clone())),
            others => Err(io::Error::other(format!(
                "{} of {} should be one program, and cargo names {others:?}",
                test.target, test.package
            ))),
        }
    }

    /// Takes away the programs that tests build where they are not there.
    ///
    /// # Errors
    /// The system's word.
    pub fn forget_programs(&self) -> io::Result<()> {
        for name in PROGRAMS {
            match std::fs::remove_file(self.target.join("debug").join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
