//! Taking questions: a queue, a limit on time, threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use openmesh_lake::Lake;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::catalogue::{self, CatalogueTable};
use crate::config::{Config, Query};
use crate::error::{QueryError, Stage, translate};
use crate::export::{self, Export, Format};
use crate::governor::functions;
use crate::governor::guard::{Guard, StopOnDrop};
use crate::governor::memory::Memory;
use crate::result::QueryResult;
use crate::session::Sessions;
use crate::standstill::Standstill;
use crate::stream::{Message, QueryStream, Summary, Told, Watch, receive};
use crate::threads::Threads;
use crate::{plan, statement};

/// Batches between a query and whoever reads it: enough that neither waits for the other at each step.
const BATCHES_AHEAD: usize = 2;

/// Starts the service.
pub struct Pythia;

/// Asks questions. Cheap to clone; the service ends with the last one.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
    gate: Arc<Gate>,
    /// Queries run only where nobody else wants the processor.
    idle: bool,
}

struct Inner {
    config: Config,
    lake: Lake,
    sessions: Sessions,
    threads: Threads,
    standstill: Standstill,
}

impl Pythia {
    /// Starts threads for queries over a lake. Fails where the system gives no threads.
    pub fn start(config: Config, lake: Lake) -> std::io::Result<Handle> {
        let threads = Threads::start(config.threads)?;
        let sessions = Sessions::new(&lake, &config).map_err(std::io::Error::other)?;
        let gate = Arc::new(Gate::new(config.concurrency, config.queue_max));
        Ok(Handle {
            inner: Arc::new(Inner { config, lake, sessions, threads, standstill: Standstill::default() }),
            gate,
            idle: false,
        })
    }
}

impl Handle {
    /// The same service with places of its own: however many queries others have, they take none of these, and these none
    /// of theirs. Threads and memory stay shared.
    #[must_use]
    pub fn apart(&self, concurrency: usize) -> Handle {
        let gate = Arc::new(Gate::new(concurrency, self.inner.config.queue_max));
        Handle { inner: Arc::clone(&self.inner), gate, idle: self.idle }
    }

    /// The same service and the same places, for queries that take only what everything else on the machine leaves over. Where
    /// nothing is left over they end by their limit of time.
    #[must_use]
    pub(crate) fn idle(&self) -> Handle {
        Handle { idle: true, ..self.clone() }
    }

    /// Asks, and waits for the whole answer.
    pub async fn query(&self, query: Query) -> Result<QueryResult, QueryError> {
        let started = Instant::now();
        let bytes_max = self.inner.config.result_bytes(&query.limits);
        let mut stream = self.stream(query).await?;
        let columns = stream.columns();
        let (rows, cut) = export::collect_json(&mut stream, bytes_max).await?;
        let summary = stream.summary().unwrap_or_default();
        Ok(QueryResult {
            columns,
            rows,
            truncated: cut || summary.truncated,
            elapsed_ms: started.elapsed().as_millis() as u64,
            rows_scanned: summary.rows_scanned,
        })
    }

    /// Asks for a file, within the limits of files. Fails as a query does, and where Parquet has no type for a column.
    pub async fn export(&self, query: Query, format: Format) -> Result<Export, QueryError> {
        let rows_max = self.inner.config.export_rows(&query.limits);
        let bytes_max = self.inner.config.export_bytes(&query.limits);
        Export::new(self.begin(query, rows_max).await?, format, bytes_max)
    }

    /// Asks, and returns as soon as the columns are known; rows follow. Dropping the stream stops the query.
    pub async fn stream(&self, query: Query) -> Result<QueryStream, QueryError> {
        let rows_max = self.inner.config.rows(&query.limits);
        self.begin(query, rows_max).await
    }

    async fn begin(&self, query: Query, rows_max: usize) -> Result<QueryStream, QueryError> {
        let Query { sql, limits, cancel } = query;
        let inner = &self.inner;
        let statement = statement::parse(&sql, &inner.config)?;
        let time_ms_max = inner.config.time_ms(&limits);
        let deadline = Instant::now() + Duration::from_millis(time_ms_max);
        let watch = Watch { deadline: deadline.into(), time_ms_max, cancel };
        let place = watch.over(self.gate.enter()).await??;
        let guard = Arc::new(Guard::new(deadline, time_ms_max, functions::CALL_BYTES_MAX, place));
        let stop = StopOnDrop(Arc::downgrade(&guard));
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let job = Job { inner: Arc::clone(inner), statement, time_ms_max, rows_max, sender, guard };
        let runtime = inner.threads.of(self.idle).ok_or(QueryError::Cancelled)?;
        let mut job = AbortOnDropHandle::new(runtime.spawn(job.run()));
        match watch.over(receive(&mut receiver, &mut job)).await?? {
            Message::Schema(schema) => Ok(QueryStream::new(schema, receiver, job, watch, stop)),
            Message::Batch(_) | Message::Done(_) => Err(QueryError::Internal),
        }
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.inner.threads
    }

    pub(crate) fn standstill(&self) -> &Standstill {
        &self.inner.standstill
    }

    /// Returns the tables that can be asked about.
    pub fn catalogue(&self) -> Vec<CatalogueTable> {
        catalogue::catalogue(&self.inner.lake.snapshot())
    }

    /// Queries through this handle that run and that wait. One that nobody waits for any more counts until its work has really ended.
    pub fn load(&self) -> (usize, usize) {
        self.gate.load()
    }

    /// Memory that queries hold.
    pub fn memory(&self) -> Memory {
        self.inner.sessions.memory()
    }
}

/// Places for queries that run, and a queue before them.
struct Gate {
    places: Arc<Semaphore>,
    places_max: usize,
    waiting: AtomicUsize,
    queue_max: usize,
}

impl Gate {
    fn new(concurrency: usize, queue_max: usize) -> Gate {
        let places_max = concurrency.max(1);
        let places = Arc::new(Semaphore::new(places_max));
        Gate { places, places_max, waiting: AtomicUsize::new(0), queue_max }
    }

    fn load(&self) -> (usize, usize) {
        let running = self.places_max - self.places.available_permits();
        (running, self.waiting.load(Ordering::Relaxed))
    }

    /// A place among those that run, after waiting for it where the queue is not full.
    async fn enter(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let place = Place::take(&self.waiting, self.queue_max);
        let Some(_place) = place else {
            let (running, waiting) = self.load();
            return Err(QueryError::TooManyQueries { running, waiting });
        };
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| QueryError::Cancelled)
    }
}

/// A place in the queue, given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Place<'a>> {
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        taken.ok().map(|_| Place(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A query on its way.
struct Job {
    inner: Arc<Inner>,
    statement: Statement,
    time_ms_max: u64,
    rows_max: usize,
    sender: Sender<Told>,
    guard: Arc<Guard>,
}

impl Job {
    /// Ends in time even where nobody takes what was found.
    async fn run(self) {
        let work = async {
            if let Err(error) = self.guard.over(self.work()).await {
                // Nobody listens any more: then nobody wants to know.
                let _ = self.sender.send(Err(error)).await;
            }
        };
        if tokio::time::timeout(self.guard.left(), work).await.is_err() {
            let _ = self.sender.try_send(Err(QueryError::TimedOut { time_ms_max: self.time_ms_max }));
        }
    }

    async fn work(&self) -> Result<(), QueryError> {
        let Inner { config, sessions, lake, .. } = &*self.inner;
        let planning = |e: DataFusionError| translate(e, Stage::Planning, config.memory_bytes_max);
        let running = |e: DataFusionError| translate(e, Stage::Running, config.memory_bytes_max);
        let mut state = sessions.over(&lake.snapshot(), &self.guard).map_err(planning)?;
        let rows_max = self.rows_max;
        let plan = plan::logical(&state, self.statement.clone(), rows_max, planning).await?;
        let physical = plan::physical(&mut state, &plan, &self.guard).await.map_err(planning)?;
        let mut stream = execute_stream(Arc::clone(&physical), state.task_ctx()).map_err(running)?;
        self.tell(Message::Schema(stream.schema())).await?;
        let mut left = rows_max;
        let mut truncated = false;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(running)?;
            truncated = batch.num_rows() > left;
            let batch = if truncated { batch.slice(0, left) } else { batch };
            left -= batch.num_rows();
            if batch.num_rows() > 0 {
                self.tell(Message::Batch(batch)).await?;
            }
            if truncated {
                break;
            }
        }
        drop(stream);
        let rows_scanned = rows_scanned(&physical);
        self.tell(Message::Done(Summary { truncated, rows_scanned })).await
    }

    async fn tell(&self, message: Message) -> Result<(), QueryError> {
        self.sender.send(Ok(message)).await.map_err(|_| QueryError::Cancelled)
    }
}

fn rows_scanned(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let children = plan.children();
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        // Reading memory is not counted by the library: it takes no time worth counting.
        let memory = source.data_source().downcast_ref::<MemorySourceConfig>();
        let rows = match memory {
            Some(memory) => memory.partitions().iter().flatten().map(RecordBatch::num_rows).sum(),
            None => plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0),
        };
        return rows as u64;
    }
    children.into_iter().map(rows_scanned).sum()
}
