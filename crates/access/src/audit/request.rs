//! Requests, as the log names them: texts of bounded length, in which a terminal reads no orders.

use super::record::Record;
use crate::role::Role;

/// Longest name and path in a record, bytes: real ones are shorter.
pub(super) const TEXT_BYTES_MAX: usize = 512;
/// Longest place and method in a record, bytes: two addresses of IPv6 with a word between them are shorter.
const WORD_BYTES_MAX: usize = 96;

/// A request, as the log names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whoever asks; none for nobody who is signed in.
    pub who: Option<String>,
    /// Their role.
    pub role: Option<Role>,
    /// Place from which they ask.
    pub from: String,
    /// Method of HTTP.
    pub method: String,
    /// Path, without its query: values and secrets are in bodies, and reasons in queries.
    pub path: String,
}

/// Writes a request into a record.
pub(super) fn fill(record: &mut Record, request: &Request) {
    record.who = request.who.as_deref().map(|who| cut(who, TEXT_BYTES_MAX));
    record.role = request.role;
    record.from = Some(cut(&request.from, WORD_BYTES_MAX));
    record.method = Some(cut(&request.method, WORD_BYTES_MAX));
    record.path = Some(cut(&visible(&request.path), TEXT_BYTES_MAX));
}

fn cut(text: &str, bytes_max: usize) -> String {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text).to_string()
}

/// A path in visible ASCII: anybody writes it, and it is printed at a terminal, which must obey nothing of it. Other bytes are percent-encoded, as a client would have had to.
fn visible(path: &str) -> String {
    let mut text = String::with_capacity(path.len().min(TEXT_BYTES_MAX));
    for byte in path.bytes().take(TEXT_BYTES_MAX) {
        match byte {
            // A record is not longer as JSON than as text.
            b'"' | b'\\' => text.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
