//! The one search field: what a text may mean.
//!
//! A text has a form (a number, a hash, an address, a CID, the id of an incident) that says where it can be found, or it is a part of a
//! name. Each place is asked by its key or by a prefix, so that a search costs some reads and no scan.

use axum::Json;
use axum::extract::State;
use openmesh_api::limits::{SEARCH_BYTES_MAX, SEARCH_HITS_MAX};
use openmesh_api::{self as api, ErrorCode, SearchHit, SearchKind};
use openmesh_ledger::{self as ledger, Action, POOLS, StateRead, keys};
use openmesh_primitives::{Address, ContentId, Digest, Height};
use openmesh_pythia::Query as Sql;
use openmesh_storage::StateView;

use crate::error::Refusal;
use crate::http::request::{Params, pair};
use crate::memory::Found;
use crate::node::Node;
use crate::peer;
use crate::reads::stamps::{self, StampFilter};
use crate::reads::{blocks, chunk};
use crate::views;
use crate::work::Budget;

/// Topics that a search finds by their beginning.
const TOPICS_MAX: usize = 5;

/// Meanings of a text: at most twenty things, the likeliest first.
#[utoipa::path(get, path = api::path::SEARCH, tag = "ledger", params(api::SearchQuery), responses((status = 200, body = Vec<api::SearchHit>)))]
pub async fn search(
    State(node): State<Node>,
    Params(query): Params<api::SearchQuery>,
) -> Result<Json<Vec<SearchHit>>, Refusal> {
    let text = query.text.trim().to_string();
    if !(1..=SEARCH_BYTES_MAX).contains(&text.len()) {
        let message = format!("the text has {} bytes", text.len());
        let hint =
            format!("1 to {SEARCH_BYTES_MAX} bytes: a height, a hash, an address, a CID, an id or a part of a name");
        return Err(Refusal::new(ErrorCode::BadSearch, message, hint));
    }
    let mut hits = if let Ok(hash) = text.parse::<Digest>() {
        of_hash(&node, hash).await?
    } else if let Ok(cid) = text.parse::<ContentId>() {
        of_cid(&node, cid).await?
    } else {
        node.scan(move |node, _| of_text(&node, &text)).await?
    };
    hits.truncate(SEARCH_HITS_MAX);
    Ok(Json(hits))
}

fn hit(kind: SearchKind, key: impl ToString, label: impl Into<String>, detail: impl Into<String>) -> SearchHit {
    SearchHit { kind, key: key.to_string(), label: label.into(), detail: detail.into() }
}

/// A hash is of a transaction, of a block, or was stamped.
async fn of_hash(node: &Node, hash: Digest) -> Result<Vec<SearchHit>, Refusal> {
    let mut hits = node
        .scan(move |node, budget| {
            let mut hits = Vec::new();
            if let Some((stored, at)) = blocks::committed(node.store(), &hash)? {
                let both = stored.block.transactions.get(at).zip(stored.receipts.get(at));
                hits.extend(both.map(|(bytes, receipt)| {
                    let summary = views::transactions::summary(bytes, Some((&stored.block.header, receipt)));
                    hit(SearchKind::Transaction, hash, summary.action, format!("block {}", stored.block.header.height))
                }));
            } else if node.pending(&hash)?.is_some() {
                hits.push(hit(SearchKind::Transaction, hash, "Transaction", "waits for a block"));
            }
            hits.extend(stamped(&node, &hash, budget)?);
            Ok(hits)
        })
        .await?;
    if !hits.is_empty() {
        return Ok(hits);
    }
    let place = node.memory().hashes().find(&hash, node.store().oldest_block());
    let height = match place {
        Found::At(height) => Some(height.to_string()),
        Found::Nowhere | Found::NotSince(_) => height_of(node, &hash).await?,
    };
    hits.extend(height.map(|height| hit(SearchKind::Block, &height, format!("Block {height}"), "by its hash")));
    Ok(hits)
}

/// The height of a block by its hash; of old ones only the tables know it. Whoever asks takes a place among the queries of people: a hash of
/// nothing is looked for in all blocks, and the gateway's own look-ups must not wait behind strangers that ask for many.
async fn height_of(node: &Node, hash: &Digest) -> Result<Option<String>, Refusal> {
    // It is digits: nothing of a stranger's text gets into the query.
    let sql = format!("select height from ledger_blocks where hash = '{hash}' limit 1");
    let mut pass = node.queries().enter(peer::current()).await?;
    let is_quick = pass.is_quick();
    let found = tokio::select! {
        found = node.deps().pythia.query_among_many(Sql::new(sql), is_quick) => found?,
        busy = pass.overdue() => return Err(busy),
    };
    Ok(found.rows.first().and_then(|row| row.first()).map(|value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }))
}

/// A CID is of a chunk, or its hash was stamped.
async fn of_cid(node: &Node, cid: ContentId) -> Result<Vec<SearchHit>, Refusal> {
    let mut hits = node.scan(move |node, budget| stamped(&node, &cid.digest(), budget)).await?;
    match chunk::find(node, &cid).await {
        Ok(chunk) => {
            let label = format!("{} of {}", chunk.stream, chunk.source);
            hits.insert(0, hit(SearchKind::Chunk, cid, label, format!("window {}", chunk.window)));
        }
        Err(refused) if refused.is_not_found() => {}
        Err(refused) => return Err(refused),
    }
    Ok(hits)
}

/// Stamps of a hash, as one hit.
fn stamped(node: &Node, hash: &Digest, budget: &mut Budget) -> Result<Vec<SearchHit>, Refusal> {
    let (found, next) = stamps::of_hash(node.store(), hash, &StampFilter::default(), None, SEARCH_HITS_MAX, budget)?;
    let Some(first) = found.iter().min_by_key(|record| (record.height, record.number)) else { return Ok(Vec::new()) };
    let number = if next.is_some() { format!("{} and more", found.len()) } else { found.len().to_string() };
    let detail = format!("{number} times; under {} in block {}", first.topic, first.height);
    Ok(vec![hit(SearchKind::Stamp, hash, "Stamped hash", detail)])
}

fn of_text(node: &Node, text: &str) -> Result<Vec<SearchHit>, Refusal> {
    let state = node.store().state()?;
    let mut hits = Vec::new();
    if let Ok(number) = text.replace(',', "").parse::<u64>() {
        hits.extend(of_number(node, &state, number)?);
    }
    if let Some((height, number)) = pair(text)
        && let Some(incident) = ledger::incident(&state, height, number)?
    {
        let label = format!("{} at {}", incident.kind.as_str(), incident.source);
        hits.push(hit(SearchKind::Incident, incident.id(), label, incident.detail));
    }
    if let Ok(address) = text.parse::<Address>() {
        hits.extend(of_address(&state, &address)?);
    }
    hits.extend(by_name(&state, &text.to_lowercase())?);
    Ok(hits)
}

fn of_number(node: &Node, state: &StateView, number: Height) -> Result<Vec<SearchHit>, Refusal> {
    let (oldest, tip) = (node.store().oldest_block().max(1), node.store().tip().height);
    let mut hits = Vec::new();
    if (1..=tip).contains(&number) {
        let detail = if number < oldest { "no longer held by this node" } else { "" };
        hits.push(hit(SearchKind::Block, number, format!("Block {number}"), detail));
    }
    if number <= ledger::current_epoch(state)? {
        hits.push(hit(SearchKind::Epoch, number, format!("Epoch {number}"), ""));
    }
    Ok(hits)
}

fn of_address(state: &StateView, address: &Address) -> Result<Vec<SearchHit>, Refusal> {
    let mut hits = Vec::new();
    if let Some(record) = ledger::validator_record(state, address)? {
        hits.push(hit(SearchKind::Validator, address, record.name, "validator"));
    }
    let account = ledger::account(state, address)?;
    if hits.is_empty() || account != ledger::Account::default() {
        let balance = format!("{} OPEN", account.balance.to_open());
        hits.push(hit(SearchKind::Account, address, address.to_string(), balance));
    }
    Ok(hits)
}

/// Everything that has the text, in small letters, in its name.
fn by_name(state: &StateView, text: &str) -> Result<Vec<SearchHit>, Refusal> {
    let mut hits = Vec::new();
    for record in ledger::sources(state)? {
        if record.spec.id.contains(text) || record.spec.exchange.contains(text) {
            hits.push(hit(SearchKind::Source, &record.spec.id, &record.spec.id, &record.spec.exchange));
        }
    }
    for validator in ledger::validators(state)?.iter() {
        if validator.name.to_lowercase().contains(text) {
            hits.push(hit(SearchKind::Validator, validator.address, &validator.name, validator.address.to_string()));
        }
    }
    let topics = topics(state, text)?;
    hits.extend(topics.iter().map(|topic| hit(SearchKind::Topic, topic, topic, "topic of stamps")));
    for action in Action::descriptors() {
        if action.kind.contains(text) || action.title.to_lowercase().contains(text) {
            hits.push(hit(SearchKind::Action, action.kind, action.title, action.summary));
        }
    }
    for parameter in views::parameters::list(&ledger::params(state)?) {
        if parameter.name.contains(text) {
            hits.push(hit(SearchKind::Parameter, &parameter.name, &parameter.name, parameter.meaning));
        }
    }
    for pool in &POOLS {
        if pool.name.contains(text) || pool.title.to_lowercase().contains(text) {
            hits.push(hit(SearchKind::Pool, pool.name, pool.title, "pool of the supply"));
        }
    }
    Ok(hits)
}

/// Topics in use that begin with a text. Each takes one look: the next one is behind all stamps of the one before.
fn topics(state: &StateView, text: &str) -> Result<Vec<String>, Refusal> {
    let prefix = [keys::STAMP_TOPICS, text.as_bytes()].concat();
    let (mut found, mut from) = (Vec::new(), prefix.clone());
    while found.len() < TOPICS_MAX {
        let Some((key, _)) = state.scan(&prefix, Some(&from), 1)?.into_iter().next() else { break };
        let rest = key.get(keys::STAMP_TOPICS.len()..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'/') else { break };
        let topic = String::from_utf8_lossy(&rest[..end]).into_owned();
        // Behind the sign that ends the topic.
        from = [keys::STAMP_TOPICS, topic.as_bytes(), b"0"].concat();
        found.push(topic);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, sender};
    use openmesh_primitives::sha256;

    fn found(hits: &[SearchHit]) -> Vec<(SearchKind, &str)> {
        hits.iter().map(|hit| (hit.kind, hit.key.as_str())).collect()
    }

    #[test]
    fn topics_are_found_by_their_beginning_each_once() {
        let mut chain = Chain::new();
        let names = ["xnode", "xnode.drill", "xnode.drill2", "other", "xnode-a"];
        for (n, topic) in names.into_iter().enumerate() {
            chain.stamps(&[(sha256(&[&[n as u8]]), topic), (sha256(&[&[n as u8, 1]]), topic)]);
        }
        let state = chain.store.state().unwrap();
        assert_eq!(topics(&state, "xnode").unwrap(), ["xnode-a", "xnode.drill", "xnode.drill2", "xnode"]);
        assert_eq!(topics(&state, "xnode.").unwrap(), ["xnode.drill", "xnode.drill2"]);
        assert_eq!(topics(&state, "nothing").unwrap(), [""; 0]);
    }

    #[test]
    fn names_and_addresses_lead_to_what_has_them() {
        let chain = Chain::new();
        let state = chain.store.state().unwrap();
        let hits = by_name(&state, "kraken").unwrap();
        assert_eq!(found(&hits), [(SearchKind::Source, "kraken")]);
        let hits = by_name(&state, "stamp_dep").unwrap();
        assert_eq!(found(&hits), [(SearchKind::Parameter, "stamps.stamp_deposit")]);
        let hits = by_name(&state, "bug-bount").unwrap();
        assert_eq!(found(&hits), [(SearchKind::Pool, "bug-bounties")]);
        let account = sender().to_string();
        let hits = of_address(&state, &sender()).unwrap();
        assert_eq!(found(&hits), [(SearchKind::Account, account.as_str())]);
    }
}
