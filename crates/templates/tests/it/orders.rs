//! Answers that become documents, and their faults.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::{Content, Size};
use openmesh_blueprint::template::{OptionKind, Template};
use openmesh_blueprint::text::Shape as _;
use openmesh_templates::{Facts, Fault, HeldPort, Order, built_in, compose, makeable, preflight};
use proptest::prelude::*;

use crate::{name, needed, order};

/// A machine that has room for everything.
fn facts() -> Facts {
    Facts {
        memory_free: 1 << 40,
        disk_free: 1 << 50,
        architecture: "amd64".into(),
        release: "bookworm".into(),
        ..Facts::default()
    }
}

#[test]
fn a_site_brings_its_database_and_shares_one_secret_with_it() {
    let order = order("wordpress", "blog", &[("domain", "blog.example.org"), ("port", "127.0.0.1:8000")]);
    let made = compose(built_in(), &order).unwrap();
    let names: Vec<&str> = made.applications.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["blog", "blog-database"]);
    let (site, database) = (&made.rendered[&name("blog")], &made.rendered[&name("blog-database")]);
    assert!(site.links.contains(&name("blog-database")) && database.links.is_empty());
    let secret = Content::Secret(name("blog-password"));
    assert_eq!(site.files[&"/config/password".parse().unwrap()].content, secret);
    assert_eq!(database.files[&"/config/password".parse().unwrap()].content, secret);
    let secrets: Vec<(&str, u32)> = made.secrets.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    assert_eq!(secrets, [("blog-password", 40), ("blog-salt", 64)]);
    let publish = site.ports[&name("http")].publish.as_ref().unwrap();
    assert_eq!((publish.port, publish.address.to_string().as_str()), (Some(8000), "127.0.0.1"));
    assert_eq!(site.domains.keys().map(ToString::to_string).collect::<Vec<_>>(), ["blog.example.org"]);
    assert!(database.ports.values().all(|port| port.publish.is_none()));
    // What stands in the document is the template's name, its version and the answers: publication stands beside it.
    let own = &made.applications[&name("blog")];
    let answers = &own.template.as_ref().unwrap().answers;
    assert!(!answers.contains_key(&name("port")) && answers.contains_key(&name("database")));
    assert!(own.recipe.is_none() && own.ports.len() == 1);
}

#[test]
fn what_is_kept_gets_the_backups_that_its_template_proposes_where_there_is_a_place() {
    let order = order("wordpress", "blog", &[]);
    let without = compose(built_in(), &order).unwrap();
    assert!(without.applications.values().all(|application| application.backup.is_none()));
    let made = compose(built_in(), &Order { backup: Some(name("disk")), ..order }).unwrap();
    let backups: Vec<_> = made.applications.values().map(|application| application.backup.clone().unwrap()).collect();
    // A site and its database belong together.
    assert_eq!((backups.len(), &backups[0]), (2, &backups[1]));
    assert_eq!((backups[0].to.as_str(), backups[0].keep.daily), ("disk", 7));
    let without_data = Order { backup: Some(name("disk")), ..order_of("node-exporter") };
    let made = compose(built_in(), &without_data).unwrap();
    assert!(made.applications.values().all(|application| application.backup.is_none()));
}

#[test]
fn a_database_that_is_there_is_taken() {
    let order = order("wordpress", "blog", &[("database", "shared"), ("password", "secret:shared-password")]);
    let made = compose(built_in(), &order).unwrap();
    assert_eq!(made.applications.len(), 1);
    assert!(made.applications[&name("blog")].links.contains(&name("shared")));
    assert_eq!(made.secrets.keys().collect::<Vec<_>>(), [&name("blog-salt")]);
}

/// The built-in templates, as a document is filled in from them.
fn templates() -> Catalogue {
    Catalogue { templates: built_in().templates().clone(), ..Catalogue::default() }
}

/// a document says the same of secrets as the order of which it was made, and no other secret of it is made.
#[test]
fn a_document_names_the_secrets_that_its_templates_make() {
    let made = compose(built_in(), &order("wordpress", "blog", &[])).unwrap();
    assert_eq!(makeable(&templates(), &made.applications), made.secrets);
    let shared = compose(built_in(), &order("wordpress", "blog", &[("password", "secret:shared")])).unwrap();
    let secrets = makeable(&templates(), &shared.applications);
    let lengths: Vec<(&str, u32)> = secrets.iter().map(|(name, length)| (name.as_str(), *length)).collect();
    assert_eq!(lengths, [("blog-salt", 64), ("shared", 40)]);
    let geth = compose(built_in(), &order("geth", "chain", &[("engine", "secret:engine")])).unwrap();
    assert!(!makeable(&templates(), &geth.applications).contains_key(&name("engine")));
    assert!(makeable(&templates(), &BTreeMap::new()).is_empty());
}

#[test]
fn every_fault_names_its_option_and_no_secret() {
    let order = order(
        "redis",
        "cache",
        &[
            ("cache", "1"),
            ("policy", "lru"),
            ("memory", "5"),
            ("port", "99999"),
            ("package", "latest"),
            ("password", "hunter2"),
            ("pasword", "x"),
        ],
    );
    let faults = compose(built_in(), &order).unwrap_err();
    let options: BTreeSet<&str> = faults.iter().filter_map(|fault| fault.option.as_deref()).collect();
    assert_eq!(options, BTreeSet::from(["cache", "policy", "memory", "port", "package", "password", "pasword"]));
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    assert!(!text.contains("hunter2"), "{text}");
    for words in [
        "whole number from 16 to 1048576",
        "noeviction",
        "lacks its unit",
        "a version of Debian's",
        "did you mean `password`?",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let long = Order { name: name("a-name-of-thirty-two-characters1"), ..order_of("redis") };
    let faults = compose(built_in(), &long).unwrap_err();
    assert!(faults.iter().any(|fault| fault.option.as_deref() == Some("name")), "{faults:?}");
    let faults = compose(built_in(), &order_of("no-such-thing")).unwrap_err();
    assert!(faults[0].message.contains("no template `no-such-thing`"), "{faults:?}");
}

fn order_of(template: &str) -> Order {
    order(template, "it", &[])
}

#[test]
fn a_machine_that_is_too_small_or_taken_is_said_before_anything_is_fetched() {
    let made = compose(built_in(), &order("nextjs", "web", &[("port", "3000"), ("domain", "a.example")])).unwrap();
    assert_eq!(preflight(&made, &facts()), []);
    let address = "127.0.0.1".parse().unwrap();
    let held = HeldPort { address, port: 3000, is_udp: false, holder: "sshd".to_string() };
    let small = Facts {
        memory_free: 100 << 20,
        disk_free: 1 << 20,
        architecture: "arm64".into(),
        applications: BTreeSet::from([name("web")]),
        ports: vec![held],
        domains: BTreeMap::from([("a.example".parse().unwrap(), name("old"))]),
        ..facts()
    };
    let faults = preflight(&made, &small);
    let options: Vec<Option<&str>> = faults.iter().map(|fault| fault.option.as_deref()).collect();
    for option in ["name", "port", "domain", "memory", "size"] {
        assert!(options.contains(&Some(option)), "{option}: {faults:?}");
    }
    let whole: Vec<&Fault> = faults.iter().filter(|fault| fault.option.is_none()).collect();
    assert!(whole.iter().any(|fault| fault.message.contains("amd64")), "{faults:?}");
    let site = compose(built_in(), &order_of("static-site")).unwrap();
    let other = Facts { release: "trixie".into(), ..facts() };
    assert!(preflight(&site, &other)[0].message.contains("bookworm"));
}

/// Answers that fit, drawn for each option.
fn answers(template: &Template) -> BoxedStrategy<BTreeMap<openmesh_blueprint::document::Name, String>> {
    let mut drawn = Just(needed(template)).boxed();
    for (option_name, option) in &template.options {
        let bound = |bound: &Option<String>, other: u64| {
            let size = |text: &str| text.parse::<Size>().map(|size| size.0).ok();
            bound.as_deref().and_then(|text| text.parse().ok().or_else(|| size(text))).unwrap_or(other)
        };
        let (least, greatest) = (bound(&option.least, 0), bound(&option.greatest, 1 << 42));
        let one: BoxedStrategy<String> = match option.kind {
            OptionKind::Number => (least..=greatest).prop_map(|number| number.to_string()).boxed(),
            OptionKind::Size => (least >> 20..=(least >> 20) + 4_096).prop_map(|size| format!("{size} MiB")).boxed(),
            OptionKind::Boolean => any::<bool>().prop_map(|truth| truth.to_string()).boxed(),
            OptionKind::Choice => proptest::sample::select(option.choices.clone()).boxed(),
            OptionKind::Port => "(none|auto|[1-9][0-9]{0,3}|127\\.0\\.0\\.1:auto)".boxed(),
            OptionKind::Text if option.pattern.is_none() => "[^\\pC]{0,60}".boxed(),
            _ => continue,
        };
        let option_name = option_name.clone();
        drawn = (drawn, proptest::option::of(one))
            .prop_map(move |(mut answers, one)| {
                answers.extend(one.map(|answer| (option_name.clone(), answer)));
                answers
            })
            .boxed();
    }
    drawn
}

fn any_order() -> impl Strategy<Value = Order> {
    let templates: Vec<&'static Template> = built_in().templates().values().flatten().collect();
    proptest::sample::select(templates).prop_flat_map(|template| {
        answers(template).prop_map(move |answers| Order {
            version: Some(template.version.clone()),
            answers,
            ..order(template.name.as_str(), "it", &[])
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Answers that fit give the same applications each time, and never another key, file, port or command than the template has.
    #[test]
    fn answers_change_values_and_no_form(order in any_order()) {
        let template = built_in().find(&order.template, order.version.as_ref()).unwrap();
        let made = compose(built_in(), &order);
        prop_assert!(made.is_ok(), "{order:?}: {made:?}");
        let made = made.unwrap();
        prop_assert_eq!(&compose(built_in(), &order).unwrap(), &made);
        let plain = Order { answers: needed(template), ..order.clone() };
        let plain = compose(built_in(), &plain).unwrap();
        let (one, other) = (&made.rendered[&name("it")], &plain.rendered[&name("it")]);
        prop_assert_eq!(one.files.keys().collect::<Vec<_>>(), other.files.keys().collect::<Vec<_>>());
        prop_assert_eq!(one.ports.keys().collect::<Vec<_>>(), other.ports.keys().collect::<Vec<_>>());
        prop_assert_eq!(one.variables.keys().collect::<Vec<_>>(), other.variables.keys().collect::<Vec<_>>());
        prop_assert_eq!(one.command.len(), other.command.len());
        prop_assert_eq!(&one.user, &other.user);
        prop_assert_eq!(&one.capabilities, &other.capabilities);
    }

    /// Whatever is answered, it ends in applications or in faults.
    #[test]
    fn no_answer_breaks_it(template in 0usize..64, option in 0usize..16, answer in "\\PC{0,40}|[0-9]{1,30}|secret:.{0,10}|\\$\\{[a-z]{1,8}\\}") {
        let templates: Vec<&Template> = built_in().templates().values().flatten().collect();
        let template = templates[template % templates.len()];
        let names: Vec<_> = template.options.keys().collect();
        let mut answers = needed(template);
        answers.insert(names[option % names.len()].clone(), answer);
        let order = Order {
            version: Some(template.version.clone()),
            answers,
            ..order(template.name.as_str(), "it", &[])
        };
        if let Ok(made) = compose(built_in(), &order) {
            for application in made.rendered.values() {
                prop_assert!(!application.write().to_yaml().is_empty());
            }
        }
    }
}
