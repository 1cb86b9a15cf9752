//! An application of another publisher's catalogue on a real agent: ordered, backed up, changed, and left alone by its publisher.

use std::path::Path;

use openmesh_agent::catalogue_index::{INDEX_FILE, Index, seal};
use openmesh_agent::catalogue_publish::{Wish, entries, next};
use openmesh_agent::client::ClientError;
use openmesh_agent::views::catalogues::{Catalogue, State};
use openmesh_agent::views::templates::{BackupWish, OrderBody, Preflight, Sheet, Summary};
use openmesh_agent::views::{ApplicationState, Deployment, Failure, Node, Secret, Upgrades};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::Content;
use openmesh_primitives::{Timestamp, ValidatorKey};
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, answer};

/// Puts a catalogue with one version of a template into a folder. The second version takes the place of the first one, and has a secret more.
pub fn publish(folder: &Path, key: &ValidatorKey, version: u32, image: &str) {
    let (upgrades, option, variable) = match version {
        1 => ("", "", ""),
        _ => ("  upgrades: [1]\n", "  pin: {kind: secret, generate: {length: 16}}\n", ", PIN: \"${pin}\""),
    };
    let text = format!(
        "name: shop\nversion: {version}\ncard:\n  title: Shop\n  category: web\n  summary: A shop.\n  description: A shop with a till.\n  \
         homepage: https://shop.example/\n  licence: MIT\n  needs: {{memory: 64 MiB, disk: 1 GiB, image: 100 MiB}}\n  \
         data: {{goods: {{holds: The goods.}}}}\n{upgrades}options:\n  port: {{kind: port, port: http, default: \"127.0.0.1:auto\"}}\n  \
         memory: {{kind: size, default: 128 MiB}}\n  token: {{kind: secret, generate: {{length: 32}}}}\n{option}backup: {{schedule: \"15 3 * * *\"}}\n\
         application:\n  image: \"{image}\"\n  user: 1000:1000\n  variables: {{TOKEN: \"${{token}}\"{variable}}}\n  volumes: {{goods: {{path: /data, size: 16 MiB}}}}\n  \
         ports: {{http: {{port: 8080}}}}\n  health: {{tcp: {{port: http}}}}\n  limits: {{memory: \"${{memory}}\"}}\n  \
         switch: {{gate: 60s, probation: 0ms, drain: 1s}}\n"
    );
    std::fs::create_dir_all(folder).unwrap();
    let file = format!("shop@{version}.yaml");
    std::fs::write(folder.join(&file), &text).unwrap();
    let files = [(file, text.into_bytes())].into();
    let wish = Wish { catalogue: "wares".parse().unwrap(), publisher: "Acme Ltd.".into(), days: 30 };
    let index = next(&wish, entries(&files).unwrap(), None, Timestamp::now()).unwrap();
    let index = Index { sequence: version.into(), ..index };
    std::fs::write(folder.join(INDEX_FILE), seal(&index, key).unwrap()).unwrap();
}

pub fn order(name: &str, backup: Option<BackupWish>) -> OrderBody {
    OrderBody { name: name.into(), catalogue: Some("acme".into()), backup, ..OrderBody::default() }
}

async fn preflight(world: &World, order: &OrderBody) -> Result<Preflight, ClientError> {
    world.client.ask(world.client.request(Method::POST, "/templates/shop/preflight").json(order)).await
}

/// The document that is wanted.
async fn wanted(world: &World) -> Document {
    let number = world.get::<Node>("").await.unwrap().wanted;
    let request = world.client.request(Method::GET, &format!("/generations/{number}"));
    Document::parse(&world.client.text(request).await.unwrap()).unwrap()
}

/// Gives the application another limit of memory, and waits until it has it.
async fn enlarge(world: &World, document: Document, memory: &str) -> Deployment {
    let mut document = document;
    let application = document.applications.get_mut(&"till".parse().unwrap()).unwrap();
    let using = application.template.as_mut().unwrap();
    using.answers.insert("memory".parse().unwrap(), Content::Text(memory.into()));
    let taken = world.send(Method::POST, "/applications?by=alice", document.to_yaml()).await.unwrap();
    world.follow(&taken).await;
    assert_eq!(world.application("till").await.state, ApplicationState::Running);
    taken
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Failure {
    match answer {
        Err(ClientError::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_goes_on_and_is_changed_when_its_catalogue_is_gone() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let place = tempfile::tempdir().unwrap();
    let (folder, key) = (place.path().join("catalogue"), ValidatorKey::from_seed([7; 32]));
    publish(&folder, &key, 1, &world.image(&server("one")));
    let named = format!("catalogues: {{acme: {{address: {}, key: {}}}}}", folder.display(), key.public());
    let backups = format!("backups: {{disk: {{kind: folder, address: {}}}}}", place.path().join("backups").display());
    let document = |machine: &str| {
        world.document("applications: {}\n").replacen("machine: {", &format!("machine: {{{machine}, "), 1)
    };
    world.deploy(document(&named)).await;
    let fetched: Catalogue =
        world.client.ask(world.client.request(Method::POST, "/catalogues/acme/refresh")).await.unwrap();
    assert_eq!((fetched.state, fetched.publisher.as_deref()), (State::Current, Some("Acme Ltd.")));
    // In the store with its publisher, beside the built-in ones.
    let all: Vec<Summary> = world.get("/templates?search=shop+acme").await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].catalogue.as_deref(), all[0].publisher.as_deref()), (Some("acme"), Some("Acme Ltd.")));
    let sheet: Sheet = world.get("/templates/shop?catalogue=acme").await.unwrap();
    assert_eq!(sheet.backup.unwrap().schedule, "15 3 * * *");
    assert_eq!(refused(world.get::<Sheet>("/templates/shop").await).code, "no_template");
    // Without a place for backups none are made, and that is said.
    let found = preflight(&world, &order("till", None)).await.unwrap();
    let made = found.backups.unwrap();
    assert!(made.to.is_none() && made.lacks.unwrap().contains("no place for backups"), "{:?}", made.places);
    assert_eq!(found.applications[0].publisher.as_deref(), Some("Acme Ltd."));
    let wish = BackupWish { on: true, to: None };
    assert_eq!(refused(preflight(&world, &order("till", Some(wish))).await).code, "order");
    world.deploy(document(&format!("{named}, {backups}"))).await;
    let off = preflight(&world, &order("till", Some(BackupWish::default()))).await.unwrap().backups.unwrap();
    assert_eq!((off.to, off.lacks.as_deref()), (None, Some("they are switched off")));
    // A plan of its document names the secret that it would make, and makes none.
    let part = preflight(&world, &order("till", Some(BackupWish::default()))).await.unwrap().document;
    let with = Document { applications: Document::parse(&part).unwrap().applications, ..wanted(&world).await };
    let plan =
        async |query: &str| world.send(Method::POST, &format!("/applications?plan=true{query}"), with.to_yaml()).await;
    assert_eq!(refused(plan("").await).code, "unresolved");
    let planned = plan("&make_secrets=true").await.unwrap().plan;
    assert!(planned.contains("the secret `till-token` is made: 32 letters and digits"), "{planned}");
    assert!(world.get::<Vec<Secret>>("/secrets").await.unwrap().is_empty());
    let request = world.client.request(Method::POST, "/templates/shop/deploy?by=alice").json(&order("till", None));
    let taken: Deployment = world.client.ask(request).await.unwrap();
    assert!(taken.plan.contains("till is of the template acme/shop 1 of Acme Ltd. (key "), "{}", taken.plan);
    world.follow(&taken).await;
    let backup = wanted(&world).await.applications[&"till".parse().unwrap()].backup.clone().unwrap();
    assert_eq!((backup.to.as_str(), backup.schedule.to_string().as_str()), ("disk", "15 3 * * *"));
    let port = world.application("till").await.ports["http"].clone().unwrap();
    let port: u16 = port.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    // The catalogue leaves its place: the copy is old, and says so.
    std::fs::remove_dir_all(&folder).unwrap();
    let request = world.client.request(Method::POST, "/catalogues/acme/refresh");
    assert_eq!(refused(world.client.ask::<Catalogue>(request).await).code, "catalogue_away");
    let views: Vec<Catalogue> = world.get("/catalogues").await.unwrap();
    assert!(views[0].state == State::Old && views[0].checked.is_some() && views[0].failure.is_some(), "{views:?}");
    enlarge(&world, wanted(&world).await, "144 MiB").await;
    // Then its name leaves the document, and the agent begins anew.
    let mut without = wanted(&world).await;
    without.machine.catalogues.clear();
    let taken = enlarge(&world, without, "160 MiB").await;
    assert!(taken.plan.contains("of Acme Ltd."), "{}", taken.plan);
    world.stop().await;
    world.start().await;
    enlarge(&world, wanted(&world).await, "176 MiB").await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    // Nothing new is made of it.
    assert_eq!(refused(preflight(&world, &order("other", None)).await).code, "no_catalogue");
    assert!(world.get::<Vec<Catalogue>>("/catalogues").await.unwrap().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_of_others_is_handed_no_secret_of_another_application() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let place = tempfile::tempdir().unwrap();
    let (folder, key) = (place.path().join("catalogue"), ValidatorKey::from_seed([7; 32]));
    let image = world.image(&server("one"));
    publish(&folder, &key, 1, &image);
    let request = world.client.request(Method::PUT, "/secrets/till-token").body("correct horse");
    world.client.ask::<u32>(request).await.unwrap();
    let named = format!("machine: {{catalogues: {{acme: {{address: {}, key: {}}}}}, ", folder.display(), key.public());
    let bank = format!(
        "applications:\n  bank:\n    image: \"{image}\"\n    variables: {{TOKEN: {{secret: till-token}}}}\n    limits: {{memory: 128MiB}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    switch: {{gate: 60s, probation: 0ms, drain: 1s}}\n"
    );
    world.deploy(world.document(&bank).replacen("machine: {", &named, 1)).await;
    let fetched: Result<Catalogue, ClientError> =
        world.client.ask(world.client.request(Method::POST, "/catalogues/acme/refresh")).await;
    fetched.unwrap();
    let found = preflight(&world, &order("till", None)).await.unwrap();
    let about: Vec<&str> = found.problems.iter().filter_map(|fault| fault.option.as_deref()).collect();
    assert!(about.contains(&"name") && found.problems[0].message.contains("bank"), "{:?}", found.problems);
    let request = world.client.request(Method::POST, "/templates/shop/deploy").json(&order("till", None));
    assert_eq!(refused(world.client.ask::<Deployment>(request).await).code, "order");
    // Nor one that a person has set for something else, and that nobody uses yet.
    let request = world.client.request(Method::PUT, "/secrets/shelf-token").body("battery staple");
    world.client.ask::<u32>(request).await.unwrap();
    let found = preflight(&world, &order("shelf", None)).await.unwrap();
    assert!(found.problems[0].message.contains("nobody has handed it over"), "{:?}", found.problems);
    let answers = [("token".to_string(), "secret:shelf-token".to_string())].into();
    let handed = OrderBody { answers, ..order("shelf", None) };
    assert!(preflight(&world, &handed).await.unwrap().problems.is_empty());
    // Under another name it gets a secret of its own.
    assert!(preflight(&world, &order("other", None)).await.unwrap().problems.is_empty());
    world.stop().await;
}

/// The newer version of a catalogue takes the place of the present one at a person's word, with answers and data, and the secret that it brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_brought_to_a_newer_version_of_its_template() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let place = tempfile::tempdir().unwrap();
    let (folder, key) = (place.path().join("catalogue"), ValidatorKey::from_seed([7; 32]));
    let named = format!("machine: {{catalogues: {{acme: {{address: {}, key: {}}}}}, ", folder.display(), key.public());
    let refresh = async || {
        let request = world.client.request(Method::POST, "/catalogues/acme/refresh");
        world.client.ask::<Catalogue>(request).await.unwrap()
    };
    publish(&folder, &key, 1, &world.image(&server("one")));
    world.deploy(world.document("applications: {}\n").replacen("machine: {", &named, 1)).await;
    assert_eq!(refresh().await.sequence, Some(1));
    let request = world.client.request(Method::POST, "/templates/shop/deploy?by=alice").json(&order("till", None));
    let taken: Deployment = world.client.ask(request).await.unwrap();
    world.follow(&taken).await;
    enlarge(&world, wanted(&world).await, "144 MiB").await;
    let port = world.application("till").await.ports["http"].clone().unwrap();
    let port: u16 = port.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    let offered = async || world.get::<Upgrades>("/applications/till/upgrade").await.unwrap();
    let upgrade = async |query: &str| {
        let path = format!("/applications/till/upgrade?by=alice{query}");
        world.client.ask::<Deployment>(world.client.request(Method::POST, &path)).await
    };
    let (template, version) = (Some("acme/shop".to_string()), Some("1".to_string()));
    assert_eq!(offered().await, Upgrades { template, version, versions: Vec::new() });
    assert_eq!(refused(upgrade("").await).code, "order");
    publish(&folder, &key, 2, &world.image(&server("two")));
    assert_eq!(refresh().await.sequence, Some(2));
    assert_eq!(offered().await.versions, ["2"]);
    assert_eq!(refused(upgrade("&version=3").await).code, "order");
    // The plan says what it would do, and does nothing.
    let plan = upgrade("&plan=true").await.unwrap().plan;
    for words in ["till goes from the template acme/shop 1 to acme/shop 2", "the secret `till-pin` is made"] {
        assert!(plan.contains(words), "{plan}");
    }
    let secrets: Vec<Secret> = world.get("/secrets").await.unwrap();
    assert_eq!(secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["till-token"]);
    let taken = upgrade("&version=2").await.unwrap();
    world.follow(&taken).await;
    assert_eq!(world.application("till").await.state, ApplicationState::Running);
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("two\nkept\n"), "at the same port, with its data");
    let using = wanted(&world).await.applications[&"till".parse().unwrap()].template.clone().unwrap();
    assert_eq!(using.words(), "acme/shop 2");
    assert_eq!(using.answers[&"memory".parse().unwrap()], Content::Text("144 MiB".into()));
    assert!(offered().await.versions.is_empty());
    assert_eq!(refused(world.get::<Upgrades>("/applications/nothing/upgrade").await).code, "no_application");
    world.stop().await;
}
