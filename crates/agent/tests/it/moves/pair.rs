//! Two machines on one, an application on the first, and clients that write to it wherever it serves.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use openmesh_agent::client::ClientError;
use openmesh_agent::views::access::MadeKey;
use openmesh_agent::views::moves::{Move, MoveWish, Moves};
use openmesh_agent::views::{Application, Generation, Secret};
use openmesh_agent::{Client, People};
use reqwest::Method;
use serde_json::json;

use crate::access::{Site, address, value};
use crate::backups::{send, set_token};
use crate::pantry::ask;
use crate::world::{PATIENCE, World, answer, free_port};

/// A server that appends each record to a file and answers once it is there, makes a large file, and tells what it has. With a file `poison` it does not start.
pub const SERVER: &str = r#"$| = 1; use Socket;
die "it is poisoned\n" if -e '/data/poison'; socket(S, PF_INET, SOCK_STREAM, 6); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); bind(S, sockaddr_in(8080, INADDR_ANY)) or die "bind: $!"; listen(S, 64);
print "it listens\n"; $SIG{TERM} = sub { exit 0 };
while (1) { accept(C, S) or next; my $head = ''; while (<C>) { $head .= $_; last if /^\r?$/ }
  my $body = '';
  if ($head =~ m{^POST /fill/(\d+) }) { open(R, '<', '/dev/urandom') or die "noise: $!"; open(F, '>', '/data/ballast') or die "data: $!";
    for (1..$1) { read(R, my $part, 1 << 20); print F $part or die "data: $!" } close(F) or die "data: $!"; close(R); $body = "filled\n"; }
  elsif ($head =~ m{^POST /poison }) { open(F, '>', '/data/poison') or die "data: $!"; close(F); $body = "poisoned\n"; }
  elsif ($head =~ m{^POST /(\S*)}) { open(F, '>>', '/data/words') or die "data: $!"; print F "$1\n"; close(F) or die "data: $!"; $body = "ok $1\n"; }
  elsif ($head =~ m{^GET /size}) { $body = (-s '/data/ballast' || 0) . "\n"; }
  elsif (open(F, '<', '/data/words')) { $body = join('', <F>); close F; }
  print C "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body"; close C; }
"#;

/// Longest time of a move with 64 MiB, each of which is read and written some times by programs that are not optimised.
pub const MOVE_MAX: Duration = Duration::from_secs(600);
/// Pause between two looks at a machine.
const LOOK: Duration = Duration::from_millis(20);
/// Pause of a client between two records.
const PACE: Duration = Duration::from_millis(10);

/// A machine's document with its name, more of the machine, and applications.
pub fn named(world: &World, name: &str, more: &str, applications: &str) -> String {
    world.document(applications).replacen("machine: {", &format!("machine: {{name: {name}, {more}"), 1)
}

/// Applications with the server alone: a volume, a secret, and a check of its data. `publish` says more of its port.
pub fn web(image: &str, publish: &str) -> String {
    let check = r#"jobs: {drill: {command: [/usr/bin/perl, -e, "open F, '<', '/data/words' or exit 3; exit 0"]}}"#;
    format!(
        "applications:\n  web:\n    image: \"{image}\"\n    ports: {{http: {{port: 8080, protocol: http, publish: {{{publish}address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 256MiB}}}}\n    {check}\n    health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    \
         variables: {{TOKEN: {{secret: token}}}}\n    switch: {{gate: 60s, probation: 0ms, drain: 1s}}\n"
    )
}

/// Lets a machine be one to which applications come: people ask it over a face, whose address stays.
pub fn receives(world: &mut World) {
    world.settings.face = Some(([127, 0, 0, 1], free_port()).into());
    world.settings.people = People { owner: Some(address(1)), ..People::default() };
}

/// A new key of an operator at a machine.
pub async fn key(site: &Site, name: &str) -> MadeKey {
    let owner = site.sign_in(1).await.token;
    let wish = json!({ "name": name, "role": "operator" });
    value(site.request(Method::POST, "/access/keys", Some(&owner)).json(&wish)).await
}

/// Two machines; the application is on the first.
pub struct Pair {
    pub here: World,
    pub there: World,
    pub site: Site,
    pub key: MadeKey,
    pub image: String,
}

impl Pair {
    /// Both, with nothing on them but names; none where the machine can hold no agent.
    pub async fn new() -> Option<Pair> {
        let (mut here, mut there) = (World::new()?, World::new()?);
        receives(&mut there);
        here.start().await;
        there.start().await;
        let site = Site::of(&there);
        let key = key(&site, "move").await;
        let image = here.image(SERVER);
        assert_eq!(there.image(SERVER), image, "the same image is on both");
        set_token(&here).await;
        there.deploy(named(&there, "bee", "", "applications: {}\n")).await;
        Some(Pair { here, there, site, key, image })
    }

    /// Deploys the application on the first machine, and returns its port there.
    pub async fn deploy(&self, publish: &str) -> u16 {
        self.here.deploy(named(&self.here, "ant", "", &web(&self.image, publish))).await;
        port(&self.here.application("web").await).unwrap()
    }

    /// Asks the first machine to move the application by a key.
    pub async fn moves_by(&self, key: &str) -> Result<Move, ClientError> {
        moves_by(&self.here, &self.site, key).await
    }

    /// Ends both agents.
    pub async fn stop(mut self) {
        self.here.stop().await;
        self.there.stop().await;
    }
}

/// Asks a machine to move the application to that of a face.
pub async fn moves_by(here: &World, site: &Site, key: &str) -> Result<Move, ClientError> {
    let wish = MoveWish { to: format!("http://{}", site.host), key: key.into(), root: None };
    send(here, Method::POST, "/applications/web/move?by=ann", serde_json::to_vec(&wish).unwrap()).await
}

/// Asks a machine to undo its move.
pub async fn undo(here: &World) -> Result<Move, ClientError> {
    send(here, Method::POST, "/applications/web/move/undo?by=ann", Vec::new()).await
}

/// Waits until the moves of a machine are so.
pub async fn until(world: &World, what: &str, is_so: impl Fn(&Moves) -> bool) -> Moves {
    let begun = Instant::now();
    loop {
        let moves = world.get::<Moves>("/moves").await;
        if let Ok(moves) = &moves
            && is_so(moves)
        {
            return moves.clone();
        }
        assert!(begun.elapsed() < MOVE_MAX, "{what}: {moves:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Everything of a machine that a move changes: its generations, applications, secrets.
pub async fn standing(world: &World) -> (Vec<u64>, Vec<Application>, Vec<String>) {
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    let applications: Vec<Application> = world.get("/applications").await.unwrap();
    let secrets: Vec<Secret> = world.get("/secrets").await.unwrap();
    let numbers = generations.iter().map(|generation| generation.number).collect();
    (numbers, applications, secrets.into_iter().map(|secret| secret.name).collect())
}

/// Port of the host at which an application is published.
pub fn port(application: &Application) -> Option<u16> {
    let (address, _protocol) = application.ports.get("http")?.as_ref()?.split_once('/')?;
    address.parse::<SocketAddr>().ok().map(|address| address.port())
}

/// A record that was taken, and the moment of that answer.
#[derive(Clone, Debug)]
pub struct Taken {
    pub record: String,
    pub to: Instant,
}

/// A client of one machine that writes record after record, and knows which were taken.
struct Writer {
    stop: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Taken>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes to the port in the cell, as long as there is one.
    fn start(place: &'static str, port: Arc<AtomicU16>) -> Writer {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ends, notes) = (stop.clone(), taken.clone());
        let thread = std::thread::spawn(move || {
            let mut number = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                let (record, port) = (format!("{place}-{number}"), port.load(Ordering::Relaxed));
                let told = if port == 0 { None } else { ask("POST", ("127.0.0.1", port), &format!("/{record}")) };
                if told.is_some_and(|told| told == format!("ok {record}\n")) {
                    notes.lock().unwrap().push(Taken { record, to: Instant::now() });
                }
                number += 1;
                std::thread::sleep(PACE);
            }
        });
        Writer { stop, taken, thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Clients of both machines.
pub struct Clients {
    here: Writer,
    there: Writer,
    /// Finds the port at the other machine, as soon and as long as it is there.
    finds: tokio::task::JoinHandle<()>,
}

impl Clients {
    /// Starts both; the port at the first machine stays.
    pub fn start(port_here: u16, there: &World) -> Clients {
        let found = Arc::new(AtomicU16::new(0));
        let client = Client::new(&there.settings.socket()).unwrap();
        let cell = found.clone();
        let finds = tokio::spawn(async move {
            loop {
                let application = client.ask::<Application>(client.request(Method::GET, "/applications/web")).await;
                cell.store(application.ok().as_ref().and_then(port).unwrap_or(0), Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        let here = Writer::start("here", Arc::new(AtomicU16::new(port_here)));
        Clients { here, there: Writer::start("there", found), finds }
    }

    fn of(&self, is_here: bool) -> &Writer {
        if is_here { &self.here } else { &self.there }
    }

    /// Records that one machine has taken.
    pub fn taken(&self, is_here: bool) -> Vec<Taken> {
        self.of(is_here).taken.lock().unwrap().clone()
    }

    /// Waits until a machine has taken some records more.
    pub async fn served(&self, is_here: bool) {
        let (before, begun) = (self.taken(is_here).len(), Instant::now());
        while self.taken(is_here).len() < before + 3 {
            assert!(begun.elapsed() < PATIENCE, "nobody serves: here {is_here}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Machines in the order in which they took records, each turn once: whoever answers between two answers of the other one has two turns.
    pub fn turns(&self) -> Vec<&'static str> {
        let named = |is_here, name| self.taken(is_here).into_iter().map(move |taken| (taken.to, name));
        let mut all: Vec<(Instant, &'static str)> = named(true, "here").chain(named(false, "there")).collect();
        all.sort();
        let mut turns: Vec<&'static str> = all.into_iter().map(|(_, name)| name).collect();
        turns.dedup();
        turns
    }

    /// Holds all records that were taken anywhere until now against those that are at a port.
    pub async fn check(&self, port: u16) {
        let all = [self.taken(true), self.taken(false)].concat();
        let words = answer("GET", port, "/").await.unwrap();
        let lines: BTreeSet<&str> = words.lines().collect();
        let lost: Vec<&str> =
            all.iter().map(|taken| taken.record.as_str()).filter(|record| !lines.contains(record)).collect();
        assert!(lost.is_empty(), "{} of {} records that were taken are lost: {lost:?}", lost.len(), all.len());
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.finds.abort();
    }
}

/// Returns true where a file below a folder has these bytes.
pub fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds(&entry.path(), bytes),
        _ => std::fs::read(entry.path()).is_ok_and(|found| found.windows(bytes.len()).any(|part| part == bytes)),
    })
}
