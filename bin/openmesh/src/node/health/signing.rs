//! Signatures of this node's key among the last blocks that it had to sign: pure.

use std::collections::VecDeque;

use openmesh_ledger::{Certificate, Header};
use openmesh_primitives::{Address, Digest, Height};

/// Blocks that are looked back at.
pub const BLOCKS: usize = 100;
/// Newest of them of which one has to be missed for a validator to miss blocks now: one that came back has signed these.
const LATE_BLOCKS: usize = 20;
/// Newest of them of which one has to be signed for a validator to sign now: a commit may be without a signature that came late.
const NOW_BLOCKS: usize = 4;

/// Memory of the last blocks.
#[derive(Debug)]
pub struct Signing {
    own: Address,
    /// Heights that it had to sign, and whether it did, the oldest first.
    seen: VecDeque<(Height, bool)>,
    /// Height of the last header, and whether the set that decided it has the key.
    last: Option<(Height, bool)>,
    /// The set that was asked for last, by its hash.
    set: Option<(Digest, bool)>,
    /// Height up to which blocks are from before this run of the node.
    begun: Height,
}

/// Sums over that memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Number of blocks.
    pub recent: u64,
    /// Blocks without the signature.
    pub missed: u64,
    /// Newest height with it.
    pub last: Option<Height>,
    /// One of the newest has it, of those since this run of the node began.
    pub signs: bool,
    /// One of the last twenty does not have it.
    pub misses_now: bool,
}

impl Signing {
    /// A memory of nothing.
    pub fn new(own: Address) -> Signing {
        Signing { own, seen: VecDeque::new(), last: None, set: None, begun: 0 }
    }

    /// Notes that what was taken in so far is from before this run of the node: it says nothing about whether it signs now.
    pub fn begin(&mut self) {
        self.begun = self.last.map_or(0, |(height, _)| height);
    }

    /// Takes in the next block: its commit says who signed its parent. `is_member` tells whether the set that decides the block has the key, and
    /// is asked where the set is another one than before.
    pub fn block<E>(
        &mut self,
        header: &Header,
        commit: Option<&Certificate>,
        is_member: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        if self.last.is_some_and(|(height, _)| header.height <= height) {
            return Ok(());
        }
        if let (Some(commit), Some((height, true))) = (commit, self.last)
            && commit.height == height
        {
            let signed = commit.signatures.iter().any(|(address, _)| *address == self.own);
            self.seen.push_back((height, signed));
            while self.seen.len() > BLOCKS {
                self.seen.pop_front();
            }
        }
        let member = match self.set {
            Some((hash, member)) if hash == header.validators_hash => member,
            _ => is_member()?,
        };
        self.set = Some((header.validators_hash, member));
        self.last = Some((header.height, member));
        if !member {
            self.seen.clear();
        }
        Ok(())
    }

    /// The sums.
    pub fn signed(&self) -> Signed {
        let newest = |count: usize| self.seen.iter().rev().take(count);
        Signed {
            recent: self.seen.len() as u64,
            missed: self.seen.iter().filter(|(_, signed)| !signed).count() as u64,
            last: newest(BLOCKS).find(|(_, signed)| *signed).map(|(height, _)| *height),
            signs: newest(NOW_BLOCKS).any(|(height, signed)| *signed && *height > self.begun),
            misses_now: newest(LATE_BLOCKS).any(|(_, signed)| !signed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use openmesh_primitives::{Timestamp, ValidatorSignature};

    use super::*;

    const OWN: Address = Address([1; 20]);

    fn header(height: Height, set: u8) -> Header {
        Header {
            version: openmesh_ledger::HEADER_VERSION,
            chain_id: 1,
            height,
            time: Timestamp(0),
            parent: Digest::default(),
            state_root: Digest::default(),
            transactions_root: Digest::default(),
            last_commit_hash: Digest::default(),
            proposer: OWN,
            validators_hash: Digest([set; 32]),
            next_validators_hash: Digest([set; 32]),
            beacon_proof: openmesh_primitives::VrfProof([0; 80]),
        }
    }

    fn commit(height: Height, signed: bool) -> Certificate {
        let signer = if signed { OWN } else { Address([2; 20]) };
        let signatures = vec![(signer, ValidatorSignature([0; 64]))];
        Certificate { height, round: 0, block_hash: Digest::default(), signatures }
    }

    /// Blocks from 1 on; each entry says whether the parent's commit has the signature.
    fn after(signed: &[bool]) -> Signing {
        let mut signing = Signing::new(OWN);
        for (index, signed) in signed.iter().enumerate() {
            let height = index as Height + 1;
            signing
                .block(&header(height, 1), Some(&commit(height - 1, *signed)), || Ok::<_, Infallible>(true))
                .unwrap();
        }
        signing
    }

    #[test]
    fn blocks_without_the_signature_are_counted_over_the_last_hundred() {
        // The first block's commit is of no block that was seen.
        assert_eq!(after(&[true]).signed(), Signed::default());
        let some = after(&[true, true, false, true]).signed();
        assert_eq!((some.recent, some.missed, some.last), (3, 1, Some(3)));
        assert!(some.signs && some.misses_now);
        let mut many = vec![false; 150];
        many.extend([true; 30]);
        let back = after(&many).signed();
        assert_eq!((back.recent, back.missed), (100, 70));
        assert!(back.signs && !back.misses_now, "it came back");
        let away = after(&[true; 150].into_iter().chain([false; 4]).collect::<Vec<_>>()).signed();
        assert!(!away.signs && away.misses_now && away.last == Some(149));
    }

    #[test]
    fn signatures_of_before_do_not_say_that_it_signs() {
        let mut signing = after(&[true; 10]);
        signing.begin();
        assert!(!signing.signed().signs && signing.signed().missed == 0);
        let mut add = |height, signed| {
            signing.block(&header(height, 1), Some(&commit(height - 1, signed)), || Ok::<_, Infallible>(true)).unwrap();
            signing.signed().signs
        };
        // The commit of the last block of before, then those of new ones.
        assert_eq!([add(11, true), add(12, false), add(13, true)], [false, false, true]);
    }

    #[test]
    fn only_blocks_that_it_had_to_sign_count() {
        let mut signing = Signing::new(OWN);
        let mut asked = 0;
        for height in 1..=10 {
            let set = if height <= 5 { 1 } else { 2 };
            let member = || {
                asked += 1;
                Ok::<_, Infallible>(set == 2)
            };
            signing.block(&header(height, set), Some(&commit(height - 1, true)), member).unwrap();
        }
        assert_eq!((asked, signing.signed().recent), (2, 4), "6 to 9");
        // A block that comes twice, and one behind a gap.
        let never = || -> Result<bool, Infallible> { panic!("the set is known") };
        signing.block(&header(10, 2), Some(&commit(9, false)), never).unwrap();
        signing.block(&header(20, 2), Some(&commit(19, false)), never).unwrap();
        assert_eq!((signing.signed().recent, signing.signed().missed), (4, 0));
        // It leaves the set.
        signing.block(&header(21, 3), Some(&commit(20, true)), || Ok::<_, Infallible>(false)).unwrap();
        assert_eq!(signing.signed(), Signed::default());
    }
}
