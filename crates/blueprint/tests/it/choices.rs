//! Choices of the resolver that meet: numbers, ports, addresses.

use openmesh_blueprint::document::{HostAddress, Protocol};
use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::resolve::{Allocations, LineChoices};
use openmesh_blueprint::{Unresolved, resolve, rollback};
use proptest::prelude::*;

use crate::world::{allocations, catalogue, cause, document, name};

fn next(text: &str, previous: Option<&Generation>, allocations: &Allocations) -> Result<Generation, Vec<Unresolved>> {
    let document = document(text);
    resolve(&document, &catalogue(&document), allocations, previous, cause(60))
}

fn port(generation: &Generation, application: &str) -> u16 {
    generation.placement.applications[&name(application)].ports[&name("p")].port
}

/// A number that was kept before a death is not given to another generation.
#[test]
fn numbers_are_not_given_twice() {
    let text = "version: 1\napplications: {a: {image: a}}\n";
    let first = next(text, None, &allocations()).unwrap();
    let kept = Allocations { highest: 2, ..allocations() };
    let third = next(text, Some(&first), &kept).unwrap();
    assert_eq!((third.number, third.parent), (3, 1));
    assert_eq!(next(text, None, &kept).unwrap().number, 3);
}

/// A port that a document names goes to its application, also from one that had it by choice.
#[test]
fn a_named_port_is_not_kept_for_another_application() {
    let chosen = "version: 1\napplications:\n  a: {image: a, ports: {p: {port: 80, publish: {}}}}\n";
    let first = next(chosen, None, &allocations()).unwrap();
    let had = port(&first, "a");
    let text = format!("{chosen}  b: {{image: b, ports: {{p: {{port: 80, publish: {{port: {had}}}}}}}}}\n");
    let second = next(&text, Some(&first), &allocations()).unwrap();
    assert_eq!(port(&second, "b"), had);
    assert_ne!(port(&second, "a"), had);
}

/// A port that is chosen passes over those that others hold, each for its protocol; once chosen it stays, whoever listens there later.
#[test]
fn a_chosen_port_passes_over_those_of_others_and_stays() {
    let text = "version: 1\nmachine: {ports: {first: 20000, last: 20002}}\napplications:\n  a: {image: a, ports: {p: {port: 80, publish: {}}}}\n";
    let taken = |ports: &[(u16, Protocol)]| {
        let by = |at: &(u16, Protocol)| (*at, "the agent `other`".to_string());
        Allocations { taken: ports.iter().map(by).collect(), ..allocations() }
    };
    let first = next(text, None, &taken(&[(20_000, Protocol::Tcp), (20_001, Protocol::Udp)])).unwrap();
    assert_eq!(port(&first, "a"), 20_001);
    let later = taken(&[(20_000, Protocol::Tcp), (20_001, Protocol::Tcp)]);
    let second = next(&text.replace("image: a", "image: a:2"), Some(&first), &later).unwrap();
    assert_eq!(port(&second, "a"), 20_001);
    let all = taken(&[(20_000, Protocol::Tcp), (20_001, Protocol::Tcp), (20_002, Protocol::Tcp)]);
    assert!(matches!(&next(text, None, &all).unwrap_err()[..], [Unresolved::NoFreePort { .. }]));
}

/// An instance that is there keeps its address, whatever generations came between.
#[test]
fn a_quick_rollback_has_the_address_of_what_runs() {
    let text = "version: 1\napplications: {web: {image: web}}\n";
    let first = next(text, None, &allocations()).unwrap();
    let id = InstanceId { revision: first.revision(&name("web")).unwrap(), index: 0 };
    let address = first.placement.applications[&name("web")].addresses[0];
    let busy = Allocations { busy: [(address, (name("web"), id))].into(), committed: 1, ..allocations() };
    let second = next(&text.replace("image: web", "image: web:2"), Some(&first), &busy).unwrap();
    assert_ne!(second.placement.applications[&name("web")].addresses[0], address);
    let ports = document(text).machine.ports;
    let third = rollback(&second, &first, &LineChoices::new(), &busy, &ports, cause(120)).unwrap();
    assert_eq!(third.placement.applications[&name("web")].addresses, [address]);
}

/// Secrets of registries and of places for backups have to be there as those of applications.
#[test]
fn secrets_of_the_machine_are_looked_for() {
    let text = "version: 1
machine:
  registries: [{host: registry.example, username: u, password: {secret: nobody}}]
  backups: {far: {kind: s3, address: \"https://s3.example\", bucket: b, key: k, secret: {secret: nothing}}}
applications: {}
";
    let reasons = next(text, None, &allocations()).unwrap_err();
    let texts: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("the registry registry.example") && texts[1].contains("the place for backups far"),
        "{texts:?}"
    );
}

proptest! {
    /// Two placed ports of the host never overlap, however named and chosen ones come and go.
    #[test]
    fn ports_do_not_overlap(generations in prop::collection::vec(
        prop::collection::vec(prop::option::of(0u16..6), 1..5), 1..6)
    ) {
        let mut before: Option<Generation> = None;
        for ports in generations {
            let mut text = "version: 1\nmachine: {ports: {first: 20000, last: 20011}}\napplications:\n".to_string();
            let mut named = std::collections::BTreeSet::new();
            for (index, port) in ports.iter().enumerate() {
                let publish = match port.filter(|port| named.insert(*port)) {
                    Some(port) => format!("port: {}", 20_000 + port),
                    None => String::new(),
                };
                text += &format!("  a{index}: {{image: a, ports: {{p: {{port: 80, publish: {{{publish}}}}}}}}}\n");
            }
            let generation = next(&text, before.as_ref(), &allocations());
            let Ok(generation) = generation else { continue };
            let all: Vec<_> = generation.placement.applications.values().flat_map(|placed| placed.ports.values()).collect();
            for (index, one) in all.iter().enumerate() {
                for other in &all[index + 1..] {
                    prop_assert!(one.port != other.port, "{} twice in\n{}", one.port, text);
                    prop_assert_eq!(one.address, HostAddress::ANY);
                }
            }
            before = Some(generation);
        }
    }
}
