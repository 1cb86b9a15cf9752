//! Threads of the gateway's own, behind those of consensus.
//!
//! Requests of strangers share the machine with the ledger. On threads of their own, at a lower priority, they get what
//! consensus, attestations and collection leave over, however many they are.

use openmesh_threads::{Config, Threads};

/// Nice value of the threads, added to the process's own: consensus goes first, and the API still answers at once while queries (nice 10)
/// and other programs work.
const NICE: i32 = 2;
/// Threads for disk work at once: the places of reads and scans, with some for files of Studio and exports.
const BLOCKING_THREADS_MAX: usize = 32;

/// Starts the threads. Fails where the system gives none.
pub fn start() -> std::io::Result<Threads> {
    Threads::start(Config { name: "gateway", nice: NICE, blocking_threads_max: BLOCKING_THREADS_MAX })
}
