//! Room for the backups of another Xnode: lent, used, ended, brought back; the lender outlives its agent (B-70 to B-84).

use openmesh_agent::NodeKey;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::backups::{Backup, Keys, MachinePlan, MachineRequest, Overview, Place};
use openmesh_agent::views::lending::{BringBackWish, Lending, LoanStanding, LoanWish};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::backups::{act, backed_up, done, rests, send, set_keys};
use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port};

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// Waits until the lender's state is so.
async fn until(world: &World, what: &str, is_so: impl Fn(&Lending) -> bool) -> Lending {
    let begun = std::time::Instant::now();
    loop {
        let lending: Lending = world.get("/loans").await.unwrap();
        if is_so(&lending) {
            return lending;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {lending:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_lies_on_another_xnode_and_comes_back() {
    let (Some(mut lender), Some(mut guest)) = (World::new(), World::new()) else { return };
    lender.start().await;
    guest.start().await;
    let own: Keys = guest.get("/backups/key").await.unwrap();
    let wish = |room_bytes| {
        let keys = vec![own.guest.clone()];
        LoanWish { keys, readers: Vec::new(), room_bytes, until: None, held_days: None }
    };
    let given: Lending = send(&lender, Method::PUT, "/loans/ann?by=mia", json(&wish(1 << 30))).await.unwrap();
    assert_eq!((given.loans[0].name.as_str(), given.loans[0].by.as_str()), ("ann", "mia"));
    let lending = until(&lender, "it listens", |lending| !lending.listens.is_empty()).await;
    assert_eq!(lending.troubles, Vec::<String>::new());
    let place = format!("{{kind: peer, address: \"{}\", node: {}}}", lending.listens[0], lending.key);
    let (image, port) = (guest.image(&server("one")), free_port());
    set_keys(&guest).await;
    guest.deploy(backed_up(&guest, &image, port, &place)).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let made = done(&guest, "/applications/web/backups", Vec::new()).await;
    let overview: Overview = guest.get("/backups").await.unwrap();
    let room = overview.targets[0].room.unwrap();
    assert!(room.all_bytes == 1 << 30 && room.used_bytes > 0, "{room:?}");
    // The lender goes on while its agent is away, and the agent that comes back finds it.
    lender.stop().await;
    assert_eq!(answer("POST", port, "/later").await.as_deref(), Some("one\nkept\nlater\n"));
    done(&guest, "/applications/web/backups", Vec::new()).await;
    lender.start().await;
    let lending = until(&lender, "it is used", |lending| lending.loans[0].used_bytes > 0).await;
    assert!(lending.loans[0].standing == LoanStanding::Lent && lending.loans[0].seen.is_some());
    // Restored: the data of the first backup.
    let first = format!("{{\"backup\": \"{}\"}}", made.backup.unwrap());
    let restored = done(&guest, "/applications/web/backups/restore", first.into_bytes()).await;
    rests(&guest, &restored).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    // Ended, nothing is stored, and everything is read.
    let _ended: Lending = send(&lender, Method::POST, "/loans/ann/end", Vec::new()).await.unwrap();
    until(&lender, "it ends", |lending| lending.loans[0].standing == LoanStanding::Ended).await;
    let refused = loop {
        // The lender hears of it within a second.
        let ended = act(&guest, "/applications/web/backups", Vec::new()).await;
        if !ended.ok {
            break ended;
        }
    };
    assert_eq!(refused.code.as_deref(), Some("no_loan"), "{refused:?}");
    let all: Vec<Backup> = guest.get("/applications/web/backups").await.unwrap();
    assert!(all.len() >= 2);
    // Gone by a person's word alone, and with it the process.
    let _gone: Lending = send(&lender, Method::DELETE, "/loans/ann", Vec::new()).await.unwrap();
    until(&lender, "it is gone", |lending| lending.loans.is_empty()).await;
    assert!(!lender.settings.state.join("lending/guests/ann").exists());
    guest.stop().await;
    lender.stop().await;
}

/// Every machine of the owner is lost. What is left is the lender, and the owner's key on paper (B-83, B-84).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_back_from_another_xnode_with_the_owners_key_alone() {
    let Some(mut lender) = World::new() else { return };
    lender.start().await;
    let give = async |keys: Vec<String>, readers: Vec<String>| {
        let wish = LoanWish { keys, readers, room_bytes: 1 << 30, until: None, held_days: None };
        let _given: Lending = send(&lender, Method::PUT, "/loans/ann", json(&wish)).await.unwrap();
    };
    let (owner, port, lost) = {
        let Some(mut guest) = World::new() else { return };
        guest.start().await;
        let owner = set_keys(&guest).await;
        let own: Keys = guest.get("/backups/key").await.unwrap();
        give(vec![own.guest.clone()], Vec::new()).await;
        let lending = until(&lender, "it listens", |lending| !lending.listens.is_empty()).await;
        let place = format!("{{kind: peer, address: \"{}\", node: {}}}", lending.listens[0], lending.key);
        let (image, port) = (guest.image(&server("one")), free_port());
        guest.deploy(backed_up(&guest, &image, port, &place)).await;
        answer("POST", port, "/kept").await.unwrap();
        done(&guest, "/applications/web/backups", Vec::new()).await;
        guest.stop().await;
        (owner, port, own.guest)
    };
    assert_eq!(answer("GET", port, "/").await, None);
    let lending: Lending = lender.get("/loans").await.unwrap();
    let Some(mut fresh) = World::new() else { return };
    fresh.start().await;
    fresh.image(&server("one"));
    let own: Keys = fresh.get("/backups/key").await.unwrap();
    let place = Place::Peer { address: lending.listens[0].clone(), node: lending.key.clone() };
    let request = MachineRequest { place, identity: owner.secret_text(), repository: None, node: None };
    // The lender knows neither of the two keys: the answer names both.
    let refused: Result<MachinePlan, ClientError> =
        send(&fresh, Method::POST, "/backups/machine/plan", json(&request)).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    let reading = NodeKey::of_owner(&owner).public().to_string();
    assert!(failure.code == "no_loan" && failure.message.contains(&reading), "{failure:?}");
    assert!(failure.message.contains(&own.guest), "{failure:?}");
    give(vec![lost.clone()], vec![reading.clone()]).await;
    let begun = std::time::Instant::now();
    let plan = loop {
        // The lender hears of it within a second.
        match send::<MachinePlan>(&fresh, Method::POST, "/backups/machine/plan", json(&request)).await {
            Ok(plan) => break plan,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!((plan.backups.len(), plan.secrets.clone()), (1, vec!["token".to_string()]), "{plan:?}");
    let restored = done(&fresh, "/backups/machine?by=ann", json(&request)).await;
    assert!(
        restored.text.contains(&own.guest) && restored.text.contains("takes nothing of this machine yet"),
        "{restored:?}"
    );
    rests(&fresh, &restored).await;
    assert_eq!(answer("POST", port, "/again").await.as_deref(), Some("one\nkept\nagain\n"));
    let keys: Keys = fresh.get("/backups/key").await.unwrap();
    assert_eq!((keys.owner, keys.reading), (Some(owner.recipient().to_string()), Some(reading.clone())));
    // Read alone, nothing is stored: the failure says what helps.
    let refused = act(&fresh, "/applications/web/backups", Vec::new()).await;
    assert_eq!(refused.code.as_deref(), Some("no_loan"), "{refused:?}");
    // The new machine takes the place of the lost one, and goes on without another word.
    give(vec![own.guest.clone()], vec![reading]).await;
    let begun = std::time::Instant::now();
    while !act(&fresh, "/applications/web/backups", Vec::new()).await.ok {
        assert!(begun.elapsed() < PATIENCE, "the backups do not go on");
    }
    let all: Vec<Backup> = fresh.get("/applications/web/backups").await.unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    fresh.stop().await;
    lender.stop().await;
}

/// A lender that cannot start says so with its cause, of which an alert is made, until it runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lender_that_cannot_start_says_why() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let key = NodeKey::from_seed([7; 32]).public().to_string();
    let wish = LoanWish { keys: vec![key], readers: Vec::new(), room_bytes: 1 << 30, until: None, held_days: None };
    let _given: Lending = send(&world, Method::PUT, "/loans/ann", json(&wish)).await.unwrap();
    // Its folder is known by then: from now on it has to have its marker.
    let known = world.settings.state.join("lending/known.json");
    until(&world, "it listens", |lending| !lending.listens.is_empty() && known.exists()).await;
    // Its disk is gone: another folder without the marker is in its place.
    let marker = world.settings.state.join("lending/guests/openmesh-lender");
    let report = std::fs::read(world.settings.run.join("lending/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    std::fs::remove_file(&marker).unwrap();
    let number = i32::try_from(report["pid"].as_u64().unwrap()).unwrap();
    kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    let why = |lending: &Lending| lending.troubles.iter().any(|one| one.contains("mount its disk"));
    let lending = until(&world, "it says why", why).await;
    assert!(lending.shut.is_none() && lending.listens.is_empty(), "{lending:?}");
    // The disk is there again, and a look later the lender is.
    std::fs::write(&marker, "1").unwrap();
    until(&world, "it runs again", |lending| lending.shut.is_some() && lending.troubles.is_empty()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loans_that_cannot_be_are_refused_with_words() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let key = "ab".repeat(32);
    let key = key.as_str();
    let wish = |keys: &[&str], room_bytes| {
        let keys = keys.iter().map(ToString::to_string).collect();
        json(&LoanWish { keys, readers: Vec::new(), room_bytes, until: None, held_days: None })
    };
    let own: Keys = world.get("/backups/key").await.unwrap();
    for (path, body, code) in [
        ("/loans/Ann", wish(&[key], 1 << 30), "value"),
        ("/loans/ann", wish(&[], 1 << 30), "value"),
        ("/loans/ann", wish(&["ab"], 1 << 30), "value"),
        ("/loans/ann", wish(&[key], 1), "value"),
        ("/loans/ann", wish(&[own.guest.as_str()], 1 << 30), "value"),
        ("/loans/ann", b"{}".to_vec(), "value"),
    ] {
        let refused: Result<Lending, ClientError> = send(&world, Method::PUT, path, body).await;
        let Err(ClientError::Refused(failure)) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(failure.code, code, "{failure:?}");
    }
    for (method, path, body) in [
        (Method::POST, "/loans/ann/end", Vec::new()),
        (Method::POST, "/loans/ann/bring-back", json(&BringBackWish { days: 1 })),
        (Method::DELETE, "/loans/ann", Vec::new()),
    ] {
        let refused: Result<Lending, ClientError> = send(&world, method, path, body).await;
        assert!(matches!(&refused, Err(ClientError::Refused(failure)) if failure.code == "no_loan"), "{refused:?}");
    }
    let lending: Lending = world.get("/loans").await.unwrap();
    assert!(lending.loans.is_empty() && lending.listens.is_empty() && lending.shut.is_none());
    assert!(!world.settings.run.join("lending").exists(), "nothing runs where nothing is lent");
    world.stop().await;
}
