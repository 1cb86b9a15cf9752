//! Paths of the contract as templates: names in braces are parameters.

/// Status of the node and its network.
pub const STATUS: &str = "/v1/status";
/// State of the node for its operator.
pub const NODE: &str = "/v1/node";
/// Blocks, newest first.
pub const BLOCKS: &str = "/v1/blocks";
/// One block.
pub const BLOCK: &str = "/v1/blocks/{height}";
/// Validators by address.
pub const VALIDATORS: &str = "/v1/validators";
/// Rules in force, plans, and who is ready.
pub const UPGRADE: &str = "/v1/upgrade";
/// The newest state, to be copied.
pub const STATE: &str = "/v1/state";
/// A chunk of a state.
pub const STATE_CHUNK: &str = "/v1/state/{height}/{depth}/{index}";
/// Incidents, newest first.
pub const INCIDENTS: &str = "/v1/incidents";
/// One incident.
pub const INCIDENT: &str = "/v1/incidents/{id}";
/// Epochs, newest first.
pub const EPOCHS: &str = "/v1/epochs";
/// One epoch.
pub const EPOCH: &str = "/v1/epochs/{number}";
/// Parameters of the network.
pub const PARAMETERS: &str = "/v1/parameters";
/// Meanings of a text: blocks, transactions, accounts and so on.
pub const SEARCH: &str = "/v1/search";
/// Committed transactions, newest first; the address to send one to.
pub const TRANSACTIONS: &str = "/v1/transactions";
/// Several transactions at once, as bytes.
pub const TRANSACTIONS_BATCH: &str = "/v1/transactions/batch";
/// One transaction.
pub const TRANSACTION: &str = "/v1/transactions/{hash}";
/// Typed data to be signed.
pub const TYPED_DATA: &str = "/v1/transactions/typed-data";
/// Fees of an action beforehand.
pub const ESTIMATE: &str = "/v1/transactions/estimate";
/// The whole supply and its pools.
pub const SUPPLY: &str = "/v1/supply";
/// Deposits that are held, by the keys of their records.
pub const DEPOSITS: &str = "/v1/deposits";
/// Declared actions with their fields.
pub const ACTIONS: &str = "/v1/actions";
/// One account.
pub const ACCOUNT: &str = "/v1/accounts/{address}";
/// Sources by id.
pub const SOURCES: &str = "/v1/sources";
/// One source.
pub const SOURCE: &str = "/v1/sources/{id}";
/// One window of a source.
pub const WINDOW: &str = "/v1/sources/{id}/windows/{window}";
/// Agreement matrix.
pub const AGREEMENT: &str = "/v1/agreement";
/// Chunks, newest first.
pub const CHUNKS: &str = "/v1/chunks";
/// One chunk.
pub const CHUNK: &str = "/v1/chunks/{cid}";
/// Canonical bytes of a chunk.
pub const CHUNK_RAW: &str = "/v1/chunks/{cid}/raw";
/// A chunk's rows as Parquet.
pub const CHUNK_PARQUET: &str = "/v1/chunks/{cid}/parquet";
/// Proof bundle of a chunk.
pub const CHUNK_PROOF: &str = "/v1/chunks/{cid}/proof";
/// Events of the ledger, newest first.
pub const EVENTS: &str = "/v1/events";
/// Stamps, newest first; of one hash by topic and account.
pub const STAMPS: &str = "/v1/stamps";
/// Proof of a stamp.
pub const STAMP_PROOF: &str = "/v1/stamps/{hash}/proof";
/// Order book of an instrument.
pub const BOOK: &str = "/v1/books/{exchange}/{symbol}";
/// Candles of an instrument.
pub const CANDLES: &str = "/v1/candles/{exchange}/{symbol}";
/// Trades of an instrument.
pub const TRADES: &str = "/v1/trades/{exchange}/{symbol}";
/// SQL queries.
pub const SQL: &str = "/v1/sql";
/// One running SQL query.
pub const SQL_QUERY: &str = "/v1/sql/{query_id}";
/// All tables.
pub const CATALOGUE: &str = "/v1/catalogue";
/// Nonces for signing in.
pub const NONCE: &str = "/v1/auth/nonce";
/// Signing in.
pub const SIGN_IN: &str = "/v1/auth/sign-in";
/// The session.
pub const SESSION: &str = "/v1/auth/session";
/// The WebSocket.
pub const STREAM: &str = "/v1/stream";
/// JSON-RPC for wallets: requests by `POST`, and a WebSocket.
pub const RPC: &str = "/v1/rpc";

/// Every path of the contract.
pub const ALL: [&str; 46] = [
    STATUS,
    NODE,
    BLOCKS,
    BLOCK,
    VALIDATORS,
    UPGRADE,
    STATE,
    STATE_CHUNK,
    INCIDENTS,
    INCIDENT,
    EPOCHS,
    EPOCH,
    PARAMETERS,
    SEARCH,
    TRANSACTIONS,
    TRANSACTIONS_BATCH,
    TRANSACTION,
    TYPED_DATA,
    ESTIMATE,
    SUPPLY,
    DEPOSITS,
    ACTIONS,
    ACCOUNT,
    SOURCES,
    SOURCE,
    WINDOW,
    AGREEMENT,
    CHUNKS,
    CHUNK,
    CHUNK_RAW,
    CHUNK_PARQUET,
    CHUNK_PROOF,
    EVENTS,
    STAMPS,
    STAMP_PROOF,
    BOOK,
    CANDLES,
    TRADES,
    SQL,
    SQL_QUERY,
    CATALOGUE,
    NONCE,
    SIGN_IN,
    SESSION,
    STREAM,
    RPC,
];

/// The path of a template with its first parameter filled in. The value goes in as it is: hashes, addresses, CIDs and numbers
/// need no encoding.
pub fn with(template: &str, value: &str) -> String {
    match (template.find('{'), template.find('}')) {
        (Some(from), Some(to)) if from < to => format!("{}{value}{}", &template[..from], &template[to + 1..]),
        _ => template.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_parameter_is_filled_in() {
        assert_eq!(super::with(super::CHUNK_PROOF, "bafk"), "/v1/chunks/bafk/proof");
        assert_eq!(super::with(super::STATUS, "x"), super::STATUS);
    }
}
