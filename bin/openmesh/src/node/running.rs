//! The parts of a running node, watched and drained.

use std::net::SocketAddr;
use std::time::Duration;

use openmesh_engine::EngineError;
use openmesh_primitives::report;
use openmesh_threads::Threads;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Time that each part may take to drain: what a supervisor waits for, shared by the parts.
const DRAIN_SECONDS_MAX: u64 = 4;

/// A part of a node: tasks that are asked to stop together and then waited for.
pub struct Stage {
    name: &'static str,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Threads of its own: they end after its tasks.
    threads: Option<Threads>,
}

impl Stage {
    /// A part without tasks.
    pub fn new(name: &'static str) -> Stage {
        Stage { name, stop: CancellationToken::new(), tasks: Vec::new(), threads: None }
    }

    /// A part without tasks that has threads of its own.
    pub fn on(threads: Threads, name: &'static str) -> Stage {
        Stage { threads: Some(threads), ..Stage::new(name) }
    }

    /// Handle by which its tasks are spawned: on its own threads where it has some.
    pub fn handle(&self) -> Handle {
        self.threads.as_ref().map_or_else(Handle::current, |threads| threads.handle().clone())
    }

    /// The token that its tasks stop with.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Adds a task.
    pub fn add(&mut self, task: JoinHandle<()>) {
        self.tasks.push(task);
    }

    /// Adds a task that may fail; the failure is logged.
    pub fn add_fallible<E: std::error::Error + Send + 'static>(&mut self, task: JoinHandle<Result<(), E>>) {
        let name = self.name;
        self.add(tokio::spawn(async move {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(part = name, error = report(&error), "a task failed"),
                // As loud as in a task of this node's own.
                Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
            }
        }));
    }

    /// Sends the part's name when any of its tasks ends, whether it was asked to, failed or panicked.
    fn watched(self, ended: &mpsc::UnboundedSender<&'static str>) -> Stage {
        let Stage { name, stop, tasks, threads } = self;
        let watch = |task: JoinHandle<()>| {
            let ended = ended.clone();
            tokio::spawn(async move {
                if let Err(error) = task.await {
                    tracing::error!(part = name, %error, "a task failed");
                }
                // Nobody listens any more while the node drains.
                let _ = ended.send(name);
            })
        };
        Stage { name, stop, tasks: tasks.into_iter().map(watch).collect(), threads }
    }
}

/// Consensus: the last part that drains, and the only one whose end says why.
pub struct Consensus {
    /// Its task.
    pub task: JoinHandle<Result<(), EngineError>>,
    /// Stops it.
    pub stop: CancellationToken,
}

/// The failure of consensus: one that only another program mends has a code of its own.
pub fn consensus_failed(what: &str, error: &EngineError) -> Failure {
    match error {
        EngineError::Rules(error) => Failure::outdated(format!("this node stops: {error}"))
            .hint("openmesh upgrade status --api URL of a node that runs tells the plan; docs/guide/upgrade.md tells the rest"),
        other => Failure::from_error(what, other),
    }
}

/// A running node.
pub struct Running {
    /// Address of its API.
    pub api: SocketAddr,
    consensus: Consensus,
    /// In the order of draining.
    stages: Vec<Stage>,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

impl Running {
    /// A node of these parts, which drain in this order.
    pub fn new(api: SocketAddr, consensus: Consensus, stages: Vec<Stage>) -> Running {
        let (sender, ended) = mpsc::unbounded_channel();
        let stages = stages.into_iter().map(|stage| stage.watched(&sender)).collect();
        Running { api, consensus, stages, ended }
    }

    /// Waits until a part ends that was not asked to. Half a node is worse than none: it would vote, and neither keep nor
    /// answer.
    pub async fn broken(&mut self) -> Failure {
        tokio::select! {
            ended = &mut self.consensus.task => match ended {
                Ok(Ok(())) => Failure::new("consensus ended without being asked to"),
                Ok(Err(error)) => consensus_failed("consensus ended", &error),
                Err(error) => Failure::from_display("consensus ended", &error),
            },
            Some(part) = self.ended.recv() => Failure::new(format!("{part} ended without being asked to"))
                .hint("the log says why; the node ends so that it can be started again"),
        }
    }

    /// Asks all parts to stop, one after the other, and waits for each.
    pub async fn drain(self) {
        let limit = Duration::from_secs(DRAIN_SECONDS_MAX);
        for Stage { name, stop, tasks, threads: _threads } in self.stages {
            stop.cancel();
            if tokio::time::timeout(limit, futures::future::join_all(tasks)).await.is_err() {
                tracing::warn!(part = name, "did not drain within {DRAIN_SECONDS_MAX} s");
            }
        }
        self.consensus.stop.cancel();
        if !self.consensus.task.is_finished() && tokio::time::timeout(limit, self.consensus.task).await.is_err() {
            tracing::warn!(part = "consensus", "did not drain within {DRAIN_SECONDS_MAX} s");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(stage: Stage) -> Running {
        let stop = CancellationToken::new();
        let until = stop.clone();
        let task = tokio::spawn(async move {
            until.cancelled().await;
            Ok(())
        });
        Running::new(([127, 0, 0, 1], 1).into(), Consensus { task, stop }, vec![Stage::new("another part"), stage])
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_ends_the_node() {
        let mut panicking = Stage::new("a part");
        panicking.add(tokio::spawn(async { panic!("a bug") }));
        let mut ending = Stage::new("a part");
        ending.add_fallible(tokio::spawn(async { Err(std::io::Error::other("a fault")) }));
        for stage in [panicking, ending] {
            let failure = running(stage).broken().await;
            assert_eq!(failure.message(), "a part ended without being asked to");
        }
    }

    #[tokio::test]
    async fn draining_waits_for_tasks_in_order() {
        let (sender, mut order) = mpsc::unbounded_channel();
        let stages = ["first", "second"].map(|name| {
            let mut stage = Stage::new(name);
            let (stop, sender) = (stage.stop(), sender.clone());
            stage.add(tokio::spawn(async move {
                stop.cancelled().await;
                sender.send(name).unwrap();
            }));
            stage
        });
        let mut node = running(Stage::new("idle"));
        node.stages.extend(stages);
        node.drain().await;
        assert_eq!((order.recv().await, order.recv().await), (Some("first"), Some("second")));
    }
}
