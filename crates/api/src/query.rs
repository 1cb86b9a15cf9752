//! Query parameters of the paths. Unknown ones are refused; absent ones do not filter.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{ChunkStatus, EventKind, IncidentKind, IncidentSite, SourceKind, SqlFormat, TransactionClass};

/// Parameters of `POST /v1/sql`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SqlQuery {
    /// Form of the answer, `json` where absent. The others are files that come piece by piece: a file that breaks off is not whole.
    #[param(inline)]
    pub format: SqlFormat,
}

/// Parameters of `GET /v1/blocks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct BlockQuery {
    /// Only blocks of this proposer (address).
    pub proposer: Option<String>,
    /// Only blocks with transactions (`true`), or only empty ones (`false`).
    pub transactions: Option<bool>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/validators`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ValidatorQuery {
    /// A part of the name or of the address.
    pub text: Option<String>,
    /// Only those that collect this source in the current epoch.
    pub source: Option<String>,
    /// Items wanted, 500 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/transactions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct TransactionQuery {
    /// Only transactions of this class.
    #[param(inline)]
    pub class: Option<TransactionClass>,
    /// Only transactions that this account (or validator) sent, or that it received as a transfer.
    pub account: Option<String>,
    /// Only those that took effect (`true`), or that were refused (`false`).
    pub ok: Option<bool>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/transactions/{hash}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct WaitQuery {
    /// Milliseconds to wait until the transaction is in a block; where it then still waits, the answer has no `height`.
    #[param(minimum = 0, maximum = 20000)]
    pub wait_ms: Option<u64>,
}

/// Parameters of `GET /v1/incidents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct IncidentQuery {
    /// Only incidents of this kind.
    #[param(inline)]
    pub kind: Option<IncidentKind>,
    /// Source.
    pub source: Option<String>,
    /// Validator's address.
    pub validator: Option<String>,
    /// Only what the ledger says, or what this site's collector saw.
    #[param(inline)]
    pub site: Option<IncidentSite>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/sources`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SourceQuery {
    /// Exchange or chain.
    pub exchange: Option<String>,
    /// Only venues, or only chains.
    #[param(inline)]
    pub kind: Option<SourceKind>,
    /// Only sources with this instrument.
    pub symbol: Option<String>,
    /// Only sources with this feed.
    pub feed: Option<String>,
    /// Only those that are silent here (`true`), or that are heard (`false`).
    pub stale: Option<bool>,
    /// Items wanted, 500 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/agreement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct AgreementQuery {
    /// Only this source; all where absent.
    pub source: Option<String>,
    /// Windows of each source, 30 where absent.
    #[param(minimum = 1, maximum = 240)]
    pub windows: Option<usize>,
    /// Only windows before this one: a row's `next`, for its source.
    pub before: Option<u64>,
}

/// Parameters of `GET /v1/chunks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ChunkQuery {
    /// Source. With it, the list goes back to the network's beginning; without, about an hour.
    pub source: Option<String>,
    /// Stream (`BTC.USDT/trades`), or a part of it.
    pub stream: Option<String>,
    /// Only chunks of this status.
    #[param(inline)]
    pub status: Option<ChunkStatus>,
    /// Validator that attested it.
    pub attester: Option<String>,
    /// First window.
    pub from: Option<u64>,
    /// Last window.
    pub to: Option<u64>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/epochs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct EpochQuery {
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/deposits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct DepositQuery {
    /// Only deposits of this account.
    pub account: Option<String>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Text to look for: a height, a hash, an address, a CID, an id, or a part of a name; 1 to 128 bytes.
    pub text: String,
}

/// Parameters of `GET /v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct EventQuery {
    /// Only events of this kind.
    #[param(inline)]
    pub kind: Option<EventKind>,
    /// Only events about this source.
    pub source: Option<String>,
    /// Only events about this account.
    pub account: Option<String>,
    /// Only events about this validator.
    pub validator: Option<String>,
    /// Only events of the block of this height.
    pub height: Option<u64>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/stamps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct StampQuery {
    /// SHA-256 of what is stamped. With it, the list is in the order of topics and accounts; without it, it is newest first.
    pub hash: Option<String>,
    /// Only stamps under this topic.
    pub topic: Option<String>,
    /// Only stamps of this account.
    pub account: Option<String>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /v1/stamps/{hash}/proof`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StampProofQuery {
    /// Topic of the stamp.
    pub topic: String,
    /// Account that stamped it.
    pub account: String,
    /// Height of the stamp, where the account stamped the same again after the first one had left the state; the first one where absent.
    #[serde(default)]
    pub height: Option<u64>,
}

/// Parameters of `GET /v1/books/{exchange}/{symbol}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct BookQuery {
    /// Levels of each side, 25 where absent.
    #[param(minimum = 1, maximum = 1000)]
    pub depth: Option<usize>,
}

/// Length of a candle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Interval {
    /// One second.
    #[serde(rename = "1s")]
    Second,
    /// Five seconds.
    #[serde(rename = "5s")]
    FiveSeconds,
    /// Fifteen seconds.
    #[serde(rename = "15s")]
    FifteenSeconds,
    /// One minute.
    #[default]
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Fifteen minutes.
    #[serde(rename = "15m")]
    FifteenMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// One day.
    #[serde(rename = "1d")]
    Day,
}

impl Interval {
    /// Length in seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Interval::Second => 1,
            Interval::FiveSeconds => 5,
            Interval::FifteenSeconds => 15,
            Interval::Minute => 60,
            Interval::FiveMinutes => 300,
            Interval::FifteenMinutes => 900,
            Interval::Hour => 3_600,
            Interval::Day => 86_400,
        }
    }
}

/// Parameters of `GET /v1/candles/{exchange}/{symbol}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct CandleQuery {
    /// Length of a candle, `1m` where absent.
    #[param(inline)]
    pub interval: Option<Interval>,
    /// Number of candles, the newest; 200 where absent.
    #[param(minimum = 1, maximum = 1500)]
    pub limit: Option<usize>,
    /// Only trades before this time (RFC 3339): `searched_from` of the list that this one continues.
    pub before: Option<String>,
}

/// Parameters of `GET /v1/trades/{exchange}/{symbol}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct TradeQuery {
    /// Number of trades, the newest; 50 where absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}
