//! A verifiable random function on ed25519 keys: ECVRF-EDWARDS25519-SHA512-TAI, suite 0x03 of RFC 9381.
//!
//! For each key and input there is one output and no second one, whatever the holder of the key does: the proof may differ, since its
//! nonce is the prover's choice, but it leads to the same point, and the point's multiple by the cofactor is what is hashed.
//! Nobody without the secret key can tell the output from a random one before the proof is shown. Keys of small order are
//! refused, for which this would not hold (RFC 9381, sections 5.4.5 and 7.1).
//!
//! The input is public here, so that the time that its way to the curve takes (try and increment) tells nobody anything.

use borsh::{BorshDeserialize, BorshSerialize};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use sha2::{Digest as _, Sha512};

/// The suite in front of everything that is hashed.
const SUITE: u8 = 0x03;
/// Sets the three hashes apart from each other.
const ENCODE: u8 = 0x01;
const CHALLENGE: u8 = 0x02;
const OUTPUT: u8 = 0x03;
/// Ends each of them.
const END: u8 = 0x00;
/// Bytes of the challenge.
const CHALLENGE_BYTES: usize = 16;

/// Proof of an output: a point, the challenge and the response, 80 bytes. Prints as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct VrfProof(pub [u8; 80]);

/// An output: 64 bytes that nobody without the key could tell from random ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VrfOutput(pub [u8; 64]);

/// The parts of a proof.
struct Parts {
    gamma: EdwardsPoint,
    challenge: Scalar,
    response: Scalar,
}

impl VrfProof {
    /// The output that the proof leads to, unverified. `None`: the bytes are no proof of anything.
    pub fn output(&self) -> Option<VrfOutput> {
        Some(output(&self.parts()?.gamma))
    }

    fn parts(&self) -> Option<Parts> {
        let (gamma, rest) = self.0.split_at(32);
        let (challenge, response) = rest.split_at(CHALLENGE_BYTES);
        let response: Option<Scalar> = Scalar::from_canonical_bytes(response.try_into().ok()?).into();
        Some(Parts { gamma: point(gamma.try_into().ok()?)?, challenge: short(challenge), response: response? })
    }
}

/// The proof of the output for an input, by the 32-byte seed of an ed25519 key and its public half. `None`: the input does not
/// lead to a point within 256 tries, which happens to one in 2^256.
pub(crate) fn prove(seed: &[u8; 32], public: &[u8; 32], input: &[u8]) -> Option<VrfProof> {
    let (secret, prefix) = expand(seed);
    let base = to_curve(public, input)?;
    let base_bytes = base.compress().to_bytes();
    let gamma = base * secret;
    let nonce = Scalar::from_bytes_mod_order_wide(&sha512(&[&prefix, &base_bytes]));
    let challenge = challenge(public, &base, &gamma, &EdwardsPoint::mul_base(&nonce), &(base * nonce));
    let response = nonce + short(&challenge) * secret;
    let mut proof = [0; 80];
    proof[..32].copy_from_slice(&gamma.compress().to_bytes());
    proof[32..48].copy_from_slice(&challenge);
    proof[48..].copy_from_slice(&response.to_bytes());
    Some(VrfProof(proof))
}

/// Returns true for a key that has a function of its own: a point in its canonical form that is not of small order.
pub(crate) fn is_key(public: &[u8; 32]) -> bool {
    key(public).is_some()
}

fn key(public: &[u8; 32]) -> Option<EdwardsPoint> {
    point(*public).filter(|key| !key.is_small_order())
}

/// The output for an input, if the proof is one of this public key. `None`: it is not, or the key is of small order.
pub(crate) fn verify(public: &[u8; 32], input: &[u8], proof: &VrfProof) -> Option<VrfOutput> {
    let key = key(public)?;
    let Parts { gamma, challenge: claimed, response } = proof.parts()?;
    let base = to_curve(public, input)?;
    let of_base_point = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-claimed, &key, &response);
    let of_base = EdwardsPoint::vartime_multiscalar_mul([response, -claimed], [base, gamma]);
    let expected = challenge(public, &base, &gamma, &of_base_point, &of_base);
    (expected[..] == proof.0[32..48]).then(|| output(&gamma))
}

/// Secret scalar and nonce prefix of a seed (RFC 8032, section 5.1.5). The scalar is reduced: it is only multiplied with points of
/// the subgroup of prime order.
fn expand(seed: &[u8; 32]) -> (Scalar, [u8; 32]) {
    let hash = sha512(&[seed]);
    let (mut scalar, mut prefix) = ([0; 32], [0; 32]);
    scalar.copy_from_slice(&hash[..32]);
    prefix.copy_from_slice(&hash[32..]);
    (Scalar::from_bytes_mod_order(clamp_integer(scalar)), prefix)
}

/// A point of the subgroup of prime order from key and input (RFC 9381, section 5.4.1.1).
fn to_curve(public: &[u8; 32], input: &[u8]) -> Option<EdwardsPoint> {
    (0..=u8::MAX).find_map(|counter| {
        let hash = sha512(&[&[SUITE, ENCODE], public, input, &[counter, END]]);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&hash[..32]);
        point(bytes).map(|point| point.mul_by_cofactor()).filter(|point| !point.is_identity())
    })
}

/// The point of canonical bytes; other bytes have none.
fn point(bytes: [u8; 32]) -> Option<EdwardsPoint> {
    let compressed = CompressedEdwardsY(bytes);
    compressed.decompress().filter(|point| point.compress() == compressed)
}

/// RFC 9381, section 5.4.3.
fn challenge(
    public: &[u8; 32],
    base: &EdwardsPoint,
    gamma: &EdwardsPoint,
    of_base_point: &EdwardsPoint,
    of_base: &EdwardsPoint,
) -> [u8; CHALLENGE_BYTES] {
    let [base, gamma, first, second] = [base, gamma, of_base_point, of_base].map(|point| point.compress().to_bytes());
    let hash = sha512(&[&[SUITE, CHALLENGE], public, &base, &gamma, &first, &second, &[END]]);
    let mut challenge = [0; CHALLENGE_BYTES];
    challenge.copy_from_slice(&hash[..CHALLENGE_BYTES]);
    challenge
}

/// RFC 9381, section 5.2.
fn output(gamma: &EdwardsPoint) -> VrfOutput {
    VrfOutput(sha512(&[&[SUITE, OUTPUT], &gamma.mul_by_cofactor().compress().to_bytes(), &[END]]))
}

/// The number of a challenge's little-endian bytes.
fn short(challenge: &[u8]) -> Scalar {
    let mut bytes = [0; 32];
    bytes[..CHALLENGE_BYTES].copy_from_slice(challenge);
    Scalar::from_bytes_mod_order(bytes)
}

fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ValidatorKey, ValidatorPublicKey};

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).unwrap();
        bytes
    }

    /// RFC 9381, appendix B.3, examples 16 to 18: seed, public key, input, proof, output.
    const PUBLISHED: [[&str; 5]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c452118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
        ],
    ];

    #[test]
    fn published_vectors() {
        for [seed, public, input, proof, output] in PUBLISHED {
            let key = ValidatorKey::from_seed(bytes(seed));
            assert_eq!(key.public().0, bytes::<32>(public));
            let input = hex::decode(input).unwrap();
            let made = key.vrf_prove(&input).unwrap();
            assert_eq!(hex::encode(made.0), proof);
            assert_eq!(made.output(), Some(VrfOutput(bytes(output))));
            assert_eq!(key.public().vrf_verify(&input, &made), Ok(VrfOutput(bytes(output))));
        }
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let key = ValidatorKey::from_seed([3; 32]);
        let proof = key.vrf_prove(b"input").unwrap();
        let public = key.public();
        assert!(public.has_vrf());
        assert!(public.vrf_verify(b"other", &proof).is_err());
        assert!(ValidatorKey::from_seed([4; 32]).public().vrf_verify(b"input", &proof).is_err());
        for at in 0..80 {
            let mut changed = proof;
            changed.0[at] ^= 1;
            assert!(public.vrf_verify(b"input", &changed).is_err(), "byte {at}");
        }
        // The response and the order of the group added: another form of the same number.
        let order: [u8; 32] = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let (mut twin, mut carry) = (proof, 0u16);
        for (byte, add) in twin.0[48..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(public.vrf_verify(b"input", &twin).is_err());
        // The neutral point, and a point of order two, are keys of everybody.
        for small in ["01", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"] {
            let public = ValidatorPublicKey(bytes(&format!("{small:0<64}")));
            assert!(public.vrf_verify(b"input", &VrfProof([0; 80])).is_err());
            assert!(!public.has_vrf());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// A prover that takes another nonce makes another proof, of the same output.
        #[test]
        fn one_output_for_each_key_and_input(seed: [u8; 32], input: Vec<u8>, nonce: [u8; 32]) {
            let key = ValidatorKey::from_seed(seed);
            let public = key.public();
            let proof = key.vrf_prove(&input).unwrap();
            prop_assert_eq!(key.vrf_prove(&input), Ok(proof));
            let output = public.vrf_verify(&input, &proof).unwrap();
            let (secret, _) = expand(&seed);
            let base = to_curve(&public.0, &input).unwrap();
            let (gamma, nonce) = (base * secret, Scalar::from_bytes_mod_order(nonce));
            let challenge =
                challenge(&public.0, &base, &gamma, &EdwardsPoint::mul_base(&nonce), &(base * nonce));
            let mut other = proof;
            other.0[32..48].copy_from_slice(&challenge);
            other.0[48..].copy_from_slice(&(nonce + short(&challenge) * secret).to_bytes());
            prop_assert_ne!(other, proof);
            prop_assert_eq!(public.vrf_verify(&input, &other), Ok(output));
            // A point beside the right one, of order two, is no proof: the challenge names it.
            let torsion = point(bytes("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")).unwrap();
            let mut moved = proof;
            moved.0[..32].copy_from_slice(&(gamma + torsion).compress().to_bytes());
            prop_assert!(public.vrf_verify(&input, &moved).is_err());
            prop_assert_eq!(moved.output(), Some(output));
        }
    }
}
