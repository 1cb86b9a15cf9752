//! Evidence: two messages of consensus that one validator must not both have signed. Clause V of
//! `docs/spec/transactions.md`.
//!
//! A transaction of its own class: it proves itself, so it needs no sender, pays no fee, and whoever saw the messages may
//! send it. Messages that differ only in the round they refer back to are not evidence: an honest proposer that restarts
//! may have learnt of another one meanwhile. What counts is another block in the same step.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height, KeyError, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

use crate::admit::Rules;
use crate::execute::Executor;
use crate::state::read;
use crate::{
    CheckError, EVIDENCE_AGE_BLOCKS_MAX, IncidentKind, StateRead, TransactionError, VoteKind, keys, validator_record,
    vote_sign_bytes,
};

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

    /// Whom it names.
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

impl Rules {
    /// Clause V.
    pub fn evidence(&self, state: &impl StateRead, evidence: &Evidence) -> Result<(), CheckError> {
        self.chain(evidence.chain_id)?;
        if evidence.first.block >= evidence.second.block {
            return Err(TransactionError::NoConflict.into());
        }
        let (height, next) = (evidence.height, self.height);
        if height >= next || next - height > EVIDENCE_AGE_BLOCKS_MAX {
            let from = next.saturating_sub(EVIDENCE_AGE_BLOCKS_MAX);
            return Err(TransactionError::EvidenceHeight { height, from, to: next.saturating_sub(1) }.into());
        }
        let validator = evidence.validator();
        if validator_record(state, &validator)?.is_none() {
            return Err(TransactionError::UnknownValidator { validator }.into());
        }
        if read::<Digest>(state, &keys::evidence(&validator, height))?.is_some() {
            return Err(TransactionError::DuplicateEvidence { validator, height }.into());
        }
        Ok(())
    }
}

impl<S: StateRead> Executor<S> {
    /// Records an equivocation: an incident with the validator's name, once for each validator and height.
    pub fn accuse(&mut self, evidence: &Evidence, transaction: Digest) -> Result<(), CheckError> {
        self.rules.evidence(&self.state, evidence)?;
        let validator = evidence.validator();
        self.state.put(keys::evidence(&validator, evidence.height), &transaction);
        self.update_validator(&validator, |record| record.equivocations += 1)?;
        let step = evidence.step.as_str();
        let named = |message: &SignedBlock| message.block.map_or_else(|| "nil".to_string(), |block| block.to_string());
        let detail = format!(
            "signed two {step}s in round {} of height {}: {} and {}",
            evidence.round,
            evidence.height,
            named(&evidence.first),
            named(&evidence.second)
        );
        self.incident(IncidentKind::Equivocation, CONSENSUS, evidence.height, Some(step), Some(validator), detail);
        Ok(())
    }
}
