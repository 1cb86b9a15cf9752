//! Deaths by SIGKILL and errors of the system at the doors of effects: the old generation or the new, never half, and nothing beside it.
//!
//! Each trouble meets a switch of an application with a volume. Afterwards another agent comes, and the machine must have the footprint of a switch without
//! trouble: processes, control groups, mounts, links, rules, loop devices and files, by number and kind.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use borsh::BorshDeserialize as _;
use openmesh_blueprint::Generation;
use openmesh_xnode::{Agent, Door, Progress, XnodeError, open};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::deploy::{document, free_port};
use crate::world::{PATIENCE, World, ask, open_agent, runtime, server};

/// Variable with the order for a process that is to die: `folder|name|passage|file of a generation, or nothing`.
const ORDER: &str = "OPENMESH_XNODE_TEST_DEATH";
/// Variable that asks for every passage in place of a sample.
const ALL: &str = "OPENMESH_DOORS";

/// Wants a generation, where there is one, and works until nothing is left to do.
fn live(agent: &Agent, generation: Option<&Generation>, door: Door<'_>) -> Result<(), XnodeError> {
    if let Some(generation) = generation {
        agent.want(generation, door)?;
    }
    runtime().block_on(agent.converge(PATIENCE, door)).map(drop)
}

/// Lets an agent live in a process of its own that dies by SIGKILL at a passage. Returns true where it died, and not too late for that.
pub fn die_at(world: &mut World, generation: Option<&Generation>, passage: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("generation");
    if let Some(generation) = generation {
        std::fs::write(&file, borsh::to_vec(generation).unwrap()).unwrap();
    }
    let wanted = if generation.is_some() { file.to_str().unwrap() } else { "" };
    let order = format!("{}|{}|{passage}|{wanted}", world.folder().display(), world.name);
    let output = world.without_agent(|| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["crash::the_agent_that_dies", "--exact", "--ignored", "--nocapture"]).env(ORDER, order);
        child.output().unwrap()
    });
    let is_dead = output.status.signal() == Some(Signal::KILL.as_raw());
    assert!(is_dead || output.status.success(), "at {passage}: {}", String::from_utf8_lossy(&output.stderr));
    is_dead
}

#[test]
#[ignore = "it is started by other tests, and dies"]
fn the_agent_that_dies() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.split('|').collect();
    let [folder, name, passage, wanted] = parts[..] else { panic!("{order}") };
    let passage: usize = passage.parse().unwrap();
    let passed = AtomicUsize::new(0);
    let door = |_: &str| {
        if passed.fetch_add(1, Ordering::SeqCst) == passage {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        Ok(())
    };
    let read = |path| Generation::try_from_slice(&std::fs::read(path).unwrap()).unwrap();
    let wanted = (!wanted.is_empty()).then(|| read(wanted));
    live(&open_agent(Path::new(folder), &name.parse().unwrap()), wanted.as_ref(), &door).unwrap();
}

/// Words in which everything that names an instance, a generation or a process is one sign.
fn shape(text: &str) -> String {
    let word =
        |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "#".to_string() } else { word.to_string() };
    let mut shape = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        shape += &word(&rest[..end]);
        let sign = rest[end..].chars().next();
        shape.extend(sign);
        rest = &rest[end + sign.map_or(0, char::len_utf8)..];
    }
    shape
}

/// Everything that a machine shows of an agent, by shape, with its number.
fn footprint(world: &World) -> BTreeMap<String, usize> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (folder, agent) = (world.folder().display().to_string(), format!("openmesh-{}", world.name));
    let mut lines: Vec<String> = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("cgroup").contains(&agent) || read("cmdline").contains(&folder) {
            lines.push(format!("process {}", read("comm").trim()));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&folder));
    lines.extend(points.map(|point| format!("mount {}", &point[folder.len()..])));
    let groups = said("find", &["/sys/fs/cgroup", "-type", "d", "-path", &format!("*{agent}*")]);
    lines.extend(groups.lines().map(|group| format!("group {group}")));
    let tag = openmesh_links::names::link_prefix(&world.name);
    let links = said("ip", &["-o", "link"]);
    lines.extend(links.lines().filter(|line| line.contains(&tag)).map(|_| "link".to_string()));
    let loops = said("losetup", &["-a"]);
    lines.extend(loops.lines().filter(|line| line.contains(&folder)).map(|_| "loop device".to_string()));
    let tables = said("nft", &["list", "tables"]);
    for table in tables.lines().filter(|line| line.ends_with(&agent)) {
        let mut words = vec!["-s", "list"];
        words.extend(table.split(' '));
        lines.extend(said("nft", &words).lines().map(|line| format!("rule {}", line.trim())));
    }
    // Logs, generations and data of every version are kept, and what is in a volume is the application's.
    let files = said(
        "find",
        &[
            &folder,
            "-xdev",
            "(",
            "-name",
            "logs",
            "-o",
            "-name",
            "generations",
            "-o",
            "-name",
            "volumes",
            "-o",
            "-name",
            "images",
            ")",
            "-prune",
            "-o",
            "-print",
        ],
    );
    lines.extend(
        files.lines().filter(|file| !file.contains("/roots/")).map(|file| format!("file {}", &file[folder.len()..])),
    );
    let mut footprint = BTreeMap::new();
    lines.iter().for_each(|line| *footprint.entry(shape(line)).or_default() += 1);
    footprint
}

/// Lines of two footprints that differ.
fn differ(have: &BTreeMap<String, usize>, want: &BTreeMap<String, usize>) -> Vec<String> {
    let mut lines: Vec<&String> = have.keys().chain(want.keys()).collect();
    lines.sort();
    lines.dedup();
    let number = |of: &BTreeMap<String, usize>, line: &String| of.get(line).copied().unwrap_or(0);
    let differ = lines.into_iter().filter(|line| number(have, line) != number(want, line));
    differ.map(|line| format!("{line}: {} in place of {}", number(have, line), number(want, line))).collect()
}

/// An application that is switched between two versions.
struct Stage {
    world: World,
    port: u16,
    /// The version that is wanted.
    word: &'static str,
    /// Names of the doors of a switch without trouble, in order.
    doors: Vec<String>,
    footprint: BTreeMap<String, usize>,
}

impl Stage {
    fn new() -> Option<Stage> {
        let mut world = World::new()?;
        world.image("localhost/web:one", &server("one"));
        world.image("localhost/web:two", &server("two"));
        let mut stage = Stage { world, port: free_port(), word: "two", doors: Vec::new(), footprint: BTreeMap::new() };
        for _ in 0..3 {
            let generation = stage.next();
            let doors = Mutex::new(Vec::new());
            let door = |name: &str| {
                doors.lock().unwrap().push(name.to_string());
                Ok(())
            };
            live(stage.world.agent(), Some(&generation), &door).unwrap();
            stage.doors = doors.into_inner().unwrap();
            stage.footprint = footprint(&stage.world);
            if stage.body().as_deref() == Some("one\n") {
                assert!(ask("POST", ("127.0.0.1", stage.port), "/kept").is_some());
            }
        }
        println!("{} doors, {} lines of a footprint", stage.doors.len(), stage.footprint.len());
        assert!(stage.doors.len() > 30 && stage.footprint.len() > 20, "{:#?}", stage.footprint);
        Some(stage)
    }

    /// The generation with the other version.
    fn next(&mut self) -> Generation {
        self.word = if self.word == "one" { "two" } else { "one" };
        self.world.resolve(&document(&format!("localhost/web:{}", self.word), self.port))
    }

    fn body(&self) -> Option<String> {
        ask("GET", ("127.0.0.1", self.port), "/")
    }

    /// Brings the machine to where it should be, and looks at all of it.
    fn comes_back(&self, generation: &Generation, trouble: &str) {
        self.world.converge();
        let body = self.body().unwrap_or_default();
        assert!(["one\nkept\n", "two\nkept\n"].contains(&body.as_str()), "{trouble}: {body}");
        // A death before it was wanted leaves the old one, and it can be wanted again.
        self.world.agent().want(generation, &open).unwrap();
        self.world.converge();
        assert_eq!(self.body(), Some(format!("{}\nkept\n", self.word)), "{trouble}");
        assert_eq!(differ(&footprint(&self.world), &self.footprint), Vec::<String>::new(), "{trouble}");
    }

    /// A passage and the name of its door: all of them where that is asked for, or so many, at a distance.
    fn sample(&self, number: usize) -> Vec<(usize, String)> {
        let stride = if std::env::var_os(ALL).is_some() { 1 } else { (self.doors.len() / number).max(1) };
        self.doors.iter().cloned().enumerate().skip(stride / 2).step_by(stride).collect()
    }
}

#[test]
fn a_death_at_any_door_leaves_what_was_wanted_or_what_was() {
    let Some(mut stage) = Stage::new() else { return };
    let mut deaths = 0;
    let passages = stage.sample(5);
    for (passage, name) in &passages {
        let generation = stage.next();
        deaths += usize::from(die_at(&mut stage.world, Some(&generation), *passage));
        stage.comes_back(&generation, &format!("a death at door {passage}, {name}"));
    }
    println!("{deaths} deaths at {} doors", passages.len());
    // What waits for something passes no door, so that a life can have a few doors less than another.
    assert!(deaths * 10 >= passages.len() * 8, "{deaths} of {}", passages.len());
}

#[test]
fn a_second_death_changes_nothing() {
    let Some(mut stage) = Stage::new() else { return };
    let mut deaths = 0;
    for (number, (passage, name)) in stage.sample(2).into_iter().enumerate() {
        let (generation, second) = (stage.next(), 2 + number % 5 * 7);
        deaths += usize::from(die_at(&mut stage.world, Some(&generation), passage));
        deaths += usize::from(die_at(&mut stage.world, None, second));
        stage.comes_back(&generation, &format!("deaths at door {passage}, {name}, then at door {second}"));
    }
    println!("{deaths} deaths");
    assert!(deaths > 0);
}

#[test]
fn an_error_at_any_door_is_told_and_tried_again() {
    let Some(mut stage) = Stage::new() else { return };
    let (passages, mut told) = (stage.sample(4), 0);
    for (number, (passage, name)) in passages.iter().enumerate() {
        let generation = stage.next();
        // A disk that is full for some doors on end, then one that cannot be read once, then a refusal.
        let (errno, length) = [(Errno::NOSPC, 5), (Errno::IO, 1), (Errno::PERM, 1)][number % 3];
        let passed = AtomicUsize::new(0);
        let door = |_: &str| {
            let now = passed.fetch_add(1, Ordering::SeqCst);
            if (*passage..passage + length).contains(&now) { Err(errno.into()) } else { Ok(()) }
        };
        let trouble = format!("{errno:?} at door {passage}, {name}");
        // As the agent does: what failed is tried again.
        let mut failures = 0;
        while let Err(error) = live(stage.world.agent(), Some(&generation), &door) {
            failures += 1;
            assert!(failures <= length, "{trouble}: {error}");
        }
        told += failures;
        stage.comes_back(&generation, &trouble);
    }
    println!("{told} errors at {} doors", passages.len());
    assert!(told > 0);
}

#[test]
fn an_agent_without_a_generation_rests() {
    let Some(world) = World::new() else { return };
    assert_eq!(runtime().block_on(world.agent().step(&open)).unwrap(), Progress::Rest);
}
