//! The promises of an Xnode as a whole: places in which values of secrets are, and in which they are not; an application that comes and goes many times; a disk
//! that is full; data that are away.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openmesh_access::RULES;
use openmesh_agent::client::ClientError;
use openmesh_agent::uninstall;
use openmesh_agent::views::catalogues::Catalogue;
use openmesh_agent::views::{Application, ApplicationState, Deployment, ExecEvent, Generation, Node, Secret};
use openmesh_primitives::ValidatorKey;
use reqwest::Method;

use crate::backups::{done, set_owner};
use crate::exec::{perl, shot};
use crate::pantry::server;
use crate::publishers::{order, publish};
use crate::uninstall::traces;
use crate::world::{PATIENCE, World, answer, free_port, plain};

/// Pause between two looks at what changes by itself.
const PAUSE: Duration = Duration::from_millis(50);

/// Command lines of all processes of the machine, as long as somebody watches.
struct Watch {
    is_over: Arc<AtomicBool>,
    seen: Option<std::thread::JoinHandle<BTreeSet<Vec<u8>>>>,
}

impl Watch {
    fn begin() -> Watch {
        let is_over = Arc::new(AtomicBool::new(false));
        let own = is_over.clone();
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !own.load(Ordering::Relaxed) {
                let entries = std::fs::read_dir("/proc").unwrap().flatten();
                seen.extend(entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok()));
                // Others want the processor as well; the shortest of an agent's helpers lives for longer.
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        });
        Watch { is_over, seen: Some(seen) }
    }

    fn end(mut self) -> BTreeSet<Vec<u8>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.seen.take().unwrap().join().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Files below folders that hold one of these values. The values come to the program that looks for them in a file of their own.
fn holders(folders: &[&Path], values: &[&str]) -> Vec<PathBuf> {
    let asked = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(asked.path(), values.join("\n")).unwrap();
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--no-messages", "--text", "--fixed-strings", "--devices=skip"]);
    let output = grep.arg("--file").arg(asked.path()).args(folders).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// A path with something of this machine in the place of each parameter.
fn filled(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        let named = match (part, parts.last()) {
            ("{}", Some(&("generations" | "jobs"))) => "1",
            ("{}", Some(&"diff")) => "2",
            ("{}", Some(&"volumes")) => "goods",
            ("{}", Some(&"templates")) => "redis",
            ("{}", _) => "web",
            (part, _) => part,
        };
        parts.push(named);
    }
    parts.join("/")
}

/// Everything that can be looked at: paths with the texts of their answers.
async fn answers(world: &World) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.method == "GET" && !rule.changes) {
        let Some(path) = rule.path.strip_prefix("/v1/xnode").map(filled) else { continue };
        let answer = world.client.request(Method::GET, &path).send().await.unwrap();
        let is_good = answer.status().is_success();
        let text = answer.text().await.unwrap();
        if is_good {
            found.push((path, text));
        }
    }
    found
}

/// A secret that a template makes, and one that a person sets, are where the application is and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_nowhere_but_with_its_application() {
    let Some(mut world) = World::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let watch = Watch::begin();
    world.start().await;
    let (folder, repository) = (place.path().join("catalogue"), place.path().join("backups"));
    let key = ValidatorKey::from_seed([7; 32]);
    publish(&folder, &key, 1, &world.image(&server("one")));
    let machine = format!(
        "machine: {{catalogues: {{acme: {{address: {}, key: {}}}}}, backups: {{disk: {{kind: folder, address: {}}}}}, ",
        folder.display(),
        key.public(),
        repository.display()
    );
    world.deploy(world.document("applications: {}\n").replacen("machine: {", &machine, 1)).await;
    let request = world.client.request(Method::POST, "/catalogues/acme/refresh");
    world.client.ask::<Catalogue>(request).await.unwrap();
    // What a person sets is their own: an identity has as many random letters as a key.
    let spare = openmesh_agent::Identity::generate().unwrap().recipient().to_string();
    let request = world.client.request(Method::PUT, "/secrets/spare").body(spare.clone());
    world.client.ask::<u32>(request).await.unwrap();
    let request = world.client.request(Method::POST, "/templates/shop/deploy?by=alice").json(&order("web", None));
    let taken: Deployment = world.client.ask(request).await.unwrap();
    world.follow(&taken).await;
    let told = shot(&world, &perl("print qq($ENV{TOKEN}\\n)")).await.unwrap();
    let token = told.iter().find_map(|event| match event {
        ExecEvent::Line { text, .. } => Some(text.clone()),
        _ => None,
    });
    let token = token.unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(token.len(), 32, "{told:?}");
    set_owner(&world).await;
    done(&world, "/applications/web/backups", Vec::new()).await;
    // The next agent finds what this one has left.
    world.stop().await;
    world.start().await;
    let values = [token.as_str(), spare.as_str()];
    let is_clean = |text: &str| values.iter().all(|value| !text.contains(value));
    assert!(is_clean(&taken.plan), "{}", taken.plan);
    let answers = answers(&world).await;
    assert!(answers.len() > 25, "{} answers", answers.len());
    for (path, text) in &answers {
        assert!(is_clean(text), "{path} tells a secret");
    }
    for line in watch.end() {
        assert!(is_clean(&String::from_utf8_lossy(&line)), "a secret is in a command line");
    }
    // On the disk it is sealed. In memory it is in the bundle of the instance that has it, which root alone reads.
    let (state, run) = (world.settings.state.clone(), world.settings.run.clone());
    let at_rest = [state.as_path(), place.path()];
    assert_eq!(holders(&at_rest, &values), Vec::<PathBuf>::new());
    let found = holders(&[run.as_path()], &values);
    assert!(found.iter().any(|path| path.ends_with("bundle/config.json")), "{found:?}");
    for path in &found {
        let about = std::fs::metadata(path).unwrap();
        assert_eq!((about.uid(), about.mode() & 0o077), (0, 0), "{}", path.display());
    }
    assert!(repository.is_dir(), "there is a backup to look into");
    // It goes with the instance.
    let removed = world.send(Method::DELETE, "/applications/web?data=wipe", "").await.unwrap();
    world.follow(&removed).await;
    let everywhere = [state.as_path(), run.as_path(), place.path()];
    let begun = Instant::now();
    while !holders(&everywhere, &values).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", holders(&everywhere, &values));
        tokio::time::sleep(PAUSE).await;
    }
    world.stop().await;
}

/// Cycles of one application: a few here, and as many as `OPENMESH_CYCLES` says (`make cycles`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_comes_and_goes_leaves_nothing() {
    let Some(mut world) = World::new() else { return };
    let cycles = std::env::var("OPENMESH_CYCLES").map_or(3, |text| text.parse::<u32>().unwrap());
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    // Data that are to be wiped stay for a day, so that this one has none.
    let text = plain(&image, port).replace("    volumes: {data: {path: /data, size: 16MiB}}\n", "");
    assert!(!text.contains("volumes"), "{text}");
    // What the first one leaves is the agent's own: its table and the parents of its control groups.
    let mut own: Option<BTreeSet<String>> = None;
    for cycle in 1..=cycles {
        world.deploy(world.document(&text)).await;
        assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"), "cycle {cycle}");
        assert!(traces(&world).iter().any(|trace| trace.contains("web")), "cycle {cycle}");
        let removed = world.send(Method::DELETE, "/applications/web?data=wipe", "").await.unwrap();
        world.follow(&removed).await;
        assert_eq!(answer("GET", port, "/").await, None, "cycle {cycle}");
        let now: BTreeSet<String> = traces(&world).into_iter().collect();
        assert!(!now.iter().any(|trace| trace.contains("web")), "cycle {cycle}: {now:#?}");
        assert_eq!(*own.get_or_insert(now.clone()), now, "cycle {cycle}");
    }
    let folders = |path: PathBuf| std::fs::read_dir(path).map_or(0, |entries| entries.flatten().count());
    let instances = folders(world.settings.state.join("applications/web/instances"));
    assert_eq!((instances, folders(world.settings.run.join("shims"))), (0, 0));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    println!("{cycles} cycles, {} generations are kept", generations.len());
    world.stop().await;
}

/// Bytes of a disk that are filled by writing; the rest is only taken.
const WRITTEN_MAX: u64 = 8 << 20;

/// A small file system for an agent's state, without any room that root alone has.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(mebibytes: u64) -> Disk {
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        // An instance's own ids find their way through it.
        std::fs::set_permissions(disk.folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let image = disk.folder.path().join("disk");
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir(disk.point()).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.point()));
        disk
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("point")
    }

    fn ballast(&self) -> PathBuf {
        self.point().join("ballast")
    }

    /// Takes all that is left, also what was given back meanwhile.
    fn fill(&self) {
        use std::io::Write as _;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(self.ballast()).unwrap();
        let free = rustix::fs::statvfs(self.point()).unwrap();
        let most = (free.f_bavail * free.f_frsize).saturating_sub(WRITTEN_MAX);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, most).unwrap();
        for _ in 0..3 {
            for size in [1 << 20, 4_096, 1] {
                while file.write_all(&vec![7; size]).is_ok() {}
            }
            let _ = file.sync_all();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.point()).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success(), "{} stays mounted", self.point().display());
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An agent whose disk has no byte left: what runs goes on, what cannot be kept is refused, and nothing is half done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_changes_and_takes_nothing_from_what_runs() {
    let Some(mut world) = World::new() else { return };
    let disk = Disk::new(1_024);
    // What is declared last goes first: the agent before its disk.
    world.settings.state = disk.point().join("state");
    let mut world = world;
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let reserve = "machine: {reserve: {memory: 64MiB, disk: 32MiB}, ";
    let document = world.document(&plain(&image, port)).replacen("machine: {", reserve, 1);
    world.deploy(document.clone()).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    disk.fill();
    // Its volume has all of its room, whatever the disk has.
    assert_eq!(answer("POST", port, "/later").await.as_deref(), Some("one\nkept\nlater\n"));
    let before: Node = world.get("").await.unwrap();
    let larger = document.replace("memory: 128MiB", "memory: 144MiB");
    let refused = [
        world.client.text(world.client.request(Method::PUT, "/secrets/token").body("a")).await.map(drop),
        world.send(Method::POST, "/applications?by=alice", larger.clone()).await.map(drop),
        world.send(Method::DELETE, "/applications/web?data=wipe", "").await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    }
    // Everything can still be looked at, and is as it was.
    let after: Node = world.get("").await.unwrap();
    assert_eq!((after.current, after.wanted), (before.current, before.wanted));
    assert!(world.get::<Vec<Secret>>("/secrets").await.unwrap().is_empty());
    assert_eq!(world.get::<Vec<Generation>>("/generations").await.unwrap().len(), 1);
    assert_eq!(world.get::<Vec<Application>>("/applications").await.unwrap().len(), 1);
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nlater\n"));
    // With room again the agent goes on by itself.
    std::fs::remove_file(disk.ballast()).unwrap();
    run(Command::new("sync").arg("--file-system").arg(disk.point()));
    world.client.text(world.client.request(Method::PUT, "/secrets/token").body("a")).await.unwrap();
    world.deploy(larger).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nlater\n"));
    world.stop().await;
}

/// Image of the only volume of a machine.
fn image_of(world: &World) -> Option<PathBuf> {
    let volumes = std::fs::read_dir(world.settings.state.join("volumes")).unwrap().flatten();
    let files = volumes.filter_map(|volume| std::fs::read_dir(volume.path()).ok()).flatten().flatten();
    files.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "img"))
}

/// A machine begins and the data of an application are away: the application is held, with the cause, and nothing is made in their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_whose_data_are_away_is_held_and_never_started_empty() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let document = world.document(&plain(&image, port));
    world.deploy(document.clone()).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    // Nothing of it is in the kernel any more, as after a start of the machine.
    world.stop().await;
    uninstall(&world.settings, false, &mut |_| {}).await.unwrap();
    let data = image_of(&world).unwrap();
    let aside = world.settings.state.with_file_name("aside.img");
    std::fs::rename(&data, &aside).unwrap();
    assert_eq!(world.image(&server("one")), image);
    world.start().await;
    let taken = world.send(Method::POST, "/applications?by=alice", document).await.unwrap();
    let mut found = world.application("web").await;
    let begun = Instant::now();
    while found.state != ApplicationState::Held {
        assert!(begun.elapsed() < PATIENCE && found.state != ApplicationState::Running, "{found:?}");
        tokio::time::sleep(PAUSE).await;
        found = world.application("web").await;
    }
    let cause = found.cause.unwrap_or_default();
    assert!(cause.contains("volume data") && cause.contains("image"), "{cause}");
    assert_eq!(answer("GET", port, "/").await, None);
    assert_eq!(image_of(&world), None, "nothing is made in its place");
    // The data are there again, and it goes on with them by itself.
    std::fs::rename(&aside, &data).unwrap();
    world.follow(&taken).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    world.stop().await;
}

/// A file whose content is a secret lies in memory alone, and is not executed, whatever its mode; other files lie on the disk and are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_secret_is_in_memory_and_runs_nothing() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let value = "#!/usr/bin/perl\nprint qq(a value of nobody else)";
    let request = world.client.request(Method::PUT, "/secrets/token").body(value);
    world.client.ask::<u32>(request).await.unwrap();
    let files = "    files: {/opt/sealed: {content: {secret: token}, mode: \"0755\"}, /opt/plain: {content: \"#!/usr/bin/perl\\nprint qq(it runs)\", mode: \"0755\"}}\n";
    let text = plain(&world.image(&server("one")), free_port()) + files;
    world.deploy(world.document(&text)).await;
    let (state, run) = (world.settings.state.clone(), world.settings.run.clone());
    let needle = ["a value of nobody else"];
    assert_eq!(holders(&[state.as_path()], &needle), Vec::<PathBuf>::new());
    let found = holders(&[run.as_path()], &needle);
    assert_eq!(found.len(), 1, "{found:?}");
    let folder = found[0].parent().unwrap();
    let about = std::fs::metadata(folder).unwrap();
    assert!(
        folder.ends_with("files") && about.uid() != 0 && about.mode() & 0o077 == 0,
        "{found:?}: its instance's alone"
    );
    let script = "print `/opt/plain`; print qq(\\n); print -s '/opt/sealed', qq(\\n); $| = 1; exec '/opt/sealed' or print qq(no: $!\\n)";
    let told = shot(&world, &perl(script)).await.unwrap().into_iter().filter_map(|event| match event {
        ExecEvent::Line { text, .. } => Some(text),
        _ => None,
    });
    let lines: Vec<String> = told.collect();
    assert_eq!(lines, ["it runs".to_string(), value.len().to_string(), "no: Permission denied".into()]);
    world.stop().await;
}
