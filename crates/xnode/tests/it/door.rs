//! Switches under traffic, with a door in a process of its own: nothing fails that need not, nothing is sent twice, and whoever dies is waited for.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use openmesh_blueprint::document::Name;
use openmesh_door::document::Admission;
use openmesh_xnode::door::document::{Own, Places};
use openmesh_xnode::door::{Carrier, NoCertificates, admitted, serve_own};
use openmesh_xnode::marks;
use openmesh_xnode::{Progress, open};

use crate::deploy::free_port;
use crate::world::{PATIENCE, PROGRAMS_ARE_BUILT, World, runtime, server, until};

/// User of the doors of tests: none of the host's, as far as anybody knows.
const UID: u32 = 64_118;

/// The door's program as it is now, built beside this one.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        if std::env::var_os(PROGRAMS_ARE_BUILT).is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
            let arguments = ["build", "--quiet", "--locked", "-p", "openmesh-door", "--bins"];
            let built = Command::new(cargo).args(arguments).current_dir(root).output().unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        exe.ancestors().nth(2).unwrap().join("openmesh-door")
    })
}

/// A door of a world; it ends with this.
pub struct DoorProcess {
    child: Child,
    start: PathBuf,
    socket: PathBuf,
    kept: PathBuf,
}

impl DoorProcess {
    /// Starts a door and gives it to the agent.
    pub fn start(world: &World) -> DoorProcess {
        let (state, run) = (world.paths().state().join("door"), world.paths().run().join("door"));
        for folder in [&state, &run] {
            std::fs::create_dir_all(folder).unwrap();
            chown(folder, Some(UID), Some(UID)).unwrap();
        }
        let (socket, kept) = (run.join("socket"), state.join("document.json"));
        let start = world.paths().state().join("door-start.json");
        let text = serde_json::json!({ "socket": socket, "document": kept, "user": { "uid": UID, "gid": UID } });
        std::fs::write(&start, text.to_string()).unwrap();
        let mut door = DoorProcess { child: spawn(&start), start, socket, kept };
        door.attach(world);
        door.wait(world);
        door
    }

    /// Gives the door to an agent that has none.
    fn attach(&mut self, world: &World) {
        let carrier = Carrier::new(self.socket.clone(), self.kept.clone(), Places::default(), Box::new(NoCertificates));
        assert!(world.agent().machine().doors.set(carrier).is_ok(), "it has one already");
    }

    fn wait(&mut self, world: &World) {
        until("a door", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the door has ended");
            carrier(world).report().is_ok()
        });
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self, world: &World) {
        self.child = spawn(&self.start);
        self.wait(world);
    }
}

impl Drop for DoorProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(start: &Path) -> Child {
    Command::new(program()).arg(start).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn carrier(world: &World) -> &Carrier {
    world.agent().machine().doors.get().unwrap()
}

fn web() -> Name {
    "web".parse().unwrap()
}

/// Status and body of an answer that came whole.
pub fn ask(method: &str, port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = if method == "GET" { "" } else { "Content-Length: 0\r\n" };
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: anything\r\n{length}Connection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::other(format!("not whole: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let length: Option<usize> =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err(broken());
    }
    Ok((status, body.to_string()))
}

/// The application; `more` are further lines of it.
pub fn document(image: &str, port: u16, more: &str) -> String {
    format!(
        "applications:\n  web:\n    image: {image}\n    ports: {{http: {{port: 8080, protocol: http, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    switch: {{gate: 60s, probation: 0ms, drain: 60s}}\n{more}"
    )
}

pub const DATA: &str = "    volumes: {data: {path: /data, size: 16MiB}}\n";

/// A world with a door, behind which the application serves in its first version at this port; `more` are further lines of it. None where the machine lacks
/// something.
pub fn stage(more: &str) -> Option<(World, DoorProcess, u16)> {
    let mut world = World::new()?;
    let door = DoorProcess::start(&world);
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port, more));
    Some((world, door, port))
}

/// A server with an answer that comes in two halves, with some time in between, at `/slow`.
fn slow_server(word: &str) -> String {
    let slow = "  if ($head =~ m{^GET /slow}) { syswrite(C, \"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nfirst\"); \
                sleep 2; syswrite(C, 'last.'); close C; next; }\n  my $body";
    server(word).replace("  my $body", slow)
}

/// Status and body by the number of the request, or what became of it.
pub type Got = Vec<(u64, std::io::Result<(u16, String)>)>;

/// Requests one after the other until told to stop: what each got, by its number.
pub struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Got>,
}

impl Load {
    pub fn start(method: &'static str, port: u16) -> Load {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, counted) = (stop.clone(), count.clone());
        let thread = std::thread::spawn(move || {
            let mut got = Vec::new();
            for number in 0.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                got.push((number, ask(method, port, &format!("/n{number}"))));
                counted.fetch_add(1, Ordering::Relaxed);
            }
            got
        });
        Load { stop, count, thread }
    }

    /// Waits for so many more answers.
    pub fn more(&self, answers: u64) {
        let before = self.count.load(Ordering::Relaxed);
        until("answers", || self.thread.is_finished() || self.count.load(Ordering::Relaxed) >= before + answers);
    }

    pub fn end(self) -> Got {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

    /// Ends a load of writing requests. What was written, in its order, and the number of those that were held too long; nothing else may have become of one.
    pub fn written(self) -> (Vec<String>, u64) {
        let (mut written, mut late) = (Vec::new(), 0);
        for (number, got) in self.end() {
            match got.unwrap_or_else(|error| panic!("request {number}: {error}")) {
                (200, _) => written.push(format!("n{number}")),
                // A machine that needs longer than requests wait: such a one was sent to nobody.
                (503, body) if body.contains("held_too_long") => late += 1,
                (status, body) => panic!("request {number}: {status} {body}"),
            }
        }
        (written, late)
    }
}

/// Asserts that a version has what was written, and nothing beside it.
pub fn assert_kept(port: u16, word: &str, written: &[String]) {
    let (status, body) = ask("GET", port, "/").unwrap();
    let mut lines = body.lines().map(str::to_string);
    assert_eq!((status, lines.next().as_deref()), (200, Some(word)));
    assert_eq!(lines.collect::<Vec<_>>(), written, "each request that was answered is there, once, in its order");
}

#[test]
fn a_stateless_application_is_switched_under_requests() {
    let Some(mut world) = World::new() else { return };
    let door = DoorProcess::start(&world);
    world.image("localhost/web:1", &slow_server("one"));
    world.image("localhost/web:2", &slow_server("two"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port, ""));
    assert_eq!(ask("GET", port, "/").unwrap(), (200, "one\n".into()));
    assert_eq!(world.converge(), 0, "nothing is left to do");
    // An answer that is on its way when the switch begins, and a load all along.
    let slow = std::thread::spawn(move || ask("GET", port, "/slow"));
    let open = |world: &World| -> u64 {
        let report = carrier(world).report().unwrap();
        report.routes["web/http"].instances.values().map(|one| one.counts.open).sum()
    };
    until("the slow request", || open(&world) > 0);
    let load = Load::start("GET", port);
    world.deploy(&document("localhost/web:2", port, ""));
    load.more(20);
    assert_eq!(slow.join().unwrap().unwrap(), (200, "firstlast.".into()), "an open answer ends by itself");
    let mut bodies = Vec::new();
    for (number, got) in load.end() {
        let (status, body) = got.unwrap_or_else(|error| panic!("request {number}: {error}"));
        assert_eq!(status, 200, "request {number}: {body}");
        bodies.push(body);
    }
    let first_new = bodies.iter().position(|body| body == "two\n").expect("an answer of the new version");
    assert!(bodies[first_new..].iter().all(|body| body == "two\n"), "{bodies:?}");
    println!("{} requests in a switch of a stateless application, none failed", bodies.len());
    assert_eq!(world.converge(), 0, "nothing is left to do");
    drop(door);
}

#[test]
fn a_single_writer_is_held_and_loses_no_request() {
    let Some((mut world, door, port)) = stage(DATA) else { return };
    world.image("localhost/web:2", &server("two"));
    let load = Load::start("POST", port);
    load.more(5);
    world.deploy(&document("localhost/web:2", port, DATA));
    load.more(5);
    let (written, late) = load.written();
    assert_kept(port, "two", &written);
    let report = carrier(&world).report().unwrap();
    let route = &report.routes["web/http"];
    assert!(route.held > 0 && route.admission == Admission::Open, "{route:?}");
    println!(
        "{} writing requests, {late} too late; the longest was held for {} ms",
        written.len(),
        route.longest_hold_ms
    );
    // All of it is known: the new version has had writing requests.
    let revision = world.generations[1].revision(&web()).unwrap();
    let let_in = admitted(world.agent().machine(), &web(), &revision).expect("counts of one process");
    assert!(let_in.writing_requests > 0 && let_in.connections == 0, "{let_in:?}");
    // Its routes go with it, and so do the counts: another route of that name begins at zero.
    world.deploy("applications: {}\n");
    assert!(!world.paths().application(&web()).join("admission.json").exists());
    drop(door);
}

/// Beside HTTP, a port that sends back each line.
fn raw_server(word: &str) -> String {
    let raw = "use Socket;\nif (!fork()) { socket(R, PF_INET, SOCK_STREAM, 6); setsockopt(R, SOL_SOCKET, SO_REUSEADDR, 1); bind(R, sockaddr_in(9000, INADDR_ANY)) or die; listen(R, 8);\n  \
               while (accept(D, R)) { while (<D>) { syswrite(D, $_) } close D } exit }\n";
    server(word).replace("use Socket;", raw)
}

#[test]
fn a_raw_port_is_cut_once_and_the_plan_says_so() {
    let Some(mut world) = World::new() else { return };
    let door = DoorProcess::start(&world);
    world.image("localhost/web:1", &raw_server("one"));
    world.image("localhost/web:2", &raw_server("two"));
    let (port, raw) = (free_port(), free_port());
    let text = |image: &str| {
        let lines = format!("    ports: {{raw: {{port: 9000, publish: {{port: {raw}, address: 127.0.0.1}}}}, http:");
        document(image, port, DATA).replace("    ports: {http:", &lines)
    };
    world.deploy(&text("localhost/web:1"));
    let connect = || -> Option<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", raw)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"hello\n").ok()?;
        let mut echo = [0; 6];
        stream.read_exact(&mut echo).ok().filter(|()| &echo == b"hello\n")?;
        Some(stream)
    };
    let mut open_one = None;
    until("the raw port", || {
        open_one = connect();
        open_one.is_some()
    });
    let first = world.generations[0].clone();
    let second = world.resolve(&text("localhost/web:2"));
    let plan = world.agent().plan(&second, Some(&first)).unwrap();
    assert!(plan.destroys().contains(&"open connections of raw TCP, once".to_string()), "{plan}");
    world.agent().want(&second, &open).unwrap();
    world.converge();
    let mut rest = Vec::new();
    // An end or a reset: the bytes of the old connection lead to nobody.
    let ended = open_one.unwrap().read_to_end(&mut rest);
    assert!(rest.is_empty(), "{ended:?} {rest:?}");
    until("the raw port of the new version", || connect().is_some());
    assert_eq!(ask("GET", port, "/").unwrap(), (200, "two\n".into()));
    // Nobody knows what came by the raw port.
    assert_eq!(admitted(world.agent().machine(), &web(), &second.revision(&web()).unwrap()), None);
    drop(door);
}

#[test]
fn a_port_goes_from_the_door_to_the_kernel_and_back() {
    let Some(mut world) = World::new() else { return };
    let door = DoorProcess::start(&world);
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let listens = |world: &World| carrier(world).kept().is_some_and(|kept| !kept.listeners.is_empty());
    for (image, protocol, word) in [
        ("localhost/web:1", "http", "one"),
        ("localhost/web:2", "tcp", "two"),
        ("localhost/web:1", "http", "one"),
        ("localhost/web:1", "tcp", "one"),
    ] {
        let text = document(image, port, DATA).replace("protocol: http", &format!("protocol: {protocol}"));
        world.deploy(&text);
        assert_eq!(listens(&world), protocol == "http", "{image} {protocol}");
        until("an answer", || ask("GET", port, "/").is_ok_and(|got| got == (200, format!("{word}\n"))));
        assert_eq!(world.converge(), 0, "nothing is left to do: {image} {protocol}");
    }
    drop(door);
}

/// Steps until the door holds.
fn step_to_hold(world: &World) {
    until("a held application", || {
        let done = runtime().block_on(world.agent().step(&open)).unwrap();
        assert_ne!(done, Progress::Rest, "the switch is over");
        let report = carrier(world).report().unwrap();
        report.routes["web/http"].admission == Admission::Hold
    });
}

#[test]
fn a_door_that_dies_in_the_middle_of_a_hold_holds_again() {
    let Some((mut world, mut door, port)) = stage(DATA) else { return };
    world.image("localhost/web:2", &server("two"));
    let second = world.resolve(&document("localhost/web:2", port, DATA));
    world.agent().want(&second, &open).unwrap();
    step_to_hold(&world);
    let before = carrier(&world).report().unwrap();
    let waiting = |world: &World| carrier(world).report().is_ok_and(|report| report.routes["web/http"].waiting == 1);
    let lost = std::thread::spawn(move || ask("GET", port, "/"));
    until("a request that waits", || waiting(&world));
    door.kill();
    assert!(lost.join().unwrap().is_err(), "whoever waited is told by the end of the connection");
    // A look without a door is none of the application's trouble.
    let stepped = runtime().block_on(world.agent().step(&open)).unwrap();
    assert_ne!(stepped, Progress::Rest);
    door.again(&world);
    let after = carrier(&world).report().unwrap();
    assert_ne!(after.door, before.door);
    assert_eq!(after.routes["web/http"].admission, Admission::Hold, "it serves the document that it keeps");
    let held = std::thread::spawn(move || ask("GET", port, "/"));
    until("a request that waits", || waiting(&world));
    world.converge();
    match held.join().unwrap().unwrap() {
        (200, body) => assert_eq!(body, "two\n"),
        (status, body) => assert!(status == 503 && body.contains("held_too_long"), "{status} {body}"),
    }
    assert_eq!(ask("GET", port, "/").unwrap(), (200, "two\n".into()));
    drop(door);
}

#[test]
fn the_door_serves_while_no_agent_is_there() {
    let Some((mut world, mut door, port)) = stage(DATA) else { return };
    let before = carrier(&world).report().unwrap();
    world.again();
    assert_eq!(ask("POST", port, "/kept").unwrap(), (200, "one\nkept\n".into()), "nobody has asked the agent");
    // The next agent finds it as it is, and has nothing to tell it.
    door.attach(&world);
    assert_eq!(world.converge(), 0);
    let after = carrier(&world).report().unwrap();
    assert_eq!((after.door, after.serial), (before.door, before.serial));
    // Both dead: the door comes back with what it keeps, and the agent has still nothing to tell it.
    door.kill();
    door.again(&world);
    assert_eq!(ask("GET", port, "/").unwrap(), (200, "one\nkept\n".into()));
    assert_eq!(world.converge(), 0);
    assert_eq!(carrier(&world).report().unwrap().serial, before.serial);
    drop(door);
}

#[test]
fn a_machine_without_a_generation_leads_to_its_agent_as_long_as_it_has_a_face() {
    let Some(world) = World::new() else { return };
    let door = DoorProcess::start(&world);
    let serves = |own: Option<Own>, hosts: &[&str]| {
        carrier(&world).lead(own);
        until("a document of the face", || {
            serve_own(world.agent().machine(), &open).unwrap();
            carrier(&world).kept().is_some_and(|kept| kept.hosts.keys().eq(hosts))
        });
    };
    let own = Own { hosts: vec!["xnode.lan".into()], to: ([127, 0, 0, 1], 7_780).into() };
    serves(Some(own), &["xnode.lan"]);
    serves(None, &[]);
    assert!(carrier(&world).kept().is_some_and(|kept| kept.routes.is_empty()));
    drop(door);
}

#[test]
fn a_port_that_somebody_has_is_told_and_holds_up_no_other() {
    let Some((world, door, port)) = stage("") else { return };
    // Somebody binds at the port between the plan and the step: the document is taken without it.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let mut wanted = carrier(&world).kept().unwrap();
    wanted.serial = 0;
    let mut listener = wanted.listeners[0].clone();
    listener.address = address;
    wanted.listeners.push(listener);
    let written = openmesh_xnode::door::document::Written { document: wanted, remarks: Vec::new() };
    carrier(&world).serve(written, &open).unwrap();
    assert!(carrier(&world).lost(address).is_some_and(|words| words.contains("cannot listen at")));
    assert_eq!(ask("GET", port, "/").unwrap(), (200, "one\n".into()));
    assert_eq!(carrier(&world).look().remarks.len(), 1);
    drop(door);
}

#[test]
fn an_agent_without_a_door_says_so_where_it_is_needed() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let (port, raw) = (free_port(), free_port());
    let other = crate::deploy::document("localhost/web:1", raw).replace("applications:\n  web:", "  raw:");
    let text = document("localhost/web:1", port, "") + &other;
    let generation = world.resolve(&text);
    world.agent().want(&generation, &open).unwrap();
    let error = runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    assert!(error.to_string().contains("openmesh-door"), "{error}");
    // The other one needs none.
    let held: std::collections::BTreeSet<Name> = [web()].into();
    until("the raw one", || {
        let _ = runtime().block_on(world.agent().step_beside(&held, &mut |_| (), &open)).unwrap();
        crate::world::ask("GET", ("127.0.0.1", raw), "/").as_deref() == Some("one\n")
    });
    let published: Vec<BTreeMap<String, serde_json::Value>> = marks::read(&world.paths().published()).unwrap();
    assert!(published.iter().all(|one| one["application"] == "raw"), "{published:?}");
}
