//! Documents and compose files, as a person or a page of a stranger gives them.

use std::collections::BTreeSet;

use openmesh_blueprint::Document;
use openmesh_blueprint::compose::{Context, FindingKind, env_lines, files_named, import};
use openmesh_blueprint::document::Content;
use openmesh_blueprint::text::{NODES_MAX, Node, SCALAR_BYTES, Value, parse};

/// Password that stands in no seed, so that it can only come from the variable.
const PASSWORD: &str = "correct-horse-battery-staple";

/// A text is read within its bounds, each key of a map once; what is a document is printed in one way.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(tree) = parse(text) {
        let (mut values, mut bytes) = (0, 0);
        count(&tree, &mut values, &mut bytes);
        assert!(values <= NODES_MAX, "{values} values");
        assert!(bytes <= NODES_MAX * SCALAR_BYTES, "{bytes} bytes of text");
    }
    let Ok(document) = Document::parse(text) else { return };
    let (yaml, json) = (document.to_yaml(), document.to_json());
    for printed in [&yaml, &json] {
        let again = Document::parse(printed).unwrap_or_else(|problems| panic!("{printed}\n{problems:?}"));
        assert_eq!(again, document);
    }
    assert_eq!(Document::parse(&yaml).map(|again| again.to_yaml()), Ok(yaml.clone()));
}

fn count(node: &Node, values: &mut usize, bytes: &mut usize) {
    *values += 1;
    match &node.value {
        Value::Scalar { text, .. } => *bytes += text.len(),
        Value::List(items) => items.iter().for_each(|item| count(item, values, bytes)),
        Value::Map(entries) => {
            let keys: BTreeSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
            assert_eq!(keys.len(), entries.len(), "a key stands twice");
            entries.iter().for_each(|entry| count(&entry.value, values, bytes));
        }
    }
}

/// A compose file gives problems, or a right document with findings that have a line; the same in every reading. No password of a variable becomes
/// text of a variable, and no file is asked for that lies elsewhere.
pub fn compose(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
    let context = Context {
        variables: owned(&[("SET", "1"), ("EMPTY", ""), ("DB_PASSWORD", PASSWORD)]),
        files: owned(&[
            ("app.env", "MODE=fast\nURL=http://${DB_PASSWORD}@db\n"),
            ("x.conf", "proxy_pass http://b:80;\n"),
        ]),
        profiles: ["debug".to_string()].into(),
        images: owned(&[("built", "ghcr.io/me/built:1")]),
    };
    let _ = env_lines(text, &context.variables);
    for path in files_named(text, &context.variables) {
        assert!(!path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
    }
    let read = import(text, &context);
    assert_eq!(read, import(text, &context));
    let Ok(imported) = read else { return };
    let document = imported.document();
    let again = Document::parse(&document.to_yaml()).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    assert_eq!(&again, document);
    let unsupported = imported.findings().iter().filter(|finding| finding.kind == FindingKind::Unsupported);
    let paths: BTreeSet<String> = unsupported.map(|finding| finding.path.clone()).collect();
    assert_eq!(imported.accept(&BTreeSet::new()).is_ok(), paths.is_empty());
    assert_eq!(imported.accept(&paths).ok(), Some(document));
    assert!(imported.findings().iter().all(|finding| finding.place.line > 0));
    for application in document.applications.values() {
        for content in application.variables.values() {
            assert!(!matches!(content, Content::Text(text) if text.contains(PASSWORD)), "{text}");
        }
    }
}

/// Seeds of [`text`].
pub fn text_seeds() -> Vec<Vec<u8>> {
    [
        "version: 1\napplications:\n  web:\n    image: nginx:1\n    ports: {http: {port: 80, publish: {}}}\n    links: [db]\n  db: {image: mariadb:11}\n",
        "{\"version\":1,\"applications\":{\"a\":{\"image\":\"a\",\"files\":{\"/x\":{\"content\":\"\\ud83d\\ude00\",\"mode\":\"0644\"}}}}}",
        "a: &a [x, x, x]\nb: &b [*a, *a]\nc: {<<: {k: *b}, k: 1}\n",
        "a: &a \"0123456789012345678901234567890123456789012345678901234567890123456789\"\nb: [*a, *a, *a]\n",
        "version: 1\napplications: {a: {recipe: {debian: {busybox: 1.35}}, files: {/k: {content: {secret: k}}}, limits: {memory: 64MiB}}}\n",
        "a: !!str 5\nb: !secret x\nc: ! y\n? [k]\n: v\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Seeds of [`compose`].
pub fn compose_seeds() -> Vec<Vec<u8>> {
    [
        "services:\n  web:\n    image: web:${TAG:-1}\n    ports: ['8080:80', {target: 443, published: 8443}]\n    environment: {DB_HOST: db, DB_PASSWORD: '${DB_PASSWORD}', URL: 'postgres://u:${DB_PASSWORD}@db:5432/x'}\n    depends_on: {db: {condition: service_healthy}}\n    volumes: ['data:/data:ro', './x.conf:/etc/x.conf:ro', /scratch]\n    networks: [front]\n  db:\n    image: postgres:16\n    healthcheck: {test: [CMD-SHELL, pg_isready], interval: 10s, retries: 5}\n    env_file: [app.env]\n    networks: {front: {aliases: [sql]}}\nnetworks: {front: {internal: true}}\nvolumes: {data: {}}\n",
        "x-base: &base {restart: 'on-failure:3', cap_drop: [all], cap_add: [chown]}\nservices:\n  base: {<<: *base, image: a, environment: [A=1, B]}\n  built: {extends: base, build: ., ports: !reset ['80'], environment: {A: $DB_PASSWORD}, command: !override [x, '$$y']}\n  c: {image: c, profiles: [debug], entrypoint: [], command: /run, tmpfs: /tmp, user: '1000'}\n",
        "services:\n  a:\n    image: a\n    secrets: [s, {source: s, target: k, mode: 0440, uid: '1'}]\n    configs: [{source: c, target: c.cnf}]\n    labels: ['traefik.http.routers.a.rule=Host(`a.example.org`)', traefik.http.services.a.loadbalancer.server.port=80]\n    deploy: {replicas: 0, resources: {limits: {memory: 1g, cpus: '0.5'}, reservations: {devices: [{capabilities: [gpu]}]}}}\nsecrets: {s: {file: ./s}}\nconfigs: {c: {content: 'http://a:80 ${EMPTY:-${SET:+${NONE-z}}}'}}\ninclude: [b.yml]\n",
        "A=1\nexport B=\"x\\n${A}\" # c\nC='$A'\nDB_PASSWORD\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
