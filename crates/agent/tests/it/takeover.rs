//! One agent in the place of another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use openmesh_agent::views::Node;
use openmesh_agent::{AgentError, Taking, run_from};
use tokio::sync::oneshot;

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port, plain};

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

/// Asks an application until it is told to end; the number of answers and of failures.
fn asking(port: u16) -> (Arc<AtomicBool>, std::thread::JoinHandle<(u32, u32)>) {
    let ends = Arc::new(AtomicBool::new(false));
    let heard = ends.clone();
    let asks = move || {
        let (good, bad) = (AtomicU32::new(0), AtomicU32::new(0));
        while !heard.load(Ordering::SeqCst) {
            let counter = match crate::pantry::ask("GET", ("127.0.0.1", port), "/") {
                Some(text) if text == "one\n" => &good,
                _ => &bad,
            };
            counter.fetch_add(1, Ordering::SeqCst);
        }
        (good.into_inner(), bad.into_inner())
    };
    (ends, std::thread::spawn(asks))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_agent_takes_over_and_no_application_notices() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    let before = world.application("web").await.instances[0].pid;
    let (ends, asked) = asking(port);
    // One that asks and ends: the old one goes on.
    let begun = Instant::now();
    drop(Taking::ask(&world.settings).await.unwrap());
    answers(&world).await;
    println!("nobody answered for {:?}", begun.elapsed());
    // One that gets there.
    let taking = Taking::ask(&world.settings).await.unwrap();
    let (end, leaves) = oneshot::channel::<()>();
    let leaves = async move { drop(leaves.await) };
    let task = tokio::spawn(run_from(Some(taking), world.settings.clone(), leaves));
    let (_old, old_task) = world.running.take().unwrap();
    old_task.await.unwrap().unwrap();
    world.running = Some((end, task));
    assert_eq!(answers(&world).await.current, 1);
    assert_eq!(world.application("web").await.instances[0].pid, before, "it was adopted");
    ends.store(true, Ordering::SeqCst);
    let (good, bad) = asked.join().unwrap();
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
