//! The driver runc, by its command line.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Container, Driver, Verb};

/// runc 1.1 or later, with a folder of its own for the states of an agent's containers.
#[derive(Clone, Debug)]
pub struct Runc {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Folder of states, the agent's alone and on a memory file system: states do not outlive the machine's run.
    pub root: PathBuf,
}

impl Driver for Runc {
    fn name(&self) -> &'static str {
        "runc"
    }

    fn command(&self, verb: Verb, container: &Container) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut command =
            vec![path(&self.program), "--root".into(), path(&self.root), "--log".into(), path(&container.log)];
        command.extend(["--log-format".into(), "json".into(), verb.word().into()]);
        match verb {
            Verb::Create => {
                command.extend(["--bundle".into(), path(&container.bundle)]);
                command.extend(["--pid-file".into(), path(&container.pid_file)]);
            }
            Verb::Delete => command.push("--force".into()),
            _ => {}
        }
        command.push(container.id.clone());
        if let Verb::Kill(signal) = verb {
            command.push(signal.to_string());
        }
        command
    }

    fn error(&self, log: &str) -> String {
        last_error(log)
    }

    fn keeps(&self, container: &Container) -> bool {
        self.root.join(&container.id).exists()
    }

    fn beside(&self, container: &Container) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        // Files that live for a moment: the process that is asked for, its number, and the socket for its terminal.
        let scratch = container.pid_file.parent().unwrap_or(Path::new("/run"));
        let words = [("--runc", path(&self.program)), ("--root", path(&self.root))];
        let more = [("--id", container.id.clone()), ("--scratch", path(scratch))];
        words.into_iter().chain(more).flat_map(|(option, value)| [option.to_string(), value]).collect()
    }
}

/// A line of runc's log.
#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
}

/// Message of the last line of the level `error`, else the last line.
fn last_error(log: &str) -> String {
    let errors = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let last = errors.rev().find(|line| line.level == "error" || line.level == "fatal");
    last.map_or_else(|| log.lines().next_back().unwrap_or_default().to_string(), |line| line.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_found() {
        let log = r#"{"level":"warning","msg":"a","time":"t"}
{"level":"error","msg":"b","time":"t"}
{"level":"info","msg":"c","time":"t"}
"#;
        assert_eq!(last_error(log), "b");
        assert_eq!(last_error("torn {\"lev"), "torn {\"lev");
        assert_eq!(last_error(""), "");
    }
}
