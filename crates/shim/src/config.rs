//! Configuration of a shim: a small JSON file that the agent writes once for each instance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::restart::{CRASH_LOOP_ENDS_MAX, RestartRule};
use crate::signal;

/// Version of the configuration.
pub const CONFIG_VERSION: u32 = 1;
/// Largest configuration, bytes: commands and paths, a hundred times over.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Least bound of an instance's log, bytes: eight files that each hold some of the longest lines.
pub const LOG_BYTES_MIN: u64 = 1 << 20;
/// Time for a helper without a word of the configuration, milliseconds: a cold disk and a busy machine, many times over.
pub const HELPER_MS_MAX: u64 = 120_000;
/// Longest path of a Unix socket, bytes: the kernel's `sun_path` less its closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest grace between a stopping signal and SIGKILL, milliseconds: one day.
pub const GRACE_MS_MAX: u64 = 86_400_000;

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration {path} cannot be read: {cause}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// It is no configuration of this version.
    #[error("the configuration {path} is not valid: {cause}")]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// Line, column and reason.
        cause: serde_json::Error,
    },
    /// A value is out of its bounds.
    #[error("the configuration's `{key}` {problem}")]
    Value {
        /// Key with its path.
        key: &'static str,
        /// The problem and its remedy.
        problem: String,
    },
}

/// Configuration of one instance's shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this form: [`CONFIG_VERSION`].
    pub version: u32,
    /// Name of the instance with the agent's own in it; the shim says it in its greeting.
    pub name: String,
    /// Folder of the container's bundle; helpers run in it.
    pub bundle: PathBuf,
    /// Folder of `state.json` and `lock`, the agent's alone.
    pub state_directory: PathBuf,
    /// Path of the socket on which agents are served.
    pub socket: PathBuf,
    /// File in which the creating helper leaves the first process' number.
    pub pid_file: PathBuf,
    /// Helpers.
    pub helpers: Helpers,
    /// Logs.
    pub logs: Logs,
    /// Restarts.
    pub restart: RestartRule,
    /// Way to stop where a request names none.
    #[serde(default)]
    pub stop: Stop,
    /// Files with a line `oom_kill N`: `memory.events` (cgroup v2) or `memory.oom_control` (v1).
    #[serde(default)]
    pub oom_files: Vec<PathBuf>,
}

/// Commands that make, start and remove the container: a program's absolute path and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helpers {
    /// Makes the container. Its standard output and error become the first process'.
    pub create: Vec<String>,
    /// Starts what was made; without it, creating starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<String>>,
    /// Removes what has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Vec<String>>,
    /// Variables of the helpers, the only ones beside `PATH`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The first start waits for an agent's `start` after the container was made, so that a network can be attached.
    #[serde(default)]
    pub held: bool,
    /// Time for each helper, milliseconds; then it is killed.
    #[serde(default = "helper_ms_max")]
    pub ms_max: u64,
}

/// Bounds of the logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Folder of the log files, which holds nothing else.
    pub directory: PathBuf,
    /// Size of all files together, bytes; never exceeded.
    pub bytes_max: u64,
}

/// Way to stop an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Name or number of the asking signal, as `TERM`, `SIGTERM` or `15`.
    pub signal: String,
    /// Time until SIGKILL, milliseconds.
    pub grace_ms: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: "TERM".into(), grace_ms: 10_000 }
    }
}

fn helper_ms_max() -> u64 {
    HELPER_MS_MAX
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.into(), cause };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > CONFIG_BYTES_MAX {
            let cause = format!("it has {length} bytes, at most {CONFIG_BYTES_MAX} are read");
            return Err(unreadable(std::io::Error::other(cause)));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let config: Config =
            serde_json::from_slice(&bytes).map_err(|cause| ConfigError::Malformed { path: path.into(), cause })?;
        config.check()?;
        Ok(config)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that is out of its bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem: String| Err(ConfigError::Value { key, problem });
        if self.version != CONFIG_VERSION {
            let problem = format!("is {}, this shim reads {CONFIG_VERSION}", self.version);
            return refuse("version", problem);
        }
        let paths = [
            ("bundle", &self.bundle),
            ("state_directory", &self.state_directory),
            ("socket", &self.socket),
            ("pid_file", &self.pid_file),
            ("logs.directory", &self.logs.directory),
        ];
        for (key, path) in paths {
            if !path.is_absolute() {
                return refuse(key, format!("is {}, it has to begin with /", path.display()));
            }
        }
        if self.socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let length = self.socket.as_os_str().len();
            let problem =
                format!("has {length} bytes, the kernel allows {SOCKET_PATH_BYTES_MAX}: use a shorter folder");
            return refuse("socket", problem);
        }
        self.helpers.check()?;
        if self.logs.bytes_max < LOG_BYTES_MIN {
            return refuse("logs.bytes_max", format!("is {}, at least {LOG_BYTES_MIN}", self.logs.bytes_max));
        }
        let restart = &self.restart;
        if restart.pause_ms_min == 0 || restart.pause_ms_max < restart.pause_ms_min {
            return refuse("restart.pause_ms_min", "has to be at least 1 and at most pause_ms_max".into());
        }
        if !(1..=CRASH_LOOP_ENDS_MAX).contains(&restart.crash_loop_ends) {
            return refuse("restart.crash_loop_ends", format!("has to be from 1 to {CRASH_LOOP_ENDS_MAX}"));
        }
        if signal::number(&self.stop.signal).is_none() {
            return refuse("stop.signal", format!("is `{}`, which is no signal", self.stop.signal));
        }
        if self.stop.grace_ms > GRACE_MS_MAX {
            return refuse("stop.grace_ms", format!("is {}, at most {GRACE_MS_MAX}", self.stop.grace_ms));
        }
        Ok(())
    }

    /// Path of the state that survives.
    pub fn state_file(&self) -> PathBuf {
        self.state_directory.join("state.json")
    }

    /// Path of the lock that a living shim holds.
    pub fn lock_file(&self) -> PathBuf {
        self.state_directory.join("lock")
    }
}

impl Helpers {
    fn check(&self) -> Result<(), ConfigError> {
        let commands = [
            ("helpers.create", Some(&self.create)),
            ("helpers.start", self.start.as_ref()),
            ("helpers.delete", self.delete.as_ref()),
        ];
        for (key, command) in commands {
            let absolute = |command: &Vec<String>| command.first().is_some_and(|program| program.starts_with('/'));
            if command.is_some_and(|command| !absolute(command)) {
                let problem = "has to begin with the absolute path of a program".into();
                return Err(ConfigError::Value { key, problem });
            }
        }
        if self.held && self.start.is_none() {
            let problem = "is true, but there is no helpers.start: what is created runs already".into();
            return Err(ConfigError::Value { key: "helpers.held", problem });
        }
        if self.ms_max == 0 {
            return Err(ConfigError::Value { key: "helpers.ms_max", problem: "is 0, at least 1".into() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::RestartPolicy;

    fn example() -> Config {
        serde_json::from_str(include_str!("../examples/shim.json")).unwrap()
    }

    #[test]
    fn the_example_is_valid_and_complete() {
        let config = example();
        config.check().unwrap();
        assert_eq!(config.restart, RestartRule::new(RestartPolicy::Always));
        assert_eq!(config.stop, Stop::default());
        assert_eq!(config.helpers.ms_max, HELPER_MS_MAX);
    }

    #[test]
    fn unknown_keys_are_refused_with_their_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shim.json");
        let text = include_str!("../examples/shim.json").replace("\"bundle\"", "\"bundel\"");
        std::fs::write(&path, text).unwrap();
        let said = Config::read(&path).unwrap_err().to_string();
        assert!(said.contains("unknown field `bundel`") && said.contains("line 4 column"), "{said}");
    }

    #[test]
    fn each_value_out_of_bounds_is_named() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 10] = [
            ("`version` is 2, this shim reads 1", |c| c.version = 2),
            ("`bundle` is b, it has to begin with /", |c| c.bundle = "b".into()),
            ("`socket` has 121 bytes, the kernel allows 107", |c| c.socket = format!("/{}", "s".repeat(120)).into()),
            ("`helpers.create` has to begin with the absolute path", |c| c.helpers.create.clear()),
            ("`helpers.start` has to begin with the absolute path", |c| c.helpers.start = Some(vec!["runc".into()])),
            ("`helpers.held` is true, but there is no helpers.start", |c| c.helpers.start = None),
            ("`logs.bytes_max` is 1, at least 1048576", |c| c.logs.bytes_max = 1),
            ("`restart.pause_ms_min` has to be at least 1", |c| c.restart.pause_ms_min = 0),
            ("`restart.crash_loop_ends` has to be from 1 to 100", |c| c.restart.crash_loop_ends = 0),
            ("`stop.signal` is `STOPPP`, which is no signal", |c| c.stop.signal = "STOPPP".into()),
        ];
        for (expected, spoil) in cases {
            let mut config = example();
            spoil(&mut config);
            let said = config.check().unwrap_err().to_string();
            assert!(said.contains(expected), "{said} lacks {expected}");
        }
    }
}
