//! One request: its host, its route, its instance, its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, UPGRADE};
use hyper::http::{request, uri};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use crate::body::{Payload, Upload, UploadEnd, UploadFacts, whole};
use crate::challenge;
use crate::crowd::{Crowded, Share};
use crate::document::Protocol;
use crate::download::Download;
use crate::entry;
use crate::fields::{self, Client};
use crate::guard::{Seen, Sight};
use crate::head::Fault;
use crate::host::Authority;
use crate::page::{Language, Notice, is_grpc};
use crate::patience::Patience;
use crate::pool::{Answered, ExchangeError, Upstream};
use crate::route::{Route, Ticket};
use crate::shared::Shared;
use crate::switch::{Class, Refusal};
use crate::table::{self, ListenerKey};
use crate::tunnel;
use crate::visits::{Stay, Visit};

/// Tries of a request that may be sent more than once, each on a connection that had rested: a whole pool can be dead.
const REPEATS_MAX: usize = 3;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Listener at which it came.
    pub listener: ListenerKey,
    /// The connection has TLS.
    pub tls: bool,
    /// Name in its TLS greeting.
    pub server_name: Option<String>,
    /// Room of the connection.
    pub room: Share,
}

/// Facts with which a request arrives.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The other end.
    pub peer: Arc<Peer>,
    /// Facts of the guard.
    pub sight: Sight,
    /// The guard, for HTTP/1.
    pub seen: Option<Arc<Seen>>,
}

/// Decides for the guard that no other protocol begins, unless told otherwise.
struct Decision(Option<Arc<Seen>>);

impl Decision {
    fn upgraded(mut self) {
        if let Some(seen) = self.0.take() {
            seen.decide(true);
        }
    }
}

impl Drop for Decision {
    fn drop(&mut self) {
        if let Some(seen) = self.0.take() {
            seen.decide(false);
        }
    }
}

/// Answers a request. The door's own answers are as good as an application's: this has no error.
pub async fn answer(door: Arc<Shared>, arrived: Arrived, request: Request<Incoming>) -> Response<Payload> {
    let language = Language::of(request.headers());
    let method = request.method().clone();
    let http1 = request.version() <= Version::HTTP_11;
    match forward(&door, arrived, request).await {
        Ok(answer) => answer,
        Err(notice) => {
            // After a malformed request nobody knows where the next one begins.
            let close = http1 && matches!(notice.status, 400 | 405 | 408 | 414 | 431 | 501 | 505);
            let mut answer = notice.answer(language, &method).map(whole);
            if close {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        }
    }
}

async fn forward(
    door: &Arc<Shared>,
    arrived: Arrived,
    mut request: Request<Incoming>,
) -> Result<Response<Payload>, Notice> {
    // One that is answered while the next is undecided has no say in that.
    let decision = Decision(arrived.seen.clone().filter(|_| arrived.sight == Sight::MayUpgrade));
    let (host, authority) = named(door, arrived.sight, &request)?;
    if !arrived.peer.tls
        && let Some(answer) = challenge::answer(&door.table().document.challenges, &authority.name, &request)
    {
        return answer.map(|answer| answer.map(whole));
    }
    let place = find(door, &arrived.peer, &authority.name, &request)?;
    let upgrades = arrived.sight == Sight::MayUpgrade;
    let visit = entry::enter(door, &place, &authority, arrived.peer.tls, upgrades, &request)?;
    let route = place.route;
    let class = class_of(request.method(), upgrades);
    let share = door.crowd().request(arrived.peer.address.ip()).map_err(crowded)?;
    let mut ticket = match route.admit(class).await {
        Ok(ticket) => ticket,
        Err(refusal) => return Err(refused(refusal, &route)),
    };
    ticket.keep(share);
    let wallet = visit.as_ref().and_then(|visit| visit.wallet);
    let client = Client { address: arrived.peer.address.ip(), tls: arrived.peer.tls, wallet };
    belong(&mut ticket, visit)?;
    let client_upgrade = upgrades.then(|| hyper::upgrade::on(&mut request));
    let grpc = is_grpc(request.headers());
    let facts = UploadFacts::default();
    if grpc {
        // Its streams are silent as long as they like; clients name their own deadlines.
        facts.be_patient();
    }
    let (stay, patience) = (ticket.stay(), door.patience());
    let cut = stay.cut.clone();
    let way = Way { upstream: &ticket.upstream, client: &client, host: &host, upgrades, class, patience, stay };
    let exchange = exchange(way, request, &facts);
    let outcome = tokio::select! {
        // Its upload ends by the same token, which makes the exchange fail.
        biased;
        () = cut.cancelled() => return Err(broken_off(&mut ticket)),
        outcome = exchange => outcome,
    };
    let (answer, stream) = match outcome {
        Ok(answered) => answered,
        // It was cut while this looked: its upload failed by that, and not by itself.
        Err(_) if cut.is_cancelled() => return Err(broken_off(&mut ticket)),
        Err(error) => return Err(failed(error, facts.fault())),
    };
    facts.be_patient();
    match (answer.status() == StatusCode::SWITCHING_PROTOCOLS, client_upgrade) {
        (true, Some(client)) => {
            decision.upgraded();
            Ok(switch_protocols(answer, client, ticket, arrived.peer))
        }
        (true, None) => {
            let text = "It changed the protocol although nobody asked for it; see its logs.";
            Err(Notice::new(502, "bad_answer", "The application gave a malformed answer", text))
        }
        (false, _) => {
            let (mut parts, body) = answer.into_parts();
            fields::to_client(&mut parts.headers);
            parts.version = Version::default();
            parts.extensions.clear();
            Ok(Response::from_parts(parts, Download::new(body, ticket, stream, grpc).boxed_unsync()))
        }
    }
}

/// Lets a request end with its visit. It may have waited, and its visitor is not let in any more.
fn belong(ticket: &mut Ticket, visit: Option<Visit>) -> Result<(), Notice> {
    if let Some(visit) = visit {
        ticket.belong(visit);
    }
    if ticket.is_unwelcome() { Err(entry::over()) } else { Ok(()) }
}

/// The answer to a request that was cut before its answer began.
fn broken_off(ticket: &mut Ticket) -> Notice {
    ticket.was_cut();
    if ticket.is_unwelcome() {
        return entry::over();
    }
    Notice::new(503, "cut", "The application was replaced before it answered", "Please try again.").retry(1)
}

/// The host of a good request, as it was written and as it is read.
fn named(door: &Shared, sight: Sight, request: &Request<Incoming>) -> Result<(HeaderValue, Authority), Notice> {
    let refused = |fault| {
        door.count_malformed();
        malformed(fault)
    };
    if let Sight::Refused(fault) = sight {
        return Err(refused(fault));
    }
    let host = host_of(request).map_err(refused)?;
    let authority = host.to_str().ok().and_then(Authority::parse).ok_or_else(|| malformed(Fault::BadHost))?;
    Ok((host, authority))
}

/// The one host of a request, as it was written.
fn host_of(request: &Request<Incoming>) -> Result<HeaderValue, Fault> {
    if *request.method() == Method::CONNECT {
        return Err(Fault::Connect);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (field, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Fault::TwoHosts);
    }
    // HTTP/1 has passed the guard.
    let mut lengths = request.headers().get_all(CONTENT_LENGTH).iter();
    let good = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some_and(|length| !good(length)) || lengths.next().is_some() {
        return Err(Fault::Length);
    }
    let target = request.uri().authority().map(uri::Authority::as_str);
    match (field, target) {
        (None, None) => Err(Fault::NoHost),
        (Some(field), None) => Ok(field.clone()),
        (None, Some(target)) => HeaderValue::from_str(target).map_err(|_| Fault::BadHost),
        (Some(field), Some(target)) => {
            let read = |text: &str| Authority::parse(text).ok_or(Fault::BadHost);
            let same = read(field.to_str().map_err(|_| Fault::BadHost)?)? == read(target)?;
            if same { Ok(field.clone()) } else { Err(Fault::OtherHost) }
        }
    }
}

fn find(door: &Shared, peer: &Peer, name: &str, request: &Request<Incoming>) -> Result<table::Place, Notice> {
    if peer.server_name.as_ref().is_some_and(|greeted| greeted != name) {
        let text = "The connection was opened for another name; open one for this name.";
        return Err(Notice::new(421, "other_name", format!("{name} is not served on this connection"), text));
    }
    let table = door.table();
    let Some(place) = table.whole(peer.listener).or_else(|| table.host(name)) else {
        let text = "Check the address. If it is right, the application has no such domain, or was removed.";
        return Err(Notice::new(404, "no_such_host", format!("Nothing is served here as {name}"), text));
    };
    if place.secure && !peer.tls {
        return Err(insecure(name, request));
    }
    Ok(place.clone())
}

/// The answer to a request without TLS for a host that is served with it alone.
fn insecure(name: &str, request: &Request<Incoming>) -> Notice {
    let title = format!("{name} is served with TLS alone");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text =
            "Ask with https. Whatever this request carried could be read on its way: change a key that was in it.";
        return Notice::new(403, "needs_tls", title, text);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    Notice::new(308, "needs_tls", title, "Follow the address with https.").at(format!("https://{name}{path}"))
}

fn class_of(method: &Method, upgrades: bool) -> Class {
    let reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reading && !upgrades { Class::Reading } else { Class::Writing }
}

fn malformed(fault: Fault) -> Notice {
    let text = "The connection is closed, since nobody can tell where another request would begin.";
    Notice::new(fault.status(), "malformed", format!("The request is malformed: {fault}"), text)
}

fn crowded(crowded: Crowded) -> Notice {
    match crowded {
        Crowded::Door => {
            Notice::new(503, "crowded", "Too many requests are open here", "Please try again in a moment.")
        }
        Crowded::Origin => {
            let text = "Let some of them end first.";
            Notice::new(429, "too_many", "Too many requests of your network are open here", text)
        }
    }
    .retry(1)
}

fn refused(refusal: Refusal, route: &Route) -> Notice {
    let again = "Please try again in a moment.";
    match refusal {
        Refusal::Maintenance => Notice::maintenance(route.page().as_ref()),
        Refusal::Closed => Notice::new(503, "stopped", "This application is stopped", "Its owner can start it again."),
        Refusal::Nobody => Notice::new(503, "nobody", "This application does not answer at the moment", again).retry(5),
        Refusal::QueueFull => {
            Notice::new(503, "queue_full", "Too many requests wait while this application is replaced", again).retry(5)
        }
        Refusal::HeldTooLong => {
            Notice::new(503, "held_too_long", "This application takes long to be replaced", again).retry(5)
        }
    }
}

fn failed(failure: Failure, upload: UploadEnd) -> Notice {
    let logs = "Its owner finds the reason in its logs.";
    match (upload, failure) {
        (UploadEnd::Broken, _) => malformed(Fault::Chunk),
        (UploadEnd::Silent, _) => Notice::new(408, "silent", "The request stopped in its middle", "Send it again."),
        (UploadEnd::None, Failure::Late(patience)) => {
            Notice::new(504, "late", format!("The application did not answer within {} s", patience.as_secs()), logs)
        }
        (UploadEnd::None, Failure::Exchange(ExchangeError::Connect { .. })) => {
            Notice::new(502, "unreachable", "The application cannot be reached", logs).retry(5)
        }
        (UploadEnd::None, Failure::Exchange(ExchangeError::Broken { .. })) => {
            Notice::new(502, "broken", "The application ended the connection before it answered", logs)
        }
    }
}

#[derive(Debug)]
enum Failure {
    Late(Duration),
    Exchange(ExchangeError),
}

/// The way of a request to its instance.
struct Way<'a> {
    upstream: &'a Arc<Upstream>,
    client: &'a Client,
    host: &'a HeaderValue,
    upgrades: bool,
    class: Class,
    patience: Patience,
    stay: Stay,
}

async fn exchange(way: Way<'_>, request: Request<Incoming>, facts: &UploadFacts) -> Result<Answered, Failure> {
    let Way { upstream, client, host, upgrades, class, patience, stay } = way;
    let (mut parts, body) = request.into_parts();
    parts.extensions.clear();
    let protocol = parts.headers.get(UPGRADE).cloned();
    fields::to_instance(&mut parts.headers, client, host);
    let http2 = upstream.protocol == Protocol::H2c && !upgrades;
    aim(&mut parts, host, http2);
    let sent = CancellationToken::new();
    let send = async {
        if let (true, Some(protocol)) = (upgrades, protocol) {
            sent.cancel();
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, protocol);
            let request = Request::from_parts(parts, whole(Bytes::new()));
            return upstream.send_upgrade(request).await.map(|answer| (answer, None));
        }
        if class == Class::Reading && body.is_end_stream() {
            sent.cancel();
            return send_again(upstream, parts).await;
        }
        let upload = Upload::new(body, patience.upload, facts.clone(), sent.clone(), stay);
        upstream.send(Request::from_parts(parts, upload.boxed_unsync()), false).await
    };
    tokio::select! {
        answer = send => answer.map_err(Failure::Exchange),
        () = late(patience.answer, &sent, facts), if !facts.is_patient() => Err(Failure::Late(patience.answer)),
    }
}

/// Waits until an answer is late: too long after the end of its request, or when the instance takes nothing of it for as long.
async fn late(patience: Duration, sent: &CancellationToken, facts: &UploadFacts) {
    let after = async {
        sent.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    let stalled = async {
        let mut before = None;
        while before != Some(facts.parts()) {
            before = Some(facts.parts());
            tokio::time::sleep(patience).await;
        }
    };
    tokio::select! {
        () = after => {}
        () = stalled => {}
    }
}

async fn send_again(upstream: &Arc<Upstream>, parts: request::Parts) -> Result<Answered, ExchangeError> {
    let mut tries = 1;
    loop {
        let request = Request::from_parts(parts.clone(), whole(Bytes::new()));
        match upstream.send(request, true).await {
            Err(ExchangeError::Broken { rested: true, .. }) if tries < REPEATS_MAX => tries += 1,
            outcome => return outcome,
        }
    }
}

/// Writes the target of a request for an instance.
fn aim(parts: &mut request::Parts, host: &HeaderValue, http2: bool) {
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    if http2 {
        parts.version = Version::HTTP_2;
        parts.headers.remove(HOST);
        let target = Uri::builder().scheme("http").authority(host.as_bytes()).path_and_query(path.clone()).build();
        parts.uri = target.unwrap_or_else(|_| Uri::from(path));
    } else {
        parts.version = Version::HTTP_11;
        parts.headers.insert(HOST, host.clone());
        parts.uri = Uri::from(path);
        join_cookies(&mut parts.headers);
    }
}

/// HTTP/2 may send cookies in several fields, HTTP/1.1 has one (RFC 9113, section 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let all: Vec<&[u8]> = fields.get_all("cookie").iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        fields.insert("cookie", joined);
    }
}

fn switch_protocols(
    mut answer: Response<Incoming>,
    client: hyper::upgrade::OnUpgrade,
    mut ticket: Ticket,
    peer: Arc<Peer>,
) -> Response<Payload> {
    let protocol = answer.headers().get(UPGRADE).cloned();
    let is_websocket = protocol.as_ref().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let instance = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        // A client that left before its protocol began has nothing to be told.
        let (Ok(client), Ok(instance)) = tokio::join!(client, instance) else { return };
        let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
        if is_websocket {
            tunnel::carry_websocket(client, instance, ticket).await;
        } else {
            tunnel::carry(&mut client, &mut instance, &mut ticket).await;
        }
        // The room of the connection is given back with its end.
        drop(peer);
    });
    let (mut parts, _) = answer.into_parts();
    fields::to_client(&mut parts.headers);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Response::from_parts(parts, whole(Bytes::new()))
}
