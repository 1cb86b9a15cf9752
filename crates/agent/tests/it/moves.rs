//! Moves of applications between two machines: everything that clients were promised is kept, and it serves at one place at most.

mod crash;
mod pair;

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::access::MadeKey;
use openmesh_agent::views::lending::Lending;
use openmesh_agent::views::moves::{ArrivalWish, DepartingState, Move, MoveOutcome, Moves};
use openmesh_agent::views::{Application, ApplicationState, AuditRecord, Event, Node};
use openmesh_backup::{Identity, NodeKey};
use reqwest::Method;

use crate::access::{refusal, value};
use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port};
use pair::{Clients, Pair, holds, key, moves_by, named, port, standing, undo, until, web};

/// Size of the large file, bytes.
const BALLAST: &str = "67108864\n";

/// The history of a machine.
async fn events(world: &World) -> Vec<Event> {
    let request = world.client.request(Method::GET, "/events?from=0");
    let mut events = pin!(world.client.lines::<Event>(request).await.unwrap());
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event.unwrap());
    }
    all
}

fn departing(moves: &Moves) -> Option<DepartingState> {
    moves.moves.first().and_then(|one| one.departing)
}

/// Waits until whoever opens a port of this host is told so.
async fn page_says(port: u16, part: &str) {
    let begun = Instant::now();
    loop {
        let page = answer("GET", port, "/").await.unwrap_or_default();
        if page.contains(part) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no `{part}`: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The stable word of a refusal, and its words.
fn refused(asked: Result<Move, ClientError>) -> (String, String) {
    match asked {
        Err(ClientError::Refused(failure)) => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

/// Waits until the other machine has nothing of a move any more.
async fn let_go(pair: &Pair) {
    until(&pair.there, "it has let go", |all| all.moves.is_empty()).await;
    // The lender wipes what was stored, and says so.
    let begun = Instant::now();
    loop {
        let lending: Lending = pair.there.get("/loans").await.unwrap();
        if lending.loans.iter().all(|loan| !loan.name.starts_with("move-")) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{lending:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_application_moves_while_clients_write_and_comes_back_with_everything() {
    let Some(pair) = Pair::new().await else { return };
    let here = pair.deploy("").await;
    assert_eq!(answer("POST", here, "/fill/64").await.as_deref(), Some("filled\n"));
    let clients = Clients::start(here, &pair.there);
    clients.served(true).await;
    let begun = pair.moves_by(&pair.key.key).await.unwrap();
    assert_eq!((begun.other.as_str(), begun.departing, begun.can_undo), ("bee", Some(DepartingState::Tries), true));
    // Whoever asks twice has one move.
    assert_eq!(pair.moves_by(&pair.key.key).await.unwrap().id, begun.id);
    let is_there = |all: &Moves| departing(all) == Some(DepartingState::Gone) && !all.moves[0].is_down;
    let gone = until(&pair.here, "it has moved", is_there).await;
    let (one, shown) = (&gone.moves[0], serde_json::to_string(&gone).unwrap());
    assert!(one.undo_left_ms.is_some_and(|left| left > 3_000_000) && one.can_undo, "{one:?}");
    assert!(!shown.contains(&pair.key.key), "no answer has the key");
    assert!(!holds(&pair.here.settings.state.join("moves"), pair.key.key.as_bytes()), "no file has it in the open");
    clients.served(false).await;
    assert_eq!(clients.turns(), ["here", "there"]);
    // Clients were let in here until the other machine had tried a copy.
    let history = events(&pair.there).await;
    let tried = history.iter().find(|event| event.text.contains("a first copy of web from ant is good")).unwrap();
    let told = events(&pair.here).await;
    let stops = told.iter().find(|event| event.text.contains("bee has tried a first copy of web")).unwrap();
    assert!(tried.at <= stops.at, "{tried:?} {stops:?}");
    let there = port(&pair.there.application("web").await).unwrap();
    assert_eq!(answer("GET", there, "/size").await.as_deref(), Some(BALLAST));
    page_says(here, "It is on bee now").await;
    assert_eq!(pair.here.application("web").await.state, ApplicationState::Stopped);
    let (_, _, secrets) = standing(&pair.there).await;
    assert_eq!(secrets, ["token"], "its secret has come with it");
    // It runs nowhere else by any other way, and goes from nowhere by accident.
    let again =
        pair.here.send(Method::POST, "/applications", named(&pair.here, "ant", "", &web(&pair.image, ""))).await;
    assert!(matches!(&again, Err(ClientError::Refused(failure)) if failure.code == "moving"), "{again:?}");
    let removed = pair.there.send(Method::DELETE, "/applications/web?data=keep", "").await;
    assert!(matches!(&removed, Err(ClientError::Refused(failure)) if failure.code == "moving"), "{removed:?}");

    undo(&pair.here).await.unwrap();
    let ended = until(&pair.here, "it has come back", |all| all.moves.is_empty()).await;
    assert_eq!(ended.ended[0].outcome, MoveOutcome::Returned, "{ended:?}");
    clients.served(true).await;
    assert_eq!(clients.turns(), ["here", "there", "here"]);
    clients.check(here).await;
    assert_eq!(answer("GET", here, "/size").await.as_deref(), Some(BALLAST));
    let_go(&pair).await;
    assert_eq!(standing(&pair.there).await.2, Vec::<String>::new(), "the secret has gone with it");
    assert!(!pair.here.settings.state.join("moves/leaving/web.json").exists(), "its keys are forgotten");
    let owner = pair.site.sign_in(1).await.token;
    let path = "/access/audit?path=/v1/xnode/arrivals";
    let audit: Vec<AuditRecord> = value(pair.site.request(Method::GET, path, Some(&owner))).await;
    let is_order = |record: &&AuditRecord| record.path.as_ref().is_some_and(|path| path.ends_with("/orders"));
    let orders = audit.iter().filter(is_order).count();
    assert!((4..20).contains(&orders), "an order is in the log, and not each look: {orders}");
    drop(clients);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_has_come_stays_where_the_machine_that_was_left_is_away_for_days() {
    let Some(mut pair) = Pair::new().await else { return };
    let here = pair.deploy("").await;
    let clients = Clients::start(here, &pair.there);
    clients.served(true).await;
    let begun = pair.moves_by(&pair.key.key).await.unwrap();
    until(&pair.here, "it has moved", |all| departing(all) == Some(DepartingState::Gone)).await;
    clients.served(false).await;
    // The machine that was left is off, and this one has run for three days without a word of it.
    pair.here.stop().await;
    pair.there.stop().await;
    let mark = pair.there.settings.state.join(format!("moves/arriving/{}.json", begun.id));
    let text = std::fs::read_to_string(&mark).unwrap();
    let silent = text.replace("\"silent_ms\":0", "\"silent_ms\":259200000");
    assert_ne!(text, silent);
    std::fs::write(&mark, silent).unwrap();
    pair.there.start().await;
    let kept = until(&pair.there, "it is kept", |all| all.moves.is_empty()).await;
    assert_eq!((kept.ended[0].outcome, kept.ended[0].leaves), (MoveOutcome::Moved, false), "{kept:?}");
    let_go(&pair).await;
    clients.served(false).await;
    // It comes back within its hour by its own clock, and hears that nothing is given back any more.
    pair.here.start().await;
    until(&pair.here, "it is the other machine's", |all| departing(all) == Some(DepartingState::Over)).await;
    page_says(here, "It is on bee now").await;
    let there = port(&pair.there.application("web").await).unwrap();
    clients.check(there).await;
    assert_eq!(clients.turns(), ["here", "there"]);
    drop(clients);
    let removed = pair.there.send(Method::DELETE, "/applications/web?data=wipe", "").await;
    assert!(removed.is_ok(), "its people may remove it: {removed:?}");
    pair.stop().await;
}

/// Gives an application of the other machine the domain of the one that comes, once that has its place there.
async fn claim(pair: &Pair) {
    let begun = Instant::now();
    loop {
        let node: Node = pair.there.get("").await.unwrap();
        if node.current == node.wanted && pair.there.get::<Application>("/applications/web").await.is_ok() {
            let request = pair.there.client.request(Method::GET, &format!("/generations/{}", node.wanted));
            let text = pair.there.client.text(request).await.unwrap().replace("other.lan", "shop.lan");
            // The move has changed the document meanwhile where this is refused.
            if pair.there.send(Method::POST, "/applications?by=mia", text).await.is_ok() {
                return;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "it got no place there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_machine_that_lets_nobody_in_behind_the_gate_is_told_at_both() {
    let Some(pair) = Pair::new().await else { return };
    let at = |domain: &str| format!("    domains: {{{domain}: {{port: http}}}}\n");
    let moves = web(&pair.image, "").replace("    health:", &format!("{}    health:", at("shop.lan")));
    pair.here.deploy(named(&pair.here, "ant", "", &moves)).await;
    let here = port(&pair.here.application("web").await).unwrap();
    assert_eq!(answer("POST", here, "/fill/64").await.as_deref(), Some("filled\n"));
    assert_eq!(answer("POST", here, "/first").await.as_deref(), Some("ok first\n"));
    let other = format!(
        "applications:\n  other:\n    image: \"{}\"\n    wish: stopped\n    ports: {{http: {{port: 8080, protocol: http}}}}\n{}",
        pair.there.image(&server("one")),
        at("other.lan")
    );
    pair.there.deploy(named(&pair.there, "bee", "", &other)).await;
    pair.moves_by(&pair.key.key).await.unwrap();
    claim(&pair).await;
    // Its gate passes without its domains, and then nobody can be let in.
    let says = |one: &Move| one.cause.as_ref().is_some_and(|cause| cause.contains("is also a domain of"));
    let is_told = |all: &Moves| all.moves.iter().any(|one| one.is_down && one.waits_since.is_some() && says(one));
    let told = until(&pair.here, "it is told where it left", is_told).await;
    assert_eq!(departing(&told), Some(DepartingState::Gone), "{told:?}");
    assert!(told.moves[0].can_undo, "{told:?}");
    page_says(here, "It is about to serve at bee").await;
    until(&pair.there, "it is told where it came", is_told).await;
    // The domain is free again.
    pair.there.send(Method::DELETE, "/applications/other?data=keep", "").await.unwrap();
    let is_there = |all: &Moves| departing(all) == Some(DepartingState::Gone) && !all.moves[0].is_down;
    until(&pair.here, "it serves there", is_there).await;
    page_says(here, "It is on bee now").await;
    let there = port(&pair.there.application("web").await).unwrap();
    assert_eq!(answer("GET", there, "/").await.as_deref(), Some("first\n"));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_that_fails_at_home_is_told_and_ends_with_a_persons_word() {
    let Some(pair) = Pair::new().await else { return };
    let here = pair.deploy("").await;
    // Its own check wants data.
    assert_eq!(answer("POST", here, "/first").await.as_deref(), Some("ok first\n"));
    pair.moves_by(&pair.key.key).await.unwrap();
    let is_there = |all: &Moves| departing(all) == Some(DepartingState::Gone) && !all.moves[0].is_down;
    until(&pair.here, "it has moved", is_there).await;
    let there = port(&pair.there.application("web").await).unwrap();
    // What it comes back with lets it end at its start.
    assert_eq!(answer("POST", there, "/poison").await.as_deref(), Some("poisoned\n"));
    undo(&pair.here).await.unwrap();
    let fails =
        |one: &Move| one.is_down && one.cause.as_ref().is_some_and(|cause| cause.contains("its start here has failed"));
    let waits = until(&pair.here, "its start fails", |all| all.moves.iter().any(fails)).await;
    let one = &waits.moves[0];
    assert_eq!(one.departing, Some(DepartingState::Returns));
    assert!(one.waits_since.is_some(), "nobody serves it, and people are told: {one:?}");
    // A person's word counts: it is not started again, and nothing is left to do.
    let stopped = format!("{}    wish: stopped\n", web(&pair.image, ""));
    pair.here.deploy(named(&pair.here, "ant", "", &stopped)).await;
    let ended = until(&pair.here, "its move has ended", |all| all.moves.is_empty()).await;
    assert_eq!(ended.ended[0].outcome, MoveOutcome::Returned, "{ended:?}");
    assert_eq!(pair.here.application("web").await.state, ApplicationState::Stopped);
    let numbers = standing(&pair.here).await.0;
    assert!(numbers.len() < 16, "a start that fails makes few generations: {numbers:?}");
    let_go(&pair).await;
    pair.stop().await;
}

/// A move that has failed has changed nothing anywhere.
async fn unchanged(pair: &Pair, what: &str, part: &str) {
    let before = (standing(&pair.here).await, standing(&pair.there).await);
    pair.moves_by(&pair.key.key).await.unwrap();
    let ended = until(&pair.here, what, |all| all.moves.is_empty()).await;
    let one = &ended.ended[0];
    assert_eq!(one.outcome, MoveOutcome::Returned, "{what}: {one:?}");
    assert!(one.cause.as_ref().is_some_and(|cause| cause.contains(part)), "{what}: {one:?}");
    let_go(pair).await;
    let after = (standing(&pair.here).await, standing(&pair.there).await);
    assert_eq!(before, after, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_machine_that_cannot_take_it_refuses_and_nothing_changes() {
    let Some(pair) = Pair::new().await else { return };
    let taken = free_port();
    let here = pair.deploy(&format!("port: {taken}, ")).await;
    let clients = Clients::start(here, &pair.there);
    clients.served(true).await;
    // Nobody is let in by a wrong key, and none is a key of too small a role.
    let (code, words) = refused(pair.moves_by("omk_wrong").await);
    assert!(code == "other_key" && words.contains("key of an operator"), "{code}: {words}");
    let owner = pair.site.sign_in(1).await.token;
    let wish = serde_json::json!({ "name": "looks", "role": "viewer" });
    let viewer = pair.site.request(Method::POST, "/access/keys", Some(&owner)).json(&wish);
    let viewer: MadeKey = value(viewer).await;
    let (code, words) = refused(pair.moves_by(&viewer.key).await);
    assert!(code == "other_key" && words.contains("is a viewer there"), "{code}: {words}");
    // Nobody is there.
    let nobody = format!("{{\"to\": \"http://127.0.0.1:{}\", \"key\": \"k\"}}", free_port());
    let away = crate::backups::send(&pair.here, Method::POST, "/applications/web/move", nobody).await;
    assert_eq!(refused(away).0, "other_away");
    // It asks for more room than there is: no loan is given.
    let recipient = Identity::generate().unwrap().recipient().to_string();
    let wish = ArrivalWish {
        application: "large".into(),
        node: "ant".into(),
        guest: NodeKey::generate().unwrap().public().to_string(),
        recipient,
        size_bytes: 1 << 60,
        image: None,
    };
    let path = format!("/arrivals/{}", "0".repeat(32));
    let asks = pair.site.request(Method::PUT, &path, Some(&pair.key.key)).json(&wish);
    assert_eq!(refusal(asks).await, (409, "move_too_much".to_string()));
    let lending: Lending = pair.there.get("/loans").await.unwrap();
    assert!(lending.loans.is_empty(), "{lending:?}");
    // Its port is another application's.
    let other = format!(
        "applications:\n  other:\n    image: \"{}\"\n    wish: stopped\n    ports: {{http: {{port: 8080, publish: {{port: {taken}, address: 127.0.0.1}}}}}}\n",
        pair.there.image(&server("one"))
    );
    pair.there.deploy(named(&pair.there, "bee", "", &other)).await;
    unchanged(&pair, "a port is taken", &format!("claims port {taken}")).await;
    // Its name is. One without a port: what answers at this one is the application that does not move.
    let unpublished = other.replace(&format!(", publish: {{port: {taken}, address: 127.0.0.1}}"), "");
    let web = unpublished.replace("  other:", "  web:");
    pair.there.deploy(named(&pair.there, "bee", "", &web)).await;
    let (code, words) = refused(pair.moves_by(&pair.key.key).await);
    assert!(code == "other_refused" && words.contains("`web` is on that machine already"), "{code}: {words}");
    // There is no room: the lender refuses a copy, or the plan the application.
    for (reserve, part) in [("disk", "the disk"), ("memory", "memory is short of")] {
        let full = named(&pair.there, "bee", &format!("reserve: {{{reserve}: 900TiB}}, "), "applications: {}\n");
        pair.there.deploy(full).await;
        unchanged(&pair, "there is no room", part).await;
    }
    // Data of one of its name are kept there: they would go with it where it does not stay.
    let kept = web + "    volumes: {data: {path: /data, size: 256MiB}}\n";
    pair.there.deploy(named(&pair.there, "bee", "", &kept)).await;
    pair.there.deploy(named(&pair.there, "bee", "", "applications: {}\n")).await;
    let (code, words) = refused(pair.moves_by(&pair.key.key).await);
    assert!(code == "other_refused" && words.contains("are kept at that machine"), "{code}: {words}");
    assert_eq!(clients.turns(), ["here"], "it has served without a pause");
    clients.check(here).await;
    drop(clients);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_move_waits_for_another_key_and_can_be_cancelled() {
    let Some(pair) = Pair::new().await else { return };
    let here = pair.deploy("").await;
    let clients = Clients::start(here, &pair.there);
    clients.served(true).await;
    // Cancelled before it has stopped: it never stops.
    pair.moves_by(&pair.key.key).await.unwrap();
    undo(&pair.here).await.unwrap();
    let ended = until(&pair.here, "it is cancelled", |all| all.moves.is_empty()).await;
    assert_eq!(ended.ended[0].cause.as_deref(), Some("it was undone"));
    let_go(&pair).await;
    assert_eq!(clients.turns(), ["here"]);
    // A key that is revoked on the way: the move waits, and says for what.
    pair.moves_by(&pair.key.key).await.unwrap();
    let owner = pair.site.sign_in(1).await.token;
    let path = format!("/access/keys/{}", pair.key.entry.id);
    let revoked = pair.site.request(Method::DELETE, &path, Some(&owner)).send().await.unwrap();
    assert!(revoked.status().is_success());
    let is_shut_out = |one: &Move| one.cause.as_ref().is_some_and(|cause| cause.contains("bee cannot be asked"));
    let waits = until(&pair.here, "it waits", |all| all.moves.iter().any(is_shut_out)).await;
    assert!(waits.moves[0].waits_since.is_some(), "{waits:?}");
    let other = key(&pair.site, "another").await;
    let again = moves_by(&pair.here, &pair.site, &other.key).await.unwrap();
    assert_eq!(again.id, waits.moves[0].id, "it is the same move");
    until(&pair.here, "it has moved", |all| departing(all) == Some(DepartingState::Gone)).await;
    clients.served(false).await;
    assert_eq!(clients.turns(), ["here", "there"]);
    // The other machine keeps it where its people say so, whatever becomes of this one.
    let kept = pair.there.client.request(Method::DELETE, "/applications/web/move?by=mia");
    pair.there.client.text(kept).await.unwrap();
    let last = until(&pair.there, "it is kept", |all| all.moves.is_empty()).await;
    assert_eq!((last.ended[0].outcome, last.ended[0].leaves), (MoveOutcome::Moved, false), "{last:?}");
    // The machine that is left hears of it in its hour: nothing is given back any more, and nothing is waited for.
    let over = until(&pair.here, "it is the other machine's", |all| departing(all) == Some(DepartingState::Over)).await;
    assert!(over.moves[0].undo_left_ms.is_none() && !over.moves[0].can_undo, "{over:?}");
    let (code, words) = refused(undo(&pair.here).await);
    assert!(code == "move_stays" && words.contains("move it back from bee"), "{code}: {words}");
    clients.served(false).await;
    let there = port(&pair.there.application("web").await).unwrap();
    clients.check(there).await;
    drop(clients);
    pair.stop().await;
}
