//! Certificates of public names through the whole of an agent: document, door, authority, and what a person sees.

use std::time::{Duration, Instant};

use openmesh_agent::client::ClientError;
use openmesh_agent::views::{CertificateMaker, Doors, HostCertificate, Secret};
use reqwest::Method;

use crate::authority::Pebble;
use crate::hook::{Hook, SECRET};
use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, build_door, free_port, plain};

const NAME: &str = "shop.example.org";
const PATTERN: &str = "*.example.org";

async fn until(what: &str, world: &World, name: &str, so: impl Fn(&HostCertificate) -> bool) -> Doors {
    let begun = Instant::now();
    loop {
        let doors: Doors = world.get("/doors").await.unwrap();
        if doors.certificates.iter().any(|one| one.name == name && so(one)) {
            return doors;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {doors:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A document that names an authority, and more about certificates.
fn ordering(world: &World, pebble: &Pebble, text: &str, more: &str) -> String {
    let root: String = pebble.root.lines().map(|line| format!("{line}\\n")).collect();
    let directory = &pebble.directory;
    let certificates = format!(
        "certificates: {{contact: ops@example.org, agree: true, directory: \"{directory}\", root: \"{root}\"{more}}}"
    );
    world.document(text).replace("machine: {", &format!("machine: {{{certificates}, "))
}

/// A web server with a domain.
fn at_domain(image: &str, port: u16, domain: &str) -> String {
    let text = plain(image, port).replace("{port: 8080, publish", "{port: 8080, protocol: http, publish");
    text.replace("    volumes:", &format!("    domains: {{\"{domain}\": {{port: http}}}}\n    volumes:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_gets_a_certificate_when_its_document_names_an_authority() {
    let Some(mut world) = World::new() else { return };
    let ports = world.settings.door_ports;
    let Some(pebble) = Pebble::start(ports.http, ports.https) else { return };
    build_door();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let text = at_domain(&image, port, NAME);
    world.deploy(world.document(&text)).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\n"));
    // Nobody has named an authority: none is asked, and that is said.
    let doors = until("a note", &world, NAME, |one| one.note.is_some()).await;
    let one = doors.certificates.iter().find(|one| one.name == NAME).unwrap();
    assert!(one.maker.is_none() && one.note.as_ref().unwrap().contains("machine.certificates"), "{one:?}");
    assert!(!pebble.log().contains("acct"), "{}", pebble.log());
    world.deploy(ordering(&world, &pebble, &text, "")).await;
    let doors = until("a certificate", &world, NAME, |one| one.maker == Some(CertificateMaker::Acme)).await;
    let one = doors.certificates.iter().find(|one| one.name == NAME).unwrap();
    assert!(one.until > one.renews_at && one.failure.is_none(), "{one:?}");
    // The door serves it, and no proof stays with it.
    let begun = Instant::now();
    let doors = loop {
        let doors: Doors = world.get("/doors").await.unwrap();
        if doors.hosts.iter().any(|host| host.name == NAME && host.is_secure) {
            break doors;
        }
        assert!(begun.elapsed() < PATIENCE, "{doors:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(doors.listeners.iter().any(|one| one.tls), "{doors:#?}");
    let kept = std::fs::read_to_string(world.settings.state.join("door/document.json")).unwrap();
    assert!(!kept.contains("challenges"), "{kept}");
    // A new agent makes the files of the door again, as after a start of the machine.
    world.stop().await;
    std::fs::remove_dir_all(world.settings.run.join("certificates")).unwrap();
    world.start().await;
    let files = std::fs::read_dir(world.settings.run.join("certificates")).unwrap().count();
    assert_eq!(files, 2);
    until("the same certificate", &world, NAME, |one| one.maker == Some(CertificateMaker::Acme)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_gets_a_certificate_by_a_hook_for_the_dns() {
    let Some(mut world) = World::new() else { return };
    let ports = world.settings.door_ports;
    let Some(pebble) = Pebble::start(ports.http, ports.https) else { return };
    build_door();
    world.start().await;
    let hook = Hook::start(pebble.management).await;
    let (image, port) = (world.image(&server("one")), free_port());
    let both = format!("\"{PATTERN}\": {{port: http}}, {NAME}");
    let text = at_domain(&image, port, NAME).replace(&format!("\"{NAME}\""), &both);
    let except = format!(", except: [{NAME}]");
    world.deploy(ordering(&world, &pebble, &text, &except)).await;
    let doors = until("a note", &world, PATTERN, |one| one.note.is_some()).await;
    let one = doors.certificates.iter().find(|one| one.name == PATTERN).unwrap();
    assert!(one.note.as_ref().unwrap().contains("machine.certificates.dns") && one.failure.is_none(), "{one:?}");
    let put = world.client.request(Method::PUT, "/secrets/dns").body(SECRET);
    world.client.ask::<u32>(put).await.unwrap();
    let (url, dns) = (&hook.url, pebble.dns);
    let more = format!(
        "{except}, dns: {{url: \"{url}\", secret: {{secret: dns}}, private: true, resolvers: [\"{dns}\"], wait: 60s}}"
    );
    world.deploy(ordering(&world, &pebble, &text, &more)).await;
    let doors = until("a certificate", &world, PATTERN, |one| one.maker == Some(CertificateMaker::Acme)).await;
    let one = doors.certificates.iter().find(|one| one.name == PATTERN).unwrap();
    assert!(one.until > one.renews_at && one.failure.is_none() && one.note.is_none(), "{one:?}");
    // It serves a name below it that has none of its own.
    let is_secure = |doors: &Doors| {
        let has = |name: &str| doors.hosts.iter().any(|host| host.name == name && host.is_secure);
        has(PATTERN) && has(NAME)
    };
    let begun = Instant::now();
    while !is_secure(&world.get("/doors").await.unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", world.get::<Doors>("/doors").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The proof goes once the certificate is kept.
    let begun = Instant::now();
    while hook.count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", hook.heard());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!hook.heard().is_empty());
    // The key of its messages stays as long as the document names it.
    let secrets: Vec<Secret> = world.get("/secrets").await.unwrap();
    assert!(secrets.iter().any(|secret| secret.used_by.contains_key("machine.certificates.dns.secret")), "{secrets:?}");
    let removed = world.client.text(world.client.request(Method::DELETE, "/secrets/dns")).await;
    assert!(matches!(removed, Err(ClientError::Refused(_))), "{removed:?}");
    world.stop().await;
}
