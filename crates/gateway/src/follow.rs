//! The one task that feeds the memory: committed blocks, the collector's events, and each second the averages.

use std::sync::Arc;
use std::time::Duration;

use openmesh_api::{BlockSummary, Feed, IncidentInfo, StreamMessage};
use openmesh_collector::{Filter, Update};
use openmesh_engine::CommittedBlock;
use openmesh_ledger::{Block, Certificate, Class, LedgerEvent, Receipt, StampRecord, StampsEvent};
use openmesh_primitives::Address;
use openmesh_storage::StoredBlock;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::memory::{Item, each_block};
use crate::node::Node;
use crate::views;

/// Pause before the task is started again after a panic: one that fails at once does not fill the log.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Feeds the memory until the node stops. A panic is a bug of ours: it is logged, counted in the status, and the task is started
/// again; what it missed of the blocks is read from the store, of the events it counts as lost.
pub async fn feed(node: Node, committed: Receiver<Arc<CommittedBlock>>, cancel: CancellationToken) {
    let mut committed = Some(committed);
    let again = || {
        let committed = committed.take().unwrap_or_else(|| node.deps().engine.committed());
        follow(node.clone(), committed, cancel.clone())
    };
    supervise(RESTART_PAUSE, again, || node.memory().restarted()).await;
}

/// Runs what `make` makes until it ends by itself; after a panic it calls `restarted`, and makes another after a pause.
async fn supervise<F>(pause: Duration, mut make: impl FnMut() -> F, mut restarted: impl FnMut())
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match tokio::spawn(make()).await {
            Err(error) if error.is_panic() => {
                restarted();
                tracing::error!(%error, "the task that follows blocks and events failed: it is started again");
                tokio::time::sleep(pause).await;
            }
            _ => return,
        }
    }
}

async fn follow(node: Node, mut committed: Receiver<Arc<CommittedBlock>>, cancel: CancellationToken) {
    let mut events = node.deps().collector.subscribe(Filter::default());
    node.memory().live().interrupted();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut collecting, mut serving) = (true, true);
    let mut duties = node.deps().duties.incidents();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            block = committed.recv() => match block {
                Ok(block) => take_away_from_here(&node, block).await,
                // The next block finds the gap and reads it from the store.
                Err(RecvError::Lagged(blocks)) => tracing::warn!(blocks, "the API fell behind the blocks"),
                Err(RecvError::Closed) => return,
            },
            update = events.next(), if collecting => match update {
                Some(Update::Event { source, event }) => if let Some(seen) = node.memory().live().event(&source, &event) {
                    say_incident(&node, || views::incidents::of_site(&seen));
                },
                Some(Update::Missed { source, .. }) => node.memory().live().missed(&source),
                None => collecting = false,
            },
            incident = duties.recv(), if serving => match incident {
                Ok(incident) => {
                    let number = node.memory().live().duty_incident(incident.clone());
                    say_incident(&node, || views::incidents::of_duty(number, &incident));
                }
                Err(RecvError::Lagged(incidents)) => tracing::warn!(incidents, "the API fell behind the duties"),
                Err(RecvError::Closed) => serving = false,
            },
            _ = second.tick() => {
                node.memory().live().second();
                node.memory().news().say(Feed::Status, || [Item::new(&StreamMessage::Status { status: node.status() }, None)]);
            }
        }
    }
}

/// Tells listeners of an incident of this site.
fn say_incident(node: &Node, make: impl FnOnce() -> IncidentInfo) {
    node.memory().news().say(Feed::Incidents, || [incident_item(make(), None)]);
}

/// Takes a block in on a thread that may read the disk; a panic there goes on here, so that it is counted.
async fn take_away_from_here(node: &Node, block: Arc<CommittedBlock>) {
    let taking = node.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || take(&taking, &block)).await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Takes a block in, after those before it that did not come.
fn take(node: &Node, block: &CommittedBlock) {
    let (from, height) = (node.memory().index().height() + 1, block.block.header.height);
    if from < height {
        let read = each_block(node.store(), from, height - 1, |stored| {
            let StoredBlock { block, certificate, receipts, events } = stored;
            take_one(node, block, certificate, receipts, events);
        });
        if let Err(error) = read {
            tracing::error!(%error, from, "blocks that did not come cannot be read: the API's lists lack them");
        }
    }
    take_one(node, &block.block, &block.certificate, &block.receipts, &block.events);
}

fn take_one(node: &Node, block: &Block, certificate: &Certificate, receipts: &[Receipt], events: &[LedgerEvent]) {
    let memory = node.memory();
    if !memory.take(node.store(), block, receipts, events) {
        return;
    }
    let news = memory.news();
    news.say(Feed::Blocks, || {
        let proposer = block.header.proposer;
        let block: BlockSummary = views::blocks::summary(block, certificate);
        [Item::new(&StreamMessage::Block { block }, None).of_validators(vec![proposer])]
    });
    news.say(Feed::Receipts, || receipt_items(block, receipts));
    news.say(Feed::Chunks, || chunk_items(node, block.header.height));
    news.say(Feed::Incidents, || {
        let incidents = events.iter().filter_map(|event| match event {
            LedgerEvent::Incident(incident) => {
                let info = views::incidents::of_ledger(incident, Some(block.header.time));
                Some(incident_item(info, incident.validator))
            }
            _ => None,
        });
        incidents.collect::<Vec<_>>()
    });
    news.say(Feed::Stamps, || stamp_items(events));
    news.say(Feed::Events, || event_items(block, events));
    news.say(Feed::Upgrades, || upgrade_items(events));
}

/// An incident for whoever listens to incidents.
fn incident_item(incident: IncidentInfo, validator: Option<Address>) -> Item {
    let (source, kind) = (incident.source.clone(), incident.kind);
    let item = Item::new(&StreamMessage::Incident { incident }, source.as_deref());
    item.of_kind(kind.as_str()).of_validators(validator.into_iter().collect())
}

/// Stamps of a block, with their accounts and topics.
fn stamp_items(events: &[LedgerEvent]) -> Vec<Item> {
    let stamps = events.iter().filter_map(|event| match event {
        LedgerEvent::Stamps(StampsEvent::Stamped(record)) => Some(record),
        _ => None,
    });
    let item = |record: &StampRecord| {
        let item = Item::new(&StreamMessage::Stamp { stamp: views::stamps::info(record) }, None);
        item.of_accounts(vec![record.account]).of_stamp_topic(&record.topic)
    };
    stamps.map(item).collect()
}

/// Events of a block, with all that each is about.
fn event_items(block: &Block, events: &[LedgerEvent]) -> Vec<Item> {
    let addresses = |texts: &[String]| texts.iter().filter_map(|text| text.parse::<Address>().ok()).collect();
    let item = |(number, event): (u32, &LedgerEvent)| {
        let event = views::events::info(event, block.header.height, number, block.header.time);
        let (source, kind) = (event.source.clone(), event.kind);
        let (accounts, validators) = (addresses(&event.accounts), addresses(&event.validators));
        let item = Item::new(&StreamMessage::Event { event }, source.as_deref());
        item.of_accounts(accounts).of_validators(validators).of_kind(kind.as_str())
    };
    (0..).zip(events).map(item).collect()
}

/// The news of upgrades in a block.
fn upgrade_items(events: &[LedgerEvent]) -> Vec<Item> {
    let of_upgrades = events.iter().filter_map(|event| match event {
        LedgerEvent::Upgrades(event) => Some(views::upgrades::news(event)),
        _ => None,
    });
    of_upgrades.map(|news| Item::new(&StreamMessage::Upgrade { news }, None)).collect()
}

/// Chunks of the newest block, oldest first.
fn chunk_items(node: &Node, height: u64) -> Vec<Item> {
    let mut chunks: Vec<_> = node.memory().index().chunks(None).take_while(|c| c.height >= height).cloned().collect();
    chunks.reverse();
    let item = |chunk: &crate::memory::RecentChunk| {
        Item::new(&StreamMessage::Chunk { chunk: node.chunk_info(chunk) }, Some(&chunk.source))
    };
    chunks.iter().map(item).collect()
}

/// Receipts of a block's transactions of accounts, with the accounts that each is about.
fn receipt_items(block: &Block, receipts: &[Receipt]) -> Vec<Item> {
    let of_accounts = block.transactions.iter().zip(receipts).filter(|(_, receipt)| receipt.class == Class::Account);
    let item = |(bytes, receipt): (&Vec<u8>, &Receipt)| {
        let transaction = views::transactions::summary(bytes, Some((&block.header, receipt)));
        let accounts = receipt.sender.into_iter().chain(views::transactions::receiver(bytes)).collect();
        let kind = transaction.kind.clone();
        Item::new(&StreamMessage::Receipt { transaction }, None).of_accounts(accounts).of_kind(&kind)
    };
    of_accounts.map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_counted() {
        let (begun, restarts) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let make = || {
            let begun = begun.clone();
            async move {
                let nth = begun.fetch_add(1, Ordering::SeqCst);
                assert!(nth >= 2, "fails the first two times");
            }
        };
        supervise(Duration::ZERO, make, || {
            restarts.fetch_add(1, Ordering::SeqCst);
        })
        .await;
        assert_eq!((begun.load(Ordering::SeqCst), restarts.load(Ordering::SeqCst)), (3, 2));
    }
}
