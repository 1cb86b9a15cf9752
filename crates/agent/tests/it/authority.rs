//! A real authority of a test's own: pebble, with a resolver that leads every name to this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::free_port;

/// Version of pebble; `scripts/setup.sh test` builds it.
const VERSION: &str = "2.10.1";
/// Patience with a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folder with pebble and its resolver; none where they are not built, which is said.
fn programs() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let usual = home.join(".cache/openmesh").join(format!("pebble-{VERSION}"));
    let folder = std::env::var_os("OPENMESH_PEBBLE").map_or(usual, PathBuf::from);
    let there = ["pebble", "pebble-challtestsrv"].iter().all(|name| folder.join(name).exists());
    if !there {
        println!(
            "skipped: pebble is not in {}; `scripts/setup.sh test` builds it where there is Go 1.24",
            folder.display()
        );
    }
    there.then_some(folder)
}

/// An authority.
pub struct Pebble {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    resolver: Child,
    process: Option<Child>,
    /// Address of the resolver, which answers for every zone.
    pub dns: SocketAddr,
    /// Address at which records of the resolver are set and taken away.
    pub management: SocketAddr,
    /// Address of its directory.
    pub directory: String,
    /// Root by which its server is known, as PEM.
    pub root: String,
}

impl Pebble {
    /// Starts one that proves names at these ports; none where there is no pebble.
    pub fn start(http: u16, tls: u16) -> Option<Pebble> {
        let (programs, folder) = (programs()?, tempfile::tempdir().unwrap());
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let own = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        let server = params.signed_by(&own, &authority, &key).unwrap();
        let (port, dns, management) = (free_port(), free_port(), free_port());
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("server.pem"), server.pem()).unwrap();
        std::fs::write(at("server.key"), own.serialize_pem()).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": at("server.pem"), "privateKey": at("server.key"),
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "", "keyAlgorithm": "ecdsa",
            "externalAccountBindingRequired": false, "domainBlocklist": ["blocked.example.org"],
            "retryAfter": { "authz": 1, "order": 1 },
            "profiles": { "default": { "description": "the only one", "validityPeriod": 7_776_000 } },
        } });
        std::fs::write(at("pebble.json"), config.to_string()).unwrap();
        let arguments = [
            format!("-dnsserver=127.0.0.1:{dns}"),
            format!("-management=127.0.0.1:{management}"),
            "-defaultIPv4=127.0.0.1".into(),
            "-defaultIPv6=".into(),
            "-http01=".into(),
            "-https01=".into(),
            "-tlsalpn01=".into(),
            "-doh=".into(),
        ];
        let mut resolver = Command::new(programs.join("pebble-challtestsrv"));
        let resolver = resolver.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let directory = format!("https://127.0.0.1:{port}/dir");
        let root = authority.pem();
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (dns, management) = (at(dns), at(management));
        let mut pebble = Pebble { programs, folder, port, resolver, process: None, dns, management, directory, root };
        pebble.up();
        Some(pebble)
    }

    /// Starts it at the same place. It knows nothing of what it knew before.
    pub fn up(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(self.programs.join("pebble"));
        command.arg("-config").arg(self.folder.path().join("pebble.json"));
        command.arg("-dnsserver").arg(self.dns.to_string());
        // It looks at proofs at once, refuses every second nonce, and takes no proof twice.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "50").env("PEBBLE_AUTHZREUSE", "0");
        self.process = Some(command.stdout(log).stderr(Stdio::null()).spawn().unwrap());
        let begun = Instant::now();
        let is_up = |address: SocketAddr| std::net::TcpStream::connect(address).is_ok();
        while !is_up((Ipv4Addr::LOCALHOST, self.port).into()) || !is_up(self.management) {
            assert!(begun.elapsed() < PATIENCE, "no pebble: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it.
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its words.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.down();
        let _ = self.resolver.kill();
        let _ = self.resolver.wait();
    }
}
