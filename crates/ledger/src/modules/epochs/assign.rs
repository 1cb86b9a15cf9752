//! The draw of validators for sources: k of n for each source and epoch, by a seed that nobody knew when the sources of the
//! epoch got their names.
//!
//! Clause E of `docs/spec/transactions.md`. The draw is without replacement and weighted by power: the chance that
//! liars are more than two thirds of those assigned depends on their power alone, so that splitting one validator into
//! many small ones gains nothing. All arithmetic is on integers.
//!
//! The draw of an epoch is made early in the epoch before, so that collectors connect first. The seed is made of the beacon (clause R):
//! nobody chooses it, and whoever has the last word can only keep silent.

use openmesh_primitives::{Digest, sha256};

use super::keys;
use super::records::{EpochRecord, epoch};
use crate::modules::validators::Validator;
use crate::params::params;
use crate::state::{StateError, StateRead, readable};

/// The seed of an epoch from the beacon before the block with which its draw is made.
pub fn epoch_seed(beacon: &Digest, epoch: u64) -> Digest {
    sha256(&[b"openmesh/epoch/2", &beacon.0, &epoch.to_be_bytes()])
}

/// The seed of an epoch's turns from the beacon before its first block: later than the last moment at which anybody can join it.
pub fn turns_seed(beacon: &Digest) -> Digest {
    sha256(&[b"openmesh/turns/1", &beacon.0])
}

/// Draws k validators, in ascending order of address. All of them, if there are no more than k.
pub fn assign(record: &EpochRecord, source: &str, k: u32) -> Vec<Validator> {
    let mut urn: Vec<&Validator> = record.validators.iter().collect();
    let mut left = record.validators.total_power();
    let mut drawn = Vec::new();
    while !urn.is_empty() && drawn.len() < k as usize {
        let ticket = ticket(&record.seed, source, drawn.len() as u64, left);
        let mut passed = 0u64;
        // The tickets of the validators in the urn follow each other; the last one takes what is left.
        let at = urn.iter().position(|v| {
            passed += v.power;
            ticket < passed
        });
        let winner = urn.remove(at.unwrap_or(urn.len() - 1));
        left -= winner.power;
        drawn.push(winner.clone());
    }
    drawn.sort_by_key(|v| v.address);
    drawn
}

/// A number below `range` (not 0). 128 bits of hash modulo at most 64 bits: the bias is below 2^-64.
fn ticket(seed: &Digest, source: &str, draw: u64, range: u64) -> u64 {
    let hash = sha256(&[b"openmesh/assign/1", &seed.0, &draw.to_be_bytes(), source.as_bytes()]);
    let mut wide = [0; 16];
    wide.copy_from_slice(&hash.0[..16]);
    (u128::from_be_bytes(wide) % u128::from(range)) as u64
}

/// The validators assigned to a source in an epoch whose record is still kept.
pub fn assigned(state: &dyn StateRead, source: &str, number: u64) -> Result<Vec<Validator>, StateError> {
    let record = epoch(state, number)?.ok_or_else(|| StateError::Absent(readable(&keys::epoch(number))))?;
    Ok(assign(&record, source, params(state)?.sources.assigned_per_source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::validators::ValidatorSet;
    use openmesh_primitives::ValidatorKey;

    fn record(powers: &[u64], seed: u8) -> EpochRecord {
        let of = |(n, power): (usize, &u64)| {
            Validator::new(ValidatorKey::from_seed([n as u8 + 1; 32]).public(), *power, &format!("v{n}"))
        };
        let validators = ValidatorSet::new(powers.iter().enumerate().map(of).collect()).unwrap();
        EpochRecord { seed: Digest([seed; 32]), drawn_height: 1, validators }
    }

    fn names(drawn: &[Validator]) -> Vec<&str> {
        drawn.iter().map(|v| v.name.as_str()).collect()
    }

    #[test]
    fn all_where_there_are_no_more_than_k() {
        let record = record(&[1, 2, 3], 7);
        assert_eq!(assign(&record, "kraken", 3), record.validators.as_slice());
        assert_eq!(assign(&record, "kraken", 99), record.validators.as_slice());
    }

    #[test]
    fn share_of_draws_follows_power() {
        let mut drawn = 0;
        for seed in 0..=255 {
            let record = record(&[90, 10, 10, 10], seed);
            drawn += usize::from(names(&assign(&record, "kraken", 1)) == ["v0"]);
        }
        // 256 draws with probability 3/4: 192 expected, standard deviation 6.9.
        assert!((160..=224).contains(&drawn), "{drawn}");
    }
}
