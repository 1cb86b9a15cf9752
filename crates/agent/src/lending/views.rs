//! Answers about loans, as JSON has them.

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Room that this machine lends to the backups of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lending {
    /// Key by which guests know this machine: `node` of the place in their documents.
    pub key: String,
    /// Addresses at which it answers; none while nothing is lent.
    pub listens: Vec<String>,
    /// Causes for which it does not do all that it was told; where it does not run, those of that.
    pub troubles: Vec<String>,
    /// The lender is kept from everything but its folders and its port by the kernel; none while it does not run.
    pub shut: Option<bool>,
    /// Free disk where guests' objects lie, bytes; none where that cannot be told.
    pub disk_free_bytes: Option<u64>,
    /// Loans.
    pub loans: Vec<Loan>,
}

/// Standing of a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoanStanding {
    /// The guest stores, reads and removes.
    Lent,
    /// It has ended by its date: the guest reads and tidies, and stores nothing new.
    Over,
    /// A person has ended it: the guest reads, and nothing changes.
    Ended,
    /// Its objects are being removed.
    Going,
}

/// A loan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Loan {
    /// Name.
    pub name: String,
    /// Public keys of the guest's machines.
    pub keys: Vec<String>,
    /// Public keys of the guest's owner, who reads alone.
    #[serde(default)]
    pub readers: Vec<String>,
    /// Room, bytes.
    pub room_bytes: u64,
    /// Room that objects take, bytes.
    pub used_bytes: u64,
    /// Room that removed objects take which are withheld, bytes.
    pub held_bytes: u64,
    /// Objects, withheld ones too.
    pub objects: u64,
    /// Moment after which nothing new is taken; none where it has no end.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub until: Option<Timestamp>,
    /// Days for which removed objects are withheld.
    pub held_days: u32,
    /// Standing.
    pub standing: LoanStanding,
    /// Open connections of the guest.
    pub connections: u64,
    /// Last request of the guest since the lender began; none where there was none.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub seen: Option<Timestamp>,
    /// Cause of a trouble.
    pub trouble: Option<String>,
    /// An order to bring back what the guest has removed is not done yet.
    pub brings_back: bool,
    /// Whoever gave it last.
    pub by: String,
    /// Moment at which it was given last.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
}

/// A loan as a person gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoanWish {
    /// Public keys of the guest's machines, as `openmesh xnode backup-key show` prints them there.
    pub keys: Vec<String>,
    /// Public reading keys of the guest's owner, as the same command prints them: whoever has the owner's key restores with it onto any machine.
    #[serde(default)]
    pub readers: Vec<String>,
    /// Room, bytes.
    pub room_bytes: u64,
    /// Moment after which nothing new is taken; none where it has no end.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "seconds")]
    pub until: Option<Timestamp>,
    /// Days for which removed objects are withheld; 14 without a word.
    #[serde(default)]
    pub held_days: Option<u32>,
}

/// An order to bring back what a guest has removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BringBackWish {
    /// Days of the lender's running, the present one among them.
    pub days: u32,
}
