//! The process: its rights, its loans from a file, its end, its successor (B-80).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use openmesh_backup::{Peer, PeerSettings, Refusal, Store as _, StoreError};
use openmesh_lender::loans::{Loan, Loans};
use openmesh_lender::privileges::User;
use openmesh_lender::report::Report;
use openmesh_lender::start::{MARKER, Start};
use tempfile::TempDir;

use crate::conformance::{self, object};
use crate::stage::{key, loan, until};

/// A user of nobody else's.
const UID: u32 = 64_119;
/// Number of the lender's key.
const LENDER: u8 = 77;

/// Folders of a lender's process, as an agent makes them.
struct Home {
    folder: TempDir,
    start: Start,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            println!("skipped in part: giving rights away needs root");
        }
        let own = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            if is_root {
                chown(&path, Some(UID), Some(UID)).unwrap();
            }
            path
        };
        let told = folder.path().join("told");
        fs::create_dir(&told).unwrap();
        let secret = folder.path().join("key");
        fs::write(&secret, key(LENDER).secret_text()).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let start = Start {
            run: "one".into(),
            guests: own("guests"),
            known: false,
            own: own("own"),
            report: own("reports").join("report.json"),
            loans: told.join("loans.json"),
            key: secret,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            user: is_root.then_some(User { uid: UID, gid: UID }),
            session: false,
        };
        Home { folder, start }
    }

    fn tell(&self, run: &str, all: &[(&str, Loan)]) {
        let loans = all.iter().map(|(name, loan)| (name.to_string(), loan.clone())).collect();
        let loans = Loans { run: run.into(), reserve_bytes: 0, loans };
        let beside = self.start.loans.with_extension("new");
        fs::write(&beside, serde_json::to_vec(&loans).unwrap()).unwrap();
        fs::rename(beside, &self.start.loans).unwrap();
    }

    fn begin(&self) -> Running {
        let path = self.folder.path().join("start.json");
        fs::write(&path, serde_json::to_vec(&self.start).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_openmesh-lender"));
        Running(command.arg(&path).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn report(&self) -> Option<Report> {
        serde_json::from_slice(&fs::read(&self.start.report).ok()?).ok()
    }

    fn listens(&self) {
        until("it listens", || self.report().is_some_and(|report| !report.listens.is_empty()));
    }

    /// The store of a guest, once the lender listens.
    fn peer(&self, number: u8) -> Peer {
        self.listens();
        let address = self.report().unwrap().listens.remove(0);
        let settings = PeerSettings {
            address,
            lender: key(LENDER).public(),
            own: key(number),
            tries: openmesh_backup::peer::TRIES,
        };
        Peer::open(settings).unwrap()
    }
}

/// A line of the kernel about a process.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_landlock() -> bool {
    let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    asked.handle_access(AccessFs::from_all(ABI::V2)).is_ok()
}

#[test]
fn a_lender_has_no_rights_and_is_a_store_as_every_other() {
    let home = Home::new();
    home.tell("one", &[("ann", loan(&[1])), ("bob", loan(&[2]))]);
    let running = home.begin();
    home.listens();
    let pid = running.0.id();
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(pid, name), "0000000000000000", "{name}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    if home.start.user.is_some() {
        assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        assert_eq!((status(pid, "Uid"), status(pid, "Groups")), (vec![UID.to_string(); 4].join(" "), String::new()));
    }
    assert_eq!(home.report().unwrap().landlock, has_landlock());
    conformance::objects(&home.peer(1));
    conformance::life(&home.peer(2));
    until("the report follows", || home.report().is_some_and(|report| report.loans["bob"].used_bytes > 100_000));
    assert!(home.report().unwrap().loans["ann"].seen.is_some());
}

#[test]
fn loans_change_while_it_runs_and_it_leaves_for_the_next_one() {
    let mut home = Home::new();
    home.tell("one", &[("ann", loan(&[1]))]);
    let mut first = home.begin();
    home.listens();
    let peer = home.peer(1);
    assert!(peer.put_new(object(b"a"), b"a").unwrap());
    // A loan that is taken away ends within the look.
    home.tell("one", &[]);
    let refused =
        || matches!(peer.read(object(b"a"), 0, 1), Err(StoreError::Refused { refusal: Refusal::Stranger, .. }));
    until("the loan ends", refused);
    // One that cannot be is not taken, and is said.
    home.tell("one", &[("../x", loan(&[1]))]);
    until("the fault is told", || {
        home.report().is_some_and(|report| report.troubles.iter().any(|one| one.contains("../x")))
    });
    home.tell("one", &[("ann", loan(&[1]))]);
    until("it is lent again", || peer.stat(object(b"a")).is_ok());
    // The next start waits for the end of this one, and goes on with its objects.
    home.start.run = "two".into();
    home.start.known = true;
    let _second = home.begin();
    home.tell("two", &[("ann", loan(&[1]))]);
    assert!(first.0.wait().unwrap().success(), "it leaves by itself");
    until("the next one serves", || {
        home.report().is_some_and(|report| report.run == "two" && !report.listens.is_empty())
    });
    assert_eq!(home.peer(1).read(object(b"a"), 0, 9).unwrap(), b"a");
}

#[test]
fn a_disk_that_is_not_mounted_and_a_place_that_is_taken_are_said() {
    let mut home = Home::new();
    home.tell("one", &[("ann", loan(&[1]))]);
    // What a check of the file system finds lies here, on a disk of its own, and nobody but root reads it.
    let found = home.start.guests.join("lost+found");
    fs::create_dir(&found).unwrap();
    fs::set_permissions(&found, fs::Permissions::from_mode(0o700)).unwrap();
    // The address is another program's at first.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    home.start.listen = vec![taken.local_addr().unwrap()];
    let running = home.begin();
    until("it says so", || {
        home.report().is_some_and(|report| report.troubles.iter().any(|one| one.contains("cannot listen")))
    });
    drop(taken);
    home.listens();
    until("the trouble is over", || home.report().is_some_and(|report| report.troubles.is_empty()));
    drop(running);
    home.start.known = true;
    assert!(home.start.guests.join(MARKER).exists());
    fs::remove_file(home.start.guests.join(MARKER)).unwrap();
    let before = list(&home.start.guests);
    let mut refused = home.begin();
    assert!(!refused.0.wait().unwrap().success());
    let mut words = String::new();
    std::io::Read::read_to_string(&mut refused.0.stderr.take().unwrap(), &mut words).unwrap();
    assert!(words.contains("mount its disk"), "{words}");
    assert_eq!(list(&home.start.guests), before, "nothing is made there");
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn a_lender_whose_agent_is_gone_leaves() {
    let home = Home::new();
    home.tell("one", &[("ann", loan(&[1]))]);
    let mut running = home.begin();
    home.listens();
    fs::remove_file(&home.start.loans).unwrap();
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn root_and_wrong_words_are_refused() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_openmesh-lender")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["/nowhere/start.json"]).0, Some(1));
    let mut home = Home::new();
    home.tell("one", &[]);
    let path = home.folder.path().join("start.json");
    let write = |start: &Start| fs::write(&path, serde_json::to_vec(start).unwrap()).unwrap();
    if home.start.user.take().is_some() {
        write(&home.start);
        let (code, words) = run(&[path.to_str().unwrap()]);
        assert!(code == Some(1) && words.contains("does not run as root"), "{words}");
        home.start.user = Some(User { uid: 0, gid: 0 });
        write(&home.start);
        assert_eq!(run(&[path.to_str().unwrap()]).0, Some(1));
    }
    fs::write(&home.start.key, "no key").unwrap();
    write(&home.start);
    let (code, words) = run(&[path.to_str().unwrap()]);
    assert!(code == Some(1) && words.contains("no key of a machine"), "{words}");
}
