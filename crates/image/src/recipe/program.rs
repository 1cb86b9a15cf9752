//! Programs that bring packages.
//!
//! # Where they run
//! In a mount namespace and a process namespace of their own, where this process is root. What they mount is seen by nobody else, and goes with them; what they
//! start, in whatever group or session, ends with them; and they end with the thread that waits for them. A namespace begins with every mount of the machine:
//! volumes, roots and namespaces of instances are let go of at once, or nobody could unmount a volume until the image is made. Their variables are a short list,
//! their home is an empty folder, and no file that they write is larger than a layer may be.

use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{PATH, RecipeError};
use crate::limits::BLOB_BYTES_MAX;

/// Seconds that one program may run: the largest root seen (a desktop's worth of packages) took six minutes.
const PROGRAM_SECONDS_MAX: u64 = 1_800;
/// Milliseconds between two looks at whether it has ended.
const LOOK_MS: u64 = 50;
/// Lines of output that an error shows.
const LINES_MAX: usize = 20;
/// Bytes of output that are kept, the last ones: [`LINES_MAX`] lines of a program that does not break its lines.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Seconds for which the end of the output is waited for once the program has ended: only where it has no process namespace can somebody still hold it.
const OUTPUT_SECONDS_MAX: u64 = 5;
/// The first process of a namespace, with a umask that is the same on every machine: a shell, since the kernel keeps signals from the first one that others end
/// by, and it inherits every orphan. It lets go of what agents have mounted, by the places and names of such mounts. The kernel writes a space as `\040`, and
/// `printf` reads it as `\0040`: without the other nought, a digit behind it would be of its number.
const FIRST_PROCESS: &str = r#"umask 022; set -f
ours='( - nsfs | - overlay openmesh |/volumes/[0-9a-f]+/mount )'
for point in $(sed -nE "\\@$ours@{s@^([^ ]+ ){4}([^ ]+) .*@\2@; s@\\\\([0-7]{3})@\\\\0\1@g; p}" /proc/self/mountinfo); do umount -l "$(printf %b "$point")"; done 2> /dev/null
"$@"; exit "$?""#;
/// Variables of this process that a program gets: where packages come from and whom to trust there, and where pyenv has its Python.
const VARIABLES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "npm_config_registry",
    "npm_config_cafile",
    "PYENV_ROOT",
];

/// A program with the Debian package that has it.
#[derive(Clone, Copy)]
pub(super) struct Program {
    pub name: &'static str,
    pub package: &'static str,
}

impl Program {
    /// Runs with arguments and further variables, and ends with the time.
    pub fn run(self, arguments: &[String], variables: &[(&str, &str)], scratch: &Path) -> Result<(), RecipeError> {
        self.run_within(Duration::from_secs(PROGRAM_SECONDS_MAX), arguments, variables, scratch)
    }

    fn run_within(
        self,
        limit: Duration,
        arguments: &[String],
        variables: &[(&str, &str)],
        scratch: &Path,
    ) -> Result<(), RecipeError> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
        let there = std::env::split_paths(&path).any(|folder| folder.join(self.name).is_file());
        if !there {
            return Err(RecipeError::Missing { program: self.name, package: self.package });
        }
        let home = scratch.join("home");
        let disk = |cause| RecipeError::Disk { path: scratch.to_path_buf(), cause };
        std::fs::create_dir_all(&home).map_err(disk)?;
        let mut command = self.wrapped();
        command
            .args(arguments)
            .current_dir(scratch)
            .env_clear()
            .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("PATH", path)
            .env("HOME", &home)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            // The time that tools write where they write one; some mean "never" by 0.
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .env("TMPDIR", scratch)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = match command.spawn() {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(RecipeError::Missing { program: "setpriv", package: "util-linux" });
            }
            child => child.map_err(disk)?,
        };
        let (output, errors) = (last_of(child.stdout.take()), last_of(child.stderr.take()));
        let status = wait(&mut child, limit).map_err(disk)?;
        if status == "exit status: 0" {
            return Ok(());
        }
        let said =
            |end: Receiver<String>| end.recv_timeout(Duration::from_secs(OUTPUT_SECONDS_MAX)).unwrap_or_default();
        let text = [said(output), said(errors)].concat();
        let lines: Vec<&str> = text.lines().collect();
        let text = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
        Err(RecipeError::Program { program: self.name, status, text })
    }

    /// The program behind those that confine it.
    fn wrapped(self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "prlimit", &format!("--fsize={BLOB_BYTES_MAX}"), "--core=0", "--"]);
        if rustix::process::geteuid().is_root() {
            let spaces = ["--mount", "--pid", "--ipc", "--propagation", "private", "--mount-proc", "--kill-child=KILL"];
            command.arg("unshare").args(spaces).args(["--", "/bin/sh", "-c", FIRST_PROCESS, "sh"]);
        }
        command.arg(self.name);
        command
    }
}

/// Waits for the end, and makes it where the time is over; returns it in words.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<String> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        if began.elapsed() > limit {
            if let Ok(pid) = i32::try_from(child.id())
                && let Some(group) = rustix::process::Pid::from_raw(pid)
            {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            return Ok(format!("ended after {} s", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
}

/// Reads a stream to its end in a thread of its own, and tells its last bytes then.
fn last_of(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut kept: VecDeque<u8> = VecDeque::new();
        let mut part = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut part) {
            kept.extend(&part[..count]);
            let over = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
            kept.drain(..over);
        }
        // Nobody listens where the program ended well.
        let _ = tell.send(String::from_utf8_lossy(kept.make_contiguous()).into_owned());
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Program = Program { name: "sh", package: "dash" };

    fn script(text: &str, limit: Duration) -> Result<tempfile::TempDir, RecipeError> {
        let folder = tempfile::tempdir().unwrap();
        SHELL.run_within(limit, &["-c".into(), text.into()], &[], folder.path())?;
        Ok(folder)
    }

    #[test]
    fn only_the_end_of_the_output_is_kept_and_variables_are_those_of_the_list() {
        let text = "yes | head -c 10000000; echo; env; echo \"$HOME\"; exit 3";
        let error = script(text, Duration::from_secs(600)).unwrap_err();
        assert!(matches!(error, RecipeError::Program { program: "sh", .. }), "{error}");
        let RecipeError::Program { status, text, .. } = error else { return };
        assert_eq!(status, "exit status: 3");
        assert!(text.lines().count() <= LINES_MAX && text.ends_with("/home"), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
        assert!(matches!(
            Program { name: "no-such-program", package: "x" }.run(&[], &[], Path::new("/")),
            Err(RecipeError::Missing { program: "no-such-program", .. })
        ));
    }

    #[test]
    fn mounts_and_processes_end_with_the_program() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: this test needs root (namespaces)");
            return;
        }
        // A daemon in a session of its own has a lock as long as it lives; a mount of the program's would be seen.
        let folder = tempfile::tempdir().unwrap();
        let (lock, point) = (folder.path().join("lock"), folder.path().join("point"));
        std::fs::create_dir(&point).unwrap();
        let text = format!(
            "mount -t tmpfs none {point} && touch {point}/x || exit 9; setsid flock {lock} sleep 1000 & sleep 1000",
            point = point.display(),
            lock = lock.display()
        );
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let error = SHELL.run_within(Duration::from_secs(2), &["-c".into(), text], &[], &scratch).unwrap_err();
        assert!(error.to_string().starts_with("sh failed (ended after 2 s)"), "{error}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(point.to_str().unwrap()), "{mounts}");
        assert!(!point.join("x").exists());
        let began = Instant::now();
        std::fs::File::create(&lock).unwrap().lock().unwrap();
        assert!(began.elapsed() < Duration::from_secs(900), "the daemon lived on");
    }

    /// A volume that was mounted before is unmounted by its agent while the program runs.
    #[test]
    fn mounts_of_agents_are_not_held() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: this test needs root (mounts)");
            return;
        }
        let folder = tempfile::Builder::new().prefix("a machine 7").tempdir().unwrap();
        let (volume, other) = (folder.path().join("volumes/0123abcd/mount"), folder.path().join("volumes/other"));
        for point in [&volume, &other] {
            std::fs::create_dir_all(point).unwrap();
            let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(point).status().unwrap();
            assert!(mounted.success());
            std::fs::write(point.join("x"), "").unwrap();
        }
        let seen =
            format!("cd '{}'; test -e other/x && test ! -e 0123abcd/mount/x", folder.path().join("volumes").display());
        let ran = script(&seen, Duration::from_secs(600));
        let kept = volume.join("x").exists();
        for point in [&volume, &other] {
            assert!(Command::new("umount").arg(point).status().unwrap().success());
        }
        ran.unwrap();
        assert!(kept, "it goes for the program alone");
    }

    #[test]
    fn a_file_without_end_is_cut() {
        let text = format!("truncate -s {} large && exit 7; exit 8", BLOB_BYTES_MAX + 1);
        let error = script(&text, Duration::from_secs(600)).unwrap_err();
        assert!(error.to_string().contains("exit status: 8"), "{error}");
    }
}
