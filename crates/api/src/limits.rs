//! Limits that a client may run into. The gateway enforces them and `/openapi.json` states them under `x-limits`.

/// Largest body of a request in bytes: the longest query, or a transaction, in JSON.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Items of a page where `limit` is absent: a screen of a table.
pub const PAGE_ITEMS_DEFAULT: usize = 50;
/// Most items of a page: enough for a screen, little enough to be cheap.
pub const PAGE_ITEMS_MAX: usize = 500;
/// Levels of each side of a book where `depth` is absent: what fits beside a chart.
pub const BOOK_LEVELS_DEFAULT: usize = 25;
/// Most levels of each side of a book: the deepest that most venues send.
pub const BOOK_LEVELS_MAX: usize = 1_000;
/// Candles where `limit` is absent: what a chart shows at a glance.
pub const CANDLES_DEFAULT: usize = 200;
/// Most candles: a day of minutes.
pub const CANDLES_MAX: usize = 1_500;
/// Trades where `limit` is absent: a screen of a table.
pub const TRADES_DEFAULT: usize = 50;
/// Most trades: what a node remembers of a busy instrument in a minute.
pub const TRADES_MAX: usize = 1_000;
/// Windows of each source of the agreement matrix where `windows` is absent: what fits a screen.
pub const AGREEMENT_WINDOWS_DEFAULT: usize = 30;
/// Most windows of each source of the agreement matrix: forty minutes at the default length of ten seconds.
pub const AGREEMENT_WINDOWS_MAX: usize = 240;
/// Longest text of a search, in bytes: a hash or a CID with room.
pub const SEARCH_BYTES_MAX: usize = 128;
/// Most things that a search finds: what fits below a field.
pub const SEARCH_HITS_MAX: usize = 20;
/// Longest id that a client may give its query, in bytes: a UUID with a prefix.
pub const QUERY_ID_BYTES_MAX: usize = 64;
/// Most transactions of a batch: a sixteenth of what may wait to be checked at once, so that nobody has all of it with one request.
pub const TRANSACTIONS_BATCH_MAX: usize = 256;
/// Longest time that `GET /v1/transactions/{hash}` waits for the transaction's block, in milliseconds: several blocks, and less
/// than the half minute after which many proxies give a connection up.
pub const TRANSACTION_WAIT_MS_MAX: u64 = 20_000;
/// Connections open at once at a node. A page of Studio opens half a dozen; a thousand file descriptors is all that many
/// systems give a process, and tables, the ledger and peers need some. Beyond the first half an address has at most a share of eight.
pub const CONNECTIONS_MAX: usize = 512;
/// Streams open at once at a node: each holds a queue and tasks, and they are no longer counted among the connections. Beyond the
/// first half an address has at most a share of four.
pub const STREAMS_MAX: usize = 256;
/// Subscriptions of one stream: every feed of some dozen instruments.
pub const STREAM_SUBSCRIPTIONS_MAX: usize = 256;
/// Largest message of a client on a stream, in bytes: its longest request is far shorter.
pub const STREAM_REQUEST_BYTES_MAX: usize = 4_096;
/// Longest silence of a client on a stream, in seconds: three pings.
pub const STREAM_SILENCE_SECONDS_MAX: u64 = 60;
/// Requests of one batch of JSON-RPC: what a wallet asks for at once when it wakes up, several times over.
pub const RPC_BATCH_MAX: usize = 100;
/// Levels of lists and objects in a body of JSON-RPC: a wallet's deepest has four.
pub const RPC_DEPTH_MAX: usize = 32;
/// Values in a body of JSON-RPC: a full batch with a dozen parameters each, several times over. Each takes some dozen bytes of memory.
pub const RPC_VALUES_MAX: usize = 16_384;
/// Bytes of an answer of JSON-RPC, and of all those of a batch: more than five thousand whole transactions. Whoever reads slowly holds as much of this node's
/// memory with each connection.
pub const RPC_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Time of a batch of JSON-RPC after which the rest of it is refused, in milliseconds: wallets give up not much later.
pub const RPC_BATCH_MS_MAX: u64 = 10_000;
/// Blocks of one answer of `eth_feeHistory`: what Ethereum's nodes give.
pub const RPC_FEE_BLOCKS_MAX: u64 = 1_024;
/// Percentiles of one request of `eth_feeHistory`: what Ethereum's nodes take.
pub const RPC_PERCENTILES_MAX: usize = 100;
/// Subscriptions of one WebSocket of JSON-RPC: there is one subject.
pub const RPC_SUBSCRIPTIONS_MAX: usize = 16;
