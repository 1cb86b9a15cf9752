//! Threads that run queries, behind those of everything else that a node does.
//!
//! Queries share the machine with the ledger and with short requests. Short ones have a low priority. Long ones run only on
//! processors that nobody else wants at that moment (the scheduling policy `SCHED_IDLE`): even at the lowest usual priority a thread keeps
//! its processor for some milliseconds before one that wakes gets it, and a short request is answered in less. Where other
//! programs take all processors such threads stand still; [`Threads::idle_nanos`] shows it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_threads::{behind, step_back};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
use tokio::runtime::{Builder, Runtime};

/// Stack of a thread that plans and runs: deep expressions are walked recursively. Only what is used becomes memory.
const STACK_BYTES: usize = 32 << 20;
/// Nice value of the usual threads, added to the process's own: behind those that answer short requests.
const NICE: i32 = 10;

/// Two runtimes of threads. Dropped, they end without waiting, also inside another runtime.
#[derive(Debug)]
pub struct Threads {
    usual: Option<Runtime>,
    idle: Option<Runtime>,
    /// Files in which the system counts the processor time of the idle ones. Source: Documentation/scheduler/sched-stats.rst of
    /// Linux.
    counters: Arc<Mutex<Vec<PathBuf>>>,
}

impl Threads {
    /// Starts so many threads of each kind. Fails where the system gives none.
    pub fn start(count: usize) -> std::io::Result<Threads> {
        // Counted from here: a thread begins with the value of the one that starts it.
        let nice = behind(NICE)?;
        let usual = runtime(count, "pythia", move || step_back(nice))?;
        let counters: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let counted = Arc::clone(&counters);
        let idle = runtime(count, "pythia-idle", move || {
            stand_behind(nice);
            let path =
                std::fs::read_link("/proc/thread-self").map(|task| PathBuf::from("/proc").join(task).join("schedstat"));
            counted.lock().unwrap_or_else(PoisonError::into_inner).extend(path);
        })?;
        Ok(Threads { usual: Some(usual), idle: Some(idle), counters })
    }

    /// Processor time that the idle ones have had, nanoseconds; 0 where the system does not count it.
    pub fn idle_nanos(&self) -> u64 {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        counters.iter().filter_map(nanos).sum()
    }

    /// The usual ones, or those that run only where nobody else wants to. `None` only while they are being dropped.
    pub const fn of(&self, idle: bool) -> Option<&Runtime> {
        if idle { self.idle.as_ref() } else { self.usual.as_ref() }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Handles may be dropped inside another runtime, where waiting for these would panic.
        self.usual.take().into_iter().chain(self.idle.take()).for_each(Runtime::shutdown_background);
    }
}

fn runtime(count: usize, name: &str, started: impl Fn() + Send + Sync + 'static) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(count.max(1))
        .thread_stack_size(STACK_BYTES)
        .thread_name(name)
        .on_thread_start(started)
        .enable_all()
        .build()
}

/// Lets the calling thread run only where no other wants to. Source: sched(7), `SCHED_IDLE`.
fn stand_behind(nice: i32) {
    step_back(nice);
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set = thread_priority::set_thread_priority_and_policy(
        thread_priority::thread_native_id(),
        ThreadPriority::Min,
        policy,
    );
    if let Err(error) = set {
        tracing::debug!(?error, "a thread could not be put behind all others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queries_run_behind_everything_else_and_idle_ones_behind_those() {
        let threads = Threads::start(1).unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        let found = |idle| threads.of(idle).unwrap().spawn(async move { (nice(), policy()) });
        let lowered = behind(NICE).unwrap();
        let normal = ThreadSchedulePolicy::Normal;
        assert_eq!(found(false).await.unwrap(), (lowered, normal(NormalThreadSchedulePolicy::Other)));
        assert_eq!(found(true).await.unwrap().1, normal(NormalThreadSchedulePolicy::Idle));
    }

    #[tokio::test]
    async fn the_time_of_idle_threads_is_counted() {
        let threads = Threads::start(1).unwrap();
        let before = threads.idle_nanos();
        let work = async { (0..3_000_000u64).map(std::hint::black_box).sum::<u64>() };
        threads.of(true).unwrap().spawn(work).await.unwrap();
        let after = threads.idle_nanos();
        assert!(after > before, "{before} {after}");
    }
}
