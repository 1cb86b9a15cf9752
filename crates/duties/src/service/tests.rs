use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use openmesh_ledger::{ChunkClaim, Genesis, Transaction};
use openmesh_primitives::{ContentId, canonical, sha256};
use tokio::time::timeout;

use super::*;
use crate::attester::WAITING_WINDOWS_MAX;
use crate::incident::NodeIncidentKind;
use crate::testing::{genesis, key};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn window(number: u64) -> Window {
    let chunk =
        ChunkClaim { stream: "BTC.USD/trades".into(), cid: ContentId::of(&number.to_be_bytes()), bytes: 8, events: 1 };
    let name = WindowName { source: "kraken".into(), number };
    Window { name, chunks: vec![chunk], abstained: Vec::new() }
}

fn withdrawal(number: u64) -> Withdrawal {
    Withdrawal { name: window(number).name, stream: "BTC.USD/trades".into(), reason: "late" }
}

/// Duties on a store at genesis.
struct Bench {
    windows: mpsc::Sender<Window>,
    withdrawals: mpsc::Sender<Withdrawal>,
    committed: broadcast::Sender<Arc<CommittedBlock>>,
    incidents: broadcast::Receiver<Arc<NodeIncident>>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    dir: tempfile::TempDir,
}

impl Bench {
    /// On a network without commitments.
    fn start(submit: Submit) -> Bench {
        let mut genesis = genesis();
        genesis.params.windows.commitments = false;
        Bench::on(tempfile::tempdir().unwrap(), &genesis, submit)
    }

    fn on(dir: tempfile::TempDir, genesis: &Genesis, submit: Submit) -> Bench {
        let store = Store::open(&dir.path().join("ledger")).unwrap();
        store.initialise(genesis).unwrap();
        let (windows, from_windows) = mpsc::channel(1);
        let (withdrawals, from_withdrawals) = mpsc::channel(1);
        let committed = broadcast::Sender::new(1);
        let stop = CancellationToken::new();
        let deps = Deps {
            key: key(),
            store,
            submit,
            committed: committed.subscribe(),
            windows: from_windows,
            withdrawals: from_withdrawals,
            journal: Journal::open(&dir.path().join("statements")).unwrap(),
            metrics: Metrics::default(),
            stop: stop.clone(),
        };
        let (handle, task) = start(deps).unwrap();
        let incidents = handle.incidents();
        Bench { windows, withdrawals, committed, incidents, task, stop, dir }
    }

    async fn incident(&mut self) -> Arc<NodeIncident> {
        timeout(LONG, self.incidents.recv()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_closed_window_is_attested() {
    let (sent, mut submitted) = mpsc::unbounded_channel();
    let bench = Bench::start(Arc::new(move |bytes| {
        sent.send(bytes.clone()).unwrap();
        Box::pin(async move { Ok(sha256(&[&bytes])) })
    }));
    bench.windows.send(window(5)).await.unwrap();
    let bytes = timeout(LONG, submitted.recv()).await.unwrap().unwrap();
    let Transaction::Attestation(attestation) = canonical::decode(&bytes).unwrap() else { panic!() };
    assert_eq!((attestation.window, &attestation.chunks), (5, &window(5).chunks));
    assert_eq!(attestation.public_key, key().public());
    bench.stop.cancel();
    timeout(LONG, bench.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stalled_mempool_holds_no_window_up_and_what_is_given_up_is_said() {
    let mut bench = Bench::start(Arc::new(|_| Box::pin(pending())));
    // The channel holds one: that all are taken shows that nobody waits for the mempool.
    for number in 0..=WAITING_WINDOWS_MAX as u64 {
        timeout(LONG, bench.windows.send(window(number))).await.expect("the sender waits for the mempool").unwrap();
    }
    let incident = bench.incident().await;
    assert_eq!((incident.kind, &incident.window), (NodeIncidentKind::WindowNotAttested, &window(0).name));
    assert!(!bench.task.is_finished());
}

#[tokio::test]
async fn withdrawn_chunks_are_reported_by_whether_their_attestation_was_sent() {
    let first = Arc::new(Mutex::new(Vec::new()));
    let seen = first.clone();
    let (sent, mut submitted) = mpsc::unbounded_channel();
    let mut bench = Bench::start(Arc::new(move |bytes| {
        seen.lock().unwrap().push(bytes);
        sent.send(()).unwrap();
        Box::pin(pending())
    }));
    bench.windows.send(window(1)).await.unwrap();
    timeout(LONG, submitted.recv()).await.unwrap().unwrap();
    bench.withdrawals.send(withdrawal(1)).await.unwrap();
    let incident = bench.incident().await;
    assert_eq!(incident.kind, NodeIncidentKind::AttestedChunkWithdrawn);
    assert_eq!((incident.window.number, incident.stream.as_deref()), (1, Some("BTC.USD/trades")));
    assert_eq!(first.lock().unwrap().len(), 1);
}

/// A statement is on the disk before the mempool has its commitment, and a process that starts again knows it.
#[tokio::test]
async fn a_commitment_is_handed_in_only_when_its_statement_is_kept() {
    let (sent, mut submitted) = mpsc::unbounded_channel();
    let hand_in = move |dir: &tempfile::TempDir| -> Submit {
        let (sent, statements) = (sent.clone(), dir.path().join("statements"));
        Arc::new(move |bytes: Vec<u8>| {
            let kept = Journal::open(&statements).unwrap().load().unwrap();
            sent.send((bytes.clone(), kept)).unwrap();
            Box::pin(async move { Ok(sha256(&[&bytes])) })
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let submit = hand_in(&dir);
    let bench = Bench::on(dir, &genesis(), submit);
    bench.windows.send(window(5)).await.unwrap();
    let (bytes, kept) = timeout(LONG, submitted.recv()).await.unwrap().unwrap();
    let Transaction::Commitment(first) = canonical::decode(&bytes).unwrap() else { panic!() };
    assert_eq!((first.window, kept), (5, vec![window(5)]));
    bench.stop.cancel();
    timeout(LONG, bench.task).await.unwrap().unwrap();
    // Another process on the same disk, whose collectors have nothing to say.
    let submit = hand_in(&bench.dir);
    let again = Bench::on(bench.dir, &genesis(), submit);
    again.committed.send(Arc::new(any_block())).unwrap();
    let (bytes, _) = timeout(LONG, submitted.recv()).await.unwrap().unwrap();
    let Transaction::Commitment(second) = canonical::decode(&bytes).unwrap() else { panic!() };
    assert_eq!(second, first);
}

/// Something that says that the state may have changed.
fn any_block() -> CommittedBlock {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.initialise(&genesis()).unwrap();
    let to = key().public().address();
    let transfer = openmesh_ledger::AccountsAction::Transfer { to, amount: openmesh_primitives::Amount(1) };
    crate::testing::commit(&store, openmesh_ledger::Action::Accounts(transfer))
}
