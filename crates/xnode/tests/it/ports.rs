//! Ports and names of one machine, on which tests of several programs run at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

/// Takes a name of this machine, by a socket; none where somebody has it. It is held until the socket is dropped, at the latest until this process ends.
pub fn take(name: &str) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixListener::bind_addr(&address).ok()
}

/// A free port of the host that no other test of this machine gets until this process ends, nor a network of `openmesh up` (30000 to 32767), an application that
/// asks for none (20000 to 29999), or anybody who asks the kernel for any (from 32768 on). It is held by its name: nobody may listen at it for long, and one that
/// is published by rules alone looks as free as any.
pub fn free_port() -> u16 {
    static FIRST: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let (first, count) = (10_000, 10_000);
    loop {
        let step = FIRST.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = first + u16::try_from(step).unwrap();
        let Some(name) = take(&format!("openmesh-test-port-{port}")) else { continue };
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            TAKEN.lock().unwrap().push(name);
            return port;
        }
    }
}
