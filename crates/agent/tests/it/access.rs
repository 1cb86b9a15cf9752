//! The face over TCP: roles by routes and methods, sessions and their end, other sites, replays and forgeries, API keys, the audit log.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use openmesh_access::{Least, RULES, Verdict, decide};
use openmesh_agent::views::access::{Code, MadeKey, Me, Member, Nonce, Session, SignIn, SignedIn};
use openmesh_agent::views::{AuditRecord, AuditReport, Failure, Generation, Role};
use openmesh_agent::{Pages, People};
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountKey, Address};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::pantry::server;
use crate::world::{PATIENCE, World, free_port, plain};

/// A name of the agents here, behind a door.
const NAMED: &str = "xnode.example";
/// Cookie of a session under such a name.
const COOKIE: &str = "__Host-openmesh-xnode";

/// Wallet number `n`; the first one is the owner.
pub fn wallet(n: u8) -> AccountKey {
    AccountKey::from_bytes([n; 32]).unwrap()
}

pub fn address(n: u8) -> Address {
    wallet(n).address()
}

/// A face, as a client has it.
pub struct Site {
    pub host: String,
    pub http: reqwest::Client,
}

impl Site {
    pub fn of(world: &World) -> Site {
        let host = std::fs::read_to_string(world.settings.face_file()).unwrap().trim().to_string();
        let http = reqwest::Client::builder().http1_only().timeout(PATIENCE * 2);
        Site { host, http: http.build().unwrap() }
    }

    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}/v1/xnode{path}", self.host));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, token: &str) -> T {
        value(self.request(Method::GET, path, Some(token))).await
    }

    /// A signed message of wallet `n` with a new nonce.
    async fn signed(&self, n: u8) -> SignIn {
        signed(&wallet(n), message(&wallet(n), &value(self.request(Method::GET, "/access/nonce", None)).await))
    }

    pub async fn sign_in(&self, n: u8) -> SignedIn {
        value(self.request(Method::POST, "/access/sign-in", None).json(&self.signed(n).await)).await
    }

    pub async fn let_in(&self, owner: &str, n: u8, role: Role) {
        let path = format!("/access/members/{}", address(n));
        let request = self.request(Method::PUT, &path, Some(owner)).json(&json!({ "role": role }));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    }
}

pub fn message(key: &AccountKey, nonce: &Nonce) -> String {
    let (domain, address, statement) = (&nonce.domain, key.address(), &nonce.statement);
    format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n{statement}\n\nURI: http://{domain}\nVersion: 1\nChain ID: {}\nNonce: {}\nIssued At: {}",
        nonce.chain_id, nonce.nonce, nonce.at
    )
}

pub fn signed(signer: &AccountKey, message: String) -> SignIn {
    let signature = signer.sign_hash(&personal_message_hash(message.as_bytes())).unwrap();
    SignIn { message, signature: signature.to_string(), code: None }
}

pub async fn value<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Status and stable word of a refusal; the word is empty where the answer has none.
pub async fn refusal(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    let code = serde_json::from_str::<Failure>(&text).map(|failure| failure.code).unwrap_or_default();
    (status.as_u16(), code)
}

/// An agent with a face whose owner is wallet 1; none where the machine can hold no agent.
pub async fn world() -> Option<(World, Site)> {
    let mut world = World::new()?;
    world.settings.face = Some(([127, 0, 0, 1], 0).into());
    world.settings.people = People { owner: Some(address(1)), hosts: vec![NAMED.into()], chain: None };
    world.start().await;
    let site = Site::of(&world);
    Some((world, site))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_by_routes_by_methods() {
    const DENIED: [&str; 5] = ["not_signed_in", "role", "root", "no_rule", "no_endpoint"];
    let Some((mut world, site)) = world().await else { return };
    let owner = site.sign_in(1).await.token;
    let mut askers = vec![(None, None), (Some(Role::Owner), Some(owner.clone()))];
    for (n, role) in [(2, Role::Admin), (3, Role::Operator), (4, Role::Viewer)] {
        site.let_in(&owner, n, role).await;
        askers.push((Some(role), Some(site.sign_in(n).await.token)));
    }
    // An API key has the rights of its role, and no more.
    let wish = json!({ "name": "pipeline", "role": "operator" });
    let made: MadeKey = value(site.request(Method::POST, "/access/keys", Some(&owner)).json(&wish)).await;
    askers.push((Some(Role::Operator), Some(made.key)));
    let mut paths: BTreeSet<String> = RULES.iter().map(|rule| rule.path.replace("{}", "nothing-here")).collect();
    paths.extend(["/v1/xnode/nothing", "/v1/xnode/", "/v1/other"].map(String::from));
    for (role, token) in &askers {
        for path in &paths {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                // Whoever signs out asks nothing any more.
                if path.ends_with("/access/session") && method == Method::DELETE && token.is_some() {
                    continue;
                }
                let url = format!("http://{}{path}", site.host);
                let request = site.http.request(method.clone(), url);
                let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
                let (status, code) = refusal(request).await;
                let verdict = decide(*role, method.as_str(), path);
                let allowed = matches!(verdict, Verdict::Allowed(_));
                let denied = DENIED.contains(&code.as_str());
                assert_eq!(denied, !allowed, "{role:?} {method} {path}: {status} {code}, and {verdict:?}");
                let expected = match verdict {
                    Verdict::SignIn(_) => 401,
                    Verdict::Forbidden(_) => 403,
                    // Nobody learns from outside which endpoints there are.
                    Verdict::NoRule if role.is_none() => 401,
                    Verdict::NoRule if code == "no_rule" => 403,
                    Verdict::NoRule => 404,
                    Verdict::Allowed(_) => continue,
                };
                assert_eq!(status, expected, "{role:?} {method} {path}: {code}");
            }
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_ends_what_it_has_open() {
    let Some((mut world, site)) = world().await else { return };
    let (image, port) = (world.image(&server("one")), free_port());
    world.deploy(world.document(&plain(&image, port))).await;
    let owner = site.sign_in(1).await.token;
    for (way, n) in [("session", 2), ("sessions", 3), ("role", 4), ("member", 5), ("sign-out", 6)] {
        site.let_in(&owner, n, Role::Operator).await;
        let member = site.sign_in(n).await;
        let path = "/applications/web/logs?follow=true&contains=listens";
        let answer = site.request(Method::GET, path, Some(&member.token)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut stream = Box::pin(answer.bytes_stream());
        let first = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a line").unwrap().unwrap();
        assert!(first.starts_with(b"{"), "{first:?}");
        let all: Vec<Session> = site.get("/access/sessions", &owner).await;
        assert_eq!(all.iter().find(|session| session.id == member.id).unwrap().open, 1, "{way}");
        let of_member = format!("/access/members/{}", address(n));
        let request = match way {
            "session" => site.request(Method::DELETE, &format!("/access/sessions/{}", member.id), Some(&owner)),
            "sessions" => site.request(Method::DELETE, &format!("{of_member}/sessions"), Some(&owner)),
            "role" => site.request(Method::PUT, &of_member, Some(&owner)).json(&json!({ "role": "viewer" })),
            "member" => site.request(Method::DELETE, &of_member, Some(&owner)),
            _ => site.request(Method::DELETE, "/access/session", Some(&member.token)),
        };
        assert!(request.send().await.unwrap().status().is_success(), "{way}");
        // The log goes on, and its end is no whole end: the connection breaks off.
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match stream.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return true,
                    None => return false,
                }
            }
        });
        assert!(ended.await.expect("the stream ends"), "{way}: it ended as if it were whole");
        let after = refusal(site.request(Method::GET, "/access/me", Some(&member.token))).await;
        let expected = if way == "role" { (200, "") } else { (401, "revoked") };
        assert_eq!(after, (expected.0, expected.1.to_string()), "{way}");
    }
    // The owner's own stream was not theirs.
    assert_eq!(site.get::<Me>("/access/me", &owner).await.role, Role::Owner);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_forged_and_strange_sign_ins_have_their_own_refusals() {
    let Some((mut world, site)) = world().await else { return };
    let sign_in = |wish: &SignIn| site.request(Method::POST, "/access/sign-in", None).json(wish);
    let wish = site.signed(1).await;
    let owner: SignedIn = value(sign_in(&wish)).await;
    assert_eq!((owner.wallet, owner.role), (address(1), Role::Owner));
    assert_eq!(refusal(sign_in(&wish)).await, (401, "nonce_used".into()), "replayed");
    let nonce: Nonce = value(site.request(Method::GET, "/access/nonce", None)).await;
    let forged = signed(&wallet(9), message(&wallet(1), &nonce));
    assert_eq!(refusal(sign_in(&forged)).await, (401, "bad_signature".into()));
    assert_eq!(refusal(sign_in(&site.signed(9).await)).await, (403, "no_member".into()));
    let elsewhere = Nonce { domain: "localhost:1".into(), ..nonce.clone() };
    let elsewhere = signed(&wallet(1), message(&wallet(1), &elsewhere));
    assert_eq!(
        refusal(sign_in(&elsewhere)).await,
        (400, "wrong_domain".into()),
        "a page of another port of this machine"
    );
    let other = Nonce { statement: "Sign in.".into(), ..nonce.clone() };
    let other = signed(&wallet(1), message(&wallet(1), &other));
    assert_eq!(refusal(sign_in(&other)).await, (400, "wrong_statement".into()), "signed for something else");
    let own = Nonce { nonce: "0123456789abcdef".into(), ..nonce };
    assert_eq!(refusal(sign_in(&signed(&wallet(1), message(&wallet(1), &own)))).await, (401, "nonce_unknown".into()));
    let huge = sign_in(&SignIn { message: "m".repeat(70_000), signature: String::new(), code: None });
    assert_eq!(huge.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE, "strangers fill no memory");
    let forged = format!("oms_{}", "0".repeat(64));
    for token in [forged.as_str(), &owner.token.to_uppercase(), "", "null"] {
        let refused = refusal(site.request(Method::GET, "/access/me", Some(token))).await;
        assert_eq!(refused, (401, "unknown_credential".into()), "{token}");
    }
    // An API key in the place of a session, until it is over.
    let make = |wish| site.request(Method::POST, "/access/keys", Some(&owner.token)).json::<serde_json::Value>(&wish);
    let made: MadeKey = value(make(json!({ "name": "bot", "role": "admin" }))).await;
    assert_eq!(site.get::<Me>("/access/me", &made.key).await.who, format!("key bot ({})", made.entry.id));
    let more =
        site.request(Method::POST, "/access/keys", Some(&made.key)).json(&json!({ "name": "b", "role": "viewer" }));
    assert_eq!(refusal(more).await, (403, "key".into()));
    let short: MadeKey = value(make(json!({ "name": "short", "role": "viewer", "lasts_ms": 1 }))).await;
    let mut refused = (0, String::new());
    while refused.0 != 401 {
        // Its life is shorter than the clock's step.
        refused = refusal(site.request(Method::GET, "/access/me", Some(&short.key))).await;
    }
    assert_eq!(refused.1, "expired");
    let path = format!("/access/keys/{}", made.entry.id);
    assert!(site.request(Method::DELETE, &path, Some(&owner.token)).send().await.unwrap().status().is_success());
    assert_eq!(refusal(site.request(Method::GET, "/access/me", Some(&made.key))).await, (401, "revoked".into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_names_and_other_sites_get_nothing() {
    let Some((mut world, site)) = world().await else { return };
    // A name that an attacker's DNS leads here.
    for host in ["evil.example", "evil.example:7780", "127.0.0.1.evil.example", "localhost.evil"] {
        let request = site.request(Method::GET, "/access/nonce", None).header("host", host);
        assert_eq!(refusal(request).await, (421, "host".into()), "{host}");
        let page = site.http.get(format!("http://{}/", site.host)).header("host", host);
        assert_eq!(refusal(page).await, (421, "host".into()), "{host}");
    }
    // Under a name with TLS the session is a cookie of that name alone.
    let named = |method, path: &str| site.request(method, path, None).header("host", NAMED);
    let nonce: Nonce = value(named(Method::GET, "/access/nonce")).await;
    assert_eq!(nonce.domain, NAMED);
    let wish = signed(&wallet(1), message(&wallet(1), &nonce));
    let answer = named(Method::POST, "/access/sign-in").json(&wish).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_string();
    assert!(cookie.starts_with(&format!("{COOKIE}=oms_")), "{cookie}");
    for word in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=86400"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    let pair = cookie.split(';').next().unwrap().to_string();
    let by_cookie = |method, path: &str| named(method, path).header("cookie", &pair);
    assert_eq!(value::<Me>(by_cookie(Method::GET, "/access/me")).await.role, Role::Owner);
    let wallet = format!("/access/members/{}", address(7));
    let change = || by_cookie(Method::PUT, &wallet).json(&json!({ "role": "owner" }));
    for (header, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://xnode.example.evil"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("accept", "*/*"),
    ] {
        assert_eq!(refusal(change().header(header, value)).await, (403, "origin".into()), "{header}: {value}");
    }
    let foreign = by_cookie(Method::GET, "/applications/web/terminal").header("origin", "https://evil.example");
    assert_eq!(refusal(foreign).await, (403, "origin".into()), "a WebSocket of another site");
    let members: Vec<Member> = value(by_cookie(Method::GET, "/access/members")).await;
    assert_eq!(members.len(), 1, "nobody was let in");
    assert!(change().header("origin", format!("https://{NAMED}")).send().await.unwrap().status().is_success());
    // On loopback a cookie goes to every port, those of applications too: none is given and none is taken.
    let here = site.request(Method::GET, "/access/me", None).header("cookie", &pair);
    assert_eq!(refusal(here).await, (401, "not_signed_in".into()));
    let answer = site.request(Method::POST, "/access/sign-in", None).json(&site.signed(1).await).send().await.unwrap();
    assert!(answer.status().is_success() && !answer.headers().contains_key("set-cookie"));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(answer.headers().contains_key("content-security-policy"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_in_the_log_and_no_secret() {
    let Some((mut world, site)) = world().await else { return };
    let owner = site.sign_in(1).await.token;
    site.let_in(&owner, 3, Role::Operator).await;
    let operator = site.sign_in(3).await.token;
    let secret = "correct horse battery staple";
    let put = |token: &str| site.request(Method::PUT, "/secrets/token?reason=because", Some(token)).body(secret);
    assert!(put(&owner).send().await.unwrap().status().is_success());
    assert_eq!(refusal(put(&operator)).await, (403, "role".into()));
    let stranger = site.request(Method::PUT, "/secrets/token", None).body(secret);
    assert_eq!(refusal(stranger).await, (401, "not_signed_in".into()));
    // Nobody deploys in another name but root, and an operator changes nothing of the machine.
    world.deploy(world.document("applications: {}\n")).await;
    let deploy = |text: String| site.request(Method::POST, "/applications?by=bob", Some(&operator)).body(text);
    assert_eq!(refusal(deploy("version: 1\n".into())).await, (403, "role".into()));
    assert!(deploy(world.document("applications: {}\n")).send().await.unwrap().status().is_success());
    let generations: Vec<Generation> = site.get("/generations", &operator).await;
    assert_eq!(generations[0].by, address(3).to_string());
    let root: u32 = world.client.ask(world.client.request(Method::PUT, "/secrets/other").body(secret)).await.unwrap();
    assert_eq!(root, 1);
    let of_secret: Vec<AuditRecord> = site.get("/access/audit?path=/v1/xnode/secrets", &owner).await;
    let words = |record: &AuditRecord| {
        let kind = serde_json::to_value(record.kind).unwrap().as_str().unwrap().to_string();
        let who = record.who.clone().unwrap_or_else(|| "nobody".into());
        format!("{kind} {who} {} {}", record.status.unwrap_or(0), record.code.clone().unwrap_or_default())
    };
    let mut found: Vec<String> = of_secret.iter().map(words).collect();
    found.reverse();
    let (one, three) = (address(1), address(3));
    assert_eq!(
        found,
        [
            format!("begun {one} 0 "),
            format!("ended {one} 200 "),
            format!("refused {three} 403 role"),
            "refused nobody 401 not_signed_in".to_string(),
            "begun root 0 ".to_string(),
            "ended root 200 ".to_string(),
        ]
    );
    let sign_ins: Vec<AuditRecord> = site.get("/access/audit?path=/v1/xnode/access/sign-in&kind=ended", &owner).await;
    assert_eq!(
        sign_ins.iter().filter_map(|record| record.who.clone()).collect::<Vec<_>>(),
        [three.to_string(), one.to_string()]
    );
    let report: AuditReport = site.get("/access/audit/verify", &owner).await;
    assert!(report.broken.is_none() && report.records > 10, "{report:?}");
    let head = format!("/access/audit/verify?sequence={}&hash={}", report.head.sequence, report.head.hash);
    assert_eq!(site.get::<AuditReport>(&head, &owner).await.broken, None);
    for entry in std::fs::read_dir(world.settings.access_folder().join("audit")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("horse") && !text.contains("because") && !text.contains(&owner[4..]));
    }
    world.stop().await;
}

/// A member whose role is narrowed to one application, and a key: each endpoint of the table, and what is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_ones_own_opens_its_endpoints_alone() {
    let Some((mut world, site)) = world().await else { return };
    let owner = site.sign_in(1).await.token;
    let put = |path: &str, body: serde_json::Value| site.request(Method::PUT, path, Some(&owner)).json(&body);
    let done = async |request: RequestBuilder| request.send().await.unwrap().status() == StatusCode::NO_CONTENT;
    let web = json!({ "of": "operator", "rights": ["* /v1/xnode/applications/web/**", "GET /v1/xnode/events"] });
    assert!(done(put("/access/roles/web", web)).await);
    let idle = json!({ "of": "viewer", "rights": ["DELETE /v1/xnode/applications/web"] });
    assert_eq!(refusal(put("/access/roles/idle", idle)).await, (400, "value".into()));
    let member = format!("/access/members/{}", address(3));
    let other = json!({ "role": "viewer", "only": "web" });
    assert_eq!(refusal(put(&member, other)).await, (400, "value".into()), "it narrows operators");
    assert!(done(put(&member, json!({ "role": "operator", "only": "web" }))).await);
    let token = site.sign_in(3).await.token;
    let me: Me = site.get("/access/me", &token).await;
    assert_eq!((me.role, me.only), (Role::Operator, vec!["web".to_string()]));
    let wish = json!({ "name": "bot", "role": "operator", "only": "web" });
    let key: MadeKey = value(site.request(Method::POST, "/access/keys", Some(&owner)).json(&wish)).await;
    let ask = async |method: Method, path: &str, token: &str| refusal(site.request(method, path, Some(token))).await.1;
    let mut closed = 0;
    for rule in RULES.iter().filter(|rule| rule.least != Least::Nobody) {
        let path = rule.path.trim_start_matches("/v1/xnode").replace("{}", "nothing-here");
        if ["/access/me", "/access/session", "/events"].contains(&path.as_str()) {
            continue;
        }
        for token in [token.as_str(), key.key.as_str()] {
            let code = ask(rule.method.parse().unwrap(), &path, token).await;
            assert!(["not_in_role", "role", "root"].contains(&code.as_str()), "{} {path}: {code}", rule.method);
            closed += usize::from(code == "not_in_role");
        }
    }
    assert!(closed > 100, "{closed}");
    for token in [token.as_str(), key.key.as_str()] {
        let code = ask(Method::GET, "/applications/web", token).await;
        assert!(code.starts_with("no_"), "there is none, and it may ask: {code}");
        assert_eq!(ask(Method::GET, "/applications/we%62", token).await, "not_in_role", "no spelling opens more");
        assert_eq!(ask(Method::DELETE, "/applications/web", token).await, "role", "an operator never may");
        assert_eq!(ask(Method::GET, "/events", token).await, "");
    }
    // Refused changes are in the log; the role stays as long as somebody has it; another list of rights counts at once.
    let of_web = "/access/audit?path=/v1/xnode/drain&kind=refused";
    let records: Vec<AuditRecord> = site.get(of_web, &owner).await;
    assert!(records.iter().any(|record| record.who == Some(address(3).to_string())), "{records:?}");
    assert_eq!(
        refusal(site.request(Method::DELETE, "/access/roles/web", Some(&owner))).await,
        (409, "role_used".into())
    );
    let list = json!({ "of": "operator", "rights": ["GET /v1/xnode/applications"] });
    assert!(done(put("/access/roles/web", list)).await);
    assert_eq!(ask(Method::GET, "/applications", token.as_str()).await, "");
    assert_eq!(ask(Method::GET, "/applications/web", token.as_str()).await, "not_in_role");
    // A terminal is opened by `GET`, and is more than a look.
    let looks = json!({ "of": "operator", "rights": ["GET /v1/xnode/**"] });
    assert!(done(put("/access/roles/web", looks)).await);
    assert!(ask(Method::GET, "/applications/web", token.as_str()).await.starts_with("no_"));
    assert_eq!(ask(Method::GET, "/applications/web/terminal", token.as_str()).await, "not_in_role");
    assert!(done(put("/access/roles/web", json!({ "of": "operator", "rights": ["GET /v1/xnode"] }))).await);
    assert!(done(put(&member, json!({ "role": "operator", "name": "Ann" }))).await);
    assert_eq!(ask(Method::GET, "/events", token.as_str()).await, "not_in_role", "another name widens nothing");
    assert!(done(put(&member, json!({ "role": "operator", "only": "" }))).await);
    assert_eq!(ask(Method::GET, "/events", token.as_str()).await, "", "nothing narrows them any more");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_the_agent_and_the_first_owner_has_a_code() {
    let Some(mut world) = World::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>Studio</p>").unwrap();
    world.settings.face = Some(([127, 0, 0, 1], 0).into());
    world.settings.pages = Pages::folder(folder.path().into());
    world.start().await;
    let site = Site::of(&world);
    let code: Code = world.client.ask(world.client.request(Method::POST, "/access/code")).await.unwrap();
    assert_eq!(
        refusal(site.request(Method::POST, "/access/sign-in", None).json(&site.signed(2).await)).await,
        (403, "no_member".into())
    );
    let wrong = SignIn { code: Some(format!("omc_{}", "0".repeat(64))), ..site.signed(2).await };
    assert_eq!(refusal(site.request(Method::POST, "/access/sign-in", None).json(&wrong)).await, (403, "code".into()));
    let wish = SignIn { code: Some(code.code), ..site.signed(2).await };
    let owner: SignedIn = value(site.request(Method::POST, "/access/sign-in", None).json(&wish)).await;
    assert_eq!(owner.role, Role::Owner);
    let unused = site.signed(2).await;
    world.stop().await;
    assert!(!world.settings.face_file().exists());
    world.start().await;
    let site = Site::of(&world);
    assert_eq!(site.get::<Me>("/access/me", &owner.token).await.id, Some(owner.id));
    let late = site.request(Method::POST, "/access/sign-in", None).json(&unused);
    assert!(["nonce_unknown", "wrong_domain"].contains(&refusal(late).await.1.as_str()));
    // The last owner stays, also for root.
    let path = format!("/access/members/{}", address(2));
    assert_eq!(refusal(site.request(Method::DELETE, &path, Some(&owner.token))).await, (409, "last_owner".into()));
    let root = world.client.text(world.client.request(Method::DELETE, &path)).await;
    assert!(root.unwrap_err().to_string().contains("last owner"));
    // Pages are served under the agent's own names, each with the one page.
    for path in ["/", "/apps/web", "/node?tab=members"] {
        let page = site.http.get(format!("http://{}{path}", site.host)).send().await.unwrap();
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
        assert_eq!(page.text().await.unwrap(), "<p>Studio</p>");
    }
    assert_eq!(refusal(site.http.get(format!("http://{}/assets/gone.js", site.host))).await, (404, "no_page".into()));
    world.stop().await;
}
