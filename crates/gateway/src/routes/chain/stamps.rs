//! Stamps: the newest, those of a topic or an account, those of a hash, and the proof of one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger::{STAMP_TOPIC_BYTES_MAX, StampRecord, keys};
use openmesh_primitives::{Address, Digest, canonical};

use crate::error::Refusal;
use crate::http::download::tagged_json;
use crate::http::request::{self, Params, cursor, pair};
use crate::node::Node;
use crate::reads::proof::{Reach, Shown, Signed, Sought, made, shown, signed};
use crate::reads::stamps::{self, StampFilter};
use crate::views;

/// Stamps, newest first; those of a hash by topic and account.
#[utoipa::path(get, path = api::path::STAMPS, tag = "ledger", params(api::StampQuery), responses((status = 200, body = api::Page<api::StampInfo>)))]
pub async fn stamps(
    State(node): State<Node>,
    Params(query): Params<api::StampQuery>,
) -> Result<Json<api::Page<api::StampInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let topic = query.topic.map(topic).transpose()?;
    let account = query.account.as_deref().map(request::address).transpose()?;
    let filter = StampFilter { topic, account };
    let Some(hash) = query.hash.as_deref().map(request::hash).transpose()? else {
        let place = cursor(query.cursor.as_deref(), pair)?;
        return node
            .scan(move |node, budget| {
                let mut items = Vec::new();
                let next = stamps::newest(node.store(), place, &filter, budget, |record| {
                    let wanted = items.len() < limit;
                    items.extend(wanted.then(|| views::stamps::info(&record)));
                    wanted
                })?;
                Ok(Json(api::Page { items, next: next.map(|(height, number)| format!("{height}-{number}")) }))
            })
            .await;
    };
    let behind = cursor(query.cursor.as_deref(), |text| stamps::parse_cursor(&hash, text))?;
    node.scan(move |node, budget| {
        let (found, next) = stamps::of_hash(node.store(), &hash, &filter, behind, limit, budget)?;
        let items = found.iter().map(views::stamps::info).collect();
        Ok(Json(api::Page { items, next: next.map(|key| stamps::cursor_of(&hash, &key)) }))
    })
    .await
}

/// Everything needed to check a stamp offline.
#[utoipa::path(get, path = api::path::STAMP_PROOF, tag = "ledger", params(("hash" = String, Path, description = "SHA-256 of what is stamped, 64 hexadecimal digits"), api::StampProofQuery), responses((status = 200, body = api::StampProof), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn stamp_proof(
    State(node): State<Node>,
    Path(hash): Path<String>,
    Params(query): Params<api::StampProofQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (hash, account) = (request::hash(&hash)?, request::address(&query.account)?);
    let (topic, height) = (topic(query.topic)?, query.height);
    let answer = move |node: &Node, reach| {
        let proof = bundle(node, (&hash, &topic, &account), height, reach)?;
        proof.map(|proof| tagged_json(&headers, &proof)).transpose()
    };
    made(&node, answer).await
}

/// A topic from a person or a program.
fn topic(text: String) -> Result<String, Refusal> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if (1..=STAMP_TOPIC_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(text);
    }
    let hint = format!("a topic is 1 to {STAMP_TOPIC_BYTES_MAX} of a-z, 0-9, -, _ and .");
    Err(Refusal::new(ErrorCode::BadTopic, format!("{text:.80?} is no topic"), hint))
}

/// Makes the proof of a stamp: of the one of a height, or of the first that this node knows.
fn bundle(
    node: &Node,
    (hash, topic, account): (&Digest, &str, &Address),
    height: Option<u64>,
    reach: Reach,
) -> Result<Option<api::StampProof>, Refusal> {
    let store = node.store();
    let known = stamps::of_name(store, hash, topic, account)?;
    let wanted = known.into_iter().find(|(record, _)| height.is_none_or(|height| height == record.height));
    let (record, fact) = wanted.ok_or_else(|| {
        let message = format!("{account} has not stamped {hash} under {topic}, as far as this node knows");
        let hint = "/v1/stamps?hash=<hash> lists who has; of old ones an archive knows more (storage.archive)";
        Refusal::new(ErrorCode::UnknownStamp, message, hint)
    })?;
    let is_it = |value: &[u8]| canonical::decode::<StampRecord>(value).is_ok_and(|there| there == record);
    let key = keys::stamp(hash, topic, account);
    let sought = Sought { key, since: record.height, is_it: &is_it, fact, what: "the stamp" };
    let Some(Shown { height, key, value, proof: state_proof, fact }) = shown(store, sought, reach)? else {
        return Ok(None);
    };
    let Signed { header, certificate, changes } = signed(store, height)?;
    Ok(Some(api::StampProof {
        version: api::STAMP_PROOF_VERSION,
        chain_id: node.chain_id(),
        stamp: views::stamps::info(&record),
        state_key: hex::encode(&key),
        state_value: hex::encode(&value),
        state_proof: hex::encode(canonical::encode(&state_proof)),
        header,
        certificate,
        fact: fact.map(|fact| hex::encode(canonical::encode(&fact))),
        changes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_that_the_ledger_takes() {
        for good in ["a", "xnode.drill", "a-b_c.9", &"x".repeat(64)] {
            assert_eq!(topic(good.to_string()).unwrap(), good);
        }
        for bad in ["", "A", "a/b", "a b", "a\n", "größe", &"x".repeat(65)] {
            assert_eq!(topic(bad.to_string()).unwrap_err().code(), ErrorCode::BadTopic, "{bad:?}");
        }
    }
}
