//! Death of each of the two agents at each step of a move and of its undoing: another one in its place goes on, nothing that was taken is lost, and it
//! serves at one place at most.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_agent::views::Node;
use openmesh_agent::views::access::MadeKey;
use openmesh_agent::views::backups::Line;
use openmesh_agent::views::moves::{ArrivingState, DepartingState, Move, Moves};
use openmesh_agent::{DoorPorts, People};
use reqwest::Method;

use super::pair::{Clients, MOVE_MAX, SERVER, key, moves_by, named, port, receives, undo, until, web};
use crate::access::{Site, address};
use crate::backups::set_token;
use crate::world::{PATIENCE, World, answer, settings};

/// Variable with the order for a process that is an agent: `name|folder|programs|http|https|face`.
const ORDER: &str = "OPENMESH_MOVE_TEST_AGENT";
/// All deaths are wanted, and not a sample.
const ALL: &str = "OPENMESH_DOORS";
/// Deaths between two of the sample.
const SAMPLE: usize = 9;
/// Pause between two looks at a move whose steps are waited for.
const LOOK: Duration = Duration::from_millis(5);

/// The agent of another test's process; by itself it is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a process of another test"]
async fn the_agent_of_a_process() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.split('|').collect();
    let [name, folder, programs, http, https, face] = parts[..] else { panic!("{order}") };
    let door_ports = DoorPorts { http: http.parse().unwrap(), https: https.parse().unwrap() };
    let mut settings = settings(name, &PathBuf::from(folder), programs.into(), door_ports);
    if let Ok(face) = face.parse() {
        settings.face = Some(face);
        settings.people = People { owner: Some(address(1)), ..People::default() };
    }
    openmesh_agent::run(settings, std::future::pending()).await.unwrap();
}

/// A machine whose agent is a process of its own.
struct Side {
    process: Option<Child>,
    world: World,
}

impl Side {
    async fn start(&mut self) {
        let settings = &self.world.settings;
        let face = settings.face.map(|face| face.to_string()).unwrap_or_default();
        let (folder, programs) = (settings.state.parent().unwrap().display(), settings.programs.display());
        let DoorPorts { http, https } = settings.door_ports;
        let order = format!("{}|{folder}|{programs}|{http}|{https}|{face}", settings.name);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["moves::crash::the_agent_of_a_process", "--exact", "--ignored", "--nocapture"]);
        self.process = Some(command.env(ORDER, order).stdout(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        while let Err(error) = self.world.get::<Node>("").await {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no agent: {error}, {ended:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends its agent in the middle of whatever it does.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Steps of a move and its undoing, in their order.
fn step(one: &Move) -> usize {
    let Some(departing) = one.departing else { return 0 };
    let waits = one.step.starts_with(&one.other);
    match (departing, one.arriving) {
        (DepartingState::Tries, None) => 0,
        (DepartingState::Tries, _) if !waits => 1,
        (DepartingState::Tries, _) => 2,
        (DepartingState::Quiets, Some(ArrivingState::Ready)) => 4,
        (DepartingState::Quiets, _) => 3,
        (DepartingState::Hands, Some(ArrivingState::Told)) => 6,
        (DepartingState::Hands, Some(ArrivingState::Serves)) => 7,
        (DepartingState::Hands, _) => 5,
        (DepartingState::Gone, _) => 8,
        (DepartingState::Recalls, Some(ArrivingState::GivesBack)) => 10,
        (DepartingState::Recalls, Some(ArrivingState::Given)) => 11,
        (DepartingState::Recalls, _) => 9,
        (DepartingState::Returns, _) if one.is_down => 12,
        (DepartingState::Returns, _) => 13,
        (DepartingState::Over, _) => panic!("its hour is not over: {one:?}"),
    }
}

/// Number of the steps.
const STEPS: usize = 14;

/// Two machines with agents that die.
struct Mortals {
    here: Side,
    there: Side,
    site: Site,
    key: MadeKey,
}

impl Mortals {
    /// Both; none where the machine can hold no agent.
    async fn new() -> Option<Mortals> {
        let (here, mut there) = (World::new()?, World::new()?);
        receives(&mut there);
        let (mut here, mut there) = (Side { process: None, world: here }, Side { process: None, world: there });
        here.start().await;
        there.start().await;
        let site = Site::of(&there.world);
        let key = key(&site, "move").await;
        Some(Mortals { here, there, site, key })
    }

    /// Begins to move, once the move before has left nothing.
    async fn begin(&self) {
        until(&self.there.world, "nothing is left of the move before", |all| all.moves.is_empty()).await;
        let begun = Instant::now();
        while let Err(error) = moves_by(&self.here.world, &self.site, &self.key.key).await {
            // The generation that let it serve again is being committed.
            assert!(begun.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A move there and back, on which one of the agents dies at a step, or as soon after it as it is seen.
    async fn round(&mut self, clients: &Clients, at: usize, is_here: bool) {
        self.begin().await;
        let (begun, mut has_died, mut is_undone) = (Instant::now(), false, false);
        loop {
            assert!(begun.elapsed() < MOVE_MAX * 2, "step {at}, here {is_here}: it hangs");
            tokio::time::sleep(LOOK).await;
            let Ok(all) = self.here.world.get::<Moves>("/moves").await else { continue };
            let present = all.moves.first().map(step);
            if !has_died && present.is_none_or(|present| present >= at) {
                let dies = if is_here { &mut self.here } else { &mut self.there };
                dies.kill();
                dies.start().await;
                has_died = true;
                continue;
            }
            match all.moves.first() {
                None => {
                    assert!(is_undone, "step {at}, here {is_here}: it did not move: {:?}", all.ended.first());
                    break;
                }
                Some(one) if one.departing == Some(DepartingState::Gone) && !is_undone => {
                    clients.served(false).await;
                    // Whoever gets no answer asks again.
                    is_undone = undo(&self.here.world).await.is_ok();
                }
                Some(_) => {}
            }
        }
        clients.served(true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_of_either_agent_at_any_step_loses_nothing() {
    let Some(mut two) = Mortals::new().await else { return };
    let (here, there) = (&two.here.world, &two.there.world);
    let image = here.image(SERVER);
    assert_eq!(there.image(SERVER), image);
    set_token(here).await;
    there.deploy(named(there, "bee", "", "applications: {}\n")).await;
    here.deploy(named(here, "ant", "", &web(&image, ""))).await;
    let at = port(&here.application("web").await).unwrap();
    assert_eq!(answer("POST", at, "/fill/4").await.as_deref(), Some("filled\n"));
    let clients = Clients::start(at, there);
    clients.served(true).await;
    let apart = if std::env::var_os(ALL).is_some() { 1 } else { SAMPLE };
    let deaths = (0..STEPS).flat_map(|step| [(step, true), (step, false)]).step_by(apart);
    let mut expected = vec!["here"];
    for (step, is_here) in deaths {
        two.round(&clients, step, is_here).await;
        expected.extend(["there", "here"]);
        assert_eq!(clients.turns(), expected, "step {step}, here {is_here}");
        clients.check(at).await;
    }
    let request = two.here.world.client.request(Method::GET, "/applications/web/lines");
    let lines: Vec<Line> = two.here.world.client.ask(request).await.unwrap();
    assert!(lines.iter().filter(|line| line.in_use).count() == 1, "{lines:?}");
    drop(clients);
}
