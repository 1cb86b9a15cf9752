//! Index of a catalogue of templates: what a publisher has signed, and every reason for which it is not taken.
//!
//! One file of four parts: a line with the format, a line with the publisher's public key, a line with the signature, and the index as JSON in one form. Signed is the
//! hash of those bytes of JSON behind the name of the format, so that a key's other signatures are none of this one. The index names each text by its hash: whoever
//! holds a right index knows right texts from wrong ones, wherever they come from.
//!
//! A number that grows with each index, and the moment until which it holds, are what is left of The Update Framework (theupdateframework.io) where there is one key
//! and one role: an old index is not taken again (rollback), one that is never renewed ends (freeze), and two of one number are told apart (fork).

use std::collections::BTreeSet;
use std::str::FromStr;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::template::{OTHERS_BYTES_MAX, is_hidden};
use openmesh_primitives::{Digest, Timestamp, ValidatorKey, ValidatorPublicKey, ValidatorSignature, sha256};
use serde::{Deserialize, Serialize};

/// First line of an index.
pub const FORMAT: &str = "openmesh catalogue 1";
/// Name of its file, in a folder or below an address.
pub const INDEX_FILE: &str = "catalogue.index";
/// Largest index with its head, in bytes: that of [`ENTRIES_MAX`] templates has a fifth of it.
pub const INDEX_BYTES_MAX: usize = 512 << 10;
/// Most texts of a catalogue: each is kept in memory as the tree that it is filled in from.
pub const ENTRIES_MAX: usize = 200;
/// Most bytes of all texts and icons.
pub const TEXTS_BYTES_MAX: u64 = 16 << 20;
/// Largest icon, in bytes.
pub const ICON_BYTES_MAX: usize = 8 << 10;
/// Greatest version of a template.
pub const VERSION_MAX: u32 = 999_999;
/// Longest time for which an index holds, in days: a publisher that is gone for a year is one.
pub const LIFE_DAYS_MAX: u32 = 400;
/// Nanoseconds of a day.
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
/// Longest name of a publisher, in characters.
const PUBLISHER_CHARS_MAX: usize = 60;
/// Longest part of a wrong first line, or of a wrong name, that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 40;
/// Longest words about what somebody else has written, in characters: they are kept, and told again and again.
pub(crate) const WORDS_CHARS_MAX: usize = 400;
/// Characters of this program's own name that make a publisher's a name like it, beside letters that are none of ASCII.
const LIKE_CHARS_MIN: usize = 4;

/// A text of a catalogue, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Their number.
    pub bytes: u64,
}

impl Part {
    /// The part of these bytes.
    pub fn of(bytes: &[u8]) -> Part {
        Part { sha256: sha256(&[bytes]), bytes: bytes.len() as u64 }
    }
}

/// A template of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its text.
    pub text: Part,
    /// Its icon; one for all versions.
    pub icon: Option<Part>,
}

impl Entry {
    /// Name of the file with its text: `shop@3.yaml`.
    pub fn text_file(&self) -> String {
        format!("{}@{}.yaml", self.name, self.version)
    }

    /// Name of the file with its icon: `shop.svg`.
    pub fn icon_file(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// Its files with their parts.
    pub fn files(&self) -> impl Iterator<Item = (String, Part)> {
        let icon = self.icon.map(|icon| (self.icon_file(), icon));
        std::iter::once((self.text_file(), self.text)).chain(icon)
    }
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Name that the publisher gives the catalogue: one key may sign several.
    pub catalogue: String,
    /// Publisher, for people.
    pub publisher: String,
    /// Number, which grows with each index of the catalogue.
    pub sequence: u64,
    /// Moment at which it was signed.
    pub signed: Timestamp,
    /// Moment from which it holds no more.
    pub expires: Timestamp,
    /// Templates, by name and from the oldest version to the newest.
    pub templates: Vec<Entry>,
}

/// Traces that an index leaves with whoever took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Name of the catalogue.
    pub catalogue: String,
    /// Highest number.
    pub sequence: u64,
    /// Hash of that index.
    pub digest: Digest,
}

/// A reason for which an index is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexRefusal {
    /// More bytes than an index has.
    #[error("the index has more than {INDEX_BYTES_MAX} bytes")]
    TooLarge,
    /// Another format.
    #[error(
        "the index begins with `{found}`, and `{FORMAT}` is the only format that is known; a newer program may know it"
    )]
    Format {
        /// Beginning of its first line.
        found: String,
    },
    /// A form that an index does not have.
    #[error("the index is not of its form: {0}")]
    Form(String),
    /// Signed by another key.
    #[error(
        "the index is signed by the key {found}, and the document names {wanted}; ask the publisher, another way than by the catalogue, which one is right"
    )]
    Key {
        /// The key in it.
        found: ValidatorPublicKey,
        /// The key that was expected.
        wanted: ValidatorPublicKey,
    },
    /// A signature that is not the key's over these bytes.
    #[error("the signature of the index is not that of its key: it was changed, or cut off, on its way")]
    Signature,
    /// Over.
    #[error("the index ended on {}: its publisher has not renewed it, or somebody holds back newer ones", at.to_rfc3339())]
    Expired {
        /// Its end.
        at: Timestamp,
    },
    /// Not signed yet.
    #[error("the index was signed on {}, which is yet to come: the clock of this machine is wrong, or the publisher's was", at.to_rfc3339())]
    Early {
        /// Its moment.
        at: Timestamp,
    },
    /// An older one than was seen.
    #[error("the index has the number {found}, and {seen} was seen before: somebody serves an old one")]
    Older {
        /// Its number.
        found: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// Another one of a number that was seen.
    #[error("the index has the number {sequence} and is not the one that was seen under it: its publisher signed two")]
    Fork {
        /// The number.
        sequence: u64,
    },
    /// Another catalogue.
    #[error("the index is that of the catalogue `{found}`, and `{seen}` was seen at this place")]
    Other {
        /// Name in it.
        found: String,
        /// Name that was seen.
        seen: String,
    },
    /// A text that was changed under its version.
    #[error("the text of {template} is another one than before, under the same version; a change needs a new version")]
    Altered {
        /// Name and version.
        template: String,
    },
}

impl IndexRefusal {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            IndexRefusal::TooLarge => "catalogue_too_large",
            IndexRefusal::Format { .. } => "catalogue_format",
            IndexRefusal::Form(_) => "catalogue_form",
            IndexRefusal::Key { .. } => "catalogue_key",
            IndexRefusal::Signature => "catalogue_signature",
            IndexRefusal::Expired { .. } => "catalogue_expired",
            IndexRefusal::Early { .. } => "catalogue_early",
            IndexRefusal::Older { .. } => "catalogue_older",
            IndexRefusal::Fork { .. } => "catalogue_fork",
            IndexRefusal::Other { .. } => "catalogue_other",
            IndexRefusal::Altered { .. } => "catalogue_altered",
        }
    }
}

/// An index whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The index.
    pub index: Index,
    /// Hash of the bytes that were signed.
    pub digest: Digest,
}

/// Opens an index that a key has signed. Nothing in it is looked at before its signature.
///
/// # Errors
/// It is too large, of another format, signed by another key or not rightly, or not of its form.
pub fn open(bytes: &[u8], key: &ValidatorPublicKey) -> Result<Opened, IndexRefusal> {
    if bytes.len() > INDEX_BYTES_MAX {
        return Err(IndexRefusal::TooLarge);
    }
    let (format, rest) = line(bytes);
    if format != FORMAT.as_bytes() {
        return Err(IndexRefusal::Format { found: shown(&String::from_utf8_lossy(format), SHOWN_CHARS_MAX) });
    }
    let (own, rest) = line(rest);
    let (signature, body) = line(rest);
    let own: ValidatorPublicKey = word(own, "key ")?;
    if own != *key {
        return Err(IndexRefusal::Key { found: own, wanted: *key });
    }
    let signature: ValidatorSignature = word(signature, "signature ")?;
    let digest = sha256(&[body]);
    key.verify(&message(&digest), &signature).map_err(|_| IndexRefusal::Signature)?;
    let form = |error: serde_json::Error| IndexRefusal::Form(shown(&error.to_string(), WORDS_CHARS_MAX));
    let index: Index = serde_json::from_slice(body).map_err(form)?;
    if index.text().as_bytes() != body {
        return Err(IndexRefusal::Form("its JSON is not in the one form that is signed".to_string()));
    }
    index.check()?;
    Ok(Opened { index, digest })
}

/// Signs an index: the bytes of its file.
///
/// # Errors
/// It is not of its form, or too large.
pub fn seal(index: &Index, key: &ValidatorKey) -> Result<String, IndexRefusal> {
    index.check()?;
    let body = index.text();
    let signature = key.sign(&message(&sha256(&[body.as_bytes()])));
    let sealed = format!("{FORMAT}\nkey {}\nsignature {signature}\n{body}", key.public());
    if sealed.len() > INDEX_BYTES_MAX { Err(IndexRefusal::TooLarge) } else { Ok(sealed) }
}

/// The beginning of a text of somebody else, with a sign in place of what nobody sees or commands a terminal.
pub(crate) fn shown(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if is_hidden(c) || c == '\n' { '\u{fffd}' } else { c }).collect()
}

/// The first line, without its end, and the rest.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// The word of a line behind its label.
fn word<T: FromStr>(line: &[u8], label: &str) -> Result<T, IndexRefusal> {
    let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_prefix(label));
    let wrong = || IndexRefusal::Form(format!("its head has no line that begins with `{}`", label.trim_end()));
    text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

/// The bytes that are signed.
fn message(digest: &Digest) -> Vec<u8> {
    [FORMAT.as_bytes(), b"\n", digest.as_bytes()].concat()
}

impl Opened {
    /// Holds it against the clock.
    ///
    /// # Errors
    /// It is over, or was signed more than a day ahead of the clock.
    pub fn check_time(&self, now: Timestamp) -> Result<(), IndexRefusal> {
        let Index { signed, expires, .. } = self.index;
        if now >= expires {
            return Err(IndexRefusal::Expired { at: expires });
        }
        if signed.nanos().saturating_sub(now.nanos()) > DAY_NANOS {
            return Err(IndexRefusal::Early { at: signed });
        }
        Ok(())
    }

    /// Holds it against what was seen of its publisher before.
    ///
    /// # Errors
    /// It is another catalogue's, older than what was seen, or another one of the same number.
    pub fn check_order(&self, seen: &Seen) -> Result<(), IndexRefusal> {
        let (found, sequence) = (self.index.catalogue.clone(), self.index.sequence);
        if found != seen.catalogue {
            return Err(IndexRefusal::Other { found, seen: seen.catalogue.clone() });
        }
        if sequence < seen.sequence {
            return Err(IndexRefusal::Older { found: sequence, seen: seen.sequence });
        }
        if sequence == seen.sequence && self.digest != seen.digest {
            return Err(IndexRefusal::Fork { sequence });
        }
        Ok(())
    }

    /// The traces that it leaves.
    pub fn seen(&self) -> Seen {
        Seen { catalogue: self.index.catalogue.clone(), sequence: self.index.sequence, digest: self.digest }
    }
}

impl Index {
    /// The bytes that are signed, as text.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// The text of a template; none where it does not have it.
    pub fn find(&self, name: &str, version: u32) -> Option<&Entry> {
        self.templates.iter().find(|entry| entry.name == name && entry.version == version)
    }

    /// Fails where a text is another one than in an index before, under the same version.
    ///
    /// # Errors
    /// The first such template.
    pub fn check_texts(&self, before: &Index) -> Result<(), IndexRefusal> {
        let altered = self.templates.iter().find(|entry| {
            before.find(&entry.name, entry.version).is_some_and(|known| known.text.sha256 != entry.text.sha256)
        });
        match altered {
            Some(entry) => Err(IndexRefusal::Altered { template: format!("{} {}", entry.name, entry.version) }),
            None => Ok(()),
        }
    }

    /// Looks at its form.
    fn check(&self) -> Result<(), IndexRefusal> {
        let wrong = |words: String| Err(IndexRefusal::Form(words));
        if self.catalogue.parse::<Name>().is_err() {
            return wrong("the name of its catalogue is none".to_string());
        }
        if let Some(fault) = publisher_fault(&self.publisher) {
            return wrong(format!("its publisher {fault}"));
        }
        let life = self.expires.nanos().saturating_sub(self.signed.nanos());
        if self.signed.nanos() < 0 || life <= 0 || life > i64::from(LIFE_DAYS_MAX) * DAY_NANOS {
            return wrong(format!("it holds for no time, or for more than {LIFE_DAYS_MAX} days"));
        }
        if self.sequence == 0 || self.templates.len() > ENTRIES_MAX {
            return wrong(format!("its number is 0, or it has more than {ENTRIES_MAX} templates"));
        }
        let key = |entry: &Entry| (entry.name.clone(), entry.version);
        if !self.templates.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
            return wrong("its templates are not in their order, or one stands there twice".to_string());
        }
        if !self.templates.windows(2).all(|pair| pair[0].name != pair[1].name || pair[0].icon == pair[1].icon) {
            return wrong("a template has two icons".to_string());
        }
        if let Some(fault) = self.templates.iter().find_map(entry_fault) {
            return wrong(fault);
        }
        let parts: BTreeSet<(String, u64)> =
            self.templates.iter().flat_map(Entry::files).map(|(file, part)| (file, part.bytes)).collect();
        let bytes = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        if bytes > TEXTS_BYTES_MAX {
            return wrong(format!("its texts have {bytes} bytes, but at most {TEXTS_BYTES_MAX} fit"));
        }
        Ok(())
    }
}

/// The fault of an entry, in words.
fn entry_fault(entry: &Entry) -> Option<String> {
    let name = shown(&entry.name, SHOWN_CHARS_MAX);
    if entry.name.parse::<Name>().is_err() || !(1..=VERSION_MAX).contains(&entry.version) {
        return Some(format!("`{name}` {} is no name and version of a template", entry.version));
    }
    let icon = entry.icon.map(|icon| (icon, ICON_BYTES_MAX));
    let mut most = std::iter::once((entry.text, OTHERS_BYTES_MAX)).chain(icon);
    let over = most.find(|(part, most)| part.bytes > *most as u64);
    over.map(|(part, most)| format!("a file of {name} has {} bytes, but at most {most} fit", part.bytes))
}

/// The fault of a publisher's name as a half sentence. None may pass for those who made this program.
pub fn publisher_fault(text: &str) -> Option<&'static str> {
    let is_mark = |c: char| matches!(c, ' ' | '.' | ',' | '-' | '_' | '&' | '\'' | '(' | ')' | '+');
    let plain = |c: char| c.is_ascii_digit() || is_mark(c) || Alphabet::of(c).is_some();
    let has = |alphabet: Alphabet| text.chars().any(|c| Alphabet::of(c) == Some(alphabet));
    let alike = [Alphabet::Latin, Alphabet::Greek, Alphabet::Cyrillic].into_iter().filter(|one| has(*one)).count();
    match text.chars().count() {
        0..=1 => Some("has no name"),
        count if count > PUBLISHER_CHARS_MAX => Some("has a name of more than 60 characters"),
        _ if !text.chars().all(plain) => Some("has a name with a character that is no letter, digit or usual mark"),
        _ if alike > 1 => Some("has a name with letters of two alphabets that look alike"),
        _ if is_like(text, "openmesh") || is_like(text, "builtin") => Some("has a name that is this program's own"),
        _ => None,
    }
}

/// Alphabets in which a publisher may be called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    Greek,
    Cyrillic,
    /// Chinese, Japanese and Korean letters, which look like none of the others.
    EastAsian,
}

impl Alphabet {
    /// The alphabet of a letter; none of another character, nor of a letter that is another one's double (as the wide Latin ones).
    fn of(c: char) -> Option<Alphabet> {
        match c {
            'A'..='Z' | 'a'..='z' => Some(Alphabet::Latin),
            '\u{c0}'..='\u{24f}' if c.is_alphabetic() => Some(Alphabet::Latin),
            '\u{370}'..='\u{3ff}' if c.is_alphabetic() => Some(Alphabet::Greek),
            '\u{400}'..='\u{4ff}' if c.is_alphabetic() => Some(Alphabet::Cyrillic),
            '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' if c.is_alphabetic() => {
                Some(Alphabet::EastAsian)
            }
            _ => None,
        }
    }
}

/// Returns true for a text that a reader takes for one with a name in it: marks count for nothing, digits for the letters that they look like, and a letter that
/// is none of ASCII for any.
fn is_like(text: &str, name: &str) -> bool {
    let letter = |c: char| match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '5' => 's',
        c => c,
    };
    let text: Vec<char> = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).map(letter).collect();
    let name: Vec<char> = name.chars().collect();
    text.windows(name.len()).any(|part| {
        let same = part.iter().zip(&name).filter(|(c, own)| c == own).count();
        let is_open = part.iter().zip(&name).all(|(c, own)| c == own || !c.is_ascii());
        is_open && same >= LIKE_CHARS_MIN
    })
}
