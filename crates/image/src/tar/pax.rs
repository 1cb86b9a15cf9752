//! Records of an extended header: `LENGTH KEY=VALUE` and a line feed.

use super::TarError;

/// Values that an extended header has for the entry after it.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<u64>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads the records of header `number` into `into`; later ones count, and an empty value takes back.
pub(super) fn read(mut bytes: &[u8], number: u64, into: &mut Extended) -> Result<(), TarError> {
    while !bytes.is_empty() {
        let (record, rest) = split(bytes).ok_or(TarError::Record(number))?;
        bytes = rest;
        let equals = record.iter().position(|b| *b == b'=').ok_or(TarError::Record(number))?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        take(key, value, number, into)?;
    }
    Ok(())
}

/// The first record without its length and line feed, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length = &bytes[..space];
    // `parse` would take a sign.
    if !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &bytes[length..]))
}

fn take(key: &[u8], value: &[u8], number: u64, into: &mut Extended) -> Result<(), TarError> {
    let text = || (!value.is_empty()).then(|| value.to_vec());
    match key {
        b"path" => into.name = text(),
        b"linkpath" => into.link = text(),
        b"size" => into.size = digits(value, number, "the size")?,
        b"uid" => into.uid = digits(value, number, "the user")?,
        b"gid" => into.gid = digits(value, number, "the group")?,
        b"mtime" => into.mtime = seconds(value, number)?,
        key if key.starts_with(b"GNU.sparse.") => return Err(TarError::Sparse(number)),
        key => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                into.xattrs.retain(|(other, _)| other != name);
                into.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Ok(())
}

fn digits(value: &[u8], header: u64, field: &'static str) -> Result<Option<u64>, TarError> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|text| text.parse().ok()).filter(|number| *number <= i64::MAX as u64);
    number.map(Some).ok_or(TarError::Number { header, field })
}

/// Whole seconds of a time with a fraction; before 1970 counts as 1970.
fn seconds(value: &[u8], header: u64) -> Result<Option<u64>, TarError> {
    if value.first() == Some(&b'-') {
        return Ok(Some(0));
    }
    let whole = value.split(|b| *b == b'.').next().unwrap_or_default();
    digits(whole, header, "the time")
}
