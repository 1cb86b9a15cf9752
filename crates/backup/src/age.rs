//! Files in the format of age for X25519 recipients, as far as key files need it (B-2, B-3).
//!
//! Source: <https://age-encryption.org/v1> (C2SP). Of the payload, one chunk of at most 64 KiB is written and read; of the recipients' stanzas, those
//! of type X25519 are tried and others are passed over.

use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use data_encoding::BASE64_NOPAD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::bech32;
use crate::error::BackupError;
use crate::secret::random;

/// First line of a file.
const VERSION_LINE: &str = "age-encryption.org/v1";
/// Prefix of a recipient's text.
const RECIPIENT_PREFIX: &str = "age";
/// Prefix of an identity's text.
const IDENTITY_PREFIX: &str = "age-secret-key-";
/// Bytes of a file's key.
const FILE_KEY_BYTES: usize = 16;
/// Bytes of a wrapped file key: with its tag.
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + 16;
/// Columns of a full line of a stanza's body.
const COLUMNS: usize = 64;
/// Largest file that is read, bytes: one chunk of payload, and more stanzas than a repository has owners.
pub const FILE_BYTES_MAX: usize = 128 << 10;
/// Largest payload, bytes: one chunk of the format.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Stanzas that are read: bounds the work that a hostile file makes.
const STANZAS_MAX: usize = 64;

/// The public half of an owner's key (`age1...`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient([u8; 32]);

/// The secret half of an owner's key (`AGE-SECRET-KEY-1...`).
#[derive(Clone)]
pub struct Identity([u8; 32]);

impl Identity {
    /// A new identity from the operating system's randomness.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Identity, BackupError> {
        random().map(Identity)
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(x25519(self.0, X25519_BASEPOINT_BYTES))
    }

    /// 32 secret bytes for another purpose (HKDF-SHA256 without a salt): nobody who has them learns the identity, or those of a further purpose.
    pub(crate) fn derived(&self, purpose: &[u8]) -> [u8; 32] {
        derive(&[], &self.0, purpose)
    }

    /// Its text: a secret, for a file that only its owner reads.
    pub fn secret_text(&self) -> String {
        bech32::encode(IDENTITY_PREFIX, &self.0).to_ascii_uppercase()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT_PREFIX, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Recipient {
    type Err = BackupError;
    fn from_str(text: &str) -> Result<Recipient, BackupError> {
        let bytes = bech32::decode(RECIPIENT_PREFIX, text);
        bytes.map(Recipient).ok_or_else(|| key("not a recipient of age: `age1` and 58 letters and digits are wanted"))
    }
}

impl FromStr for Identity {
    type Err = BackupError;
    /// Reads an identity, also as the file that `age-keygen` writes. The text is never in a message.
    fn from_str(text: &str) -> Result<Identity, BackupError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let bytes = lines.next().and_then(|line| bech32::decode(IDENTITY_PREFIX, line));
        let one = bytes.filter(|_| lines.next().is_none());
        one.map(Identity).ok_or_else(|| key("not one identity of age: a line with `AGE-SECRET-KEY-1` is wanted"))
    }
}

fn key(what: &str) -> BackupError {
    BackupError::Key { what: what.to_string() }
}

/// Seals some bytes into a file of age, for each of the recipients. With nothing but `age` and the identity, a person opens it.
///
/// # Errors
/// No recipient is given, there are more than [`PAYLOAD_BYTES_MAX`] bytes, or the system has no randomness.
pub fn seal_file(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, BackupError> {
    if plain.len() > PAYLOAD_BYTES_MAX {
        return Err(key("more bytes than one chunk of a file of age holds, which are 65536"));
    }
    encrypt(recipients, plain)
}

/// Opens a file of age that [`seal_file`] made, or another with one chunk for X25519 recipients; none where it is for none of the identities.
///
/// # Errors
/// It is not what was sealed.
pub fn open_file(identities: &[Identity], file: &[u8]) -> Result<Option<Vec<u8>>, BackupError> {
    match decrypt(identities, file) {
        Ok(plain) => Ok(Some(plain)),
        Err(Fault::Others) => Ok(None),
        Err(Fault::Broken(what)) => Err(BackupError::Key { what: format!("the file of age cannot be opened: {what}") }),
    }
}

/// Encrypts some bytes to recipients.
pub(crate) fn encrypt(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, BackupError> {
    if recipients.is_empty() {
        return Err(key("a key file without recipients could be opened by nobody; name one"));
    }
    let file_key: [u8; FILE_KEY_BYTES] = random()?;
    let mut header = format!("{VERSION_LINE}\n");
    for recipient in recipients {
        let ephemeral: [u8; 32] = random()?;
        let share = x25519(ephemeral, X25519_BASEPOINT_BYTES);
        let shared =
            agreed(ephemeral, recipient.0).ok_or_else(|| key("the recipient is no key: a point of low order"))?;
        let wrap = wrap_key(&shared, &share, &recipient.0);
        let wrapped = aead(&wrap).encrypt(&Nonce::default(), file_key.as_slice());
        let wrapped = wrapped.map_err(|_| key("the file key could not be wrapped"))?;
        header += &format!("-> X25519 {}\n{}\n", BASE64_NOPAD.encode(&share), BASE64_NOPAD.encode(&wrapped));
    }
    header += "---";
    let mac = mac(&file_key, header.as_bytes()).finalize().into_bytes();
    let nonce: [u8; 16] = random()?;
    let sealed = aead(&derive(&nonce, &file_key, b"payload")).encrypt(&LAST_CHUNK.into(), plain);
    let sealed = sealed.map_err(|_| key("the key file's content could not be sealed"))?;
    let mut file = format!("{header} {}\n", BASE64_NOPAD.encode(&mac)).into_bytes();
    file.extend(nonce);
    file.extend(sealed);
    Ok(file)
}

/// Nonce of a payload's first chunk that is also its last.
const LAST_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Faults of a file of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is for others.
    Others,
    /// It is not as the format says, in words.
    Broken(&'static str),
}

/// Decrypts a file with one of some identities.
pub(crate) fn decrypt(identities: &[Identity], file: &[u8]) -> Result<Vec<u8>, Fault> {
    let header = Header::read(file)?;
    let keys = header.stanzas.iter().flat_map(|stanza| identities.iter().map(move |identity| (stanza, identity)));
    let file_key = keys.filter_map(|((share, body), identity)| unwrap(identity, share, body)).next();
    let file_key = file_key.ok_or(Fault::Others)?;
    let sum = mac(&file_key, header.authenticated).verify_slice(header.mac.as_slice());
    sum.map_err(|_| Fault::Broken("its head was changed"))?;
    let (nonce, sealed) =
        header.payload.split_first_chunk::<16>().ok_or(Fault::Broken("it ends before its content"))?;
    if sealed.len() > PAYLOAD_BYTES_MAX + 16 {
        return Err(Fault::Broken("its content is too long for a key file"));
    }
    let plain = aead(&derive(nonce, &file_key, b"payload")).decrypt(&LAST_CHUNK.into(), sealed);
    plain.map_err(|_| Fault::Broken("its content was changed"))
}

struct Header<'a> {
    /// Shares and wrapped keys of the stanzas of type X25519.
    stanzas: Vec<([u8; 32], [u8; WRAPPED_BYTES])>,
    /// Bytes under the MAC.
    authenticated: &'a [u8],
    mac: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(file: &'a [u8]) -> Result<Header<'a>, Fault> {
        let mut lines = Lines { file, at: 0 };
        if lines.next()?.1 != VERSION_LINE {
            return Err(Fault::Broken("it is no file of age"));
        }
        let mut stanzas = Vec::new();
        for _ in 0..=STANZAS_MAX {
            let (start, text) = lines.next()?;
            if let Some(mac) = text.strip_prefix("--- ") {
                let mac = base64(mac).ok_or(Fault::Broken("its sum cannot be read"))?;
                return Ok(Header { stanzas, authenticated: &file[..start + 3], mac, payload: &file[lines.at..] });
            }
            let arguments = text.strip_prefix("-> ").ok_or(Fault::Broken("its head cannot be read"))?;
            let mut body = String::new();
            loop {
                let (_, text) = lines.next()?;
                body += text;
                if text.len() < COLUMNS {
                    break;
                }
            }
            if let Some(share) = arguments.strip_prefix("X25519 ") {
                let read = base64(share).and_then(|share| share.try_into().ok());
                let read = read.zip(base64(&body).and_then(|body| body.try_into().ok()));
                stanzas.push(read.ok_or(Fault::Broken("a recipient's part cannot be read"))?);
            }
        }
        Err(Fault::Broken("it has too many recipients"))
    }
}

/// Lines of a header.
struct Lines<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line and the place of its first byte.
    fn next(&mut self) -> Result<(usize, &'a str), Fault> {
        let broken = Fault::Broken("its head has no end");
        let rest = self.file.get(self.at..).ok_or(broken)?;
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(broken)?;
        let start = self.at;
        self.at += length + 1;
        Ok((start, std::str::from_utf8(&rest[..length]).map_err(|_| broken)?))
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64_NOPAD.decode(text.as_bytes()).ok()
}

fn unwrap(identity: &Identity, share: &[u8; 32], body: &[u8; WRAPPED_BYTES]) -> Option<[u8; FILE_KEY_BYTES]> {
    let shared = agreed(identity.0, *share)?;
    let wrap = wrap_key(&shared, share, &identity.recipient().0);
    aead(&wrap).decrypt(&Nonce::default(), body.as_slice()).ok()?.try_into().ok()
}

/// The shared secret of two halves; none for a point of low order, which would make it known to everybody.
fn agreed(secret: [u8; 32], public: [u8; 32]) -> Option<[u8; 32]> {
    let shared = x25519(secret, public);
    shared.iter().any(|byte| *byte != 0).then_some(shared)
}

fn wrap_key(shared: &[u8; 32], share: &[u8; 32], recipient: &[u8; 32]) -> [u8; 32] {
    let salt = [share.as_slice(), recipient].concat();
    derive(&salt, shared, b"age-encryption.org/v1/X25519")
}

fn derive(salt: &[u8], from: &[u8], purpose: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    // It fails for more than 8,160 bytes only.
    let _ = Hkdf::<Sha256>::new(Some(salt), from).expand(purpose, &mut bytes);
    bytes
}

fn mac(file_key: &[u8; FILE_KEY_BYTES], header: &[u8]) -> Hmac<Sha256> {
    let key = derive(&[], file_key, b"header");
    // A block of SHA-256 with the key in front is the same key for HMAC.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&key);
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new(&block.into());
    mac.update(header);
    mac
}

fn aead(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_by_each_of_its_recipients_and_nobody_else() {
        let keys: Vec<Identity> = (0..3).map(|_| Identity::generate().unwrap()).collect();
        let file = encrypt(&[keys[0].recipient(), keys[1].recipient()], b"secret").unwrap();
        for key in &keys[..2] {
            assert_eq!(decrypt(&[keys[2].clone(), key.clone()], &file).unwrap(), b"secret");
        }
        assert_eq!(decrypt(&keys[2..], &file), Err(Fault::Others));
        assert!(encrypt(&[], b"").is_err());
        assert!(encrypt(&[Recipient([0; 32])], b"").is_err(), "a point of low order");
    }

    #[test]
    fn every_flipped_bit_and_every_short_end_is_refused() {
        let key = [Identity::generate().unwrap()];
        let file = encrypt(&[key[0].recipient()], b"secret").unwrap();
        for bit in 0..file.len() * 8 {
            let mut wrong = file.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(decrypt(&key, &wrong).is_err(), "bit {bit}");
        }
        for end in 0..file.len() {
            assert!(decrypt(&key, &file[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn texts_of_keys_are_those_of_age() {
        // Made by Debian's age-keygen.
        let file = "# created: 2026-11-29T07:30:00Z\n# public key: age1aa635u53k7l77y7lpchkdsvhdumdnzq745gycsygvpyj5pqvaauqhssn0k\nAGE-SECRET-KEY-1SVAHTJM63C7XUGMK2RSCNC7CNQE8C3HCU9CWG2JRW3AT28RG7KEQD6KV4Y\n";
        let identity: Identity = file.parse().unwrap();
        assert_eq!(identity.recipient().to_string(), "age1aa635u53k7l77y7lpchkdsvhdumdnzq745gycsygvpyj5pqvaauqhssn0k");
        assert_eq!(
            identity.secret_text(),
            "AGE-SECRET-KEY-1SVAHTJM63C7XUGMK2RSCNC7CNQE8C3HCU9CWG2JRW3AT28RG7KEQD6KV4Y"
        );
        assert_eq!(
            "age1aa635u53k7l77y7lpchkdsvhdumdnzq745gycsygvpyj5pqvaauqhssn0k".parse::<Recipient>().unwrap(),
            identity.recipient()
        );
        assert!("AGE-SECRET-KEY-1".parse::<Identity>().is_err());
        assert_eq!(
            format!("{identity:?}"),
            "Identity of age1aa635u53k7l77y7lpchkdsvhdumdnzq745gycsygvpyj5pqvaauqhssn0k"
        );
    }
}
