//! Catalogues of other publishers: signed, opened, and every reason for which one is not taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::{Application, Name};
use openmesh_primitives::{Digest, Timestamp, ValidatorKey, sha256};
use openmesh_templates::grade::Grades;
use openmesh_templates::index::{
    ENTRIES_MAX, Entry, FORMAT, INDEX_BYTES_MAX, Index, IndexRefusal, LIFE_DAYS_MAX, Opened, Part, open,
    publisher_fault, seal,
};
use openmesh_templates::publish::{Wish, entries, next};
use openmesh_templates::views::{outcomes, sheet};
use openmesh_templates::{Composition, Order, Others, built_in, compose, makeable};
use proptest::prelude::*;

use crate::{name, order};

/// A day, in nanoseconds.
const DAY: i64 = 86_400 * 1_000_000_000;
/// A moment.
pub const NOW: Timestamp = Timestamp(1_796_000_000_000_000_000);

/// A template of somebody else.
pub const SHOP: &str = "
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
  title: { kind: text, default: Shop, pattern: \"[A-Za-z ]{1,40}\", pattern_words: letters }
  database: { kind: application, makes: { template: postgresql, share: { password: password } } }
  password: { kind: secret, generate: { length: 40 } }
backup: { schedule: \"15 3 * * *\" }
application:
  image: \"registry.example/shop:3@sha256:0000000000000000000000000000000000000000000000000000000000000000\"
  user: 1000:1000
  variables: { TITLE: \"${title}\" }
  files: { /config/password: { content: \"${password}\", mode: \"0400\" } }
  links: [\"${database}\"]
  volumes: { goods: { path: /goods, size: 64 MiB } }
  ports: { http: { port: 8080, protocol: http } }
  health: { http: { port: http } }
  limits: { memory: 64 MiB }
";
/// Its icon.
const ICON: &str =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\"><rect width=\"8\" height=\"8\"/></svg>";

fn key(seed: u8) -> ValidatorKey {
    ValidatorKey::from_seed([seed; 32])
}

pub fn files(more: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let own = [("shop@3.yaml", SHOP), ("shop.svg", ICON), ("README.md", "Words.")];
    own.iter().chain(more).map(|(file, text)| (file.to_string(), text.as_bytes().to_vec())).collect()
}

pub fn wish() -> Wish {
    Wish { catalogue: name("wares"), publisher: "Acme Ltd.".into(), days: 90 }
}

/// The first index of the shop.
fn index() -> Index {
    next(&wish(), entries(&files(&[])).unwrap(), None, NOW).unwrap()
}

fn opened(index: &Index) -> Opened {
    open(seal(index, &key(1)).unwrap().as_bytes(), &key(1).public()).unwrap()
}

/// Templates of an index, with texts by their hash.
pub fn others(index: &Index, files: &BTreeMap<String, Vec<u8>>) -> Others {
    let texts: BTreeMap<Digest, Vec<u8>> = files.values().map(|bytes| (sha256(&[bytes]), bytes.clone())).collect();
    let is_taken = |name: &Name| built_in().templates().contains_key(name);
    Others::of(&name("acme"), index, &|digest: &Digest| texts.get(digest).cloned(), &is_taken)
}

#[test]
fn an_index_is_signed_opened_and_followed_by_the_next() {
    let first = opened(&index());
    assert_eq!((first.index.sequence, first.index.publisher.as_str()), (1, "Acme Ltd."));
    assert_eq!((first.index.signed, first.index.expires), (NOW, Timestamp(NOW.nanos() + 90 * DAY)));
    let names: Vec<(String, Part)> = first.index.templates[0].files().collect();
    let wanted =
        [("shop@3.yaml".to_string(), Part::of(SHOP.as_bytes())), ("shop.svg".into(), Part::of(ICON.as_bytes()))];
    assert_eq!(names, wanted);
    assert_eq!(first.check_time(NOW), Ok(()));
    // The same again is no news, and the next one is.
    assert_eq!(first.check_order(&first.seen()), Ok(()));
    let four = SHOP.replacen("version: 3", "version: 4", 1);
    let more = entries(&files(&[("shop@4.yaml", four.as_str())])).unwrap();
    let second = opened(&next(&wish(), more, Some(&first.index), NOW).unwrap());
    assert_eq!((second.index.sequence, second.index.templates.len()), (2, 2));
    assert_eq!(second.check_order(&first.seen()), Ok(()));
    assert_eq!(second.index.check_texts(&first.index), Ok(()));
}

#[test]
fn each_reason_against_an_index_is_its_own() {
    let sealed = seal(&index(), &key(1)).unwrap();
    let public = key(1).public();
    let refused = |bytes: &[u8]| open(bytes, &public).unwrap_err();
    assert_eq!(refused(&vec![b'x'; INDEX_BYTES_MAX + 1]).code(), "catalogue_too_large");
    let newer = sealed.replacen(FORMAT, "openmesh catalogue 2", 1);
    assert!(matches!(refused(newer.as_bytes()), IndexRefusal::Format { found } if found == "openmesh catalogue 2"));
    for odd in ["", "\n", "<html>\u{1b}[2J", "openmesh catalogue 1 "] {
        let refusal = refused(odd.as_bytes());
        assert_eq!(refusal.code(), "catalogue_format", "{odd:?}");
        assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
    }
    assert_eq!(refused(format!("{FORMAT}\n").as_bytes()).code(), "catalogue_form");
    let theirs = seal(&index(), &key(2)).unwrap();
    let wrong = refused(theirs.as_bytes());
    assert!(matches!(&wrong, IndexRefusal::Key { found, wanted } if (*found, *wanted) == (key(2).public(), public)));
    // Their signature under our key's name.
    let forged = theirs.replacen(&key(2).public().to_string(), &public.to_string(), 1);
    assert_eq!(refused(forged.as_bytes()), IndexRefusal::Signature);
    assert_eq!(refused(sealed.replacen("Acme", "Evil", 1).as_bytes()), IndexRefusal::Signature);
    assert_eq!(refused(&sealed.as_bytes()[..sealed.len() - 1]), IndexRefusal::Signature);
    let codes = [
        (opened(&index()).check_time(Timestamp(NOW.nanos() + 90 * DAY)), "catalogue_expired"),
        (opened(&index()).check_time(Timestamp(NOW.nanos() - 2 * DAY)), "catalogue_early"),
    ];
    for (checked, code) in codes {
        assert_eq!(checked.unwrap_err().code(), code);
    }
    let two = Index { sequence: 2, ..index() };
    let other = Index { publisher: "Acme Inc.".into(), ..two.clone() };
    let seen = opened(&two).seen();
    assert_eq!(opened(&index()).check_order(&seen).unwrap_err().code(), "catalogue_older");
    assert_eq!(opened(&other).check_order(&seen).unwrap_err().code(), "catalogue_fork");
    let elsewhere = Index { catalogue: "tools".into(), sequence: 9, ..index() };
    assert_eq!(opened(&elsewhere).check_order(&seen).unwrap_err().code(), "catalogue_other");
    let mut altered = two.clone();
    altered.templates[0].text = Part::of(b"another text");
    assert_eq!(altered.check_texts(&two).unwrap_err().code(), "catalogue_altered");
    // Who publishes hears it before anybody else does.
    let better = SHOP.replacen("A shop.", "A better shop.", 1);
    let changed = entries(&files(&[("shop@3.yaml", better.as_str())])).unwrap();
    assert_eq!(next(&wish(), changed, Some(&index()), NOW).unwrap_err().code(), "catalogue_altered");
}

/// The body of a signed text that is not of the form of an index.
fn signed(body: &str) -> IndexRefusal {
    let message = [FORMAT.as_bytes(), b"\n", sha256(&[body.as_bytes()]).as_bytes()].concat();
    let (key, signature) = (key(1).public(), key(1).sign(&message));
    open(format!("{FORMAT}\nkey {key}\nsignature {signature}\n{body}").as_bytes(), &key).unwrap_err()
}

#[test]
fn a_right_signature_under_a_wrong_form_is_no_index() {
    let text = index().text();
    let entry = |name: &str, version: u32| Entry { name: name.into(), version, ..index().templates[0].clone() };
    for body in [
        "{}".to_string(),
        "[".repeat(100_000),
        text.replace('\n', ""),
        format!("{text} "),
        text.replacen("\"sequence\": 1", "\"sequence\": 1.0", 1),
        text.replacen("\"catalogue\"", "\"more\": 1,\n  \"catalogue\"", 1),
    ] {
        assert_eq!(signed(&body).code(), "catalogue_form", "{}", &body[..body.len().min(80)]);
    }
    type Change = Box<dyn Fn(&mut Index)>;
    let changes: [(&str, Change); 12] = [
        ("number is 0", Box::new(|index: &mut Index| index.sequence = 0)),
        ("name of its catalogue", Box::new(|index: &mut Index| index.catalogue = "../etc".into())),
        ("character that is no letter", Box::new(|index: &mut Index| index.publisher = "Ac\u{202e}me".into())),
        ("program's own", Box::new(|index: &mut Index| index.publisher = "Open-Mesh (built in)".into())),
        ("holds for no time", Box::new(|index: &mut Index| index.expires = index.signed)),
        ("more than 400 days", Box::new(|index: &mut Index| index.expires = Timestamp(NOW.nanos() + 401 * DAY))),
        (
            "stands there twice",
            Box::new(move |index: &mut Index| index.templates = vec![entry("shop", 3), entry("shop", 3)]),
        ),
        (
            "in their order",
            Box::new(|index: &mut Index| {
                let newer = Entry { version: 4, ..index.templates[0].clone() };
                index.templates.insert(0, newer);
            }),
        ),
        ("no name and version", Box::new(|index: &mut Index| index.templates[0].name = "../../etc/passwd".into())),
        ("no name and version", Box::new(|index: &mut Index| index.templates[0].version = 0)),
        ("a file of shop has", Box::new(|index: &mut Index| index.templates[0].text.bytes = 1 << 40)),
        (
            "more than 200 templates",
            Box::new(|index: &mut Index| {
                let one = index.templates[0].clone();
                let count = u32::try_from(ENTRIES_MAX).unwrap() + 1;
                index.templates = (1..=count).map(|version| Entry { version, ..one.clone() }).collect();
            }),
        ),
    ];
    // Words about what somebody else has written have an end, and command no terminal.
    let long = format!("\"{}\\u001b[2J\\u202e\"", "x".repeat(100_000));
    let refusal = signed(&text.replacen("\"catalogue\"", &long, 1)).to_string();
    assert!(refusal.len() < 1_000 && !refusal.contains(['\u{1b}', '\u{202e}']), "{refusal}");
    let refusal = signed(&text.replacen("\"catalogue\"", "\"\\u001b[2J\\u202e\"", 1)).to_string();
    assert!(!refusal.contains(['\u{1b}', '\u{202e}']), "{refusal}");
    for (words, change) in changes {
        let mut wrong = index();
        change(&mut wrong);
        let refusal = signed(&wrong.text());
        assert!(refusal.to_string().contains(words), "{words}: {refusal}");
        assert_eq!(seal(&wrong, &key(1)).unwrap_err(), refusal, "whoever signs hears it too");
    }
    let wide = wish();
    let longest = next(&Wish { days: u32::MAX, ..wide }, Vec::new(), None, NOW).unwrap();
    assert_eq!(longest.expires, Timestamp(NOW.nanos() + i64::from(LIFE_DAYS_MAX) * DAY));
}

#[test]
fn a_publisher_has_a_name_that_is_read_in_one_way() {
    for name in [
        "Acme Ltd.",
        "Ärzte & Söhne (2)",
        "Ελληνική Εταιρεία",
        "Московская мастерская",
        "株式会社 Acme",
        "한국 소프트웨어",
    ] {
        assert_eq!(publisher_fault(name), None, "{name}");
    }
    for (name, words) in [
        ("A", "has no name"),
        ("Openmesh", "program's own"),
        ("OPEN mesh.org", "program's own"),
        ("0penmesh", "program's own"),
        ("Öpenmesh Ltd.", "program's own"),
        ("Openmeѕh", "two alphabets"),
        ("Οpenmesh", "two alphabets"),
        ("\u{ff2f}\u{ff50}enmesh", "no letter"),
        ("\u{a4f3}\u{a4d1}\u{a4f0}\u{a4e0}", "no letter"),
        ("Ac\u{ad}me", "no letter"),
        ("Acme <b>", "no letter"),
    ] {
        let fault = publisher_fault(name);
        assert!(fault.is_some_and(|fault| fault.contains(words)), "{name}: {fault:?}");
    }
}

#[test]
fn a_publisher_hears_every_fault_of_a_folder() {
    let root = SHOP.replacen("  user: 1000:1000\n", "  wish: stopped\n", 1);
    let named = SHOP.replacen("name: shop", "name: redis", 1);
    let powerful = SHOP.replacen("name: shop", "name: power", 1).replacen("  user: 1000:1000\n", "", 1);
    let faults = entries(&files(&[
        ("shop@4.yaml", SHOP),
        ("shop@05.yaml", SHOP),
        ("till.yaml", SHOP),
        ("redis@3.yaml", named.as_str()),
        ("bad@1.yaml", "name: ["),
        ("odd@1.yaml", root.as_str()),
        ("power@3.yaml", powerful.as_str()),
        ("till.svg", "<svg onload=\"x\"></svg>"),
    ]));
    let faults = faults.unwrap_err().join("\n");
    for words in [
        "shop@4.yaml: its text is that of shop 3",
        "shop@05.yaml: a template's file is called NAME@VERSION.yaml",
        "till.yaml: a template's file",
        "redis@3.yaml: has the name of a built-in template",
        "bad@1.yaml:",
        "odd@1.yaml:",
        "power@3.yaml: the application that it comes to",
        "till.svg:",
    ] {
        assert!(faults.contains(words), "{words}: {faults}");
    }
    assert!(entries(&BTreeMap::new()).unwrap_err()[0].contains("NAME@VERSION.yaml"));
}

#[test]
fn templates_of_others_stand_beside_the_built_in_ones_and_take_the_place_of_none() {
    let built_in_name = SHOP.replacen("name: shop", "name: redis", 1);
    let files = files(&[("redis@3.yaml", built_in_name.as_str())]);
    // A publisher of other tools signs what ours refuse to sign.
    let mut index = index();
    let redis = Entry { name: "redis".into(), text: Part::of(built_in_name.as_bytes()), ..index.templates[0].clone() };
    index.templates.insert(0, redis);
    let missing = Entry { name: "zebra".into(), text: Part::of(b"nowhere"), ..index.templates[0].clone() };
    index.templates.push(missing);
    let theirs = others(&opened(&index).index, &files);
    let problems = theirs.problems().join("\n");
    assert!(problems.contains("redis 3: has the name of a built-in template"), "{problems}");
    assert!(problems.contains("zebra 3: its text is not here"), "{problems}");
    let library = built_in().with([(name("acme"), Arc::new(theirs))].into());
    assert_eq!(library.find(&name("redis"), None), built_in().find(&name("redis"), None));
    assert!(library.find(&name("shop"), None).is_none(), "without its catalogue it is not found");
    let shop = library.find_in(Some(&name("acme")), &name("shop"), None).unwrap();
    let view = sheet(&library, &Grades::built_in(), shop).unwrap();
    assert_eq!(view.summary.catalogue.as_deref(), Some("acme"));
    assert_eq!(view.summary.publisher.as_deref(), Some("Acme Ltd."));
    assert_eq!((view.summary.icon.as_str(), view.versions.as_slice()), (ICON, &["3".to_string()][..]));
    // No expression of theirs is run by a browser.
    let title = view.fields.iter().find(|field| field.name == "title").unwrap();
    assert_eq!((&title.pattern, title.pattern_words.as_deref()), (&None, Some("letters")));
    let found: Vec<&str> = library.search("shop acme", None).into_iter().map(|(_, card)| card.title.as_str()).collect();
    assert_eq!(found, ["Shop"]);
    assert_eq!(library.search("", None).len(), built_in().templates().len() + 1);
}

#[test]
fn an_order_of_others_names_its_catalogue_and_brings_a_built_in_database() {
    let theirs = others(&index(), &files(&[]));
    let library = built_in().with([(name("acme"), Arc::new(theirs))].into());
    let order = Order { catalogue: Some(name("acme")), backup: Some(name("disk")), ..order("shop", "till", &[]) };
    let made = compose(&library, &order).unwrap();
    let own = made.applications[&name("till")].template.as_ref().unwrap();
    assert_eq!(own.words(), "acme/shop 3");
    let database = made.applications[&name("till-database")].template.as_ref().unwrap();
    assert_eq!((database.name.as_str(), &database.catalogue), ("postgresql", &None));
    let rows = outcomes(&library, &made);
    assert_eq!((rows[0].template.as_str(), rows[0].publisher.as_deref()), ("acme/shop 3", Some("Acme Ltd.")));
    assert_eq!(rows[1].publisher, None);
    let backup = made.applications[&name("till")].backup.as_ref().unwrap();
    assert_eq!(backup.schedule.to_string(), "15 3 * * *");
    // A document of it says which secrets are made, where its templates can be had.
    let theirs = library.others()[&name("acme")].templates().iter();
    let others = theirs.map(|(template, versions)| ((name("acme"), template.clone()), versions.clone())).collect();
    let catalogue = Catalogue { templates: library.templates().clone(), others, ..Catalogue::default() };
    assert_eq!(made.secrets, BTreeMap::from([(name("till-password"), 40)]));
    assert_eq!(makeable(&catalogue, &made.applications), made.secrets);
    let shop = made.applications.iter().filter(|(own, _)| own.as_str() == "till");
    let shop: BTreeMap<Name, Application> = shop.map(|(own, shop)| (own.clone(), shop.clone())).collect();
    assert_eq!(makeable(&Catalogue { others: BTreeMap::new(), ..catalogue }, &shop), BTreeMap::new());
    // The machine holds an answer against the pattern that the browser was not told.
    let wrong = Order { answers: [(name("title"), "<b>".to_string())].into(), ..order.clone() };
    let faults = compose(&library, &wrong).unwrap_err();
    assert!(faults.iter().any(|fault| fault.option.as_deref() == Some("title")), "{faults:?}");
    let elsewhere = Order { catalogue: Some(name("other")), ..order };
    assert!(compose(&library, &elsewhere).unwrap_err()[0].message.contains("no template `other/shop`"));
}

#[test]
fn a_companion_of_others_opens_and_reaches_nothing_that_nobody_named() {
    let brought = |makes: &str| {
        let from = "makes: { template: postgresql, share: { password: password } }";
        assert!(SHOP.contains(from));
        let text = SHOP.replacen(from, &format!("makes: {makes}"), 1);
        let files = files(&[("shop@3.yaml", text.as_str())]);
        let index = next(&wish(), entries(&files).unwrap(), None, NOW).unwrap();
        let library = built_in().with([(name("acme"), Arc::new(others(&index, &files)))].into());
        let order = Order { catalogue: Some(name("acme")), ..order("shop", "till", &[]) };
        compose(&library, &order).map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())
    };
    assert!(brought("{ template: postgresql, answers: { port: none }, share: { password: password } }").is_ok());
    for (makes, words) in [
        ("{ template: postgresql, answers: { port: auto }, share: { password: password } }", "open to others"),
        (
            "{ template: postgresql, answers: { port: \"0.0.0.0:5432\" }, share: { password: password } }",
            "open to others",
        ),
        ("{ template: static-site }", "open to others"),
        ("{ template: static-site, answers: { port: none, domain: a.example } }", "open to others"),
        ("{ template: wordpress, answers: { port: none, database: bank } }", "reach the application bank"),
    ] {
        let faults = brought(makes).unwrap_err();
        assert!(faults.contains(words), "{makes}: {faults}");
    }
    // A companion of a companion is made here, and may be reached.
    assert!(brought("{ template: wordpress, answers: { port: none } }").is_ok());
}

/// The applications of an order of the shop with another text.
fn ordered(text: &str, answers: &[(&str, &str)]) -> Result<Composition, String> {
    let files = files(&[("shop@3.yaml", text)]);
    let index = next(&wish(), entries(&files).unwrap(), None, NOW).unwrap();
    let library = built_in().with([(name("acme"), Arc::new(others(&index, &files)))].into());
    let order = Order { catalogue: Some(name("acme")), ..order("shop", "till", answers) };
    compose(&library, &order).map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())
}

#[test]
fn a_companion_reaches_what_a_person_has_named() {
    let from = "makes: { template: postgresql, share: { password: password } }";
    let to = "makes: { template: wordpress, answers: { port: none }, share: { database: peer, password: password } }";
    assert!(SHOP.contains(from));
    let text = SHOP.replacen(from, to, 1).replacen("  title: {", "  peer: { kind: application }\n  title: {", 1);
    let made = ordered(&text, &[("peer", "bank")]).unwrap();
    assert!(made.applications[&name("till-database")].links.contains(&name("bank")));
}

#[test]
fn an_order_comes_to_few_applications() {
    let with = |count: u32| {
        let more: String = (0..count)
            .map(|n| format!("  d{n}: {{ kind: application, makes: {{ template: postgresql }} }}\n"))
            .collect();
        SHOP.replacen("options:\n", &format!("options:\n{more}"), 1)
    };
    assert_eq!(ordered(&with(14), &[]).unwrap().applications.len(), 16);
    let faults = ordered(&with(15), &[]).unwrap_err();
    assert!(faults.contains("more than 16 applications"), "{faults}");
    // Each of them would make as many.
    let own = SHOP.replacen("template: postgresql, share: { password: password }", "template: shop", 1);
    let more: String =
        (0..30).map(|n| format!("  d{n}: {{ kind: application, makes: {{ template: shop }} }}\n")).collect();
    let faults = ordered(&own.replacen("options:\n", &format!("options:\n{more}"), 1), &[]).unwrap_err();
    assert!(faults.contains("more than 16 applications"), "{faults}");
}

proptest! {
    /// One bit that is another one makes another refusal or none at all, and never another index.
    #[test]
    fn no_flipped_bit_is_taken(at in 0usize..4_000, bit in 0u8..8) {
        let right = seal(&index(), &key(1)).unwrap();
        let mut bytes = right.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // Digits of the head may be capitals, which say the same.
        if let Ok(opened) = open(&bytes, &key(1).public()) {
            prop_assert_eq!(opened.index, index());
        }
    }

    /// Whatever stands in a file, it is an index or a refusal.
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in any::<bool>()) {
        let head = if head { format!("{FORMAT}\nkey {}\nsignature ", key(1).public()) } else { String::new() };
        let bytes = [head.into_bytes(), bytes].concat();
        prop_assert!(open(&bytes, &key(1).public()).is_err());
    }
}
