//! Ports of the tests' own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A free port of the host that no other test of this run gets, nor anybody who asks the kernel for any.
pub fn free_port() -> u16 {
    static FIRST: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    // The kernel's own are those from 32768 on.
    let (first, count) = (30_000, 2_768);
    loop {
        let step = FIRST.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = first + u16::try_from(step).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
