//! Names that are made of those in a compose file, and names that tell a secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Name;

/// Parts of a variable's name that tell a password.
const SECRET_WORDS: [&str; 9] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "PRIVATEKEY", "ACCESSKEY", "CREDENTIAL"];
/// Ends of a name that tell a password.
const SECRET_ENDS: [&str; 5] = ["_PASS", "_KEY", "_PWD", "_SALT", "_PW"];
/// Ends of a name that tell something about a password and not the password itself: a file, a user, a length.
const HARMLESS_ENDS: [&str; 8] = ["_FILE", "_PATH", "_USER", "_NAME", "_ID", "_EXPIRY", "_LENGTH", "_PUBLIC_KEY"];
/// Names of files in which passwords stand, whatever is in them.
const SECRET_FILES: [&str; 4] = [".pgpass", ".netrc", ".htpasswd", ".git-credentials"];

/// Most secrets whose names have one beginning, a number behind each: it has five digits at most.
const SECRETS_MAX: u32 = 99_999;

/// Returns true for a name that tells a password.
pub(super) fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let joined = upper.replace(['_', '-', '.'], "");
    let tells = SECRET_WORDS.iter().any(|word| joined.contains(word))
        || SECRET_ENDS.iter().any(|end| upper.ends_with(end))
        || upper == "PASS";
    tells && !HARMLESS_ENDS.iter().any(|end| upper.ends_with(end))
}

/// Returns true for a text with an address in which a password stands, as `postgres://user:password@db/x`.
pub(super) fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest
            .split(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .next()
            .unwrap_or_default();
        let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        password.is_some_and(|(_, password)| !password.is_empty())
    })
}

/// Returns true for a file of passwords or keys, by its name or by what stands in it: it must not lie in a document.
pub(super) fn holds_secret(path: &str, text: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let is_named = SECRET_FILES.contains(&name) || name.ends_with(".env") || name.ends_with(".key") || is_secret(stem);
    is_named || text.contains("PRIVATE KEY-----")
}

/// The nearest name that is allowed here: lower case, with `-` for what a name does not have.
pub(super) fn name_of(text: &str) -> Option<Name> {
    let lower = text.to_ascii_lowercase();
    let plain: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = plain.trim_matches('-');
    let begins =
        if trimmed.starts_with(|c: char| c.is_ascii_digit()) { format!("n{trimmed}") } else { trimmed.to_string() };
    let short: String = begins.chars().take(32).collect();
    short.trim_end_matches('-').parse().ok()
}

/// Secrets that were proposed.
#[derive(Default)]
pub(super) struct Proposed {
    /// Names by their origin, as the variable that one stands for.
    of: BTreeMap<String, Name>,
    taken: BTreeSet<Name>,
    /// Last number behind a beginning, so that many of one beginning are not counted from 1 each time.
    numbers: BTreeMap<String, u32>,
}

/// A name for the secret of an origin: that of the text, with a number behind it where another origin has it. `None` where nothing of the text can
/// be a name, and where there are more of one beginning than have a number.
pub(super) fn propose(text: &str, origin: &str, proposed: &mut Proposed) -> Option<Name> {
    if let Some(name) = proposed.of.get(origin) {
        return Some(name.clone());
    }
    let first = name_of(text)?;
    let mut name = first.clone();
    // Behind what the number leaves of the longest name.
    let short: String = first.as_str().chars().take(26).collect();
    while proposed.taken.contains(&name) {
        let number = proposed.numbers.entry(short.clone()).or_insert(1);
        *number += 1;
        if *number > SECRETS_MAX {
            return None;
        }
        name = name_of(&format!("{short}-{number}"))?;
    }
    proposed.taken.insert(name.clone());
    proposed.of.insert(origin.to_string(), name.clone());
    Some(name)
}

/// A word as a shell takes it: nothing of a file that somebody else wrote becomes a command by being copied.
pub(super) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
