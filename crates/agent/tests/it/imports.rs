//! Compose files through the agent's socket: what is made of them is a document that can be deployed.

use openmesh_agent::client::ClientError;
use openmesh_agent::views::{ImportBody, Imported, Node};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer, free_port};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compose_file_becomes_a_document_that_serves() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let text = format!(
        "services:\n  web:\n    image: \"{image}\"\n    read_only: true\n    restart: always\n    cap_drop: [all]\n    mem_limit: 128m\n    \
         ports: ['127.0.0.1:{port}:8080']\n    volumes: ['data:/data']\nvolumes: {{data: {{}}}}\n"
    );
    let request = world.client.request(Method::POST, "/import").body(text.clone());
    let made: Imported = world.client.ask(request).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(made.is_complete && made.secrets.is_empty(), "{made:#?}");
    assert!(made.findings.iter().any(|finding| finding.kind == "changed" && finding.line == 9), "{made:#?}");
    // Nothing was deployed by it.
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 0);
    let document = made.document.replace("version: 1\n", "").replace("10 GiB", "16 MiB");
    let taken = world.send(Method::POST, "/applications", world.document(&document)).await;
    let taken = taken.unwrap_or_else(|error| panic!("{error}"));
    world.follow(&taken).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));

    // With what belongs to it as JSON; what is unsupported is left until somebody can do without it.
    let text = text.replace("restart: always", "privileged: true");
    let mut body = ImportBody { text, ..ImportBody::default() };
    let ask = |body: &ImportBody| world.client.request(Method::POST, "/import").json(body);
    let made: Imported = world.client.ask(ask(&body)).await.unwrap();
    assert!(!made.is_complete && made.findings.iter().any(|finding| finding.is_left && finding.key == "privileged"));
    body.without.insert("privileged".into());
    assert!(world.client.ask::<Imported>(ask(&body)).await.unwrap().is_complete);

    // A file that makes no document is refused with its lines.
    let refused = world.client.ask::<Imported>(world.client.request(Method::POST, "/import").body("services: [a]\n"));
    let refused = refused.await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, "document");
    assert!(failure.message.starts_with("1:11: must be a map of services"), "{}", failure.message);
    world.stop().await;
}
