use std::time::Duration;

use openmesh_ledger::{Action, Genesis, Params, SourcesAction, SourcesParams};
use tokio::time::timeout;

use super::*;
use crate::testing::{commit, genesis, genesis_of, source, validator};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn store(genesis: &Genesis) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("ledger")).unwrap();
    store.initialise(genesis).unwrap();
    (dir, store)
}

fn rule(number: u8, keep_live: &[&str]) -> Collected {
    let keep_live = KeepLive::Only(keep_live.iter().map(ToString::to_string).collect());
    Collected { validator: validator(number).public().address(), keep_live }
}

#[test]
fn a_node_collects_what_it_is_assigned_and_what_it_keeps_live() {
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let params =
        Params { sources: SourcesParams { assigned_per_source: 1, ..SourcesParams::default() }, ..Params::default() };
    let (_dir, store) = store(&Genesis { params, ..genesis_of(4, &ids) });
    let state = store.state().unwrap();
    let mut collected = Vec::new();
    for number in 0..4 {
        let own = rule(number, &[]).read(&state).unwrap();
        assert_eq!(own.registered.len(), ids.len());
        let with_a = rule(number, &["a", "unknown"]).read(&state).unwrap();
        assert_eq!(with_a.collected, &own.collected | &BTreeSet::from(["a".to_owned()]));
        let assigned = |id: &&str| {
            let drawn = |epoch| ledger::assigned(&state, id, epoch).unwrap();
            [0, 1].iter().any(|epoch| drawn(*epoch).iter().any(|v| v.address == validator(number).public().address()))
        };
        let expected: Vec<&str> = ids.into_iter().filter(assigned).collect();
        assert_eq!(
            own.collected.iter().collect::<Vec<_>>(),
            expected,
            "of this epoch, and of the next, which is drawn"
        );
        collected.extend(own.collected);
    }
    collected.sort();
    collected.dedup();
    assert_eq!(collected, ids, "each source is collected");
    let all = Collected { keep_live: KeepLive::All, ..rule(0, &[]) }.read(&state).unwrap();
    assert_eq!(all.collected().count(), ids.len());
}

#[tokio::test]
async fn a_source_that_a_transaction_registers_is_told() {
    let (_dir, store) = store(&genesis());
    let committed = broadcast::Sender::new(4);
    let stop = CancellationToken::new();
    let deps = Deps { store: store.clone(), committed: committed.subscribe(), stop: stop.clone() };
    let (mut sources, task) = follow(rule(0, &["another"]), deps).await.unwrap();
    let registered = |sources: &Sources| sources.registered.iter().map(|s| s.spec.id.clone()).collect::<Vec<_>>();
    assert_eq!(registered(&sources.borrow()), ["kraken"]);
    committed.send(Arc::new(commit(&store, Action::Sources(SourcesAction::Register(source("another")))))).unwrap();
    timeout(LONG, sources.changed()).await.unwrap().unwrap();
    assert_eq!(registered(&sources.borrow_and_update()), ["another", "kraken"]);
    assert!(sources.borrow().collected.contains("another"), "it is kept live before it takes attestations");
    stop.cancel();
    timeout(LONG, task).await.unwrap().unwrap();
}
