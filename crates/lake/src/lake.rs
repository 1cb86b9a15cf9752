//! The lake itself: append, flush, look.
//!
//! One writer at a time (a lock around flush and compaction), any number of readers. Memory is bounded: an append that
//! fills the tail flushes it before it returns, and while one flush runs the next waits for it, so at most two tails
//! exist.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use openmesh_market::Feed;
use openmesh_market::window::Chunk;
use openmesh_primitives::ContentId;

use crate::config::Config;
use crate::disk::Disk;
use crate::error::LakeError;
use crate::files::{FileEntry, Format};
use crate::fill::Part;
use crate::fill::chain::{self, CanonicalBlock, ChainBlock};
use crate::fill::ledger::{self, LedgerBlock, NodeIncidentRow, RawSegmentRow};
use crate::fill::market;
use crate::keys::{self, Key};
use crate::manifest::{self, Change, Manifest};
use crate::snapshot::Snapshot;
use crate::table::Table;
use crate::tail::{Mark, Tail, Unit};
use crate::{compact, encode};

/// Time between two looks of [`Lake::run`] looks whether something is due.
const TICK: Duration = Duration::from_millis(500);

/// An accepted chunk, as the ledger describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedChunkMeta {
    /// Source that the validators agreed on.
    pub source: String,
    /// `live`, `simulated` or `replay`.
    pub origin: String,
    /// CID of its bytes.
    pub cid: ContentId,
    /// Number of the window.
    pub window: u64,
    /// `BTC.USDT/trades`.
    pub stream: String,
    /// Height of the block that accepted it.
    pub height: u64,
}

/// Origin of chain rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainMeta {
    /// Source that the validators agreed on.
    pub source: String,
    /// `live`, `simulated` or `replay`.
    pub origin: String,
    /// CID of the canonical chunk that holds the blocks, where they came in one.
    pub cid: Option<ContentId>,
}

/// Outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The rows are in, and found by every later query.
    New,
    /// They were in already; nothing changed.
    Already,
}

/// Size of a lake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Version of the manifest: counts commits.
    pub version: u64,
    /// Parquet files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows in memory.
    pub tail_rows: usize,
    /// Bytes of rows in memory.
    pub tail_bytes: usize,
    /// Chunks and chain blocks whose rows are durable.
    pub units: u64,
}

/// Tables on object storage. Cheap to clone; all clones are one lake.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<Disk>,
    config: Config,
    state: Mutex<State>,
    /// Held while files and commits are written.
    writer: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    manifest: Manifest,
    tail: Tail,
    /// The tail that is being written, or whose writing failed and will be tried again.
    flushing: Option<Arc<Tail>>,
    /// Files that are no longer part of the lake but may still be read.
    removed: Vec<Arc<FileEntry>>,
}

impl Lake {
    /// Opens a lake, or begins one. Files of an unfinished flush are deleted. Fails where another process has it open
    /// or where it is damaged.
    pub async fn open(dir: &Path, config: Config) -> Result<Lake, LakeError> {
        let disk = Arc::new(Disk::open(dir)?);
        let manifest = manifest::load(&disk).await?;
        let state = Mutex::new(State { manifest, ..State::default() });
        Ok(Lake { inner: Arc::new(Inner { disk, config, state, writer: tokio::sync::Mutex::new(()) }) })
    }

    /// Appends the rows of an accepted chunk: of a market's window, or of a chain's block (stream `<symbol>/blocks`).
    ///
    /// Fails where the bytes are not those that the CID names or not what the meta data says, where a number does not fit its
    /// column, and where the disk does.
    pub async fn append_chunk(&self, meta: &AcceptedChunkMeta, chunk_bytes: &[u8]) -> Result<Appended, LakeError> {
        let key = meta.cid.digest().0;
        if self.has_key(key).await? {
            return Ok(Appended::Already);
        }
        // Decoding takes milliseconds of a processor: not on a thread that serves others.
        let (meta, bytes) = (meta.clone(), chunk_bytes.to_vec());
        let parts = blocking(move || chunk_parts(&meta, &bytes)).await?;
        self.append(parts, key).await
    }

    /// Appends verified Ethereum blocks: those of a canonical chunk (recognised by its CID), or one that came alone
    /// (recognised by its hash).
    ///
    /// Fails where several blocks come without a CID, where a number does not fit its column, and where the disk does.
    pub async fn append_chain_blocks(
        &self,
        meta: &ChainMeta,
        blocks: &[ChainBlock<'_>],
    ) -> Result<Appended, LakeError> {
        let key = match (meta.cid, blocks) {
            (Some(cid), _) => cid.digest().0,
            (None, [one]) => one.block.hash,
            (None, _) => return Err(LakeError::chunk("several blocks without a CID: append them one by one")),
        };
        if self.has_key(key).await? {
            return Ok(Appended::Already);
        }
        let meta = meta.clone();
        let blocks: Vec<chain::OwnedBlock> = blocks.iter().map(chain::OwnedBlock::from).collect();
        let encode = move || {
            let cid = meta.cid.map(|cid| cid.to_string());
            let from = chain::Provenance { source: &meta.source, origin: &meta.origin, cid };
            let rows: Result<Vec<_>, _> = blocks.iter().map(|block| chain::rows(&from, &block.lent())).collect();
            Ok(rows?.into_iter().flatten().collect())
        };
        self.append(blocking(encode).await?, key).await
    }

    /// Appends a committed block of our ledger. Blocks come in order: the next one is [`Lake::ledger_height`] plus one.
    pub async fn append_ledger_block(&self, block: &LedgerBlock) -> Result<Appended, LakeError> {
        self.append_block(block, false).await
    }

    /// The same for a block of which those before it cannot be had any more: the tables go on with it, and lack the rows between.
    /// Fails as [`Lake::append_ledger_block`] does, but for the gap.
    pub async fn append_ledger_block_after_gap(&self, block: &LedgerBlock) -> Result<Appended, LakeError> {
        self.append_block(block, true).await
    }

    async fn append_block(&self, block: &LedgerBlock, after_gap: bool) -> Result<Appended, LakeError> {
        let height = block.block.height;
        let block = block.clone();
        let parts = blocking(move || ledger::rows(&block)).await?;
        let full = {
            let mut state = self.inner.lock();
            match state.ledger_height() {
                Some(last) if height > last + 1 && !after_gap => return Err(LakeError::LedgerGap { height, last }),
                Some(last) if height <= last => return Ok(Appended::Already),
                _ => state.push(Unit { parts, mark: Mark::LedgerHeight(height) }, &self.inner.config),
            }
        };
        self.flush_if(full).await
    }

    /// Appends a segment of the raw archive to its manifest; recognised by its CID.
    pub async fn append_raw_segment(&self, row: &RawSegmentRow) -> Result<Appended, LakeError> {
        self.append(vec![ledger::raw_segment(row)?], row.cid.digest().0).await
    }

    /// Appends incidents that a node noticed; recognised by what they say. A crash loses those of the last
    /// [`Config::flush_age_ms`]: nobody else knows of them.
    pub async fn append_node_incidents(&self, rows: &[NodeIncidentRow]) -> Result<Appended, LakeError> {
        let rows = rows.to_vec();
        let encode = move || {
            let parts = rows.iter().map(ledger::node_incident).collect::<Result<Vec<_>, _>>()?;
            Ok((parts, ledger::node_incidents_key(&rows)))
        };
        let (parts, key) = blocking(encode).await?;
        self.append(parts, key).await
    }

    /// The last ledger block that the lake holds, durable or not.
    pub fn ledger_height(&self) -> Option<u64> {
        self.inner.lock().ledger_height()
    }

    /// Returns those of the chunks that the lake does not hold, in the order given: append them again from the content store.
    ///
    /// Reads a block of 4 KiB from the disk for each of few segments and chunk, so thousands belong on a thread that may wait.
    /// Fails where the disk does.
    pub fn missing(&self, cids: &[ContentId]) -> Result<Vec<ContentId>, LakeError> {
        let (unknown, segments) = {
            let state = self.inner.lock();
            let unknown = cids.iter().copied().filter(|cid| !state.has_key_in_memory(&cid.digest().0));
            (unknown.collect::<Vec<ContentId>>(), state.manifest.segments())
        };
        let mut missing = Vec::with_capacity(unknown.len());
        for cid in unknown {
            if !keys::has(&segments, &cid.digest().0)? {
                missing.push(cid);
            }
        }
        Ok(missing)
    }

    /// Returns true if a chunk's rows are in files, so that a crash does not lose them. Reads from the disk as [`Lake::missing`] does,
    /// and fails where the disk does.
    pub fn is_durable(&self, cid: &ContentId) -> Result<bool, LakeError> {
        let key = cid.digest().0;
        let segments = {
            let state = self.inner.lock();
            if state.manifest.has_recent_key(&key) {
                return Ok(true);
            }
            state.manifest.segments()
        };
        keys::has(&segments, &key)
    }

    /// The last ledger block that a crash does not lose.
    pub fn durable_ledger_height(&self) -> Option<u64> {
        self.inner.lock().manifest.ledger_height()
    }

    /// Returns true if a unit is in, durable or not.
    async fn has_key(&self, key: Key) -> Result<bool, LakeError> {
        let segments = {
            let state = self.inner.lock();
            if state.has_key_in_memory(&key) {
                return Ok(true);
            }
            state.manifest.segments()
        };
        if segments.is_empty() { Ok(false) } else { blocking(move || keys::has(&segments, &key)).await }
    }

    /// Adds a unit, unless it has come in the meantime.
    async fn append(&self, parts: Vec<Part>, key: Key) -> Result<Appended, LakeError> {
        loop {
            let segments = self.inner.lock().manifest.segments();
            let searched = Arc::clone(&segments);
            if !segments.is_empty() && blocking(move || keys::has(&searched, &key)).await? {
                return Ok(Appended::Already);
            }
            let full = {
                let mut state = self.inner.lock();
                if state.has_key_in_memory(&key) {
                    return Ok(Appended::Already);
                }
                // A checkpoint in between has moved keys from memory to where was just searched: search again.
                if !Arc::ptr_eq(&segments, &state.manifest.segments()) {
                    continue;
                }
                state.push(Unit { parts, mark: Mark::Key(key) }, &self.inner.config)
            };
            return self.flush_if(full).await;
        }
    }

    async fn flush_if(&self, full: bool) -> Result<Appended, LakeError> {
        if full {
            self.flush().await?;
        }
        Ok(Appended::New)
    }

    /// Writes everything in memory to files. When it returns, what was appended before survives a crash. After a
    /// failure the rows stay in memory and the next flush tries again.
    pub async fn flush(&self) -> Result<(), LakeError> {
        self.detached(|lake| async move { lake.inner.flush().await }).await
    }

    /// Removes files that are older than the table keeps, or merges small files of one partition, where some are due. Returns
    /// whether it did; then more may be due.
    pub async fn compact(&self) -> Result<bool, LakeError> {
        self.detached(|lake| async move { lake.inner.compact().await }).await
    }

    /// Runs a write to its end even where the caller goes away: half a write must not be left between two awaits.
    async fn detached<T, F>(&self, work: impl FnOnce(Lake) -> F) -> Result<T, LakeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LakeError>> + Send + 'static,
    {
        let done = tokio::spawn(work(self.clone())).await;
        done.map_err(|e| LakeError::storage("write", "its files", e))?
    }

    /// Flushes by age and compacts, until `stop` is ready; then flushes once more.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), LakeError> {
        tokio::pin!(stop);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return self.flush().await,
                _ = tick.tick() => {}
            }
            // A full disk can become free again: what is in memory stays there, and is tried again.
            if let Err(error) = self.maintain().await {
                tracing::error!(error = &error as &dyn std::error::Error, "the lake could not write");
            }
        }
    }

    async fn maintain(&self) -> Result<(), LakeError> {
        let due = {
            let state = self.inner.lock();
            state.flushing.is_some() || state.tail.age_ms() >= u128::from(self.inner.config.flush_age_ms)
        };
        if due {
            self.flush().await?;
        }
        self.compact().await.map(|_| ())
    }

    /// A consistent look at all tables: files and rows in memory, each row once. Files that it names stay readable for
    /// as long as it lives.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.inner.lock();
        let tails = [state.flushing.as_deref(), Some(&state.tail)];
        Snapshot::of(state.manifest.version(), &state.manifest.lists(), tails.into_iter().flatten(), &self.inner.disk)
    }

    /// The objects that [`DataFile::path`] names.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.inner.disk.store()
    }

    /// Returns its size.
    pub fn status(&self) -> Status {
        let state = self.inner.lock();
        let mut status = Status {
            version: state.manifest.version(),
            units: state.manifest.keys_len(),
            tail_rows: state.tail.rows() + state.flushing.as_ref().map_or(0, |t| t.rows()),
            tail_bytes: state.tail.bytes() + state.flushing.as_ref().map_or(0, |t| t.bytes()),
            ..Status::default()
        };
        for file in state.manifest.files().filter(|f| f.format == Format::Parquet) {
            status.files += 1;
            status.bytes += file.bytes;
            status.rows += file.rows;
        }
        status
    }

    /// Every table.
    pub fn tables() -> &'static [Table] {
        &Table::ALL
    }
}

/// Does work that takes a processor or a disk for a while.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| LakeError::storage("read", "its files", e))?
}

/// The rows of an accepted chunk.
fn chunk_parts(meta: &AcceptedChunkMeta, chunk_bytes: &[u8]) -> Result<Vec<Part>, LakeError> {
    if !meta.cid.matches(chunk_bytes) {
        return Err(LakeError::chunk(format!("its bytes are not those of {}", meta.cid)));
    }
    let cid = meta.cid.to_string();
    if meta.stream.rsplit('/').next() == Some(Feed::Blocks.name()) {
        let from = chain::Provenance { source: &meta.source, origin: &meta.origin, cid: Some(cid) };
        return chain::rows(&from, &CanonicalBlock::decode(chunk_bytes)?.rows());
    }
    Ok(vec![market_part(meta, &cid, chunk_bytes)?])
}

/// The rows of a market's chunk, which must be what the ledger says it is.
fn market_part(meta: &AcceptedChunkMeta, cid: &str, chunk_bytes: &[u8]) -> Result<Part, LakeError> {
    let (header, rows) = Chunk::decode(chunk_bytes).map_err(LakeError::chunk)?;
    let stream = header.stream.name();
    if stream != meta.stream || i64::try_from(meta.window) != Ok(header.index().0) {
        let said = format!("{} window {}", meta.stream, meta.window);
        return Err(LakeError::chunk(format!("it is {stream} window {}, not {said}", header.index())));
    }
    let from = market::Provenance { source: &meta.source, origin: &meta.origin, cid };
    market::part(&header, &rows, from)
}

impl State {
    /// Adds rows to those in memory. Returns whether it is time to write them out.
    fn push(&mut self, unit: Unit, config: &Config) -> bool {
        self.tail.push(unit);
        self.tail.rows() >= config.flush_rows_max || self.tail.bytes() >= config.flush_bytes_max
    }

    fn has_key_in_memory(&self, key: &Key) -> bool {
        self.tail.has_key(key)
            || self.flushing.as_ref().is_some_and(|tail| tail.has_key(key))
            || self.manifest.has_recent_key(key)
    }

    fn ledger_height(&self) -> Option<u64> {
        let flushing = self.flushing.as_ref().and_then(|tail| tail.ledger_height());
        self.tail.ledger_height().or(flushing).or(self.manifest.ledger_height())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements, so a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self) -> Result<(), LakeError> {
        let _writer = self.writer.lock().await;
        // A tail whose writing failed comes first, then what was appended since.
        while let Some((tail, version)) = self.begin_flush() {
            let encoding = Arc::clone(&tail);
            let avro = self.config.avro;
            let encoded = tokio::task::spawn_blocking(move || encode::tail(&encoding, version, avro)).await;
            let encoded = encoded.map_err(|e| LakeError::storage("write", "its files", e))??;
            let change = Change {
                add: encoded.entries,
                remove: Vec::new(),
                keys: tail.keys(),
                ledger_height: tail.ledger_height(),
            };
            self.write(encoded.objects, version, change, true).await?;
        }
        self.delete_unreferenced().await
    }

    fn begin_flush(&self) -> Option<(Arc<Tail>, u64)> {
        let mut state = self.lock();
        if state.flushing.is_none() {
            if state.tail.is_empty() {
                return None;
            }
            state.flushing = Some(Arc::new(std::mem::take(&mut state.tail)));
        }
        let version = state.manifest.version() + 1;
        state.flushing.clone().map(|tail| (tail, version))
    }

    /// Files, then the commit that names them, then the change in memory, which no reader sees half.
    async fn write(
        &self,
        objects: Vec<(String, Vec<u8>)>,
        version: u64,
        change: Change,
        flushed: bool,
    ) -> Result<(), LakeError> {
        self.disk.put_all(objects).await?;
        let committed = manifest::commit(&self.disk, version, change).await?;
        let checkpoint = {
            let mut state = self.lock();
            let removed = committed.apply(&mut state.manifest);
            state.removed.extend(removed);
            if flushed {
                state.flushing = None;
            }
            manifest::plan_checkpoint(&state.manifest)?
        };
        if let Some(checkpoint) = checkpoint {
            let written = checkpoint.write(&self.disk).await?;
            written.apply(&mut self.lock().manifest);
        }
        Ok(())
    }

    async fn compact(&self) -> Result<bool, LakeError> {
        let _writer = self.writer.lock().await;
        let (expired, job, version) = {
            let state = self.lock();
            let expired = compact::expired(state.manifest.files(), &self.config);
            (expired, compact::pick(state.manifest.files(), &self.config), state.manifest.version() + 1)
        };
        if !expired.is_empty() {
            self.write(Vec::new(), version, Change { remove: expired, ..Change::default() }, false).await?;
            self.delete_unreferenced().await?;
            return Ok(true);
        }
        let Some(job) = job else {
            self.delete_unreferenced().await?;
            return Ok(false);
        };
        let mut bytes = Vec::with_capacity(job.files.len());
        for file in &job.files {
            bytes.push(self.disk.get(&file.path).await?);
        }
        let remove = job.files.iter().map(|f| f.path.clone()).collect();
        let merged = tokio::task::spawn_blocking(move || compact::merge(&job, bytes, version)).await;
        let (entry, object) = merged.map_err(|e| LakeError::storage("write", "its files", e))??;
        let change = Change { add: vec![entry], remove, ..Change::default() };
        self.write(vec![object], version, change, false).await?;
        self.delete_unreferenced().await?;
        Ok(true)
    }

    /// Deletes removed files that no snapshot refers to any more.
    async fn delete_unreferenced(&self) -> Result<(), LakeError> {
        let dead: Vec<Arc<FileEntry>> = {
            let mut state = self.lock();
            // Nobody can come by a new reference to a file that left the manifest, so one reference means ours.
            let (dead, read) = state.removed.drain(..).partition(|file| Arc::strong_count(file) == 1);
            state.removed = read;
            dead
        };
        for file in dead {
            self.disk.delete(&file.path).await?;
        }
        Ok(())
    }
}
