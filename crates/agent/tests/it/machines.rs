//! Machines that join an Xnode by one line: who owns them then, what is seen of them, and every line that is not good.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::access::{Invitation, InvitationState, Me, Member};
use openmesh_agent::views::machines::{JoinState, JoinView, JoinedMachine, MachineList, MachineState, MadeInvitation};
use openmesh_agent::views::{AuditRecord, Doors, Role};
use openmesh_agent::{DoorPorts, People};
use openmesh_primitives::sha256;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::{Site, address, refusal, value};
use crate::world::{PATIENCE, World, build_door, free_port};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// An agent with a face; `owner` is the number of its owner's wallet. None where the machine can hold no agent.
async fn machine(owner: Option<u8>) -> Option<(World, Site)> {
    let mut world = World::new()?;
    world.settings.face = Some(([127, 0, 0, 1], 0).into());
    world.settings.people = People { owner: owner.map(address), ..People::default() };
    world.start().await;
    let site = Site::of(&world);
    Some((world, site))
}

/// An invitation that the owner makes at a face, which a machine reaches by loopback.
async fn invite(site: &Site, token: &str) -> MadeInvitation {
    let wish = json!({ "at": format!("http://{}", site.host) });
    value(site.request(Method::POST, "/invitations", Some(token)).json(&wish)).await
}

/// Root's word on a machine: it joins by a line.
async fn join(world: &World, line: &str) -> Result<JoinView, ClientError> {
    world.client.ask(world.client.request(Method::POST, "/join").json(&json!({ "line": line }))).await
}

/// Stable word of a refused line.
async fn refused(world: &World, line: &str) -> String {
    match join(world, line).await {
        Err(ClientError::Refused(failure)) => failure.code,
        other => panic!("{other:?}"),
    }
}

/// Waits until the only machine of a list is so.
async fn until(site: &Site, token: &str, is_so: impl Fn(&JoinedMachine) -> bool) -> MachineList {
    let begun = Instant::now();
    loop {
        let list: MachineList = value(site.request(Method::GET, "/machines", Some(token))).await;
        if list.machines.first().is_some_and(&is_so) {
            return list;
        }
        assert!(begun.elapsed() < PATIENCE, "{list:#?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The same line with something else in it, and the right check.
fn changed(line: &str, change: impl FnOnce(&mut Value)) -> String {
    let (begin, rest) = line.split_once('.').unwrap();
    let body = rest.split_once('.').unwrap().0;
    let mut value: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(body.as_bytes()).unwrap()).unwrap();
    change(&mut value);
    let head = format!("{begin}.{}", BASE64URL_NOPAD.encode(value.to_string().as_bytes()));
    let check = sha256(&[head.as_bytes()]).to_string();
    format!("{head}.{}", &check[..8])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_by_one_line_and_is_its_owners() {
    let Some((mut host, at)) = machine(Some(1)).await else { return };
    let Some((mut attic, there)) = machine(None).await else { return };
    let owner = at.sign_in(1).await.token;
    let made = invite(&at, &owner).await;
    assert_eq!(made.command, format!("echo {} | sudo openmesh xnode join", made.line));
    assert_eq!((made.entry.owner, made.entry.state), (address(1), InvitationState::Open));
    let joined = join(&attic, &made.line).await.unwrap();
    assert_eq!((joined.state, joined.owner, joined.trouble), (JoinState::Joined, Some(address(1)), None));
    // The owner is let in there by their wallet, and the host lists the machine as it is.
    let token = there.sign_in(1).await.token;
    let me: Me = value(there.request(Method::GET, "/access/me", Some(&token))).await;
    assert_eq!(me.role, Role::Owner);
    let list = until(&at, &owner, |one| one.state == MachineState::Here).await;
    let one = &list.machines[0];
    let report = one.report.as_ref().unwrap();
    assert!(report.memory_bytes > 0 && report.processors > 0 && report.applications == 0, "{report:?}");
    assert_eq!((one.owner, report.version.as_str()), (address(1), env!("CARGO_PKG_VERSION")));
    assert!(one.clock_ms.unwrap().abs() < 60_000 && one.from.as_ref().unwrap().starts_with("127.0.0.1:"), "{one:?}");
    assert_eq!(list.own.memory_bytes, report.memory_bytes, "both are on this machine");
    // It joins nobody else, and is in the list of the one that it has joined also after both have started anew.
    let other = invite(&at, &owner).await;
    assert_eq!(refused(&attic, &other.line).await, "joined");
    host.stop().await;
    attic.stop().await;
    host.settings.face = Some(at.host.parse().unwrap());
    host.start().await;
    // What it said last outlives the host's agent, and is not taken for a word of now.
    let list: MachineList = host.get("/machines").await.unwrap();
    let kept = &list.machines[0];
    assert!(kept.heard.is_some() && kept.report.is_some() && kept.state == MachineState::Arrives, "{kept:?}");
    attic.start().await;
    let owner = at.sign_in(1).await.token;
    until(&at, &owner, |one| one.state == MachineState::Here).await;
    // Neither of the tokens is in a file of the host, or in its audit log.
    let text = std::fs::read_to_string(host.settings.access_folder().join("state.json")).unwrap();
    assert!(!text.contains("omi_") && !text.contains("omm_"));
    let sealed = std::fs::read_to_string(attic.settings.state.join("join.json")).unwrap();
    assert!(!sealed.contains("omi_") && !sealed.contains("omm_"), "{sealed}");
    let records: Vec<AuditRecord> =
        value(at.request(Method::GET, "/access/audit?path=/v1/xnode/machines", Some(&owner))).await;
    let who = records.iter().find_map(|record| record.who.clone()).unwrap();
    assert!(who.starts_with("machine "), "{records:?}");
    assert!(!format!("{records:?}").contains("omm_"));
    host.stop().await;
    attic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_that_is_not_good_has_its_own_word_and_changes_nothing() {
    let Some((mut host, at)) = machine(Some(1)).await else { return };
    let Some((mut attic, there)) = machine(None).await else { return };
    let Some((mut taken, _)) = machine(Some(2)).await else { return };
    let owner = at.sign_in(1).await.token;
    let made = invite(&at, &owner).await;
    // Somebody else's machine is not taken, and the line is still good.
    assert_eq!(refused(&taken, &made.line).await, "owned");
    assert_eq!(refused(&attic, "make me an owner").await, "invitation_line");
    assert_eq!(refused(&attic, &made.line[..made.line.len() - 3]).await, "invitation_line", "cut");
    let forged = changed(&made.line, |line| line["token"] = format!("omi_{}", "0".repeat(64)).into());
    assert_eq!(refused(&attic, &forged).await, "invitation_unknown", "forged");
    let away = changed(&made.line, |line| line["at"] = format!("http://127.0.0.1:{}", free_port()).into());
    assert_eq!(refused(&attic, &away).await, "host_away");
    let open = changed(&made.line, |line| line["at"] = "http://10.0.0.5:7780".into());
    assert_eq!(refused(&attic, &open).await, "value", "no token goes anywhere in the open");
    let thief = changed(&made.line, |line| line["owner"] = address(9).to_string().into());
    assert_eq!(refused(&attic, &thief).await, "host_refused", "the owner is the one who has made it");
    let members: Vec<Member> = attic.get("/access/members").await.unwrap();
    assert!(members.is_empty(), "{members:?}");
    // The line with another owner has used the invitation up for this machine alone: it gets its answer again by the right one.
    assert_eq!(join(&attic, &made.line).await.unwrap().owner, Some(address(1)));
    let more = machine(None).await;
    let Some((mut cellar, _)) = more else { return };
    assert_eq!(refused(&cellar, &made.line).await, "invitation_used", "replayed");
    let revoked = invite(&at, &owner).await;
    let path = format!("/invitations/{}", revoked.entry.id);
    let answer = at.request(Method::DELETE, &path, Some(&owner)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(refused(&cellar, &revoked.line).await, "invitation_revoked");
    // One whose hour has passed while the agent was off.
    let late = invite(&at, &owner).await;
    host.stop().await;
    let file = host.settings.access_folder().join("state.json");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"lasts_ms\":3600000"), "{text}");
    std::fs::write(&file, text.replace("\"lasts_ms\":3600000", "\"lasts_ms\":1")).unwrap();
    host.settings.face = Some(at.host.parse().unwrap());
    host.start().await;
    assert_eq!(refused(&cellar, &late.line).await, "invitation_expired");
    let owner = at.sign_in(1).await.token;
    let all: Vec<Invitation> = value(at.request(Method::GET, "/invitations", Some(&owner))).await;
    let states: Vec<InvitationState> = all.iter().map(|one| one.state).collect();
    assert_eq!(states, [InvitationState::Expired, InvitationState::Revoked, InvitationState::Used]);
    let view: JoinView = cellar.get("/join").await.unwrap();
    assert_eq!((view.state, view.id), (JoinState::Asks, None));
    // An API key brings no machine, and nobody below an owner does.
    at.let_in(&owner, 3, Role::Admin).await;
    let admin = at.sign_in(3).await.token;
    assert_eq!(refusal(at.request(Method::POST, "/invitations", Some(&admin)).json(&json!({}))).await.1, "role");
    let no_name = at.request(Method::POST, "/invitations", Some(&owner)).json(&json!({}));
    assert_eq!(refusal(no_name).await, (409, "no_name".into()));
    assert_eq!(refusal(there.request(Method::POST, "/join", Some(&there.sign_in(1).await.token))).await.1, "root");
    for world in [&mut host, &mut attic, &mut taken, &mut cellar] {
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_leaves_or_is_removed_and_stays_its_owners() {
    let Some((mut host, at)) = machine(Some(1)).await else { return };
    let Some((mut attic, there)) = machine(None).await else { return };
    let owner = at.sign_in(1).await.token;
    join(&attic, &invite(&at, &owner).await.line).await.unwrap();
    let list = until(&at, &owner, |one| one.state == MachineState::Here).await;
    let id = list.machines[0].id.clone();
    // Nobody reports or leaves in its name.
    let report = at.request(Method::POST, &format!("/machines/{id}/report"), Some(&owner));
    assert_eq!(refusal(report.json(&list.own)).await, (404, "machine_unknown".into()));
    let leave = at.request(Method::POST, &format!("/machines/{id}/leave"), None);
    assert_eq!(refusal(leave).await, (404, "machine_unknown".into()));
    let answer = at.request(Method::DELETE, &format!("/machines/{id}"), Some(&owner)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    // It hears that by its next report, and says so.
    let begun = Instant::now();
    loop {
        let view: JoinView = attic.get("/join").await.unwrap();
        if view.state == JoinState::Removed {
            assert!(view.trouble.is_some_and(|words| words.contains("removed")));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{view:?}");
        tokio::time::sleep(LOOK).await;
    }
    let token = there.sign_in(1).await.token;
    let me: Me = value(there.request(Method::GET, "/access/me", Some(&token))).await;
    assert_eq!(me.role, Role::Owner, "it stays its owner's");
    // It joins again by another line, and leaves by its owner's word.
    join(&attic, &invite(&at, &owner).await.line).await.unwrap();
    until(&at, &owner, |one| one.state == MachineState::Here).await;
    let left: JoinView = value(there.request(Method::DELETE, "/join", Some(&token))).await;
    assert_eq!((left.state, left.trouble), (JoinState::Alone, None));
    let list: MachineList = value(at.request(Method::GET, "/machines", Some(&owner))).await;
    assert!(list.machines.is_empty(), "{list:?}");
    assert_eq!(refusal(there.request(Method::DELETE, "/join", Some(&token))).await, (404, "not_joined".into()));
    // Where the host is away it leaves all the same, and says that nobody there knows it.
    join(&attic, &invite(&at, &owner).await.line).await.unwrap();
    host.stop().await;
    let left: JoinView = value(there.request(Method::DELETE, "/join", Some(&token))).await;
    assert!(left.state == JoinState::Alone && left.trouble.is_some_and(|words| words.contains("was not told")));
    attic.stop().await;
}

/// A host whose door serves `xnode.lan` by its own authority, and its port; none where the machine can hold no agent.
async fn house() -> Option<(World, u16)> {
    let mut host = World::new()?;
    build_door();
    let port = free_port();
    host.settings.face = Some(([127, 0, 0, 1], 0).into());
    host.settings.people = People { owner: Some(address(1)), hosts: vec!["xnode.lan".into()], chain: None };
    host.settings.door_ports = DoorPorts { http: free_port(), https: port };
    host.start().await;
    let begun = Instant::now();
    loop {
        let doors: Doors = host.get("/doors").await.unwrap();
        if doors.listeners.iter().any(|one| one.tls) && doors.certificates.iter().any(|one| one.name == "xnode.lan") {
            return Some((host, port));
        }
        assert!(begun.elapsed() < PATIENCE, "{doors:#?}");
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_dns_a_machine_finds_its_host_and_believes_its_authority_alone() {
    let Some((mut host, port)) = house().await else { return };
    let Some((mut attic, _)) = machine(None).await else { return };
    let wish = json!({ "addresses": ["127.0.0.1"], "owner": address(1) });
    let request = host.client.request(Method::POST, "/invitations").json(&wish);
    let made: MadeInvitation = host.client.ask(request).await.unwrap();
    assert_eq!((made.at, made.remark), (format!("https://xnode.lan:{port}"), None));
    // What answers is held against the authority that the line names, before anything is told to it.
    let stranger = changed(&made.line, |line| line["root"] = "00".repeat(32).into());
    assert_eq!(refused(&attic, &stranger).await, "host_stranger");
    // Without it nothing but authorities of the world is believed, and those know nobody by this name.
    let unknown = changed(&made.line, |line| drop(line.as_object_mut().unwrap().remove("root")));
    assert_eq!(refused(&attic, &unknown).await, "host_away");
    assert_eq!(join(&attic, &made.line).await.unwrap().state, JoinState::Joined);
    let begun = Instant::now();
    loop {
        let list: MachineList = host.get("/machines").await.unwrap();
        if list.machines.first().is_some_and(|one| one.state == MachineState::Here) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{list:#?}");
        tokio::time::sleep(LOOK).await;
    }
    host.stop().await;
    attic.stop().await;
}
