//! Signing in with a wallet: nonces, messages, sessions.
//!
//! Source: EIP-4361, "Sign-In with Ethereum". The nonce is made here, is good for one use within minutes, and is taken
//! out before the signature is even looked at, so a message can never be presented twice, not even at the same moment.
//! Sessions are random tokens of which only the SHA-256 is kept: whoever reads this process's memory dump or a log of
//! it cannot become somebody else. Of a person nothing is kept but the address. Sessions end with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountSignature, Address, Digest, sha256};
use signinwithethereum::Message;

/// How long a nonce can be used.
const NONCE_SECONDS_MAX: u64 = 300;
/// Nonces that wait at once: beyond that, somebody floods, and the oldest are dropped.
const NONCES_MAX: usize = 10_000;
/// How long a session lasts.
const SESSION_SECONDS: u64 = 24 * 3_600;
/// Sessions at once; the ones that end soonest are dropped beyond that.
const SESSIONS_MAX: usize = 10_000;
/// Longest message that is parsed, in bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Why signing in was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Not a message of EIP-4361.
    #[error("the message is not one of EIP-4361: {0}")]
    Message(String),
    /// Made for another site: somebody may be trying to use a signature given elsewhere.
    #[error("the message was made for {found}, this is {expected}")]
    Domain {
        /// What this site is called.
        expected: String,
        /// What the message says.
        found: String,
    },
    /// Never given out, used already, or too old.
    #[error("the message's nonce is unknown, was used before, or is too old")]
    Nonce,
    /// The message's own times do not hold now.
    #[error("the message is not valid now: it has expired or is not valid yet")]
    Time,
    /// The signature is not the address's.
    #[error("the signature is not that of {0}")]
    Signature(Address),
    /// The operating system gave no randomness.
    #[error("no randomness to be had from the operating system")]
    Randomness,
}

impl SignInError {
    /// The error's stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            SignInError::Message(_) => "bad_message",
            SignInError::Domain { .. } => "wrong_domain",
            SignInError::Nonce => "nonce_refused",
            SignInError::Time => "message_expired",
            SignInError::Signature(_) => "bad_signature",
            SignInError::Randomness => "internal",
        }
    }
}

/// A session that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub address: Address,
    /// Until when.
    pub expires: SystemTime,
}

#[derive(Default)]
struct State {
    nonces: BTreeMap<String, SystemTime>,
    sessions: BTreeMap<Digest, Session>,
}

/// All nonces and sessions of a node.
#[derive(Default)]
pub struct Sessions(Mutex<State>);

impl Sessions {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete by itself, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new nonce and when it ends.
    pub fn nonce(&self, now: SystemTime) -> Result<(String, SystemTime), SignInError> {
        let nonce = random_text()?;
        let expires = now + Duration::from_secs(NONCE_SECONDS_MAX);
        let mut state = self.state();
        state.nonces.retain(|_, until| *until > now);
        while state.nonces.len() >= NONCES_MAX {
            let oldest = state.nonces.iter().min_by_key(|(_, until)| **until).map(|(n, _)| n.clone());
            oldest.and_then(|n| state.nonces.remove(&n));
        }
        state.nonces.insert(nonce.clone(), expires);
        Ok((nonce, expires))
    }

    /// Checks a signed message made for `domain` and begins a session. Returns its token.
    pub fn sign_in(
        &self,
        domain: &str,
        text: &str,
        signature: &AccountSignature,
        now: SystemTime,
    ) -> Result<(String, Session), SignInError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(SignInError::Message(format!("longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        let message: Message = text.parse().map_err(|e| SignInError::Message(format!("{e}")))?;
        if self.state().nonces.remove(&message.nonce).is_none_or(|until| until <= now) {
            return Err(SignInError::Nonce);
        }
        if message.domain.as_str() != domain {
            return Err(SignInError::Domain { expected: domain.into(), found: message.domain.to_string() });
        }
        if !message.valid_now() {
            return Err(SignInError::Time);
        }
        let address = Address(message.address);
        // Over the text as it came, not as it would be printed again.
        match signature.recover(&personal_message_hash(text.as_bytes())) {
            Ok(signer) if signer == address => {}
            _ => return Err(SignInError::Signature(address)),
        }
        let token = random_text()?;
        let session = Session { address, expires: now + Duration::from_secs(SESSION_SECONDS) };
        let mut state = self.state();
        state.sessions.retain(|_, s| s.expires > now);
        while state.sessions.len() >= SESSIONS_MAX {
            let soonest = state.sessions.iter().min_by_key(|(_, s)| s.expires).map(|(t, _)| *t);
            soonest.and_then(|t| state.sessions.remove(&t));
        }
        state.sessions.insert(sha256(&[token.as_bytes()]), session.clone());
        Ok((token, session))
    }

    /// The session of a token, where it has not ended.
    pub fn session(&self, token: &str, now: SystemTime) -> Option<Session> {
        self.state().sessions.get(&sha256(&[token.as_bytes()])).filter(|s| s.expires > now).cloned()
    }

    /// Ends a session; whether there was one.
    pub fn revoke(&self, token: &str) -> bool {
        self.state().sessions.remove(&sha256(&[token.as_bytes()])).is_some()
    }
}

/// 128 bits from the operating system, as letters and digits (a nonce of EIP-4361 allows no others).
fn random_text() -> Result<String, SignInError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| SignInError::Randomness)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::{AccountKey, Timestamp};

    const DOMAIN: &str = "127.0.0.1:8420";

    fn text(key: &AccountKey, domain: &str, nonce: &str, expires: Option<SystemTime>) -> String {
        let expiry = expires.map(|t| format!("\nExpiration Time: {}", rfc3339(t))).unwrap_or_default();
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{}\n\nSign in to Openmesh.\n\nURI: http://{domain}\nVersion: 1\nChain ID: 84202\nNonce: {nonce}\nIssued At: {}{expiry}",
            key.address(),
            rfc3339(SystemTime::now() - Duration::from_secs(1)),
        )
    }

    fn rfc3339(time: SystemTime) -> String {
        let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        Timestamp::from_millis(i64::try_from(millis).unwrap()).to_rfc3339()
    }

    fn sign(key: &AccountKey, text: &str) -> AccountSignature {
        key.sign_hash(&personal_message_hash(text.as_bytes())).unwrap()
    }

    #[test]
    fn signs_in_once_and_can_be_revoked() {
        let sessions = Sessions::default();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let now = SystemTime::now();
        let (nonce, _) = sessions.nonce(now).unwrap();
        let message = text(&key, DOMAIN, &nonce, None);
        let signature = sign(&key, &message);
        let (token, session) = sessions.sign_in(DOMAIN, &message, &signature, now).unwrap();
        assert_eq!(session.address, key.address());
        assert_eq!(sessions.session(&token, now), Some(session.clone()));
        assert_eq!(sessions.session(&token, session.expires), None);
        assert_eq!(sessions.sign_in(DOMAIN, &message, &signature, now), Err(SignInError::Nonce), "replayed");
        assert!(sessions.revoke(&token) && !sessions.revoke(&token));
        assert_eq!(sessions.session(&token, now), None);
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let sessions = Sessions::default();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let other = AccountKey::from_bytes([8; 32]).unwrap();
        let now = SystemTime::now();
        let attempt = |domain: &str, expires, signer: &AccountKey| {
            let (nonce, _) = sessions.nonce(now).unwrap();
            let message = text(&key, domain, &nonce, expires);
            sessions.sign_in(DOMAIN, &message, &sign(signer, &message), now).map(|_| ()).unwrap_err().code()
        };
        assert_eq!(attempt("evil.example", None, &key), "wrong_domain");
        assert_eq!(attempt(DOMAIN, Some(now - Duration::from_millis(500)), &key), "message_expired");
        assert_eq!(attempt(DOMAIN, None, &other), "bad_signature");
        let made_up = text(&key, DOMAIN, "0123456789abcdef", None);
        assert_eq!(sessions.sign_in(DOMAIN, &made_up, &sign(&key, &made_up), now), Err(SignInError::Nonce));
        let garbage = sessions.sign_in(DOMAIN, "let me in", &sign(&key, "let me in"), now).unwrap_err();
        assert_eq!(garbage.code(), "bad_message");
        let (nonce, expires) = sessions.nonce(now).unwrap();
        let late = text(&key, DOMAIN, &nonce, None);
        assert_eq!(sessions.sign_in(DOMAIN, &late, &sign(&key, &late), expires), Err(SignInError::Nonce));
    }
}
