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

/// Templates whose data are not to be brought back by a copy of before.
const WITHOUT_BACKUPS: [&str; 1] = ["openmesh-validator"];

#[test]
fn what_cannot_be_had_again_has_backups_that_are_proposed() {
    let mut moments = BTreeSet::new();
    for (template, _) in all() {
        let said = format!("{} {}", template.name, template.version);
        let keeps = rendered(built_in(), template).volumes.values().any(|volume| volume.backup);
        let wanted = keeps && !WITHOUT_BACKUPS.contains(&template.name.as_str());
        assert_eq!(template.backup.is_some(), wanted, "{said}");
        let Some(policy) = &template.backup else { continue };
        assert!(policy.drill.is_some(), "{said}: nobody proves its backups");
        // Two in one minute would wait for one another; versions of one template are never both in an application.
        moments.insert((policy.schedule.to_string(), template.name.clone()));
    }
    let schedules: BTreeSet<&String> = moments.iter().map(|(schedule, _)| schedule).collect();
    assert_eq!(schedules.len(), moments.len(), "{moments:?}");
}

#[test]
fn a_newer_version_names_those_that_it_takes_the_place_of() {
    let mut newer = 0;
    for (name, versions) in built_in().templates() {
        for (index, template) in versions.iter().enumerate() {
            let before: Vec<String> = versions[..index].iter().map(|one| one.version.to_string()).collect();
            let named: Vec<String> = template.card.as_ref().unwrap().upgrades.iter().map(ToString::to_string).collect();
            assert_eq!(named, before, "{name} {}", template.version);
            newer += usize::from(index > 0);
        }
        let numbers: Vec<u32> = versions.iter().map(|one| one.version.as_str().parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{name}: {numbers:?}");
    }
    assert!(newer >= 2, "an upgrade can be tried");
}

/// Texts of older versions, by their hash.
const OLDER: [(&str, &str); 4] = [
    ("mariadb@1.yaml", "d1c64b34c6c198fc132b240895ec503dd0c14fa5608dbe9fa193cae6d564adec"),
    ("postgresql@1.yaml", "f7174e465181d41137aee2078f7c4fe2237757cf779c9f15b47fa5966d4dbc59"),
    ("redis@1.yaml", "be5044aae4b1fbe54a98a4cf21e73be9de8ae221ba175e6e83779eb3eca07f29"),
    ("static-site@1.yaml", "a6a1f99979abca24554147fa7a4881d3401c00141c300a4b54db6b53565ba818"),
];

#[test]
fn the_text_of_an_older_version_is_never_changed() {
    // Whoever changes one changes applications that nobody touched: a change is a new version.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    for (file, hash) in OLDER {
        let text = std::fs::read(folder.join(file)).unwrap();
        assert_eq!(openmesh_primitives::sha256(&[&text]).to_string(), hash, "{file}");
    }
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.filter(|file| file.contains('@')).count(), OLDER.len());
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
