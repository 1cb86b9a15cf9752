//! Applications deployed, changed, broken and removed.

use crate::world::{World, ask, server, until};

/// A document with one application that has a volume.
pub fn document(image: &str, port: u16) -> String {
    format!(
        "applications:\n  web:\n    image: {image}\n    ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    \
         switch: {{gate: 30s, probation: 0ms, drain: 1s}}\n"
    )
}

/// A port of the host that is free at this moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn an_application_is_deployed_changed_and_keeps_its_data() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let at = ("127.0.0.1", port);
    assert!(world.deploy(&document("localhost/web:1", port)) > 5);
    assert_eq!(ask("GET", at, "/").as_deref(), Some("one\n"));
    assert_eq!(ask("POST", at, "/kept").as_deref(), Some("one\nkept\n"));
    assert_eq!(world.converge(), 0, "nothing is left to do");
    // Another agent finds everything as it is.
    world.again();
    assert_eq!(world.converge(), 0);
    world.deploy(&document("localhost/web:2", port));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("two\nkept\n"));
    world.deploy("applications: {}\n");
    assert_eq!(ask("GET", at, "/"), None);
}

#[test]
fn a_killed_application_comes_back_by_itself() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let pids = world.agent.processes(&"web".parse().unwrap()).unwrap();
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    until("an answer", || ask("GET", ("127.0.0.1", port), "/").as_deref() == Some("one\n"));
    world.converge();
}
