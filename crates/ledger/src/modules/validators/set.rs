//! Validators and their voting power.

use std::io::{Error, ErrorKind, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, ValidatorPublicKey, canonical, sha256};
use serde::{Deserialize, Serialize};

use super::limits::VALIDATORS_MAX;
use crate::limits::NAME_BYTES_MAX;

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Validator {
    /// First 20 bytes of the SHA-256 of the key.
    pub address: Address,
    /// Its key.
    pub public_key: ValidatorPublicKey,
    /// Its voting power, more than zero.
    pub power: u64,
    /// Name for people.
    pub name: String,
}

/// The validators in force, in ascending order of address; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Validator>", into = "Vec<Validator>")]
pub struct ValidatorSet(Vec<Validator>);

/// A fault of a list that is no set of validators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    /// Empty, or too long.
    #[error("{0} validators: 1 to {VALIDATORS_MAX} are expected")]
    Number(usize),
    /// Twice the same key.
    #[error("validator {0} stands twice in the list")]
    Twice(Address),
    /// The address is not that of the key.
    #[error("validator {0}: the address is not that of its key")]
    Address(Address),
    /// Power of zero.
    #[error("validator {0} has no power")]
    Power(Address),
    /// Three times the sum must fit in 64 bits, because that is how quorums are counted.
    #[error("the sum of powers is too large: three times the sum must fit in 64 bits")]
    TotalPower,
    /// Name too long.
    #[error("validator {0}: its name is longer than {NAME_BYTES_MAX} bytes")]
    Name(Address),
}

impl Validator {
    /// A validator; the address follows from the key.
    pub fn new(public_key: ValidatorPublicKey, power: u64, name: &str) -> Validator {
        Validator { address: public_key.address(), public_key, power, name: name.to_string() }
    }
}

impl ValidatorSet {
    /// Makes a set of a list, which it sorts. Fails if the list is empty, too long, or has a fault.
    pub fn new(mut validators: Vec<Validator>) -> Result<ValidatorSet, ValidatorSetError> {
        if validators.is_empty() || validators.len() > VALIDATORS_MAX {
            return Err(ValidatorSetError::Number(validators.len()));
        }
        validators.sort_by_key(|v| v.address);
        if let Some(pair) = validators.windows(2).find(|pair| pair[0].address == pair[1].address) {
            return Err(ValidatorSetError::Twice(pair[0].address));
        }
        for validator in &validators {
            if validator.public_key.address() != validator.address {
                return Err(ValidatorSetError::Address(validator.address));
            }
            if validator.power == 0 {
                return Err(ValidatorSetError::Power(validator.address));
            }
            if validator.name.len() > NAME_BYTES_MAX {
                return Err(ValidatorSetError::Name(validator.address));
            }
        }
        let total: u128 = validators.iter().map(|v| u128::from(v.power)).sum();
        if total * 3 > u128::from(u64::MAX) {
            return Err(ValidatorSetError::TotalPower);
        }
        Ok(ValidatorSet(validators))
    }

    /// The validators in ascending order of address.
    pub fn as_slice(&self) -> &[Validator] {
        &self.0
    }

    /// The validators in ascending order of address.
    pub fn iter(&self) -> std::slice::Iter<'_, Validator> {
        self.0.iter()
    }

    /// Number of validators.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a set without validators cannot be made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The validator of this address.
    pub fn get(&self, address: &Address) -> Option<&Validator> {
        self.0.binary_search_by_key(address, |v| v.address).ok().map(|at| &self.0[at])
    }

    /// Sum of powers; three times it fits in 64 bits.
    pub fn total_power(&self) -> u64 {
        self.0.iter().map(|v| v.power).sum()
    }

    /// Returns true if this power is more than two thirds of the total.
    pub fn is_quorum(&self, power: u64) -> bool {
        more_than_two_thirds(power, self.total_power())
    }

    /// SHA-256 of the canonical bytes; stands in headers.
    pub fn hash(&self) -> Digest {
        sha256(&[&canonical::encode(self)])
    }
}

/// The quorum rule of Tendermint: strictly more than two thirds.
/// Source: Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus", 2018, section 2 (n > 3f).
pub(crate) fn more_than_two_thirds(power: u64, total: u64) -> bool {
    u128::from(power) * 3 > u128::from(total) * 2
}

/// Strictly more than one third: among so much power at least one validator is honest.
pub(crate) fn more_than_one_third(power: u64, total: u64) -> bool {
    u128::from(power) * 3 > u128::from(total)
}

impl<'a> IntoIterator for &'a ValidatorSet {
    type Item = &'a Validator;
    type IntoIter = std::slice::Iter<'a, Validator>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl TryFrom<Vec<Validator>> for ValidatorSet {
    type Error = ValidatorSetError;
    fn try_from(validators: Vec<Validator>) -> Result<ValidatorSet, ValidatorSetError> {
        ValidatorSet::new(validators)
    }
}

impl From<ValidatorSet> for Vec<Validator> {
    fn from(set: ValidatorSet) -> Vec<Validator> {
        set.0
    }
}

impl BorshSerialize for ValidatorSet {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl BorshDeserialize for ValidatorSet {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<ValidatorSet> {
        let list = Vec::<Validator>::deserialize_reader(reader)?;
        let sorted = list.windows(2).all(|pair| pair[0].address < pair[1].address);
        if !sorted {
            return Err(Error::new(ErrorKind::InvalidData, "validators are not in ascending order of address"));
        }
        ValidatorSet::new(list).map_err(|e| Error::new(ErrorKind::InvalidData, e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::ValidatorKey;

    fn validator(seed: u8, power: u64) -> Validator {
        Validator::new(ValidatorKey::from_seed([seed; 32]).public(), power, "v")
    }

    #[test]
    fn refuses_what_is_no_set() {
        assert_eq!(ValidatorSet::new(vec![]), Err(ValidatorSetError::Number(0)));
        let one = validator(1, 1);
        assert_eq!(ValidatorSet::new(vec![one.clone(), one.clone()]), Err(ValidatorSetError::Twice(one.address)));
        assert_eq!(ValidatorSet::new(vec![validator(1, 0)]), Err(ValidatorSetError::Power(one.address)));
        assert_eq!(
            ValidatorSet::new(vec![validator(1, u64::MAX / 3), validator(2, 1)]),
            Err(ValidatorSetError::TotalPower)
        );
        let stolen = Validator { address: Address([9; 20]), ..one };
        assert_eq!(ValidatorSet::new(vec![stolen]), Err(ValidatorSetError::Address(Address([9; 20]))));
    }

    #[test]
    fn one_byte_form() {
        let set = ValidatorSet::new((1..5).map(|n| validator(n, u64::from(n))).collect()).unwrap();
        let bytes = canonical::encode(&set);
        assert_eq!(canonical::decode::<ValidatorSet>(&bytes).unwrap(), set);
        let mut reversed: Vec<Validator> = set.clone().into();
        reversed.reverse();
        assert!(canonical::decode::<ValidatorSet>(&canonical::encode(&reversed)).is_err());
        assert_eq!(set.total_power(), 10);
        assert!(set.is_quorum(7) && !set.is_quorum(6));
        assert!(set.iter().all(|v| set.get(&v.address) == Some(v)));
    }

    #[test]
    fn thirds_are_strict() {
        assert!(!more_than_two_thirds(2, 3) && more_than_two_thirds(3, 4));
        assert!(!more_than_one_third(1, 3) && more_than_one_third(2, 4) && !more_than_one_third(1, 4));
    }
}
