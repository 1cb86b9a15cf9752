//! Validators.

use openmesh_api as api;
use openmesh_ledger::{Validator, ValidatorRecord};

use crate::memory::Signatures;

/// A validator.
pub fn info(
    validator: &Validator,
    total_power: u64,
    record: Option<&ValidatorRecord>,
    signatures: Signatures,
) -> api::ValidatorInfo {
    api::ValidatorInfo {
        address: validator.address.to_string(),
        public_key: validator.public_key.to_string(),
        name: validator.name.clone(),
        power: validator.power,
        share: validator.power as f64 / total_power.max(1) as f64,
        proposed: signatures.proposed,
        signed_recent: signatures.signed,
        recent: signatures.recent,
        last_signed_height: signatures.last,
        attested: record.map_or(0, |r| r.attested),
        differing: record.map_or(0, |r| r.differing),
        missing: record.map_or(0, |r| r.missing),
        unopened: record.map_or(0, |r| r.unopened),
        copied: record.map_or(0, |r| r.copied),
    }
}
