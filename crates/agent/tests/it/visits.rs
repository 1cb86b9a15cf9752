//! Applications that are not for everybody: a visitor's way by the real door, with TLS and a wallet's signature, and the end of a right.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use openmesh_access::Purpose;
use openmesh_agent::views::access::{Member, Nonce, SignIn};
use openmesh_agent::views::{Doors, Leave, Role, Untaken, VisitWish, Visited, Way};
use openmesh_agent::{DoorPorts, People};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::json;

use crate::access::{address, message, refusal, signed, value, wallet};
use crate::pantry::server;
use crate::world::{PATIENCE, World, free_port, plain};

/// Time within which a right that was taken away is gone.
const REVOKED: Duration = Duration::from_secs(1);

/// Lets the door's program as it is now lie beside the other ones.
pub fn build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--quiet", "--locked", "-p", "openmesh-door", "--bins"];
    let built = Command::new(cargo).args(arguments).current_dir(root).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// A browser of a person who trusts the machine's own authority.
struct Browser {
    http: reqwest::Client,
    port: u16,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(root: &str, port: u16) -> Browser {
        // The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let here = ([127, 0, 0, 1], port).into();
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE);
        let http = http.resolve("notes.lan", here).resolve("xnode.lan", here);
        let http = http.tls_certs_only([reqwest::Certificate::from_pem(root.as_bytes()).unwrap()]);
        Browser { http: http.build().unwrap(), port, cookies: BTreeMap::new() }
    }

    /// Opens a page of the application, with the cookies of its host.
    async fn open(&mut self, address: &str) -> Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.get(address).header("accept", "text/html").header("cookie", cookies.join("; "));
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(
                set.starts_with("__Host-openmesh-door-") && set.contains("; Secure") && set.contains("; HttpOnly"),
                "{set}"
            );
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
        answer
    }

    fn notes(&self) -> String {
        format!("https://notes.lan:{}/a?b=c", self.port)
    }

    /// A request of the agent's API under the machine's name.
    fn agent(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("https://xnode.lan:{}/v1/xnode/access{path}", self.port))
    }

    /// Opens the application without a pass, and gives the way that the agent's page finds in its address.
    async fn sent_to_sign_in(&mut self) -> Way {
        let answer = self.open(&self.notes()).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let page = Url::parse(location(&answer)).unwrap();
        let site = (page.scheme(), page.host_str(), page.port(), page.path());
        assert_eq!(site, ("https", Some("xnode.lan"), Some(self.port), "/visit"));
        let fields: BTreeMap<String, String> = page.query_pairs().into_owned().collect();
        Way {
            host: fields["host"].clone(),
            tls: fields["tls"].parse().unwrap(),
            visit: fields["visit"].clone(),
            to: fields["to"].clone(),
        }
    }

    /// A message that wallet `n` has signed: for a way, or for a session of the agent.
    async fn signed(&self, n: u8, way: Option<&Way>) -> SignIn {
        let nonce: Nonce = value(self.agent(Method::GET, "/nonce")).await;
        let visit = |way: &Way| Purpose::Visit { application: "notes", host: &way.host }.statement(&nonce.domain);
        let statement = way.map_or(nonce.statement.clone(), visit);
        signed(&wallet(n), message(&wallet(n), &Nonce { statement, ..nonce }))
    }

    /// A sign-in by a signed message for a way.
    fn visits(&self, way: &Way, signed: SignIn) -> RequestBuilder {
        let wish = VisitWish { way: way.clone(), message: signed.message, signature: signed.signature };
        self.agent(Method::POST, "/visit").json(&wish)
    }

    /// The sign-in of wallet `n` for a way.
    async fn signs(&self, n: u8, way: &Way) -> RequestBuilder {
        self.visits(way, self.signed(n, Some(way)).await)
    }

    /// The whole way in of wallet `n`, and what the application then says.
    async fn come_in(&mut self, n: u8) -> String {
        self.cookies.clear();
        let way = self.sent_to_sign_in().await;
        let leave: Leave = value(self.signs(n, &way).await).await;
        let answer = self.open(&leave.location).await;
        assert_eq!((answer.status(), location(&answer)), (StatusCode::SEE_OTHER, "/a?b=c"));
        let answer = self.open(&self.notes()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// Waits until the application is not opened any more, and says for how long.
    async fn until_shut(&mut self) -> Duration {
        let begun = Instant::now();
        while self.open(&self.notes()).await.status() == StatusCode::OK {
            assert!(begun.elapsed() < PATIENCE, "the pass still lets in");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }
}

fn location(answer: &Response) -> &str {
    answer.headers()["location"].to_str().unwrap()
}

/// An agent whose door serves `notes.lan`, and its people sign in at `xnode.lan`; none where the machine can hold no agent.
async fn world() -> Option<(World, u16)> {
    let mut world = World::new()?;
    build();
    let port = free_port();
    world.settings.face = Some(([127, 0, 0, 1], 0).into());
    world.settings.people = People { owner: Some(address(1)), hosts: vec!["xnode.lan".into()], chain: None };
    world.settings.door_ports = DoorPorts { http: free_port(), https: port };
    world.start().await;
    Some((world, port))
}

/// The document, with people who may open the application.
fn notes(world: &World, audience: &str) -> String {
    let says = "my $user = $head =~ m{x-forwarded-user: (\\S+)}i ? $1 : 'nobody'; my $body = \"$user\\n\";";
    let script = server("one").replace("my $body = \"one\\n\";", says);
    let domains = format!("    domains: {{notes.lan: {{port: http, {audience}}}}}\n    health:");
    let text = plain(&world.image(&script), 1)
        .replace("{port: 8080, publish: {port: 1, address: 127.0.0.1}}", "{port: 8080, protocol: http}");
    world.document(&text.replace("  web:", "  notes:").replace("    health:", &domains))
}

async fn until_served(world: &World, access: &str) {
    let begun = Instant::now();
    loop {
        let doors: Doors = world.get("/doors").await.unwrap();
        if doors.hosts.iter().any(|host| host.name == "notes.lan" && host.access == access) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{doors:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn browser(world: &World, port: u16) -> Browser {
    let root = world.client.text(world.client.request(Method::GET, "/doors/authority")).await.unwrap();
    Browser::new(&root, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_comes_in_by_a_wallet_and_stays_while_the_agent_is_away() {
    let Some((mut world, port)) = world().await else { return };
    world.deploy(notes(&world, &format!("audience: wallets, wallets: [\"{}\"]", address(7)))).await;
    until_served(&world, "1 wallets").await;
    let mut visitor = browser(&world, port).await;
    let way = visitor.sent_to_sign_in().await;
    assert_eq!((way.host.as_str(), way.tls), (format!("notes.lan:{port}").as_str(), 1));
    let asked = format!("/visit?host={}&tls=1", way.host);
    let visited: Visited = value(visitor.agent(Method::GET, &asked)).await;
    let statement = Purpose::Visit { application: "notes", host: &way.host }.statement(&format!("xnode.lan:{port}"));
    assert_eq!((visited.application.as_str(), &visited.host), ("notes", &way.host));
    assert_eq!(visited.statement, statement);
    // A signature that was got for another host, or for something else, lets nobody in; and one for a visit begins no session.
    let other = Way { host: format!("wiki.lan:{port}"), ..way.clone() };
    for (n, signed_for) in [(7, Some(&other)), (7, None)] {
        let phished = visitor.signed(n, signed_for).await;
        assert_eq!(refusal(visitor.visits(&way, phished)).await, (400, "wrong_statement".into()), "{signed_for:?}");
    }
    let phished = visitor.signed(1, Some(&way)).await;
    let session = visitor.agent(Method::POST, "/sign-in").json(&phished);
    assert_eq!(refusal(session).await, (400, "wrong_statement".into()), "the owner");
    // Neither a wallet that is not among them, nor the owner, nor somebody else's signature; and no way that leads elsewhere.
    for n in [9, 1] {
        assert_eq!(refusal(visitor.signs(n, &way).await).await, (403, "audience".into()), "wallet {n}");
    }
    for host in ["evil.example", "notes.lan", "xnode.lan"] {
        let elsewhere = Way { host: host.into(), ..way.clone() };
        assert_eq!(refusal(visitor.signs(7, &elsewhere).await).await, (400, "return".into()), "{host}");
    }
    let request = visitor.signs(7, &way).await;
    let (first, again) = (request.try_clone().unwrap(), request);
    let leave: Leave = value(first).await;
    assert_eq!(refusal(again).await, (401, "nonce_used".into()));
    // A code in another browser, and a second time, lets nobody in.
    let mut other = browser(&world, port).await;
    assert_eq!(other.open(&leave.location).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(visitor.open(&leave.location).await.status(), StatusCode::SEE_OTHER);
    visitor.cookies.retain(|name, _| name.ends_with("-visit"));
    assert_eq!(visitor.open(&leave.location).await.status(), StatusCode::FORBIDDEN);
    let text = visitor.come_in(7).await;
    assert_eq!(text.trim(), address(7).to_string().to_lowercase(), "the application hears who it is");
    let data = visitor.http.get(visitor.notes()).send().await.unwrap();
    assert_eq!(
        (data.status(), data.headers()["content-type"].to_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "application/json")
    );
    // The door lets in by itself.
    world.stop().await;
    assert_eq!(visitor.open(&visitor.notes()).await.status(), StatusCode::OK);
    world.start().await;
    assert_eq!(visitor.open(&visitor.notes()).await.status(), StatusCode::OK);
    // The key is where the door and root read it, and nowhere else.
    let kept = std::fs::read_to_string(world.settings.state.join("door/document.json")).unwrap();
    let key = kept.split("\"key\":\"").nth(1).and_then(|rest| rest.get(..64)).unwrap();
    for path in ["/doors", "/events", "/generations", "/generations/1", "/access/audit", "/applications"] {
        let text = world.client.text(world.client.request(Method::GET, path)).await.unwrap();
        assert!(!text.contains(key), "{path}");
    }
    let audit = world.client.text(world.client.request(Method::GET, "/access/audit")).await.unwrap();
    assert!(audit.contains(&format!("{} visits notes", address(7))), "{audit}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_is_gone_within_a_second() {
    let Some((mut world, port)) = world().await else { return };
    world.deploy(notes(&world, "audience: members")).await;
    until_served(&world, "members").await;
    let mut visitor = browser(&world, port).await;
    let path = format!("/access/members/{}", address(8));
    let let_in = world.client.request(Method::PUT, &path).json(&json!({ "role": Role::Viewer }));
    world.client.response(let_in).await.unwrap();
    visitor.come_in(8).await;
    world.client.response(world.client.request(Method::DELETE, &path)).await.unwrap();
    let took = visitor.until_shut().await;
    assert!(took < REVOKED, "a member who was removed was let in for {took:?}");
    // A changed audience: the owner alone, at once, without a new instance.
    visitor.come_in(1).await;
    let before = world.application("notes").await.instances;
    let document = notes(&world, &format!("audience: wallets, wallets: [\"{}\"]", address(7)));
    world.send(Method::POST, "/applications?by=alice&reason=a+test", document).await.unwrap();
    visitor.until_shut().await;
    assert_eq!(visitor.open(&visitor.notes()).await.status(), StatusCode::FORBIDDEN);
    let mut other = browser(&world, port).await;
    other.come_in(7).await;
    let of = |instances: &[openmesh_agent::views::Instance]| {
        instances.iter().map(|one| (one.id.clone(), one.pid)).collect::<Vec<_>>()
    };
    assert_eq!(of(&world.application("notes").await.instances), of(&before), "nothing was started anew");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_removes_a_member_hears_that_the_door_has_not_taken_it_yet() {
    let Some((mut world, port)) = world().await else { return };
    world.deploy(notes(&world, "audience: members")).await;
    until_served(&world, "members").await;
    let mut visitor = browser(&world, port).await;
    let path = format!("/access/members/{}", address(8));
    let let_in = world.client.request(Method::PUT, &path).json(&json!({ "role": Role::Viewer }));
    assert_eq!(world.client.response(let_in).await.unwrap().status(), StatusCode::NO_CONTENT);
    visitor.come_in(8).await;
    // A door that can keep no document takes none, as on a full disk.
    let folder = world.settings.state.join("door");
    std::fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    let answer = world.client.response(world.client.request(Method::DELETE, &path)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let untaken: Untaken = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(untaken.cause.contains("cannot be kept"), "{untaken:?}");
    let members: Vec<Member> = world.get("/access/members").await.unwrap();
    assert!(members.iter().all(|member| member.wallet != address(8)), "it is so at the agent");
    assert_eq!(visitor.open(&visitor.notes()).await.status(), StatusCode::OK, "and not at the door");
    let is_due = |doors: &Doors| doors.remarks.iter().any(|remark| remark.contains("members"));
    let doors: Doors = world.get("/doors").await.unwrap();
    assert!(is_due(&doors), "{:?}", doors.remarks);
    // It is told again until it has taken it.
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    visitor.until_shut().await;
    let begun = Instant::now();
    while is_due(&world.get("/doors").await.unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "the door knows of it, and the agent does not say so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}
