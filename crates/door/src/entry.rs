//! The way in to an application that is not for everybody (X-78): who has a pass, who is sent to sign in, and what becomes of a code.
//!
//! ```text
//! browser ── GET notes.lan/a ──► door: no pass ── 303 ──► agent's page: a wallet signs ── code ──► notes.lan/.openmesh-door/enter
//!         ◄── 303 to /a, with a pass in a cookie ──────────────────────────────────────────────── door: takes the code, once
//! ```
//!
//! Only a browser that opens a page is sent anywhere. Whatever else has no pass gets 401 with a reason that a program reads: a page in the place of
//! data would be taken for data. The door asks nobody: it goes on letting people in by their passes while the agent is stopped or dead.
//!
//! All of it is with TLS: without it a cookie goes to every port of its host, and each of them may be another program's.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap, ORIGIN};
use hyper::{Method, Request};

use crate::audience::Entry;
use crate::cookies;
use crate::host::Authority;
use crate::limits::{PASS_MS, PASSES_LOOK_MS, RETURN_BYTES_MAX, VISIT_SECONDS};
use crate::page::{Notice, is_grpc};
use crate::pass::{self, Fault, Kind, Moment, Pass, Place, VISIT_BYTES, Wallet};
use crate::shared::Shared;
use crate::table;
use crate::visits::{Right, Spent, Visit};

/// Path below which nothing is passed on to an application.
pub const RESERVED: &str = "/.openmesh-door";
/// Path of the agent's page where visitors sign in.
pub const VISIT: &str = "/visit";
/// Cookie with a pass.
const PASS: &str = "pass";
/// Cookie with the number of a visit: a code is taken from the browser alone that asked for it.
const NUMBER: &str = "visit";

/// A request as the way in looks at it.
struct Visitor<'a> {
    door: &'a Arc<Shared>,
    entry: &'a Arc<Entry>,
    host: &'a Authority,
    upgrades: bool,
    request: &'a Request<Incoming>,
    now: Moment,
}

/// Lets a request in to a place: with its visit where the place is a host's, whose people another document may change.
///
/// # Errors
/// The answer to whoever is not let in, or asked for something of the door itself.
pub fn enter(
    door: &Arc<Shared>,
    place: &table::Place,
    host: &Authority,
    tls: bool,
    upgrades: bool,
    request: &Request<Incoming>,
) -> Result<Option<Visit>, Notice> {
    let own = request.uri().path().strip_prefix(RESERVED).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if place.open {
        return match own {
            Some(_) => Err(nothing()),
            None if place.by_host => {
                let right = Right::Guest(place.name.clone());
                begin(door, &host.name, right).map(Some).ok_or_else(over)
            }
            None => Ok(None),
        };
    }
    if !tls {
        return Err(in_the_clear(&host.name));
    }
    let Some(entry) = &place.entry else {
        let text = "This machine has no place where people sign in yet: its owner gives it a name of its own, with a certificate.";
        return Err(Notice::new(403, "not_for_everybody", "This application is not for everybody", text));
    };
    let visitor = Visitor { door, entry, host, upgrades, request, now: Moment::now() };
    match own {
        Some("/enter") => Err(visitor.exchange()),
        Some("/leave") => Err(visitor.leave()),
        Some(_) => Err(nothing()),
        None => visitor.pass().map(Some),
    }
}

impl Visitor<'_> {
    fn place(&self) -> Place<'_> {
        Place { application: &self.entry.application, host: &self.host.name, tls: true }
    }

    fn cookies<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        cookies::values(self.request.headers(), name)
    }

    /// The pass that the request has, or the fault of the last one; none where it has none.
    fn read(&self) -> Option<Result<Pass, Fault>> {
        let name = cookies::name(PASS);
        let all =
            self.cookies(&name).map(|text| Pass::read(text, Kind::Pass, &self.entry.key, &self.place(), &self.now));
        all.reduce(|found, next| if found.is_ok() { found } else { next })
    }

    /// The visit of a request with a good pass.
    fn pass(&self) -> Result<Visit, Notice> {
        let pass = match self.read() {
            Some(Ok(pass)) => pass,
            Some(Err(fault)) => {
                return Err(self.sign_in(&format!("The pass does not hold: {fault}"), fault_word(fault)));
            }
            None => return Err(self.sign_in("Nobody is signed in", "not_signed_in")),
        };
        if !self.entry.admits(&pass.wallet) {
            return Err(self.stranger(&pass.wallet));
        }
        if is_of_another_site(self.request, self.upgrades, self.host) {
            let text =
                "A page of another site has asked in the name of whoever is signed in here; nothing was passed on.";
            return Err(Notice::new(403, "other_origin", "The page that asks is of another site", text).plain());
        }
        let right = Right::Pass(self.entry.clone(), pass);
        begin(self.door, &self.host.name, right).ok_or_else(|| self.stranger(&pass.wallet))
    }

    /// The answer to whoever has no pass: to a browser that opens a page, the way to sign in.
    fn sign_in(&self, title: &str, code: &'static str) -> Notice {
        if !is_navigation(self.request, self.upgrades) {
            let text = "Open the application in a browser and sign in with a wallet; this request was not passed on.";
            return Notice::new(401, code, title, text).plain();
        }
        match self.number() {
            Ok((number, is_new)) => {
                let notice =
                    Notice::new(303, code, title, "Sign in with a wallet that may come in.").at(self.page(&number));
                if is_new { notice.cookie(cookies::set(NUMBER, &hex::encode(number), VISIT_SECONDS)) } else { notice }
            }
            Err(_) => Notice::new(503, "machine", "The machine gives no randomness", "Please try again."),
        }
    }

    /// The number of this browser's visit, and whether it is a new one. Two pages that a person opens share one.
    fn number(&self) -> std::io::Result<([u8; VISIT_BYTES], bool)> {
        match self.visit() {
            Some(number) => Ok((number, false)),
            None => Ok((pass::random()?, true)),
        }
    }

    fn visit(&self) -> Option<[u8; VISIT_BYTES]> {
        let name = cookies::name(NUMBER);
        let mut number = [0; VISIT_BYTES];
        self.cookies(&name).find(|text| hex::decode_to_slice(text, &mut number).is_ok())?;
        Some(number)
    }

    /// Address of the agent's page, with the way back. Everything in it are digits but the host.
    fn page(&self, number: &[u8; VISIT_BYTES]) -> String {
        let target = self.request.uri().path_and_query().map_or("/", |target| target.as_str());
        let target = Some(target).filter(|target| target.len() <= RETURN_BYTES_MAX).unwrap_or("/");
        format!(
            "{}{VISIT}?host={}&tls=1&visit={}&to={}",
            self.entry.sign_in,
            self.host,
            hex::encode(number),
            hex::encode(target)
        )
    }

    /// The answer to a wallet that may not come in.
    fn stranger(&self, wallet: &Wallet) -> Notice {
        let title = format!("{wallet} may not open this application");
        let text = "Its owner says who may: another wallet of yours, or this one once it is let in.";
        let notice = Notice::new(403, "not_in_audience", title, text);
        if !is_navigation(self.request, self.upgrades) {
            return notice.plain();
        }
        let Ok((number, is_new)) = self.number() else { return notice };
        let notice = notice.link("Sign in with another wallet", self.page(&number));
        if is_new { notice.cookie(cookies::set(NUMBER, &hex::encode(number), VISIT_SECONDS)) } else { notice }
    }

    /// The answer to a code.
    fn exchange(&self) -> Notice {
        if *self.request.method() != Method::GET || self.upgrades {
            return Notice::new(405, "only_get", "A code is taken by GET alone", "Open the application again.").plain();
        }
        let target = returned(self.query("to").unwrap_or_default());
        let code = self.query("code").unwrap_or_default();
        let (fault, word) = match Pass::read(code, Kind::Code, &self.entry.key, &self.place(), &self.now) {
            Err(fault) => (fault.to_string(), fault_word(fault)),
            Ok(code) if self.visit() != Some(code.visit) => {
                ("another browser asked for it, or too long ago".to_string(), "other_browser")
            }
            Ok(code) if !self.entry.admits(&code.wallet) => return self.stranger(&code.wallet),
            Ok(code) => match self.spend(&code) {
                Ok(()) => return self.admit(&code, target),
                Err(Spent::Used) => ("it was used before".to_string(), "code_used"),
                Err(Spent::Crowded) => ("too many people come in at this moment".to_string(), "crowded"),
                Err(Spent::Elsewhere) => ("the door is replaced at this moment".to_string(), "replaced"),
            },
        };
        if matches!(self.read(), Some(Ok(_))) {
            // A second tab, or a page that was loaded again: this browser is in already.
            return Notice::new(303, word, "You are in already", "Go on to the application.").at(target);
        }
        let title = format!("This code lets nobody in: {fault}");
        Notice::new(403, word, title, "Open the application again, and sign in once more.")
            .link("Open the application", target)
    }

    /// Uses a code up.
    fn spend(&self, code: &Pass) -> Result<(), Spent> {
        // A door that comes takes codes as soon as this one leaves.
        if self.door.leaving().ask.is_cancelled() {
            return Err(Spent::Elsewhere);
        }
        self.door.visits().spend(code, &self.now)
    }

    /// The answer to a good code: a pass, and back to where the visitor came from.
    fn admit(&self, code: &Pass, target: String) -> Notice {
        let pass = Pass { kind: Kind::Pass, made: self.now, lasts_ms: PASS_MS, ..*code };
        let text = pass.sign(&self.entry.key, &self.place());
        Notice::new(303, "welcome", "You are in", "Go on to the application.")
            .at(target)
            .cookie(cookies::set(PASS, &text, PASS_MS / 1_000))
            .cookie(cookies::set(NUMBER, "", 0))
    }

    fn leave(&self) -> Notice {
        let text = "This browser has no pass for this application any more.";
        let notice = Notice::new(200, "left", "You have left", text).link("Open the application", "/".into());
        notice.cookie(cookies::set(PASS, "", 0))
    }

    fn query(&self, key: &str) -> Option<&str> {
        let mut pairs = self.request.uri().query()?.split('&');
        pairs.find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Begins a visit by a right that holds. None where another document, which came meanwhile, has taken it away.
fn begin(door: &Arc<Shared>, host: &str, right: Right) -> Option<Visit> {
    let (visit, is_first) = door.visits().begin(host, right.clone());
    if is_first {
        tokio::spawn(watch(door.clone()));
    }
    // From here on a new document finds it; one that came before is looked at here.
    door.table().keeps(host, &right).then_some(visit)
}

/// The answer to a request that may not go on any more since it was let in.
pub fn over() -> Notice {
    let text = "The right to open this application was taken away, or the time of the pass is over.";
    Notice::new(401, "visit_over", "The visit is over", text).plain()
}

/// The answer without TLS where not everybody may come in.
fn in_the_clear(host: &str) -> Notice {
    let text = format!(
        "Open https://{host}. Where that does not answer, its owner gives it a certificate: openmesh xnode doors certificate {host}. Without TLS a pass would be anybody's."
    );
    Notice::new(403, "no_tls", format!("{host} is not for everybody, and lets nobody in without TLS"), text)
}

/// Looks for passes that a clock has ended, for as long as a visit by one is open.
async fn watch(door: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(PASSES_LOOK_MS)).await;
        door.sweep_visits();
        if door.visits().are_over() {
            return;
        }
    }
}

fn nothing() -> Notice {
    Notice::new(404, "no_such_page", "The door has no such page", "Check the address.")
}

const fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Forged => "forged",
        Fault::Expired => "expired",
        Fault::Ahead => "clock",
    }
}

/// Target to which a visitor is led back, from its digits: a path of this very host, else its root. `//` and `/\` would be other hosts.
fn returned(digits: &str) -> String {
    let bytes = hex::decode(digits).unwrap_or_default();
    let plain = bytes.len() <= RETURN_BYTES_MAX && bytes.iter().all(|byte| (0x21..0x7f).contains(byte));
    let is_path = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    let text = Some(bytes).filter(|_| plain && is_path).and_then(|bytes| String::from_utf8(bytes).ok());
    text.filter(|text| !text.starts_with(RESERVED)).unwrap_or_else(|| "/".to_string())
}

/// Returns true for a browser that opens a page. Source: Fetch Metadata Request Headers; browsers without them accept HTML.
fn is_navigation<B>(request: &Request<B>, upgrades: bool) -> bool {
    let fields = request.headers();
    let text = |name: &str| fields.get(name).map(|value| value.to_str().unwrap_or_default());
    let opens = match text("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => text(ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html")),
    };
    opens && !upgrades && !is_grpc(fields) && matches!(*request.method(), Method::GET | Method::HEAD)
}

/// Returns true where a page of another site makes a browser change something, or open a connection for that: an application that asks nobody who they
/// are has no defence of its own. The browser's own word on the site counts first, since it takes `Origin` away where a page asks for that.
fn is_of_another_site<B>(request: &Request<B>, upgrades: bool, host: &Authority) -> bool {
    if !upgrades && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    if let Some(site) = request.headers().get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    origin(request.headers()).is_some_and(|origin| origin.as_ref() != Some(host))
}

/// Origin of the page that asks: none without a word on it, and an inner none for one that is no host.
fn origin(fields: &HeaderMap) -> Option<Option<Authority>> {
    let text = fields.get(ORIGIN)?.to_str().unwrap_or_default();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    Some(rest.and_then(Authority::parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, fields: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().method(method).uri("/");
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).expect("a request")
    }

    #[test]
    fn visitors_are_led_back_to_this_host_alone() {
        let back = |text: &str| returned(&hex::encode(text));
        assert_eq!(back("/a/b?c=d"), "/a/b?c=d");
        for odd in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/\r\nset-cookie: a=b",
            "/\t/evil.example",
            "/.openmesh-door/enter?code=1",
            "/\u{e9}",
        ] {
            assert_eq!(back(odd), "/", "{odd:?}");
        }
        assert_eq!(returned("zz"), "/");
        assert_eq!(back(&format!("/{}", "a".repeat(RETURN_BYTES_MAX))), "/");
    }

    #[test]
    fn only_browsers_that_open_a_page_are_sent_to_sign_in() {
        let html = ("accept", "text/html,*/*");
        assert!(is_navigation(&request("GET", &[html]), false));
        assert!(is_navigation(&request("HEAD", &[("sec-fetch-mode", "navigate")]), false));
        assert!(!is_navigation(&request("GET", &[html, ("sec-fetch-mode", "cors")]), false));
        assert!(!is_navigation(&request("GET", &[html]), true), "another protocol");
        assert!(!is_navigation(&request("POST", &[html, ("sec-fetch-mode", "navigate")]), false));
        assert!(!is_navigation(&request("GET", &[html, ("content-type", "application/grpc")]), false));
        assert!(!is_navigation(&request("GET", &[("accept", "*/*")]), false));
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let host = Authority::parse("notes.lan:8443").expect("a host");
        let other = |method: &str, upgrades, fields: &[(&str, &str)]| {
            is_of_another_site(&request(method, fields), upgrades, &host)
        };
        let evil = ("origin", "https://evil.example");
        assert!(!other("GET", false, &[evil]), "what is read is not changed");
        assert!(other("GET", true, &[evil]), "a WebSocket");
        assert!(other("POST", false, &[evil]));
        assert!(other("POST", false, &[("origin", "null")]));
        assert!(other("POST", false, &[("origin", "https://notes.lan")]), "another port");
        assert!(!other("POST", false, &[("origin", "https://notes.lan:8443")]));
        assert!(!other("POST", false, &[]), "a program");
        assert!(other("POST", false, &[("sec-fetch-site", "same-site")]));
        assert!(!other("POST", false, &[("sec-fetch-site", "same-origin"), ("origin", "null")]));
    }
}
