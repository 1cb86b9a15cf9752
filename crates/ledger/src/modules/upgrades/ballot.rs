//! The form of plans and ballots. Clause U2 of `docs/spec/upgrades.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{
    Address, Digest, Height, KeyError, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical, sha256,
};
use serde::{Deserialize, Serialize};

use super::limits::RELEASE_BYTES_MAX;

/// Sets these bytes apart from everything else that a validator's key signs.
const BALLOT_DOMAIN: &str = "openmesh/upgrade-ballot/1";
/// Sets the bytes of a plan's id apart from everything else that is hashed.
const PLAN_DOMAIN: &str = "openmesh/upgrade-plan/1";

/// A plan: from the block of a height on the network follows another rule set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradePlan {
    /// Version of the rule set.
    pub version: u32,
    /// First height of which the block is executed by it.
    pub height: Height,
    /// Name of the release that has it, for people: what an operator installs.
    pub release: String,
    /// SHA-256 of that release's archive.
    pub digest: Digest,
}

/// A fault of a plan in itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum PlanFault {
    /// No name, or one that is too long or has other characters.
    #[error("the name of a release is 1 to {RELEASE_BYTES_MAX} of a-z A-Z 0-9 . - _ +")]
    Release,
    /// Version zero.
    #[error("rule sets are numbered from 1 on")]
    Version,
}

/// The content of a ballot.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeVote {
    /// For a plan; the first one makes it known.
    Approve(UpgradePlan),
    /// Takes an approval back.
    Withdraw {
        /// Height of the plan.
        height: Height,
        /// Its id.
        plan: Digest,
    },
    /// Tells the highest rule set that the validator's program knows.
    Ready {
        /// Its version.
        version: u32,
    },
    /// Names the account that earns the tips of the validator's blocks. It is no word about upgrades, but one that a validator's key signs as
    /// well, numbered with the others.
    Payout {
        /// The account.
        account: Address,
    },
}

/// A validator's ballot.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct UpgradeBallot {
    /// The network's number.
    pub chain_id: u64,
    /// The validator's key; its address follows from it.
    pub public_key: ValidatorPublicKey,
    /// Number of ballots that this validator has cast before: one that was taken back cannot be sent again by somebody else.
    pub number: u64,
    /// Its content.
    pub vote: UpgradeVote,
    /// Over everything above.
    pub signature: ValidatorSignature,
}

impl UpgradePlan {
    /// Hash by which ballots name the plan: SHA-256 of the domain and the canonical bytes.
    pub fn id(&self) -> Digest {
        sha256(&[&canonical::encode(&(PLAN_DOMAIN, self))])
    }

    /// Checks what needs no state.
    pub fn validate(&self) -> Result<(), PlanFault> {
        if self.version == 0 {
            return Err(PlanFault::Version);
        }
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'+');
        let is_name = (1..=RELEASE_BYTES_MAX).contains(&self.release.len()) && self.release.bytes().all(allowed);
        if is_name { Ok(()) } else { Err(PlanFault::Release) }
    }
}

impl UpgradeVote {
    /// `approve_upgrade`, `withdraw_upgrade`, `upgrade_ready` or `set_payout`, as lists of transactions show it.
    pub const fn kind(&self) -> &'static str {
        match self {
            UpgradeVote::Approve(_) => "approve_upgrade",
            UpgradeVote::Withdraw { .. } => "withdraw_upgrade",
            UpgradeVote::Ready { .. } => "upgrade_ready",
            UpgradeVote::Payout { .. } => "set_payout",
        }
    }
}

impl UpgradeBallot {
    /// Signs a ballot.
    pub fn sign(key: &ValidatorKey, chain_id: u64, number: u64, vote: UpgradeVote) -> UpgradeBallot {
        let (public_key, signature) = (key.public(), ValidatorSignature([0; 64]));
        let mut ballot = UpgradeBallot { chain_id, public_key, number, vote, signature };
        ballot.signature = key.sign(&ballot.sign_bytes());
        ballot
    }

    /// The validator's address.
    pub fn validator(&self) -> Address {
        self.public_key.address()
    }

    /// The bytes under the signature: the domain, then all fields but the signature, canonical.
    pub fn sign_bytes(&self) -> Vec<u8> {
        canonical::encode(&(BALLOT_DOMAIN, self.chain_id, self.public_key, self.number, &self.vote))
    }

    /// Checks the signature.
    pub fn verify(&self) -> Result<(), KeyError> {
        self.public_key.verify(&self.sign_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> UpgradePlan {
        UpgradePlan { version: 2, height: 100, release: "openmesh-2.0.0".to_string(), digest: Digest([7; 32]) }
    }

    #[test]
    fn a_plan_has_a_name_that_can_be_typed() {
        assert_eq!(plan().validate(), Ok(()));
        for release in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(UpgradePlan { release: release.to_string(), ..plan() }.validate(), Err(PlanFault::Release));
        }
        assert_eq!(UpgradePlan { version: 0, ..plan() }.validate(), Err(PlanFault::Version));
    }

    #[test]
    fn a_ballot_is_of_one_network_key_number_and_plan() {
        let key = ValidatorKey::from_seed([1; 32]);
        let ballot = UpgradeBallot::sign(&key, 7, 3, UpgradeVote::Approve(plan()));
        assert_eq!(ballot.verify(), Ok(()));
        let others = [
            UpgradeBallot { chain_id: 8, ..ballot.clone() },
            UpgradeBallot { number: 4, ..ballot.clone() },
            UpgradeBallot { public_key: ValidatorKey::from_seed([2; 32]).public(), ..ballot.clone() },
            UpgradeBallot { vote: UpgradeVote::Withdraw { height: 100, plan: plan().id() }, ..ballot.clone() },
        ];
        assert!(others.iter().all(|other| other.verify().is_err()));
        let later = UpgradePlan { height: 101, ..plan() };
        assert_ne!(later.id(), plan().id());
        let bytes = canonical::encode(&ballot);
        assert_eq!(canonical::decode::<UpgradeBallot>(&bytes).unwrap(), ballot);
    }
}
