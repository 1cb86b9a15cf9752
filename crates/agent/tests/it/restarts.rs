//! An application started anew over the agent's socket: by whom, how far it is, and what is refused.

use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::{AuditRecord, Event, EventKind, Failure, Node, RestartWay, Restarting};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port, plain};

async fn restart(world: &World, query: &str) -> Result<Restarting, ClientError> {
    world.client.ask(world.client.request(Method::POST, &format!("/applications/web/restart{query}"))).await
}

async fn refused(world: &World, query: &str) -> Failure {
    match restart(world, query).await {
        Err(ClientError::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// Follows the events of a restart to its end.
async fn follow(world: &World, taken: &Restarting) -> Vec<Event> {
    let path = format!("/events?follow=true&from={}", taken.events);
    let mut events = pin!(world.client.lines::<Event>(world.client.request(Method::GET, &path)).await.unwrap());
    let mut found = Vec::new();
    let followed = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let is_last = event.kind == EventKind::Restarted;
            found.push(event);
            if is_last {
                return;
            }
        }
    });
    assert!(followed.await.is_ok(), "no end: {found:#?}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_starts_anew_in_the_same_generation() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let before = world.application("web").await;
    assert_eq!(before.restart, None);
    let taken = restart(&world, "?by=alice&reason=it+was+slow").await.unwrap();
    assert_eq!((taken.number, taken.way), (1, RestartWay::Held));
    assert_eq!(taken.instances, [before.instances[0].id.clone()]);
    let events = follow(&world, &taken).await;
    let told =
        |kind| events.iter().filter(|event| event.kind == kind).map(|event| event.text.clone()).collect::<Vec<_>>();
    let asked = told(EventKind::Restart);
    assert!(asked.len() == 1 && asked[0].contains("alice") && asked[0].contains("it was slow"), "{events:#?}");
    assert!(told(EventKind::Restarted)[0].contains("restart 1 of web, asked for by alice, is done"), "{events:#?}");
    // One that is waited for is told at its begin.
    let steps = [told(EventKind::Begins), told(EventKind::Done)].concat().join("\n");
    for step in ["hold requests to web", "stop web", "start web", "gate web", "admit traffic to web"] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
    let after = world.application("web").await;
    assert_eq!(after.revision, before.revision);
    assert!(after.instances[0].id == before.instances[0].id && after.instances[0].pid != before.instances[0].pid);
    let last = after.restart.unwrap();
    assert_eq!((last.number, last.by.as_str(), last.left.len()), (1, "alice", 0));
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 1, "no generation was made");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let log: Vec<AuditRecord> = world.get("/access/audit?path=/v1/xnode/applications/web/restart").await.unwrap();
    assert_eq!(log.len(), 2, "its begin and its end: {log:#?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_outlives_its_agent_and_is_told_by_the_next() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    let before = world.application("web").await;
    let taken = restart(&world, "?by=alice").await.unwrap();
    world.stop().await;
    world.start().await;
    let events = follow(&world, &taken).await;
    assert!(events.iter().any(|event| event.kind == EventKind::Agent), "another agent came: {events:#?}");
    let after = world.application("web").await;
    assert_ne!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_run_is_refused_with_what_helps() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    assert_eq!(refused(&world, "").await.code, "no_application");
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    let failure = refused(&world, "?instance=7").await;
    assert!(failure.code == "no_instance" && failure.message.contains(".0"), "{failure:?}");
    let stopped = plain(&image, port).replace("    limits", "    wish: stopped\n    limits");
    world.deploy(world.document(&stopped)).await;
    let failure = refused(&world, "").await;
    assert!(failure.code == "not_running" && failure.message.contains("wish: running"), "{failure:?}");
    world.stop().await;
}
