//! `openmesh-shim`: the parent of one instance's first process.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openmesh_shim::start::{StartError, Word, close_inherited, serve_apart};
use openmesh_shim::{ServeError, StateError, serve};

const USAGE: &str = "\
openmesh-shim CONFIG         starts a shim that outlives this process, and says its process number and socket
openmesh-shim serve CONFIG   serves in the foreground, in a session of its own
openmesh-shim --version      says the version
";

/// Exit code of a wrong command line.
const USAGE_CODE: u8 = 2;
/// Exit code where another shim serves the instance.
const HELD_CODE: u8 = 3;

fn main() -> ExitCode {
    if let Err(cause) = close_inherited() {
        return fail(format!("what is open here cannot be found: {cause}"), false);
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let texts: Vec<Option<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    match (texts.as_slice(), arguments.last()) {
        ([Some("--version")], _) => {
            println!("openmesh-shim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ([Some("serve"), _], Some(config)) => foreground(Path::new(config)),
        ([Some(option)], _) if option.starts_with('-') => usage(),
        ([_], Some(config)) => background(Path::new(config)),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(USAGE_CODE)
}

/// Says one word on standard output; nobody may be there to hear it.
fn say(word: &Word) {
    let line = serde_json::to_string(word).unwrap_or_default();
    let mut output = std::io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

fn fail(text: String, held: bool) -> ExitCode {
    say(&Word::Failed { text, held });
    if held { ExitCode::from(HELD_CODE) } else { ExitCode::FAILURE }
}

fn foreground(config: &Path) -> ExitCode {
    // Refused for the leader of a process group, which has a terminal or a script to answer to.
    let _ = rustix::process::setsid();
    let ready = |config: &openmesh_shim::Config| {
        say(&Word::Ready { pid: std::process::id(), socket: config.socket.clone() });
    };
    match serve(config, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let held = matches!(error, ServeError::State(StateError::Held { .. }));
            fail(error.to_string(), held)
        }
    }
}

fn background(config: &Path) -> ExitCode {
    let paths = std::env::current_exe().and_then(|program| Ok((program, std::path::absolute(config)?)));
    let (program, config): (PathBuf, PathBuf) = match paths {
        Ok(paths) => paths,
        Err(cause) => return fail(format!("this program's own path cannot be found: {cause}"), false),
    };
    match serve_apart(&program, &config) {
        Ok((pid, socket)) => {
            say(&Word::Ready { pid, socket });
            ExitCode::SUCCESS
        }
        Err(StartError::Failed { text, held }) => fail(text, held),
        Err(error) => fail(error.to_string(), false),
    }
}
