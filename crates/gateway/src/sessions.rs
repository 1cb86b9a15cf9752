//! Signing in with a wallet: nonces, messages, sessions.
//!
//! Source: EIP-4361, "Sign-In with Ethereum". The nonce is made here, is good for one use within minutes, and is taken
//! out before the signature is even looked at, so a message can never be presented twice, not even at the same moment.
//! Sessions are random tokens of which only the SHA-256 is kept: whoever reads this process's memory dump or a log of
//! it cannot become somebody else. Of a person nothing is kept but the address. Sessions end with the process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use openmesh_api::ErrorCode;
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountSignature, Address, Digest, sha256};
use signinwithethereum::Message;

/// Time for which a nonce can be used, in seconds: reading and signing a message takes a person minutes.
const NONCE_SECONDS_MAX: u64 = 300;
/// Nonces that wait at once.
const NONCES_MAX: usize = 10_000;
/// Nonces of one address that wait at once: enough for all who sit behind one proxy, and too few to push out others'.
const NONCES_PER_CLIENT_MAX: usize = 256;
/// Bits of an IPv6 address that are one client: whoever has one such address has all of its network.
const CLIENT_BITS: u32 = 64;
/// Ethereum's main network. Wallets that are connected to it, as most are, refuse to sign a message for a chain that they do
/// not know; nothing is done on a chain by signing in, so its number is as good as our own.
const MAIN_CHAIN_ID: u64 = 1;
/// Length of a session, in seconds: a working day and the next morning.
const SESSION_SECONDS: u64 = 24 * 3_600;
/// Sessions at once; the ones that end soonest are dropped beyond that.
const SESSIONS_MAX: usize = 10_000;
/// Longest message that is parsed, in bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Error of signing in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Not a message of EIP-4361.
    #[error("the message is not one of EIP-4361: {0}")]
    Message(String),
    /// Made for another site: somebody may be trying to use a signature given elsewhere.
    #[error("the message was made for {found}, this is {}", expected.join(" or "))]
    Domain {
        /// Names of this site.
        expected: Vec<String>,
        /// From the message.
        found: String,
    },
    /// Its URI is of another site than its domain.
    #[error("the message's URI {found} is not of {domain}, for which it was made")]
    Uri {
        /// The message's domain.
        domain: String,
        /// Its URI.
        found: String,
    },
    /// Made for another chain.
    #[error("the message was made for chain {found}, this is {expected}")]
    Chain {
        /// This network's number.
        expected: u64,
        /// From the message.
        found: u64,
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
    #[error("the operating system provided no random bytes")]
    Randomness,
}

impl SignInError {
    /// Code of the refusal.
    pub const fn code(&self) -> ErrorCode {
        match self {
            SignInError::Message(_) => ErrorCode::BadMessage,
            SignInError::Domain { .. } => ErrorCode::WrongDomain,
            SignInError::Uri { .. } => ErrorCode::WrongUri,
            SignInError::Chain { .. } => ErrorCode::WrongChain,
            SignInError::Nonce => ErrorCode::NonceRefused,
            SignInError::Time => ErrorCode::MessageExpired,
            SignInError::Signature(_) => ErrorCode::BadSignature,
            SignInError::Randomness => ErrorCode::Internal,
        }
    }
}

/// A session that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Address that signed in.
    pub address: Address,
    /// Time of its end.
    pub expires: SystemTime,
}

struct Nonce {
    expires: SystemTime,
    client: IpAddr,
}

#[derive(Default)]
struct State {
    nonces: BTreeMap<String, Nonce>,
    sessions: BTreeMap<Digest, Session>,
}

impl State {
    /// Drops nonces until there is room for one more: of whoever has too many, or else of whoever has most.
    fn make_room(&mut self, client: IpAddr) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        self.nonces.values().for_each(|nonce| *counts.entry(nonce.client).or_default() += 1);
        let greedy = if counts.get(&client).is_some_and(|count| *count >= NONCES_PER_CLIENT_MAX) {
            client
        } else if self.nonces.len() >= NONCES_MAX {
            counts.into_iter().max_by_key(|(_, count)| *count).map_or(client, |(greedy, _)| greedy)
        } else {
            return;
        };
        let of_greedy = self.nonces.iter().filter(|(_, nonce)| nonce.client == greedy);
        let oldest = of_greedy.min_by_key(|(_, nonce)| nonce.expires).map(|(text, _)| text.clone());
        oldest.and_then(|text| self.nonces.remove(&text));
    }
}

/// The client behind an address, as far as the address shows it.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> (u128::BITS - CLIENT_BITS) << (u128::BITS - CLIENT_BITS);
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}

/// Audience that messages must be made for.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// Names of this site: hosts, with the port where it is not the scheme's own.
    pub hosts: Vec<String>,
    /// The network's number.
    pub chain_id: u64,
}

impl Audience {
    /// Domain and URI are what a wallet shows; they are compared with what the operator says that this site is called, never
    /// with what a request says.
    fn check(&self, message: &Message) -> Result<(), SignInError> {
        let domain = message.domain.as_str();
        if !self.hosts.iter().any(|host| host.eq_ignore_ascii_case(domain)) {
            return Err(SignInError::Domain { expected: self.hosts.clone(), found: domain.into() });
        }
        if message.uri.authority_str() != Some(domain) {
            return Err(SignInError::Uri { domain: domain.into(), found: message.uri.to_string() });
        }
        if ![self.chain_id, MAIN_CHAIN_ID].contains(&message.chain_id) {
            return Err(SignInError::Chain { expected: self.chain_id, found: message.chain_id });
        }
        Ok(())
    }
}

/// All nonces and sessions of a node.
#[derive(Default)]
pub struct Sessions {
    audience: Audience,
    state: Mutex<State>,
}

impl Sessions {
    /// Without any yet.
    pub fn new(audience: Audience) -> Sessions {
        Sessions { audience, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete by itself, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new nonce for a client at this address, and the time of its end. Fails where the system gives no random bytes.
    pub fn nonce(&self, from: IpAddr, now: SystemTime) -> Result<(String, SystemTime), SignInError> {
        let nonce = random_text()?;
        let expires = now + Duration::from_secs(NONCE_SECONDS_MAX);
        let mut state = self.state();
        state.nonces.retain(|_, nonce| nonce.expires > now);
        let client = client(from);
        state.make_room(client);
        state.nonces.insert(nonce.clone(), Nonce { expires, client });
        Ok((nonce, expires))
    }

    /// Checks a signed message and begins a session. Returns its token. Fails where the message, its nonce, its times or its
    /// signature do not hold.
    pub fn sign_in(
        &self,
        text: &str,
        signature: &AccountSignature,
        now: SystemTime,
    ) -> Result<(String, Session), SignInError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(SignInError::Message(format!("longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        let message: Message = text.parse().map_err(|e| SignInError::Message(format!("{e}")))?;
        if self.state().nonces.remove(&message.nonce).is_none_or(|nonce| nonce.expires <= now) {
            return Err(SignInError::Nonce);
        }
        self.audience.check(&message)?;
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

    /// Ends a session; returns false where there was none.
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const CHAIN: u64 = 84_202;

    fn sessions() -> Sessions {
        Sessions::new(Audience { hosts: vec!["studio.example".into(), DOMAIN.into()], chain_id: CHAIN })
    }

    fn text(key: &AccountKey, domain: &str, nonce: &str, expires: Option<SystemTime>) -> String {
        message(key, domain, &format!("http://{domain}"), CHAIN, nonce, expires)
    }

    fn message(
        key: &AccountKey,
        domain: &str,
        uri: &str,
        chain: u64,
        nonce: &str,
        expires: Option<SystemTime>,
    ) -> String {
        let expiry = expires.map(|t| format!("\nExpiration Time: {}", rfc3339(t))).unwrap_or_default();
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{}\n\nSign in to Openmesh.\n\nURI: {uri}\nVersion: 1\nChain ID: {chain}\nNonce: {nonce}\nIssued At: {}{expiry}",
            key.address(),
            rfc3339(SystemTime::now() - Duration::from_secs(1)),
        )
    }

    #[test]
    fn domain_uri_and_chain_are_those_of_this_site() {
        let sessions = sessions();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let attempt = |domain: &str, uri: &str, chain: u64| {
            let (nonce, _) = sessions.nonce(HERE, SystemTime::now()).unwrap();
            let message = message(&key, domain, uri, chain, &nonce, None);
            sessions
                .sign_in(&message, &sign(&key, &message), SystemTime::now())
                .map_or_else(|e| e.code().as_str(), |_| "ok")
        };
        assert_eq!(attempt(DOMAIN, &format!("http://{DOMAIN}"), CHAIN), "ok");
        assert_eq!(attempt("Studio.Example", "https://Studio.Example/network", 1), "ok");
        assert_eq!(attempt("evil.example", "https://evil.example", CHAIN), "wrong_domain");
        assert_eq!(attempt(DOMAIN, "https://evil.example", CHAIN), "wrong_uri");
        assert_eq!(attempt(DOMAIN, "urn:openmesh", CHAIN), "wrong_uri");
        assert_eq!(attempt(DOMAIN, &format!("http://{DOMAIN}"), 5), "wrong_chain");
    }

    #[test]
    fn whoever_floods_pushes_out_their_own() {
        let sessions = sessions();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let now = SystemTime::now();
        let (nonce, _) = sessions.nonce(HERE, now).unwrap();
        // All of one network of IPv6 are one client.
        for host in 0..u128::try_from(NONCES_PER_CLIENT_MAX).unwrap() + 10 {
            let from: std::net::Ipv6Addr = (0x2001_0db8_u128 << 96 | host).into();
            sessions.nonce(from.into(), now).unwrap();
        }
        assert_eq!(sessions.state().nonces.len(), NONCES_PER_CLIENT_MAX + 1);
        // Where all places are taken, whoever has most makes room.
        let taken = sessions.state().nonces.len();
        for number in taken..NONCES_MAX {
            let from = std::net::Ipv4Addr::from(0x0a00_0000 | (u32::try_from(number).unwrap() % 100));
            let nonce = Nonce { expires: now + Duration::from_secs(1), client: from.into() };
            sessions.state().nonces.insert(format!("filled {number}"), nonce);
        }
        for other in 1..50 {
            sessions.nonce(std::net::Ipv4Addr::new(192, 0, 2, other).into(), now).unwrap();
        }
        assert_eq!(sessions.state().nonces.len(), NONCES_MAX);
        let message = text(&key, DOMAIN, &nonce, None);
        assert!(sessions.sign_in(&message, &sign(&key, &message), now).is_ok(), "the first one's is still there");
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
        let sessions = sessions();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let now = SystemTime::now();
        let (nonce, _) = sessions.nonce(HERE, now).unwrap();
        let message = text(&key, DOMAIN, &nonce, None);
        let signature = sign(&key, &message);
        let (token, session) = sessions.sign_in(&message, &signature, now).unwrap();
        assert_eq!(session.address, key.address());
        assert_eq!(sessions.session(&token, now), Some(session.clone()));
        assert_eq!(sessions.session(&token, session.expires), None);
        assert_eq!(sessions.sign_in(&message, &signature, now), Err(SignInError::Nonce), "replayed");
        assert!(sessions.revoke(&token) && !sessions.revoke(&token));
        assert_eq!(sessions.session(&token, now), None);
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let sessions = sessions();
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let other = AccountKey::from_bytes([8; 32]).unwrap();
        let now = SystemTime::now();
        let attempt = |domain: &str, expires, signer: &AccountKey| {
            let (nonce, _) = sessions.nonce(HERE, now).unwrap();
            let message = text(&key, domain, &nonce, expires);
            sessions.sign_in(&message, &sign(signer, &message), now).map(|_| ()).unwrap_err().code()
        };
        assert_eq!(attempt("evil.example", None, &key), ErrorCode::WrongDomain);
        assert_eq!(attempt(DOMAIN, Some(now - Duration::from_millis(500)), &key), ErrorCode::MessageExpired);
        assert_eq!(attempt(DOMAIN, None, &other), ErrorCode::BadSignature);
        let made_up = text(&key, DOMAIN, "0123456789abcdef", None);
        assert_eq!(sessions.sign_in(&made_up, &sign(&key, &made_up), now), Err(SignInError::Nonce));
        let garbage = sessions.sign_in("let me in", &sign(&key, "let me in"), now).unwrap_err();
        assert_eq!(garbage.code(), ErrorCode::BadMessage);
        let (nonce, expires) = sessions.nonce(HERE, now).unwrap();
        let late = text(&key, DOMAIN, &nonce, None);
        assert_eq!(sessions.sign_in(&late, &sign(&key, &late), expires), Err(SignInError::Nonce));
    }
}
