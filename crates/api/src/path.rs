//! Paths of the contract as templates: names in braces are parameters.

/// Status of the node and its network.
pub const STATUS: &str = "/v1/status";
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
/// Committed transactions, newest first; the address to send one to.
pub const TRANSACTIONS: &str = "/v1/transactions";
/// One transaction.
pub const TRANSACTION: &str = "/v1/transactions/{hash}";
/// Typed data to be signed.
pub const TYPED_DATA: &str = "/v1/transactions/typed-data";
/// Declared actions with their fields.
pub const ACTIONS: &str = "/v1/actions";
/// One account.
pub const ACCOUNT: &str = "/v1/accounts/{address}";
/// Sources by id.
pub const SOURCES: &str = "/v1/sources";
/// One source.
pub const SOURCE: &str = "/v1/sources/{id}";
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

/// Every path of the contract.
pub const ALL: [&str; 31] = [
    STATUS,
    BLOCKS,
    BLOCK,
    VALIDATORS,
    UPGRADE,
    STATE,
    STATE_CHUNK,
    INCIDENTS,
    TRANSACTIONS,
    TRANSACTION,
    TYPED_DATA,
    ACTIONS,
    ACCOUNT,
    SOURCES,
    SOURCE,
    AGREEMENT,
    CHUNKS,
    CHUNK,
    CHUNK_RAW,
    CHUNK_PARQUET,
    CHUNK_PROOF,
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
