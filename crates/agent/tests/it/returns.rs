//! Generations that fail, and what serves afterwards.

use openmesh_agent::views::{ApplicationState, Event, EventKind, Generation, Node};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer, free_port};

/// A document of a server whose health is asked each 200 ms, with these times for gate and probation. A gate that fails has time for a start on a busy machine, so
/// that it fails for the reason that is looked for.
fn web(image: &str, port: u16, times: &str) -> String {
    format!(
        "applications:\n  web:\n    image: \"{image}\"\n    ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    \
         health: {{http: {{port: http, path: /health}}, interval: 200ms, timeout: 5s, failures: 2}}\n    limits: {{memory: 128MiB}}\n    \
         switch: {{{times}, drain: 1s}}\n"
    )
}

/// A server that ruins its data before it ends.
fn ruinous() -> String {
    server("ruin").replacen(
        "print \"ruin listens",
        "open(F, '>', '/data/words'); print F \"ruined\\n\"; close F; exit 3; print \"ruin listens",
        1,
    )
}

/// A server that is well until somebody writes `die`, and ends then.
fn mortal() -> String {
    server("mortal").replacen("print F \"$1\\n\"; close F;", "print F \"$1\\n\"; close F; exit 7 if $1 eq 'die';", 1)
}

fn told(events: &[Event], kind: EventKind) -> Vec<&str> {
    events.iter().filter(|event| event.kind == kind).map(|event| event.text.as_str()).collect()
}

/// A new version that ruins its data before it had traffic: the old one answers with the old data, and nobody has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_and_data_return_after_a_failed_gate() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (one, two, port) = (world.image(&server("one")), world.image(&ruinous()), free_port());
    let times = "gate: 60s, probation: 0ms";
    world.deploy(world.document(&web(&one, port, times))).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let events = world.deploy(world.document(&web(&two, port, "gate: 10s, probation: 0ms"))).await;
    let returned = told(&events, EventKind::Returned);
    assert_eq!(returned.len(), 1, "{events:#?}");
    assert!(returned[0].contains("web failed before it had traffic") && returned[0].contains("code 3"), "{returned:?}");
    assert!(told(&events, EventKind::Held).is_empty(), "{events:#?}");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let application = world.application("web").await;
    assert_eq!((application.state, application.cause), (ApplicationState::Running, None));
    // It serves, and what failed is told all the same, until something else is wanted.
    let failed = application.returned.expect("what failed");
    assert!(failed.cause.starts_with("failed before it had traffic") && failed.cause.contains("code 3"), "{failed:?}");
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    let found: Vec<_> = generations.iter().map(|found| (found.number, found.serves, found.returned_by)).collect();
    assert_eq!(found, [(3, true, None), (2, false, Some(3)), (1, false, None)]);
    assert_eq!((generations[0].by.as_str(), generations[0].portable == generations[2].portable), ("openmesh", true));
    assert!(generations[1].failed.as_deref().is_some_and(|cause| cause.contains("code 3")), "{generations:#?}");
    world.stop().await;
}

/// A new version that answers that it is not well: the test, its answer and the last words are told, by the deployment and afterwards, with what serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_a_failed_test_is_told() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let sick = server("sick")
        .replace("200 OK", "503 Service Unavailable")
        .replace("\\r\\n\\r\\n$body", "\\r\\n\\r\\nthe database starts");
    let (one, two, port) = (world.image(&server("one")), world.image(&sick), free_port());
    world.deploy(world.document(&web(&one, port, "gate: 60s, probation: 0ms"))).await;
    let events = world.deploy(world.document(&web(&two, port, "gate: 10s, probation: 0ms"))).await;
    let returned = told(&events, EventKind::Returned);
    assert_eq!(returned.len(), 1, "{events:#?}");
    let failed = world.application("web").await.returned.expect("what failed");
    for words in ["not healthy within 10s", ":8080/health answers 503: the database starts", "sick listens"] {
        assert!(returned[0].contains(words) && failed.cause.contains(words), "{words}: {returned:?} {failed:?}");
    }
    assert_eq!((failed.generation, failed.returned_by, failed.serves), (2, 3, 3));
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    // Something else is wanted: that is what is told from now on.
    world.deploy(world.document(&web(&one, port, "gate: 61s, probation: 0ms"))).await;
    assert_eq!(world.application("web").await.returned, None);
    world.stop().await;
}

/// A job of a switch that ruins the data of the new version and fails: the old one answers with the old data, and nobody has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_and_data_return_after_a_failed_job() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (one, two, port) = (world.image(&server("one")), world.image(&server("two")), free_port());
    let times = "gate: 60s, probation: 0ms";
    world.deploy(world.document(&web(&one, port, times))).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let job = "    jobs:\n      up: {command: [/bin/sh, -c, 'echo ruined > /data/words; exit 3'], occasion: switch}\n";
    let events = world.deploy(world.document(&(web(&two, port, times) + job))).await;
    let returned = told(&events, EventKind::Returned);
    assert_eq!(returned.len(), 1, "{events:#?}");
    let words = "web failed before it had traffic: job up has failed: it ended with code 3";
    assert!(returned[0].contains(words), "{returned:?}");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    let found: Vec<_> = generations.iter().map(|found| (found.number, found.serves, found.returned_by)).collect();
    assert_eq!(found, [(3, true, None), (2, false, Some(3)), (1, false, None)]);
    world.stop().await;
}

/// A new version dies with its traffic after somebody has written: its data stay as they are, in a line with a name, and a person chooses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_on_probation_is_kept_for_a_person_to_choose() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (one, two, port) = (world.image(&server("one")), world.image(&mortal()), free_port());
    let times = "gate: 60s, probation: 10m";
    world.deploy(world.document(&web(&one, port, times))).await;
    assert_eq!(answer("POST", port, "/before").await.as_deref(), Some("one\nbefore\n"));
    let text = world.document(&web(&two, port, times));
    let taken = world.send(Method::POST, "/applications", text).await.unwrap();
    let events = world.follow_to(&taken, EventKind::Serves).await;
    assert!(told(&events, EventKind::Returned).is_empty(), "{events:#?}");
    let node: Node = world.get("").await.unwrap();
    assert_eq!((node.current, node.wanted), (1, 2), "it serves, and is not committed");
    assert_eq!(answer("POST", port, "/written").await.as_deref(), Some("mortal\nbefore\nwritten\n"));
    // It ends without an answer.
    let _ = answer("POST", port, "/die").await;
    let events = world.follow(&taken).await;
    let returned = told(&events, EventKind::Returned);
    assert!(
        returned.len() == 1 && returned[0].contains("with traffic") && returned[0].contains("code 7"),
        "{events:#?}"
    );
    assert!(returned[0].contains("a person chooses"), "{returned:?}");
    let application = world.application("web").await;
    assert_eq!(application.state, ApplicationState::Stopped);
    assert_eq!(answer("GET", port, "/").await, None);
    // The old version on what clients have written; and then the old data, while the written ones stay. Each is watched with its traffic for ten
    // minutes, so it serves and is not committed yet.
    let back = world.send(Method::POST, "/generations/1/restore", "").await.unwrap();
    world.follow_to(&back, EventKind::Serves).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nbefore\nwritten\ndie\n"));
    let back = world.send(Method::POST, "/generations/1/restore?lines=web/data:1", "").await.unwrap();
    world.follow_to(&back, EventKind::Serves).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nbefore\n"));
    let back = world.send(Method::POST, "/generations/1/restore?lines=web/data:2", "").await.unwrap();
    world.follow_to(&back, EventKind::Serves).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nbefore\nwritten\ndie\n"));
    world.stop().await;
}

/// An agent that dies on the way back goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_outlives_its_agent() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (one, two, port) = (world.image(&server("one")), world.image(&ruinous()), free_port());
    world.deploy(world.document(&web(&one, port, "gate: 60s, probation: 0ms"))).await;
    let text = world.document(&web(&two, port, "gate: 10s, probation: 0ms"));
    let taken = world.send(Method::POST, "/applications", text).await.unwrap();
    world.follow_to(&taken, EventKind::Returned).await;
    world.stop().await;
    world.start().await;
    world.follow(&taken).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    world.stop().await;
}
