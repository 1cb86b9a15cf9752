//! The links of the beacon's chain: what a proposer proves, and what becomes of it.

use openmesh_primitives::{Digest, Height, VrfOutput, canonical, sha256};

/// Sets these bytes apart from everything else that a validator's key is used for.
const INPUT_DOMAIN: &str = "openmesh/beacon/input/1";
const BEACON_DOMAIN: &[u8] = b"openmesh/beacon/1";

/// The beacon before the first block.
pub fn first_beacon(genesis: &Digest) -> Digest {
    sha256(&[BEACON_DOMAIN, &genesis.0])
}

/// The input of the proposer's function at a height. Nothing of the block is in it, nor the round: a proposer has one output for
/// a height, whatever it puts into its block and however often it proposes.
pub fn beacon_input(chain_id: u64, height: Height, before: &Digest) -> Vec<u8> {
    canonical::encode(&(INPUT_DOMAIN, chain_id, height, before))
}

/// The beacon after a block whose output counts.
pub fn next_beacon(before: &Digest, output: &VrfOutput) -> Digest {
    sha256(&[BEACON_DOMAIN, &before.0, &output.0])
}
