//! Programs of tests, as cargo has built them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Message, Metadata, Target, TargetKind};

/// Word of the tests within a library.
const LIB: &str = "lib";
/// Word before the name of a program that has tests within.
const BIN: &str = "bin";
/// End of a line of a program that lists its tests.
const LISTED: &str = ": test";

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Target: `lib`, `bin` with a program's name, or the name of a test target.
    pub target: String,
    /// The file.
    pub file: PathBuf,
    /// Folder of the package, in which it runs.
    pub folder: PathBuf,
}

/// cargo, as whoever builds this has it.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into())
}

/// The word for a target that has tests; none for one of another kind.
pub fn target_word(target: &Target) -> Option<String> {
    target.kind.iter().find_map(|kind| match kind {
        TargetKind::Lib | TargetKind::RLib | TargetKind::DyLib | TargetKind::ProcMacro => Some(LIB.to_string()),
        TargetKind::Bin => Some(format!("{BIN} {}", target.name)),
        TargetKind::Test => Some(target.name.clone()),
        _ => None,
    })
}

/// Builds all tests of the workspace, and names their programs in the order of cargo's words.
///
/// # Errors
/// They do not compile (cargo has said why), or cargo cannot be run.
pub fn build(root: &Path, metadata: &Metadata) -> io::Result<Vec<Program>> {
    let output = Command::new(cargo())
        .args(["test", "--quiet", "--locked", "--workspace", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other("the tests do not compile"));
    }
    let mut programs = Vec::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        let (true, Some(file)) = (artifact.profile.test, artifact.executable) else { continue };
        let package = metadata.packages.iter().find(|package| package.manifest_path == artifact.manifest_path);
        let known = package.zip(target_word(&artifact.target)).zip(artifact.manifest_path.parent());
        let Some(((package, target), folder)) = known else {
            return Err(io::Error::other(format!("{file} is of no package and target that are known here")));
        };
        programs.push(Program {
            package: package.name.to_string(),
            version: package.version.to_string(),
            target,
            file: file.into_std_path_buf(),
            folder: folder.as_std_path().to_path_buf(),
        });
    }
    match programs.is_empty() {
        true => Err(io::Error::other("cargo names no program of tests")),
        false => Ok(programs),
    }
}

/// Builds the program that makes containers, which is a workspace of its own. False where it cannot be built here, as without libseccomp (cargo has said why): the
/// tests that need it then say so.
///
/// # Errors
/// cargo cannot be run.
pub fn build_helper(root: &Path, target: &Path) -> io::Result<bool> {
    let status = Command::new(cargo())
        .args(["build", "--quiet", "--locked", "--manifest-path", "crates/cage/helper/Cargo.toml", "--target-dir"])
        .arg(target)
        .current_dir(root)
        .stdin(Stdio::null())
        .status()?;
    Ok(status.success())
}

impl Program {
    /// A command of it with what cargo gives to a program of tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        self.give(&mut command);
        command
    }

    /// The same, with a nice value from its first thread on: one that is set later leaves out threads that are there by then.
    pub fn command_behind(&self, nice: i32) -> Command {
        let mut command = Command::new("nice");
        command.args(["-n", &nice.to_string()]).arg(&self.file);
        self.give(&mut command);
        command
    }

    fn give(&self, command: &mut Command) {
        let folders = self.file.ancestors().skip(1).take(2).map(Path::to_path_buf);
        let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let all: Vec<PathBuf> = folders.chain(std::env::split_paths(&given)).collect();
        // Only a folder with a colon in its name is none of such a list, and then nothing needs it.
        if let Ok(libraries) = std::env::join_paths(all.iter().filter(|folder| !folder.as_os_str().is_empty())) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
            .current_dir(&self.folder)
            .env("CARGO", cargo())
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("CARGO_MANIFEST_PATH", self.folder.join("Cargo.toml"))
            .env("CARGO_PKG_NAME", &self.package)
            .env("CARGO_PKG_VERSION", &self.version);
    }

    /// Names of its tests, those that are ignored too.
    ///
    /// # Errors
    /// It cannot be run, or does not list them.
    pub fn tests(&self) -> io::Result<Vec<String>> {
        let output = self.command().args(["--list", "--format", "terse"]).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("{} does not list its tests: {words}", self.file.display())));
        }
        Ok(names(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Names of tests in the list that a program of tests prints.
pub fn names(listed: &str) -> Vec<String> {
    listed.lines().filter_map(|line| line.strip_suffix(LISTED)).map(ToString::to_string).collect()
}
