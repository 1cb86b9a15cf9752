//! A process beside the first one of a running instance: begun, served with input and output, and ended with whoever asked for it.
//!
//! This program stays beside it on the host, as its parent: it knows its exit code, and holds its pipes or the far end of its terminal. By libcontainer's way
//! the process is a copy of this program that becomes it ([`crate::join`]); by runc, runc makes it and this program takes it over as the subreaper.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libcontainer::oci_spec::runtime::{BoxBuilder, Process, Spec};
use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};

use crate::console::{self, Console};
use crate::frames::{self, Frames, Request, to_asker};
use crate::join::{REQUEST_VARIABLE, variables};
use crate::session::{Running, Session};
use crate::{HelperError, is_within};

/// This program, also where its file was replaced by another version meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Namespaces in which nothing of the instance may be the host's.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
/// Most that is told of a driver's refusal, bytes.
const WORDS_BYTES_MAX: usize = 4 << 10;

/// An instance in which a process is wanted.
#[derive(Debug, Default)]
pub struct Target {
    bundle: PathBuf,
    pid: i32,
    start: u64,
    groups: Vec<PathBuf>,
    runc: Option<PathBuf>,
    root: PathBuf,
    id: String,
    scratch: PathBuf,
}

/// A beginning: a process that runs, or one that has ended before its program, with its code and words.
enum Begun {
    Runs(Running),
    Ended(i32, String),
}

impl Target {
    /// Reads the words after `exec`.
    ///
    /// # Errors
    /// One is missing or unknown.
    pub fn parse(words: &[String]) -> Result<Target, HelperError> {
        let usage = |text: String| HelperError::Usage(text);
        let mut target = Target::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(|| usage(format!("{word} lacks its value")))?;
            let number = || usage(format!("{value} is no number"));
            match word.as_str() {
                "--bundle" => target.bundle = value.into(),
                "--pid" => target.pid = value.parse().map_err(|_| number())?,
                "--start" => target.start = value.parse().map_err(|_| number())?,
                "--group" => target.groups.push(value.into()),
                "--runc" => target.runc = Some(value.into()),
                "--root" => target.root = value.into(),
                "--id" => target.id.clone_from(value),
                "--scratch" => target.scratch = value.into(),
                _ => return Err(usage(format!("unknown option {word}"))),
            }
        }
        let by_runc = target.runc.is_none() || target.root.is_absolute() && target.scratch.is_absolute();
        let whole = target.bundle.is_absolute() && target.pid > 0 && !target.groups.is_empty() && by_runc;
        if whole { Ok(target) } else { Err(usage(format!("exec {} is no whole task", words.join(" ")))) }
    }

    /// Reads the request from standard input, begins the process, and serves it until it has ended.
    ///
    /// # Errors
    /// Standard output cannot be used. A refusal is a frame, and no error.
    pub fn run(&self) -> Result<(), HelperError> {
        let stream = |path: &'static str| move |cause| HelperError::Io { path: path.into(), cause };
        let from = io::stdin().as_fd().try_clone_to_owned().map_err(stream("/dev/stdin"))?;
        let to = io::stdout().as_fd().try_clone_to_owned().map_err(stream("/dev/stdout"))?;
        let (mut from, mut to, mut taken) = (File::from(from), File::from(to), Frames::default());
        let begun = frames::request(&mut from, &mut taken).and_then(|request| self.begin(&request));
        let served = match begun {
            Ok(Begun::Runs(running)) => Session::new(running, from, taken).serve(&mut to),
            Ok(Begun::Ended(code, words)) => frames::write(&mut to, to_asker::ERROR_OUTPUT, words.as_bytes())
                .and_then(|()| frames::write(&mut to, to_asker::ENDED, &code.to_be_bytes())),
            Err(words) => frames::write(&mut to, to_asker::REFUSED, words.as_bytes()),
        };
        match served {
            // Whoever asked has gone, and the process with it.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            served => served.map_err(stream("/dev/stdout")),
        }
    }

    fn begin(&self, request: &Request) -> Result<Begun, String> {
        let path = self.bundle.join("config.json");
        let spec = Spec::load(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
        let first = self.first(&spec)?;
        match &self.runc {
            Some(program) => self.by_runc(program, request, &spec),
            None => self.by_joining(&first, request, &spec).map(Begun::Runs),
        }
    }

    /// The first process, told by number, start and control group, in namespaces of its own.
    fn first(&self, spec: &Spec) -> Result<OwnedFd, String> {
        let ended = || "the instance has ended meanwhile".to_string();
        let pid = Pid::from_raw(self.pid).ok_or_else(ended)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ended())?;
        let folder = PathBuf::from(format!("/proc/{}", self.pid));
        let stat = std::fs::read_to_string(folder.join("stat")).map_err(|_| ended())?;
        let start = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok());
        let group = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
        if start != Some(self.start) || !group.is_some_and(|group| is_within(&folder, &group)) {
            return Err(ended());
        }
        let number = |process: &Path, name: &str| std::fs::metadata(process.join("ns").join(name)).map(|m| m.ino());
        for name in NAMESPACES {
            let theirs = number(&folder, name).map_err(|_| ended())?;
            let own =
                number(Path::new("/proc/self"), name).map_err(|cause| format!("/proc/self/ns/{name}: {cause}"))?;
            if theirs == own {
                return Err(format!("the {name} namespace of the instance is the host's: nothing is run in it"));
            }
        }
        Ok(handle)
    }

    /// Returns true where the first process is in a group: a driver need not use every hierarchy that the machine has.
    fn lists_first(&self, file: &Path) -> bool {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.parse() == Ok(self.pid))
    }

    fn by_joining(&self, first: &OwnedFd, request: &Request, spec: &Spec) -> Result<Running, String> {
        let process = spec.process().as_ref().ok_or("the bundle names no process")?;
        let console = match request.terminal {
            Some(size) => {
                let maps = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().clone()).unwrap_or_default();
                let first_id = maps.first().map(|map| map.host_id()).ok_or("the bundle maps no ids")?;
                let opened = Console::open(self.pid, first_id + process.user().uid(), size);
                Some(opened.map_err(|cause| format!("opening a terminal: {cause}"))?)
            }
            None => None,
        };
        setns(first, CloneFlags::CLONE_NEWPID).map_err(|cause| format!("entering the pid namespace: {cause}"))?;
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("joined").arg("--config").arg(self.bundle.join("config.json"));
        command.args(["--parent", &getpid().as_raw_nonzero().to_string()]);
        let groups: Vec<&PathBuf> = self.groups.iter().filter(|file| self.lists_first(file)).collect();
        if groups.is_empty() {
            return Err("the instance's first process is in none of its control groups".into());
        }
        for group in groups {
            command.arg("--group").arg(group);
        }
        command.env_clear().env(REQUEST_VARIABLE, as_json(request)).current_dir("/");
        match console {
            Some(console) => {
                let end = || console.slave.try_clone().map(Stdio::from);
                let ends = end().and_then(|a| Ok((a, end()?, end()?)));
                let (input, output, error) = ends.map_err(|cause| format!("sharing the terminal: {cause}"))?;
                command.stdin(input).stdout(output).stderr(error);
                let child = spawn(&mut command)?;
                // The command holds the process' end as well, which has to be that process' alone.
                drop(command);
                Running::at_terminal(Pid::from_child(&child), console.master)
            }
            None => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let child = spawn(&mut command)?;
                let pid = Pid::from_child(&child);
                Running::with_pipes(pid, child)
            }
        }
        .map_err(|cause| format!("holding the process: {cause}"))
    }

    fn by_runc(&self, program: &Path, request: &Request, spec: &Spec) -> Result<Begun, String> {
        let failed = |act: &'static str| move |cause: io::Error| format!("{act}: {cause}");
        set_child_subreaper(Some(getpid())).map_err(|cause| format!("becoming a subreaper: {cause}"))?;
        let process = spec.process().as_ref().ok_or("the bundle names no process")?;
        let scratch = Scratch::new(&self.scratch);
        scratch.write("json", &process_of(process, request)?).map_err(failed("writing the process"))?;
        let mut command = Command::new(program);
        command.arg("--root").arg(&self.root).arg("--log").arg(scratch.path("log")).args(["--log-format", "json"]);
        command.args(["exec", "--detach", "--process"]).arg(scratch.path("json"));
        command.arg("--pid-file").arg(scratch.path("pid"));
        let socket = match request.terminal {
            Some(_) => {
                command.arg("--console-socket").arg(scratch.path("tty"));
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                Some(UnixListener::bind(scratch.path("tty")).map_err(failed("binding a socket for the terminal"))?)
            }
            None => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
        };
        let mut child = spawn(command.arg(&self.id).current_dir("/"))?;
        let (input, output, error) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let status = child.wait().map_err(failed("waiting for runc"))?;
        if !status.success() {
            return refused(&scratch.words());
        }
        let text = std::fs::read_to_string(scratch.path("pid")).map_err(failed("reading the process' number"))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or("runc left no number of a process")?;
        let running = match (socket, request.terminal) {
            (Some(socket), Some(size)) => {
                let master = console::receive(&socket).map_err(failed("taking the terminal"))?;
                console::resize(&master, size).map_err(failed("sizing the terminal"))?;
                Running::at_terminal(pid, master)
            }
            _ => {
                child.stdin = input;
                child.stdout = output;
                child.stderr = error;
                Running::with_pipes(pid, child)
            }
        };
        running.map(Begun::Runs).map_err(failed("holding the process"))
    }
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.spawn().map_err(|cause| format!("{} cannot be run: {cause}", command.get_program().to_string_lossy()))
}

fn as_json(request: &Request) -> String {
    serde_json::json!({
        "command": request.command,
        "environment": request.environment,
        "folder": request.folder,
        "terminal": request.terminal.map(|(columns, rows)| [columns, rows]),
    })
    .to_string()
}

/// The bundle's process with another program: user, capabilities and the rest stay.
fn process_of(process: &Process, request: &Request) -> Result<Vec<u8>, String> {
    let mut process = process.clone();
    let lines = variables(&process, request).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    process.set_args(Some(request.command.clone()));
    process.set_env(Some(lines));
    process.set_terminal(Some(request.terminal.is_some()));
    // runc gives the terminal its size before the program starts: a program that asks first thing sees no other one.
    let sized = |(columns, rows): (u16, u16)| BoxBuilder::default().width(columns).height(rows).build();
    process.set_console_size(request.terminal.map(sized).transpose().map_err(|cause| cause.to_string())?);
    if let Some(folder) = &request.folder {
        process.set_cwd(folder.into());
    }
    serde_json::to_vec(&process).map_err(|cause| cause.to_string())
}

/// Takes runc's refusal: a program that cannot be run has ended with the code that a shell gives.
fn refused(words: &str) -> Result<Begun, String> {
    let has = |part: &str| words.contains(part);
    let code = if has("executable file not found") || has("no such file or directory") {
        127
    } else if has("permission denied") || has("exec format error") {
        126
    } else {
        return Err(if words.is_empty() { "runc refused, and said nothing".into() } else { words.into() });
    };
    Ok(Begun::Ended(code, format!("openmesh: {words}\n")))
}

/// Files of one beginning by runc, gone with this value.
struct Scratch {
    stem: PathBuf,
}

impl Scratch {
    const FILES: [&str; 4] = ["json", "pid", "log", "tty"];

    fn new(folder: &Path) -> Scratch {
        let scratch = Scratch { stem: folder.join(format!("exec-{}", getpid().as_raw_nonzero())) };
        // Those of a dead process with this number.
        scratch.clear();
        scratch
    }

    fn path(&self, end: &str) -> PathBuf {
        self.stem.with_extension(end)
    }

    fn write(&self, end: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(end))?.write_all(bytes)
    }

    /// Message of the last error in the log.
    fn words(&self) -> String {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let message = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line.get("msg")?.as_str().map(str::to_string)
        };
        let mut words = text.lines().rev().find_map(message).unwrap_or_default();
        let cut = (0..=WORDS_BYTES_MAX.min(words.len())).rev().find(|at| words.is_char_boundary(*at)).unwrap_or(0);
        words.truncate(cut);
        words
    }

    fn clear(&self) {
        for end in Self::FILES {
            let _ = std::fs::remove_file(self.path(end));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}
