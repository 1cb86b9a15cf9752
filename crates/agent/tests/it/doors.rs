//! The door's process as an agent keeps it: started, started again, left alone.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use openmesh_agent::views::{DoorState, Doors};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, build_door, free_port, plain};

/// Processes of the door of a world.
fn processes(world: &World) -> Vec<Pid> {
    let start = world.settings.state.join("door-start.json").display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&start)
    });
    ours.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

async fn until(what: &str, world: &World, so: impl Fn(&Doors) -> bool) -> Doors {
    let begun = Instant::now();
    loop {
        let doors: Doors = world.get("/doors").await.unwrap();
        if so(&doors) {
            return doors;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {doors:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_outlives_its_agent_and_comes_back_when_it_dies() {
    let Some(mut world) = World::new() else { return };
    build_door();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let text = plain(&image, port).replace("{port: 8080, publish", "{port: 8080, protocol: http, publish");
    world.deploy(world.document(&text)).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    let before = until("a door that serves", &world, |doors| doors.state == DoorState::Serves).await;
    assert_eq!(before.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["web/http"]);
    assert_eq!(before.listeners[0].address, format!("127.0.0.1:{port}"));
    assert_eq!(before.listeners[0].route.as_deref(), Some("web/http"));
    assert!(before.routes[0].instances[0].reading_requests > 0, "{before:#?}");
    let first = processes(&world);
    assert_eq!(first.len(), 1);
    // It is neither root nor anybody of the host.
    let status = std::fs::read_to_string(format!("/proc/{}/status", first[0].as_raw_nonzero())).unwrap();
    let uid = before.user.unwrap();
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    assert!(!accounts.lines().any(|line| line.split(':').nth(2) == Some(uid.to_string().as_str())));
    // The agent goes, and the next one finds the same door with the same document.
    world.stop().await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    world.start().await;
    let again = until("the same door", &world, |doors| doors.state == DoorState::Serves).await;
    assert_eq!((processes(&world), again.serial), (first.clone(), before.serial));
    // Killed, it is started again, and serves what it kept.
    kill_process(first[0], Signal::KILL).unwrap();
    let begun = Instant::now();
    while answer("GET", port, "/").await.as_deref() != Some("one\n") {
        assert!(begun.elapsed() < PATIENCE, "no door: {:?}", processes(&world));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = processes(&world);
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");
    let root = world.client.text(world.client.request(Method::GET, "/doors/authority")).await.unwrap();
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
}

/// A server whose answer at `/wait` comes in two halves: the second one after the first word is written.
fn waiting_server() -> String {
    let waits = "  if ($head =~ m{^GET /wait}) { if (!fork()) { syswrite(C, \"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nfirst\"); \
                 select(undef, undef, undef, 0.02) until -s '/data/words'; syswrite(C, 'last.'); exit 0 } close C; next; }\n  my $body";
    server("one").replace("  my $body", waits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_leaves_is_not_waited_for_and_cuts_nothing() {
    let Some(mut world) = World::new() else { return };
    build_door();
    world.start().await;
    let (image, port) = (world.image(&waiting_server()), free_port());
    let text = plain(&image, port).replace("{port: 8080, publish", "{port: 8080, protocol: http, publish");
    world.deploy(world.document(&text)).await;
    let first = processes(&world);
    let (half, halved) = std::sync::mpsc::channel();
    let open_one = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /wait HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let (mut got, mut part) = (Vec::new(), [0; 1_024]);
        while !got.ends_with(b"first") {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&part[..count]);
        }
        half.send(()).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).map(|_| rest)
    });
    tokio::task::spawn_blocking(move || halved.recv_timeout(PATIENCE).unwrap()).await.unwrap();
    kill_process(first[0], Signal::TERM).unwrap();
    let begun = Instant::now();
    // The one that leaves waits for the open answer, and that one for the word that another door lets in.
    while answer("POST", port, "/word").await.is_none() {
        assert!(begun.elapsed() < PATIENCE, "no door: {:?}", processes(&world));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(open_one.join().unwrap().unwrap(), "last.", "an open answer ends by itself");
    until("a door that serves", &world, |doors| doors.state == DoorState::Serves).await;
    let begun = Instant::now();
    while processes(&world).len() != 1 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", processes(&world));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_ne!(processes(&world), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_door_says_so() {
    let Some(mut world) = World::new() else { return };
    // The other programs alone.
    let programs = world.settings.state.with_file_name("programs");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["openmesh-shim", "openmesh-cage-helper", "openmesh-unpack"] {
        let from = world.settings.programs.join(name);
        let from =
            if from.exists() { from } else { world.settings.programs.parent().unwrap().join("debug").join(name) };
        std::fs::copy(from, programs.join(name)).unwrap();
    }
    world.settings.programs = programs;
    world.start().await;
    let doors: Doors = world.get("/doors").await.unwrap();
    assert_eq!(doors.state, DoorState::Missing);
    assert!(doors.cause.is_some_and(|cause| cause.contains("openmesh-door")));
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"), "a port of TCP needs no door");
}
