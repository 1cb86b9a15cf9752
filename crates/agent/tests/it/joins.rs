//! Two machines with one repository: the second has to be let in by the owner, and from then on both have their own backups there.

use openmesh_agent::Identity;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::backups::{Backup, Keys};
use reqwest::Method;

use crate::backups::{act, backed_up, done, folder, send, set_token};
use crate::pantry::server;
use crate::world::{World, answer, free_port};

const BACKUPS: &str = "/applications/web/backups";

/// An agent with the owner's key and an application whose backups go to a place, and the port of the application.
async fn machine(store: &str, owner: &str) -> Option<(World, u16)> {
    let mut world = World::new()?;
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_token(&world).await;
    let keys: Keys = send(&world, Method::PUT, "/backups/key", owner.to_string()).await.unwrap();
    assert_eq!(keys.owner.as_deref(), Some(owner));
    world.deploy(backed_up(&world, &image, port, store)).await;
    Some((world, port))
}

async fn backups(world: &World) -> Vec<Backup> {
    world.get(BACKUPS).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_machine_is_let_into_a_repository_by_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let store = folder(&place.path().join("repository"));
    let owner = Identity::generate().unwrap();
    let recipient = owner.recipient().to_string();
    let Some((mut one, port)) = machine(&store, &recipient).await else { return };
    answer("POST", port, "/one").await.unwrap();
    done(&one, BACKUPS, Vec::new()).await;
    let Some((mut two, port)) = machine(&store, &recipient).await else { return };
    answer("POST", port, "/two").await.unwrap();
    // The second one's own key opens nothing, and the refusal says how it is let in.
    let refused = act(&two, BACKUPS, Vec::new()).await;
    assert!(!refused.ok && refused.text.contains("openmesh xnode backup-key join disk"), "{refused:?}");
    let join =
        |identity: &Identity| send::<String>(&two, Method::POST, "/backups/targets/disk/join", identity.secret_text());
    let strange: Result<String, ClientError> = join(&Identity::generate().unwrap()).await;
    assert!(matches!(strange, Err(ClientError::Refused(_))), "{strange:?}");
    join(&owner).await.unwrap();
    let made = done(&two, BACKUPS, Vec::new()).await;
    done(&one, BACKUPS, Vec::new()).await;
    // Each sees its own, and what the one keeps is not what the other keeps.
    let (of_one, of_two) = (backups(&one).await, backups(&two).await);
    assert_eq!((of_one.len(), of_two.len()), (2, 1), "{of_one:?} {of_two:?}");
    assert_eq!(Some(&of_two[0].id), made.backup.as_ref());
    done(&two, &format!("{BACKUPS}/drill?backup={}", made.backup.unwrap()), Vec::new()).await;
    done(&one, &format!("{BACKUPS}/drill"), Vec::new()).await;
    one.stop().await;
    two.stop().await;
}
