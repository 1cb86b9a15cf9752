//! Documents deployed, changed and removed through the agent's socket; agents that die and come back.

use futures::StreamExt as _;
use openmesh_agent::AgentError;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::{Application, ApplicationState, EventKind, Generation, LogLine, Node, Secret};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer, free_port, plain, web};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_becomes_an_application_that_outlives_its_agent() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    // Without its secret nothing is made.
    let refused = world.send(Method::POST, "/applications", world.document(&web(&image, port))).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (failure.code.as_str(), failure.message.contains("no secret `token`")),
        ("unresolved", true),
        "{failure:?}"
    );
    let set: u32 =
        world.client.ask(world.client.request(Method::PUT, "/secrets/token").body("correct horse")).await.unwrap();
    assert_eq!(set, 1);
    // A plan changes nothing.
    let plan = world.send(Method::POST, "/applications?plan=true", world.document(&web(&image, port))).await.unwrap();
    assert!(plan.plan.contains("make volume web/data") || plan.steps > 5, "{}", plan.plan);
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 0);
    let events = world.deploy(world.document(&web(&image, port))).await;
    assert!(events.iter().filter(|event| event.kind == EventKind::Done).count() > 5, "{events:#?}");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let application = world.application("web").await;
    assert_eq!((application.state, application.cause), (ApplicationState::Running, None));
    assert_eq!(application.ports["http"], Some(format!("127.0.0.1:{port}/tcp")));
    let lines =
        world.client.lines::<LogLine>(world.client.request(Method::GET, "/applications/web/logs")).await.unwrap();
    let lines: Vec<LogLine> = lines.map(Result::unwrap).collect().await;
    assert!(lines.iter().any(|line| line.text == "one listens" && line.stream == "stdout"), "{lines:?}");
    let secrets: Vec<Secret> = world.get("/secrets").await.unwrap();
    assert_eq!(secrets[0].used_by["web"], 1);
    // The agent goes, the application stays; another agent finds everything as it is.
    world.stop().await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    world.start().await;
    let (_, from) = (0, world.get::<Node>("").await.unwrap());
    assert_eq!((from.current, from.wanted), (1, 1));
    let two = world.image(&server("two"));
    world.deploy(world.document(&web(&two, port))).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("two\nkept\n"));
    // Back to the first generation, as a new one.
    let back = world.send(Method::POST, "/generations/1/restore?by=bob", "").await.unwrap();
    assert_eq!(back.generation, 3);
    world.follow(&back).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    assert_eq!(
        generations.iter().map(|found| (found.number, found.serves)).collect::<Vec<_>>(),
        [(3, true), (2, false), (1, false)]
    );
    assert_eq!(generations[0].by, "bob");
    let removed = world.send(Method::DELETE, "/applications/web?data=keep", "").await.unwrap();
    world.follow(&removed).await;
    assert_eq!(answer("GET", port, "/").await, None);
    assert_eq!(world.get::<Vec<Application>>("/applications").await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let refused = async |method: Method, path: &str, body: String| match world.send(method, path, body).await {
        Err(ClientError::Refused(failure)) => failure,
        other => panic!("{path}: {other:?}"),
    };
    let failure =
        refused(Method::POST, "/applications", "version: 1\napplications: {web: {imagee: x, prots: {}}}".into()).await;
    assert_eq!(failure.code, "document");
    assert!(failure.message.lines().count() >= 2 && failure.message.contains("image"), "{}", failure.message);
    let failure = refused(Method::DELETE, "/applications/web", String::new()).await;
    assert_eq!(failure.code, "no_generation");
    let events = world.deploy(world.document("applications: {}\n")).await;
    assert!(events.iter().any(|event| event.kind == EventKind::Wanted && event.text.contains("alice")));
    let failure = refused(Method::DELETE, "/applications/web", String::new()).await;
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("no_application", "there is no application `web`; there are none")
    );
    let failure = refused(Method::POST, "/applications?expected=7", world.document("applications: {}\n")).await;
    assert_eq!(failure.code, "changed");
    let failure = refused(Method::POST, "/generations/9/restore", String::new()).await;
    assert_eq!(failure.code, "no_generation");
    let failure = refused(Method::PUT, "/secrets/token", String::new()).await;
    assert_eq!(failure.code, "value");
    let failure = refused(Method::PUT, "/secrets/TOKEN", "x".into()).await;
    assert_eq!(failure.code, "value");
    // An image that cannot be had: its registry and the cause are named.
    let text = world.document("applications:\n  web: {image: \"127.0.0.1:9/web:1\"}\n");
    let failure = refused(Method::POST, "/applications", text).await;
    assert!(failure.code == "image" && failure.message.starts_with("web: "), "{failure:?}");
    // A second agent of the same name does not begin.
    let second = openmesh_agent::run(world.settings.clone(), std::future::pending()).await;
    assert!(matches!(second, Err(AgentError::Running { .. })), "{second:?}");
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gpu_that_the_machine_has_not_is_refused() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    if !world.get::<Node>("").await.unwrap().gpus.is_empty() {
        println!("skipped: this machine has a GPU");
        return world.stop().await;
    }
    let image = world.image(&server("one"));
    let text = format!("{}    gpus: {{vendor: nvidia}}\n", plain(&image, free_port()));
    let refused = world.send(Method::POST, "/applications", world.document(&text)).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, "unresolved");
    let words = "web: it asks for a GPU of nvidia, and the machine has none";
    assert!(failure.message.contains(words), "{}", failure.message);
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 0, "nothing is changed");
    world.stop().await;
}
