//! The form of evidence and the bytes under proposals.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height, KeyError, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

use crate::vote::{VoteKind, vote_sign_bytes};

const PROPOSAL_DOMAIN: &str = "openmesh/proposal/1";

/// The `source` of incidents about consensus; no data source can have this id.
pub const CONSENSUS: &str = "consensus";

/// One of two conflicting messages: what it names, and its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SignedBlock {
    /// The block, or nil for a vote.
    pub block: Option<Digest>,
    /// Of the validator.
    pub signature: ValidatorSignature,
}

/// The step of a round in which a validator spoke twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Two proposals; the rounds in which their blocks had a polka before, or -1.
    Proposal {
        /// Of the first.
        first_pol_round: i64,
        /// Of the second.
        second_pol_round: i64,
    },
    /// Two prevotes.
    Prevote,
    /// Two precommits.
    Precommit,
}

/// Proof that a validator signed two messages for different blocks in one step of a round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Evidence {
    /// The network's number.
    pub chain_id: u64,
    /// The validator.
    pub public_key: ValidatorPublicKey,
    /// Height that both messages are about.
    pub height: Height,
    /// Round that both messages are about.
    pub round: i64,
    /// Step that both messages are of.
    pub step: Step,
    /// The message with the lesser block (nil is least).
    pub first: SignedBlock,
    /// The message with the greater block.
    pub second: SignedBlock,
}

/// The bytes that a proposer signs to propose a block.
pub fn proposal_sign_bytes(
    chain_id: u64,
    height: Height,
    round: i64,
    block: &Digest,
    pol_round: i64,
    proposer: &Address,
) -> Vec<u8> {
    canonical::encode(&(PROPOSAL_DOMAIN, chain_id, height, round, block, pol_round, proposer))
}

impl Step {
    /// `proposal`, `prevote` or `precommit`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Proposal { .. } => "proposal",
            Step::Prevote => "prevote",
            Step::Precommit => "precommit",
        }
    }
}

impl Evidence {
    /// Puts the two messages into the only order that is allowed, so that a pair has one form.
    #[must_use]
    pub fn in_order(mut self) -> Evidence {
        if self.first.block > self.second.block {
            std::mem::swap(&mut self.first, &mut self.second);
            if let Step::Proposal { first_pol_round, second_pol_round } = &mut self.step {
                std::mem::swap(first_pol_round, second_pol_round);
            }
        }
        self
    }

    /// The accused validator.
    pub fn validator(&self) -> Address {
        self.public_key.address()
    }

    /// Verifies both signatures. Whether the messages conflict is asked by the rules.
    pub fn verify(&self) -> Result<(), KeyError> {
        for (second, message) in [(false, &self.first), (true, &self.second)] {
            let bytes = self.sign_bytes(second, message.block.as_ref()).ok_or(KeyError::Signature)?;
            self.public_key.verify(&bytes, &message.signature)?;
        }
        Ok(())
    }

    /// `None`: no such message can be signed.
    fn sign_bytes(&self, second: bool, block: Option<&Digest>) -> Option<Vec<u8>> {
        let (chain_id, height, round, validator) = (self.chain_id, self.height, self.round, self.validator());
        let vote = |kind| Some(vote_sign_bytes(chain_id, kind, height, round, block, &validator));
        match self.step {
            Step::Prevote => vote(VoteKind::Prevote),
            Step::Precommit => vote(VoteKind::Precommit),
            Step::Proposal { first_pol_round, second_pol_round } => {
                let pol_round = if second { second_pol_round } else { first_pol_round };
                Some(proposal_sign_bytes(chain_id, height, round, block?, pol_round, &validator))
            }
        }
    }
}
