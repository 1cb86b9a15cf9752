//! Bytes of consensus messages, for the wire and for the write-ahead log: Borsh, through small mirror types.
//!
//! Malachite's own Borsh features are incomplete in 0.8.2 (no extended certificates, no validator proofs), and the log's
//! format is ours to keep stable; so every message is mirrored here and nothing depends on the layout of foreign types.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use malachite_app::consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
use malachite_app::types::codec::{Codec, HasEncodedLen};
use malachite_app::types::core::{
    ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, PolkaCertificate, PolkaSignature, Round,
    RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, ValidatorProof, Validity, VoteType,
};
use malachite_app::types::streaming::{StreamId, StreamMessage};
use malachite_peer::PeerId;
use malachite_sync::{RawDecidedValue, Request, Response, Status, ValueRequest, ValueResponse};
use openmesh_primitives::ValidatorSignature;

use super::context::Context;
use super::types::{Address, BlockId, Height, Part, Proposal, Vote};

/// Encodes and decodes every message of the engine.
#[derive(Clone, Copy, Debug)]
pub struct BorshCodec;

/// Bytes that are no message of the expected kind.
#[derive(Debug, thiserror::Error)]
#[error("not the bytes of {what}")]
pub struct CodecError {
    what: &'static str,
    source: io::Error,
}

/// A message and the type that stands for it in bytes.
trait Mirrored: Sized {
    type Wire: BorshSerialize + BorshDeserialize;
    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> io::Result<Self>;
}

macro_rules! codec {
    ($($message:ty),+ $(,)?) => {$(
        impl Codec<$message> for BorshCodec {
            type Error = CodecError;

            fn decode(&self, bytes: Bytes) -> Result<$message, CodecError> {
                let decoded = BorshDeserialize::try_from_slice(&bytes).and_then(<$message>::from_wire);
                decoded.map_err(|source| CodecError { what: stringify!($message), source })
            }

            fn encode(&self, message: &$message) -> Result<Bytes, CodecError> {
                let encoded = borsh::to_vec(&message.to_wire());
                encoded.map(Bytes::from).map_err(|source| CodecError { what: stringify!($message), source })
            }
        }
    )+};
}

codec!(
    Part,
    SignedConsensusMsg<Context>,
    LivenessMsg<Context>,
    StreamMessage<Part>,
    ValidatorProof<Context>,
    ProposedValue<Context>,
    PolkaCertificate<Context>,
    Status<Context>,
    Request<Context>,
    Response<Context>,
);

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl Mirrored for Part {
    type Wire = Part;
    fn to_wire(&self) -> Part {
        self.clone()
    }
    fn from_wire(wire: Part) -> io::Result<Part> {
        Ok(wire)
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
enum SignedWire {
    Vote(Vote, ValidatorSignature),
    Proposal(Proposal, ValidatorSignature),
}

impl Mirrored for SignedConsensusMsg<Context> {
    type Wire = SignedWire;

    fn to_wire(&self) -> SignedWire {
        match self {
            SignedConsensusMsg::Vote(v) => SignedWire::Vote(v.message.clone(), v.signature),
            SignedConsensusMsg::Proposal(p) => SignedWire::Proposal(p.message.clone(), p.signature),
        }
    }

    fn from_wire(wire: SignedWire) -> io::Result<Self> {
        Ok(match wire {
            SignedWire::Vote(vote, signature) => SignedConsensusMsg::Vote(SignedMessage::new(vote, signature)),
            SignedWire::Proposal(proposal, signature) => {
                SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature))
            }
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct PolkaWire {
    height: Height,
    round: Round,
    value: BlockId,
    signatures: Vec<(Address, ValidatorSignature)>,
}

impl Mirrored for PolkaCertificate<Context> {
    type Wire = PolkaWire;

    fn to_wire(&self) -> PolkaWire {
        let signatures = self.polka_signatures.iter().map(|s| (s.address, s.signature)).collect();
        PolkaWire { height: self.height, round: self.round, value: self.value_id, signatures }
    }

    fn from_wire(wire: PolkaWire) -> io::Result<Self> {
        let polka_signatures = wire.signatures.into_iter().map(|(a, s)| PolkaSignature::new(a, s)).collect();
        Ok(PolkaCertificate { height: wire.height, round: wire.round, value_id: wire.value, polka_signatures })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct RoundWire {
    height: Height,
    round: Round,
    precommits: bool,
    signatures: Vec<(VoteType, NilOrVal<BlockId>, Address, ValidatorSignature)>,
}

impl Mirrored for RoundCertificate<Context> {
    type Wire = RoundWire;

    fn to_wire(&self) -> RoundWire {
        let wire = |s: &RoundSignature<Context>| (s.vote_type, s.value_id, s.address, s.signature);
        RoundWire {
            height: self.height,
            round: self.round,
            precommits: self.cert_type == RoundCertificateType::Precommit,
            signatures: self.round_signatures.iter().map(wire).collect(),
        }
    }

    fn from_wire(wire: RoundWire) -> io::Result<Self> {
        let cert_type = if wire.precommits { RoundCertificateType::Precommit } else { RoundCertificateType::Skip };
        let signature = |(kind, value, address, signature)| RoundSignature::new(kind, value, address, signature);
        let round_signatures = wire.signatures.into_iter().map(signature).collect();
        Ok(RoundCertificate { height: wire.height, round: wire.round, cert_type, round_signatures })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
enum LivenessWire {
    Vote(Vote, ValidatorSignature),
    Polka(PolkaWire),
    SkipRound(RoundWire),
}

impl Mirrored for LivenessMsg<Context> {
    type Wire = LivenessWire;

    fn to_wire(&self) -> LivenessWire {
        match self {
            LivenessMsg::Vote(v) => LivenessWire::Vote(v.message.clone(), v.signature),
            LivenessMsg::PolkaCertificate(c) => LivenessWire::Polka(c.to_wire()),
            LivenessMsg::SkipRoundCertificate(c) => LivenessWire::SkipRound(c.to_wire()),
        }
    }

    fn from_wire(wire: LivenessWire) -> io::Result<Self> {
        Ok(match wire {
            LivenessWire::Vote(vote, signature) => LivenessMsg::Vote(SignedMessage::new(vote, signature)),
            LivenessWire::Polka(c) => LivenessMsg::PolkaCertificate(PolkaCertificate::from_wire(c)?),
            LivenessWire::SkipRound(c) => LivenessMsg::SkipRoundCertificate(RoundCertificate::from_wire(c)?),
        })
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct StreamWire {
    id: Vec<u8>,
    sequence: u64,
    /// `None`: the end of the stream.
    part: Option<Part>,
}

impl Mirrored for StreamMessage<Part> {
    type Wire = StreamWire;

    fn to_wire(&self) -> StreamWire {
        let part = self.content.as_data().cloned();
        StreamWire { id: self.stream_id.to_bytes().to_vec(), sequence: self.sequence, part }
    }

    fn from_wire(wire: StreamWire) -> io::Result<Self> {
        use malachite_app::streaming::StreamContent;
        let content = wire.part.map_or(StreamContent::Fin, StreamContent::Data);
        Ok(StreamMessage::new(StreamId::new(wire.id.into()), wire.sequence, content))
    }
}

impl Mirrored for ValidatorProof<Context> {
    type Wire = (Vec<u8>, Vec<u8>, ValidatorSignature);

    fn to_wire(&self) -> Self::Wire {
        (self.public_key.clone(), self.peer_id.clone(), self.signature)
    }

    fn from_wire((public_key, peer_id, signature): Self::Wire) -> io::Result<Self> {
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct ProposedWire {
    height: Height,
    round: Round,
    valid_round: Round,
    proposer: Address,
    value: BlockId,
    valid: bool,
}

impl Mirrored for ProposedValue<Context> {
    type Wire = ProposedWire;

    fn to_wire(&self) -> ProposedWire {
        ProposedWire {
            height: self.height,
            round: self.round,
            valid_round: self.valid_round,
            proposer: self.proposer,
            value: self.value,
            valid: self.validity.to_bool(),
        }
    }

    fn from_wire(wire: ProposedWire) -> io::Result<Self> {
        Ok(ProposedValue {
            height: wire.height,
            round: wire.round,
            valid_round: wire.valid_round,
            proposer: wire.proposer,
            value: wire.value,
            validity: Validity::from_bool(wire.valid),
        })
    }
}

impl Mirrored for Status<Context> {
    type Wire = (Vec<u8>, Height, Height);

    fn to_wire(&self) -> Self::Wire {
        (self.peer_id.to_bytes(), self.tip_height, self.history_min_height)
    }

    fn from_wire((peer, tip_height, history_min_height): Self::Wire) -> io::Result<Self> {
        let peer_id = PeerId::from_bytes(&peer).map_err(|_| invalid("not a peer id"))?;
        Ok(Status { peer_id, tip_height, history_min_height })
    }
}

impl Mirrored for Request<Context> {
    type Wire = (Height, Height);

    fn to_wire(&self) -> Self::Wire {
        let Request::ValueRequest(request) = self;
        (*request.range.start(), *request.range.end())
    }

    fn from_wire((start, end): Self::Wire) -> io::Result<Self> {
        if start > end {
            return Err(invalid("the range of heights is empty"));
        }
        Ok(Request::ValueRequest(ValueRequest::new(start..=end)))
    }
}

/// A decided block as it travels in value sync. Without extensions, because the chain has none.
#[derive(BorshSerialize, BorshDeserialize)]
struct DecidedWire {
    block: Bytes,
    height: Height,
    round: Round,
    value: BlockId,
    signatures: Vec<(Address, ValidatorSignature)>,
}

impl Mirrored for Response<Context> {
    type Wire = (Height, Vec<DecidedWire>);

    fn to_wire(&self) -> Self::Wire {
        let Response::ValueResponse(response) = self;
        let wire = |v: &RawDecidedValue<Context>| DecidedWire {
            block: v.value_bytes.clone(),
            height: v.certificate.height,
            round: v.certificate.round,
            value: v.certificate.value_id,
            signatures: v.certificate.commit_signatures.iter().map(|s| (s.address, s.signature)).collect(),
        };
        (response.start_height, response.values.iter().map(wire).collect())
    }

    fn from_wire((start_height, values): Self::Wire) -> io::Result<Self> {
        let value = |wire: DecidedWire| {
            let signature = |(address, signature)| ExtendedCommitSignature::new(address, signature, None);
            let certificate = ExtendedCommitCertificate {
                height: wire.height,
                round: wire.round,
                value_id: wire.value,
                commit_signatures: wire.signatures.into_iter().map(signature).collect(),
            };
            RawDecidedValue::new(wire.block, certificate)
        };
        Ok(Response::ValueResponse(ValueResponse::new(start_height, values.into_iter().map(value).collect())))
    }
}

impl HasEncodedLen<Response<Context>> for BorshCodec {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, CodecError> {
        // Bodies are shared, so mirroring is cheap; Borsh counts without writing.
        borsh::object_length(&response.to_wire()).map_err(|source| CodecError { what: "Response", source })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use malachite_app::streaming::StreamContent;
    use openmesh_primitives::{ValidatorKey, sha256};
    use proptest::prelude::*;

    use super::super::types::Init;
    use super::*;

    fn round_trip<T: PartialEq + Debug>(message: T)
    where
        BorshCodec: Codec<T, Error = CodecError>,
    {
        let bytes = BorshCodec.encode(&message).unwrap();
        assert_eq!(BorshCodec.decode(bytes.clone()).unwrap(), message);
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert!(Codec::<T>::decode(&BorshCodec, longer.into()).is_err(), "trailing bytes were accepted");
        let shorter = bytes.slice(..bytes.len() - 1);
        assert!(Codec::<T>::decode(&BorshCodec, shorter).is_err(), "a cut message was accepted");
    }

    fn address(n: u8) -> Address {
        Address(openmesh_primitives::Address([n; 20]))
    }

    fn block() -> BlockId {
        BlockId(sha256(&[b"block"]))
    }

    fn signature() -> ValidatorSignature {
        ValidatorKey::from_seed([1; 32]).sign(b"message")
    }

    fn vote(kind: VoteType, value: NilOrVal<BlockId>) -> SignedMessage<Context, Vote> {
        let vote = Vote { kind, height: Height(7), round: Round::new(3), value, validator: address(1) };
        SignedMessage::new(vote, signature())
    }

    fn proposal(pol_round: Round) -> SignedMessage<Context, Proposal> {
        let proposal =
            Proposal { height: Height(7), round: Round::new(3), value: block(), pol_round, proposer: address(2) };
        SignedMessage::new(proposal, signature())
    }

    fn polka() -> PolkaCertificate<Context> {
        let polka_signatures = (0..3).map(|n| PolkaSignature::new(address(n), signature())).collect();
        PolkaCertificate { height: Height(7), round: Round::ZERO, value_id: block(), polka_signatures }
    }

    fn round_certificate(cert_type: RoundCertificateType) -> RoundCertificate<Context> {
        let round_signatures = vec![
            RoundSignature::new(VoteType::Prevote, NilOrVal::Nil, address(1), signature()),
            RoundSignature::new(VoteType::Precommit, NilOrVal::Val(block()), address(2), signature()),
        ];
        RoundCertificate { height: Height(7), round: Round::new(9), cert_type, round_signatures }
    }

    fn response() -> Response<Context> {
        let signatures = (0..3).map(|n| ExtendedCommitSignature::new(address(n), signature(), None)).collect();
        let certificate = ExtendedCommitCertificate {
            height: Height(5),
            round: Round::new(1),
            value_id: block(),
            commit_signatures: signatures,
        };
        let values = vec![RawDecidedValue::new(Bytes::from(vec![3; 1000]), certificate)];
        Response::ValueResponse(ValueResponse::new(Height(5), values))
    }

    #[test]
    fn messages_of_consensus() {
        for kind in [VoteType::Prevote, VoteType::Precommit] {
            for value in [NilOrVal::Nil, NilOrVal::Val(block())] {
                round_trip(SignedConsensusMsg::Vote(vote(kind, value)));
            }
        }
        round_trip(SignedConsensusMsg::Proposal(proposal(Round::Nil)));
        round_trip(SignedConsensusMsg::Proposal(proposal(Round::new(u32::MAX))));
        round_trip(polka());
        round_trip(LivenessMsg::Vote(vote(VoteType::Prevote, NilOrVal::Nil)));
        round_trip(LivenessMsg::PolkaCertificate(polka()));
        round_trip(LivenessMsg::SkipRoundCertificate(round_certificate(RoundCertificateType::Skip)));
        round_trip(LivenessMsg::SkipRoundCertificate(round_certificate(RoundCertificateType::Precommit)));
        for validity in [Validity::Valid, Validity::Invalid] {
            round_trip(ProposedValue::<Context> {
                height: Height(1),
                round: Round::new(2),
                valid_round: Round::Nil,
                proposer: address(3),
                value: block(),
                validity,
            });
        }
    }

    #[test]
    fn messages_of_streams_and_sync() {
        let init = Init {
            height: Height(1),
            round: Round::new(2),
            pol_round: Round::Nil,
            streamer: address(4),
            bytes: 5,
            digest: sha256(&[b"x"]),
            signature: signature(),
        };
        let id = StreamId::new(Bytes::from_static(b"stream"));
        round_trip(Part::Init(init.clone()));
        round_trip(StreamMessage::new(id.clone(), 0, StreamContent::Data(Part::Init(init))));
        round_trip(StreamMessage::new(id.clone(), 1, StreamContent::Data(Part::Data(vec![1, 2, 3]))));
        round_trip(StreamMessage::<Part>::new(id, u64::MAX, StreamContent::Fin));
        round_trip(ValidatorProof::<Context>::new(vec![1; 32], vec![2; 38], signature()));
        round_trip(Request::<Context>::ValueRequest(ValueRequest::new(Height(3)..=Height(9))));
        let key = malachite_app::types::Keypair::ed25519_from_bytes([5; 32]).unwrap();
        let peer_id = PeerId::from_bytes(&key.public().to_peer_id().to_bytes()).unwrap();
        round_trip(Status::<Context> { peer_id, tip_height: Height(8), history_min_height: Height(1) });
        round_trip(response());
        assert_eq!(BorshCodec.encoded_len(&response()).unwrap(), BorshCodec.encode(&response()).unwrap().len());
        let empty = BorshCodec.encode(&(Request::<Context>::ValueRequest(ValueRequest::new(Height(9)..=Height(3)))));
        assert!(Codec::<Request<Context>>::decode(&BorshCodec, empty.unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = Bytes::from(bytes);
            let _ = Codec::<SignedConsensusMsg<Context>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<LivenessMsg<Context>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<StreamMessage<Part>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<ValidatorProof<Context>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<Status<Context>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<Request<Context>>::decode(&BorshCodec, bytes.clone());
            let _ = Codec::<Response<Context>>::decode(&BorshCodec, bytes);
        }
    }
}
