//! Commands in an application beside its first process: jobs, tests of its health by a command, and what a writable root holds.

use std::path::Path;
use std::time::Duration;

use openmesh_blueprint::Refusal;
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_shim::log::{Filter, tail};
use openmesh_xnode::inside::{Finished, Request, run};
use openmesh_xnode::jobs::{Run, RunOccasion};
use openmesh_xnode::{XnodeError, open};

use crate::deploy::{document, free_port};
use crate::world::{PATIENCE, World, ask, runtime, server, until};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A document with jobs beside what `document` has.
fn with_jobs(image: &str, port: u16, jobs: &str) -> String {
    format!("{}    jobs:\n{jobs}", document(image, port))
}

fn said(logs: &Path) -> Vec<String> {
    let records = tail(logs, Filter::default(), 100).unwrap();
    records.into_iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect()
}

/// Runs a job on demand to its end.
fn run_job(world: &World, job: &str) -> (Run, Vec<String>) {
    let (web, job) = (name("web"), name(job));
    let begun = world.agent().begin_job(&web, &job, (RunOccasion::Demand, "alice"), &open).unwrap();
    until("the end of the run", || {
        world.agent().tend_jobs(&open).unwrap();
        world.agent().runs(&web, &job).unwrap().iter().any(|(run, _)| run.number == begun.number && run.end.is_some())
    });
    let (run, logs) = world.agent().runs(&web, &job).unwrap().pop().unwrap();
    (run, said(&logs))
}

fn inside(world: &World, words: &[&str]) -> Finished {
    let inside = world.agent().inside(&name("web"), None).unwrap();
    let command = words.iter().map(ToString::to_string).collect();
    run(&inside.command, &Request { command, ..Request::default() }, PATIENCE).unwrap()
}

#[test]
fn a_job_of_a_switch_runs_once_on_the_new_data_before_the_new_version_starts() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let at = ("127.0.0.1", port);
    world.deploy(&document("localhost/web:1", port));
    assert_eq!(ask("POST", at, "/kept").as_deref(), Some("one\nkept\n"));
    let job = "      up: {command: [/bin/sh, -c, 'echo migrated >> /data/words; echo done'], occasion: switch}\n";
    world.deploy(&with_jobs("localhost/web:2", port, job));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("two\nkept\nmigrated\n"));
    let runs = world.agent().runs(&name("web"), &name("up")).unwrap();
    assert_eq!(runs.len(), 1);
    let (run, logs) = &runs[0];
    assert_eq!((run.occasion, run.end.as_ref().and_then(|end| end.code)), (RunOccasion::Switch, Some(0)));
    assert!(said(logs).iter().any(|line| line == "done"), "{:?}", said(logs));
    // Another agent finds its end, and does not repeat it.
    world.again();
    assert_eq!(world.converge(), 0);
    assert_eq!(world.agent().runs(&name("web"), &name("up")).unwrap().len(), 1);
}

#[test]
fn a_failed_job_of_a_switch_is_told_and_leaves_the_data_of_the_version_before() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let at = ("127.0.0.1", port);
    world.deploy(&document("localhost/web:1", port));
    assert_eq!(ask("POST", at, "/kept").as_deref(), Some("one\nkept\n"));
    let job = "      up: {command: [/bin/sh, -c, 'echo bad >> /data/words; exit 3'], occasion: switch}\n";
    let generation = world.resolve(&with_jobs("localhost/web:2", port, job));
    world.agent().want(&generation, &open).unwrap();
    let error = runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    assert!(error.to_string().contains("job up has failed: it ended with code 3"), "{error}");
    // It is a verdict over the version, and not tried again by itself.
    let XnodeError::Refused { refusals } = &error else { panic!("{error}") };
    assert!(matches!(refusals[..], [Refusal::GateFailed { .. }]), "{refusals:?}");
    world.again();
    runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    let runs = |world: &World| world.agent().runs(&name("web"), &name("up")).unwrap().len();
    assert_eq!(runs(&world), 1);
    // Wanted again it is tried again.
    world.agent().want(&generation, &open).unwrap();
    runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    assert_eq!(runs(&world), 2);
    world.deploy(&document("localhost/web:1", port));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("one\nkept\n"));
}

#[test]
fn a_job_on_demand_has_the_network_of_its_application_and_no_second_one_runs_beside_it() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let ask_itself = "use Socket; socket(S, PF_INET, SOCK_STREAM, 6); connect(S, sockaddr_in(8080, inet_aton(q(127.0.0.1)))) or die $!; \
                      syswrite(S, qq(GET / HTTP/1.1\\r\\n\\r\\n)); print scalar <S>; exit 4";
    let jobs = format!(
        "      ask: {{command: [/usr/bin/perl, -e, '{ask_itself}']}}\n      \
         slow: {{command: [/usr/bin/perl, -e, 'sleep 1000'], timeout: 1s}}\n"
    );
    world.deploy(&with_jobs("localhost/web:1", port, &jobs));
    let (run, lines) = run_job(&world, "ask");
    let end = run.end.unwrap();
    assert_eq!((end.code, run.by.as_str()), (Some(4), "alice"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("HTTP/1.1 200 OK")), "{lines:?}");
    let (web, slow) = (name("web"), name("slow"));
    world.agent().begin_job(&web, &slow, (RunOccasion::Demand, "alice"), &open).unwrap();
    let second = world.agent().begin_job(&web, &slow, (RunOccasion::Demand, "bob"), &open).unwrap_err();
    assert!(second.to_string().contains("job slow runs already"), "{second}");
    until("its time is over", || {
        world.agent().tend_jobs(&open).unwrap();
        world.agent().runs(&web, &slow).unwrap().iter().all(|(run, _)| run.end.is_some())
    });
    let (run, _) = world.agent().runs(&web, &slow).unwrap().pop().unwrap();
    assert_eq!(run.end.unwrap().words, "it took longer than its 1 s, and was ended");
    let missing = world.agent().begin_job(&web, &name("other"), (RunOccasion::Demand, "alice"), &open).unwrap_err();
    assert!(missing.to_string().contains("it has ask, slow"), "{missing}");
    // The application has noticed nothing.
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
}

#[test]
fn a_job_is_ended_on_demand_and_by_the_removal_of_its_application() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let jobs = "      slow: {command: [/usr/bin/perl, -e, 'sleep 1000']}\n";
    world.deploy(&with_jobs("localhost/web:1", free_port(), jobs));
    let (web, slow) = (name("web"), name("slow"));
    let last = |world: &World| world.agent().runs(&web, &slow).unwrap().pop().unwrap().0;
    world.agent().begin_job(&web, &slow, (RunOccasion::Demand, "alice"), &open).unwrap();
    assert!(world.agent().end_job(&web, &slow, &open).unwrap());
    until("its end", || {
        world.agent().tend_jobs(&open).unwrap();
        last(&world).end.is_some()
    });
    assert!(!world.agent().end_job(&web, &slow, &open).unwrap(), "none runs");
    world.agent().begin_job(&web, &slow, (RunOccasion::Demand, "alice"), &open).unwrap();
    world.deploy("applications: {}\n");
    world.agent().tend_jobs(&open).unwrap();
    // Its folder may have gone with the application.
    let left = world.agent().runs(&web, &slow).unwrap().pop();
    assert!(left.is_none_or(|(run, _)| run.end.is_some()));
    assert!(world.traces().iter().all(|trace| !trace.contains("web_")), "{:?}", world.traces());
}

#[test]
fn a_schedule_begins_when_it_is_seen_and_what_is_missed_is_made_up_once() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    // Minutes away from now, also at New Year.
    let minute = (Timestamp::now().millis() / 60_000 + 22) % 60;
    let jobs = format!("      tidy: {{command: [/bin/sh, -c, 'echo tidy'], schedule: '{minute} 0 1 1 *'}}\n");
    world.deploy(&with_jobs("localhost/web:1", free_port(), &jobs));
    let now = Timestamp::now();
    let later = |minutes: i64| Timestamp(now.nanos() + minutes * 60_000_000_000);
    let due = |at: Timestamp| world.agent().jobs(at, &open).unwrap().pop().unwrap().is_due;
    assert!(!due(now), "it does not run at once");
    assert!(due(later(400 * 1_440)), "after New Year it is due");
    let (web, tidy) = (name("web"), name("tidy"));
    world.agent().begin_job(&web, &tidy, (RunOccasion::Schedule, "schedule"), &open).unwrap();
    assert!(!due(Timestamp::now()), "all that was missed is made up by one run");
    until("its end", || {
        world.agent().tend_jobs(&open).unwrap();
        world.agent().runs(&web, &tidy).unwrap().iter().all(|(run, _)| run.end.is_some())
    });
    let (run, logs) = world.agent().runs(&web, &tidy).unwrap().pop().unwrap();
    assert!(run.end.unwrap().is_success());
    assert!(said(&logs).iter().any(|line| line == "tidy"));
}

#[test]
fn a_version_is_healthy_when_its_own_command_says_so() {
    let Some(mut world) = World::new() else { return };
    // It is ready only when it has made a file where the command looks for it.
    let script = format!("open(R, '>', '/tmp/ready') or die; close R; {}", server("one"));
    world.image("localhost/web:1", &script);
    let port = free_port();
    let health = "    health: {command: [/usr/bin/perl, -e, 'exit(-e q(/tmp/ready) ? 0 : 1)']}\n";
    let text = document("localhost/web:1", port).replace("    health: {http: {port: http}}\n", health);
    world.deploy(&text);
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    assert_eq!(inside(&world, &["/usr/bin/perl", "-e", "exit(-e q(/tmp/ready) ? 0 : 1)"]).code, 0);
}

#[test]
fn a_writable_root_is_bounded_stays_over_restarts_and_goes_with_its_instance() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = document("localhost/web:1", port).replace(
        "limits: {memory: 128MiB}",
        "limits: {memory: 128MiB, disk: 32MiB}\n    root: writable\n    user: \"0:0\"",
    );
    world.deploy(&text);
    assert_eq!(inside(&world, &["/bin/sh", "-c", "echo kept > /etc/own"]).code, 0);
    let fill = "open(F, '>', '/etc/all') or die; while (1) { syswrite(F, 'x' x (1 << 20)) == 1 << 20 or last } print $!+0; unlink '/etc/all'";
    assert_eq!(inside(&world, &["/usr/bin/perl", "-e", fill]).said, "28", "a full room is ENOSPC");
    let sampled = world.agent().sample().unwrap().pop().unwrap();
    assert!((24 << 20..=48 << 20).contains(&sampled.figures.disk_bytes), "{sampled:?}");
    let pids = world.agent().processes(&name("web")).unwrap();
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    until("an answer", || ask("GET", ("127.0.0.1", port), "/").as_deref() == Some("one\n"));
    until("it runs", || world.agent().inside(&name("web"), None).is_ok());
    assert_eq!(inside(&world, &["/bin/cat", "/etc/own"]).said, "kept\n");
    world.deploy("applications: {}\n");
    let left = world.traces();
    assert!(left.iter().all(|trace| !trace.contains("rooms")), "{left:?}");
}

#[test]
fn figures_of_an_instance_are_the_kernels() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let before = world.agent().sample().unwrap().pop().unwrap();
    assert_eq!((before.application.as_str(), before.is_admitted), ("web", true));
    assert_eq!(before.figures.memory_limit_bytes, 128 << 20);
    assert!(before.figures.processes >= 1 && before.figures.disk_bytes > 0, "{before:?}");
    let work = "my $n = 0; my $end = time + 2; $n++ while time < $end";
    assert_eq!(inside(&world, &["/usr/bin/perl", "-e", work]).code, 0);
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    let after = world.agent().sample().unwrap().pop().unwrap().figures;
    assert!(after.cpu_us > before.figures.cpu_us, "{after:?}");
    assert!(after.received_bytes > before.figures.received_bytes && after.sent_bytes > before.figures.sent_bytes);
    assert!(Duration::from_micros(after.cpu_us - before.figures.cpu_us) < PATIENCE);
}
