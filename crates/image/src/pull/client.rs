//! Requests to one registry: where they go, what they carry, and when they are tried again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use openmesh_blueprint::document::ImageReference;
use openmesh_primitives::Digest;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Response, StatusCode};
use url::Url;

use super::auth::{Challenge, Credential, of_same_domain};
use super::error::{PullError, Request};
use super::{Follower, Progress, Settings};
use crate::limits::{REDIRECTS_MAX, TOKEN_BYTES_MAX};
use crate::oci::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, parse_digest};

/// Host behind the registry that references without a host mean.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Characters of a stranger's text that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// A client of registries: cheap to clone is not needed, one serves all pulls of an agent.
pub struct Client {
    http: reqwest::Client,
    pub(super) settings: Settings,
    /// Answers to challenges, by registry and repository.
    signed: Mutex<BTreeMap<(String, String), HeaderValue>>,
}

/// A document as it came.
pub(super) struct Answer {
    pub bytes: Vec<u8>,
    pub kind: Option<String>,
    pub digest: Option<Digest>,
}

impl Client {
    /// A client; certificates are those that the system trusts.
    ///
    /// # Errors
    /// [`PullError::Client`].
    pub fn new(settings: Settings) -> Result<Client, PullError> {
        // The first one counts; another room may have set the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.patience.stall)
            .user_agent(concat!("openmesh/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| PullError::Client(cause.to_string()))?;
        Ok(Client { http, settings, signed: Mutex::default() })
    }

    /// A manifest or index, whole.
    pub(super) async fn manifest(
        &self,
        reference: &ImageReference,
        what: &str,
        bytes_max: u64,
        follow: Follower<'_>,
    ) -> Result<Answer, PullError> {
        let url = self.url(reference, "manifests", what)?;
        let mut attempt = 0;
        loop {
            match self.manifest_once(reference, &url, bytes_max).await {
                Ok(answer) => return Ok(answer),
                Err(cause) => self.wait(cause, &mut attempt, follow).await?,
            }
        }
    }

    async fn manifest_once(&self, reference: &ImageReference, url: &Url, bytes_max: u64) -> Result<Answer, Retry> {
        let response = self.get(reference, url, 0).await?;
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        let kind = header(CONTENT_TYPE.as_str());
        let digest = header("docker-content-digest").and_then(|text| parse_digest(&text).ok());
        let bytes = self.body(response, &request(url), bytes_max).await?;
        Ok(Answer { bytes, kind, digest })
    }

    /// Pauses before another attempt, or gives the cause back where there is none.
    pub(super) async fn wait(&self, cause: Retry, attempt: &mut u32, follow: Follower<'_>) -> Result<(), PullError> {
        let patience = &self.settings.patience;
        *attempt += 1;
        if !cause.error.is_transient() || *attempt >= patience.attempts {
            return Err(*cause.error);
        }
        let doubled = patience.pause.saturating_mul(1 << (*attempt - 1).min(16));
        let pause = match cause.after {
            Some(after) if after > patience.pause_max => {
                let request = cause.request.unwrap_or_else(|| Request { host: String::new(), path: String::new() });
                return Err(PullError::Busy { request, seconds: after.as_secs() });
            }
            Some(after) => after.max(doubled.min(patience.pause_max)),
            None => doubled.min(patience.pause_max),
        };
        follow(Progress::Again { cause: cause.error.to_string(), pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }

    pub(super) fn url(&self, reference: &ImageReference, kind: &str, what: &str) -> Result<Url, PullError> {
        let host = if reference.registry == "docker.io" { DOCKER_HUB } else { &reference.registry };
        let plain = is_loopback(host) || self.settings.plain.contains(&reference.registry);
        let scheme = if plain { "http" } else { "https" };
        let text = format!("{scheme}://{host}/v2/{}/{kind}/{what}", reference.repository);
        Url::parse(&text).map_err(|cause| PullError::Connection {
            request: Request { host: host.to_string(), path: String::new() },
            text: cause.to_string(),
        })
    }

    /// Asks for something, signs in where that is wanted, and follows redirects; the answer is 200 or 206.
    pub(super) async fn get(&self, reference: &ImageReference, url: &Url, from: u64) -> Result<Response, Retry> {
        let key = (reference.registry.clone(), reference.repository.clone());
        let known = self.signed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&key).cloned();
        let response = self.follow(url, known.as_ref(), from).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.judge(response, url, known.is_some());
        }
        // A token may have run out in the middle of a pull: the challenge is answered anew, once.
        let challenge =
            response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signed = self.sign(reference, url, challenge).await?;
        let response = self.follow(url, Some(&signed), from).await?;
        let response = self.judge(response, url, self.settings.credentials.contains_key(&reference.registry))?;
        self.signed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key, signed);
        Ok(response)
    }

    async fn follow(&self, url: &Url, signed: Option<&HeaderValue>, from: u64) -> Result<Response, Retry> {
        let mut target = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = HeaderMap::new();
            let accept = format!("{INDEX}, {MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}, */*");
            headers.extend(HeaderValue::from_str(&accept).ok().map(|value| (ACCEPT, value)));
            // Only to the host that was asked: the place of a redirect has its own rights in its address.
            if let Some(signed) = signed.filter(|_| same_host(url, &target)) {
                headers.insert(AUTHORIZATION, signed.clone());
            }
            if from > 0 {
                headers.extend(HeaderValue::from_str(&format!("bytes={from}-")).ok().map(|value| (RANGE, value)));
            }
            let response = self.send(&target, headers).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            target = redirected(&target, &response)?;
        }
        Err(PullError::Redirects(request(url)).into())
    }

    async fn send(&self, url: &Url, headers: HeaderMap) -> Result<Response, Retry> {
        let sent = self.http.get(url.clone()).headers(headers).send();
        let stall = self.settings.patience.stall;
        match tokio::time::timeout(stall, sent).await {
            Err(_) => Err(PullError::Stalled { request: request(url), silence: stall }.into()),
            Ok(Err(cause)) => Err(PullError::Connection { request: request(url), text: chain(&cause) }.into()),
            Ok(Ok(response)) => Ok(response),
        }
    }

    fn judge(&self, response: Response, url: &Url, signed: bool) -> Result<Response, Retry> {
        let request = request(url);
        let status = response.status().as_u16();
        let error = match status {
            200 | 206 => return Ok(response),
            404 => PullError::NotFound(request.clone()),
            401 | 403 => {
                let hint = if signed {
                    "the credentials were not accepted"
                } else {
                    "it may be private: configure credentials for it"
                };
                PullError::Forbidden { request: request.clone(), status, hint }
            }
            _ => PullError::Status { request: request.clone(), status },
        };
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(Retry { error: Box::new(error), after: after.map(Duration::from_secs), request: Some(request) })
    }

    /// The header that answers a challenge.
    async fn sign(&self, reference: &ImageReference, url: &Url, challenge: &str) -> Result<HeaderValue, Retry> {
        let credential = self.settings.credentials.get(&reference.registry);
        match (Challenge::parse(challenge), credential) {
            (Some(Challenge::Basic), Some(credential)) => basic(credential, url),
            (Some(Challenge::Basic), None) => {
                let hint = "it asks for a password: configure credentials for it";
                Err(PullError::Forbidden { request: request(url), status: 401, hint }.into())
            }
            (Some(Challenge::Bearer { realm, service, scope }), credential) => {
                let realm = self.realm(reference, url, &realm, credential.is_some())?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", reference.repository));
                self.token(realm, service, scope, credential).await
            }
            (None, _) => Err(PullError::Challenge { request: request(url), challenge: shown(challenge) }.into()),
        }
    }

    /// The address of a token server, where it may be asked.
    fn realm(&self, reference: &ImageReference, url: &Url, realm: &str, credentials: bool) -> Result<Url, PullError> {
        let refused = || PullError::Realm { registry: reference.registry.clone(), realm: shown(realm) };
        let target = Url::parse(realm).map_err(|_| refused())?;
        let named = self.settings.token_hosts.get(&reference.registry);
        let named =
            named.is_some_and(|hosts| target.host_str().is_some_and(|host| hosts.iter().any(|named| named == host)));
        let ours = of_same_domain(url, &target) || named;
        let safe = target.scheme() == "https" || (target.scheme() == "http" && url.scheme() == "http");
        // Without credentials there is nothing to lose to a stranger on TLS; on plain HTTP it could be any service of this network.
        let may = if credentials || target.scheme() == "http" { ours } else { true };
        let bare = target.username().is_empty() && target.password().is_none();
        if safe && may && bare { Ok(target) } else { Err(refused()) }
    }

    async fn token(
        &self,
        mut realm: Url,
        service: Option<String>,
        scope: String,
        credential: Option<&Credential>,
    ) -> Result<HeaderValue, Retry> {
        {
            let mut query = realm.query_pairs_mut();
            if let Some(service) = &service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &scope);
        }
        let mut headers = HeaderMap::new();
        if let Some(credential) = credential {
            headers.insert(AUTHORIZATION, basic(credential, &realm)?);
        }
        let response = self.send(&realm, headers).await?;
        let response = self.judge(response, &realm, credential.is_some())?;
        let bytes = self.body(response, &request(&realm), TOKEN_BYTES_MAX).await?;
        let answer: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|_| PullError::Token(request(&realm)))?;
        let token =
            ["token", "access_token"].iter().find_map(|key| answer.get(key)?.as_str().filter(|text| !text.is_empty()));
        let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut value = value.ok_or_else(|| PullError::Token(request(&realm)))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A body of bounded length, whole.
    async fn body(&self, mut response: Response, request: &Request, most: u64) -> Result<Vec<u8>, Retry> {
        let long = || PullError::Long { request: request.clone(), most };
        if response.content_length().is_some_and(|length| length > most) {
            return Err(long().into());
        }
        let mut bytes = Vec::new();
        let began = tokio::time::Instant::now();
        while let Some(chunk) = self.chunk(&mut response, request).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > most {
                return Err(long().into());
            }
            if began.elapsed() > self.longest(bytes.len() as u64) {
                return Err(PullError::Slow { request: request.clone(), rate: self.settings.patience.rate }.into());
            }
        }
        Ok(bytes)
    }

    /// The next piece of a body.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
        request: &Request,
    ) -> Result<Option<bytes::Bytes>, Retry> {
        let stall = self.settings.patience.stall;
        match tokio::time::timeout(stall, response.chunk()).await {
            Err(_) => Err(PullError::Stalled { request: request.clone(), silence: stall }.into()),
            Ok(Err(cause)) => Err(PullError::Connection { request: request.clone(), text: chain(&cause) }.into()),
            Ok(Ok(chunk)) => Ok(chunk),
        }
    }

    /// Longest time in which this many bytes may come.
    pub(super) fn longest(&self, bytes: u64) -> Duration {
        let patience = &self.settings.patience;
        patience.stall + Duration::from_secs(bytes / patience.rate.max(1))
    }
}

/// A failed request, with the pause that the server asks for.
pub(super) struct Retry {
    pub error: Box<PullError>,
    pub after: Option<Duration>,
    pub request: Option<Request>,
}

impl From<PullError> for Retry {
    fn from(error: PullError) -> Retry {
        Retry { error: Box::new(error), after: None, request: None }
    }
}

impl From<crate::store::StoreError> for Retry {
    fn from(error: crate::store::StoreError) -> Retry {
        PullError::Store(error).into()
    }
}

/// The place of a redirect, where it may be followed.
fn redirected(from: &Url, response: &Response) -> Result<Url, PullError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refused = |why| PullError::Redirect { request: request(from), target: shown(location), why };
    let target = from.join(location).map_err(|_| refused("it is no address"))?;
    match (from.scheme(), target.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err(refused("it leaves TLS")),
        _ => return Err(refused("it is not HTTP")),
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(refused("it brings credentials of its own"));
    }
    Ok(target)
}

fn same_host(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// Returns true for hosts that are this machine by their name.
fn is_loopback(host: &str) -> bool {
    let bare = host
        .rsplit_once(':')
        .map_or(host, |(bare, port)| if port.bytes().all(|b| b.is_ascii_digit()) { bare } else { host });
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn basic(credential: &Credential, url: &Url) -> Result<HeaderValue, Retry> {
    let text = format!("{}:{}", credential.username, credential.password);
    let value = HeaderValue::from_str(&format!("Basic {}", base64(text.as_bytes())));
    let mut value = value.map_err(|_| PullError::Challenge { request: request(url), challenge: "Basic".into() })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Base 64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

pub(super) fn request(url: &Url) -> Request {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    // Without the query, which may hold a signature.
    Request { host: format!("{}{port}", url.host_str().unwrap_or_default()), path: url.path().to_string() }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// An error with its causes, without the address, which the request has.
fn chain(error: &reqwest::Error) -> String {
    let mut text = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push(inner.to_string());
        cause = inner.source();
    }
    if text.is_empty() { "the connection broke".into() } else { text.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn loopback_by_name() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.org", "127.0.0.1.example.org", "10.0.0.1:5000", "example.org"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
