//! Catalogues of templates of other publishers: an index behind a right signature, and the texts that it names.

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, Root};
use openmesh_blueprint::template::Template;
use openmesh_primitives::{Timestamp, ValidatorKey, sha256};
use openmesh_templates::icon_fault;
use openmesh_templates::index::{ENTRIES_MAX, FORMAT, INDEX_BYTES_MAX, open, seal};

/// The publisher's key.
fn key() -> ValidatorKey {
    ValidatorKey::from_seed([7; 32])
}

/// Bytes that a publisher has signed are an index that is written again as the same bytes, or a refusal; the same bytes without that signature are never one.
pub fn index(data: &[u8]) {
    let key = key();
    assert!(open(data, &key.public()).is_err(), "nobody can sign for the publisher");
    let digest = sha256(&[data]);
    let message = [FORMAT.as_bytes(), b"\n", digest.as_bytes()].concat();
    let head = format!("{FORMAT}\nkey {}\nsignature {}\n", key.public(), key.sign(&message));
    let bytes = [head.as_bytes(), data].concat();
    let Ok(opened) = open(&bytes, &key.public()) else { return };
    assert!(bytes.len() <= INDEX_BYTES_MAX && opened.index.templates.len() <= ENTRIES_MAX);
    let sealed = seal(&opened.index, &key).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(sealed.as_bytes(), bytes, "an index has one form");
    assert_eq!(opened.check_order(&opened.seen()), Ok(()));
    assert!(opened.check_time(opened.index.expires).is_err());
    for entry in &opened.index.templates {
        for (file, _) in entry.files() {
            assert!(!file.starts_with('.') && !file.contains(['/', '\\', '\0']), "{file}");
        }
    }
    let other = ValidatorKey::from_seed([8; 32]).public();
    assert!(open(&bytes, &other).is_err());
    let _ = opened.check_time(Timestamp(0));
}

/// A text of somebody else is refused, or makes applications without rights of their own.
pub fn template(data: &[u8]) {
    let _ = icon_fault(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let catalogue: Name = "acme".parse().unwrap();
    let read = Template::parse_of_others(text, &catalogue);
    assert_eq!(read, Template::parse_of_others(text, &catalogue));
    let Ok(template) = read else { return };
    assert!(Template::parse(text).is_ok(), "the rules of others are stricter");
    let document = format!(
        "version: 1\napplications: {{it: {{template: {{catalogue: acme, name: {}, version: \"{}\"}}}}}}\n",
        template.name, template.version
    );
    let document = Document::parse(&document).unwrap_or_else(|problems| panic!("{problems:?}"));
    let own = document.applications.values().next().unwrap();
    let Ok(application) = template.render(own) else { return };
    assert!(application.user.is_some_and(|user| user.uid != 0) && application.root == Root::ReadOnly);
    assert!(application.capabilities.is_empty() && application.domains.is_empty() && application.backup.is_none());
    assert!(application.gpus.is_none(), "a person alone gives them");
    assert!(application.links.is_empty() && application.secrets().is_empty(), "nothing was named");
    assert!(application.ports.values().all(|port| port.publish.is_none()));
}

/// Seeds of [`index`].
pub fn index_seeds() -> Vec<Vec<u8>> {
    let part =
        |digit: &str| format!("{{\n        \"sha256\": \"{}\",\n        \"bytes\": 7\n      }}", digit.repeat(64));
    let entry = |name: &str, version: u32| {
        format!(
            "    {{\n      \"name\": \"{name}\",\n      \"version\": {version},\n      \"text\": {},\n      \"icon\": {}\n    }}",
            part("a"),
            if version > 1 { part("b") } else { "null".to_string() }
        )
    };
    let index = |entries: &[String]| {
        let templates = if entries.is_empty() { "[]".to_string() } else { format!("[\n{}\n  ]", entries.join(",\n")) };
        format!(
            "{{\n  \"catalogue\": \"wares\",\n  \"publisher\": \"Acme Ltd.\",\n  \"sequence\": 1,\n  \"signed\": \"1796000000\",\n  \"expires\": \"1797000000\",\n  \
             \"templates\": {templates}\n}}\n"
        )
    };
    [index(&[]), index(&[entry("shop", 1)]), index(&[entry("shop", 2), entry("shop", 3), entry("till", 1)])]
        .map(String::into_bytes)
        .to_vec()
}

/// Seeds of [`template`].
pub fn template_seeds() -> Vec<Vec<u8>> {
    let head = "name: a\nversion: 1\ncard: {title: A, category: web, summary: A., description: A., homepage: \"https://a.example/\", licence: MIT, \
                needs: {memory: 64 MiB, disk: 1 GiB, image: 1 MiB}, open: {port: p}}\n";
    let digest = "0".repeat(64);
    let application = format!(
        "application:\n  image: \"a.example/a@sha256:{digest}\"\n  user: 1000:1000\n  ports: {{p: {{port: 80}}}}\n  health: {{tcp: {{port: p}}}}\n  limits: {{memory: 64 MiB}}\n"
    );
    let options = "options:\n  p: {kind: port, port: p, default: none}\n  t: {kind: text, default: x, pattern: \"[a-z]{1,9}\", pattern_words: letters}\n";
    [
        format!("{head}{application}"),
        format!("{head}{options}backup: {{schedule: \"1 3 * * *\"}}\n{application}  command: [\"${{t}}\"]\n  volumes: {{d: {{path: /d, size: 16 MiB}}}}\n"),
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M0 0\"/></svg>".to_string(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
