//! Rules that every built-in template keeps.

use std::collections::BTreeSet;

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Application, Content, Root};
use openmesh_blueprint::template::{Card, Category, OptionKind, Template};
use openmesh_templates::grade::Grades;
use openmesh_templates::views::{Sheet, sheet};
use openmesh_templates::{Library, Order, built_in, compose};

use crate::{name, needed};

/// Templates that the issue asks for first.
const FIRST: [&str; 8] =
    ["static-site", "redis", "postgresql", "prometheus", "anvil", "jupyterlab", "nextjs", "openmesh-collector"];

fn all() -> impl Iterator<Item = (&'static Template, &'static Card)> {
    built_in().templates().values().flatten().map(|template| (template, template.card.as_ref().unwrap()))
}

/// A template with the answers of nobody, filled in.
fn rendered(library: &Library, template: &Template) -> Application {
    let order = Order {
        catalogue: None,
        template: template.name.clone(),
        version: Some(template.version.clone()),
        name: name("it"),
        answers: needed(template),
        backup: None,
    };
    let composition = compose(library, &order).unwrap_or_else(|faults| panic!("{}: {faults:#?}", template.name));
    let document = Document { applications: composition.applications, ..Document::parse("version: 1\n").unwrap() };
    let text = document.to_yaml();
    assert_eq!(Document::parse(&text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")), document);
    composition.rendered[&name("it")].clone()
}

#[test]
fn every_file_is_a_template() {
    assert_eq!(built_in().problems(), &[] as &[String]);
    assert!(built_in().templates().len() >= 20);
    for first in FIRST {
        let template = built_in().find(&name(first), None).unwrap_or_else(|| panic!("{first} is missing"));
        assert!(!template.card.as_ref().unwrap().not_run_here, "{first}");
    }
}

#[test]
fn every_template_is_described_for_people() {
    for (template, card) in all() {
        let said = format!("{} {}", template.name, template.version);
        assert!((3..=60).contains(&card.title.len()), "{said}: title");
        assert!((20..=110).contains(&card.summary.len()) && card.summary.ends_with('.'), "{said}: summary");
        assert!((100..=900).contains(&card.description.len()), "{said}: description {}", card.description.len());
        assert!(card.homepage.starts_with("https://") && !card.licence.is_empty(), "{said}");
        let icon = built_in().icon(template);
        assert!(icon.starts_with("<svg ") && icon.len() < 2_000 && !icon.contains("script"), "{said}: icon");
        for (option_name, option) in &template.options {
            assert!(
                option.title.as_ref().is_some_and(|title| !title.ends_with('.')),
                "{said}: {option_name} has no title"
            );
        }
    }
}

#[test]
fn every_template_runs_without_rights_and_is_looked_after() {
    for (template, card) in all() {
        let said = format!("{} {}", template.name, template.version);
        let application = rendered(built_in(), template);
        let is_exact = !card.not_run_here;
        assert!(!is_exact || application.user.is_some_and(|user| user.uid != 0), "{said} runs as root");
        assert!(!is_exact || application.root == Root::ReadOnly, "{said} writes to its root");
        assert!(!is_exact || application.capabilities.is_empty(), "{said} has capabilities");
        assert!(application.health.is_some(), "{said} has no test of its health");
        assert!(application.limits.memory.is_some(), "{said} has no limit on memory");
        assert!(application.limits.memory.unwrap() <= card.needs.memory, "{said} needs less than it takes");
        let described: BTreeSet<_> = card.data.keys().collect();
        assert_eq!(application.volumes.keys().collect::<BTreeSet<_>>(), described, "{said}: volumes and their words");
        let volumes: u64 = application.volumes.values().map(|volume| volume.size.0).sum();
        assert!(volumes + card.needs.image.0 <= card.needs.disk.0, "{said}: volumes of {volumes} bytes");
        if let Some(open) = &card.open {
            assert!(application.ports.contains_key(&open.port), "{said} opens at {}", open.port);
        }
        for (option_name, option) in &template.options {
            let port = option.port.as_ref();
            assert!(port.is_none_or(|port| application.ports.contains_key(port)), "{said}: {option_name}");
        }
        if let Some(image) = &application.image {
            assert!(card.not_run_here || image.registry == "xnode.internal", "{said} is an image and was not run");
        }
    }
}

#[test]
fn secrets_are_files_of_one_user_or_variables() {
    for (template, _) in all() {
        let application = rendered(built_in(), template);
        for (path, file) in &application.files {
            let is_secret = matches!(file.content, Content::Secret(_));
            assert!(!is_secret || file.mode.0 & 0o077 == 0, "{}: {path} can be read by others", template.name);
        }
        let asked = template.options.values().filter(|option| option.kind == OptionKind::Secret).count();
        let given: BTreeSet<_> = application.secrets().into_iter().collect();
        // A secret may be a companion's alone.
        assert!(given.len() <= asked, "{}: {given:?}", template.name);
    }
}

#[test]
fn a_store_finds_by_words_and_category() {
    let titles = |words: &str, category| -> Vec<&'static str> {
        built_in().search(words, category).into_iter().map(|(_, card)| card.title.as_str()).collect()
    };
    assert_eq!(titles("", None).len(), built_in().templates().len());
    assert!(built_in().others().is_empty(), "nobody else's are part of the program");
    assert_eq!(titles("redis", None).first(), Some(&"Redis 7.0"));
    assert!(titles("relational database", Some(Category::Database)).contains(&"PostgreSQL 15"));
    assert!(titles("relational database", Some(Category::Games)).is_empty());
    assert!(titles("no such thing anywhere", None).is_empty());
    let mut databases = titles("", Some(Category::Database));
    let found = databases.clone();
    databases.sort_by_key(|title| title.to_lowercase());
    assert_eq!(found, databases);
}

#[test]
fn a_sheet_has_the_form_in_its_order_and_survives_json() {
    for (template, _) in all() {
        let sheet = sheet(built_in(), &Grades::default(), template).unwrap();
        assert_eq!(sheet.fields.len(), template.options.len());
        let advanced: Vec<bool> = sheet.fields.iter().map(|field| field.advanced).collect();
        assert!(advanced.is_sorted(), "{}: what few people need comes last", template.name);
        let text = serde_json::to_string(&sheet).unwrap();
        assert_eq!(serde_json::from_str::<Sheet>(&text).unwrap(), sheet);
    }
    let redis = built_in().find(&name("redis"), None).unwrap();
    let sheet = sheet(built_in(), &Grades::default(), redis).unwrap();
    let first = &sheet.fields[0];
    assert_eq!((first.name.as_str(), first.kind.as_str(), first.unit.as_deref()), ("cache", "number", Some("MiB")));
    let password = sheet.fields.iter().find(|field| field.name == "password").unwrap();
    assert_eq!((password.required, password.generated), (false, Some(40)));
}
