//! Documents of the door from generations, marks and instances: what a switch asks of it at each of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use openmesh_blueprint::catalogue::{Catalogue, ImageFacts};
use openmesh_blueprint::document::{Name, Size};
use openmesh_blueprint::generation::Cause;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::resolve::Allocations;
use openmesh_blueprint::{Document, Generation, resolve};
use openmesh_door::check::check;
use openmesh_door::document::{Admission, Certificate, Challenge, Document as DoorDocument, Page};
use openmesh_door::limits::WALLETS_MAX;
use openmesh_door::pass::Key;
use openmesh_primitives::{Timestamp, sha256};
use openmesh_xnode::door::document::{Facts, Offers, Own, Places, PublishedPort, Revisions, Written, own_document};
use openmesh_xnode::door::visitors::Visitors;
use openmesh_xnode::marks::{DoorMark, PageMark};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The generation of some applications after another one.
fn generation(applications: &str, previous: Option<&Generation>) -> Generation {
    let text = format!("version: 1\nmachine: {{subnet: 10.9.0.0/24}}\napplications:\n{applications}");
    let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let images = document.applications.values().filter_map(|application| application.image.as_ref()).map(|image| {
        let digest = sha256(&[image.to_string().as_bytes()]);
        (image.clone(), ImageFacts { digest, packed: Size(1), unpacked: Size(1) })
    });
    let catalogue = Catalogue { images: images.collect(), ..Catalogue::default() };
    let allocations = Allocations {
        node: name("kitchen"),
        taken: BTreeMap::new(),
        highest: previous.map_or(0, |previous| previous.number),
        busy: BTreeMap::new(),
        first_id: 0x7000_0000,
        id_ranges: 16,
        secrets: BTreeMap::new(),
        committed: previous.map_or(0, |previous| previous.number),
        disposals: BTreeMap::new(),
        gone: BTreeSet::new(),
        gpus: openmesh_blueprint::gpu::Stock::default(),
    };
    let cause = Cause { by: "test".into(), reason: "a test".into(), at: Timestamp(1_795_953_600_000_000_000) };
    resolve(&document, &catalogue, &allocations, previous, cause).unwrap_or_else(|reasons| panic!("{reasons:#?}"))
}

/// The facts of a machine, by their owner.
struct Stage {
    wanted: Generation,
    serving: Option<Generation>,
    marks: BTreeMap<Name, DoorMark>,
    pages: BTreeMap<Name, PageMark>,
    unknown: BTreeSet<Name>,
    served: Option<DoorDocument>,
    instances: BTreeMap<Name, BTreeMap<InstanceId, Ipv4Addr>>,
    published: Vec<PublishedPort>,
    certified: BTreeSet<String>,
    challenges: BTreeMap<String, Challenge>,
    own: Option<Own>,
    visitors: Option<Visitors>,
}

impl Stage {
    fn new(wanted: Generation, serving: Option<Generation>) -> Stage {
        Stage {
            wanted,
            serving,
            marks: BTreeMap::new(),
            pages: BTreeMap::new(),
            unknown: BTreeSet::new(),
            served: None,
            instances: BTreeMap::new(),
            published: Vec::new(),
            certified: BTreeSet::new(),
            challenges: BTreeMap::new(),
            own: None,
            visitors: None,
        }
    }

    fn id(generation: &Generation, application: &str, index: u32) -> InstanceId {
        InstanceId { revision: generation.revision(&name(application)).unwrap(), index }
    }

    /// An instance of an application as a generation has it.
    fn with(mut self, generation: &Generation, application: &str, index: u32, last: u8) -> Stage {
        let id = Stage::id(generation, application, index);
        self.instances.entry(name(application)).or_default().insert(id, Ipv4Addr::new(10, 9, 0, last));
        self
    }

    fn mark(mut self, application: &str, mark: DoorMark) -> Stage {
        self.marks.insert(name(application), mark);
        self
    }

    fn open(self, generation: &Generation, application: &str, instances: u32) -> Stage {
        let revision = generation.revision(&name(application)).unwrap().to_string();
        self.mark(application, DoorMark::Open { revision, instances, without: None })
    }

    /// Every port that the wanted generation publishes.
    fn published(mut self) -> Stage {
        for (application, placed) in &self.wanted.placement.applications {
            let ports = placed.ports.iter();
            let all =
                ports.map(|(port, at)| PublishedPort { at: *at, application: application.clone(), port: port.clone() });
            self.published.extend(all);
        }
        self
    }

    fn written(&self) -> Written {
        let any = |port: u16| vec![([0u8; 4], port).into(), ([0u16; 8], port).into()];
        let places = Places { http: any(80), https: any(443), both_families: true };
        let revisions = Revisions::of(&self.wanted, self.serving.as_ref());
        let facts = Facts {
            wanted: &self.wanted,
            serving: self.serving.as_ref(),
            revisions: &revisions,
            others: &[],
            marks: &self.marks,
            pages: &self.pages,
            unknown: &self.unknown,
            served: self.served.as_ref(),
            instances: &self.instances,
            published: &self.published,
            places: &places,
            own: self.own.as_ref(),
            visitors: self.visitors.as_ref(),
        };
        let written = facts.document(&|names: &BTreeSet<String>| {
            let known = names.intersection(&self.certified);
            let one = |name: &String| Certificate {
                names: vec![name.clone()],
                chain: format!("/c/{name}.pem").into(),
                key: format!("/c/{name}.key").into(),
            };
            Offers { certificates: known.map(one).collect(), challenges: self.challenges.clone() }
        });
        // Whatever a machine looks like, the door takes the document.
        assert_eq!(check(&written.document), []);
        written
    }

    /// The document with revisions replaced by words.
    fn said(&self, words: &[(&Generation, &str, &str)]) -> Value {
        let mut text = serde_json::to_string(&self.written().document).unwrap();
        for (generation, application, word) in words {
            text = text.replace(&generation.revision(&name(application)).unwrap().to_string(), word);
        }
        serde_json::from_str(&text).unwrap()
    }
}

/// A web server with a domain and a published port.
fn web(image: &str, port: u16) -> String {
    format!(
        "  web:\n    image: localhost/web:{image}\n    ports: {{http: {{port: {port}, protocol: http, publish: {{port: 8088, address: 127.0.0.1}}}}}}\n    \
         domains: {{shop.lan: {{port: http}}}}\n    switch: {{drain: 5s, hold: 20s}}\n"
    )
}

#[test]
fn a_served_application() {
    let first = generation(&web("1", 8080), None);
    let mut stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).published();
    stage.certified.insert("shop.lan".into());
    let expected = json!({
        "version": 1, "serial": 0,
        "listeners": [
            { "address": "127.0.0.1:8088", "tls": false, "route": "web/http" },
            { "address": "0.0.0.0:80", "tls": false },
            { "address": "[::]:80", "tls": false },
            { "address": "0.0.0.0:443", "tls": true },
            { "address": "[::]:443", "tls": true },
        ],
        "hosts": { "shop.lan": { "route": "web/http", "access": "everybody" } },
        "tcp": [],
        "routes": { "web/http": {
            "protocol": "http1", "admission": "open", "hold_ms": 20_000,
            "instances": [{ "name": "first.0", "address": "10.9.0.2:8080", "traffic": "admit", "drain_ms": 5_000 }],
            "page": null,
        } },
        "certificates": [{ "names": ["shop.lan"], "chain": "/c/shop.lan.pem", "key": "/c/shop.lan.key" }],
    });
    assert_eq!(stage.said(&[(&first, "web", "first")]), expected);
    assert_eq!(stage.written().remarks, Vec::<String>::new());
    // Without a certificate there is no TLS, and without a domain no place for domains.
    stage.certified.clear();
    assert!(stage.written().document.listeners.iter().all(|listener| !listener.tls));
    let bare = generation(&web("1", 8080).replace("    domains: {shop.lan: {port: http}}\n", ""), None);
    let bare = Stage::new(bare.clone(), None).with(&bare, "web", 0, 2).open(&bare, "web", 1).published();
    assert_eq!(bare.written().document.listeners.len(), 1);
}

#[test]
fn an_application_that_is_away_has_the_text_of_its_own_page() {
    let first = generation(&web("1", 8080), None);
    let mut stage = Stage::new(first, None).mark("web", DoorMark::Maintenance);
    let page = |stage: &Stage| stage.written().document.routes["web/http"].page.clone();
    assert_eq!(page(&stage), None);
    let (title, text) = ("It has moved".to_string(), "It is on another machine.".to_string());
    stage.pages.insert(name("web"), PageMark { title: title.clone(), text: text.clone() });
    assert_eq!(page(&stage), Some(Page { title, text }));
}

#[test]
fn a_switch_of_one_writer_at_each_step() {
    let first = generation(&web("1", 8080), None);
    let second = generation(&web("2", 9090), Some(&first));
    let words = [(&first, "web", "old"), (&second, "web", "new")];
    let begun = Stage::new(second.clone(), Some(first.clone())).published();
    let route = |stage: &Stage| stage.said(&words)["routes"]["web/http"].clone();
    let instances = |stage: &Stage| route(stage)["instances"].clone();
    let old =
        |traffic: &str| json!({ "name": "old.0", "address": "10.9.0.2:8080", "traffic": traffic, "drain_ms": 5_000 });
    let new =
        |traffic: &str| json!({ "name": "new.0", "address": "10.9.0.3:9090", "traffic": traffic, "drain_ms": 5_000 });

    let stage = begun.with(&first, "web", 0, 2).open(&first, "web", 1);
    assert_eq!((route(&stage)["admission"].clone(), instances(&stage)), (json!("open"), json!([old("admit")])));
    let stage = stage.mark("web", DoorMark::Holding);
    assert_eq!((route(&stage)["admission"].clone(), instances(&stage)), (json!("hold"), json!([old("drain")])));
    // The new one is there and waits for its gate; each has the port of its own version.
    let stage = stage.with(&second, "web", 0, 3);
    let both = instances(&stage);
    assert!(both == json!([old("drain"), new("drain")]) || both == json!([new("drain"), old("drain")]), "{both}");
    let stage = stage.open(&second, "web", 1);
    assert_eq!(
        (route(&stage)["admission"].clone(), instances(&stage)),
        (json!("open"), json!([new("admit"), old("drain")]))
    );
    // The listener and the host were there all the time.
    let document = stage.said(&words);
    assert_eq!(document["listeners"][0]["route"], json!("web/http"));
    assert_eq!(document["hosts"]["shop.lan"]["route"], json!("web/http"));
}

#[test]
fn an_open_door_without_its_instance_lets_people_wait() {
    let first = generation(&web("1", 8080), None);
    let stage = Stage::new(first.clone(), None).open(&first, "web", 1).published();
    assert_eq!(stage.written().document.routes["web/http"].admission, Admission::Hold);
    for (mark, admission) in [(DoorMark::Maintenance, Admission::Maintenance), (DoorMark::Closed, Admission::Closed)] {
        let stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).mark("web", mark);
        assert_eq!(stage.written().document.routes["web/http"].admission, admission);
    }
}

#[test]
fn a_port_that_goes_is_closed_and_stays_for_its_drain() {
    let first = generation(&web("1", 8080), None);
    let renamed = web("2", 8080).replace("ports: {http:", "ports: {site:").replace("{port: http}", "{port: site}");
    let second = generation(&renamed, Some(&first));
    let stage = Stage::new(second.clone(), Some(first.clone()))
        .with(&first, "web", 0, 2)
        .with(&second, "web", 0, 3)
        .open(&second, "web", 1);
    let routes = stage.written().document.routes;
    assert_eq!((routes["web/http"].admission, routes["web/site"].admission), (Admission::Closed, Admission::Open));
    let names = |route: &str| routes[route].instances.iter().map(|one| one.address.to_string()).collect::<Vec<_>>();
    assert_eq!((names("web/http"), names("web/site")), (vec!["10.9.0.2:8080".into()], vec!["10.9.0.3:8080".into()]));
}

#[test]
fn several_instances_share_a_route_and_the_superfluous_drain() {
    let three = web("1", 8080) + "    instances: 3\n";
    let first = generation(&three, None);
    let stage = Stage::new(first.clone(), None)
        .with(&first, "web", 0, 2)
        .with(&first, "web", 1, 3)
        .with(&first, "web", 2, 4)
        .open(&first, "web", 2);
    let route = stage.said(&[(&first, "web", "r")])["routes"]["web/http"].clone();
    let traffic: Vec<(&str, &str)> = route["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["traffic"].as_str().unwrap()))
        .collect();
    assert_eq!(traffic, [("r.0", "admit"), ("r.1", "admit"), ("r.2", "drain")]);
}

#[test]
fn raw_ports_stay_with_the_kernel_unless_a_domain_leads_to_them() {
    let text = "  db:\n    image: localhost/db:1\n    ports: {sql: {port: 5432, publish: {port: 5432}}, ui: {port: 80}}\n    \
                domains: {db.lan: {port: ui, audience: owner}}\n";
    let first = generation(text, None);
    let stage = Stage::new(first.clone(), None).with(&first, "db", 0, 2).open(&first, "db", 1).published();
    let document = stage.written().document;
    assert_eq!(document.routes.keys().collect::<Vec<_>>(), ["db/ui"]);
    assert!(document.listeners.iter().all(|listener| listener.route.is_none()), "the published port is not the door's");
    assert_eq!(
        serde_json::to_value(&document.hosts["db.lan"]).unwrap(),
        json!({ "route": "db/ui", "access": "owner" })
    );
}

#[test]
fn a_published_port_is_stronger_than_a_place_for_domains() {
    let first = generation(&web("1", 8080).replace("port: 8088, address: 127.0.0.1", "port: 80"), None);
    let stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).published();
    let written = stage.written();
    let at: Vec<String> = written.document.listeners.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(at, ["0.0.0.0:80", "[::]:80"], "at every address of both families");
    assert!(written.document.listeners.iter().all(|listener| listener.route.as_deref() == Some("web/http")));
    let said = |at: &str| format!("domains are not served at {at}: the port is published for web/http");
    assert_eq!(written.remarks, [said("0.0.0.0:80"), said("[::]:80")]);
}

/// Two applications of which one gives its domain to the other.
fn two(first: &str, second: &str) -> String {
    let one = |name: &str, image: &str, domains: &str| {
        format!(
            "  {name}: {{image: 'localhost/{name}:{image}', ports: {{http: {{port: 80, protocol: http}}}}, domains: {{{domains}}}}}\n"
        )
    };
    one("a", "1", first) + &one("b", if second.is_empty() { "1" } else { "2" }, second)
}

#[test]
fn a_domain_moves_when_its_new_application_has_traffic() {
    let first = generation(&two("shop.lan: {port: http}", ""), None);
    let second = generation(&two("", "shop.lan: {port: http}"), Some(&first));
    let stage = Stage::new(second.clone(), Some(first.clone()))
        .with(&first, "a", 0, 2)
        .with(&first, "b", 0, 3)
        .open(&first, "a", 1)
        .open(&first, "b", 1);
    let host = |stage: &Stage| stage.written().document.hosts.get("shop.lan").map(|host| host.route.clone());
    // `a` has no such domain in the new generation, but `b` is not there yet: nobody finds the domain without a place.
    assert_eq!(host(&stage).as_deref(), Some("a/http"));
    let stage = stage.with(&second, "b", 0, 4).open(&second, "b", 1);
    assert_eq!(host(&stage).as_deref(), Some("b/http"));
    // An application that goes keeps its domain until it is shut.
    let third = generation("  b: {image: 'localhost/b:2', ports: {http: {port: 80, protocol: http}}}\n", Some(&first));
    let gone = Stage::new(third, Some(first.clone())).with(&first, "a", 0, 2).open(&first, "a", 1);
    assert_eq!(host(&gone).as_deref(), Some("a/http"));
    assert_eq!(host(&gone.mark("a", DoorMark::Closed)), None);
}

#[test]
fn what_is_not_known_is_not_changed() {
    let first = generation(&web("1", 8080), None);
    let mut stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).published();
    let before = stage.written().document;
    stage.marks.clear();
    assert_eq!(stage.written().document.routes["web/http"].admission, Admission::Closed, "no mark is a closed door");
    stage.unknown.insert(name("web"));
    stage.served = Some(before.clone());
    assert_eq!(stage.written().document, before, "a mark that cannot be read is none of that");
    // Also where its application goes.
    let other = generation("  other: {image: 'localhost/other:1'}\n", Some(&first));
    (stage.wanted, stage.serving) = (other, Some(first));
    let after = stage.written().document;
    assert_eq!((after.routes, after.hosts), (before.routes, before.hosts));
}

#[test]
fn names_of_the_machine_lead_to_its_agent_with_tls_alone() {
    let first = generation(&web("1", 8080), None);
    let mut stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1);
    stage.own = Some(Own { hosts: vec!["Xnode.lan".into(), "shop.lan".into()], to: ([127, 0, 0, 1], 7_780).into() });
    let missing = stage.written().remarks;
    assert!(missing.len() == 3 && missing[1].contains("has no certificate"), "{missing:?}");
    stage.certified = ["shop.lan".to_string(), "xnode.lan".to_string()].into();
    let written = stage.written();
    let host = |name: &str| serde_json::to_value(&written.document.hosts[name]).unwrap();
    assert_eq!(host("xnode.lan"), json!({ "route": "_xnode/face", "access": "everybody", "secure": true }));
    assert_eq!(host("shop.lan")["route"], json!("_xnode/face"), "no application takes a name of the machine");
    assert_eq!(written.remarks, ["shop.lan of web is a name of the machine itself, and leads to its agent"]);
    assert_eq!(written.document.routes["_xnode/face"].instances[0].address.to_string(), "127.0.0.1:7780");
}

#[test]
fn a_machine_without_a_generation_is_reached_by_its_names() {
    let own = Own { hosts: vec!["xnode.lan".into()], to: ([127, 0, 0, 1], 7_780).into() };
    let places =
        Places { http: vec![([0u8; 4], 80).into()], https: vec![([0u8; 4], 443).into()], both_families: false };
    let certificate = |names: &BTreeSet<String>| {
        let one = |name: &String| Certificate { names: vec![name.clone()], chain: "/c".into(), key: "/k".into() };
        Offers { certificates: names.iter().map(one).collect(), ..Offers::default() }
    };
    let written = own_document(&own, &places, &certificate);
    assert_eq!(check(&written.document), []);
    let at: Vec<(String, bool)> =
        written.document.listeners.iter().map(|one| (one.address.to_string(), one.tls)).collect();
    assert_eq!(at, [("0.0.0.0:80".to_string(), false), ("0.0.0.0:443".to_string(), true)]);
    assert!(written.document.hosts["xnode.lan"].secure);
}

#[test]
fn a_listener_that_the_door_would_refuse_holds_up_no_other() {
    let text = |address: &str| web("1", 8080).replace("port: 8088, address: 127.0.0.1", address);
    // A port that somebody publishes at the address of the agent's face, and one at that of an instance.
    for address in ["port: 7780, address: 127.0.0.1", "port: 8080, address: 10.9.0.2"] {
        let first = generation(&text(address), None);
        let mut stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).published();
        stage.own = Some(Own { hosts: vec!["xnode.lan".into()], to: ([127, 0, 0, 1], 7_780).into() });
        stage.certified = ["shop.lan".to_string(), "xnode.lan".to_string()].into();
        let written = stage.written();
        assert!(written.document.listeners.iter().all(|listener| listener.route.is_none()), "{address}");
        assert!(written.document.hosts.contains_key("shop.lan") && written.document.hosts.contains_key("xnode.lan"));
        assert!(written.remarks.len() == 1 && written.remarks[0].contains("is not served"), "{:?}", written.remarks);
    }
    // Two ports of one application at addresses of which one takes in the other.
    let first = generation(&web("1", 8080), None);
    let mut stage = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).published();
    let mut also = stage.published[0].clone();
    also.at.address = openmesh_blueprint::document::HostAddress::ANY;
    stage.published.push(also);
    let written = stage.written();
    let at = written.document.listeners.iter().filter(|listener| listener.route.is_some());
    assert_eq!(at.map(|listener| listener.address.to_string()).collect::<Vec<_>>(), ["127.0.0.1:8088", "[::]:8088"]);
    assert!(written.remarks[0].starts_with("0.0.0.0:8088 is not served"), "{:?}", written.remarks);
}

#[test]
fn a_proof_by_tls_opens_its_port_before_there_is_a_certificate() {
    let wanted = generation(&web("a", 8_080), None);
    let mut stage = Stage::new(wanted.clone(), None).with(&wanted, "web", 0, 7).open(&wanted, "web", 1);
    let secure = |stage: &Stage| stage.written().document.listeners.iter().any(|listener| listener.tls);
    assert!(!secure(&stage));
    let tokens = BTreeMap::from([("abc".to_string(), "abc.def".to_string())]);
    stage.challenges = BTreeMap::from([("shop.lan".to_string(), Challenge { tokens, digest: None })]);
    assert!(!secure(&stage), "a proof by HTTP needs none");
    assert_eq!(stage.written().document.challenges, stage.challenges);
    stage.challenges.insert("shop.lan".into(), Challenge { digest: Some("0f".repeat(32)), ..Challenge::default() });
    assert!(secure(&stage));
}

#[test]
fn whoever_may_come_in_stands_in_the_document_with_a_key_of_the_application() {
    let wallet = "0x52908400098527886E0F7030069857D2E4169EE7";
    let one = |name: &str, domains: &str| {
        format!(
            "  {name}: {{image: 'localhost/{name}:1', ports: {{http: {{port: 80, protocol: http}}}}, domains: {{{domains}}}}}\n"
        )
    };
    let text = one(
        "notes",
        &format!(
            "notes.lan: {{port: http, audience: wallets, wallets: ['{wallet}']}}, plain.example.org: {{port: http, audience: owner}}"
        ),
    ) + &one("wiki", "wiki.lan: {port: http, audience: members}, all.lan: {port: http}");
    let first = generation(&text, None);
    let mut stage = Stage::new(first.clone(), None)
        .with(&first, "notes", 0, 2)
        .with(&first, "wiki", 0, 3)
        .open(&first, "notes", 1)
        .open(&first, "wiki", 1);
    let key = Key::try_from("5c".repeat(32)).unwrap();
    let (owner, member) = (format!("0x{}", "1".repeat(40)), format!("0x{}", "2".repeat(40)));
    let visitors =
        Visitors { key: key.clone(), owners: [owner.clone()].into(), members: [owner.clone(), member.clone()].into() };
    stage.visitors = Some(visitors);
    // Without a name of the machine there is no place to sign in, and so nobody comes in, as an older door has it.
    let none = stage.written();
    assert!(none.document.version == 1 && none.document.people.is_none());
    assert_eq!(none.remarks.iter().filter(|remark| remark.contains("lets nobody in")).count(), 3, "{:?}", none.remarks);
    stage.own = Some(Own { hosts: vec!["xnode.lan".into()], to: ([127, 0, 0, 1], 7_780).into() });
    assert!(stage.written().document.people.is_none(), "a name without a certificate is no place for that");
    stage.certified = ["xnode.lan", "notes.lan", "wiki.lan", "all.lan"].map(String::from).into();
    let Written { document, remarks } = stage.written();
    assert_eq!(document.version, 2);
    assert!(remarks.len() == 1 && remarks[0].contains("plain.example.org lets nobody in"), "{remarks:?}");
    assert!(remarks[0].contains("openmesh xnode doors certificate plain.example.org"), "{remarks:?}");
    assert_eq!(
        serde_json::to_value(document.people.as_ref().unwrap()).unwrap(),
        json!({ "sign_in": "https://xnode.lan", "owners": [owner], "members": [owner, member] })
    );
    let host = |name: &str| serde_json::to_value(&document.hosts[name]).unwrap();
    let gate = |application: &str| json!({ "application": application, "key": String::from(key.of(application)) });
    // With TLS alone: a pass in the clear is anybody's, and so whatever has no certificate lets nobody in, whoever asks.
    assert_eq!(
        host("notes.lan"),
        json!({ "route": "notes/http", "access": { "wallets": [wallet] }, "secure": true, "gate": gate("notes") })
    );
    assert_eq!(host("plain.example.org"), json!({ "route": "notes/http", "access": "owner" }));
    assert_eq!(
        host("wiki.lan"),
        json!({ "route": "wiki/http", "access": "members", "secure": true, "gate": gate("wiki") })
    );
    assert_eq!(host("all.lan"), json!({ "route": "wiki/http", "access": "everybody" }));
    assert_ne!(gate("notes"), gate("wiki"));
    // Nobody signs in where no host lets anybody in: an older door reads that as well.
    let all = std::mem::replace(&mut stage.certified, ["xnode.lan", "all.lan"].map(String::from).into());
    let bare = stage.written();
    assert!(bare.document.version == 1 && bare.document.people.is_none(), "{:?}", bare.document);
    assert_eq!(bare.remarks.iter().filter(|remark| remark.contains("lets nobody in")).count(), 3, "{:?}", bare.remarks);
    // The agent does not say who its people are.
    (stage.visitors, stage.certified) = (None, all);
    assert!(stage.written().document.people.is_none());
}

#[test]
fn whoever_is_taken_out_waits_for_no_switch() {
    let text = |image: &str, audience: &str| {
        web(image, 8080).replace("shop.lan: {port: http}", &format!("shop.lan: {{port: http, audience: {audience}}}"))
    };
    let first = generation(&text("1", "members"), None);
    let second = generation(&text("2", "owner"), Some(&first));
    let stage = Stage::new(second, Some(first.clone())).with(&first, "web", 0, 2).open(&first, "web", 1);
    let access = |stage: &Stage| serde_json::to_value(&stage.written().document.hosts["shop.lan"].access).unwrap();
    assert_eq!(access(&stage), json!("owner"), "the old version has the traffic, and the new people may come in");
    // An application that goes keeps its people until it is shut.
    let third = generation("  b: {image: 'localhost/b:1'}\n", Some(&first));
    let gone = Stage::new(third, Some(first.clone())).with(&first, "web", 0, 2).open(&first, "web", 1);
    assert_eq!(access(&gone), json!("members"));
}

#[test]
fn a_host_whose_wallets_the_door_does_not_take_stays_and_lets_nobody_in() {
    let wallets: Vec<String> = (0..=WALLETS_MAX).map(|number| format!("'0x{number:040}'")).collect();
    let route = format!("shop.lan: {{port: http, audience: wallets, wallets: [{}]}}", wallets.join(", "));
    let first = generation(&web("1", 8080).replace("shop.lan: {port: http}", &route), None);
    let written = Stage::new(first.clone(), None).with(&first, "web", 0, 2).open(&first, "web", 1).written();
    // Without it the door would leave open what strangers have open there, as at a host that was removed.
    let host = serde_json::to_value(&written.document.hosts["shop.lan"]).unwrap();
    assert_eq!(host, json!({ "route": "web/http", "access": { "wallets": [] } }));
    let said = written.remarks.iter().filter(|remark| remark.starts_with("shop.lan is not served"));
    assert_eq!(said.count(), 1, "{:?}", written.remarks);
}
