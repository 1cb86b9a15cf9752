//! Doors for the fuzzer (`fuzz/targets`) to what peers send; no part of this crate's interface.
//!
//! Bytes go in and come out, so that nothing of the engine's own types has to be public for it.

use bytes::Bytes;
use malachite_app::consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
use malachite_app::types::codec::Codec;
use malachite_app::types::core::{PolkaCertificate, Round, ValidatorProof};
use malachite_app::types::streaming::StreamMessage;
use malachite_sync::{Request, Response, Status};
use openmesh_ledger::Params;
use openmesh_primitives::{ValidatorSignature, sha256};

use crate::consensus::codec::{BorshCodec, CodecError};
use crate::consensus::context::Context;
use crate::consensus::parts::{Assembler, block_bytes_max, split};
use crate::consensus::types::Init;
use crate::consensus::types::{Address, Height, Part};
use crate::mempool::gossip;

/// Number of kinds that [`message`] knows.
pub const KINDS: u8 = 10;

/// Reads a message of a kind and writes it again; `None` where it is refused.
pub fn message(kind: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind % KINDS {
        0 => again::<Part>(bytes),
        1 => again::<SignedConsensusMsg<Context>>(bytes),
        2 => again::<LivenessMsg<Context>>(bytes),
        3 => again::<StreamMessage<Part>>(bytes),
        4 => again::<ValidatorProof<Context>>(bytes),
        5 => again::<ProposedValue<Context>>(bytes),
        6 => again::<PolkaCertificate<Context>>(bytes),
        7 => again::<Status<Context>>(bytes),
        8 => again::<Request<Context>>(bytes),
        _ => again::<Response<Context>>(bytes),
    }
}

fn again<T>(bytes: &[u8]) -> Option<Vec<u8>>
where
    BorshCodec: Codec<T, Error = CodecError>,
{
    let message: T = BorshCodec.decode(Bytes::copy_from_slice(bytes)).ok()?;
    BorshCodec.encode(&message).ok().map(Vec::from)
}

/// The transactions of an envelope from a peer.
pub fn envelope(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    gossip::decode(bytes)
}

/// Streams of blocks that are being put together.
#[derive(Debug)]
pub struct Parts(Assembler);

impl Default for Parts {
    /// For blocks of the default network.
    fn default() -> Parts {
        Parts(Assembler::new(block_bytes_max(&Params::default())))
    }
}

impl Parts {
    /// Takes a part in, as encoded; `trusted` is whether its announcement is by who may announce. Returns a whole block.
    pub fn receive(&mut self, publisher: &[u8], neighbor: &[u8], message: &[u8], trusted: bool) -> Option<Vec<u8>> {
        let message: StreamMessage<Part> = BorshCodec.decode(Bytes::copy_from_slice(message)).ok()?;
        let assembled = self.0.receive(publisher, neighbor, message, |_| trusted)?;
        assert_eq!(sha256(&[&assembled.bytes]), assembled.init.digest, "not the block that was announced");
        Some(assembled.bytes)
    }

    /// Forgets what is decided.
    pub fn prune(&mut self, decided: u64) {
        self.0.prune(Height(decided));
    }
}

/// The encoded parts of a block, in order.
pub fn parts(height: u64, round: u32, block: &[u8]) -> Vec<Vec<u8>> {
    let init = Init {
        height: Height(height),
        round: Round::new(round),
        pol_round: Round::Nil,
        streamer: Address(openmesh_primitives::Address::default()),
        bytes: block.len() as u32,
        digest: sha256(&[block]),
        signature: ValidatorSignature([0; 64]),
    };
    let encoded = |part| BorshCodec.encode(part).map(Vec::from).unwrap_or_default();
    split(&init, block).iter().map(encoded).collect()
}
