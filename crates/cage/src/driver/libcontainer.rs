//! The driver libcontainer, by the program `openmesh-cage-helper` (`crates/cage/helper`).

use std::path::PathBuf;

use super::{Container, Driver, Verb};

/// The helper, with a folder of its own for the states of an agent's containers.
#[derive(Clone, Debug)]
pub struct Libcontainer {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Folder of states, the agent's alone and on a memory file system: states do not outlive the machine's run. Short: a Unix socket of the
    /// kernel's 107 bytes lies in it.
    pub root: PathBuf,
}

impl Driver for Libcontainer {
    fn name(&self) -> &'static str {
        "libcontainer"
    }

    fn command(&self, verb: Verb, container: &Container) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut command = vec![path(&self.program), verb.word().into(), "--root".into(), path(&self.root)];
        command.extend(["--log".into(), path(&container.log)]);
        if verb == Verb::Create {
            command.extend(["--bundle".into(), path(&container.bundle)]);
            command.extend(["--pid-file".into(), path(&container.pid_file)]);
        }
        command.push(container.id.clone());
        if let Verb::Kill(signal) = verb {
            command.push(signal.to_string());
        }
        command
    }

    fn error(&self, log: &str) -> String {
        log.trim().to_string()
    }

    fn keeps(&self, container: &Container) -> bool {
        self.root.join(&container.id).exists()
    }

    /// Its feature for that links libbpf, libelf and an emulator of programs for the kernel into the helper.
    fn filters_devices(&self) -> bool {
        false
    }
}
