//! One agent in the place of another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use openmesh_agent::views::Node;
use openmesh_agent::{AgentError, Taking, run_from};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port, left, plain};

/// Waits until the agent answers.
async fn answers(world: &World) -> Node {
    let begun = Instant::now();
    loop {
        match world.get::<Node>("").await {
            Ok(node) => return node,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Asks the agent to hand over.
async fn taken(world: &World) -> Taking {
    let taken = tokio::time::timeout(PATIENCE, Taking::ask(&world.settings)).await;
    taken.expect("the agent does not hand over").unwrap()
}

/// One that asks an application all the time, until its test has enough of it or is gone.
struct Asking {
    ends: Arc<AtomicBool>,
    task: JoinHandle<(u32, u32)>,
}

impl Asking {
    fn of(port: u16) -> Asking {
        let ends = Arc::new(AtomicBool::new(false));
        let heard = ends.clone();
        let asks = move || {
            let (mut good, mut bad) = (0, 0);
            while !heard.load(Ordering::SeqCst) {
                match crate::pantry::ask("GET", ("127.0.0.1", port), "/") {
                    Some(text) if text == "one\n" => good += 1,
                    _ => bad += 1,
                }
            }
            (good, bad)
        };
        Asking { ends, task: tokio::task::spawn_blocking(asks) }
    }

    /// Numbers of answers and of failures.
    async fn end(mut self) -> (u32, u32) {
        self.ends.store(true, Ordering::SeqCst);
        let asked = tokio::time::timeout(PATIENCE, &mut self.task).await;
        asked.expect("the last answer does not come").unwrap()
    }
}

impl Drop for Asking {
    /// A test that panics ends it too: a runtime waits for its blocking tasks.
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_agent_takes_over_and_no_application_notices() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    let before = world.application("web").await.instances[0].pid;
    let asking = Asking::of(port);
    // One that asks and ends: the old one goes on.
    let begun = Instant::now();
    drop(taken(&world).await);
    answers(&world).await;
    println!("nobody answered for {:?}", begun.elapsed());
    // One that gets there.
    let taking = taken(&world).await;
    let (end, leaves) = oneshot::channel::<()>();
    let leaves = async move { drop(leaves.await) };
    let task = tokio::spawn(run_from(Some(taking), world.settings.clone(), leaves));
    let (_old, old_task) = world.running.take().unwrap();
    left(old_task).await;
    world.running = Some((end, task));
    assert_eq!(answers(&world).await.current, 1);
    assert_eq!(world.application("web").await.instances[0].pid, before, "it was adopted");
    let (good, bad) = asking.end().await;
    assert!(good > 0 && bad == 0, "{good} answers and {bad} failures");
    // And the new one works.
    let two = world.image(&server("two"));
    world.deploy(world.document(&plain(&two, port))).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("two\n"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_taken_over_where_none_runs() {
    let Some(world) = World::new() else { return };
    let Err(AgentError::TakeOver { words }) = Taking::ask(&world.settings).await.map(drop) else {
        panic!("there is no agent");
    };
    assert!(words.contains("no agent hands over"), "{words}");
}
