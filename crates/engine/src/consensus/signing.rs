//! Signatures of consensus messages: ed25519 under the rules of ZIP-215, through the keys of `primitives`.
//!
//! Every kind of message has a domain of its own in front, and the chain's number, so that no signature means anything
//! elsewhere. Votes sign exactly [`openmesh_ledger::vote_sign_bytes`], which is what light clients check.

use async_trait::async_trait;
use malachite_app::types::core::{
    NilOrVal, SignedExtension, SignedMessage, ValidatorProof, VoteExtensionScope, VoteType,
};
use malachite_signing::{Error, Signer, VerificationResult, Verifier};
use openmesh_ledger::{VoteKind, proposal_sign_bytes, vote_sign_bytes};
use openmesh_primitives::{ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};

use super::context::Context;
use super::types::{Init, Proposal, Vote};

const PARTS_DOMAIN: &str = "openmesh/parts/1";

/// Bytes that a vote signs.
pub(crate) fn vote_bytes(chain_id: u64, vote: &Vote) -> Vec<u8> {
    let kind = match vote.kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    };
    let block = match &vote.value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(&id.0),
    };
    vote_sign_bytes(chain_id, kind, vote.height.0, vote.round.as_i64(), block, &vote.validator.0)
}

/// Bytes that a proposal signs.
pub(crate) fn proposal_bytes(chain_id: u64, p: &Proposal) -> Vec<u8> {
    let (round, pol_round) = (p.round.as_i64(), p.pol_round.as_i64());
    proposal_sign_bytes(chain_id, p.height.0, round, &p.value.0, pol_round, &p.proposer.0)
}

/// Bytes that the first part of a stream signs: everything in it but the signature.
pub(crate) fn init_bytes(chain_id: u64, init: &Init) -> Vec<u8> {
    let (round, pol_round) = (init.round.as_i64(), init.pol_round.as_i64());
    let rest = (init.streamer, init.bytes, init.digest);
    canonical::encode(&(PARTS_DOMAIN, chain_id, init.height, round, pol_round, rest))
}

/// Checks signatures; every node has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainVerifier {
    pub(crate) chain_id: u64,
}

/// Signs with the validator's key, which is in this process.
#[derive(Clone, Debug)]
pub(crate) struct ChainSigner {
    pub(crate) chain_id: u64,
    pub(crate) key: ValidatorKey,
}

fn verified(key: &ValidatorPublicKey, bytes: &[u8], signature: &ValidatorSignature) -> VerificationResult {
    VerificationResult::from_bool(key.verify(bytes, signature).is_ok())
}

#[async_trait]
impl Verifier<Context> for ChainVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &ValidatorSignature,
        key: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(verified(key, &vote_bytes(self.chain_id, vote), signature))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &ValidatorSignature,
        key: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(verified(key, &proposal_bytes(self.chain_id, proposal), signature))
    }

    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Context>,
        (): &(),
        _: &ValidatorSignature,
        _: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        // There are none; one that comes nevertheless is refused.
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(&self, proof: &ValidatorProof<Context>) -> Result<VerificationResult, Error> {
        let Ok(key) = proof.decoded_public_key() else { return Ok(VerificationResult::Invalid) };
        Ok(verified(&key, &proof.preimage(), &proof.signature))
    }
}

#[async_trait]
impl Signer<Context> for ChainSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        let signature = self.key.sign(&vote_bytes(self.chain_id, &vote));
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(&self, proposal: Proposal) -> Result<SignedMessage<Context, Proposal>, Error> {
        let signature = self.key.sign(&proposal_bytes(self.chain_id, &proposal));
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<Context>,
        (): (),
    ) -> Result<SignedExtension<Context>, Error> {
        Err(Error::from_source("vote extensions are not used on this chain"))
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Context>, Error> {
        let signature = self.key.sign(&ValidatorProof::<Context>::signing_bytes(&public_key, &peer_id));
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}

#[cfg(test)]
mod tests {
    use malachite_app::types::core::Round;
    use openmesh_ledger::precommit_sign_bytes;
    use openmesh_primitives::sha256;

    use super::super::types::{Address, BlockId, Height};
    use super::*;

    #[test]
    fn precommits_sign_what_light_clients_check() {
        let key = ValidatorKey::from_seed([3; 32]);
        let (address, block) = (key.public().address(), sha256(&[b"block"]));
        let vote = Vote {
            kind: VoteType::Precommit,
            height: Height(9),
            round: Round::new(2),
            value: NilOrVal::Val(BlockId(block)),
            validator: Address(address),
        };
        assert_eq!(vote_bytes(7, &vote), precommit_sign_bytes(7, 9, 2, &block, &address));
        let nil = Vote { value: NilOrVal::Nil, ..vote.clone() };
        let prevote = Vote { kind: VoteType::Prevote, ..vote.clone() };
        assert!(vote_bytes(7, &nil) != vote_bytes(7, &vote) && vote_bytes(7, &prevote) != vote_bytes(7, &vote));
        assert_ne!(vote_bytes(8, &vote), vote_bytes(7, &vote));
    }
}
