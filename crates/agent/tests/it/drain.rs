//! A machine that is emptied, and takes applications again.

use openmesh_agent::client::ClientError;
use openmesh_agent::views::{ApplicationState, DrainView, Node};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer, free_port, plain};

async fn drain(world: &World, method: Method) -> DrainView {
    let request = world.client.request(method, "/drain?by=alice&reason=a+new+disk");
    let view: DrainView = world.client.ask(request).await.unwrap_or_else(|error| panic!("{error}"));
    if let Some(deployment) = &view.deployment {
        world.follow(deployment).await;
    }
    view
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_stop_and_come_back_and_nothing_new_comes_between() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    // Before there is anything it is a mark alone.
    let view = drain(&world, Method::PUT).await;
    assert!(view.drained.is_some() && view.deployment.is_none(), "{view:?}");
    let view = drain(&world, Method::DELETE).await;
    assert_eq!((view.drained, view.deployment), (None, None));

    let (image, port) = (world.image(&server("one")), free_port());
    let document = world.document(&plain(&image, port));
    world.deploy(document.clone()).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    let view = drain(&world, Method::PUT).await;
    assert_eq!(view.deployment.map(|deployment| deployment.applications), Some(vec!["web".to_string()]));
    assert_eq!(answer("GET", port, "/").await, None);
    assert_eq!(world.application("web").await.state, ApplicationState::Stopped);

    // Nobody starts it meanwhile, not even after another start of the agent; a plan is shown all the same.
    world.stop().await;
    world.start().await;
    for (path, body) in [("/applications?by=bob", document.clone()), ("/generations/1/restore?by=bob", String::new())] {
        match world.send(Method::POST, path, body).await {
            Err(ClientError::Refused(failure)) => {
                assert_eq!(failure.code, "drained", "{failure:?}");
                assert!(failure.message.contains("alice: a new disk"), "{failure:?}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    world.send(Method::POST, "/applications?by=bob&plan=true", document).await.unwrap();
    let drained = world.get::<Node>("").await.unwrap().drained.expect("it is told");
    assert_eq!((drained.by.as_str(), drained.applications.len()), ("alice", 1));
    // Asked for twice nothing is done twice.
    assert_eq!(drain(&world, Method::PUT).await.deployment, None);

    let view = drain(&world, Method::DELETE).await;
    assert!(view.drained.is_none() && view.deployment.is_some(), "{view:?}");
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    assert_eq!(world.get::<Node>("").await.unwrap().drained, None);
    world.stop().await;
}
