//! Facts: what a block adds for ever, put together from the modules. They are the leaves of their epoch's Merkle tree, which
//! storage keeps outside the state, so that each stays provable when its details have left the state.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, canonical};

use crate::merkle::{MerklePath, leaf_hash};
use crate::modules::evidence::EvidenceFact;
use crate::modules::incidents::LedgerIncident;
use crate::modules::stamps::StampRecord;
use crate::modules::windows::WindowsFact;

/// Declares [`Fact`] from one line for each module that has facts: the variant, and the module's own type.
macro_rules! facts {
    ($($(#[$doc:meta])* $variant:ident($part:ident),)*) => {
        /// A fact. Its canonical bytes are a leaf of its epoch's tree.
        #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        pub enum Fact {
            $($(#[$doc])* $variant($part),)*
        }

        $(impl From<$part> for Fact {
            fn from(fact: $part) -> Fact {
                Fact::$variant(fact)
            }
        })*
    };
}

facts! {
    /// Of windows: agreed chunks and closed windows.
    Windows(WindowsFact),
    /// An incident.
    Incident(LedgerIncident),
    /// Recorded evidence.
    Evidence(EvidenceFact),
    /// A stamp.
    Stamp(StampRecord),
}

/// A fact with its way to the root of its epoch, as [`crate::light::verify_fact`] checks it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FactProof {
    /// Number of the epoch.
    pub epoch: u64,
    /// The fact.
    pub fact: Fact,
    /// The path from the fact to the root of [`crate::ClosedEpoch`].
    pub path: MerklePath,
}

impl Fact {
    /// Hash of its leaf.
    pub fn leaf(&self) -> Digest {
        leaf_hash(&canonical::encode(self))
    }
}
