//! Effects of evidence.

use openmesh_primitives::Digest;

use super::check::check;
use super::facts::EvidenceFact;
use super::keys;
use super::message::{CONSENSUS, Evidence, SignedBlock};
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::incidents::{IncidentKind, Subject, record};
use crate::modules::validators;

/// Records an equivocation: an incident with the validator's name, once for each validator and height.
pub(crate) fn apply(context: &mut Context<'_>, evidence: &Evidence, transaction: Digest) -> Result<(), CheckError> {
    check(&context.rules, &context.state, evidence)?;
    let validator = evidence.validator();
    context.state.put(keys::evidence(&validator, evidence.height), &transaction);
    validators::update(context, &validator, |record| record.equivocations += 1)?;
    context.fact(EvidenceFact { validator, height: evidence.height, transaction });
    let step = evidence.step.as_str();
    let named = |message: &SignedBlock| message.block.map_or_else(|| "nil".to_string(), |block| block.to_string());
    let detail = format!(
        "signed two {step}s in round {} of height {}: {} and {}",
        evidence.round,
        evidence.height,
        named(&evidence.first),
        named(&evidence.second)
    );
    let subject = Subject::window(CONSENSUS, evidence.height).stream(step).validator(validator);
    record(context, IncidentKind::Equivocation, subject, detail);
    Ok(())
}
