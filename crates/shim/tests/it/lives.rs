//! Lives of processes: ends, signals, orphans, zombies, helpers that fail, restarts.

use std::time::Duration;

use openmesh_shim::protocol::{Action, Cause, Ending, State};
use openmesh_shim::restart::RestartPolicy;
use openmesh_shim::start::Word;
use rustix::process::Signal;

use crate::world::{World, config, lives, signal, until};

#[test]
fn exit_codes_and_signals_are_known_and_the_last_lines_kept() {
    for code in [0, 1, 42, 255] {
        let world = World::new(&format!("echo out; echo last words >&2; exit {code}"), RestartPolicy::Never);
        let status = world.wait_for(State::Stopped);
        let end = status.ends.last().unwrap();
        assert_eq!((&end.cause, end.run, end.asked), (&Cause::Exited { code }, 1, false));
        let run = world.lines().into_iter().filter(|r| (end.log_first..end.log_next).contains(&r.sequence));
        let mut run: Vec<_> = run.map(|r| String::from_utf8(r.text).unwrap()).collect();
        run.sort();
        assert_eq!(run, ["last words", "out"]);
        let said = String::from_utf8(world.lines().pop().unwrap().text).unwrap();
        assert!(said.starts_with(&format!("run 1 ended with exit code {code}, after")), "{said}");
    }
    let world = World::new("printf 'without a newline'", RestartPolicy::Never);
    world.wait_for(State::Stopped);
    assert_eq!(world.texts(), ["without a newline"]);
    let world = World::new("kill -SEGV $$", RestartPolicy::OnFailure);
    let status = world.wait(|status| status.ends.len() >= 2);
    let expected = Cause::Killed { signal: 11, name: "SIGSEGV".into() };
    assert!(status.ends.iter().all(|end| end.cause == expected), "{:?}", status.ends);
}

#[test]
fn an_application_stops_in_its_own_words() {
    let script = "trap 'echo goodbye; exit 7' USR1; echo up; while :; do sleep 0.05; done";
    let world = World::new(script, RestartPolicy::Always);
    until("up", || world.texts() == ["up"]);
    let status = world.stop("USR1", 60_000);
    let end = status.ends.last().unwrap();
    assert_eq!((&end.cause, end.asked, status.wanted), (&Cause::Exited { code: 7 }, true, false));
    assert_eq!(world.texts(), ["up", "goodbye"]);
}

#[test]
fn whoever_ignores_sigterm_is_killed_after_the_grace() {
    let world = World::new("trap '' TERM; echo up; while :; do sleep 0.05; done", RestartPolicy::Always);
    until("up", || world.texts() == ["up"]);
    let begun = std::time::Instant::now();
    let status = world.stop("TERM", 300);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(status.ends.last().unwrap().cause, Cause::Killed { signal: 9, name: "SIGKILL".into() });
}

/// Number that a script has written after a word.
fn number(world: &World, word: &str) -> Option<u32> {
    world.texts().iter().find_map(|text| text.strip_prefix(word)?.trim().parse().ok())
}

#[test]
fn daemons_are_ended_with_their_instance_and_reaped_before() {
    let script =
        "(setsid sh -c 'echo daemon $$; exec sleep 1000' &) ; (sh -c 'echo short $$' &); while :; do sleep 0.05; done";
    let world = World::new(script, RestartPolicy::Never);
    until("two daemons", || number(&world, "daemon ").is_some() && number(&world, "short ").is_some());
    let (daemon, short) = (number(&world, "daemon ").unwrap(), number(&world, "short ").unwrap());
    until("the short one is reaped, not only dead", || !std::path::Path::new(&format!("/proc/{short}")).exists());
    assert!(lives(daemon));
    world.stop("TERM", 0);
    assert!(!lives(daemon), "what an instance left behind ends with it");
}

#[test]
fn a_storm_of_orphans_leaves_no_zombies_and_no_gap_in_the_service() {
    // Each turn leaves an orphan whose parent has gone, so that the shim has to reap it.
    let script = "i=0; while [ $i -lt 1500 ]; do (true & true) ; i=$((i+1)); done; echo done; exec sleep 1000";
    let world = World::new(script, RestartPolicy::Never);
    let mut answers = 0;
    until("the end of the storm", || {
        world.status();
        answers += 1;
        world.texts() == ["done"]
    });
    until("no zombies", || children(world.pid).iter().all(|(_, state)| *state != 'Z'));
    println!("{answers} answers during the storm; children now: {:?}", children(world.pid));
    assert_eq!(children(world.pid).len(), 1);
}

/// Children of a process and their state.
fn children(pid: u32) -> Vec<(u32, char)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap());
        if parent.parse() == Ok(pid) {
            found.push((child, state.chars().next().unwrap()));
        }
    }
    found
}

#[test]
fn restarts_grow_into_a_crash_loop_that_a_person_can_end() {
    let world = World::new("exit 3", RestartPolicy::OnFailure);
    let status = world.wait(|status| status.crash_loop && status.state == State::Waiting);
    // A busy machine may have seen one more by now.
    let ends = status.ends.len();
    assert!(ends >= 5 && status.restarts == ends as u64 - 1, "{status:?}");
    assert!(status.next_start_ms.is_some_and(|ms| ms <= 400), "{status:?}");
    let gaps: Vec<u64> = status.ends.windows(2).map(|pair| pair[1].at_unix_ms - pair[0].at_unix_ms).collect();
    println!("gaps between ends: {gaps:?} ms");
    // A pause counts from the moment at which an end is seen, and on a busy machine its time of day is read some milliseconds later.
    const READ_LATE_MS_MAX: u64 = 20;
    assert!(gaps.iter().zip([10, 20, 40, 80]).all(|(gap, pause)| *gap + READ_LATE_MS_MAX >= pause), "{gaps:?}");
    world.wait(|status| status.ends.len() >= 7);
    let status = world.stop("TERM", 0);
    assert!(!status.wanted && status.next_start_ms.is_none());
    let runs = status.run;
    world.client().ask(Action::Start).unwrap();
    world.wait(|status| status.run > runs);
}

#[test]
fn a_good_end_is_the_end_where_only_failures_start_again() {
    let world = World::new("exit 0", RestartPolicy::OnFailure);
    let status = world.wait_for(State::Stopped);
    assert_eq!((status.run, status.restarts, status.wanted), (1, 0, false));
}

#[test]
fn a_restart_is_no_crash() {
    let world = World::new("echo run; exec sleep 1000", RestartPolicy::Always);
    for run in 1..=7u64 {
        let status = world.wait(|status| status.state == State::Running && status.run == run);
        assert!(!status.crash_loop && status.restarts == 0);
        let ending = Ending { signal: None, grace_ms: Some(0) };
        world.client().ask(Action::Restart(ending)).unwrap();
    }
    let status = world.wait(|status| status.state == State::Running && status.run == 8);
    assert!(status.ends.iter().all(|end| end.asked) && status.ends.len() == 7);
}

#[test]
fn a_helper_that_fails_is_said_with_its_words() {
    let world = World::with("true", RestartPolicy::Never, |config| {
        config.helpers.create = ["/bin/sh", "-c", "echo no such image >&2; exit 9"].map(String::from).to_vec();
    });
    let status = world.wait_for(State::Stopped);
    let end = status.ends.last().unwrap();
    assert_eq!(end.cause, Cause::NotCreated { reason: "exit code 9".into() });
    let words: Vec<String> = world.lines().into_iter().map(|r| String::from_utf8(r.text).unwrap()).collect();
    assert!(words.iter().any(|text| text == "no such image"), "{words:?}");

    let world = World::with("true", RestartPolicy::Never, |c| c.helpers.create = vec!["/nowhere/runc".into()]);
    let Cause::NotCreated { reason } = &world.wait_for(State::Stopped).ends[0].cause else { panic!() };
    assert!(reason.starts_with("/nowhere/runc: No such file"), "{reason}");

    let world = World::with("true", RestartPolicy::Never, |config| {
        config.helpers.create = vec!["/bin/sh".into(), "-c".into(), format!("echo 2 > {}", config.pid_file.display())];
    });
    let Cause::NotCreated { reason } = &world.wait_for(State::Stopped).ends[0].cause else { panic!() };
    assert!(reason.contains("is no child of the shim"), "{reason}");
}

#[test]
fn a_helper_that_hangs_is_killed_with_what_it_began() {
    let world = World::with("true", RestartPolicy::Never, |config| {
        config.helpers.create = ["/bin/sh", "-c", "sleep 1000 & echo began $!; wait"].map(String::from).to_vec();
        // Also a machine that is busy with other tests has a shell say its word within this time.
        config.helpers.ms_max = 5_000;
    });
    let status = world.wait_for(State::Stopped);
    assert_eq!(status.ends[0].cause, Cause::NotCreated { reason: "killed by SIGKILL".into() });
    assert!(!lives(number(&world, "began ").unwrap()));
}

#[test]
fn create_start_and_delete_come_in_their_order_and_a_held_start_waits() {
    let world = World::with("echo app; exec sleep 1000", RestartPolicy::Always, |config| {
        let note = |word: &str| vec!["/bin/sh".into(), "-c".into(), format!("echo {word}; echo {word} >> order")];
        config.helpers.start = Some(note("start"));
        config.helpers.delete = Some(note("delete"));
        config.helpers.held = true;
    });
    let order = || std::fs::read_to_string(world.config.bundle.join("order")).unwrap_or_default();
    world.wait_for(State::Created);
    assert_eq!(order(), "");
    world.client().ask(Action::Start).unwrap();
    let first = world.wait_for(State::Running).first.unwrap();
    assert_eq!(order(), "start\n");
    signal(first.pid, Signal::KILL);
    world.wait(|status| status.state == State::Running && status.run == 2);
    assert_eq!(order(), "start\ndelete\nstart\n", "a restart needs nobody's word");
    world.stop("TERM", 0);
    assert_eq!(order(), "start\ndelete\nstart\ndelete\n");
}

#[test]
fn a_stopped_process_is_seen_at_once_and_a_pause_is_kept_apart_from_it() {
    let world = World::new("exec sleep 1000", RestartPolicy::Always);
    let first = world.wait_for(State::Running).first.unwrap();
    signal(first.pid, Signal::STOP);
    world.wait(|status| status.first.as_ref().is_some_and(|first| first.stopped_by == Some(19)));
    signal(first.pid, Signal::CONT);
    world.wait(|status| status.first.as_ref().is_some_and(|first| first.stopped_by.is_none()));
    let mut client = world.client();
    assert_eq!(client.ask(Action::Pause { note: "backup".into() }).unwrap().paused.as_deref(), Some("backup"));
    let refused = client.ask(Action::Stop(Ending::default())).unwrap_err().to_string();
    assert_eq!(refused, "the shim refused: the instance is paused (backup): thaw it and send `resume` first");
    signal(first.pid, Signal::KILL);
    let status = world.wait(|status| status.state == State::Waiting);
    assert_eq!(status.next_start_ms, None, "nothing is started while it is paused");
    client.ask(Action::Resume).unwrap();
    assert_eq!(world.wait_for(State::Running).run, 2);
}

#[test]
fn kills_for_want_of_memory_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let events = directory.path().join("memory.events");
    // At one stroke, as the kernel's file changes: one that is emptied first counts nothing for a moment.
    let script = format!("echo 'oom_kill 4' > {0}.new; mv {0}.new {0}; kill -KILL $$", events.display());
    std::fs::write(&events, "low 0\noom_kill 3\n").unwrap();
    let world = World::with(&script, RestartPolicy::Never, |config| config.oom_files = vec![events.clone()]);
    let status = world.wait_for(State::Stopped);
    assert!(status.ends[0].out_of_memory && status.oom_kills == Some(4), "{status:?}");
    // The count stays, and the next run has no such end.
    world.client().ask(Action::Start).unwrap();
    let status = world.wait(|status| status.ends.len() == 2 && status.state == State::Stopped);
    assert!(!status.ends[1].out_of_memory, "{status:?}");
}

#[test]
fn a_shim_that_is_asked_to_end_ends_its_instance_first() {
    let script = "trap 'echo goodbye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let world = World::new(script, RestartPolicy::Always);
    until("up", || world.texts() == ["up"]);
    let first = world.status().first.unwrap();
    signal(world.pid, Signal::TERM);
    until("the shim's end", || !lives(world.pid));
    assert!(!lives(first.pid));
    assert_eq!(world.texts(), ["up", "goodbye"]);
    assert!(!world.config.socket.exists());
}

#[test]
fn an_application_inherits_nothing_of_the_agent() {
    let script = "trap '' TERM; kill -TERM 0; env | cut -d= -f1; ls /proc/self/fd | tr '\\n' ' '; echo; cat /proc/$$/stat; exec sleep 1000";
    let world = World::with(script, RestartPolicy::Never, |config| {
        config.helpers.environment.insert("GIVEN".into(), "1".into());
    });
    until("four facts", || world.texts().len() >= 4 && world.texts().iter().any(|text| text.contains("(sh)")));
    let texts = world.texts();
    for name in texts.iter().take_while(|text| !text.contains(' ')) {
        assert!(
            ["GIVEN", "PATH", "OPENMESH_SHIM", "PWD", "OLDPWD", "_", "SHLVL"].contains(&name.as_str()),
            "{name} came from the agent"
        );
    }
    assert!(texts.iter().any(|text| text == "GIVEN"));
    let open = texts.iter().find(|text| text.starts_with("0 1 ")).unwrap();
    assert_eq!(open.trim(), "0 1 2 3", "its streams, and the folder that is listed");
    assert_eq!(world.status().state, State::Running, "a signal to the application's group did not reach the shim");
}

/// A script that starts an agent may hold a lock by a descriptor, and a build tool hands its pipes on.
#[test]
fn what_is_open_in_whoever_starts_a_shim_is_not_open_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let held = directory.path().join("held");
    std::fs::write(&held, "").unwrap();
    let mut world = World::prepare(config(directory.path(), "exec sleep 1000", RestartPolicy::Never));
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "exec 8<\"$1\" 9<\"$1\"; exec \"$2\" \"$3\"", "sh"]).arg(&held);
    let said = shell.arg(crate::world::binary()).arg(world.path()).output().unwrap();
    let word: Word = serde_json::from_slice(&said.stdout).unwrap();
    let Word::Ready { pid, .. } = word else { panic!("{word:?}") };
    world.pid = pid;
    world.wait_for(State::Running);
    let is_held = |pid: u32| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|to| to == held)
    };
    assert!(!is_held(pid));
    assert!(!is_held(world.status().first.unwrap().pid));
}

#[test]
fn a_program_is_installed_whole_and_runs_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let program = std::fs::read(crate::world::binary()).unwrap();
    let path = openmesh_shim::start::install(&program, &directory.path().join("bin")).unwrap();
    assert_eq!(openmesh_shim::start::install(&program, &directory.path().join("bin")).unwrap(), path);
    // Whatever another test starts at this moment has it open for writing, until its own program runs.
    let run = |arguments: &[&str]| {
        let mut done: std::io::Result<std::process::Output> = Err(std::io::ErrorKind::ExecutableFileBusy.into());
        until("a program that can be run", || {
            done = std::process::Command::new(&path).args(arguments).output();
            !done.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ExecutableFileBusy)
        });
        done.unwrap()
    };
    let said = run(&["--version"]);
    assert_eq!(String::from_utf8(said.stdout).unwrap(), format!("openmesh-shim {}\n", env!("CARGO_PKG_VERSION")));
    let usage = run(&[]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8(usage.stderr).unwrap().starts_with("openmesh-shim CONFIG "));
}
