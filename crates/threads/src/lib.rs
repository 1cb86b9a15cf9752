//! Threads for one kind of a node's work, at a priority of its own.
//!
//! All parts of a node share the machine's processors. Where these are not enough, the operating system's scheduler gives consensus its time first
//! when the threads of everything else have a lower priority. No limit on numbers has to guess what a piece of work costs.

use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime};

/// The lowest priority. Source: setpriority(2).
const NICE_MAX: i32 = 19;
/// Most threads of one kind that are not blocked by a disk: a node's other parts have processors to work on too.
const WORKERS_MAX: usize = 4;

/// Settings of the threads for one kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Name of the threads, as tools of the system show it: at most 15 bytes.
    pub name: &'static str,
    /// Nice value, added to the process's own: 0 to 19, the higher the later.
    pub nice: i32,
    /// Threads that wait for a disk at once.
    pub blocking_threads_max: usize,
}

/// A runtime of threads for one kind of work. Dropped, it ends without waiting, also inside another runtime.
#[derive(Debug)]
pub struct Threads {
    handle: Handle,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts the threads. Fails where the system gives none.
    pub fn start(config: Config) -> std::io::Result<Threads> {
        let nice = behind(config.nice)?;
        let workers = std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, WORKERS_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(config.blocking_threads_max)
            .thread_name(config.name)
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
        // May be dropped inside another runtime, where waiting for this one would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nice value of threads that step back by `nice`, at most 19. To be called on a thread that has not stepped back: others begin with its value.
/// Fails where the system does not tell the present one.
pub fn behind(nice: i32) -> std::io::Result<i32> {
    Ok((rustix::process::getpriority_process(None)? + nice).min(NICE_MAX))
}

/// Lowers the priority of the calling thread to a nice value. Source: setpriority(2): of Linux, 0 is the calling thread, not its process.
pub fn step_back(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice.min(NICE_MAX)) {
        tracing::debug!(%error, "the priority of a thread could not be lowered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threads_of_both_kinds_have_the_priority_that_was_asked_for() {
        let threads = Threads::start(Config { name: "test", nice: 3, blocking_threads_max: 1 }).unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let handle = threads.handle().clone();
        let blocking = handle.clone();
        let found = handle.spawn(async move { (nice(), blocking.spawn_blocking(nice).await.unwrap()) });
        let lowered = behind(3).unwrap();
        assert_eq!(found.await.unwrap(), (lowered, lowered));
        assert!(lowered > nice() || nice() == NICE_MAX);
        // Within a runtime, as a node does when it ends.
        drop(threads);
    }
}
