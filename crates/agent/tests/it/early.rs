//! Documents that are refused before a registry is asked or anything is built.

use openmesh_agent::client::ClientError;
use reqwest::Method;

use crate::world::{World, free_port, plain, web};

/// An image of a registry at which nobody answers: whoever asks it fails, and says so with another code.
const NOWHERE: &str = "127.0.0.1:1/shop/web:1";

/// Code and words of a refusal.
async fn refusal(world: &World, applications: &str) -> (String, String) {
    match world.send(Method::POST, "/applications?by=alice", world.document(applications)).await {
        Err(ClientError::Refused(failure)) => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_image_changes_is_refused_before_a_registry_is_asked() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let (code, words) = refusal(&world, &web(NOWHERE, free_port())).await;
    assert!(code == "unresolved" && words.contains("token"), "{code}: {words}");
    let huge = plain(NOWHERE, free_port()).replace("memory: 128MiB", "memory: 900TiB");
    let (code, words) = refusal(&world, &huge).await;
    assert!(code == "refused" && words.contains("memory is short"), "{code}: {words}");
    let wide = plain(NOWHERE, free_port()).replace("size: 16MiB", "size: 15TiB");
    let (code, words) = refusal(&world, &wide).await;
    assert!(code == "refused" && words.contains("the disk is short"), "{code}: {words}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, words) = refusal(&world, &plain(NOWHERE, port)).await;
    assert!(code != "image" && words.contains(&port.to_string()), "{code}: {words}");
    // A recipe is not built either: this machine's archive of the test answers nobody.
    let recipe = web(NOWHERE, free_port()).replace(&format!("image: \"{NOWHERE}\""), "recipe: {debian: {nginx: 1.0}}");
    let (code, words) = refusal(&world, &recipe).await;
    assert!(code == "unresolved" && words.contains("token"), "{code}: {words}");
    // Where nothing else is wrong the registry is asked, also for a plan.
    let (code, words) = refusal(&world, &plain(NOWHERE, free_port())).await;
    assert_eq!(code, "image", "{words}");
    world.stop().await;
}
