//! Walls of a container: limits, system calls, users, files.

use openmesh_cage::instance::{Bind, Capability, Identity, Joined};
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use crate::world::{NUMBERS, with_drivers};

#[test]
fn memory_is_limited_and_the_kill_is_counted() {
    with_drivers(|mut world| {
        world.instance.limits.memory_bytes = 32 << 20;
        let (status, output) = world
            .perl("$| = 1; print qq(there\n); my @all; push @all, 'x' x ((1 << 20) + $_) for 1..200; print qq(all\n)")
            .run();
        assert_eq!(output, "there\n");
        assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()));
        let usage = world.group.usage().unwrap().unwrap();
        assert!(usage.oom_kills >= 1, "{usage:?}");
        assert_eq!(usage.memory_limit_bytes, Some(32 << 20));
        assert!(usage.memory_peak_bytes.is_none_or(|peak| peak <= 32 << 20), "{usage:?}");
        println!("{}: {usage:?}", world.driver.name());
        let text = std::fs::read_to_string(world.group.oom_file()).unwrap();
        assert!(text.lines().any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0"), "{text}");
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn processes_are_limited_with_eagain() {
    with_drivers(|mut world| {
        world.instance.limits.processes = 8;
        let script = "my $n = 0; while (1) { my $pid = fork; if (!defined $pid) { print $!+0, qq( after $n\n); last } if (!$pid) { sleep 1000 } $n++ } kill 9, -1; exit 0";
        let (_, output) = world.perl(script).run();
        // EAGAIN; the first process is one of the eight.
        assert_eq!(output, "11 after 7\n");
        assert!(world.group.usage().unwrap().unwrap().processes_limit_hits >= 1);
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn processors_are_limited_and_the_waiting_is_counted() {
    with_drivers(|mut world| {
        world.instance.limits.processors_milli = 200;
        // 0.3 s of processor time at a fifth of a processor.
        let script = "while ((times)[0] + (times)[1] < 0.3) {} print qq(done\n)";
        let begun = std::time::Instant::now();
        let (_, output) = world.perl(script).run();
        let (wall, usage) = (begun.elapsed().as_secs_f64(), world.group.usage().unwrap().unwrap());
        assert_eq!(output, "done\n");
        assert!(usage.periods_throttled > 0 && usage.throttled_us > 0, "{usage:?}");
        let spent = usage.cpu_us as f64 / 1e6;
        assert!(wall > spent / 0.2 * 0.6, "{spent} s of processor time took {wall} s at a fifth of one");
        println!("{}: {spent:.2} s in {wall:.2} s, {} periods throttled", world.driver.name(), usage.periods_throttled);
        world.delete();
    });
}

/// `(name, number of the call on 64-bit x86 and arguments, error number)`.
#[cfg(target_arch = "x86_64")]
const CALLS: [(&str, &str, u32); 15] = [
    ("keyctl", "250, 0, 0, 0, 0, 0", 1),
    ("add_key", "248, 0, 0, 0, 0, 0", 1),
    ("request_key", "249, 0, 0, 0, 0", 1),
    ("userfaultfd", "323, 0", 1),
    ("io_uring_setup", "425, 1, 0", 1),
    ("bpf", "321, 0, 0, 0", 1),
    ("perf_event_open", "298, 0, 0, 0, 0, 0", 1),
    ("unshare of a user namespace", "272, 0x10000000", 1),
    ("mount", "165, 0, 0, 0, 0, 0", 1),
    ("setns", "308, 0, 0", 1),
    ("clone3", "435, 0, 0", 38),
    ("clone with a new user namespace", "56, 0x10000011, 0, 0, 0, 0", 38),
    ("socket of a virtual machine", "41, 40, 1, 0", 38),
    // The kernel looks at the lower half alone.
    ("socket of a virtual machine by a wide number", "41, 0x100000028, 1, 0", 38),
    ("a call that there is not", "1023, 0", 38),
];

#[test]
#[cfg(target_arch = "x86_64")]
fn system_calls_are_filtered() {
    with_drivers(|mut world| {
        let calls: Vec<String> = CALLS
            .iter()
            .map(|(name, call, _)| format!("$! = 0; my $r = syscall({call}); print qq({name}: $r ), $!+0, qq(\n);"))
            .collect();
        let (_, output) = world.perl(&calls.join("\n")).run();
        let expected: Vec<String> = CALLS.iter().map(|(name, _, number)| format!("{name}: -1 {number}\n")).collect();
        assert_eq!(output, expected.concat(), "{}", world.driver.name());
        world.delete();
    });
}

#[test]
fn an_entry_point_that_chowns_and_then_drops_its_user_works() {
    let script = r"
        mkdir '/tmp/d' or die $!;
        chown(1000, 1000, '/tmp/d') == 1 or print qq(chown: $!\n);
        syscall(SETGID, 1000) == 0 or print qq(setgid: $!\n);
        syscall(SETUID, 1000) == 0 or print qq(setuid: $!\n);
        open(my $f, '>', '/tmp/d/file') or print qq(open: $!\n);
        open(my $s, '<', '/proc/self/status') or die $!;
        print grep { /^(Uid|Cap|Seccomp:|NoNewPrivs)/ } <$s>;
    ";
    let [_, setgid, setuid] = NUMBERS;
    let script = script.replace("SETGID", &setgid.to_string()).replace("SETUID", &setuid.to_string());
    with_drivers(|mut world| {
        world.instance.capabilities = [Capability::Chown, Capability::Setgid, Capability::Setuid].into();
        let (_, output) = world.perl(&script).run();
        for line in [
            "Uid:\t1000\t1000",
            "CapEff:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapBnd:\t00000000000000c1",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(output.contains(line), "{}: {line} is not in\n{output}", world.driver.name());
        }
        assert!(output.starts_with("Uid:"), "no error before: {output}");
        world.delete();
    });
    with_drivers(|mut world| {
        let (_, output) = world.perl(&script).run();
        assert!(
            output.starts_with("chown: Operation not permitted\nsetgid: Operation not permitted\nsetuid: "),
            "{output}"
        );
        assert!(
            output.contains("CapBnd:\t0000000000000000") && output.contains("CapEff:\t0000000000000000"),
            "{output}"
        );
        world.delete();
    });
}

#[test]
fn a_user_keeps_the_capabilities_that_were_asked_for() {
    with_drivers(|mut world| {
        world.instance.capabilities = [Capability::NetBindService].into();
        world.instance.user = Identity { user: 1_000, group: 1_000, groups: vec![44] };
        let (_, output) = world.script("id; cat /proc/self/status").run();
        for part in
            ["uid=1000(app) gid=1000 groups=1000,44\n", "CapEff:\t0000000000000400", "CapAmb:\t0000000000000400"]
        {
            assert!(output.contains(part), "{}: {part} is not in\n{output}", world.driver.name());
        }
        world.delete();
    });
}

#[test]
fn files_belong_to_the_range_of_ids() {
    with_drivers(|mut world| {
        let volume = world.folder.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let first = world.instance.ids.first;
        std::os::unix::fs::chown(&volume, Some(first + 1_000), Some(first + 1_000)).unwrap();
        world.instance.user = Identity { user: 1_000, group: 1_000, groups: Vec::new() };
        let bind =
            |target: &str, writable| Bind { source: volume.display().to_string(), target: target.into(), writable };
        world.instance.binds = vec![bind("/data", true), bind("/usr", false)];
        let (_, output) =
            world.script("echo x > /data/new; echo y > /usr/other; echo z > /etc/other; cat /proc/self/uid_map").run();
        let map = format!("         0 {first:>10}      65536\n");
        assert!(output.ends_with(&map), "{output}");
        assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
        let made = std::fs::metadata(volume.join("new")).unwrap();
        assert_eq!((made.uid(), made.gid()), (first + 1_000, first + 1_000));
        assert!(!volume.join("other").exists());
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn memory_files_are_bounded() {
    with_drivers(|mut world| {
        let script = "for my $d ('/tmp', '/run', '/dev/shm') { open(my $f, '>', qq($d/f)) or die; my $ok = 1; for (1..3) { syswrite($f, 'x' x (1 << 20)) == 1 << 20 or $ok = $_ and last } print qq($d stops at $ok: ), $!+0, qq(\n); $! = 0 }";
        let (_, output) = world.perl(script).run();
        for folder in ["/tmp", "/run", "/dev/shm"] {
            assert!(output.contains(&format!("{folder} stops at 2: 28\n")), "{output}");
        }
        world.delete();
    });
}

/// Makes a pair of namespaces that outlives containers, as an agent does: a user namespace with an instance's ids, and a network that belongs to it.
fn pair(first: u32) -> std::process::Child {
    let holder = Command::new("unshare")
        .args(["--user", "--net", "sh", "-c", "echo; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut holder = holder.unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{}/{file}", holder.id()), format!("0 {first} 65536")).unwrap();
    }
    holder
}

#[test]
fn a_network_that_was_made_before_is_joined_and_outlives_the_container() {
    with_drivers(|mut world| {
        let mut holder = pair(world.instance.ids.first);
        let path = |kind: &str| Some(format!("/proc/{}/ns/{kind}", holder.id()));
        world.instance.namespaces = Joined { user: path("user"), network: path("net") };
        let own =
            |kind: &str| std::fs::read_link(format!("/proc/{}/ns/{kind}", holder.id())).unwrap().display().to_string();
        let expected = format!("{}\n{}\n", own("user"), own("net"));
        world.perl(
            "$| = 1; print readlink('/proc/self/ns/user'), qq(\n), readlink('/proc/self/ns/net'), qq(\n); sleep 1000",
        );
        for _ in 0..2 {
            let pid = world.start();
            world.wait_output(&expected);
            let observed = openmesh_cage::readback::observe(&world.config(), pid, &world.group).unwrap();
            assert_eq!(openmesh_cage::readback::compare(&world.config(), &observed), []);
            world.delete();
            world.assert_gone();
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
    });
}
