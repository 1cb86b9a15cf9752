//! Passes and codes of visitors: what is signed, for which place, and for how long it holds.
//!
//! Both are signed by HMAC-SHA-256 under a key of the application, which stands in the door's document. A signature by a key pair would let the door
//! check passes that it cannot make; but it is the door that lets people in, so whoever holds its memory needs no pass, and one key serves for both
//! directions: the agent makes codes, and the door makes passes of them while nobody waits for the agent. Application, host and TLS are part of what is
//! signed and not of the text, so that a pass for another place is no other case than a forged one.
//!
//! A pass ends by whichever clock says so first, the wall clock or the time since the machine's start: a clock set back extends nothing. One from the
//! future, as after a clock was set back, is refused.

use std::fmt;
use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::{PASS_AHEAD_MS_MAX, PASS_MS};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a visit's number: nobody guesses 128 bits.
pub const VISIT_BYTES: usize = 16;
/// Bytes of an Ethereum address.
const WALLET_BYTES: usize = 20;
/// Bytes that are signed of a pass: kind, wallet, run of the machine, both clocks, length of its life, visit.
const CONTENT_BYTES: usize = 1 + WALLET_BYTES + 4 * 8 + VISIT_BYTES;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// A key of HMAC-SHA-256. Printed it is a word, so that it is in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key([u8; KEY_BYTES]);

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has {} hexadecimal digits", 2 * KEY_BYTES)]
pub struct KeyError;

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Key, KeyError> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes).map(|()| Key(bytes)).map_err(|_| KeyError)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        hex::encode(key.0)
    }
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random() -> io::Result<Key> {
        Ok(Key(random()?))
    }

    /// The key of an application, from the machine's. Whoever learns it learns no other one.
    #[must_use]
    pub fn of(&self, application: &str) -> Key {
        let mut mac = self.mac();
        mac.update(b"openmesh door key 1 ");
        mac.update(application.as_bytes());
        Key(mac.finalize().into_bytes().into())
    }

    fn mac(&self) -> Hmac<Sha256> {
        // A block of SHA-256 with the key in front is the same key for HMAC.
        let mut block = [0; 64];
        block[..KEY_BYTES].copy_from_slice(&self.0);
        <Hmac<Sha256> as hmac::Mac>::new(&block.into())
    }
}

/// Random bytes of the operating system.
///
/// # Errors
/// It gives none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| io::Error::other(cause.to_string()))?;
    Ok(bytes)
}

/// An Ethereum address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wallet(pub [u8; WALLET_BYTES]);

impl Wallet {
    /// Reads `0x` and 40 hexadecimal digits of any case.
    pub fn parse(text: &str) -> Option<Wallet> {
        let mut bytes = [0; WALLET_BYTES];
        hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
        Some(Wallet(bytes))
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

/// Kind of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The agent's word that a wallet may come in, good once and for a minute.
    Code = 1,
    /// The door's, for as long as [`PASS_MS`].
    Pass = 2,
}

/// Place for which something is signed. It holds nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The application.
    pub application: &'a str,
    /// Name of the host, without a port: cookies know none.
    pub host: &'a str,
    /// The connection has TLS.
    pub tls: bool,
}

/// A reading of the machine's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Run of the machine: the beginning of the hash of its name.
    pub boot: u64,
    /// Time since the begin of that run, with the time in which the machine slept, milliseconds.
    pub boot_ms: u64,
    /// The wall clock, milliseconds since 1970.
    pub wall_ms: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Moment {
        static BOOT: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let boot = *BOOT.get_or_init(|| {
            let name = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let hash = Sha256::digest(name.trim_ascii());
            hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
        });
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let boot_ms = since.tv_sec.saturating_mul(1_000).saturating_add(since.tv_nsec / 1_000_000);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Moment { boot, boot_ms: u64::try_from(boot_ms).unwrap_or(0), wall_ms: u64::try_from(wall).unwrap_or(u64::MAX) }
    }

    /// True where this moment is in the same run of the machine as an earlier one and not before it. Nobody sets the clock that says so.
    pub fn follows(&self, earlier: &Moment) -> bool {
        self.boot == earlier.boot && self.boot_ms >= earlier.boot_ms
    }
}

/// Fault of a pass or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not signed for this place by its key.
    #[error("it was never given out for this place")]
    Forged,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// It was made in the future: the machine's clock was set back.
    #[error("it was made in the future, so that a clock has been set back")]
    Ahead,
}

/// A pass or a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// Its kind.
    pub kind: Kind,
    /// The wallet that has signed in.
    pub wallet: Wallet,
    /// Moment at which it was made.
    pub made: Moment,
    /// Length of its life, milliseconds.
    pub lasts_ms: u64,
    /// Number of the visit, which the browser has in a cookie: a code is of no use in another browser.
    pub visit: [u8; VISIT_BYTES],
}

impl Pass {
    /// Its text, signed for a place: hexadecimal digits.
    pub fn sign(&self, key: &Key, place: &Place<'_>) -> String {
        let content = self.content();
        let signature = signing(key, place, &content).finalize().into_bytes();
        hex::encode(content) + &hex::encode(signature)
    }

    /// Reads a text that was signed for a place and holds at this moment.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(text: &str, kind: Kind, key: &Key, place: &Place<'_>, now: &Moment) -> Result<Pass, Fault> {
        let mut bytes = [0; CONTENT_BYTES + SIGNATURE_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Fault::Forged)?;
        let (content, signature) = bytes.split_at(CONTENT_BYTES);
        // Compared in constant time.
        signing(key, place, content).verify_slice(signature).map_err(|_| Fault::Forged)?;
        let pass = Pass::of(content).filter(|pass| pass.kind == kind).ok_or(Fault::Forged)?;
        pass.left_ms(now)?;
        Ok(pass)
    }

    /// Time that is left of its life.
    ///
    /// # Errors
    /// [`Fault::Expired`] or [`Fault::Ahead`].
    pub fn left_ms(&self, now: &Moment) -> Result<u64, Fault> {
        if self.made.wall_ms > now.wall_ms.saturating_add(PASS_AHEAD_MS_MAX) {
            return Err(Fault::Ahead);
        }
        let by_wall = now.wall_ms.saturating_sub(self.made.wall_ms);
        let same_run = now.boot == self.made.boot;
        let by_run = if same_run { now.boot_ms.saturating_sub(self.made.boot_ms) } else { 0 };
        let left = self.lasts_ms.min(PASS_MS).saturating_sub(by_wall.max(by_run));
        if left == 0 { Err(Fault::Expired) } else { Ok(left) }
    }

    fn content(&self) -> [u8; CONTENT_BYTES] {
        let mut content = [0; CONTENT_BYTES];
        content[0] = self.kind as u8;
        content[1..21].copy_from_slice(&self.wallet.0);
        let numbers = [self.made.boot, self.made.boot_ms, self.made.wall_ms, self.lasts_ms];
        for (place, number) in content[21..53].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        content[53..].copy_from_slice(&self.visit);
        content
    }

    fn of(content: &[u8]) -> Option<Pass> {
        let number = |at: usize| Some(u64::from_be_bytes(*content.get(at..)?.first_chunk()?));
        let kind = match content.first()? {
            1 => Kind::Code,
            2 => Kind::Pass,
            _ => return None,
        };
        Some(Pass {
            kind,
            wallet: Wallet(*content.get(1..)?.first_chunk()?),
            made: Moment { boot: number(21)?, boot_ms: number(29)?, wall_ms: number(37)? },
            lasts_ms: number(45)?,
            visit: *content.get(53..)?.first_chunk()?,
        })
    }
}

/// The code over what is signed. Each part has its length before it, so that no two places have the same bytes.
fn signing(key: &Key, place: &Place<'_>, content: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.mac();
    mac.update(b"openmesh door pass 1 ");
    for part in [place.application.as_bytes(), place.host.as_bytes(), &[u8::from(place.tls)], content] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place<'_> = Place { application: "notes", host: "notes.lan", tls: true };
    const NOW: Moment = Moment { boot: 7, boot_ms: 1_000_000, wall_ms: 1_800_000_000_000 };

    fn pass(kind: Kind, lasts_ms: u64) -> Pass {
        Pass { kind, wallet: Wallet([3; 20]), made: NOW, lasts_ms, visit: [9; VISIT_BYTES] }
    }

    fn key() -> Key {
        Key([5; KEY_BYTES])
    }

    #[test]
    fn a_pass_holds_for_its_place_and_kind_alone() {
        let text = pass(Kind::Pass, 60_000).sign(&key(), &PLACE);
        let read = |kind, key: &Key, place: &Place<'_>| Pass::read(&text, kind, key, place, &NOW);
        assert_eq!(read(Kind::Pass, &key(), &PLACE), Ok(pass(Kind::Pass, 60_000)));
        assert_eq!(read(Kind::Code, &key(), &PLACE), Err(Fault::Forged));
        assert_eq!(read(Kind::Pass, &key().of("notes"), &PLACE), Err(Fault::Forged));
        for place in [
            Place { application: "note", ..PLACE },
            Place { host: "other.lan", ..PLACE },
            Place { tls: false, ..PLACE },
            // The same letters, cut elsewhere.
            Place { application: "notesn", host: "otes.lan", ..PLACE },
        ] {
            assert_eq!(read(Kind::Pass, &key(), &place), Err(Fault::Forged), "{place:?}");
        }
        assert_ne!(key().of("notes"), key().of("wiki"));
    }

    #[test]
    fn whichever_clock_says_so_first_ends_it() {
        let pass = pass(Kind::Pass, 60_000);
        let at = |boot: u64, boot_ms: u64, wall_ms: i64| {
            let wall_ms = NOW.wall_ms.saturating_add_signed(wall_ms);
            pass.left_ms(&Moment { boot, boot_ms: NOW.boot_ms + boot_ms, wall_ms })
        };
        assert_eq!(at(7, 59_999, 59_999), Ok(1));
        assert_eq!(at(7, 60_000, 0), Err(Fault::Expired), "the wall clock stands");
        assert_eq!(at(7, 0, 60_000), Err(Fault::Expired), "it was set forward");
        assert_eq!(at(7, 60_000, -4_000), Err(Fault::Expired), "it was set back a little");
        assert_eq!(at(7, 1_000, -86_400_000), Err(Fault::Ahead), "it was set back a day");
        // The machine has started anew: its own time has begun again.
        assert_eq!(at(8, 0, 59_000), Ok(1_000));
        assert_eq!(at(8, 0, 60_000), Err(Fault::Expired));
        // No text makes a life longer than a pass has.
        let endless = Pass { lasts_ms: u64::MAX, ..pass };
        assert_eq!(endless.left_ms(&NOW), Ok(PASS_MS));
    }

    #[test]
    fn a_key_is_printed_as_a_word_and_kept_as_digits() {
        assert_eq!(format!("{:?}", key()), "Key(secret)");
        let text = serde_json::to_string(&key()).expect("text");
        assert_eq!(text, format!("\"{}\"", "05".repeat(KEY_BYTES)));
        assert_eq!(serde_json::from_str::<Key>(&text).expect("a key"), key());
        assert!(serde_json::from_str::<Key>("\"05\"").is_err());
        assert_ne!(Key::random().expect("randomness"), Key::random().expect("randomness"));
    }

    proptest! {
        #[test]
        fn passes_are_read_back(
            wallet in any::<[u8; 20]>(), boot in any::<u64>(), boot_ms in any::<u64>(), wall_ms in any::<u64>(),
            lasts_ms in 1..PASS_MS, visit in any::<[u8; VISIT_BYTES]>(), secret in any::<[u8; KEY_BYTES]>(),
        ) {
            let made = Moment { boot, boot_ms, wall_ms };
            let pass = Pass { kind: Kind::Pass, wallet: Wallet(wallet), made, lasts_ms, visit };
            let text = pass.sign(&Key(secret), &PLACE);
            prop_assert_eq!(Pass::read(&text, Kind::Pass, &Key(secret), &PLACE, &made), Ok(pass));
            prop_assert_eq!(Wallet::parse(&pass.wallet.to_string()), Some(pass.wallet));
        }

        #[test]
        fn any_changed_bit_is_a_forgery(bit in 0..(CONTENT_BYTES + SIGNATURE_BYTES) * 8) {
            let mut bytes = hex::decode(pass(Kind::Code, 60_000).sign(&key(), &PLACE)).expect("digits");
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = Pass::read(&hex::encode(bytes), Kind::Code, &key(), &PLACE, &NOW);
            prop_assert_eq!(read, Err(Fault::Forged));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
            prop_assert_eq!(Pass::read(&text, Kind::Pass, &key(), &PLACE, &NOW), Err(Fault::Forged));
        }
    }
}
