//! Applications that are brought to a newer version of their template.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmesh_blueprint::document::{Application, Content, Name};
use openmesh_blueprint::template::Template;
use openmesh_templates::publish::{entries, next};
use openmesh_templates::{Library, Order, built_in, compose, upgrade, upgrades};

use crate::others::{NOW, SHOP, files, others, wish};
use crate::{name, order};

/// The next version of the shop: an option less, a secret and a companion more, another number of its port.
fn fourth() -> String {
    let options = "  motto: { kind: text, default: Hello }\n  token: { kind: secret, generate: { length: 32 } }\n  cache: { kind: application, makes: { template: redis } }";
    let title = SHOP.lines().find(|line| line.starts_with("  title: {")).unwrap();
    let changes = [
        ("version: 3\n", "version: 4\n"),
        ("  open: { port: http }\n", "  open: { port: http }\n  upgrades: [3]\n"),
        (title, options),
        ("{ TITLE: \"${title}\" }", "{ MOTTO: \"${motto}\", TOKEN: \"${token}\" }"),
        ("[\"${database}\"]", "[\"${database}\", \"${cache}\"]"),
        ("port: 8080", "port: 9090"),
    ];
    changes.iter().fold(SHOP.to_string(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    })
}

/// A store with the third version of the shop, and another one.
fn library(fourth: &str) -> Library {
    let files = files(&[("shop@4.yaml", fourth)]);
    let index = next(&wish(), entries(&files).unwrap(), None, NOW).unwrap();
    let others = others(&index, &files);
    assert!(others.problems().is_empty(), "{:?}", others.problems());
    built_in().with(BTreeMap::from([(name("acme"), Arc::new(others))]))
}

/// A till that is made of the third version.
fn till(library: &Library) -> Application {
    let order = Order {
        catalogue: Some(name("acme")),
        version: Some("3".parse().unwrap()),
        backup: Some(name("disk")),
        ..order("shop", "till", &[("title", "Till")])
    };
    compose(library, &order).unwrap().applications[&name("till")].clone()
}

fn third(library: &Library) -> &Template {
    library.find_in(Some(&name("acme")), &name("shop"), Some(&"3".parse().unwrap())).unwrap()
}

fn versions(library: &Library, own: &Application) -> Vec<String> {
    let found = upgrades(library, own.template.as_ref().unwrap());
    found.into_iter().map(|template| template.version.to_string()).collect()
}

#[test]
fn a_newer_version_takes_over_what_a_person_has_written_and_makes_what_is_new() {
    let library = library(&fourth());
    let own = till(&library);
    assert_eq!(versions(&library, &own), ["4"]);
    let to = upgrades(&library, own.template.as_ref().unwrap())[0];
    let made = upgrade(&library, (third(&library), to), &name("till"), &own).unwrap();
    assert_eq!(made.left_out, BTreeSet::from([name("title")]));
    let made = made.composition;
    assert_eq!(made.applications.keys().map(Name::as_str).collect::<Vec<_>>(), ["till", "till-cache"]);
    assert_eq!(made.secrets, BTreeMap::from([(name("till-cache-password"), 40), (name("till-token"), 32)]));
    let next = &made.applications[&name("till")];
    let using = next.template.as_ref().unwrap();
    assert_eq!((using.version.as_ref().unwrap().as_str(), using.catalogue.as_ref()), ("4", Some(&name("acme"))));
    let before = &own.template.as_ref().unwrap().answers;
    for option in ["database", "password"] {
        assert_eq!(using.answers.get(&name(option)), before.get(&name(option)), "{option}");
    }
    assert_eq!(using.answers[&name("cache")], Content::Text("till-cache".into()));
    assert_eq!(next.links, BTreeSet::from([name("till-cache"), name("till-database")]));
    // Published as it was, at the new number; backed up as it was, and so is what is new.
    let (port, was) = (&next.ports[&name("http")], &own.ports[&name("http")]);
    assert_eq!((port.port, was.port, &port.publish), (9090, 8080, &was.publish));
    assert!(port.publish.is_some());
    assert_eq!(next.backup, own.backup);
    assert_eq!(made.applications[&name("till-cache")].backup, own.backup);
    assert_eq!(made.rendered[&name("till")].ports[&name("http")].port, 9090);
    // Then there is nothing newer.
    assert!(versions(&library, next).is_empty());
}

#[test]
fn a_number_that_a_person_has_chosen_stays() {
    let library = library(&fourth());
    let mut own = till(&library);
    own.ports.get_mut(&name("http")).unwrap().port = 7000;
    let to = upgrades(&library, own.template.as_ref().unwrap())[0];
    let made = upgrade(&library, (third(&library), to), &name("till"), &own).unwrap().composition;
    assert_eq!(made.applications[&name("till")].ports, own.ports);
}

#[test]
fn what_a_newer_version_does_not_take_is_said() {
    let text = fourth().replace("port: http", "port: web").replace("ports: { http:", "ports: { web:");
    let library = library(&text);
    let own = till(&library);
    let to = upgrades(&library, own.template.as_ref().unwrap())[0];
    let faults = upgrade(&library, (third(&library), to), &name("till"), &own).unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.contains("version 4 has no port `http`")), "{faults:#?}");
    // An answer that its bounds do not take any more is named by its option.
    let text = fourth()
        .replace("motto: { kind: text, default: Hello }", "title: { kind: choice, choices: [One], default: One }");
    let library = self::library(&text.replace("${motto}", "${title}"));
    let to = upgrades(&library, own.template.as_ref().unwrap())[0];
    let faults = upgrade(&library, (third(&library), to), &name("till"), &own).unwrap_err();
    assert!(faults.iter().any(|fault| fault.option.as_deref() == Some("title")), "{faults:#?}");
}

#[test]
fn a_new_companion_reaches_nothing_that_is_linked_beside_the_template() {
    let reaching = "makes: { template: wordpress, answers: { database: vault } }";
    let library = library(&fourth().replace("makes: { template: redis }", reaching));
    let mut own = till(&library);
    own.links.insert(name("vault"));
    let to = upgrades(&library, own.template.as_ref().unwrap())[0];
    let faults = upgrade(&library, (third(&library), to), &name("till"), &own).unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.contains("would reach the application vault")), "{faults:#?}");
}

#[test]
fn only_newer_versions_that_name_the_present_one_are_offered() {
    let library = library(&fourth());
    let mut own = till(&library);
    let mut with = |version: Option<&str>| {
        let using = own.template.as_mut().unwrap();
        using.version = version.map(|version| version.parse().unwrap());
        versions(&library, &own)
    };
    assert_eq!(with(Some("3")), ["4"]);
    assert!(with(Some("4")).is_empty());
    assert!(with(Some("2")).is_empty(), "the fourth one does not name it");
    assert!(with(None).is_empty(), "without a version it has the newest anyway");
    // Where the present one has left its catalogue, one with a lower number is none that is newer.
    let odd = self::library(&fourth().replace("upgrades: [3]", "upgrades: [3, 5]"));
    own.template.as_mut().unwrap().version = Some("5".parse().unwrap());
    assert!(versions(&odd, &own).is_empty());
    // Every built-in template that has an older version can be reached from it.
    for versions in built_in().templates().values().filter(|versions| versions.len() > 1) {
        let order = Order { version: Some(versions[0].version.clone()), ..order(versions[0].name.as_str(), "it", &[]) };
        let own = compose(built_in(), &order).unwrap().applications[&name("it")].clone();
        let to = upgrades(built_in(), own.template.as_ref().unwrap()).pop().unwrap();
        let made = upgrade(built_in(), (&versions[0], to), &name("it"), &own).unwrap();
        assert!(made.composition.rendered.contains_key(&name("it")), "{}", versions[0].name);
    }
}
