//! The face: HTTP for people, on loopback, behind the door (clauses of `docs/spec/access.md`); and what stands in front of the agent's socket.
//!
//! # What it owns
//! The way of a request to a handler: under which name it comes, who asks, whether a page of another site makes a browser ask, what the table of rights says, the audit log, and
//! the end of what is open when a session ends. Handlers find the [`Principal`] among the request's extensions.
//!
//! # Why so
//! Whoever opens the agent's socket is root. The face has no right of its own: without a session or a key it answers nothing but the way to sign in. A change is in the audit log
//! before it begins, and goes on to its end, and into the log, also where the one who asked for it has gone.

mod bodies;
mod serving;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use openmesh_access::audit::Request as Entry;
use openmesh_access::site::{Kind, Names, Page};
use openmesh_access::{Access, ContractWallets, Least, Principal, Refusal, Rule, Tick, Verdict, decide};
use openmesh_door::pass::Key;
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks::Clock;

pub use serving::Face;

use bodies::until_ended;

use crate::error::AgentError;
use crate::pages::Pages;
use crate::settings::Settings;
use crate::views::Failure;
use crate::visits;
use crate::wallets::RpcChain;

/// Beginning of the paths of the API.
const API: &str = "/v1/";
/// Path of the API's description, as a node has it; beside it is one that a node's gateway passes on.
const DESCRIPTION: &str = "/openapi.json";
/// Cookie of a session. Source of its beginning: RFC 6265bis, 4.1.3.2: secure, of this host alone, and of all its paths.
pub const COOKIE: &str = "__Host-openmesh-xnode";
/// Beginning of the sub-protocol by which a page gives a WebSocket its token, since it can set no header there.
const BEARER_PROTOCOL: &str = "openmesh.bearer.";
/// Content policy of a page: load only from here, and be framed by nobody.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// Content policy of anything else, should a browser take it for a page: nothing.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Everything that stands in front of the API.
pub struct Gate {
    access: Arc<Access>,
    names: Names,
    pages: Pages,
    /// Key of the passes of visitors.
    key: Key,
    /// Nothing is changed yet by people: the agent before may go on, and reads what it knows alone.
    waits: AtomicBool,
}

/// Circumstances of a request, as handlers of access get them.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Name under which the agent is asked.
    pub host: String,
    /// True where a session may lie in a cookie under that name.
    pub takes_cookie: bool,
    /// Place from which it is asked, for people.
    pub from: String,
    /// Network from which it is asked, as bounds for strangers count it.
    pub source: String,
}

/// Name of whoever has signed in by a request, which its handler leaves in the answer for the log.
#[derive(Clone, Debug)]
pub struct SignedInAs(pub String);

/// This moment by the machine's clocks.
pub fn tick() -> Tick {
    let Clock { boot, ms } = Clock::now();
    Tick { boot, boot_ms: ms, wall: Timestamp::now() }
}

impl Gate {
    /// Opens what is kept of access.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub fn open(settings: &Settings) -> Result<Gate, AgentError> {
        let wallets = match &settings.people.chain {
            Some(chain) => Some(Arc::new(RpcChain::new(chain)?) as Arc<dyn ContractWallets>),
            None => None,
        };
        let access = Access::open(&settings.access_folder(), settings.people.owner, wallets, &tick())?;
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = [hostname.trim().to_string(), format!("{}.local", hostname.trim())];
        let own = own.into_iter().filter(|_| !hostname.trim().is_empty());
        let names = Names::new(own.chain(settings.people.hosts.iter().cloned()));
        let key = visits::key(&settings.access_folder())?;
        Ok(Gate { access: Arc::new(access), names, pages: settings.pages.clone(), key, waits: AtomicBool::new(false) })
    }

    /// Refuses changes of people until this agent has the place of the one before for good: what they changed could be in a form that the other one, which goes on if
    /// this one fails, cannot read.
    pub fn wait(&self, waits: bool) {
        self.waits.store(waits, Ordering::SeqCst);
    }

    /// Ends what is open and over by a clock, and writes down when sessions were last used.
    fn tidy(&self) {
        let tick = tick();
        self.access.end_expired(&tick);
        if self.access.is_due(&tick)
            && let Err(error) = self.access.note_uses(&tick)
        {
            tracing::warn!(%error, "last uses of sessions are not written down");
        }
    }

    /// Key of the passes of visitors, from which those of applications are derived.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Access of this agent.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }
}

/// A request that is not let through.
struct Denied {
    status: u16,
    code: &'static str,
    message: String,
}

impl Denied {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Denied {
        Denied { status, code, message: message.into() }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Denied {
        let (code, status) = refusal.code();
        Denied::new(status, code, refusal.to_string())
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(Failure { code: self.code.into(), message: self.message })).into_response()
    }
}

/// The router as root gets it through the agent's socket.
pub fn for_root(router: Router, gate: &Arc<Gate>) -> Router {
    router.layer(from_fn_with_state(gate.clone(), root))
}

/// The router as people get it.
pub fn for_people(router: Router, gate: &Arc<Gate>) -> Router {
    router.layer(from_fn_with_state(gate.clone(), people))
}

async fn root(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let principal = Principal::root();
    let from = principal.from.clone();
    let circumstances = Circumstances { host: "localhost".into(), takes_cookie: false, source: from.clone(), from };
    let path = pattern(request.extensions(), request.uri().path());
    let rule = openmesh_access::rule(request.method().as_str(), &path);
    let entry = entry(request.method(), request.uri().path(), Some(&principal), &principal.from);
    let extensions = request.extensions_mut();
    extensions.insert(principal.clone());
    extensions.insert(circumstances);
    extensions.insert(gate.clone());
    match rule {
        // Root could do without the agent: a log that cannot be written, or an endpoint without a rule, holds root up from nothing.
        Some(rule) if !rule.changes => next.run(request).await,
        None if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) => next.run(request).await,
        _ => recorded(gate, entry, principal, request, next, true).await,
    }
}

async fn people(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_api = path.starts_with(API) || path == DESCRIPTION;
    let mut response = if is_api { asked(gate, request, next).await } else { page(&gate, &request) };
    guard(response.headers_mut());
    response
}

/// The way of a request of the API.
async fn asked(gate: Arc<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let tick = tick();
    let from = place(&parts);
    let path = pattern(&parts.extensions, parts.uri.path());
    let judged = judge(&gate, &parts, &path, &from, &tick);
    let judged = judged.and_then(|judged| match judged.rule.changes && gate.waits.load(Ordering::SeqCst) {
        true => {
            Err(Box::new((Denied::new(503, "begins", "this agent begins; try again in a moment"), judged.principal)))
        }
        false => Ok(judged),
    });
    let (rule, principal) = match judged {
        Ok(Judged { host, kind, rule, principal }) => {
            let takes_cookie = kind == Kind::Named;
            let source = source(&parts);
            parts.extensions.insert(Circumstances { host, takes_cookie, from: from.clone(), source });
            (rule, principal)
        }
        Err(turned) => {
            let (denied, principal) = *turned;
            return refused(&gate, &parts, &from, denied, principal.as_ref(), &tick).await;
        }
    };
    parts.extensions.insert(gate.clone());
    let entry = entry(&parts.method, parts.uri.path(), principal.as_ref(), &from);
    let Some(principal) = principal else {
        // Nobody is signed in: a stranger's change is a sign-in, and its handler answers for it.
        let request = Request::from_parts(parts, body);
        return if rule.changes {
            recorded_for_nobody(gate, entry, request, next).await
        } else {
            next.run(request).await
        };
    };
    note_last_use(&gate, &principal);
    parts.extensions.insert(principal.clone());
    let body = if body.is_end_stream() { body } else { until_ended(body, &principal) };
    let request = Request::from_parts(parts, body);
    let response = if rule.changes {
        recorded(gate.clone(), entry, principal.clone(), request, next, false).await
    } else {
        tokio::select! {
            response = next.run(request) => response,
            () = principal.ended() => Denied::from(Refusal::Revoked).into_response(),
        }
    };
    let (parts, body) = response.into_parts();
    // What is whole already goes out as it is; what goes on ends with the session.
    let body = if body.size_hint().exact().is_some() { body } else { until_ended(body, &principal) };
    Response::from_parts(parts, body)
}

/// A request that may go on.
struct Judged {
    host: String,
    kind: Kind,
    rule: &'static Rule,
    principal: Option<Principal>,
}

/// A request that is turned away, and whoever made it where that is known.
type Turned = Box<(Denied, Option<Principal>)>;

/// Everything that is asked of a request before a handler sees it.
fn judge(gate: &Gate, parts: &Parts, path: &str, from: &str, tick: &Tick) -> Result<Judged, Turned> {
    let nobody = |denied: Denied| -> Turned { Box::new((denied, None)) };
    let host = host(parts)
        .ok_or_else(|| nobody(Denied::new(400, "host", "a request names one host, and the same everywhere")))?;
    let kind = gate.names.kind(&host).ok_or_else(|| nobody(misdirected(&host)))?;
    let method = parts.method.as_str();
    let verdict = decide(None, method, path);
    let given = given(&parts.headers, kind);
    let rule = openmesh_access::rule(method, path);
    let acts = rule.is_none_or(|rule| rule.changes) || parts.headers.contains_key(header::UPGRADE);
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let asking = Page { origin: text(header::ORIGIN), fetch_site: text(HeaderName::from_static("sec-fetch-site")) };
    let by_cookie = matches!(given, Given::Cookie(_));
    asking.check(&host, acts, by_cookie).map_err(|foreign| nobody(Denied::new(403, "origin", foreign.to_string())))?;
    // Where nothing is needed a token is not looked at: whoever has an old one can sign in.
    if let Verdict::Allowed(rule) = verdict {
        return Ok(Judged { host, kind, rule, principal: None });
    }
    let token = match given {
        Given::Bearer(token) | Given::Cookie(token) => token,
        Given::Nothing => return Err(nobody(Refusal::SignedOut.into())),
    };
    let principal = gate.access.enter(token, from, tick).map_err(|refusal| nobody(refusal.into()))?;
    let denied: Denied = match decide(Some(principal.role), method, path) {
        Verdict::Allowed(rule) if principal.may(rule.right_method(), parts.uri.path()) => {
            return Ok(Judged { host, kind, rule, principal: Some(principal) });
        }
        Verdict::Allowed(_) => Refusal::NotInRole { names: principal.narrowed_by().join(", ") }.into(),
        Verdict::SignIn(_) => Refusal::SignedOut.into(),
        Verdict::Forbidden(rule) => match rule.least {
            Least::Role(least) => Refusal::Role { least, role: principal.role }.into(),
            Least::Nobody | Least::Root => Refusal::Root.into(),
        },
        Verdict::NoRule if parts.extensions.get::<MatchedPath>().is_some() => {
            Denied::new(403, "no_rule", format!("{method} {path} is for nobody: no rule says who may use it"))
        }
        Verdict::NoRule => Denied::new(404, "no_endpoint", format!("{method} {} is no part of the API", short(path))),
    };
    Err(Box::new((denied, Some(principal))))
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

fn misdirected(host: &str) -> Denied {
    Denied::new(
        421,
        "host",
        format!(
            "this Xnode does not answer under `{}`; ask it as localhost, or give it that name: hosts in xnode.toml",
            short(host)
        ),
    )
}

/// The pattern that the router has found, or the path where it has found none: a request is judged by what answers it.
fn pattern(extensions: &axum::http::Extensions, path: &str) -> String {
    extensions.get::<MatchedPath>().map_or(path, MatchedPath::as_str).to_string()
}

/// The one host that a request names. Source: RFC 9112, 3.2 and 3.3.
fn host(parts: &Parts) -> Option<String> {
    let mut all = parts.headers.get_all(header::HOST).iter();
    let (field, more) = (all.next(), all.next());
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_string());
    let field = match field {
        Some(value) => Some(value.to_str().ok()?.to_string()),
        None => None,
    };
    match (field, authority, more) {
        (Some(field), None, None) => Some(field),
        (None, Some(authority), None) => Some(authority),
        (Some(field), Some(authority), None) if field.eq_ignore_ascii_case(&authority) => Some(field),
        _ => None,
    }
}

/// A token, and the way on which it came.
#[derive(Debug, PartialEq, Eq)]
enum Given<'a> {
    Bearer(&'a str),
    Cookie(&'a str),
    Nothing,
}

fn given(headers: &HeaderMap, kind: Kind) -> Given<'_> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        // Whatever else stands there is no token of ours, and nothing is looked for beside it.
        return Given::Bearer(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" });
    }
    let listed = |name: HeaderName, separator: char| {
        let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(move |text| text.split(separator)).map(str::trim)
    };
    let protocol = listed(header::SEC_WEBSOCKET_PROTOCOL, ',').find_map(|word| word.strip_prefix(BEARER_PROTOCOL));
    if let Some(token) = protocol {
        return Given::Bearer(token);
    }
    let cookie = listed(header::COOKIE, ';').find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='));
    match cookie.filter(|_| kind == Kind::Named) {
        Some(token) => Given::Cookie(token),
        None => Given::Nothing,
    }
}

/// The peer of a request, and behind the door, which is one of this machine, whom the door names.
fn asker(parts: &Parts) -> Option<(SocketAddr, Option<IpAddr>)> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0;
    let named = parts.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let named = named.and_then(|text| text.trim().parse::<IpAddr>().ok());
    Some((peer, named.filter(|_| peer.ip().is_loopback())))
}

/// Place from which a request comes.
fn place(parts: &Parts) -> String {
    match asker(parts) {
        Some((peer, Some(named))) => format!("{named} through {peer}"),
        Some((peer, None)) => peer.to_string(),
        None => "unknown".into(),
    }
}

/// Network from which a request comes: an address of IPv4 or a /64 of IPv6, of which one asker has all addresses.
fn source(parts: &Parts) -> String {
    let Some((peer, named)) = asker(parts) else { return "unknown".into() };
    match named.unwrap_or(peer.ip()).to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

fn entry(method: &Method, path: &str, principal: Option<&Principal>, from: &str) -> Entry {
    Entry {
        who: principal.map(ToString::to_string),
        role: principal.map(|principal| principal.role),
        from: from.into(),
        method: method.as_str().into(),
        path: path.into(),
    }
}

/// Refuses, and records a refused change.
async fn refused(
    gate: &Arc<Gate>,
    parts: &Parts,
    from: &str,
    denied: Denied,
    principal: Option<&Principal>,
    tick: &Tick,
) -> Response {
    let rule = openmesh_access::rule(parts.method.as_str(), &pattern(&parts.extensions, parts.uri.path()));
    let is_look =
        matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) && rule.is_none_or(|rule| !rule.changes);
    if !is_look {
        let entry = entry(&parts.method, parts.uri.path(), principal, from);
        let (gate, tick, status, code) = (gate.clone(), tick.clone(), denied.status, denied.code);
        let noted = tokio::task::spawn_blocking(move || {
            gate.access.log().refuse(&entry, status, code, &gate.access.moment(&tick))
        });
        match noted.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a refusal is not in the audit log"),
            Err(error) => tracing::error!(%error, "a refusal is not in the audit log"),
        }
    }
    denied.into_response()
}

/// Makes a change that is in the audit log before it begins and after it has ended. It has a task of its own, so that it ends as it should also where the one who asked has
/// gone. `anyway` is true where it goes on without a log.
async fn recorded(
    gate: Arc<Gate>,
    entry: Entry,
    principal: Principal,
    request: Request,
    next: Next,
    anyway: bool,
) -> Response {
    let change = async move {
        // Held to the end: as long as a change goes on its session is used.
        let _principal = principal;
        let begun = begin(&gate, &entry).await;
        let of = match begun {
            Ok(of) => Some(of),
            Err(error) if anyway => {
                tracing::error!(%error, "a change of root's is not in the audit log");
                None
            }
            Err(error) => return unlogged(&error),
        };
        let response = next.run(request).await;
        if let Some(of) = of {
            end(&gate, of, entry, Outcome::of(&response)).await;
        }
        response
    };
    tokio::spawn(change).await.unwrap_or_else(|_| AgentError::Worker.into_response())
}

/// The same for a request of somebody who is not signed in. A sign-in that fails is a refusal, of which a flood is counted and not kept.
async fn recorded_for_nobody(gate: Arc<Gate>, entry: Entry, request: Request, next: Next) -> Response {
    let change = async move {
        let response = next.run(request).await;
        let outcome = Outcome::of(&response);
        if response.status().is_success() {
            match begin(&gate, &entry).await {
                Ok(of) => end(&gate, of, entry, outcome).await,
                // Nobody hears the token, so nobody is signed in.
                Err(error) => return unlogged(&error),
            }
            return response;
        }
        let status = outcome.status;
        let moment = gate.access.moment(&tick());
        let noted = tokio::task::spawn_blocking(move || gate.access.log().refuse(&entry, status, "sign_in", &moment));
        if !matches!(noted.await, Ok(Ok(()))) {
            tracing::error!("a refused sign-in is not in the audit log");
        }
        response
    };
    tokio::spawn(change).await.unwrap_or_else(|_| AgentError::Worker.into_response())
}

async fn begin(gate: &Arc<Gate>, entry: &Entry) -> Result<u64, AgentError> {
    let (gate, entry) = (gate.clone(), entry.clone());
    let begun = tokio::task::spawn_blocking(move || gate.access.log().begin(&entry, &gate.access.moment(&tick())));
    Ok(begun.await.map_err(|_| AgentError::Worker)??)
}

/// Outcome of a change, as the log names it.
struct Outcome {
    status: u16,
    signed_in: Option<String>,
}

impl Outcome {
    fn of(response: &Response) -> Outcome {
        let signed_in = response.extensions().get::<SignedInAs>().map(|who| who.0.clone());
        Outcome { status: response.status().as_u16(), signed_in }
    }
}

async fn end(gate: &Arc<Gate>, of: u64, mut entry: Entry, outcome: Outcome) {
    let Outcome { status, signed_in } = outcome;
    entry.who = signed_in.or(entry.who);
    let gate = gate.clone();
    let ended =
        tokio::task::spawn_blocking(move || gate.access.log().end(of, &entry, status, &gate.access.moment(&tick())));
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, of, "the end of a change is not in the audit log"),
        Err(error) => tracing::error!(%error, of, "the end of a change is not in the audit log"),
    }
}

/// The answer where a change could not be recorded, and so was not made.
fn unlogged(error: &AgentError) -> Response {
    let message = format!(
        "nothing was changed, since it could not be recorded: {error}; root can make room: the agent's socket needs no log"
    );
    Denied::new(507, "audit", message).into_response()
}

/// Has a session noted as used when the last of what it opens here has closed: a stream, or a terminal of hours.
fn note_last_use(gate: &Gate, principal: &Principal) {
    if let Some(id) = principal.credential().map(String::from) {
        let access = gate.access.clone();
        principal.when_closed(move || access.touch(&id, &tick()));
    }
}

/// A file of the pages, or else the page, which finds its own way from the address.
fn page(gate: &Gate, request: &Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response();
    }
    let hosts = request.headers().get_all(header::HOST).iter();
    let names: Vec<&str> = hosts
        .map(|host| host.to_str().unwrap_or_default())
        .chain(request.uri().authority().map(|authority| authority.as_str()))
        .collect();
    if let Some(odd) = names.iter().find(|name| gate.names.kind(name).is_none()) {
        return misdirected(odd).into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    // Built files carry a hash in their names, so they may be kept for ever; the page itself is asked for each time.
    let is_asset = path.starts_with("assets/");
    let found = gate.pages.find(path).or_else(|| gate.pages.find("index.html").filter(|_| !is_asset));
    let Some(file) = found else {
        let words = if gate.pages.is_empty() {
            "this agent serves no pages, only the API below /v1/xnode"
        } else {
            "there is no such file"
        };
        return Denied::new(404, "no_page", words).into_response();
    };
    let caching = if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = HeaderValue::from_str(&file.kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
    ];
    (headers, file.bytes).into_response()
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests;
