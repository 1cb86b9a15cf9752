//! Processes beside the first one (X-90 to X-92), by both drivers: what the kernel says of them, and when they end.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_cage::exec::{self, ExecError, First, Hearing, Request, Said, Window, Word};
use openmesh_cage::instance::{Capability, Identity};
use openmesh_cage::{open_door, readback};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Pid;

use crate::world::{PATIENCE, World, helper, reap, until, with_drivers};

/// Runs a test for each driver in an instance that runs, where there is a helper.
fn with_instances(prepare: impl Fn(&mut World), test: impl Fn(&mut World, &dyn Fn(&World) -> Vec<String>)) {
    with_drivers(|mut world| {
        let helper = match helper() {
            Ok(helper) => helper,
            Err(text) => return println!("skipped: {text}"),
        };
        prepare(&mut world);
        let pid = world.start();
        let first = First { pid, start_ticks: ticks(pid) };
        let command = |world: &World| exec::command(&helper, &*world.driver, &world.container, &world.group, first);
        test(&mut world, &command);
        world.delete();
        world.assert_gone();
    });
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

fn request(command: &[&str]) -> Request {
    Request { command: command.iter().map(ToString::to_string).collect(), ..Request::default() }
}

fn perl(script: &str) -> Request {
    request(&["/usr/bin/perl", "-e", script])
}

/// A process beside the first one, spoken to by frames. Its end is that of whoever asks.
struct Beside {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    hearing: Hearing,
    /// Its number on the host.
    pid: u32,
    said: Vec<u8>,
}

impl Beside {
    fn begin(command: &[String], request: &Request) -> Beside {
        let mut child =
            Command::new(&command[0]).args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut beside = Beside { child, input, output, hearing: Hearing::default(), pid: 0, said: Vec::new() };
        beside.tell(&Word::Begin(request.clone()));
        match beside.next("its start") {
            Some(Said::Started(pid)) => beside.pid = pid,
            other => panic!("it did not start: {other:?}"),
        }
        beside
    }

    fn tell(&mut self, word: &Word) {
        self.input.as_mut().unwrap().write_all(&word.frames()).unwrap();
    }

    /// The next word; none where there will be no more. Nothing is read before somebody asks.
    fn next(&mut self, wanted: &str) -> Option<Said> {
        let begun = Instant::now();
        let mut part = [0; 4 << 10];
        loop {
            if let Some(said) = self.hearing.take().unwrap() {
                return Some(said);
            }
            let mut ready = [PollFd::new(&self.output, PollFlags::IN)];
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            if rustix::event::poll(&mut ready, Some(&second)).unwrap() == 0 {
                let late = begun.elapsed() > PATIENCE;
                assert!(!late, "{wanted}: not after {PATIENCE:?}, said: {}", String::from_utf8_lossy(&self.said));
                continue;
            }
            match self.output.read(&mut part).unwrap() {
                0 => return None,
                count => self.hearing.add(&part[..count]),
            }
        }
    }

    /// Hears until a text was said.
    fn hear(&mut self, wanted: &str) {
        while !String::from_utf8_lossy(&self.said).contains(wanted) {
            match self.next(wanted) {
                Some(Said::Output(bytes) | Said::Error(bytes)) => self.said.extend(bytes),
                other => panic!("{wanted}: {other:?} after {}", String::from_utf8_lossy(&self.said)),
            }
        }
    }

    /// Hears to the end, and returns the code.
    fn end(&mut self) -> i32 {
        loop {
            match self.next("its end") {
                Some(Said::Output(bytes) | Said::Error(bytes)) => self.said.extend(bytes),
                Some(Said::Ended(code)) => return code,
                other => panic!("{other:?}"),
            }
        }
    }

    fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.input.take());
        // Where a test has failed the helper may wait for what nobody does any more.
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Lines of `/proc/PID/status` that tell what a process may do.
fn rights(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let keys = ["Uid:", "Gid:", "Groups:", "Umask:", "Cap", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:"];
    text.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).map(ToString::to_string).collect()
}

fn of(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

fn namespaces(pid: u32) -> Vec<PathBuf> {
    let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    kinds.iter().map(|kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()).collect()
}

#[test]
fn it_has_what_the_first_process_has_and_nothing_beyond() {
    let prepare = |world: &mut World| {
        world.instance.capabilities = [Capability::NetBindService].into();
        world.instance.user = Identity { user: 1_000, group: 1_000, groups: vec![44] };
    };
    with_instances(prepare, |world, command| {
        let first = world.pid.unwrap().as_raw_nonzero().get().cast_unsigned();
        let mut beside = Beside::begin(&command(world), &request(&["/bin/sh", "-c", "echo there; exec sleep 1000"]));
        beside.hear("there\n");
        until("its program", || of(beside.pid, "cmdline").starts_with("sleep"));
        let name = world.driver.name();
        assert_eq!(rights(beside.pid), rights(first), "{name}");
        assert_eq!(namespaces(beside.pid), namespaces(first), "{name}");
        for file in ["cgroup", "limits", "oom_score_adj"] {
            assert_eq!(of(beside.pid, file), of(first, file), "{name}: {file}");
        }
        assert!(world.group.processes().unwrap().contains(&beside.pid), "{name}");
        let observed = readback::check(&world.config(), first, &world.group).unwrap();
        assert_eq!(observed, [], "{name}: every process of the group is as its bundle says");
        // Nothing of the host is open in it but its three streams.
        assert_eq!(std::fs::read_dir(format!("/proc/{}/fd", beside.pid)).unwrap().count(), 3, "{name}");
        beside.tell(&Word::Signal(15));
        assert_eq!(beside.end(), 143, "{name}");
    });
}

#[test]
fn system_calls_are_filtered_in_it_too() {
    // keyctl (EPERM) and clone3 (ENOSYS) on x86-64.
    #[cfg(target_arch = "x86_64")]
    with_instances(
        |_| {},
        |world, command| {
            let script = "for my $call (250, 435) { $! = 0; syscall($call, 0, 0, 0, 0, 0); print $!+0, qq(\n) }";
            let finished = exec::run(&command(world), &perl(script), PATIENCE).unwrap();
            assert_eq!((finished.code, finished.said.as_str()), (0, "1\n38\n"), "{}", world.driver.name());
        },
    );
}

#[test]
fn codes_are_told_as_a_shell_tells_them() {
    with_instances(
        |_| {},
        |world, command| {
            let code = |words: &[&str]| exec::run(&command(world), &request(words), PATIENCE).unwrap().code;
            assert_eq!(code(&["/bin/sh", "-c", "exit 3"]), 3);
            assert_eq!(code(&["/bin/sh", "-c", "kill -9 $$"]), 137);
            assert_eq!(code(&["/bin/no-such-program"]), 127, "{}", world.driver.name());
            assert_eq!(code(&["/etc/passwd"]), 126, "{}", world.driver.name());
            let said = exec::run(&command(world), &request(&["/bin/no-such-program"]), PATIENCE).unwrap().said;
            assert!(said.contains("no-such-program"), "{said}");
        },
    );
}

#[test]
fn variables_and_folder_are_the_bundles_unless_others_are_asked_for() {
    with_instances(
        |_| {},
        |world, command| {
            let script = "print qq($ENV{GREETING} $ENV{MORE} $ENV{HOME} ), readlink('/proc/self/cwd'), qq(\n)";
            let finished = exec::run(&command(world), &perl(script), PATIENCE).unwrap();
            assert_eq!(finished.said, "good day  / /\n", "{}", world.driver.name());
            let mut asked = perl(script);
            asked.variables = [("MORE".to_string(), "more".to_string()), ("GREETING".into(), "hello".into())].into();
            asked.folder = Some("/data".into());
            let finished = exec::run(&command(world), &asked, PATIENCE).unwrap();
            assert_eq!(finished.said, "hello more / /data\n", "{}", world.driver.name());
        },
    );
}

#[test]
fn input_is_passed_on_whole_and_its_end_too() {
    with_instances(
        |_| {},
        |world, command| {
            let mut beside = Beside::begin(&command(world), &perl("local $/; print length(<STDIN>), qq(\n); exit 5"));
            let bytes = vec![b'x'; 300_000];
            beside.tell(&Word::Input(bytes));
            beside.tell(&Word::EndOfInput);
            assert_eq!(beside.end(), 5);
            assert_eq!(beside.said, b"300000\n", "{}", world.driver.name());
        },
    );
}

#[test]
fn a_terminal_has_a_name_a_size_and_signals() {
    let script = r"$| = 1; $SIG{INT} = sub { print qq(asked\n); exit 4 };
        sub size { my $s = pack('S4'); ioctl(STDIN, 0x5413, $s); my @s = unpack('S4', $s); print qq($s[1]x$s[0]\n) }
        $SIG{WINCH} = \&size; print -t STDIN ? qq(terminal ) : qq(none ), readlink('/proc/self/fd/0'), qq(\n);
        open(my $t, '<', '/dev/tty') or print qq(no controlling terminal\n);
        size(); sleep 1 while 1";
    with_instances(
        |world| world.instance.user = Identity { user: 1_000, group: 1_000, groups: Vec::new() },
        |world, command| {
            let asked = Request { terminal: Some(Window { columns: 80, rows: 24 }), ..perl(script) };
            let mut beside = Beside::begin(&command(world), &asked);
            beside.hear("terminal /dev/pts/0\r\n80x24\r\n");
            beside.tell(&Word::Window(Window { columns: 132, rows: 50 }));
            beside.hear("132x50\r\n");
            // What a person types: the terminal makes a signal of it.
            beside.tell(&Word::Input(vec![3]));
            assert_eq!(beside.end(), 4, "{}", world.driver.name());
            let said = String::from_utf8_lossy(&beside.said).into_owned();
            assert!(said.contains("asked\r\n") && !said.contains("no controlling"), "{said}");
        },
    );
}

#[test]
fn it_ends_with_whoever_asked_for_it() {
    with_instances(
        |_| {},
        |world, command| {
            for terminal in [None, Some(Window { columns: 80, rows: 24 })] {
                // One that does not listen is killed.
                // Its child has a process group of its own, as the jobs of a shell have.
                let script = "$SIG{HUP} = 'IGNORE'; $| = 1; fork or do { setpgrp; sleep 1000 while 1 }; print qq(there\n); sleep 1000 while 1";
                let mut beside = Beside::begin(&command(world), &Request { terminal, ..perl(script) });
                beside.hear("there");
                drop(beside.input.take());
                until("its end", || !beside.lives());
            }
            until("none is left", || world.group.processes().unwrap().len() == 1);
        },
    );
}

#[test]
fn it_ends_when_the_helper_is_killed_where_the_driver_can() {
    with_instances(
        |_| {},
        |world, command| {
            let mut beside = Beside::begin(&command(world), &request(&["/bin/sleep", "1000"]));
            until("its program", || of(beside.pid, "cmdline").starts_with("/bin/sleep"));
            beside.child.kill().unwrap();
            beside.child.wait().unwrap();
            if world.driver.name() == "libcontainer" {
                until("its end", || !beside.lives());
            } else {
                assert!(beside.lives());
                world.group.kill_all(&open_door).unwrap();
            }
            // Left to this subreaper, as to the machine's first process: until that takes its end, the instance's first process has none.
            let status = reap(Pid::from_raw(beside.pid.cast_signed()).unwrap());
            assert_eq!(status.terminating_signal(), Some(9), "{}", world.driver.name());
        },
    );
}

#[test]
fn it_ends_with_its_instance() {
    with_instances(
        |_| {},
        |world, command| {
            let mut beside = Beside::begin(&command(world), &request(&["/bin/sleep", "1000"]));
            // On its way in, it may find the instance gone before the kernel ends it: that is the helper's own code.
            until("its program", || of(beside.pid, "cmdline").starts_with("/bin/sleep"));
            world.group.kill_all(&open_door).unwrap();
            assert_eq!(beside.end(), 137, "{}", world.driver.name());
            // By now there is nothing in which another one could be begun.
            let refused = exec::run(&command(world), &request(&["/bin/sleep", "1"]), PATIENCE).unwrap_err();
            assert!(matches!(refused, ExecError::Refused(_)), "{refused}");
        },
    );
}

/// The kernel lets a first process not end before each process of its pid namespace was waited for.
#[test]
fn an_asker_that_does_not_read_holds_up_no_end_of_the_instance() {
    with_instances(
        |_| {},
        |world, command| {
            // More than every pipe and buffer on the way holds.
            let mut beside = Beside::begin(&command(world), &perl("syswrite(STDOUT, 'x' x (4 << 20)); sleep 1000"));
            until("it waits for its reader", || of(beside.pid, "stat").contains(") S "));
            world.group.kill_all(&open_door).unwrap();
            world.wait();
            assert_eq!(beside.end(), 137, "{}", world.driver.name());
            assert!(beside.said.iter().all(|byte| *byte == b'x'));
        },
    );
}

#[test]
fn what_is_open_in_whoever_starts_the_helper_is_not_open_in_the_process() {
    with_instances(
        |_| {},
        |world, command| {
            // As a build tool passes its pipes on, and a shell whatever it has open.
            let shell = ["/bin/sh", "-c", "exec 9</; exec \"$@\"", "sh"].map(str::to_string);
            let command: Vec<String> = shell.into_iter().chain(command(world)).collect();
            let beside = Beside::begin(&command, &request(&["/bin/sleep", "1000"]));
            until("its program", || of(beside.pid, "cmdline").starts_with("/bin/sleep"));
            let open = std::fs::read_dir(format!("/proc/{}/fd", beside.pid)).unwrap().count();
            assert_eq!(open, 3, "{}", world.driver.name());
        },
    );
}

#[test]
fn a_number_that_is_another_process_by_now_is_refused() {
    with_instances(
        |_| {},
        |world, _| {
            let own = std::process::id();
            for first in [
                First { pid: own, start_ticks: ticks(own) },
                First { pid: world.pid.unwrap().as_raw_nonzero().get().cast_unsigned(), start_ticks: 1 },
            ] {
                let helper = helper().unwrap();
                let command = exec::command(&helper, &*world.driver, &world.container, &world.group, first);
                let refused = exec::run(&command, &request(&["/bin/sleep", "1"]), PATIENCE).unwrap_err();
                assert!(refused.to_string().contains("has ended"), "{refused}");
            }
        },
    );
}

#[test]
fn its_memory_is_the_instances() {
    with_instances(
        |world| world.instance.limits.memory_bytes = 32 << 20,
        |world, command| {
            let script = "my @all; push @all, 'x' x ((1 << 20) + $_) for 1..200; print qq(all\n)";
            let finished = exec::run(&command(world), &perl(script), PATIENCE).unwrap();
            assert_eq!((finished.code, finished.said.as_str()), (137, ""), "{}", world.driver.name());
            assert!(world.group.usage().unwrap().unwrap().oom_kills >= 1);
        },
    );
}

#[test]
fn one_deadline_is_for_all_of_it() {
    with_instances(
        |_| {},
        |world, command| {
            let limit = Duration::from_millis(500);
            let late = exec::run(&command(world), &request(&["/bin/sleep", "1000"]), limit).unwrap_err();
            assert!(matches!(late, ExecError::Late { ms: 500 }), "{late}");
            until("its end", || world.group.processes().unwrap().len() == 1);
        },
    );
}

#[test]
fn nothing_is_left_of_what_a_driver_needed_for_a_moment() {
    with_instances(
        |_| {},
        |world, command| {
            exec::run(&command(world), &request(&["/bin/sh", "-c", "exit 0"]), PATIENCE).unwrap();
            let folder: &Path = world.folder.path();
            let entries = std::fs::read_dir(folder).unwrap().flatten();
            let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            assert!(!names.iter().any(|name| name.starts_with("exec-")), "{names:?}");
        },
    );
}
