//! The light client's check.

use openmesh_ledger::{
    Certificate, HEADER_VERSION, Header, Validator, ValidatorSet, VoteKind, light, light::LightError,
    light::ValidatorChange, precommit_sign_bytes, vote_sign_bytes,
};
use openmesh_primitives::{Address, Digest, Timestamp, ValidatorKey, VrfProof};

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
        beacon_proof: VrfProof([0; 80]),
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
    let future = Header { version: HEADER_VERSION + 1, ..header };
    assert_eq!(check(CHAIN, &future, &good), Err(LightError::Version(HEADER_VERSION + 1)));
}

#[test]
fn a_prevote_is_no_precommit() {
    let (hash, voter) = (Digest([1; 32]), Address([2; 20]));
    let precommit = precommit_sign_bytes(CHAIN, 5, 0, &hash, &voter);
    assert_ne!(vote_sign_bytes(CHAIN, VoteKind::Prevote, 5, 0, Some(&hash), &voter), precommit);
    assert_ne!(vote_sign_bytes(CHAIN, VoteKind::Precommit, 5, 0, None, &voter), precommit);
}

/// The change from one set to the next at a height, certified by the signers.
fn change(height: u64, from: &ValidatorSet, to: &ValidatorSet, signers: &[ValidatorKey]) -> ValidatorChange {
    let header = Header { height, next_validators_hash: to.hash(), ..header(from) };
    let certificate = certificate(&header, signers);
    ValidatorChange { header, certificate, validators: to.clone() }
}

#[test]
fn changes_of_validators_are_followed_one_by_one() {
    let keys = keys(9);
    let sets = [set(&keys[..4]), set(&keys[2..6]), set(&keys[5..9])];
    let first = change(10, &sets[0], &sets[1], &keys[..4]);
    let second = change(20, &sets[1], &sets[2], &keys[2..6]);
    let follow = |changes: &[ValidatorChange]| light::follow(CHAIN, &sets[0], changes);
    assert_eq!(follow(&[]), Ok(sets[0].clone()));
    assert_eq!(follow(std::slice::from_ref(&first)), Ok(sets[1].clone()));
    assert_eq!(follow(&[first.clone(), second.clone()]), Ok(sets[2].clone()));

    // A change left out: the next one names a set that is not trusted.
    assert!(matches!(follow(std::slice::from_ref(&second)), Err(LightError::Validators { .. })));
    // A set that was not announced.
    let other = ValidatorChange { validators: sets[2].clone(), ..first.clone() };
    assert!(matches!(follow(&[other]), Err(LightError::Announced { height: 10, .. })));
    // The new set can not vouch for itself, and two of the old one are not enough.
    let own = change(10, &sets[0], &sets[1], &keys[2..6]);
    assert!(matches!(follow(&[own]), Err(LightError::Stranger(_))));
    let few = change(10, &sets[0], &sets[1], &keys[..2]);
    assert_eq!(follow(&[few]), Err(LightError::Power { power: 2, total: 4 }));
    // Back in time.
    let early = change(10, &sets[1], &sets[2], &keys[2..6]);
    assert_eq!(follow(&[first, early]), Err(LightError::Order { height: 10, after: 10 }));
}

#[test]
fn one_third_of_the_trusted_set_may_vouch_for_a_set_far_ahead() {
    let keys = keys(9);
    let (trusted, near, far) = (set(&keys[..4]), set(&keys[2..6]), set(&keys[3..7]));
    let ahead = |deciding: &ValidatorSet, signers: &[ValidatorKey]| {
        let header = Header { height: 1_000, ..header(deciding) };
        let certificate = certificate(&header, signers);
        light::verify_skipping(CHAIN, &trusted, &header, &certificate, deciding)
    };
    assert_eq!(ahead(&near, &keys[2..6]), Ok(()), "two of four are known");
    assert_eq!(ahead(&far, &keys[3..7]), Err(LightError::Overlap { power: 1, total: 4 }));
    // Two of the trusted set stand in the new one, but only one of them signed.
    assert_eq!(ahead(&near, &keys[3..6]), Err(LightError::Overlap { power: 1, total: 4 }));
    // Enough who are trusted, too few of the set itself.
    assert_eq!(ahead(&near, &keys[2..4]), Err(LightError::Power { power: 2, total: 4 }));
    let header = Header { height: 1_000, ..header(&near) };
    let certificate = certificate(&header, &keys[2..6]);
    let other = light::verify_skipping(CHAIN, &trusted, &header, &certificate, &far);
    assert!(matches!(other, Err(LightError::Validators { .. })), "{other:?}");
}
