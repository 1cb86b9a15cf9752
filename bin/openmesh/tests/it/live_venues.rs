//! `openmesh up --live` as on the internet: the venues under their own names, ports and paths, over TLS.
//!
//! The test runs itself once more in a network and mount namespace of its own. There the venues' names lead to loopback
//! (`/etc/hosts`), and a TLS front stands at their ports with certificates of an authority that only this test's processes
//! trust. Behind it are the simulated venues. So everything that lies between a collector and a venue is the real thing: the
//! addresses, name resolution, TLS with its checks of names and issuers, WebSocket and HTTP by the venues' own paths.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::network::{Network, PATIENCE, binary};

/// Every host that a collector turns to.
const HOSTS: [&str; 12] = [
    "stream.binance.com",
    "api.binance.com",
    "fstream.binance.com",
    "fapi.binance.com",
    "advanced-trade-ws.coinbase.com",
    "api.coinbase.com",
    "ws.kraken.com",
    "api.kraken.com",
    "stream.bybit.com",
    "api.bybit.com",
    "ws.okx.com",
    "www.okx.com",
];

const EXCHANGES: [&str; 6] = ["binance", "binance_futures", "bybit", "coinbase", "kraken", "okx"];

/// The ports at which they are.
const PORTS: [u16; 3] = [443, 8443, 9443];

/// Says that this process is in the namespaces.
const INSIDE: &str = "OPENMESH_TEST_NAMESPACE";

/// Enters a network and mount namespace: as root, or as root of a user namespace where the system lets anybody have one.
const WAYS: [&[&str]; 2] = [&["--net", "--mount"], &["--user", "--map-root-user", "--net", "--mount"]];

#[tokio::test(flavor = "multi_thread")]
async fn live_venues_by_name_over_tls() {
    let mut way = None;
    for flags in WAYS {
        let probe = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status().await;
        if probe.is_ok_and(|status| status.success()) {
            way = Some(flags);
            break;
        }
    }
    let Some(flags) = way else {
        println!("skipped: this system gives no network namespaces");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let names = ["localhost"].iter().chain(&HOSTS).map(|name| format!("127.0.0.1 {name}\n"));
    std::fs::write(&hosts, names.collect::<String>()).unwrap();
    // A namespace begins with every mount of the machine: a volume that it keeps can be unmounted by nobody, nor can what other tests mount, nor ends a network
    // that it keeps.
    let enter = r#"sed -nE 's@^([^ ]+ ){4}([^ ]+) .* - (nsfs |overlay openmesh ).*@\2@p' /proc/self/mountinfo | while read -r point; do umount -l "$point" || true; done 2> /dev/null
grep -o ' /[^ ]*/volumes/[0-9a-f]*/mount ' /proc/self/mountinfo | while read -r point; do umount -l "$point" || true; done 2> /dev/null
grep ' - [^ ]* /dev/loop' /proc/self/mountinfo | cut -d ' ' -f 5 | grep "^${TMPDIR:-/tmp}/" | while read -r point; do umount -l "$point" || true; done 2> /dev/null
ip link set lo up && mount --bind "$1" /etc/hosts && shift && exec "$@""#;
    let status = Command::new("unshare")
        .args(flags)
        .args(["sh", "-ec", enter, "sh"])
        .arg(&hosts)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "live_venues::inside", "--ignored", "--nocapture"])
        .env(INSIDE, folder.path())
        .status()
        .await
        .unwrap();
    assert!(status.success(), "what went wrong stands above");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a namespace of its own, started by live_venues_by_name_over_tls"]
async fn inside() {
    let Some(folder) = std::env::var_os(INSIDE).map(PathBuf::from) else {
        panic!("run live_venues_by_name_over_tls: this part needs its namespace")
    };
    let (_venues, address) = venues().await;
    let trusted = Authority::new();
    let roots = folder.join("roots.pem");
    std::fs::write(&roots, trusted.pem()).unwrap();

    refused_where_nobody_is(&folder.join("nobody")).await;
    let front = Front::start(&trusted, address).await;
    let network = Network::start_as(binary().env("SSL_CERT_FILE", &roots), &folder.join("home"), &["--live"]).await;
    every_venue_is_agreed_on(&network).await;
    front.stop().await;

    // The same names behind certificates that nobody vouches for: nothing is taken from there, and that is said.
    let stranger = Authority::new();
    let front = Front::start(&stranger, address).await;
    let refused = |list: &Value| {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().any(|i| i["detail"].as_str().is_some_and(|d| d.contains("certificate")))
    };
    for exchange in EXCHANGES {
        let path = format!("/v1/incidents?kind=refused&site=collector&source={exchange}");
        network.until(0, &path, "word of a certificate that is not trusted", refused).await;
        network.until(0, &format!("/v1/sources/{exchange}"), "word of the silence", |s| s["stale"] == true).await;
    }
    front.stop().await;

    // And once the right ones are back, it goes on by itself.
    let _front = Front::start(&trusted, address).await;
    for exchange in EXCHANGES {
        network.until(0, &format!("/v1/sources/{exchange}"), "fresh data", |s| s["stale"] == false).await;
    }
    assert_eq!(network.stop().await, 0);
}

/// Asked for live data where no venue answers, it says so instead of showing something else.
async fn refused_where_nobody_is(home: &Path) {
    let output = binary().args(["up", "--live", "--port", "0", "--home"]).arg(home).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("can be reached") && said.contains("--live"), "{said}");
}

async fn every_venue_is_agreed_on(network: &Network) {
    let status = network.get(0, "/v1/status").await;
    assert_eq!(status["origin"], "live", "{status}");
    for exchange in EXCHANGES {
        let path = format!("/v1/chunks?status=accepted&source={exchange}&limit=200");
        network
            .until(0, &path, "agreement on trades and books", |list| {
                let items = list["items"].as_array().cloned().unwrap_or_default();
                let has = |feed: &str| {
                    items.iter().any(|i| {
                        i["stream"].as_str().is_some_and(|s| s.ends_with(feed)) && i["events"].as_u64() > Some(0)
                    })
                };
                has("/trades") && has("/book")
            })
            .await;
        let refused = network.get(0, &format!("/v1/incidents?kind=refused&source={exchange}")).await;
        assert_eq!(refused["items"], serde_json::json!([]), "the catalogue asks for what the venue has");
    }
}

/// The simulated venues, as a process in this namespace.
async fn venues() -> (Child, SocketAddr) {
    let mut process = binary().args(["venues", "--seed", "7", "--rate", "120"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    let ready: Value = serde_json::from_str(&line).unwrap();
    (process, ready["venues"].as_str().unwrap().parse().unwrap())
}

/// Authority that vouches for certificates.
struct Authority {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Authority {
        let mut wanted = CertificateParams::new(Vec::new()).unwrap();
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority { certificate: wanted.self_signed(&key).unwrap(), key }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// One certificate for all the venues' names.
    fn server(&self) -> ServerConfig {
        let names = HOSTS.map(str::to_owned).to_vec();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.certificate, &self.key).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], secret)
            .unwrap()
    }
}

/// Takes TLS off and hands on.
struct Front {
    tasks: JoinSet<()>,
}

impl Front {
    async fn start(authority: &Authority, to: SocketAddr) -> Front {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server()));
        let mut tasks = JoinSet::new();
        for port in PORTS {
            // Fixed, as the venues' are; the namespace has no other user of them.
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            tasks.spawn(serve(listener, acceptor.clone(), to));
        }
        Front { tasks }
    }

    /// Ends every connection and gives the ports back.
    async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // A client that does not like the certificate ends it here.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut venue = TcpStream::connect(to).await.unwrap();
            // Either side may end a connection as it likes.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut venue).await;
        });
    }
}
