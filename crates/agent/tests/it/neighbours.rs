//! Two agents of one machine: neither takes what the other has given out.

use openmesh_agent::client::ClientError;
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer, plain};

/// A document of a web server at a port of its agent's choice, from three.
fn chosen(world: &World, image: &str, first: u16) -> String {
    let application = plain(image, 0).replace("publish: {port: 0, address", "publish: {address");
    let document = world.document(&application);
    let (head, tail) = document.split_once("ports: {first").unwrap();
    let (_, tail) = tail.split_once("}").unwrap();
    format!("{head}ports: {{first: {first}, last: {}}}{tail}", first + 2)
}

/// Place on the host of the web server's port.
async fn place(world: &World) -> String {
    world.application("web").await.ports["http"].clone().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_port_is_none_of_another_agent() {
    let (Some(mut one), Some(mut two)) = (World::new(), World::new()) else { return };
    one.start().await;
    two.start().await;
    // Three ports that nobody has, of the range of the first one's documents.
    let text = one.document("");
    let first: u16 = text.split("first: ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let images = (one.image(&server("one")), two.image(&server("two")));
    one.deploy(chosen(&one, &images.0, first)).await;
    let had = place(&one).await;
    // By rules alone: nothing listens there.
    two.deploy(chosen(&two, &images.1, first)).await;
    let has = place(&two).await;
    assert_ne!(had, has);
    for (place, word) in [(&had, "one\n"), (&has, "two\n")] {
        let port = place.strip_prefix("127.0.0.1:").unwrap().strip_suffix("/tcp").unwrap().parse().unwrap();
        assert_eq!(answer("GET", port, "/").await.as_deref(), Some(word), "{place}");
    }
    // Once chosen it stays; and one that is named and is the other's is refused, with the other's name.
    two.deploy(chosen(&two, &images.1, first).replace("128MiB", "130MiB")).await;
    assert_eq!(place(&two).await, has);
    let port: u16 = had.split([':', '/']).nth(1).unwrap().parse().unwrap();
    let named = two.document(&plain(&images.1, port));
    let refused = two.send(Method::POST, "/applications?by=alice&reason=a+test", named).await.unwrap_err();
    let ClientError::Refused(failure) = refused else { panic!("{refused:?}") };
    assert!(failure.message.contains(&format!("the agent `{}`", one.settings.name)), "{failure:?}");
}
