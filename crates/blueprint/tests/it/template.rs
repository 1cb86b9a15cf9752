//! Templates: answers, their refusals, and what is laid over them.

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::Application;
use openmesh_blueprint::template::{Publication, Template};
use openmesh_blueprint::text::Shape;

use crate::golden::golden;
use crate::world::document;

const REDIS: &str = "
name: redis
version: 7.2.0
options:
  memory: { kind: size, default: 64 MiB, title: Memory }
  policy: { kind: choice, choices: [noeviction, allkeys-lru], default: noeviction }
  password: { kind: secret }
  databases: { kind: number, least: 1, greatest: 64, default: \"16\" }
  banner: { kind: text, default: \"\" }
  writable: { kind: boolean, default: \"false\" }
application:
  image: redis:7
  command: [redis-server, --databases, \"${databases}\", --maxmemory-policy, \"${policy}\"]
  variables: { PASSWORD: \"${password}\", BANNER: \"<${banner}> $${HOME}\" }
  volumes: { data: { path: /data, size: 1 GiB } }
  ports: { redis: { port: 6379 } }
  limits: { memory: \"${memory}\" }
";

fn render(using: &str) -> Result<Application, String> {
    let document = document(&format!("version: 1\napplications:\n  cache: {using}\n"));
    let template = Template::parse(REDIS).unwrap();
    let rendered = template.render(document.applications.values().next().unwrap());
    rendered.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

#[test]
fn answers_are_filled_in() {
    let own = "{template: {name: redis, answers: {password: {secret: token}, memory: 128 MiB, banner: 'a: [b] ${x}'}}, \
               variables: {EXTRA: x}, ports: {redis: {port: 6379, publish: {port: 7000}}}, limits: {processors: 0.5}}";
    golden("template.yaml", &render(own).unwrap().write().to_yaml());
}

#[test]
fn wrong_answers_are_all_said() {
    let own = "{template: {name: redis, answers: {memory: 5, policy: lru, databases: 65, banner: \"a\\nb\", writable: maybe, pasword: x}}}";
    golden("template_problems.txt", &render(own).unwrap_err());
}

#[test]
fn a_secret_does_not_get_into_a_text() {
    let own = "{template: {name: redis, answers: {password: {secret: token}, banner: {secret: token}}}}";
    let problems = render(own).unwrap_err();
    assert!(problems.contains("puts the secret of `banner` into a text"), "{problems}");
    let own = "{template: {name: redis, answers: {password: plain}}}";
    assert!(render(own).unwrap_err().contains("must be the name of a secret"));
}

#[test]
fn templates_that_are_none() {
    for (text, expected) in [
        ("name: a\nversion: 1\n", "lacks `application`"),
        ("name: a\nversion: 1\noptions: {x: {kind: size, default: 5}}\napplication: {image: a}", "options.x.default"),
        ("name: a\nversion: 1\noptoins: {}\napplication: {image: a}", "did you mean `options`?"),
    ] {
        let problems = Template::parse(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(expected)), "{problems:?}");
    }
}

const SITE: &str = "
name: site
version: 1
card:
  title: Site
  category: web
  summary: A site.
  description: A site of pages.
  homepage: https://example.org/
  licence: MIT
  needs: { memory: 64 MiB, disk: 1 GiB, image: 200 MiB, architectures: [amd64], release: bookworm }
  open: { port: http, sign_in: Nobody has to. }
  data: { pages: { holds: The pages. } }
  upgrades: [0]
options:
  domain: { kind: domain, port: http, default: \"\" }
  port: { kind: port, port: http, default: auto }
  database: { kind: application, makes: { template: redis, share: { password: key } } }
  key: { kind: secret, generate: { length: 24 } }
  color: { kind: text, pattern: '#[0-9a-f]{6}', pattern_words: a color such as '#00ff7f', default: '#000000' }
  room: { kind: size, least: 16 MiB, greatest: 1 GiB, default: 16 MiB }
application:
  image: site:1
  command: [serve, \"--color=${color}\", \"--name=${domain}\"]
  links: [\"${database}\"]
  files: { /key: { content: \"${key}\", mode: \"0400\" } }
  volumes: { pages: { path: /pages, size: \"${room}\" } }
  ports: { http: { port: 8080 } }
";

/// A site with these answers, as YAML of a map.
fn site(answers: &str) -> Result<Application, String> {
    let text = format!(
        "version: 1\napplications:\n  site: {{template: {{name: site, answers: {answers}}}, links: [cache]}}\n  cache: {{image: redis:7}}\n"
    );
    let template = Template::parse(SITE).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rendered = template.render(&document(&text).applications[&"site".parse().unwrap()]);
    rendered.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

#[test]
fn a_card_is_read_and_options_say_what_they_are_for() {
    let template = Template::parse(SITE).unwrap();
    let card = template.card.unwrap();
    assert_eq!((card.title.as_str(), card.category.word()), ("Site", "web"));
    assert_eq!(card.open.unwrap().path, "/");
    assert!(card.data.values().all(|kept| kept.single_writer) && !card.not_run_here);
    let database = &template.options[&"database".parse().unwrap()];
    assert_eq!(database.makes.as_ref().unwrap().template.as_str(), "redis");
}

#[test]
fn answers_have_ranges_patterns_and_forms_of_their_kind() {
    let good =
        "{key: {secret: k}, database: cache, color: '#00ff7f', domain: a.example, port: '127.0.0.1:80', room: 64 MiB}";
    let application = site(good).unwrap();
    assert_eq!(application.command, ["serve", "--color=#00ff7f", "--name=a.example"]);
    assert_eq!(application.links.len(), 1);
    // Nothing is an answer where nothing is the default.
    assert_eq!(site("{key: {secret: k}, database: cache}").unwrap().command[2], "--name=");
    for (answer, expected) in [
        ("color: red", "template.answers.color: must be a color such as '#00ff7f'"),
        ("color: '#00ff7f0'", "must be a color"),
        ("domain: 10.0.0.1", "is not a domain"),
        ("port: 0", "template.answers.port: is `0`"),
        ("port: 'x:auto'", "behind an address"),
        ("room: 15 MiB", "must be a size from 16 MiB to 1 GiB"),
        ("room: 2 GiB", "must be a size from 16 MiB to 1 GiB"),
        ("database: Cache", "is not a name"),
        ("colour: x", "did you mean `color`?"),
    ] {
        let problems = site(
            &format!("{{key: {{secret: k}}, database: cache, {answer}}}")
                .replace("database: cache, database", "database"),
        );
        let problems = problems.unwrap_err();
        assert!(problems.contains(expected), "{answer}: {problems}");
    }
    let problems = site("{}").unwrap_err();
    assert!(problems.contains("answers.key: needs an answer") && problems.contains("answers.database"), "{problems}");
}

#[test]
fn options_that_are_none_are_refused_with_the_template() {
    let wrong = |option: &str| {
        let text = format!("name: a\nversion: 1\noptions: {{x: {option}}}\napplication: {{image: a}}\n");
        let problems = Template::parse(&text).unwrap_err();
        problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
    };
    for (option, expected) in [
        ("{kind: choice}", "is a choice without `choices`"),
        ("{kind: port}", "lacks `port`"),
        ("{kind: text, unit: s}", "has `unit`, which is for number"),
        ("{kind: text, pattern: '['}", "belong together"),
        ("{kind: text, pattern: '[', pattern_words: x}", "has a `pattern` that is none"),
        ("{kind: size, least: 5}", "has a `least` that is no size"),
        ("{kind: secret, generate: {length: 4}}", "16 to 128"),
        ("{kind: number, makes: {template: redis}}", "has `makes`, which is for application"),
        ("{kind: number, greatest: 5, default: 6}", "options.x.default: must be a whole number of at most 5"),
    ] {
        let problems = wrong(option);
        assert!(problems.contains(expected), "{option}: {problems}");
    }
}

#[test]
fn publications_are_printed_as_they_are_read() {
    for text in ["none", "auto", "80", "127.0.0.1:auto", "127.0.0.1:65535", "[::1]:80"] {
        assert_eq!(text.parse::<Publication>().unwrap().to_string(), text);
    }
    for text in ["", "0", "65536", "-1", "+80", "127.0.0.1", "127.0.0.1:", "host:80", ":80", "auto:80"] {
        assert!(text.parse::<Publication>().is_err(), "{text}");
    }
    assert_eq!("0.0.0.0:80".parse::<Publication>().unwrap().to_string(), "80");
}

#[test]
fn a_catalogue_fills_in_what_it_has_and_names_what_it_lacks() {
    let catalogue = Catalogue {
        templates: [("redis".parse().unwrap(), vec![Template::parse(REDIS).unwrap()])].into(),
        ..Catalogue::default()
    };
    let filled = |own: &str| {
        let document = document(&format!("version: 1\napplications:\n  cache: {own}\n"));
        let (name, own) = document.applications.first_key_value().unwrap();
        catalogue
            .fill(name, own)
            .map_err(|reasons| reasons.iter().map(|reason| format!("{reason}\n")).collect::<String>())
    };
    assert!(filled("{image: redis:7}").unwrap().image.is_some());
    let application = filled("{template: {name: redis, answers: {password: {secret: token}}}}").unwrap();
    assert!(application.template.is_none() && application.image.is_some());
    assert!(
        filled("{template: {name: redis, version: 9}}")
            .unwrap_err()
            .contains("no template `redis 9` is known; known are redis")
    );
    assert!(filled("{template: {name: redis}}").unwrap_err().contains("answers.password: needs an answer"));
}
