//! Ports and names of one machine, on which tests of several programs run at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// First port of tests, their ports that are taken by one name, and the number of such blocks. Networks of `openmesh up` have others (30000 to 32767), and so have
/// applications that ask for none (20000 to 29999), and whoever asks the kernel for any (from 32768 on).
const PORTS: (u16, u16, u16) = (10_000, 100, 100);

/// Takes a name of this machine, by a socket; none where somebody has it. It is held until the socket is dropped, at the latest until this process ends.
pub fn take(name: &str) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixListener::bind_addr(&address).ok()
}

/// Ports of this process: the names by which they are held, and those that nobody was given.
struct Own {
    names: Vec<UnixListener>,
    left: Range<u16>,
}

/// A free port of the host that no other test of this machine gets until this process ends. A name holds it, and no listener: nobody may listen there for long, and
/// one that is published by rules alone looks as free as any.
pub fn free_port() -> u16 {
    static OWN: Mutex<Own> = Mutex::new(Own { names: Vec::new(), left: 0..0 });
    let (first, many, blocks) = PORTS;
    let mut own = OWN.lock().unwrap();
    loop {
        if let Some(port) = own.left.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
        let begin = RandomState::new().hash_one(0) % u64::from(blocks);
        let mut all = (0..blocks).map(|step| (u16::try_from(begin).unwrap() + step) % blocks);
        let taken = all.find_map(|block| Some((block, take(&format!("openmesh-test-ports-{block}"))?)));
        let (block, name) = taken.expect("a block of ports that no other test has");
        own.left = first + block * many..first + (block + 1) * many;
        own.names.push(name);
    }
}
