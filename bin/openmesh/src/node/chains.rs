//! Following the chain that the register names, as the register changes while the node runs.

use std::sync::Arc;

use openmesh_duties::sources::Sources;
use openmesh_ledger::SourceKind;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A chain that is followed.
pub struct Following {
    source: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    /// The task that follows the chain of a source until it is told to stop.
    pub const fn new(source: String, stop: CancellationToken, task: JoinHandle<()>) -> Following {
        Following { source, stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(source = self.source, %error, "a chain was not followed to its end");
        }
    }
}

/// Id of the source whose chain this node follows: one has an address in the configuration, so the first of several counts.
pub fn wanted(sources: &Sources) -> Option<String> {
    sources.collected().find(|spec| spec.kind == SourceKind::Chain && spec.exchange == "ethereum").map(|spec| spec.id)
}

/// Follows what the register says until the node stops: a chain that is added begins, one that is retired ends. Returns early where
/// following ended by itself, which ends the node as the end of any other part does.
pub async fn follow<E: std::error::Error>(
    mut sources: watch::Receiver<Arc<Sources>>,
    mut running: Option<Following>,
    stop: CancellationToken,
    mut begin: impl FnMut(String) -> Result<Following, E>,
) {
    loop {
        let wanted = wanted(&sources.borrow_and_update());
        if running.as_ref().map(|chain| &chain.source) != wanted.as_ref() {
            if let Some(former) = running.take() {
                tracing::info!(source = former.source, "the chain is followed no more");
                former.end().await;
            }
            running = wanted.and_then(|source| {
                tracing::info!(source, "following a chain");
                begin(source).inspect_err(|error| tracing::error!(%error, "the chain cannot be followed")).ok()
            });
        }
        let ended = async {
            match &mut running {
                Some(chain) => drop((&mut chain.task).await),
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            changed = sources.changed() => changed.is_ok(),
            () = stop.cancelled() => false,
            // Awaited to its end: it is not awaited again.
            () = ended => return,
        };
        if !told {
            break;
        }
    }
    // Without a register that can change, what it said last stays true.
    stop.cancelled().await;
    if let Some(last) = running {
        last.end().await;
    }
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::{Origin, SourceRecord, SourceSpec};
    use openmesh_primitives::Timestamp;
    use tokio::sync::mpsc;

    use super::*;

    fn register(id: &str, exchange: &str, kind: SourceKind) -> Sources {
        let spec = SourceSpec {
            id: id.into(),
            exchange: exchange.into(),
            kind,
            symbols: Vec::new(),
            feeds: Vec::new(),
            window_ms: 12_000,
            origin: Origin::Replay,
        };
        let record = SourceRecord {
            spec,
            owner: None,
            registered_height: 0,
            registered_time: Timestamp(0),
            active_from_epoch: 0,
            changed: None,
            retires_from_epoch: None,
        };
        Sources { registered: vec![record], collected: [id.to_owned()].into(), epoch: 0 }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Began(String),
        Ended(String),
    }

    #[tokio::test]
    async fn a_chain_begins_and_ends_as_the_register_says() {
        let (sender, sources) = watch::channel(Arc::new(Sources::default()));
        let (told, mut seen) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let begin = move |source: String| {
            let (stop, told, id) = (CancellationToken::new(), told.clone(), source.clone());
            told.send(Seen::Began(id.clone())).unwrap();
            let stopped = stop.clone();
            let task = tokio::spawn(async move {
                stopped.cancelled().await;
                told.send(Seen::Ended(id)).unwrap();
            });
            Ok::<_, std::convert::Infallible>(Following::new(source, stop, task))
        };
        let following = tokio::spawn(follow(sources, None, stop.clone(), begin));
        let set = |sources: Sources| sender.send_replace(Arc::new(sources));
        set(register("kraken", "kraken", SourceKind::Market));
        set(register("ethereum", "ethereum", SourceKind::Chain));
        assert_eq!(seen.recv().await, Some(Seen::Began("ethereum".into())));
        set(register("mainnet", "ethereum", SourceKind::Chain));
        assert_eq!(seen.recv().await, Some(Seen::Ended("ethereum".into())), "retired");
        assert_eq!(seen.recv().await, Some(Seen::Began("mainnet".into())), "added");
        stop.cancel();
        assert_eq!(seen.recv().await, Some(Seen::Ended("mainnet".into())));
        following.await.unwrap();
    }

    #[tokio::test]
    async fn following_that_ends_by_itself_is_told() {
        let (_sender, sources) = watch::channel(Arc::new(register("ethereum", "ethereum", SourceKind::Chain)));
        let begin = |source: String| {
            Ok::<_, std::convert::Infallible>(Following::new(source, CancellationToken::new(), tokio::spawn(async {})))
        };
        follow(sources, None, CancellationToken::new(), begin).await;
    }
}
