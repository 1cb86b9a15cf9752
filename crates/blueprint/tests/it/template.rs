//! Templates: answers, their refusals, and what is laid over them.

use openmesh_blueprint::document::Application;
use openmesh_blueprint::template::Template;
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
