//! Heights of the newest blocks by their hashes. The store knows blocks by height alone.

use std::collections::{HashMap, VecDeque};

use openmesh_primitives::{Digest, Height};

/// Blocks remembered: most of a day of them, in about six MiB.
const HASHES_MAX: usize = 65_536;

/// Heights by hash.
#[derive(Debug, Default)]
pub struct Hashes {
    heights: HashMap<Digest, Height>,
    order: VecDeque<(Height, Digest)>,
}

/// The place of a block that was asked for by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// At this height.
    At(Height),
    /// Nowhere among all blocks that this node holds.
    Nowhere,
    /// Not among those from this height on, which are all whose hashes are remembered.
    NotSince(Height),
}

impl Hashes {
    /// Remembers a block; the oldest is forgotten where there are too many.
    pub fn remember(&mut self, height: Height, hash: Digest) {
        self.remember_within(height, hash, HASHES_MAX);
    }

    fn remember_within(&mut self, height: Height, hash: Digest, most: usize) {
        while self.order.len() >= most
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.heights.remove(&oldest);
        }
        if self.heights.insert(hash, height).is_none() {
            self.order.push_back((height, hash));
        }
    }

    /// The place of a block, where `oldest` is the height of the oldest one that this node holds.
    pub fn find(&self, hash: &Digest, oldest: Height) -> Found {
        match (self.heights.get(hash), self.order.front()) {
            (Some(height), _) => Found::At(*height),
            (None, Some((from, _))) if *from > oldest.max(1) => Found::NotSince(*from),
            (None, _) => Found::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::sha256;

    fn hash(height: Height) -> Digest {
        sha256(&[&height.to_be_bytes()])
    }

    #[test]
    fn the_oldest_are_forgotten_and_that_is_known() {
        let mut hashes = Hashes::default();
        assert_eq!(hashes.find(&hash(1), 0), Found::Nowhere);
        (1..=5).for_each(|height| hashes.remember_within(height, hash(height), 3));
        hashes.remember_within(5, hash(5), 9);
        assert_eq!(hashes.order.len(), 3);
        assert_eq!(hashes.find(&hash(5), 1), Found::At(5));
        assert_eq!(hashes.find(&hash(3), 1), Found::At(3));
        assert_eq!(hashes.find(&hash(2), 1), Found::NotSince(3), "it may be one of those");
        assert_eq!(hashes.find(&hash(2), 3), Found::Nowhere, "older ones are not held");
    }
}
