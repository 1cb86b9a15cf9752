//! The way of a light client, from what is trusted to a snapshot's header.
//!
//! From the genesis every change of the validator set is followed, each certified by the set before it: cheap, because heights
//! without a change need no header, and whole, so that this node can show the way to later ones. From a block that a person trusts the
//! walk skips ahead wherever more than a third of the trusted power has signed there too.

use borsh::BorshDeserialize;
use openmesh_ledger::light::{self, LightError, ValidatorChange};
use openmesh_ledger::{Genesis, ValidatorSet, commit_hash, transactions_root};
use openmesh_primitives::{Digest, Height, Timestamp};

use crate::error::{Fault, JoinError, Lie};
use crate::peers::Peers;
use crate::wire::{Anchor, Question, SnapshotOffer};

/// Changes of the validators on the way from a trusted block, at most: one an hour for eleven years, in 800 kB.
const CHANGES_MAX: usize = 100_000;
/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// A block that a person trusts, told by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedBlock {
    /// Its height.
    pub height: Height,
    /// Hash of its header.
    pub hash: Digest,
}

/// Starting point of a light client.
#[derive(Clone, Debug)]
pub struct Trust {
    /// A block; the genesis' validators where there is none.
    pub block: Option<TrustedBlock>,
    /// Longest age of what is trusted, in milliseconds: as long as validators can be held to what they signed.
    pub period_ms: u64,
}

/// The way to a snapshot: the validators from a height on, with every change since.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Height from which the way is known; 0 for the genesis.
    pub from: Height,
    /// The validators that decide the next height.
    pub first: ValidatorSet,
    /// The changes since, ascending.
    pub changes: Vec<ValidatorChange>,
}

impl Walk {
    /// The validators that decide a height after [`Walk::from`].
    fn at(&self, height: Height) -> &ValidatorSet {
        let before = self.changes.iter().rev().find(|change| change.header.height < height);
        before.map_or(&self.first, |change| &change.validators)
    }
}

/// A peer that shows the way.
pub struct Guide<'a> {
    pub peers: &'a Peers,
    pub peer: &'a str,
    pub genesis: &'a Genesis,
    pub now: Timestamp,
}

impl Guide<'_> {
    /// Walks to a snapshot that the peer offers, and returns what it hangs on, verified.
    pub async fn walk(&self, trust: &Trust, offer: &SnapshotOffer) -> Result<(Walk, Anchor), Fault> {
        let anchor: Anchor = self.ask(Question::Anchor { height: offer.height }).await?;
        check_parts(offer, &anchor)?;
        let walk = match trust.block {
            None => self.walk_from_genesis(trust, offer.height).await?,
            Some(block) => self.walk_from_block(&block, trust.period_ms, &anchor).await?,
        };
        self.check_anchor(&walk, &anchor)?;
        Ok((walk, anchor))
    }

    async fn ask<T: BorshDeserialize>(&self, question: Question) -> Result<T, Fault> {
        self.peers.ask_of_chain(self.peer, question, self.genesis.chain_id).await
    }

    /// Every change since the genesis.
    async fn walk_from_genesis(&self, trust: &Trust, height: Height) -> Result<Walk, Fault> {
        let first = self.genesis.validator_set().map_err(|_| Lie::Parts("the genesis has no validators"))?;
        if age_ms(self.now, self.genesis.time) > trust.period_ms {
            tracing::warn!(
                "the genesis is older than the trust period: whoever has its validators' old keys could show another chain; \
                 set sync.trust in node.toml to a block's height and hash that you know from elsewhere"
            );
        }
        let mut walk = Walk { from: 0, first, changes: Vec::new() };
        loop {
            let after = walk.changes.last().map_or(0, |change| change.header.height);
            let steps: Vec<ValidatorChange> = self.ask(Question::Changes { after }).await?;
            let Some(step) = steps.first() else { return Ok(walk) };
            if step.header.height <= after {
                return Err(Lie::Parts("its changes of validators are out of order").into());
            }
            if steps.iter().any(|step| step.validators.hash() == step.header.validators_hash) {
                return Err(Lie::Parts("it sends a step at which the validators do not change").into());
            }
            light::follow(self.genesis.chain_id, walk.at(after + 1), &steps)?;
            walk.changes.extend(steps);
            if walk.changes.last().is_some_and(|change| change.header.height > height) {
                // Those after the block belong to a later node's walk.
                walk.changes.retain(|change| change.header.height <= height);
                return Ok(walk);
            }
        }
    }

    /// From a trusted block, by as few changes as one third of the trusted power allows.
    async fn walk_from_block(&self, block: &TrustedBlock, period_ms: u64, anchor: &Anchor) -> Result<Walk, Fault> {
        let height = anchor.block.header.height;
        if block.height >= height {
            // An older snapshot than the trusted block proves nothing; a newer one will come.
            return Err(Fault::TooNew { trusted: block.height, snapshot: height });
        }
        let step: ValidatorChange = self.ask(Question::Step { height: block.height }).await?;
        let got = step.header.hash();
        if got != block.hash || step.header.height != block.height {
            let certified = self.is_of_the_genesis(&step);
            return Err(Fault::OtherTrusted { height: block.height, got, certified });
        }
        if step.header.next_validators_hash != step.validators.hash() {
            return Err(Lie::Parts("its validators are not those that the trusted block announces").into());
        }
        let age_ms = age_ms(self.now, step.header.time);
        if age_ms > period_ms {
            let (age_hours, period_hours) = (age_ms / HOUR_MS, period_ms / HOUR_MS);
            return Err(JoinError::Expired { height: block.height, age_hours, period_hours }.into());
        }
        self.is_signed(&step.validators, anchor).await?;
        let heights = self.change_heights(block.height, height).await?;
        // A change at the block itself is followed in order: the block's own certificate is checked against the set before.
        let (mut rest, last) = heights.split_at(heights.partition_point(|change| *change < height));
        let (mut from, mut trusted) = (block.height, step.validators);
        while !rest.is_empty() {
            let (index, validators) = self.farthest(&trusted, rest).await?;
            (from, trusted, rest) = (rest[index], validators, &rest[index + 1..]);
        }
        let mut changes = Vec::new();
        for height in last {
            changes.push(self.ask(Question::Step { height: *height }).await?);
        }
        light::follow(self.genesis.chain_id, &trusted, &changes)?;
        Ok(Walk { from, first: trusted, changes })
    }

    /// Returns true where the genesis' validators signed a step: another block of theirs at a trusted height is of this network.
    fn is_of_the_genesis(&self, step: &ValidatorChange) -> bool {
        let set = self.genesis.validator_set();
        set.is_ok_and(|set| light::verify(self.genesis.chain_id, &set, &step.header, &step.certificate).is_ok())
    }

    /// Checks an anchor against the set that its peer says decided it, before anything is asked on the way there: an invented height
    /// costs one question. Too few signers of the trusted set are no lie, only a longer way.
    async fn is_signed(&self, trusted: &ValidatorSet, anchor: &Anchor) -> Result<(), Fault> {
        let next = &anchor.next_header;
        let own: ValidatorSet = self.ask(Question::Validators { height: next.height }).await?;
        let signed = light::verify_skipping(self.genesis.chain_id, trusted, next, &anchor.next_certificate, &own);
        match signed {
            Ok(()) | Err(LightError::Overlap { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn change_heights(&self, after: Height, until: Height) -> Result<Vec<Height>, Fault> {
        let mut heights: Vec<Height> = Vec::new();
        loop {
            let after = heights.last().copied().unwrap_or(after);
            let more: Vec<Height> = self.ask(Question::ChangeHeights { after }).await?;
            if !more.is_sorted_by(|a, b| a < b) || more.first().is_some_and(|first| *first <= after) {
                return Err(Lie::Parts("its heights are out of order").into());
            }
            let end = more.is_empty() || more.last().is_some_and(|last| *last >= until);
            heights.extend(more);
            if heights.len() > CHANGES_MAX {
                return Err(Lie::Parts("it names more changes of validators than a chain has").into());
            }
            if end {
                heights.retain(|height| *height <= until);
                return Ok(heights);
            }
        }
    }

    /// The farthest of these changes that the trusted set vouches for, and the set after it. The first one it has decided itself.
    async fn farthest(&self, trusted: &ValidatorSet, heights: &[Height]) -> Result<(usize, ValidatorSet), Fault> {
        let mut index = heights.len() - 1;
        loop {
            let height = heights[index];
            let step: ValidatorChange = self.ask(Question::Step { height }).await?;
            if step.header.height != height || step.header.next_validators_hash != step.validators.hash() {
                return Err(Lie::Parts("its change of validators is not the announced one").into());
            }
            if index == 0 {
                light::verify(self.genesis.chain_id, trusted, &step.header, &step.certificate)?;
                return Ok((0, step.validators));
            }
            let own: ValidatorSet = self.ask(Question::Validators { height }).await?;
            let chain_id = self.genesis.chain_id;
            match light::verify_skipping(chain_id, trusted, &step.header, &step.certificate, &own) {
                Ok(()) => return Ok((index, step.validators)),
                Err(LightError::Overlap { .. }) => index /= 2,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Checks block and next header of a snapshot against the validators.
    fn check_anchor(&self, walk: &Walk, anchor: &Anchor) -> Result<(), Fault> {
        let chain_id = self.genesis.chain_id;
        let (header, next) = (&anchor.block.header, &anchor.next_header);
        light::verify(chain_id, walk.at(next.height), next, &anchor.next_certificate)?;
        light::verify(chain_id, walk.at(header.height), header, &anchor.certificate)?;
        Ok(())
    }
}

/// Checks that the parts of an anchor belong together and to the offer.
pub(crate) fn check_parts(offer: &SnapshotOffer, anchor: &Anchor) -> Result<(), Lie> {
    let Anchor { block, certificate, next_header, .. } = anchor;
    let hash = block.hash();
    let rules = [
        (
            block.header.height == offer.height && Some(next_header.height) == offer.height.checked_add(1),
            "its anchor is of another height",
        ),
        (next_header.parent == hash, "its block is not the one before the snapshot's header"),
        (next_header.state_root == offer.state_root, "the root that it offers is not in the header"),
        (certificate.height == offer.height && certificate.block_hash == hash, "its certificate is of another block"),
        (transactions_root(&block.transactions) == block.header.transactions_root, "its block has other transactions"),
        (commit_hash(block.last_commit.as_ref()) == block.header.last_commit_hash, "its block has another last commit"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, broken)) => Err(Lie::Parts(broken)),
    }
}

fn age_ms(now: Timestamp, time: Timestamp) -> u64 {
    u64::try_from(now.millis().saturating_sub(time.millis())).unwrap_or(0)
}
