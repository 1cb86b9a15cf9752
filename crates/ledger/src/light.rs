//! The check of a light client: a header that more than two thirds of a trusted set's power decided.
//!
//! Clause L of `docs/spec/transactions.md`. Whoever knows the validators of a height from elsewhere needs nothing but
//! the header and its certificate to trust the state root in it, and with it every proof against that root.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};

use crate::block::{Certificate, HEADER_VERSIONS, Header};
use crate::fact::FactProof;
use crate::modules::beacon::{beacon_input, next_beacon};
use crate::modules::epochs::ClosedEpoch;
use crate::modules::validators::ValidatorSet;
use crate::vote::precommit_sign_bytes;

/// A reason not to trust a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// Version of the header that this program does not know.
    #[error(
        "header version {0} is not one of those that this program reads, {HEADER_VERSIONS:?}: a newer release reads it"
    )]
    Version(u16),
    /// A header of another network.
    #[error("the header is of chain {got}, chain {expected} is trusted")]
    Chain {
        /// As trusted.
        expected: u64,
        /// In the header.
        got: u64,
    },
    /// The header was decided by another set.
    #[error("the header names the validator set {got}, the trusted set is {expected}")]
    Validators {
        /// Hash of the trusted set.
        expected: Digest,
        /// In the header.
        got: Digest,
    },
    /// The certificate is about another block.
    #[error("the certificate is of height {height} and block {block_hash}, not of this header")]
    OtherBlock {
        /// Of the certificate.
        height: Height,
        /// Of the certificate.
        block_hash: Digest,
    },
    /// Somebody signed who is not in the set.
    #[error("{0} signed but is not in the trusted set")]
    Stranger(Address),
    /// Somebody signed twice.
    #[error("{0} stands twice in the certificate")]
    Twice(Address),
    /// A signature that does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(Address),
    /// A change of validators at or below the height of the one before it.
    #[error("the change of validators at height {height} does not follow the one at height {after}")]
    Order {
        /// Of the change.
        height: Height,
        /// Of the change before it; 0 for the first one.
        after: Height,
    },
    /// A set of validators that is not the one that the header before it announces.
    #[error("the header of height {height} announces the validator set {expected}, the set given is {got}")]
    Announced {
        /// Of the header.
        height: Height,
        /// Hash in the header.
        expected: Digest,
        /// Hash of the set given.
        got: Digest,
    },
    /// Too few of those who are trusted signed a header of another set.
    #[error("power {power} of {total} of the trusted set signed: more than one third is needed to skip to another set")]
    Overlap {
        /// That signed, of the trusted set.
        power: u64,
        /// Of the trusted set.
        total: u64,
    },
    /// The header's proposer is not in the set that decided it.
    #[error("the header's proposer {0} is not in the set that decided it")]
    Proposer(Address),
    /// The header's part in the beacon does not hold.
    #[error("the beacon proof of height {0} is not one of its proposer for this beacon")]
    Beacon(Height),
    /// Not enough power.
    #[error("power {power} of {total} signed: more than two thirds are needed")]
    Power {
        /// That signed.
        power: u64,
        /// Of the set.
        total: u64,
    },
}

/// A reason not to trust a fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The path is not of the size of the epoch's tree.
    #[error("the path is of a tree of {got} facts, the epoch has {expected}")]
    Size {
        /// Of the closed epoch.
        expected: u64,
        /// In the path.
        got: u64,
    },
    /// The path does not lead from the fact to the epoch's root.
    #[error("the path does not lead from the fact to the root of epoch {epoch}")]
    Root {
        /// Number of the epoch.
        epoch: u64,
    },
}

/// Checks that a fact is one of a closed epoch's. The closed epoch is the value of [`crate::keys::closed_epoch`] of the
/// proof's epoch in a trusted state, which its own proof shows. Fails if the path is of another tree or fact.
pub fn verify_fact(closed: &ClosedEpoch, proof: &FactProof) -> Result<(), FactError> {
    if proof.path.size != closed.facts {
        return Err(FactError::Size { expected: closed.facts, got: proof.path.size });
    }
    match proof.path.root(proof.fact.leaf()) {
        Some(root) if root == closed.root => Ok(()),
        _ => Err(FactError::Root { epoch: proof.epoch }),
    }
}

/// Checks that more than two thirds of the trusted set's power precommitted to this header.
pub fn verify(
    chain_id: u64,
    trusted: &ValidatorSet,
    header: &Header,
    certificate: &Certificate,
) -> Result<(), LightError> {
    if !HEADER_VERSIONS.contains(&header.version) {
        return Err(LightError::Version(header.version));
    }
    if header.chain_id != chain_id {
        return Err(LightError::Chain { expected: chain_id, got: header.chain_id });
    }
    let expected = trusted.hash();
    if header.validators_hash != expected {
        return Err(LightError::Validators { expected, got: header.validators_hash });
    }
    verify_certificate(chain_id, trusted, header.height, &header.hash(), certificate)
}

/// Checks a header of a height far ahead, which another set decided: more than two thirds of that set signed it, and among them
/// more than one third of the trusted set's power, so that one honest validator of the trusted set stands behind it. Sound only as
/// long as the trusted set can be held to what it signs: within the trust period. Source: Braithwaite et al., "Tendermint light
/// client", skipping verification.
///
/// # Errors
/// [`LightError::Overlap`] where too few of the trusted set signed: try a nearer header. Else as [`verify`] with the header's set.
pub fn verify_skipping(
    chain_id: u64,
    trusted: &ValidatorSet,
    header: &Header,
    certificate: &Certificate,
    validators: &ValidatorSet,
) -> Result<(), LightError> {
    verify(chain_id, validators, header, certificate)?;
    // A validator's address is made from its key, so the same address is the same signer.
    let signed = certificate.signatures.iter().filter_map(|(address, _)| trusted.get(address));
    let power: u64 = signed.map(|validator| validator.power).sum();
    let total = trusted.total_power();
    if u128::from(power) * 3 > u128::from(total) { Ok(()) } else { Err(LightError::Overlap { power, total }) }
}

/// Takes the beacon's step of a header by itself: who follows all headers from a beacon that it trusts needs no state. `validators` decided
/// the header, `members` were in force when its epoch began: the output of another proposer is verified and not mixed in.
/// A single beacon is the value of [`crate::keys::BEACON`] in a trusted state. Returns the beacon after the header.
///
/// # Errors
/// [`LightError::Proposer`] or [`LightError::Beacon`] where the proof is not one of the header's proposer.
pub fn beacon_after(
    before: &Digest,
    header: &Header,
    validators: &ValidatorSet,
    members: &ValidatorSet,
) -> Result<Digest, LightError> {
    let proposer = validators.get(&header.proposer).ok_or(LightError::Proposer(header.proposer))?;
    let input = beacon_input(header.chain_id, header.height, before);
    let shown = proposer.public_key.vrf_verify(&input, &header.beacon_proof);
    let output = shown.map_err(|_| LightError::Beacon(header.height))?;
    Ok(if members.get(&header.proposer).is_some() { next_beacon(before, &output) } else { *before })
}

/// A change of the validator set: the header that announces it, and the set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorChange {
    /// Last header that the old set decides. Its `next_validators_hash` is that of [`ValidatorChange::validators`].
    pub header: Header,
    /// The old set's certificate of the header.
    pub certificate: Certificate,
    /// The set that decides the height after the header's.
    pub validators: ValidatorSet,
}

/// Follows changes of validators in ascending order of height from a trusted set to the one that is in force after the last
/// of them. Headers between two changes are not needed: the set is the same in all of them, and each header that is checked
/// names it.
///
/// Fails with the first change that is not certified by the set before it, whose set is not the announced one, or that is
/// out of order.
pub fn follow(chain_id: u64, trusted: &ValidatorSet, changes: &[ValidatorChange]) -> Result<ValidatorSet, LightError> {
    let (mut current, mut after) = (trusted, 0);
    for ValidatorChange { header, certificate, validators } in changes {
        if header.height <= after {
            return Err(LightError::Order { height: header.height, after });
        }
        verify(chain_id, current, header, certificate)?;
        let got = validators.hash();
        if got != header.next_validators_hash {
            return Err(LightError::Announced { height: header.height, expected: header.next_validators_hash, got });
        }
        (current, after) = (validators, header.height);
    }
    Ok(current.clone())
}

/// Checks that a certificate is of this height and block, and that more than two thirds of the set's power signed it.
pub fn verify_certificate(
    chain_id: u64,
    trusted: &ValidatorSet,
    height: Height,
    block_hash: &Digest,
    certificate: &Certificate,
) -> Result<(), LightError> {
    if certificate.height != height || certificate.block_hash != *block_hash {
        return Err(LightError::OtherBlock { height: certificate.height, block_hash: certificate.block_hash });
    }
    let mut seen = BTreeSet::new();
    let mut power = 0u64;
    for (address, signature) in &certificate.signatures {
        let validator = trusted.get(address).ok_or(LightError::Stranger(*address))?;
        if !seen.insert(*address) {
            return Err(LightError::Twice(*address));
        }
        let bytes = precommit_sign_bytes(chain_id, certificate.height, certificate.round, block_hash, address);
        validator.public_key.verify(&bytes, signature).map_err(|_| LightError::Signature(*address))?;
        // Each validator counts once, so the sum stays within the set's total.
        power += validator.power;
    }
    if !trusted.is_quorum(power) {
        return Err(LightError::Power { power, total: trusted.total_power() });
    }
    Ok(())
}
