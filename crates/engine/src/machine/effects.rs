//! Effects of Malachite's core, carried out at once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use async_trait::async_trait;
use malachite_app::consensus::{ConsensusMsg, Effect, Input as CoreInput, Resumable, Resume, VoteExtensionError};
use malachite_app::engine::host::SyncedValueOutcome;
use malachite_app::types::core::{Round, SignedMessage, ValidatorProof, ValueOrigin, VoteExtensionScope};
use malachite_signing::{Error, VerificationResult, Verifier, VerifierExt};
use openmesh_ledger::Certificate;
use openmesh_primitives::{ValidatorPublicKey, ValidatorSignature, sha256};

use super::environment::{Due, Environment, VerifiedBefore};
use super::wire;
use crate::consensus::context::Context;
use crate::consensus::evidence;
use crate::consensus::signing::{ChainVerifier, proposal_bytes, vote_bytes};
use crate::consensus::types::{Height, Proposal, Vote};
use crate::error::EngineError;
use crate::host::ours;
use crate::host::state::{Input as HostInput, Restream};

/// A verifier that remembers.
struct Remembering {
    inner: ChainVerifier,
    before: VerifiedBefore,
}

impl Remembering {
    fn verify(&self, key: &ValidatorPublicKey, bytes: &[u8], signature: &ValidatorSignature) -> VerificationResult {
        let name = sha256(&[&key.0, &signature.0, bytes]).0;
        let mut before = self.before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let valid = *before.entry(name).or_insert_with(|| key.verify(bytes, signature).is_ok());
        VerificationResult::from_bool(valid)
    }
}

#[async_trait]
impl Verifier<Context> for Remembering {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &ValidatorSignature,
        key: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(self.verify(key, &vote_bytes(self.inner.chain_id, vote), signature))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &ValidatorSignature,
        key: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(self.verify(key, &proposal_bytes(self.inner.chain_id, proposal), signature))
    }

    async fn verify_signed_vote_extension(
        &self,
        scope: &VoteExtensionScope<Context>,
        extension: &(),
        signature: &ValidatorSignature,
        key: &ValidatorPublicKey,
    ) -> Result<VerificationResult, Error> {
        self.inner.verify_signed_vote_extension(scope, extension, signature, key).await
    }

    async fn verify_validator_proof(&self, proof: &ValidatorProof<Context>) -> Result<VerificationResult, Error> {
        self.inner.verify_validator_proof(proof).await
    }
}

/// The result of a future that has nothing to wait for: signatures are verified in place.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Environment {
    fn verifier(&self) -> Remembering {
        let inner = ChainVerifier { chain_id: self.chain_id };
        Remembering { inner, before: self.config.verified.clone() }
    }

    fn verify_signature(
        &self,
        message: &SignedMessage<Context, ConsensusMsg<Context>>,
        key: &ValidatorPublicKey,
    ) -> bool {
        let verifier = self.verifier();
        let verified = match &message.message {
            ConsensusMsg::Vote(vote) => at_once(verifier.verify_signed_vote(vote, &message.signature, key)),
            ConsensusMsg::Proposal(p) => at_once(verifier.verify_signed_proposal(p, &message.signature, key)),
        };
        matches!(verified, Some(Ok(result)) if result.is_valid())
    }

    /// After a failure nothing is done any more; the run ends as soon as the algorithm returns.
    pub(super) fn carry_out(&mut self, effect: Effect<Context>) -> Resume<Context> {
        match effect {
            Effect::CancelAllTimeouts(r) => {
                self.timers.retain(|_, due| matches!(due, Due::Host));
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.timers.retain(|_, due| !matches!(due, Due::Core(other) if *other == timeout));
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                let after = self.timeouts().duration_for(timeout);
                self.timer(Due::Core(timeout), after);
                r.resume_with(())
            }
            Effect::StartRound(height, round, _, _, r) => {
                self.sync_log();
                self.step(HostInput::StartedRound { height, round });
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => {
                let signature = self.config.key.sign(&vote_bytes(self.chain_id, &vote));
                r.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(proposal, r) => {
                let signature = self.config.key.sign(&proposal_bytes(self.chain_id, &proposal));
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            Effect::VerifySignature(message, key, r) => r.resume_with(self.verify_signature(&message, &key)),
            Effect::PublishConsensusMsg(message, r) => {
                self.sync_log();
                self.publish(wire::consensus(&message));
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                self.publish(wire::liveness(&message));
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.publish(wire::liveness(&malachite_app::consensus::LivenessMsg::Vote(vote)));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                let message = malachite_app::consensus::LivenessMsg::SkipRoundCertificate(certificate);
                self.publish(wire::liveness(&message));
                r.resume_with(())
            }
            Effect::GetValue(height, round, _, r) => {
                self.build(height, round);
                r.resume_with(())
            }
            Effect::RestreamProposal(height, round, valid_round, _, id, r) => {
                self.step(HostInput::Restream(Restream { height, round, valid_round, id }));
                r.resume_with(())
            }
            Effect::WalAppend(height, entry, r) => {
                self.append(height, entry);
                r.resume_with(())
            }
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => {
                r.resume_with(Err(VoteExtensionError::InvalidVoteExtension))
            }
            decision => self.carry_out_decision(decision),
        }
    }

    fn carry_out_decision(&mut self, effect: Effect<Context>) -> Resume<Context> {
        let verifier = self.verifier();
        // `None` cannot be, since nothing waits; then the certificate would count as fine although nobody looked.
        macro_rules! verified {
            ($future:expr) => {
                match at_once($future) {
                    Some(result) => result,
                    None => {
                        self.failure.get_or_insert(EngineError::Liveness);
                        Ok(())
                    }
                }
            };
        }
        match effect {
            Effect::VerifyCommitCertificate(certificate, set, thresholds, r) => {
                r.resume_with(verified!(verifier.verify_commit_certificate(&Context, &certificate, &set, thresholds)))
            }
            Effect::VerifyExtendedCommitCertificate(certificate, set, thresholds, policy, r) => {
                r.resume_with(verified!(verifier.verify_extended_commit_certificate(
                    &Context,
                    &certificate,
                    &set,
                    thresholds,
                    policy
                )))
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, r) => {
                r.resume_with(verified!(verifier.verify_polka_certificate(&Context, &certificate, &set, thresholds)))
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, r) => {
                r.resume_with(verified!(verifier.verify_round_certificate(&Context, &certificate, &set, thresholds)))
            }
            Effect::Decide(certificate, _, r) => {
                self.decide(ours(&certificate));
                r.resume_with(())
            }
            Effect::Finalize(certificate, _, seen, r) => {
                self.chain.finalized(ours(&certificate));
                let mut seen_here = Vec::new();
                if !seen.is_empty() {
                    let set = self.store.validators_at(certificate.height.0).map_err(EngineError::from);
                    if let Some(set) = self.check(set) {
                        seen_here = evidence::gather(self.chain_id, &set, &seen);
                    }
                }
                self.step(HostInput::Finalized { height: certificate.height, evidence: seen_here });
                r.resume_with(())
            }
            Effect::CertVerifiedSyncValue(response, _, r) => {
                let (height, round) = (response.certificate.height, response.certificate.round);
                let adopted = self.chain.adopt(height.0, &response.value_bytes);
                if let Some(adopted) = self.check(adopted) {
                    self.step(HostInput::Adopted { height, round, adopted });
                }
                if let Some(SyncedValueOutcome::Verdict(value)) = self.sync_outcome.take()
                    && value.value == response.certificate.value_id
                {
                    self.queue.push_back(CoreInput::ProposedValue(value, ValueOrigin::Sync));
                }
                r.resume_with(())
            }
            Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            // Everything else was carried out by the caller.
            _ => Resume::Continue,
        }
    }

    /// The log is on the disk before the block is.
    fn decide(&mut self, certificate: Certificate) {
        self.sync_log();
        if self.failure.is_some() {
            return;
        }
        let committed = self.chain.commit(certificate);
        if let Some(block) = self.check(committed) {
            self.committed(block);
        }
    }

    fn append(&mut self, height: Height, entry: CoreInput<Context>) {
        if !self.replaying {
            self.disk.log(|log| {
                if log.height == height.0 {
                    log.entries.push(entry);
                }
            });
        }
    }

    fn sync_log(&mut self) {
        if self.failure.is_none() {
            self.disk.log(|log| log.synced = log.entries.len());
        }
    }

    fn build(&mut self, height: Height, round: Round) {
        let built = self.chain.build(height.0, round.as_i64(), self.now);
        if let Some(built) = self.check(built) {
            self.step(HostInput::Built { height, round, built });
        }
    }
}
