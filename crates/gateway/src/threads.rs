//! Threads of the gateway's own, behind those of consensus.
//!
//! Requests of strangers share the machine with the ledger. On threads of their own, at a lower priority, they get what
//! consensus, attestations and collection leave over, however many they are: the operating system's scheduler holds it, and no
//! limit on numbers has to guess what a request costs.

use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime};

/// Nice value of the threads, added to the process's own: consensus goes first, and the API still answers at once while queries (nice 10)
/// and other programs work.
const NICE: i32 = 2;
/// The lowest priority. Source: setpriority(2).
const NICE_MAX: i32 = 19;
/// Most threads that answer requests; disk work has others.
const THREADS_MAX: usize = 4;
/// Threads for disk work at once: the places of reads and scans, with some for files of Studio and exports.
const BLOCKING_THREADS_MAX: usize = 32;

/// A runtime of the gateway's own. Dropped, it ends without waiting, also inside another runtime.
#[derive(Debug)]
pub struct Threads {
    handle: Handle,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts the threads. Fails where the system gives none.
    pub fn start() -> std::io::Result<Threads> {
        // Counted from here: a thread begins with the value of the one that starts it.
        let nice = rustix::process::getpriority_process(None)? + NICE;
        let workers = std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, THREADS_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("gateway")
            .on_thread_start(move || step_back(nice))
            .enable_all()
            .build()?;
        Ok(Threads { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Handle by which tasks are spawned on them.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the calling thread to this nice value. Source: setpriority(2): of Linux, 0 is the calling thread, not its process.
fn step_back(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice.min(NICE_MAX)) {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_answered_behind_everything_else() {
        let threads = Threads::start().unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let handle = threads.handle().clone();
        let blocking = handle.clone();
        let answered = handle.spawn(async move { (nice(), blocking.spawn_blocking(nice).await.unwrap()) });
        let lowered = (nice() + NICE).min(NICE_MAX);
        assert_eq!(answered.await.unwrap(), (lowered, lowered));
        drop(threads);
    }
}
