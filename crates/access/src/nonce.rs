//! Nonces of sign-in: each good for one, for minutes.
//!
//! A nonce carries its own moment under a code that only this agent can make, so nothing is kept of those that were handed out: whoever asks for millions pushes out
//! nobody's. Kept is what was used, and only a member's signature uses one. The key of the code is new in each run of the agent, and with it every nonce.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::error::Refusal;
use crate::message::NONCE_MS_MAX;
use crate::moment::Moment;
use crate::token;

/// Used nonces that are remembered: sign-ins of members within the life of a nonce, many times over. Beyond that sign-ins are refused, and no nonce is forgotten.
const USED_MAX: usize = 10_000;
/// Random bytes of a nonce.
const RANDOM_BYTES: usize = 16;
/// Bytes of its code. Source: RFC 2104, section 5: at least half of the hash.
const CODE_BYTES: usize = 16;
/// Bytes of a nonce: moment, randomness, code.
const NONCE_BYTES: usize = 8 + RANDOM_BYTES + CODE_BYTES;

/// Nonces of an agent.
pub struct Nonces {
    key: [u8; 32],
    /// Moments of the used ones by the time in which the machine ran, milliseconds.
    used: BTreeMap<String, u64>,
}

impl Nonces {
    /// Nonces of a new run of an agent.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> Result<Nonces, Refusal> {
        Ok(Nonces { key: token::random()?, used: BTreeMap::new() })
    }

    /// A new nonce. The wall clock has no part in it.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn make(&self, now: &Moment) -> Result<String, Refusal> {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..8].copy_from_slice(&now.ran_ms.to_be_bytes());
        bytes[8..8 + RANDOM_BYTES].copy_from_slice(&token::random::<RANDOM_BYTES>()?);
        let code = self.code(&bytes[..8 + RANDOM_BYTES]).finalize().into_bytes();
        bytes[8 + RANDOM_BYTES..].copy_from_slice(&code[..CODE_BYTES]);
        Ok(hex::encode(bytes))
    }

    /// Checks that a nonce was made here, is fresh, and was not used.
    ///
    /// # Errors
    /// [`Refusal::NonceForged`], [`Refusal::NonceExpired`] or [`Refusal::NonceUsed`].
    pub fn check(&self, nonce: &str, now: &Moment) -> Result<(), Refusal> {
        let mut bytes = [0; NONCE_BYTES];
        // Capital letters would make a second text of the same nonce.
        let is_ours = hex::decode_to_slice(nonce, &mut bytes).is_ok() && hex::encode(bytes) == nonce;
        let (content, code) = bytes.split_at(8 + RANDOM_BYTES);
        if !is_ours || self.code(content).verify_truncated_left(code).is_err() {
            return Err(Refusal::NonceForged);
        }
        let made = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        if now.ran_ms.saturating_sub(made) >= NONCE_MS_MAX {
            return Err(Refusal::NonceExpired { age_ms_max: NONCE_MS_MAX });
        }
        if self.used.contains_key(nonce) { Err(Refusal::NonceUsed) } else { Ok(()) }
    }

    /// Uses a nonce up. Of two who come at the same moment one is refused.
    ///
    /// # Errors
    /// As [`Nonces::check`]; or too many were used just now.
    pub fn consume(&mut self, nonce: &str, now: &Moment) -> Result<(), Refusal> {
        self.check(nonce, now)?;
        if self.used.len() >= USED_MAX {
            self.used.retain(|_, used| now.ran_ms.saturating_sub(*used) < NONCE_MS_MAX);
        }
        if self.used.len() >= USED_MAX {
            return Err(Refusal::Crowded);
        }
        self.used.insert(nonce.into(), now.ran_ms);
        Ok(())
    }

    fn code(&self, content: &[u8]) -> Hmac<Sha256> {
        // A block of SHA-256 with the key in front is the same key for HMAC.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.key);
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new(&block.into());
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    fn at(ran_ms: u64) -> Moment {
        Moment { wall: Timestamp(0), ran_ms }
    }

    #[test]
    fn a_nonce_is_good_once_and_for_minutes() {
        let mut nonces = Nonces::new().unwrap();
        let nonce = nonces.make(&at(1_000)).unwrap();
        assert!(nonce.len() >= 8 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()), "EIP-4361");
        assert_eq!(nonces.check(&nonce, &at(1_000 + NONCE_MS_MAX - 1)), Ok(()));
        let expired = Err(Refusal::NonceExpired { age_ms_max: NONCE_MS_MAX });
        assert_eq!(nonces.consume(&nonce, &at(1_000 + NONCE_MS_MAX)), expired);
        assert_eq!(nonces.consume(&nonce, &at(2_000)), Ok(()));
        assert_eq!(nonces.consume(&nonce, &at(2_000)), Err(Refusal::NonceUsed));
        assert_eq!(nonces.check(&nonce.to_uppercase(), &at(2_000)), Err(Refusal::NonceForged));
        // Forgotten only when it is too old anyway.
        assert_eq!(nonces.consume(&nonce, &at(1_000 + NONCE_MS_MAX)), expired);
    }

    #[test]
    fn a_nonce_of_another_run_or_with_a_changed_bit_is_forged() {
        let nonces = Nonces::new().unwrap();
        let other = Nonces::new().unwrap().make(&at(0)).unwrap();
        assert_eq!(nonces.check(&other, &at(0)), Err(Refusal::NonceForged));
        let nonce = nonces.make(&at(77)).unwrap();
        let bytes = hex::decode(&nonce).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(nonces.check(&hex::encode(changed), &at(77)), Err(Refusal::NonceForged), "bit {bit}");
        }
        for text in ["", "0123456789abcdef", &nonce[2..], &format!("{nonce}00"), "zz"] {
            assert_eq!(nonces.check(text, &at(77)), Err(Refusal::NonceForged), "{text}");
        }
    }

    #[test]
    fn whoever_uses_more_than_can_be_remembered_is_refused() {
        let mut nonces = Nonces::new().unwrap();
        let first = nonces.make(&at(0)).unwrap();
        nonces.consume(&first, &at(0)).unwrap();
        for _ in 1..USED_MAX {
            let nonce = nonces.make(&at(0)).unwrap();
            nonces.consume(&nonce, &at(0)).unwrap();
        }
        let more = nonces.make(&at(0)).unwrap();
        assert_eq!(nonces.consume(&more, &at(0)), Err(Refusal::Crowded));
        assert_eq!(nonces.consume(&first, &at(0)), Err(Refusal::NonceUsed), "none was forgotten");
        let later = nonces.make(&at(NONCE_MS_MAX)).unwrap();
        assert_eq!(nonces.consume(&later, &at(NONCE_MS_MAX)), Ok(()));
    }
}
