//! The way to the agent of another machine: its API over HTTP, with a key that a person gave.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use openmesh_alerts::unanswered::words;
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::MovesError;
use crate::views::Failure;

/// Time for an answer: those of a move are short, and a machine that does not give one is asked again.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);
/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Largest answer, bytes: words of a refusal with all its problems, many times over.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Signs of words of another machine that are kept: a refusal with all its problems.
const WORDS_MAX: usize = 4_000;

/// Words of another machine as they are kept and shown: of a bounded length, and without what commands a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control() || *sign == '\n').take(WORDS_MAX).collect()
}

/// A request that got no good answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody answers, or what answers is no agent.
    Away(String),
    /// The key opens nothing, or has too small a role.
    Key(String),
    /// The agent refuses: its stable word, and its words.
    Refused(Failure),
}

impl Trouble {
    /// The words of it.
    pub fn words(&self) -> &str {
        match self {
            Trouble::Away(words) | Trouble::Key(words) => words,
            Trouble::Refused(failure) => &failure.message,
        }
    }

    /// Returns true where the other machine knows nothing of the move.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Trouble::Refused(failure) if failure.code == "no_arrival")
    }

    /// The error for a person.
    pub fn error(self, to: &str) -> MovesError {
        let to = to.to_string();
        match self {
            Trouble::Away(cause) => MovesError::Unreachable { to, cause },
            Trouble::Key(cause) => MovesError::Key { to, cause },
            Trouble::Refused(failure) => MovesError::Refused { to, message: failure.message },
        }
    }
}

/// Way to an agent beside its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach<'a> {
    /// Certificate as PEM by which its authority is known.
    pub root: Option<&'a str>,
    /// No other authority is believed.
    pub only: bool,
    /// Addresses at which its name is looked for; the machine's own resolver is asked where there are none.
    pub addresses: &'a [IpAddr],
}

/// The agent of another machine.
pub(crate) struct Other {
    base: Url,
    http: reqwest::Client,
    token: String,
}

/// The address of an agent as a person writes it, without a path.
///
/// # Errors
/// It is none, or would carry the key in the open.
pub(crate) fn address(text: &str) -> Result<Url, MovesError> {
    let wrong = |words: &str| MovesError::Value(format!("`{text}` {words}"));
    let url = Url::parse(text.trim()).map_err(|_| wrong("is no address; https://xnode.example.org is one"))?;
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has no host, or a user before it"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a path; the address of an agent has none"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        "http" => Err(wrong("is not encrypted, and the key would be read on its way; write https")),
        _ => Err(wrong("is no address of an agent; https://xnode.example.org is one")),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A client for an address, whose name is looked for at these addresses where there are some.
pub(crate) fn builder(base: &Url, addresses: &[IpAddr]) -> reqwest::ClientBuilder {
    // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .timeout(ANSWER)
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    // The port is that of the address that is asked.
    let places: Vec<SocketAddr> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
    match base.host_str() {
        Some(host) if !places.is_empty() => builder.resolve_to_addrs(host, &places),
        _ => builder,
    }
}

impl Other {
    /// The agent at an address. Nothing is connected yet.
    ///
    /// # Errors
    /// The address or the root is none.
    pub fn new(to: &str, root: Option<&str>, token: String) -> Result<Other, MovesError> {
        Other::by(to, Reach { root, ..Reach::default() }, token)
    }

    /// The same, reached in a way of its own.
    ///
    /// # Errors
    /// The address or the root is none.
    pub fn by(to: &str, reach: Reach<'_>, token: String) -> Result<Other, MovesError> {
        let base = address(to)?;
        let builder = builder(&base, reach.addresses);
        let builder = match reach.root {
            Some(root) => {
                let roots = reqwest::Certificate::from_pem_bundle(root.as_bytes());
                let roots = roots.map_err(|cause| MovesError::Value(format!("the root is no certificate: {cause}")))?;
                if reach.only { builder.tls_certs_only(roots) } else { builder.tls_certs_merge(roots) }
            }
            None => builder,
        };
        let http = builder.build().map_err(|cause| MovesError::Value(format!("no client can be made: {cause}")))?;
        Ok(Other { base, http, token })
    }

    /// Host of its address.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// `GET` of a path below `/v1/xnode`.
    ///
    /// # Errors
    /// There is no good answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    /// A request with a body as JSON.
    ///
    /// # Errors
    /// There is no good answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        self.ask(method, path, Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Trouble> {
        let mut url = self.base.clone();
        url.set_path(&format!("/v1/xnode{path}"));
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.map_err(|error| Trouble::Away(words(&error, ANSWER)))?;
        let status = answer.status().as_u16();
        let bytes = read(answer).await?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&bytes)
                .map_err(|cause| Trouble::Away(format!("its answer cannot be read: {cause}")));
        }
        let Ok(mut failure) = serde_json::from_slice::<Failure>(&bytes) else {
            return Err(Trouble::Away(format!("it answers with status {status}, and not as an agent does")));
        };
        failure.message = plain(&failure.message);
        Err(match status {
            401 | 403 => Trouble::Key(failure.message),
            // It begins, leaves, or stands behind a gateway that does not reach it.
            500.. => Trouble::Away(failure.message),
            _ => Trouble::Refused(failure),
        })
    }
}

/// The body of an answer.
pub(crate) async fn read(mut answer: Response) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(part)) => bytes.extend_from_slice(&part),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(Trouble::Away(words(&error, ANSWER))),
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::Away(format!("it answers with more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_key_is_sent_to_no_address_in_the_open() {
        for good in
            ["https://b.lan", "https://b.lan:8443/", "http://127.0.0.1:7780", "http://localhost:1", "http://[::1]:7780"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for (wrong, part) in [
            ("http://b.lan", "not encrypted"),
            ("http://10.0.0.7:7780", "not encrypted"),
            ("b.lan", "no address"),
            ("ftp://b.lan", "no address"),
            ("https://b.lan/v1", "has a path"),
            ("https://b.lan/?a", "has a path"),
            ("https://ann:word@b.lan", "a user before it"),
        ] {
            let refused = address(wrong).unwrap_err().to_string();
            assert!(refused.contains(part), "{wrong}: {refused}");
        }
    }

    #[test]
    fn words_of_another_machine_command_no_terminal_and_fill_no_disk() {
        assert_eq!(plain("a port\nis \u{1b}[31mtaken\u{7}"), "a port\nis [31mtaken");
        assert_eq!(plain(&"\u{e4}".repeat(WORDS_MAX + 1)).chars().count(), WORDS_MAX);
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Other::new("https://b.lan", Some(text), "key".into()).is_err());
        let other = Other::new("https://b.lan:1", None, "key".into()).unwrap();
        assert_eq!(other.host(), "b.lan");
    }

    /// An agent that gives each request the same answer; its address, and the number of connections that it had.
    fn agent() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, connections) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || answers(&stream.unwrap()));
            }
        });
        (to, connections)
    }

    fn answers(mut stream: &TcpStream) {
        let body = r#"{"code":"busy","message":"one moment"}"#;
        let mut is_in_head = false;
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if line.is_empty() && is_in_head {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                if stream.write_all((head + body).as_bytes()).is_err() {
                    return;
                }
            }
            is_in_head = !line.is_empty();
        }
    }

    #[tokio::test]
    async fn looks_of_one_client_share_a_connection() {
        let (to, connections) = agent();
        let other = Other::new(&to, None, "key".into()).unwrap();
        for _ in 0..20 {
            assert_eq!(other.get::<Failure>("/arrivals/0").await.unwrap().code, "busy");
        }
        // One may be asked for before the one before is free again.
        assert!(connections.load(Ordering::SeqCst) < 5, "{connections:?}");
    }

    #[tokio::test]
    async fn nobody_who_answers_is_told_from_a_refusal() {
        // A port that is held, so that nobody else listens there either.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = held.local_addr().unwrap();
        let other = Other::new(&format!("http://{at}"), None, "key".into()).unwrap();
        let trouble = other.get::<Failure>("/moves").await.unwrap_err();
        assert!(matches!(trouble, Trouble::Away(_)) && !trouble.is_unknown(), "{trouble:?}");
        let failure = Failure { code: "no_arrival".into(), message: "nothing".into() };
        assert!(Trouble::Refused(failure).is_unknown());
    }
}
