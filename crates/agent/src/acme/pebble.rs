//! Orders with pebble, a real authority, and a real door in this process. The clock is the test's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use openmesh_blueprint::document::{DnsHook, Period};
use openmesh_door::document::{Access, Admission, Host, Protocol, Route};
use openmesh_door::door::Door;
use openmesh_door::effects::free;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Notify;

use self::authority::Pebble;
use self::hook::{Conduct, Hook, SECRET};
use self::ports::free_port;
use super::plan::{DAY_S, PAUSE_S};
use super::*;
use crate::alerts::webhook::Receiver;
use crate::doors::x509;
use crate::secrets::Vault;

#[path = "../../tests/it/authority.rs"]
mod authority;
#[path = "../../tests/it/hook.rs"]
mod hook;
#[path = "../../../xnode/tests/it/ports.rs"]
mod ports;

const NAME: &str = "shop.example.org";
const PATTERN: &str = "*.example.org";

/// A look at the door for a proof.
type Shows<'a> = &'a (dyn Fn(&str, &Challenge) -> bool + Send + Sync);

/// A machine of a test: issuer, door, authority.
struct Stage {
    folder: tempfile::TempDir,
    issuer: Arc<Issuer>,
    ahead_s: Arc<AtomicI64>,
    wake: Arc<Notify>,
    shown: Arc<Mutex<Document>>,
    authority: Authority,
    pebble: Pebble,
    names: BTreeSet<String>,
    ways: Vec<Way>,
    dns: Option<Result<Dns, String>>,
    served: JoinHandle<()>,
}

fn clock(ahead_s: &Arc<AtomicI64>) -> issuer::Clock {
    let (ahead_s, real) = (ahead_s.clone(), machine_clock());
    Box::new(move || real().saturating_add_signed(ahead_s.load(Ordering::SeqCst)))
}

fn open(folder: &std::path::Path, ahead_s: &Arc<AtomicI64>) -> Arc<Issuer> {
    Arc::new(Issuer::open(folder, Arc::new(Vault::open(folder).unwrap()), clock(ahead_s)).unwrap())
}

fn document(serial: u64, ports: (u16, u16), issuer: &Issuer, names: &BTreeSet<String>) -> Document {
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let challenges = issuer.challenges(names);
    let proves = challenges.values().any(|challenge| challenge.digest.is_some());
    let mut listeners = vec![Listener { address: at(ports.0), tls: false, route: None }];
    listeners.extend(proves.then_some(Listener { address: at(ports.1), tls: true, route: None }));
    let route = Route {
        protocol: Protocol::Http1,
        admission: Admission::Closed,
        hold_ms: 0,
        instances: Vec::new(),
        page: None,
    };
    let host = |name: &String| {
        (name.clone(), Host { route: "web/http".into(), access: Access::Everybody, secure: true, gate: None })
    };
    let hosts = names.iter().map(host).collect();
    let routes = [("web/http".to_string(), route)].into();
    Document { serial, listeners, hosts, routes, challenges, ..Document::empty() }
}

impl Stage {
    /// None where there is no pebble. The authority asks at the door's ports, where they are not said to be shut.
    async fn new(http_is_shut: bool) -> Option<Stage> {
        let ports = (free_port(), free_port());
        let pebble = Pebble::start(if http_is_shut { free_port() } else { ports.0 }, ports.1)?;
        let folder = tempfile::tempdir().unwrap();
        let ahead_s = Arc::new(AtomicI64::new(0));
        let authority = Authority {
            directory: pebble.directory.clone(),
            contact: "ops@example.org".into(),
            root: Some(pebble.root.clone()),
        };
        let issuer = open(folder.path(), &ahead_s);
        let names: BTreeSet<String> = [NAME.to_string()].into();
        let (wake, shown) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Document::empty())));
        let door = Door::new(None, free()).unwrap();
        let served = serve(door, ports, issuer.clone(), names.clone(), wake.clone(), shown.clone());
        let ways = vec![Way::Http, Way::Tls];
        Some(Stage { folder, issuer, ahead_s, wake, shown, authority, pebble, names, ways, dns: None, served })
    }

    /// Lets patterns be proved by a hook that signs with a key, and be looked for in the authority's resolver.
    async fn hook(&mut self, secret: &str, wait: Period) -> Hook {
        let hook = Hook::start(self.pebble.management).await;
        self.lead_to(&hook, secret, wait);
        hook
    }

    fn lead_to(&mut self, hook: &Hook, secret: &str, wait: Period) {
        let wish = DnsHook {
            url: Content::Text(hook.url.clone()),
            secret: Content::Secret("dns".parse().unwrap()),
            private: true,
            resolvers: vec![self.pebble.dns.to_string()],
            wait,
        };
        let receiver = Receiver::new(&hook.url, secret.as_bytes(), true).unwrap();
        self.dns = Some(Ok(Dns::new(&wish, receiver, "")));
    }

    fn front<'a>(&self, wake: &'a (dyn Fn() + Send + Sync), shows: Shows<'a>) -> Front<'a> {
        Front { wake, shows, ways: self.ways.clone(), dns: self.dns.clone() }
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            directory: Some(self.authority.directory.clone()),
            served: Some(self.names.clone()),
            ordered: self.names.clone(),
            busy: BTreeSet::new(),
            machine: "kitchen".into(),
        }
    }

    /// Everything that is due now. Returns causes of what failed.
    async fn turns(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let wake = || self.wake.notify_one();
        let shows =
            |name: &str, challenge: &Challenge| self.shown.lock().unwrap().challenges.get(name) == Some(challenge);
        loop {
            let act = plan::next(&self.issuer.book(), &self.wanted(), self.issuer.now());
            if matches!(act, Act::Rest(_)) {
                return troubles;
            }
            let front = self.front(&wake, &shows);
            if let Err(trouble) = act_on(&self.issuer, Some(&self.authority), &act, &front).await.unwrap() {
                troubles.push(trouble);
            }
        }
    }

    /// Two acts beside one another.
    async fn beside(&self, one: &Act, other: &Act) -> (Result<(), Trouble>, Result<(), Trouble>) {
        let wake = || self.wake.notify_one();
        let shows =
            |name: &str, challenge: &Challenge| self.shown.lock().unwrap().challenges.get(name) == Some(challenge);
        let front = self.front(&wake, &shows);
        let (one, other) = tokio::join!(
            act_on(&self.issuer, Some(&self.authority), one, &front),
            act_on(&self.issuer, Some(&self.authority), other, &front),
        );
        (one.unwrap(), other.unwrap())
    }

    fn pass(&self, seconds: u64) {
        self.ahead_s.fetch_add(i64::try_from(seconds).unwrap(), Ordering::SeqCst);
    }

    fn set_clock(&self, moment: u64) {
        let now = self.issuer.now();
        self.ahead_s.fetch_add(moment as i64 - now as i64, Ordering::SeqCst);
    }

    /// The account, as somebody else would use it.
    async fn account(&self) -> instant_acme::Account {
        let credentials = self.issuer.account(&self.authority.directory).unwrap();
        let wire = Wire::new(self.authority.root.as_deref()).unwrap();
        let builder = instant_acme::Account::builder_with_http(Box::new(wire));
        builder.from_credentials(serde_json::from_slice(&credentials).unwrap()).await.unwrap()
    }

    async fn revoke(&self, chain: &str) {
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let request = instant_acme::RevocationRequest { certificate: &certificate, reason: None };
        let account = self.account().await;
        // The authority refuses every second nonce, and the library asks three times.
        for _ in 0..20 {
            let _ = account.revoke(&request).await;
        }
    }

    fn chain(&self) -> String {
        let found =
            self.issuer.find(NAME).unwrap_or_else(|| panic!("{:?} {}", self.issuer.entry(NAME), self.pebble.log()));
        x509::fits(&found.chain, &found.key, NAME).unwrap();
        found.chain
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A door that takes another document whenever it is woken.
fn serve(
    door: Door,
    ports: (u16, u16),
    issuer: Arc<Issuer>,
    names: BTreeSet<String>,
    wake: Arc<Notify>,
    shown: Arc<Mutex<Document>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        for serial in 1.. {
            let next = document(serial, ports, &issuer, &names);
            door.apply(next.clone()).await.unwrap();
            *shown.lock().unwrap() = next;
            wake.notified().await;
        }
    })
}

/// A renewal names the certificate that it replaces: one that was replaced by another order already, as after a restored backup, is no reason to have none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_comes_where_the_one_before_was_replaced_already() {
    let Some(stage) = Stage::new(false).await else { return };
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let first = stage.issuer.entry(NAME).unwrap().issued.unwrap();
    stage.set_clock(renew_at(&first, NAME, "kitchen"));
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let second = stage.chain();
    assert_ne!(second, first.chain);
    let back = |book: &mut super::kept::Book| book.names.get_mut(NAME).unwrap().issued = Some(first.clone());
    stage.issuer.change(back).unwrap();
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let third = stage.chain();
    assert!(third != first.chain && third != second);
    assert_eq!(stage.issuer.book().names[NAME].orders.len(), 3, "an order that is refused is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_issued_kept_and_renewed() {
    let Some(stage) = Stage::new(false).await else { return };
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let first = stage.chain();
    let book = stage.issuer.book();
    let entry = &book.names[NAME];
    assert!(entry.open.is_none() && entry.failure.is_none() && entry.orders.len() == 1 && book.accounts.len() == 1);
    // The authority named its window at once, and proofs are gone.
    let issued = entry.issued.as_ref().unwrap();
    assert!(issued.window.is_some_and(|(from, to)| from < to && to < issued.until_s), "{issued:?}");
    assert!(stage.issuer.challenges(&stage.names).is_empty());
    let text = std::fs::read_to_string(stage.folder.path().join("acme.json")).unwrap();
    assert!(!text.contains("PRIVATE KEY") && !text.contains("key_pkcs8"), "{text}");
    // Nothing is due on the next day, unless the certificate was revoked: the authority is asked each day.
    stage.pass(DAY_S + 1);
    assert_eq!(stage.turns().await, []);
    assert_eq!(stage.chain(), first);
    stage.revoke(&first).await;
    stage.pass(DAY_S + 1);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let second = stage.chain();
    assert_ne!(second, first);
    // Nothing is due before its moment; then it is renewed, with the same account and another key.
    let at = renew_at(&stage.issuer.entry(NAME).unwrap().issued.unwrap(), NAME, "kitchen");
    stage.set_clock(at - 60);
    assert_eq!(stage.turns().await, []);
    assert_eq!(stage.chain(), second);
    stage.set_clock(at);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let third = stage.chain();
    assert_ne!(third, second);
    assert_eq!(stage.issuer.book().accounts, book.accounts);
    assert_eq!(stage.issuer.book().names[NAME].orders.len(), 3);
    // The next agent finds it, and orders nothing. A year ahead it orders one, and not again and again.
    let again = open(stage.folder.path(), &stage.ahead_s);
    assert!(again.find(NAME).is_some_and(|found| found.chain == third));
    stage.pass(365 * DAY_S);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    assert_eq!(stage.issuer.book().names[NAME].orders.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_port_80_is_shut_the_other_one_proves() {
    let Some(stage) = Stage::new(true).await else { return };
    let troubles = stage.turns().await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].remedy.contains("port 80"), "{troubles:?}");
    let failure = stage.issuer.entry(NAME).unwrap().failure.unwrap();
    assert!(failure.count == 1 && failure.cause.contains(NAME) && failure.again_s > stage.issuer.now(), "{failure:?}");
    assert!(stage.issuer.entry(NAME).unwrap().open.is_none());
    stage.pass(PAUSE_S + 1);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    stage.chain();
    assert_eq!(stage.issuer.entry(NAME).unwrap().failure, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_away_or_forgets_holds_up_no_certificate() {
    let Some(mut stage) = Stage::new(false).await else { return };
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let (first, issued) = (stage.chain(), stage.issuer.entry(NAME).unwrap().issued.unwrap());
    stage.set_clock(renew_at(&issued, NAME, "kitchen"));
    stage.pebble.down();
    // Away for a week: few questions, no order, and the certificate stays.
    let begun = stage.issuer.now();
    let mut questions = 0;
    while stage.issuer.now() < begun + 7 * DAY_S {
        let troubles = stage.turns().await;
        assert!(
            troubles.iter().all(|trouble| trouble.is_of_authority && trouble.cause.contains("not reached")),
            "{troubles:?}"
        );
        questions += troubles.len();
        stage.pass(DAY_S / 4);
    }
    assert!((5..30).contains(&questions), "{questions}");
    assert_eq!((stage.chain(), stage.issuer.entry(NAME).unwrap().orders.len()), (first.clone(), 1));
    // It comes back and knows nobody: the account is made anew.
    let accounts = stage.issuer.book().accounts;
    stage.pebble.up();
    stage.pass(DAY_S);
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && troubles[0].loss == Loss::Account, "{troubles:?}");
    stage.pass(DAY_S + 1);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    assert_ne!(stage.chain(), first);
    assert_ne!(stage.issuer.book().accounts, accounts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_was_shut_is_made_anew_and_a_refused_name_waits() {
    let Some(mut stage) = Stage::new(false).await else { return };
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let issued = stage.issuer.entry(NAME).unwrap().issued.unwrap();
    // The authority refuses every second nonce, and the library asks three times.
    for _ in 0..20 {
        stage.account().await.deactivate().await.unwrap();
    }
    stage.set_clock(renew_at(&issued, NAME, "kitchen"));
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && troubles[0].loss == Loss::Account, "{troubles:?}");
    stage.pass(DAY_S + 1);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    assert_eq!(stage.issuer.entry(NAME).unwrap().orders.len(), 3);
    stage.names = ["blocked.example.org".to_string()].into();
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && troubles[0].remedy.contains("machine.certificates.except"), "{troubles:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_goes_on_after_a_death() {
    let Some(mut stage) = Stage::new(false).await else { return };
    // The agent dies while the door is to show the proof.
    let asked = Notify::new();
    let shows = |_: &str, _: &Challenge| {
        asked.notify_one();
        false
    };
    {
        let wire = Wire::new(stage.authority.root.as_deref()).unwrap();
        let wake = || {};
        let front = stage.front(&wake, &shows);
        tokio::select! {
            done = order::run(&stage.issuer, &stage.authority, &wire, NAME, &front) => panic!("{done:?} {}", stage.pebble.log()),
            () = asked.notified() => {}
        }
    }
    assert!(stage.issuer.challenges(&stage.names).is_empty(), "nothing of it stays at the door");
    let (url, key) = stage.issuer.open_order(NAME).unwrap();
    let gone = format!("{}/gone", url.rsplit_once('/').unwrap().0);
    let again = open(stage.folder.path(), &stage.ahead_s);
    assert_eq!(again.open_order(NAME), Some((url, key.clone())));
    // The door of the stage is that of the first issuer: it goes on, as the next one would from the same file.
    assert_eq!(plan::next(&again.book(), &stage.wanted(), again.now()), Act::GoOn(NAME.into()));
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    assert_eq!(stage.issuer.find(NAME).unwrap().key, key);
    assert_eq!(stage.issuer.entry(NAME).unwrap().orders.len(), 1);
    // One that the authority has forgotten is lost, and another one is made.
    stage.issuer.note_open(NAME, &stage.authority.directory, &gone, &key).unwrap();
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && stage.issuer.entry(NAME).unwrap().open.is_none(), "{troubles:?}");
    stage.pebble.down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_is_proved_in_the_dns_and_nothing_stays_there() {
    let Some(mut stage) = Stage::new(false).await else { return };
    let hook = stage.hook(SECRET, Period(30_000)).await;
    stage.names = [NAME.to_string(), PATTERN.to_string()].into();
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    // A plain name is proved at the door, as long as that does not fail.
    stage.chain();
    let found = stage.issuer.find(PATTERN).unwrap();
    x509::fits(&found.chain, &found.key, PATTERN).unwrap();
    assert!(x509::fits(&found.chain, &found.key, "example.org").is_err());
    let heard = hook.heard();
    let first = heard.first().map(|(action, name)| (action.as_str(), name.as_str()));
    assert_eq!(first, Some(("present", "_acme-challenge.example.org")));
    assert_eq!(heard.last().map(|(action, _)| action.as_str()), Some("cleanup"));
    assert!(heard.iter().all(|(_, name)| name == "_acme-challenge.example.org"), "{heard:?}");
    assert_eq!((hook.count(), stage.issuer.entry(PATTERN).unwrap().records.len()), (0, 0));
    assert!(stage.issuer.challenges(&stage.names).is_empty());
    // One that an agent has left there by its death is taken out by the next one.
    stage.issuer.note_record(PATTERN, "left there", Some(stage.issuer.now())).unwrap();
    let again = open(stage.folder.path(), &stage.ahead_s);
    assert_eq!(plan::next(&again.book(), &stage.wanted(), again.now()), Act::Tidy(PATTERN.into()));
    assert_eq!(stage.turns().await, []);
    assert_eq!(hook.heard().len(), heard.len() + 1);
    assert!(stage.issuer.entry(PATTERN).unwrap().records.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_go_on_beside_one_another_with_one_account() {
    let Some(mut stage) = Stage::new(false).await else { return };
    let hook = stage.hook(SECRET, Period(30_000)).await;
    stage.names = [NAME.to_string(), PATTERN.to_string()].into();
    let (one, other) = (Act::Order(NAME.into()), Act::Order(PATTERN.into()));
    assert_eq!(stage.beside(&one, &other).await, (Ok(()), Ok(())), "{}", stage.pebble.log());
    let log = stage.pebble.log();
    assert!(log.contains("There are now 1 accounts") && !log.contains("There are now 2 accounts"), "{log}");
    // One that waits for its record holds the other one up by nothing, and keeps its record as long as its order is open.
    let issued = |name: &str| stage.issuer.entry(name).unwrap().issued.unwrap();
    let moments = [NAME, PATTERN].map(|name| renew_at(&issued(name), name, "kitchen"));
    stage.set_clock(moments.into_iter().max().unwrap());
    let before = stage.chain();
    hook.set(Conduct::Forgets);
    stage.lead_to(&hook, SECRET, Period(5_000));
    let (renewed, waited) = stage.beside(&one, &other).await;
    assert_eq!(renewed, Ok(()), "{}", stage.pebble.log());
    assert!(waited.unwrap_err().cause.contains("not seen within 5 s"));
    assert_ne!(stage.chain(), before);
    let entry = stage.issuer.entry(PATTERN).unwrap();
    assert!(entry.open.is_some() && entry.records.len() == 1, "{entry:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_fails_is_asked_again_for_the_same_order() {
    let Some(mut stage) = Stage::new(false).await else { return };
    let hook = stage.hook("the key of somebody else", Period(2_000)).await;
    stage.names = [PATTERN.to_string()].into();
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && troubles[0].cause.contains("status 401"), "{troubles:?}");
    stage.lead_to(&hook, SECRET, Period(2_000));
    for (conduct, words) in [(Conduct::Refuses, "status 503"), (Conduct::Forgets, "not seen within 2 s")] {
        hook.set(conduct);
        stage.pass(DAY_S / 4);
        let troubles = stage.turns().await;
        assert!(troubles.len() == 1 && troubles[0].cause.contains(words), "{troubles:?}");
        assert_eq!((troubles[0].loss, troubles[0].is_of_authority), (Loss::Nothing, false));
        assert!(stage.issuer.entry(PATTERN).unwrap().open.is_some());
    }
    hook.set(Conduct::Does);
    stage.pass(DAY_S / 4);
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    let entry = stage.issuer.entry(PATTERN).unwrap();
    assert!(entry.issued.is_some() && entry.failure.is_none() && entry.records.is_empty(), "{entry:?}");
    assert_eq!((entry.orders.len(), hook.count()), (1, 0));
    // Without a hook a pattern has no way, and nobody is left to take something out.
    stage.dns = None;
    stage.issuer.note_record(PATTERN, "left there", Some(stage.issuer.now())).unwrap();
    let troubles = stage.turns().await;
    assert!(troubles.len() == 1 && troubles[0].cause.contains("names none"), "{troubles:?}");
    assert!(stage.issuer.entry(PATTERN).unwrap().records.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_whose_ports_are_shut_is_proved_in_the_dns() {
    let Some(mut stage) = Stage::new(true).await else { return };
    let hook = stage.hook(SECRET, Period(30_000)).await;
    // The door has no port at all: the DNS is the only way.
    stage.ways = Vec::new();
    assert_eq!(stage.turns().await, [], "{}", stage.pebble.log());
    stage.chain();
    assert!(hook.heard().iter().all(|(_, name)| name == "_acme-challenge.shop.example.org"), "{:?}", hook.heard());
}
