//! Joining: what peers are told, the way into the network at a start, and noticing that a node was away for too long.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openmesh_api::ErrorCode;
use openmesh_engine::EngineError;
use openmesh_gateway::{Waiting, answer_waiting};
use openmesh_ledger::{Genesis, RuleSets, Upcoming};
use openmesh_network as network;
use openmesh_primitives::{Height, Timestamp, ValidatorPublicKey};
use openmesh_storage::{Store, StoreConfig, StoreError};
use openmesh_sync::{
    self as sync, Deps, JoinConfig, JoinError, Metrics, Own, Peers, Progress, Refusal, Snapshots, Trust, TrustError,
    TrustedBlock, Way,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::{Drill, NodeConfig, Sync as Settings};
use super::drill;
use super::running::consensus_failed;
use crate::failure::{Failure, OrFail as _};

/// Age of the last block from which a start asks the peers for the way, milliseconds: whoever was away for a minute is not waited for.
const AGE_MS_MIN: i64 = 60_000;
/// The same in idle blocks, of a network that is slower than that.
const AGE_BLOCKS_MIN: i64 = 10;
/// Pause between two looks whether peers still hold the next block.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// Looks in a row that find no such peer before the node ends, to join anew: a peer that starts says nothing yet.
const LOOKS: u32 = 3;
/// Pause between two looks whether the block that a person trusts is passed.
const TRUSTED_PAUSE: Duration = Duration::from_secs(1);
/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// Answers of this node to those who join: of a new node at first, and of the store once it is there.
#[derive(Clone, Default)]
pub struct Answers(Arc<OnceLock<Snapshots>>);

impl Answers {
    /// The function that the network asks.
    pub fn responder(&self, drill: &Drill) -> network::Responder {
        let (snapshots, spoil) = (Arc::clone(&self.0), drill.spoil_snapshots);
        Arc::new(move |question| match snapshots.get() {
            Some(snapshots) if spoil => drill::spoilt_chunk(question, snapshots.answer(question)?),
            Some(snapshots) => snapshots.answer(question),
            None => sync::answer_of_a_new_node(question),
        })
    }

    /// Answers from a store from now on.
    pub fn open(&self, store: &Store, config: &NodeConfig, metrics: &Metrics) {
        let snapshots = Snapshots::new(store.clone(), config.sync.snapshot_interval_heights, metrics.clone());
        // Set once, here.
        let _ = self.0.set(snapshots);
    }
}

/// A number that tells this run of a node from every other one, also of the same key.
pub fn instance() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The function that answers those who do not know the network yet (`docs/spec/operators.md`, clause O-5).
pub fn greeter(genesis: &Genesis, drill: &Drill, instance: u64) -> network::Responder {
    let greeter = sync::Greeter::new(genesis, env!("CARGO_PKG_VERSION"), instance);
    let (spoil, ahead_ms) = (drill.spoil_genesis, drill.clock_ahead_ms);
    Arc::new(move |question| {
        let now = Timestamp::from_millis(Timestamp::now().millis().saturating_add(ahead_ms));
        let answer = greeter.answer(question, now)?;
        if spoil { drill::spoilt_genesis(question, answer) } else { Some(answer) }
    })
}

/// The peers of the network's host.
pub fn peers(network: &network::Handle) -> Peers {
    let (connected, ask, shut_out) = (network.clone(), network.clone(), network.clone());
    Peers {
        connected: Arc::new(move || connected.peers().iter().map(network::PeerId::to_string).collect()),
        ask: Arc::new(move |peer, question| {
            let (network, peer) = (ask.clone(), peer.parse::<network::PeerId>());
            Box::pin(async move {
                let Ok(peer) = peer else { return Err(Refusal::Silent) };
                network.ask(peer, question).await.map_err(|error| match error {
                    network::AskError::Missing => Refusal::Missing,
                    network::AskError::Busy => Refusal::Busy,
                    _ => Refusal::Silent,
                })
            })
        }),
        shut_out: Arc::new(move |peer| {
            let (network, peer) = (shut_out.clone(), peer.parse::<network::PeerId>());
            if let Ok(peer) = peer {
                tokio::spawn(async move { network.shut_out(peer).await });
            }
        }),
    }
}

/// The inputs of opening the store.
pub struct Opening<'a> {
    /// Settings.
    pub config: &'a NodeConfig,
    /// The store's folder.
    pub dir: &'a Path,
    /// The network.
    pub genesis: &'a Genesis,
    /// The network's host.
    pub network: &'a network::Handle,
    /// Counters of joining.
    pub metrics: &'a Metrics,
    /// This node's key.
    pub key: ValidatorPublicKey,
    /// The number of this run, by which its own host is told from that of a twin.
    pub instance: u64,
    /// The rule sets that this program knows.
    pub rule_sets: &'a RuleSets,
}

impl Opening<'_> {
    /// Opens this node's own store as it is.
    ///
    /// # Errors
    /// A store that cannot be read, is of another network, is past another block than the trusted one, or needs rules that this program does not have.
    pub async fn own_store(&self) -> Result<Store, Failure> {
        let (dir, config) = (self.dir.to_path_buf(), self.store_config());
        let store = blocking(move || Store::open_with(&dir, config)).await?;
        self.check_network(&store)?;
        self.check_rules(&store)?;
        self.check_trusted(&store).map(|()| store)
    }

    /// Makes the store of this node one that it can go on with: its own, or by a snapshot where peers do not hold the blocks that it needs, or where there
    /// are very many. Says on the API's address how far it is meanwhile.
    pub async fn go_on(&self, store: Store) -> Result<Store, Failure> {
        let tip = store.tip();
        let age_ms = Timestamp::now().millis() - tip.time.millis();
        let idle_ms = i64::try_from(self.config.consensus.idle_block_ms).unwrap_or(i64::MAX);
        let is_recent = tip.height > 0 && age_ms < AGE_MS_MIN.max(idle_ms.saturating_mul(AGE_BLOCKS_MIN));
        let peers = peers(self.network);
        let way = match self.config.network.peers.is_empty() || is_recent {
            true => Way::Blocks,
            false => sync::survey(&peers, &own(self.config, self.genesis, &store)?).await,
        };
        let store = match way {
            Way::Blocks => {
                let known = if tip.height == 0 { self.genesis.time } else { tip.time };
                if is_old(&self.config.sync, tip.height, known, Timestamp::now()) {
                    tracing::warn!(
                        "this node goes on from validators that are older than the trust period: whoever has their old keys could show another chain; \
                         set sync.trust in node.toml to a block's height and hash that you know from elsewhere"
                    );
                }
                store
            }
            Way::Snapshot => {
                self.config.storage.may_join_over(tip.height)?;
                drop(store);
                self.join(peers, tip.height).await?
            }
        };
        if let Some(warning) = self.config.storage.removal_warning(store.oldest_block()) {
            tracing::warn!("{warning}");
        }
        // Writes the genesis' state where there is none yet, which is not little: only where the way begins there.
        let genesis = self.genesis.clone();
        blocking(move || store.initialise(&genesis).map(|()| store)).await
    }

    /// Refuses the store of another network before anything is asked of this one's peers.
    fn check_network(&self, store: &Store) -> Result<(), Failure> {
        let wanted = self.genesis.hash();
        match store.genesis() {
            Ok(stored) if stored.hash() != wanted => Err(Failure::usage(format!(
                "{} is of another network: it was begun with the genesis {}, and genesis.json has the hash {wanted}",
                self.dir.display(),
                stored.hash()
            ))
            .hint("put the genesis.json of that network back, or make another home: openmesh init --home DIR; the data is not touched")),
            _ => Ok(()),
        }
    }

    /// Checks that this program can go on from the store's last block. One that cannot asks nobody for the way: whenever it is started
    /// again it would lose its blocks to a snapshot that it cannot go on from either.
    fn check_rules(&self, store: &Store) -> Result<(), Failure> {
        let height = store.tip().height;
        if height == 0 {
            return Ok(());
        }
        let state = store.state().or_fail("ledger")?;
        Upcoming::check(self.rule_sets, &state, height + 1)
            .map_err(|error| consensus_failed("ledger", &EngineError::from(error)))
    }

    /// Refuses a store whose block at the trusted height is another one than the settings name.
    fn check_trusted(&self, store: &Store) -> Result<(), Failure> {
        let Some(block) = trust(self.config)?.block else { return Ok(()) };
        match block.is_passed(store) {
            Ok(_) => Ok(()),
            Err(error @ TrustError::OtherBlock { .. }) => Err(Failure::usage(error.to_string()).hint(
                "ask a node that you trust (GET /v1/blocks/HEIGHT): either sync.trust in node.toml is wrong, or the peers led this node along another chain; \
                 then make another home with other peers: openmesh init --home DIR; the data is not touched",
            )),
            Err(error) => Err(Failure::from_error("ledger", &error)),
        }
    }

    async fn join(&self, peers: Peers, height: Height) -> Result<Store, Failure> {
        tracing::warn!(
            height,
            "joining by a snapshot: blocks and receipts from before it will not be here, nor facts that this node did not have; a node with \
             storage.archive has them"
        );
        if self.config.storage.archive {
            tracing::warn!("this node is to be an archive, but no connected peer holds the first blocks");
        }
        let (progress, seen) = watch::channel(Progress::default());
        let stop = CancellationToken::new();
        let said = tokio::spawn(say(seen.clone(), stop.clone()));
        let mut registry = Registry::with_prefix("openmesh");
        self.metrics.enter(&mut registry);
        let (_, api) =
            answer_waiting(self.config.api, move || waiting(&seen.borrow()), Arc::new(registry), stop.clone())
                .await
                .or_fail("api")?;
        let config = JoinConfig {
            dir: self.dir.to_path_buf(),
            store: self.store_config(),
            genesis: self.genesis.clone(),
            height,
            trust: trust(self.config)?,
            fallback: (height > 0).then_some(sync::FALLBACK_TIME),
        };
        let deps = Deps { peers, progress, metrics: self.metrics.clone(), now: Timestamp::now };
        let joined = sync::join(config, deps).await;
        stop.cancel();
        // The address is free when it has ended.
        for task in [said, api] {
            task.await.or_fail("joining")?;
        }
        let store = match joined {
            Ok(store) => store,
            Err(error @ JoinError::NoSnapshot(_)) => {
                tracing::warn!(%error, "this node goes on with its own blocks");
                let (dir, config) = (self.dir.to_path_buf(), self.store_config());
                return blocking(move || Store::open_with(&dir, config)).await;
            }
            Err(error) => {
                return Err(Failure::from_error("this node cannot join", &error).hint(
                    "for a trusted block that is too old, set sync.trust in node.toml to the height and hash of a recent one",
                ));
            }
        };
        tracing::info!(height = store.tip().height, "joined; blocks from here come from peers");
        Ok(store)
    }

    fn store_config(&self) -> StoreConfig {
        let retain_ms = self.config.storage.kept_epochs();
        let retain_ms = retain_ms.map(|epochs| epochs.saturating_mul(self.genesis.params.epochs.epoch_ms));
        StoreConfig { retain_ms, proof_heights: self.config.storage.proof_heights, ..StoreConfig::default() }
    }
}

/// The state of this node, for those who look for its way.
pub fn own(config: &NodeConfig, genesis: &Genesis, store: &Store) -> Result<Own, Failure> {
    let height = store.tip().height;
    let validators = match height {
        // Nothing is written yet.
        0 => genesis.validator_set().or_fail("genesis")?,
        _ => store.validators_at(height + 1).or_fail("ledger")?,
    };
    let (archive, peers) = (config.storage.archive, config.network.peers.len());
    let (genesis, trust) = (genesis.clone(), trust(config)?);
    Ok(Own { height, validators, archive, genesis, trust, peers, now: Timestamp::now })
}

/// True where the validators of this height and moment may have left long ago, and nobody has named a later block.
fn is_old(settings: &Settings, height: Height, known: Timestamp, now: Timestamp) -> bool {
    let period_ms = settings.trust_period_hours.saturating_mul(HOUR_MS);
    let age_ms = u64::try_from(now.millis().saturating_sub(known.millis())).unwrap_or(0);
    let is_led = settings.trusted().is_ok_and(|block| block.is_some_and(|(trusted, _)| trusted > height));
    !is_led && age_ms > period_ms
}

fn trust(config: &NodeConfig) -> Result<Trust, Failure> {
    let block = config.sync.trusted()?;
    let block = block.map(|(height, hash)| TrustedBlock { height, hash });
    Ok(Trust { block, period_ms: config.sync.trust_period_hours.saturating_mul(HOUR_MS) })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.or_fail("ledger")?.map_err(|error| match error {
        StoreError::FormatNewer { .. } => Failure::outdated(format!("ledger: {error}")),
        other => Failure::from_error("ledger", &other),
    })
}

/// The answer of the API meanwhile.
fn waiting(progress: &Progress) -> Waiting {
    Waiting {
        code: ErrorCode::Joining,
        message: format!("this node joins the network: {progress}"),
        hint: "ask another node, or ask again when it has joined".to_owned(),
    }
}

/// Logs each step and each tenth of the chunks.
async fn say(mut seen: watch::Receiver<Progress>, stop: CancellationToken) {
    let mut last = None;
    loop {
        {
            let progress = seen.borrow_and_update();
            let tenth = progress.chunks * 10 / progress.chunks_all.max(1);
            let mark = (progress.step, progress.height, tenth, progress.liars.len());
            if last.replace(mark) != Some(mark) {
                tracing::info!(progress = %*progress, "joining");
            }
        }
        match stop.run_until_cancelled(seen.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// The next block is gone everywhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "this node's blocks end at height {0}, the network is proved to be further, and no peer shows the next block: it has to start \
     again, which joins by a snapshot"
)]
pub struct Left(Height);

/// Looks at a node that makes no progress while the network's headers do.
#[derive(Debug, Default)]
struct Standstill {
    height: Height,
    looks: u32,
}

impl Standstill {
    /// Notes the height; true where it is the same as at the last look, so that peers are worth a question.
    fn stands(&mut self, height: Height) -> bool {
        let stands = self.height == height;
        if !stands {
            *self = Standstill { height, looks: 0 };
        }
        stands
    }

    /// Notes a look at the peers; true where enough in a row found the next block gone.
    fn is_left(&mut self, gone: bool) -> bool {
        self.looks = if gone { self.looks + 1 } else { 0 };
        self.looks >= LOOKS
    }
}

/// Watches whether peers still hold the block that this node needs next, until it stops. Peers are asked only while the node makes no
/// progress, and what they say counts where it is proved.
///
/// # Errors
/// [`Left`] where none does, looked at for some time: the process ends, and joins anew when it is started again.
pub async fn watch_for_gap(store: Store, mut own: Own, peers: Peers, stop: CancellationToken) -> Result<(), Left> {
    let mut standstill = Standstill { height: own.height, looks: 0 };
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_PAUSE)).await.is_some() {
        own.height = store.tip().height;
        if !standstill.stands(own.height) {
            continue;
        }
        match store.validators_at(own.height + 1) {
            Ok(validators) => own.validators = validators,
            Err(error) => {
                tracing::error!(%error, "the validators of the next height cannot be read");
                continue;
            }
        }
        let Some(gone) = stop.run_until_cancelled(sync::blocks_are_gone(&peers, &own)).await else { return Ok(()) };
        // A block that came meanwhile is progress.
        if standstill.is_left(gone && store.tip().height == own.height) {
            return Err(Left(own.height));
        }
    }
    Ok(())
}

/// Watches whether this node's own blocks come through the one that a person trusts, until it stops.
///
/// # Errors
/// [`TrustError`] where they do not: the process ends, and is refused when it is started again.
pub async fn watch_for_trusted(
    store: Store,
    block: Option<TrustedBlock>,
    stop: CancellationToken,
) -> Result<(), TrustError> {
    if let Some(block) = block {
        while !block.is_passed(&store)? {
            if stop.run_until_cancelled(tokio::time::sleep(TRUSTED_PAUSE)).await.is_none() {
                return Ok(());
            }
        }
    }
    stop.cancelled().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_ends_only_after_looks_in_a_row_without_progress() {
        let mut standstill = Standstill::default();
        assert!(!standstill.stands(5), "the first look is progress");
        assert!(standstill.stands(5) && !standstill.is_left(true) && !standstill.is_left(true));
        assert!(!standstill.stands(6), "it moves: peers are not asked");
        assert!(standstill.stands(6) && !standstill.is_left(true) && !standstill.is_left(true));
        assert!(!standstill.is_left(false), "somebody has the block");
        assert_eq!([(); 3].map(|()| standstill.is_left(true)), [false, false, true]);
    }

    #[test]
    fn only_old_validators_without_a_later_trusted_block_are_warned_of() {
        let (week, now) = (Settings::default(), Timestamp::from_millis(1_000 * 3_600_000));
        let hours_ago = |hours: i64| Timestamp::from_millis((1_000 - hours) * 3_600_000);
        assert!(!is_old(&week, 0, hours_ago(168), now) && is_old(&week, 0, hours_ago(169), now));
        assert!(!is_old(&week, 0, hours_ago(-1), now), "a clock that is behind");
        let named = Settings { trust: Some(format!("7:{}", "ab".repeat(32))), ..week };
        assert!(!is_old(&named, 6, hours_ago(900), now) && is_old(&named, 7, hours_ago(900), now));
    }

    /// Clause U8 of `docs/spec/upgrades.md`: a supervisor starts it again for the one and not for the other.
    #[tokio::test]
    async fn a_store_of_a_newer_format_is_for_a_newer_program_alone() {
        let newer = blocking::<()>(|| Err(StoreError::FormatNewer { newest: 5, got: 6 })).await.unwrap_err();
        assert_eq!(newer.code(), 3);
        assert!(newer.message().contains("a newer release wrote it"), "{}", newer.message());
        let older = blocking::<()>(|| Err(StoreError::FormatOlder { oldest: 4, got: 3 })).await.unwrap_err();
        assert_eq!(older.code(), 1);
        assert!(older.message().contains("start an older release first"), "{}", older.message());
    }
}
