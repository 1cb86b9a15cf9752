//! The supply and its pools, deposits, and fees beforehand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The whole of OPEN by its places: pools, accounts, deposits and what was burnt sum to the cap, after every block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SupplyInfo {
    /// Height of the block after which it stands so.
    pub height: u64,
    /// All OPEN that there ever is, in 10^-18 OPEN.
    pub cap: String,
    /// In the pools, in 10^-18 OPEN.
    pub pools: String,
    /// In accounts, in 10^-18 OPEN.
    pub accounts: String,
    /// Held for records that accounts have stored, in 10^-18 OPEN; it comes back when the record goes.
    pub deposits: String,
    /// Burnt base fees, in 10^-18 OPEN.
    pub burnt: String,
    /// The pools by group, in the order of the tree.
    pub groups: Vec<PoolGroup>,
}

/// A group of pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolGroup {
    /// Name, such as `core`.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Its pools.
    pub pools: Vec<PoolInfo>,
}

/// A named pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolInfo {
    /// Name, such as `node-operators`.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Amount that the genesis put into it, in 10^-18 OPEN.
    pub allocated: String,
    /// Amount that is in it, in 10^-18 OPEN.
    pub balance: String,
}

/// An amount that is held for a record which an account has stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DepositInfo {
    /// The account that gave it, and that has it back when the record goes.
    pub account: String,
    /// In 10^-18 OPEN.
    pub amount: String,
    /// Kind of the record.
    pub kind: DepositKind,
    /// Source that the record is.
    pub source: Option<String>,
    /// Hash that the record stamps.
    pub hash: Option<String>,
    /// Topic under which it stamps it.
    pub topic: Option<String>,
    /// Key of the record in the ledger's state, hexadecimal.
    pub key: String,
}

/// Kind of a record for which a deposit is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DepositKind {
    /// A source of the register.
    Source,
    /// A stamp.
    Stamp,
    /// One that this version of the API has no word for.
    Other,
}

/// Asks for an estimate of an action's fees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateRequest {
    /// Action.
    pub action: crate::ActionRequest,
}

/// An estimate of an action's fees, if it is in the next block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EstimateInfo {
    /// Weight of the action, in transfers.
    pub weight: u32,
    /// Base fee of a unit of weight in the next block, in 10^-18 OPEN.
    pub base_fee: String,
    /// Base fee of the action in the next block, which is burnt: the least that its highest fee may be. In 10^-18 OPEN.
    pub burnt: String,
    /// A tip that is worth a proposer's while, in 10^-18 OPEN.
    pub tip: String,
    /// A highest fee under which it is taken for as long as the base fee does not double, in 10^-18 OPEN.
    pub max_fee: String,
    /// Deposit that comes back when the record goes, in 10^-18 OPEN.
    pub deposit: String,
    /// Amount that the action itself spends, in 10^-18 OPEN.
    pub spends: String,
}
