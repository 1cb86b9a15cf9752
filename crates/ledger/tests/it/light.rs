//! The light client's check.

use openmesh_ledger::{
    Certificate, HEADER_VERSION, Header, Validator, ValidatorSet, VoteKind, light, light::LightError,
    precommit_sign_bytes, vote_sign_bytes,
};
use openmesh_primitives::{Address, Digest, Timestamp, ValidatorKey};

const CHAIN: u64 = 7117;

fn keys(count: u8) -> Vec<ValidatorKey> {
    (1..=count).map(|n| ValidatorKey::from_seed([n; 32])).collect()
}

fn set(keys: &[ValidatorKey]) -> ValidatorSet {
    ValidatorSet::new(keys.iter().map(|k| Validator::new(k.public(), 1, "v")).collect()).unwrap()
}

fn header(set: &ValidatorSet) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: CHAIN,
        height: 5,
        time: Timestamp(1),
        parent: Digest([1; 32]),
        state_root: Digest([2; 32]),
        transactions_root: Digest([3; 32]),
        last_commit_hash: Digest([5; 32]),
        proposer: Address([4; 20]),
        validators_hash: set.hash(),
        next_validators_hash: set.hash(),
    }
}

fn certificate(header: &Header, signers: &[ValidatorKey]) -> Certificate {
    let hash = header.hash();
    let sign = |key: &ValidatorKey| {
        let address = key.public().address();
        (address, key.sign(&precommit_sign_bytes(CHAIN, header.height, 0, &hash, &address)))
    };
    Certificate { height: header.height, round: 0, block_hash: hash, signatures: signers.iter().map(sign).collect() }
}

#[test]
fn three_of_four_are_enough_and_two_are_not() {
    let keys = keys(4);
    let set = set(&keys);
    let header = header(&set);
    assert_eq!(light::verify(CHAIN, &set, &header, &certificate(&header, &keys[..3])), Ok(()));
    let two = certificate(&header, &keys[..2]);
    assert_eq!(light::verify(CHAIN, &set, &header, &two), Err(LightError::Power { power: 2, total: 4 }));
}

#[test]
fn everything_that_is_wrong_has_its_own_error() {
    let keys = keys(5);
    let set_of_four = set(&keys[..4]);
    let header = header(&set_of_four);
    let good = certificate(&header, &keys[..4]);
    let check =
        |chain, header: &Header, certificate: &Certificate| light::verify(chain, &set_of_four, header, certificate);
    assert_eq!(check(1, &header, &good), Err(LightError::Chain { expected: 1, got: CHAIN }));
    let altered = Header { state_root: Digest([9; 32]), ..header.clone() };
    assert!(matches!(check(CHAIN, &altered, &good), Err(LightError::OtherBlock { .. })));
    let relabelled = Certificate { block_hash: altered.hash(), ..good.clone() };
    assert!(matches!(check(CHAIN, &altered, &relabelled), Err(LightError::Signature(_))));
    let other_round = Certificate { round: 1, ..good.clone() };
    assert!(matches!(check(CHAIN, &header, &other_round), Err(LightError::Signature(_))));
    let mut twice = good.clone();
    twice.signatures[1] = twice.signatures[0];
    assert!(matches!(check(CHAIN, &header, &twice), Err(LightError::Twice(_))));
    let stranger = certificate(&header, &keys);
    assert!(matches!(check(CHAIN, &header, &stranger), Err(LightError::Stranger(_))));
    let other_set = set(&keys);
    assert!(matches!(light::verify(CHAIN, &other_set, &header, &good), Err(LightError::Validators { .. })));
    let future = Header { version: 3, ..header };
    assert_eq!(check(CHAIN, &future, &good), Err(LightError::Version(3)));
}

#[test]
fn a_prevote_is_no_precommit() {
    let (hash, voter) = (Digest([1; 32]), Address([2; 20]));
    let precommit = precommit_sign_bytes(CHAIN, 5, 0, &hash, &voter);
    assert_ne!(vote_sign_bytes(CHAIN, VoteKind::Prevote, 5, 0, Some(&hash), &voter), precommit);
    assert_ne!(vote_sign_bytes(CHAIN, VoteKind::Precommit, 5, 0, None, &voter), precommit);
}
