//! Check of evidence.

use openmesh_primitives::Digest;

use super::error::EvidenceError;
use super::keys;
use super::limits::EVIDENCE_AGE_BLOCKS_MAX;
use super::message::Evidence;
use crate::error::CheckError;
use crate::modules::validators::validator_record;
use crate::rules::Rules;
use crate::state::{StateRead, read};

/// Clause V: checks evidence whose signatures were verified.
pub(crate) fn check(rules: &Rules, state: &dyn StateRead, evidence: &Evidence) -> Result<(), CheckError> {
    rules.chain(evidence.chain_id)?;
    if evidence.first.block >= evidence.second.block {
        return Err(EvidenceError::NoConflict.into());
    }
    let (height, next) = (evidence.height, rules.height);
    if height >= next || next - height > EVIDENCE_AGE_BLOCKS_MAX {
        let from = next.saturating_sub(EVIDENCE_AGE_BLOCKS_MAX);
        return Err(EvidenceError::EvidenceHeight { height, from, to: next.saturating_sub(1) }.into());
    }
    let validator = evidence.validator();
    if validator_record(state, &validator)?.is_none() {
        return Err(EvidenceError::UnknownValidator { validator }.into());
    }
    if read::<Digest>(state, &keys::evidence(&validator, height))?.is_some() {
        return Err(EvidenceError::DuplicateEvidence { validator, height }.into());
    }
    Ok(())
}
