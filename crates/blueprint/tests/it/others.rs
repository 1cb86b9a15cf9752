//! Templates of other publishers: what a hostile one asks for, and is refused.

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::{Application, Name};
use openmesh_blueprint::template::Template;

use crate::world::document;

/// A template that keeps every rule.
const SHOP: &str = "
name: shop
version: 3
card:
  title: Shop
  category: web
  summary: A shop.
  description: A shop with a till.
  homepage: https://shop.example/
  licence: MIT
  needs: { memory: 64 MiB, disk: 1 GiB, image: 200 MiB }
  open: { port: http }
  data: { goods: { holds: The goods. } }
options:
  port: { kind: port, port: http, default: \"127.0.0.1:auto\" }
  title: { kind: text, default: Shop }
  database: { kind: application, makes: { template: postgresql, share: { password: password } } }
  password: { kind: secret, generate: { length: 32 } }
backup: { schedule: \"15 3 * * *\" }
application:
  image: \"registry.example/shop:3@sha256:0000000000000000000000000000000000000000000000000000000000000000\"
  user: 1000:1000
  command: [serve, \"--title=${title}\"]
  variables: { TITLE: \"${title}\" }
  files: { /config/password: { content: \"${password}\", mode: \"0400\" } }
  links: [\"${database}\"]
  volumes: { goods: { path: /goods, size: 64 MiB } }
  ports: { http: { port: 8080, protocol: http } }
  health: { http: { port: http } }
  limits: { memory: 64 MiB }
";

fn acme() -> Name {
    "acme".parse().unwrap()
}

fn parse(text: &str) -> Result<Template, String> {
    let parsed = Template::parse_of_others(text, &acme());
    parsed.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

/// An application of a template, with an answer to what has no default.
fn filled(template: &Template) -> Result<Application, String> {
    let text = "version: 1\napplications:\n  shop: {template: {catalogue: acme, name: shop, version: 3, answers: {database: db, \
                password: {secret: word}}}, links: [db]}\n  db: {image: redis:7}\n";
    let rendered = template.render(&document(text).applications[&"shop".parse().unwrap()]);
    rendered.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

#[test]
fn one_that_keeps_the_rules_is_read_and_filled_in() {
    let template = parse(SHOP).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(template.catalogue, Some(acme()));
    let policy = template.backup.as_ref().unwrap();
    let backup = policy.at(&"disk".parse().unwrap());
    assert_eq!((backup.to.as_str(), backup.schedule.to_string().as_str()), ("disk", "15 3 * * *"));
    let application = filled(&template).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(application.user.unwrap().uid, 1000);
    // The same text is a built-in template too, which has no catalogue.
    assert_eq!(Template::parse(SHOP).unwrap().catalogue, None);
}

#[test]
fn a_text_that_reaches_for_more_is_refused_before_it_is_in_a_store() {
    let changed = |from: &str, to: &str| {
        assert!(SHOP.contains(from), "{from}");
        parse(&SHOP.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, words) in [
        ("version: 3", "version: 3.1", "whole number"),
        ("version: 3", "version: 03", "whole number"),
        ("title: Shop\n", "title: \"Sh\\u202eop\"\n", "is not shown"),
        ("summary: A shop.", "summary: \"A \\e[2Jshop.\"", "is not shown"),
        ("summary: A shop.", "summary: \"A sh\\u00adop.\"", "is not shown"),
        ("licence: MIT", "licence: \"M\\u3164IT\"", "is not shown"),
        ("command: [serve", "command: [\"ser\\U000e0041ve\"", "is not shown"),
        ("https://shop.example/", "javascript:alert(1)", "no address of https"),
        ("open: { port: http }", "open: { port: http, scheme: javascript }", "is `javascript`"),
        ("open: { port: http }", "open: { port: http, path: //evil.example/ }", "no path of this application"),
        ("\"127.0.0.1:auto\"", "auto", "at 127.0.0.1 alone"),
        ("\"127.0.0.1:auto\"", "80", "at 127.0.0.1 alone"),
        ("{ kind: application, makes", "{ kind: application, default: bank, makes", "has not named"),
        ("share: { password: password }", "answers: { password: { secret: owner-key } }", "name a secret"),
        ("TITLE: \"${title}\"", "TITLE: { secret: owner-key }", "names a secret of the machine"),
        ("content: \"${password}\"", "content: { secret: owner-key }", "names a secret of the machine"),
        ("links: [\"${database}\"]", "links: [bank]", "has not named"),
        ("links: [\"${database}\"]", "links: [\"${title}\"]", "has not named"),
        ("links: [\"${database}\"]", "after: [bank]", "has not named"),
        ("protocol: http }", "protocol: http, publish: { port: 80 } }", "is for a person to say"),
        ("  user: 1000", "  domains: { a.example: { port: http } }\n  user: 1000", "is for a person to say"),
        ("  user: 1000", "  backup: { to: disk, schedule: \"0 3 * * *\" }\n  user: 1000", "is for a person to say"),
        ("  user: 1000", "  wish: stopped\n  user: 1000", "is for a person to say"),
        ("  user: 1000", "  gpus: { count: 1 }\n  user: 1000", "is for a person to say"),
        ("\"15 3 * * *\"", "\"* * * * *\"", "one backup or drill an hour"),
        ("schedule: \"15 3 * * *\"", "schedule: \"15 3 * * *\", keep: { daily: 4000 }", "keeps more than 100"),
    ] {
        let problems = changed(from, to);
        assert!(problems.contains(words), "{to}: {problems}");
    }
    let (card, rest) = SHOP.split_once("card:").unwrap();
    let rest = rest.split_once("options:").unwrap().1;
    assert!(parse(&format!("{card}options:{rest}")).unwrap_err().contains("lacks `card`"));
}

#[test]
fn texts_of_no_end_are_not_read() {
    let long = format!("{SHOP}# {}\n", "x".repeat(200 << 10));
    assert!(parse(&long).unwrap_err().contains("at most 131072 are read"));
    let many: String = (0..41).map(|n| format!("  o{n}: {{ kind: boolean, default: \"true\" }}\n")).collect();
    let many = SHOP.replacen("options:\n", &format!("options:\n{many}"), 1);
    assert!(parse(&many).unwrap_err().contains("at most 40 fit"));
    // A list that doubles itself by aliases.
    let bomb: String = (1..20).map(|n| format!("  - &a{n} [*a{}, *a{}]\n", n - 1, n - 1)).collect();
    let bomb = format!("{SHOP}notes:\n  - &a0 [x, x]\n{bomb}");
    assert!(parse(&bomb).unwrap_err().contains("more than 4000 values"));
    for pattern in ["x".repeat(600), "(a{200}){200}".to_string()] {
        let with =
            SHOP.replacen("default: Shop }", &format!("default: Shop, pattern: '{pattern}', pattern_words: x }}"), 1);
        assert!(parse(&with).unwrap_err().contains("`pattern`"), "{pattern}");
    }
}

#[test]
fn an_application_that_is_more_than_an_application_is_refused_whatever_was_answered() {
    let changed = |from: &str, to: &str| {
        assert!(SHOP.contains(from), "{from}");
        let template = parse(&SHOP.replacen(from, to, 1)).unwrap_or_else(|problems| panic!("{to}: {problems}"));
        filled(&template).unwrap_err()
    };
    let digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    for (from, to, words) in [
        ("  user: 1000:1000\n", "", "does not run as root"),
        ("  user: 1000:1000\n", "  user: 0:1000\n", "does not run as root"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  root: writable\n", "must be `read-only`"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  capabilities: [CHOWN]\n", "must be none"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  stop_after: 1h\n", "at most 2m"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  switch: { gate: 1h }\n", "at most 15m"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  switch: { drain: 10m }\n", "switch.drain: must be at most 2m"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  switch: { probation: 2h }\n", "at most 1h"),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  jobs: { before-backup: { command: [a] } }\n", "at most 10m"),
        (
            "  user: 1000:1000\n",
            "  user: 1000:1000\n  jobs: { move: { command: [a], occasion: switch, timeout: 11m } }\n",
            "at most 10m",
        ),
        ("  user: 1000:1000\n", "  user: 1000:1000\n  jobs: { tidy: { command: [a], timeout: 2h } }\n", "at most 1h"),
        (
            "  user: 1000:1000\n",
            "  user: 1000:1000\n  jobs: { tidy: { command: [a], schedule: \"*/4 * * * *\" } }\n",
            "each five minutes",
        ),
        ("limits: { memory: 64 MiB }", "limits: { processes: 4 }", "limits.memory: must be there"),
        ("  health: { http: { port: http } }\n", "", "health: must be there"),
        ("http: { port: http } }\n  limits", "http: { port: http }, interval: 1ms }\n  limits", "at least 1s"),
        (digest, "", "have its digest"),
        ("registry.example/shop", "xnode.internal/openmesh", "must be of a registry"),
        ("  volumes: {", "  volumes: { a: { path: /proc/a, size: 64 MiB },", "container itself needs"),
    ] {
        let problems = changed(from, to);
        assert!(problems.contains(words), "{to}: {problems}");
    }
    // A built-in template may have what one of others may not.
    let root = SHOP.replacen("  user: 1000:1000\n", "", 1);
    assert!(filled(&Template::parse(&root).unwrap()).is_ok());
}

#[test]
fn a_job_that_nobody_waits_for_has_an_hour() {
    let jobs =
        "jobs: { before-backup: { command: [a], timeout: 10m }, tidy: { command: [a], schedule: \"*/5 * * * *\" } }";
    let with = SHOP.replacen("  user: 1000:1000\n", &format!("  user: 1000:1000\n  {jobs}\n"), 1);
    let template = parse(&with).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(filled(&template).unwrap_or_else(|problems| panic!("{problems}")).jobs.len(), 2);
}

#[test]
fn an_answer_is_not_multiplied_without_end() {
    let from = "TITLE: \"${title}\"";
    assert!(SHOP.contains(from));
    let answered = |template: &Template, title: &str| {
        let text = format!(
            "version: 1\napplications:\n  shop: {{template: {{catalogue: acme, name: shop, version: 3, answers: {{database: db, title: {title}, \
             password: {{secret: word}}}}}}, links: [db]}}\n  db: {{image: redis:7}}\n"
        );
        let rendered = template.render(&document(&text).applications[&"shop".parse().unwrap()]);
        rendered.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
    };
    // In one value, and in many of which each is short.
    let one = format!("TITLE: \"{}\"", "${title}".repeat(10_000));
    let many: Vec<String> = (0..100).map(|n| format!("V{n}: \"{}\"", "${title}".repeat(100))).collect();
    for variables in [one, many.join(", ")] {
        let template = parse(&SHOP.replacen(from, &variables, 1)).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(answered(&template, "Shop").is_ok());
        let problems = answered(&template, &"x".repeat(4_000)).unwrap_err();
        assert!(problems.contains("comes to more text with the answers"), "{problems}");
    }
}

#[test]
fn a_name_without_a_catalogue_is_a_built_in_templates() {
    let own = SHOP.replacen("title: Shop\n", "title: Built in\n", 1);
    let name: Name = "shop".parse().unwrap();
    let catalogue = Catalogue {
        templates: [(name.clone(), vec![Template::parse(&own).unwrap()])].into(),
        others: [((acme(), name.clone()), vec![parse(SHOP).unwrap()])].into(),
        ..Catalogue::default()
    };
    let found = |template: &str| {
        let document = document(&format!("version: 1\napplications: {{shop: {{template: {template}}}}}\n"));
        let using = document.applications[&name].template.clone().unwrap();
        catalogue.template(&using).map(|template| template.card.as_ref().unwrap().title.clone())
    };
    assert_eq!(found("{name: shop}").as_deref(), Some("Built in"));
    assert_eq!(found("{catalogue: acme, name: shop, version: 3}").as_deref(), Some("Shop"));
    assert_eq!(found("{catalogue: other, name: shop, version: 3}"), None);
    assert_eq!(found("{catalogue: acme, name: shop, version: 4}"), None);
    let document =
        document("version: 1\napplications: {shop: {template: {catalogue: acme, name: till, version: 4}}}\n");
    let reasons = catalogue.fill(&name, &document.applications[&name]).unwrap_err();
    assert!(reasons[0].to_string().contains("no template `acme/till 4` is known; known are shop"), "{reasons:?}");
}
