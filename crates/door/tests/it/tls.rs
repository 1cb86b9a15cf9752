//! TLS: certificates by name, an authority of one's own, replacement without a break.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::stage::{App, Raw, call, collected, document, door, open, taken, within};
use bytes::Bytes;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openmesh_door::authority::{Authority, AuthorityError};
use openmesh_door::body::whole;
use openmesh_door::document::{Certificate, Document, Protocol};
use openmesh_door::door::ApplyError;
use openmesh_door::effects::{Effects, free};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub async fn greet(at: SocketAddr, root: &str, name: &str, protocol: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut settings = settings.with_root_certificates(roots).with_no_client_auth();
    settings.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = within("a connection", TcpStream::connect(at)).await?;
    let name = ServerName::try_from(name.to_string()).expect("a name");
    within("a greeting", TlsConnector::from(Arc::new(settings)).connect(name, stream)).await
}

async fn get(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    stream.write_all(format!("GET /echo HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.expect("sent");
    let (mut text, mut part) = (Vec::new(), [0; 4_096]);
    while !text.ends_with(b"trailers\n") && !text.ends_with(b"}\n") {
        let count = within("an answer", stream.read(&mut part)).await.expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

pub fn keep(folder: &Path, file: &str, authority: &Authority, names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let issued = authority.issue(&names, SystemTime::now()).expect("a certificate");
    let certificate =
        Certificate { names, chain: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
    std::fs::write(&certificate.chain, issued.chain).expect("written");
    std::fs::write(&certificate.key, issued.key).expect("written");
    certificate
}

fn serial_of(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].to_vec()
}

#[tokio::test]
async fn certificates_follow_the_name_and_are_replaced_without_a_break() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect("an authority");
    let app = App::start("app").await;
    let mut first = document(1, &[("a", open(&app, Protocol::Http1)), ("b", open(&app, Protocol::H2c))]);
    for name in ["a", "b"] {
        let host = first.hosts.remove(&format!("{name}.test")).expect("a host");
        first.hosts.insert(format!("{name}.home.lan"), host);
    }
    first.listeners[0].tls = true;
    first.certificates = vec![
        keep(folder.path(), "a", &authority, &["a.home.lan"]),
        keep(folder.path(), "b", &authority, &["*.home.lan"]),
    ];
    let (door, at) = door(first.clone()).await;
    let mut one = greet(at[0], authority.root(), "a.home.lan", "http/1.1").await.expect("a greeting");
    assert!(get(&mut one, "a.home.lan").await.contains("x-forwarded-proto: https"));
    assert!(get(&mut one, "b.home.lan").await.starts_with("HTTP/1.1 421"), "another name on this connection");
    let two = greet(at[0], authority.root(), "b.home.lan", "h2").await.expect("a greeting");
    assert_ne!(serial_of(&one), serial_of(&two));
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(two));
    let (mut sender, connection) = within("a greeting of HTTP/2", made).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://b.home.lan/echo").body(whole(Bytes::new())).expect("a request");
    let body = collected(call(&mut sender, request).await).await.to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("proto=https"));
    // Nobody's name gets an alert and not somebody's certificate.
    let error = greet(at[0], authority.root(), "c.other.lan", "h2").await.expect_err("no certificate");
    assert!(error.to_string().contains("alert"), "{error}");
    // Files that do not fit change nothing.
    let good = std::fs::read(&first.certificates[0].key).expect("a key");
    std::fs::copy(&first.certificates[1].key, &first.certificates[0].key).expect("copied");
    let second = Document { serial: 2, ..first.clone() };
    let error = within("a refusal", door.apply(second.clone())).await.expect_err("another key");
    assert!(matches!(error, ApplyError::Certificate(_)) && error.to_string().contains("a.key"), "{error}");
    std::fs::write(&first.certificates[0].key, good).expect("written");
    let before = serial_of(&greet(at[0], authority.root(), "a.home.lan", "h2").await.expect("a greeting"));
    assert_eq!(before, serial_of(&one));
    // A new certificate in the same files serves new connections; open ones go on.
    keep(folder.path(), "a", &authority, &["a.home.lan"]);
    taken(&door, second).await;
    let after = greet(at[0], authority.root(), "a.home.lan", "http/1.1").await.expect("a greeting");
    assert_ne!(before, serial_of(&after));
    assert!(get(&mut one, "a.home.lan").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_authority_is_one_across_starts_and_speaks_for_the_house_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = Arc::new(Mutex::new(Vec::new()));
    // A death at each door: the next start has a whole authority.
    for (death, whole) in
        [("write root key", false), ("write root key done", false), ("write root", false), ("write root done", true)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = names.clone();
        let effects: Effects = Arc::new(move |name| {
            seen.lock().expect("names").push(name.to_string());
            if name == death { Err(io::Error::other("death")) } else { Ok(()) }
        });
        Authority::open(folder.path(), "node-1", SystemTime::now(), &effects).expect_err("a death");
        assert_eq!(folder.path().join("root.pem").exists(), whole, "{death}");
        let again = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect("whole");
        assert_eq!(std::fs::read_to_string(folder.path().join("root.pem")).expect("a root"), again.root());
    }
    assert_eq!(names.lock().expect("names").iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    let first = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect("an authority");
    let again = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect("an authority");
    assert_eq!(first.root(), again.root());
    for name in ["bank.com", "lan", "10.0.0.1", "a.lan.evil.com", "A.lan", "evillan"] {
        let error = again.issue(&[name.to_string()], SystemTime::now()).expect_err("not ours");
        assert!(matches!(error, AuthorityError::Name(_)), "{name}");
    }
    // A certificate of the second opening is good for a device with the root of the first.
    let app = App::start("app").await;
    let mut served = document(1, &[("a", open(&app, Protocol::Http1))]);
    served.listeners[0].tls = true;
    served.certificates = vec![keep(folder.path(), "x", &again, &["x.local"])];
    let (_door, at) = door(served).await;
    greet(at[0], first.root(), "x.local", "h2").await.expect("a greeting");
    std::fs::remove_file(folder.path().join("root.key")).expect("removed");
    let error = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect_err("half");
    assert!(matches!(error, AuthorityError::Half(_)), "{error}");
}

#[tokio::test]
async fn a_secure_host_is_served_with_tls_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path(), "node-1", SystemTime::now(), &free()).expect("an authority");
    let app = App::start("app").await;
    let mut served = document(1, &[("a", open(&app, Protocol::Http1))]);
    let mut host = served.hosts.remove("a.test").expect("a host");
    host.secure = true;
    served.hosts.insert("a.home.lan".into(), host);
    let plain = served.listeners[0].clone();
    served.listeners[0].tls = true;
    served.listeners.push(plain);
    served.certificates = vec![keep(folder.path(), "a", &authority, &["a.home.lan"])];
    let (_door, at) = door(served).await;
    let mut secure = greet(at[0], authority.root(), "a.home.lan", "http/1.1").await.expect("a greeting");
    assert!(get(&mut secure, "a.home.lan").await.starts_with("HTTP/1.1 200"));
    let mut open = Raw::to(at[1]).await;
    let said = open.get("a.home.lan", "/page?x=1").await;
    assert_eq!(said.status, 308);
    assert!(said.head.contains("location: https://a.home.lan/page?x=1\r\n"), "{}", said.head);
    open.send("POST /page HTTP/1.1\r\nhost: a.home.lan\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(open.said().await.status, 403);
    assert_eq!((app.count("GET /page"), app.count("POST /page")), (0, 0), "the application has seen none of it");
}
