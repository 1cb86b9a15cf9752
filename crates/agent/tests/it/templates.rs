//! The built-in templates on a real agent: each is installed, asked in its own protocol, used, upgraded, doubled, backed up, restored and removed.
//!
//! Six of them run with the other tests; `make templates` runs all, and writes what it found to `docs/templates.json`. Packages come from the archives that this
//! machine is configured with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use openmesh_agent::client::ClientError;
use openmesh_agent::views::backups::{Ended, Job, Keys, RestoreRequest};
use openmesh_agent::views::templates::{BackupWish, Preflight, Sheet, Summary};
use openmesh_agent::views::{Application, ApplicationState, Deployment, Event, EventKind, Node};
use openmesh_agent::{Identity, Settings};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::Content;
use openmesh_primitives::Timestamp;
use openmesh_templates::grade::{Check, Grade, Grades, Mark, Outcome};
use openmesh_templates::views::OrderBody;
use reqwest::Method;

use crate::protocols;
use crate::world::World;

/// Patience with an application that starts: the slowest builds its pages first.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two questions to an application that is not ready.
const PAUSE: Duration = Duration::from_millis(200);
/// Name of the application of a test.
const IT: &str = "it";
/// Name of its second instance.
const SECOND: &str = "two";
/// Name of the application that its backup becomes.
const BACK: &str = "back";
/// Password of every secret that a test sets itself.
const PASSWORD: &str = "correcthorsebatterystaple1234567";

/// An application that runs, as its test sees it.
#[derive(Clone, Debug)]
pub struct Running {
    /// Port on loopback.
    pub port: u16,
    /// Password that the test knows; none of one that was made.
    pub password: Option<&'static str>,
    /// Folder of the agent's volumes.
    pub volumes: PathBuf,
}

/// A question to a running application; the words say what was wrong.
type Question = fn(&Running) -> Result<(), String>;

/// A template with the way to try it.
struct Case {
    template: &'static str,
    /// Port that is asked.
    port: &'static str,
    answers: &'static [(&'static str, &'static str)],
    /// Options whose secrets the test sets itself.
    secrets: &'static [&'static str],
    /// It answers in its own protocol.
    answer: Question,
    /// Something is given to it.
    put: Question,
    /// Proof that what was given is there.
    kept: Question,
    /// An option that is changed for the upgrade.
    changed: (&'static str, &'static str),
    /// It runs with the other tests.
    is_usual: bool,
}

fn nothing(_: &Running) -> Result<(), String> {
    Ok(())
}

/// Cases, the quickest first.
const CASES: &[Case] = &[
    Case {
        template: "static-site",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "16 MiB")],
        secrets: &[],
        answer: |it| protocols::http(it.port, "GET", "/", "").map(drop),
        put: |it| protocols::write_page(&it.volumes),
        kept: |it| protocols::http_with(it.port, "/", "a changed page"),
        changed: ("listing", "on"),
        is_usual: true,
    },
    Case {
        template: "redis",
        port: "redis",
        answers: &[("size", "64 MiB"), ("cache", "32"), ("memory", "64 MiB")],
        secrets: &["password"],
        answer: protocols::redis_ping,
        put: protocols::redis_set,
        kept: protocols::redis_get,
        changed: ("policy", "allkeys-lru"),
        is_usual: true,
    },
    Case {
        template: "mosquitto",
        port: "mqtt",
        answers: &[("port", "127.0.0.1:auto"), ("size", "16 MiB")],
        secrets: &["password"],
        answer: protocols::mqtt_connect,
        put: protocols::mqtt_publish,
        kept: protocols::mqtt_retained,
        changed: ("connections", "500"),
        is_usual: true,
    },
    Case {
        template: "postgresql",
        port: "postgresql",
        answers: &[("size", "300 MiB"), ("memory", "256 MiB"), ("buffers", "32")],
        secrets: &["password"],
        answer: protocols::postgresql_startup,
        put: protocols::postgresql_insert,
        kept: protocols::postgresql_select,
        changed: ("connections", "50"),
        is_usual: true,
    },
    Case {
        template: "prometheus",
        port: "http",
        answers: &[("size", "300 MiB"), ("budget", "200"), ("interval", "1")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/-/healthy", "Healthy"),
        put: nothing,
        // The figures of its companion arrive.
        kept: |it| protocols::http_with(it.port, "/api/v1/query?query=sum(up)", "\"2\""),
        changed: ("days", "3"),
        is_usual: true,
    },
    Case {
        template: "anvil",
        port: "rpc",
        answers: &[("size", "64 MiB"), ("memory", "256 MiB"), ("chain-id", "4242")],
        secrets: &[],
        answer: |it| protocols::rpc(it.port, "eth_chainId", "[]", "\"0x1092\""),
        put: |it| protocols::rpc(it.port, "anvil_setBalance", protocols::RICH, "null"),
        kept: |it| protocols::rpc(it.port, "eth_getBalance", protocols::RICH_NOW, "\"0xdead\""),
        changed: ("accounts", "3"),
        is_usual: true,
    },
    Case {
        template: "node-exporter",
        port: "http",
        answers: &[("port", "127.0.0.1:auto")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/metrics", "node_memory_MemTotal_bytes"),
        put: nothing,
        kept: nothing,
        changed: ("memory", "96 MiB"),
        is_usual: false,
    },
    Case {
        template: "datasette",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "32 MiB")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/begin/files.json?_shape=array", "begin.db"),
        put: nothing,
        kept: |it| protocols::http_with(it.port, "/begin.json?sql=select+count(*)+as+n+from+files", "1"),
        changed: ("rows", "500"),
        is_usual: false,
    },
    Case {
        template: "mariadb",
        port: "mysql",
        answers: &[("port", "127.0.0.1:auto"), ("size", "300 MiB"), ("memory", "256 MiB"), ("buffers", "32")],
        secrets: &["password"],
        answer: protocols::mysql_greeting,
        put: nothing,
        kept: protocols::mysql_greeting,
        changed: ("buffers", "48"),
        is_usual: false,
    },
    Case {
        template: "node-red",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "64 MiB")],
        secrets: &["password"],
        answer: |it| protocols::http_with(it.port, "/", "Node-RED"),
        put: nothing,
        kept: protocols::node_red_sign_in,
        changed: ("memory", "512 MiB"),
        is_usual: false,
    },
    Case {
        template: "ai-chat",
        port: "http",
        answers: &[("endpoint", "http://127.0.0.1:9/v1")],
        secrets: &["key"],
        answer: |it| protocols::http_with(it.port, "/", "<h1>Chat</h1>"),
        put: nothing,
        kept: |it| protocols::http_with(it.port, "/model.json", "\"model\""),
        changed: ("model", "other"),
        is_usual: false,
    },
    Case {
        template: "jupyterlab",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "300 MiB")],
        secrets: &["token"],
        answer: |it| protocols::http_with(it.port, "/api", "version"),
        put: protocols::jupyter_write,
        kept: protocols::jupyter_read,
        changed: ("memory", "1200 MiB"),
        is_usual: false,
    },
    Case {
        template: "nextjs",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "300 MiB"), ("title", "Hello of a test")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/", "Hello"),
        put: nothing,
        kept: |it| protocols::http_with(it.port, "/", "app/page.jsx"),
        changed: ("title", "Hello again"),
        is_usual: false,
    },
    Case {
        template: "wordpress",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "128 MiB")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/wp-admin/install.php", "WordPress"),
        put: nothing,
        kept: |it| protocols::http_with(it.port, "/wp-includes/version.php", ""),
        changed: ("upload", "32"),
        is_usual: false,
    },
    Case {
        template: "openmesh-collector",
        port: "http",
        answers: &[("port", "127.0.0.1:auto"), ("size", "1 GiB"), ("market", "simulated")],
        secrets: &[],
        answer: |it| protocols::http_with(it.port, "/healthz", ""),
        put: nothing,
        kept: |it| protocols::http_with(it.port, "/v1/status", "chain_id"),
        changed: ("hours", "48"),
        is_usual: false,
    },
];

/// Words for what lacks for making images here; none where they can be made.
fn lacking(kitchen: &openmesh_image::recipe::Kitchen) -> Option<String> {
    let there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let missing = ["mmdebstrap", "npm", "python3"].into_iter().find(|program| !there(program));
    match missing {
        Some(program) => Some(format!("{program} is not installed (apt-get install mmdebstrap npm python3-pip)")),
        None if kitchen.suite != "bookworm" => {
            Some(format!("the templates are of bookworm, and this is {}", kitchen.suite))
        }
        None => None,
    }
}

/// An agent that makes images of this machine's packages, with a network of its own and a place for backups.
async fn world(backups: &Path) -> Option<World> {
    let mut world = World::new()?;
    world.settings.kitchen = Settings::usual("default".parse().unwrap()).unwrap().kitchen;
    if let Some(lacking) = lacking(&world.settings.kitchen) {
        println!("skipped: {lacking}");
        return None;
    }
    world.client.limit = PATIENCE + Duration::from_secs(60);
    world.start().await;
    let place = format!("machine: {{backups: {{disk: {{kind: folder, address: {}}}}}, ", backups.display());
    world.deploy(world.document("applications: {}\n").replacen("machine: {", &place, 1)).await;
    let recipient = Identity::generate().unwrap().recipient().to_string();
    let request = world.client.request(Method::PUT, "/backups/key").body(recipient);
    world.client.ask::<Keys>(request).await.unwrap();
    Some(world)
}

/// Everything that a machine shows of an agent's instances: mounts, links, loop devices, processes.
fn fingerprint(world: &World) -> BTreeSet<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (name, folder) =
        (world.settings.name.to_string(), world.settings.state.parent().unwrap().display().to_string());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| format!("mount {point}"));
    let links = said("ip", &["-o", "link"]);
    let links = links.lines().map(|line| line.split_once(": ").map_or(line, |(_, rest)| rest).to_string());
    let loops = said("losetup", &["-a"]);
    let processes = said("ps", &["-eo", "args"]);
    let rest = loops.lines().chain(processes.lines()).map(str::to_string);
    let own = |line: &String| line.contains(&folder) || line.contains(&format!("om{name}"));
    mounts.chain(links).chain(rest).filter(own).collect()
}

/// Asks until the answer is right.
async fn ask(question: Question, running: &Running) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let asked = running.clone();
        let answer = tokio::task::spawn_blocking(move || question(&asked)).await.map_err(|error| error.to_string())?;
        match answer {
            Ok(()) => return Ok(()),
            Err(words) if begun.elapsed() > PATIENCE => return Err(words),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Follows a deployment until it serves or rests.
async fn serves(world: &World, taken: &Deployment) -> Result<(), String> {
    let path = format!("/events?follow=true&from={}", taken.events);
    let events = world.client.lines::<Event>(world.client.request(Method::GET, &path)).await;
    let mut events = std::pin::pin!(events.map_err(|error| error.to_string())?);
    let mut words: Vec<String> = Vec::new();
    let followed = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(event)) = events.next().await {
            words.push(event.text.clone());
            let is_ours = event.generation >= taken.generation;
            match event.kind {
                EventKind::Rest | EventKind::Serves if is_ours => return true,
                EventKind::Returned if is_ours => return false,
                _ => {}
            }
        }
        false
    });
    if followed.await.unwrap_or(false) { Ok(()) } else { Err(words.join("; ")) }
}

/// Makes an application out of a version of a template. Its backups are made on demand: a moment of its schedule would be in the way of those.
async fn install(world: &World, case: &Case, name: &str, version: Option<&String>) -> Result<(), String> {
    let answers = case.answers.iter().map(|(option, answer)| (option.to_string(), answer.to_string())).collect();
    let (version, backup) = (version.cloned(), Some(BackupWish::default()));
    let order = OrderBody { name: name.into(), version, answers, backup, ..OrderBody::default() };
    let path = format!("/templates/{}/deploy?by=alice", case.template);
    let taken = world.client.ask::<Deployment>(world.client.request(Method::POST, &path).json(&order)).await;
    serves(world, &taken.map_err(|error| error.to_string())?).await
}

/// An application that runs.
async fn running(world: &World, case: &Case, name: &str, password: Option<&'static str>) -> Result<Running, String> {
    let begun = Instant::now();
    loop {
        let found: Application =
            world.get(&format!("/applications/{name}")).await.map_err(|error| error.to_string())?;
        if found.state == ApplicationState::Running {
            let at = found.ports.get(case.port).cloned().flatten().ok_or("its port is not published")?;
            let port = at.split('/').next().and_then(|at| at.rsplit(':').next()?.parse().ok());
            let port = port.ok_or_else(|| format!("`{at}` has no port"))?;
            return Ok(Running { port, password, volumes: world.settings.state.join("volumes") });
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{:?}: {:?}", found.state, found.cause));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes every application away, and waits until nothing of them is left.
async fn remove(world: &World, before: &BTreeSet<String>) -> Result<(), String> {
    let all: Vec<Application> = world.get("/applications").await.map_err(|error| error.to_string())?;
    // An application that links to others goes before them.
    let mut names: Vec<String> = all.into_iter().map(|application| application.name).collect();
    names.sort_by_key(String::len);
    for name in names {
        let taken = world.send(Method::DELETE, &format!("/applications/{name}?data=wipe"), "").await;
        serves(world, &taken.map_err(|error| error.to_string())?).await?;
    }
    let begun = Instant::now();
    loop {
        let now = fingerprint(world);
        let left: Vec<&String> = now.difference(before).collect();
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{left:#?} is left"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Gives the application another answer and the present version, by its document.
async fn change(world: &World, (option, answer): (&str, &str), version: &str) -> Result<(), String> {
    let wanted = world.get::<Node>("").await.map_err(|error| error.to_string())?.wanted;
    let request = world.client.request(Method::GET, &format!("/generations/{wanted}"));
    let text = world.client.text(request).await.map_err(|error| error.to_string())?;
    let mut document = Document::parse(&text).map_err(|problems| format!("{problems:?}"))?;
    let application = document.applications.get_mut(&IT.parse().unwrap()).ok_or("it is not in the document")?;
    let using = application.template.as_mut().ok_or("it has no template in the document")?;
    using.answers.insert(option.parse().unwrap(), Content::Text(answer.to_string()));
    using.version = Some(version.parse().unwrap());
    let taken = world.send(Method::POST, "/applications?by=alice", document.to_yaml()).await;
    serves(world, &taken.map_err(|error| error.to_string())?).await
}

/// Does an act about the data of the application, and waits for its end.
async fn act(world: &World, path: &str, body: Vec<u8>) -> Result<Ended, String> {
    let words = |error: ClientError| error.to_string();
    let begun = world.client.ask::<Job>(world.client.request(Method::POST, path).body(body)).await.map_err(words)?;
    let follow = format!("/backups/jobs/{}?follow=true", begun.number);
    let told = world.client.lines::<Job>(world.client.request(Method::GET, &follow)).await.map_err(words)?;
    let mut told = std::pin::pin!(told);
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(job) = told.next().await {
            if let Some(ended) = job.map_err(words)?.ended {
                return Ok(ended);
            }
        }
        Err("the act was told no end of".to_string())
    });
    let ended = ended.await.unwrap_or_else(|_| Err("the act did not end".to_string()))?;
    if ended.ok { Ok(ended) } else { Err(ended.text) }
}

/// Backs the application up, its own preparation included.
async fn back_up(world: &World) -> Result<(), String> {
    let made = act(world, &format!("/applications/{IT}/backups"), Vec::new()).await?;
    if made.text.contains("preparation failed") { Err(made.text) } else { Ok(()) }
}

/// Lets that backup become another application, and looks for what was given to the first one.
async fn restore(world: &World, case: &Case) -> Result<(), String> {
    let request = RestoreRequest { as_name: Some(BACK.into()), ..RestoreRequest::default() };
    let body = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    act(world, &format!("/applications/{IT}/backups/restore"), body).await?;
    let back = running(world, case, BACK, Some(PASSWORD)).await?;
    ask(case.kept, &back).await
}

/// One check after the other, until one fails.
async fn checks(world: &World, case: &Case, sheet: &Sheet, grade: &mut Grade) -> Result<(), (Check, String)> {
    let before = fingerprint(world);
    for option in case.secrets {
        let request = world.client.request(Method::PUT, &format!("/secrets/{IT}-{option}")).body(PASSWORD);
        world.client.ask::<u32>(request).await.map_err(|error| (Check::Install, error.to_string()))?;
    }
    let failed = |check: Check| move |words: String| (check, words);
    // The oldest version that the present one takes the place of, where there is one.
    install(world, case, IT, sheet.upgrades.first()).await.map_err(failed(Check::Install))?;
    let it = running(world, case, IT, Some(PASSWORD)).await.map_err(failed(Check::Install))?;
    grade.checks.insert(Check::Install, Outcome::Passed);
    ask(case.answer, &it).await.map_err(failed(Check::Answer))?;
    grade.checks.insert(Check::Answer, Outcome::Passed);
    ask(case.put, &it).await.map_err(failed(Check::Use))?;
    ask(case.kept, &it).await.map_err(failed(Check::Use))?;
    grade.checks.insert(Check::Use, Outcome::Passed);
    change(world, case.changed, &sheet.summary.version).await.map_err(failed(Check::Upgrade))?;
    let it = running(world, case, IT, Some(PASSWORD)).await.map_err(failed(Check::Upgrade))?;
    ask(case.kept, &it).await.map_err(failed(Check::Upgrade))?;
    grade.checks.insert(Check::Upgrade, Outcome::Passed);
    // Its secrets are made: nobody knows them, and it answers all the same.
    install(world, case, SECOND, None).await.map_err(failed(Check::SecondInstance))?;
    let two = running(world, case, SECOND, None).await.map_err(failed(Check::SecondInstance))?;
    ask(case.answer, &two).await.map_err(failed(Check::SecondInstance))?;
    ask(case.kept, &it).await.map_err(failed(Check::SecondInstance))?;
    grade.checks.insert(Check::SecondInstance, Outcome::Passed);
    let outcome = if sheet.data.is_empty() { Outcome::Nothing } else { Outcome::Passed };
    if outcome == Outcome::Passed {
        back_up(world).await.map_err(failed(Check::Backup))?;
    }
    grade.checks.insert(Check::Backup, outcome);
    if outcome == Outcome::Passed {
        restore(world, case).await.map_err(failed(Check::Restore))?;
    }
    grade.checks.insert(Check::Restore, outcome);
    remove(world, &before).await.map_err(failed(Check::Remove))?;
    grade.checks.insert(Check::Remove, Outcome::Passed);
    Ok(())
}

/// Tries a template in a world of its own.
async fn tried(case: &Case) -> Option<Grade> {
    let backups = tempfile::tempdir().unwrap();
    let mut world = world(&backups.path().join("repository")).await?;
    let sheet: Sheet = world.get(&format!("/templates/{}", case.template)).await.unwrap();
    let mut grade = Grade {
        version: sheet.summary.version.clone(),
        day: Timestamp::now().to_rfc3339().get(..10).unwrap_or_default().to_string(),
        architecture: openmesh_image::oci::Platform::here().architecture,
        checks: BTreeMap::new(),
        failure: None,
    };
    if let Err((check, words)) = checks(&world, case, &sheet, &mut grade).await {
        grade.checks.insert(check, Outcome::Failed);
        grade.failure = Some(words.chars().take(500).collect());
        println!("{}: {check:?}: {words}", case.template);
    }
    println!("{}: {:?}", case.template, grade.checks);
    world.stop().await;
    Some(grade)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_templates_are_installed_used_upgraded_backed_up_and_removed() {
    let mut failures = Vec::new();
    // Each spends most of its time in the probation of its new version, which a restore waits for.
    let cases = CASES.iter().filter(|case| case.is_usual);
    let mut all = std::pin::pin!(stream::iter(cases).map(async |case| (case, tried(case).await)).buffer_unordered(3));
    while let Some((case, grade)) = all.next().await {
        let Some(grade) = grade else { continue };
        // Nothing is left out of what is tried.
        let is_whole = grade.failure.is_some() || grade.mark(&grade.version) == Mark::Full;
        failures.extend((!is_whole).then(|| format!("{}: {:?}", case.template, grade.checks)));
        failures.extend(grade.failure.map(|words| format!("{}: {words}", case.template)));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Every template that can run here; `OPENMESH_TEMPLATES=redis,anvil` chooses some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half an hour: make templates"]
async fn every_template() {
    let chosen = std::env::var("OPENMESH_TEMPLATES").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/templates.json");
    let mut grades = Grades::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut failures = Vec::new();
    for case in CASES.iter().filter(|case| chosen.is_empty() || chosen.contains(&case.template)) {
        let Some(grade) = tried(case).await else { return };
        failures.extend(grade.failure.as_ref().map(|words| format!("{}: {words}", case.template)));
        grades.0.insert(case.template.to_string(), grade);
        // After each of them: what was found is not lost with the run.
        std::fs::write(&path, grades.text()).unwrap();
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_its_forms_and_a_preflight_are_served() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let all: Vec<Summary> = world.get("/templates").await.unwrap();
    assert!(all.len() >= 20 && all.iter().all(|template| template.icon.starts_with("<svg")));
    let found: Vec<Summary> = world.get("/templates?search=key+memory&category=database").await.unwrap();
    assert!(found.iter().any(|template| template.name == "redis"), "{found:?}");
    let sheet: Sheet = world.get("/templates/redis").await.unwrap();
    assert!(sheet.fields.iter().any(|field| field.name == "password" && field.generated.is_some()));
    assert!(sheet.fields.iter().any(|field| field.name == "port" && field.port.as_deref() == Some("redis")));
    let missing = world.get::<Sheet>("/templates/rediss").await;
    assert!(matches!(missing, Err(ClientError::Refused(failure)) if failure.code == "no_template"));
    let preflight = async |answers: &[(&str, &str)]| -> Preflight {
        let answers = answers.iter().map(|(option, answer)| (option.to_string(), answer.to_string())).collect();
        let order = OrderBody { name: "cache".into(), answers, ..OrderBody::default() };
        let request = world.client.request(Method::POST, "/templates/redis/preflight").json(&order);
        world.client.ask(request).await.unwrap()
    };
    let wrong = preflight(&[("cache", "1"), ("policy", "lru")]).await;
    let options: BTreeSet<&str> = wrong.problems.iter().filter_map(|fault| fault.option.as_deref()).collect();
    assert_eq!(options, BTreeSet::from(["cache", "policy"]));
    let huge = preflight(&[("memory", "900 TiB")]).await;
    assert!(huge.problems.iter().any(|fault| fault.option.as_deref() == Some("memory")), "{huge:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("127.0.0.1:{}", taken.local_addr().unwrap().port());
    let held = preflight(&[("port", port.as_str())]).await;
    assert!(held.problems.iter().any(|fault| fault.option.as_deref() == Some("port")), "{held:?}");
    let right = preflight(&[]).await;
    assert_eq!((right.secrets.as_slice(), right.applications.len()), (&["cache-password".to_string()][..], 1));
    assert!(right.document.contains("name: redis") && right.memory_bytes == 384 << 20, "{}", right.document);
    let backups = right.backups.unwrap();
    assert!(backups.to.is_none() && backups.lacks.unwrap().contains("no place for backups"), "{:?}", backups.places);
    // A refused order leaves no secret behind.
    let order = OrderBody {
        name: "cache".into(),
        answers: BTreeMap::from([("cache".into(), "1".into())]),
        ..OrderBody::default()
    };
    let request = world.client.request(Method::POST, "/templates/redis/deploy").json(&order);
    let refused = world.client.ask::<Deployment>(request).await;
    assert!(matches!(refused, Err(ClientError::Refused(failure)) if failure.code == "order"));
    let secrets: Vec<openmesh_agent::views::Secret> = world.get("/secrets").await.unwrap();
    assert!(secrets.is_empty(), "{secrets:?}");
    // A document that names the secret which its template makes: it has to be there, or is made with the deployment, and not for one that is refused.
    let greedy = format!("{}    limits:\n      memory: 900 TiB\n", right.document);
    let makes = [("", "unresolved"), ("?make_secrets=true", "refused"), ("?make_secrets=true&plan=true", "refused")];
    for (query, code) in makes {
        let request = world.client.request(Method::POST, &format!("/applications{query}")).body(greedy.clone());
        let refused = world.client.ask::<Deployment>(request).await;
        assert!(matches!(&refused, Err(ClientError::Refused(failure)) if failure.code == code), "{query}: {refused:?}");
        let secrets: Vec<openmesh_agent::views::Secret> = world.get("/secrets").await.unwrap();
        assert!(secrets.is_empty(), "{query}: {secrets:?}");
    }
    // Nor was one made and taken away again: the names of both are kept, and there is an end of them.
    let kept = std::fs::read_to_string(world.settings.state.join("secrets.json")).unwrap_or_default();
    assert!(!kept.contains("cache-password"), "{kept}");
    world.stop().await;
}
