//! Resolution: choices, hashes, allocations, differences.

use openmesh_blueprint::Unresolved;
use openmesh_blueprint::diff;
use openmesh_blueprint::generation::{Generation, Resource, mac};
use openmesh_blueprint::resolve;
use openmesh_primitives::{canonical, sha256};

use crate::golden::golden;
use crate::world::{allocations, catalogue, cause, document, generation, name};

const SHOP: &str = include_str!("shop.yaml");

#[test]
fn the_portable_hash_is_the_same_on_every_machine() {
    let shop = document(SHOP);
    let here = resolve(&shop, &catalogue(&shop), &allocations(), None, cause(0)).unwrap();
    let mut other = allocations();
    other.node = name("cellar");
    other.first_id = 5_000_000;
    other.secrets.insert(name("db-password"), 9);
    other.taken.insert((20_000, openmesh_blueprint::document::Protocol::Tcp), "somebody".to_string());
    let there = resolve(&shop, &catalogue(&shop), &other, None, cause(99)).unwrap();
    assert_eq!(here.portable.hash(), there.portable.hash());
    assert_ne!(here.placement, there.placement);
    let text: String = diff(&here, &there).iter().map(|change| format!("{change}\n")).collect();
    golden("machines.diff.txt", &text);
    // The hash is that of the canonical bytes: a change of either is a change of the format.
    let bytes = canonical::encode(&here.portable);
    assert_eq!(here.portable.hash(), sha256(&[b"openmesh portable 1", &bytes]));
    golden("portable.hash.txt", &format!("{}\n{}\n", here.portable.hash(), bytes.len()));
    assert_eq!(canonical::decode::<Generation>(&canonical::encode(&here)).unwrap(), here);
}

#[test]
fn differences_of_two_generations() {
    let first = generation(SHOP, None, 0).unwrap();
    assert!(diff(&first, &first).is_empty());
    let changed = SHOP
        .replace("MODE: quiet", "MODE: loud, EXTRA: \"1\"")
        .replace("postgres:16", "postgres:17")
        .replace("    health: { command: [pg_isready] }\n", "")
        .replace("instances: 2", "instances: 3");
    let second = generation(&changed, Some(&first), 60).unwrap();
    let text: String = diff(&first, &second).iter().map(|change| format!("{change}\n")).collect();
    golden("changes.diff.txt", &text);
}

fn app(name: &str) -> String {
    format!("  {name}: {{image: {name}, ports: {{p: {{port: 80, publish: {{}}}}}}}}\n")
}

fn with(names: &[&str]) -> String {
    format!("version: 1\napplications:\n{}", names.iter().map(|name| app(name)).collect::<String>())
}

#[test]
fn what_an_application_has_stays_and_what_is_freed_waits_an_hour() {
    let placed = |generation: &Generation, app: &str| generation.placement.applications[&name(app)].clone();
    let first = generation(&with(&["b", "c"]), None, 0).unwrap();
    // A newcomer that comes first in the alphabet moves nobody.
    let second = generation(&with(&["a", "b", "c"]), Some(&first), 10).unwrap();
    for app in ["b", "c"] {
        assert_eq!(placed(&first, app), placed(&second, app));
    }
    // One goes, and another comes within the hour: it gets nothing of what was freed.
    let third = generation(&with(&["a", "c", "d"]), Some(&second), 20).unwrap();
    let (b, d) = (placed(&second, "b"), placed(&third, "d"));
    assert!(b.first_id != d.first_id && b.addresses != d.addresses && b.ports != d.ports);
    assert!(third.placement.freed.contains_key(&Resource::Ids(b.first_id)));
    // It comes back within the hour: it gets its own.
    let back = generation(&with(&["a", "b", "c", "d"]), Some(&third), 30).unwrap();
    assert_eq!((placed(&back, "b").addresses, placed(&back, "b").ports), (b.addresses.clone(), b.ports.clone()));
    // After the hour somebody else gets it; a clock that went back changes nothing.
    let early = generation(&with(&["a", "c", "d", "e"]), Some(&third), -86_400).unwrap();
    assert_ne!(placed(&early, "e").addresses, b.addresses);
    let late = generation(&with(&["a", "c", "d", "e"]), Some(&third), 20 + 3_600).unwrap();
    assert_eq!(placed(&late, "e").addresses, b.addresses);
    assert!(late.placement.freed.is_empty());
}

#[test]
fn every_reason_is_said_at_once() {
    let text = "version: 1\nmachine: {subnet: 10.0.0.0/29, ports: {first: 30000, last: 30000}}\napplications:\n  a: {image: a, instances: 4, ports: {p: {port: 1, publish: {}}}}\n  b: {image: b, instances: 2, ports: {p: {port: 1, publish: {}}}}\n  c: {image: nowhere, variables: {A: {secret: unknown}}}\n  d: {recipe: {command: [x]}}\n  e: {template: {name: redis, version: 7}}\n  f: {image: f, variables: {A: {secret: unknown}}}\n";
    let document = document(text);
    let mut catalogue = catalogue(&document);
    catalogue.images.retain(|image, _| !image.to_string().contains("nowhere"));
    let mut allocations = allocations();
    allocations.id_ranges = 2;
    let reasons = resolve(&document, &catalogue, &allocations, None, cause(0)).unwrap_err();
    golden("unresolved.txt", &reasons.iter().map(|reason| format!("{reason}\n")).collect::<String>());
    let short =
        |reason: &&Unresolved| matches!(reason, Unresolved::NoFreeIds { .. } | Unresolved::NoFreeAddress { .. });
    assert!(reasons.iter().filter(short).count() >= 2);
}

#[test]
fn a_catalogue_that_gives_another_digest_is_not_believed() {
    let wanted = format!("a@sha256:{}", "ab".repeat(32));
    let document = document(&format!("version: 1\napplications: {{a: {{image: \"{wanted}\"}}}}"));
    let mut catalogue = catalogue(&document);
    assert!(resolve(&document, &catalogue, &allocations(), None, cause(0)).is_ok());
    catalogue.images.values_mut().for_each(|facts| facts.digest = sha256(&[b"other"]));
    let reasons = resolve(&document, &catalogue, &allocations(), None, cause(0)).unwrap_err();
    assert!(matches!(reasons[..], [Unresolved::NoSuchImage { .. }]));
}

#[test]
fn a_mac_address_follows_from_its_address() {
    assert_eq!(mac("10.89.0.7".parse().unwrap()), [0x02, 0x4f, 10, 89, 0, 7]);
}
