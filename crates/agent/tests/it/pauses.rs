//! Remains of an agent that dies in the middle of a backup: the next agent lets the application go on, and takes its clone out of the application's room.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_agent::Service;
use openmesh_agent::views::ApplicationState;
use openmesh_shim::client::Client;
use openmesh_shim::protocol::Action;
use openmesh_xnode::{marks, open};

use crate::pantry::server;
use crate::world::{World, answer, free_port, plain};

/// Patience with the answer of a shim.
const ANSWER: Duration = Duration::from_secs(60);

/// Remains.
#[derive(Debug)]
struct Left {
    mark: PathBuf,
    scratch: PathBuf,
    /// Name of the instance on this machine.
    instance: String,
    shim: openmesh_shim::Config,
}

/// Leaves an application as an agent does that dies while it copies: paused, with a mark, and with half a clone in its volume. No agent runs.
fn die_in_a_backup(world: &World) -> Left {
    let service = Service::open(world.settings.clone()).unwrap();
    let machine = service.agent().machine();
    let web = "web".parse().unwrap();
    let folder = folder_of(&machine.paths.instances(&web));
    let instance = format!("web-{}", folder.file_name().unwrap().to_str().unwrap());
    let shim: openmesh_shim::Config = marks::find(&folder.join("shim.json")).unwrap().unwrap();
    let backups = world.settings.state.join("backups");
    let mark = backups.join("paused/web.json");
    marks::replace(&mark, &serde_json::to_vec(&[&instance]).unwrap()).unwrap();
    let pause = Action::Pause { note: "a backup is being made".into() };
    Client::connect(&shim.socket, ANSWER).unwrap().ask(pause).unwrap();
    machine.group(&instance).freeze(&open).unwrap();

    let id = machine.volumes.ids().unwrap()[0];
    marks::replace(&backups.join("scratch").join(format!("{id}.backup")), b"").unwrap();
    let scratch = machine.volumes.scratch_place(id, "backup", &openmesh_volume::open).unwrap();
    std::fs::create_dir_all(&scratch).unwrap();
    std::fs::write(scratch.join("words"), vec![7_u8; 1 << 20]).unwrap();
    assert!(machine.group(&instance).frozen().unwrap());
    Left { mark, scratch, instance, shim }
}

/// The folder of the one instance.
fn folder_of(instances: &Path) -> PathBuf {
    let found: Vec<PathBuf> = std::fs::read_dir(instances).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_goes_on_after_its_agent_died_in_a_backup() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    world.stop().await;
    let left = die_in_a_backup(&world);
    // Whoever is answered by the next agent finds all of it put right.
    world.start().await;
    assert!(!left.mark.exists() && !left.scratch.exists(), "{left:?}");
    assert_eq!(std::fs::read_dir(world.settings.state.join("backups/scratch")).unwrap().count(), 0);
    let status = Client::connect(&left.shim.socket, ANSWER).unwrap().ask(Action::Status).unwrap();
    assert_eq!(status.paused, None);
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let application = world.application("web").await;
    assert_eq!((application.state, application.cause), (ApplicationState::Running, None));
    world.stop().await;
    let service = Service::open(world.settings.clone()).unwrap();
    assert!(!service.agent().machine().group(&left.instance).frozen().unwrap());
}
