//! The little XML that S3 answers with: lists of objects, and errors.
//!
//! # Why no library
//! Two flat documents are read, of which six elements matter. What is here knows no entity of a document's own, no nesting that counts, and no more bytes
//! than it was given.

use openmesh_primitives::Timestamp;

/// An object in a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its whole key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// The moment it was stored.
    pub stored: Timestamp,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its objects.
    pub entries: Vec<Entry>,
    /// There are more after the last.
    pub more: bool,
}

/// Reads the answer of ListObjectsV2; none where it is no such thing.
pub(super) fn list(document: &str) -> Option<Part> {
    let mut rest = element(document, "ListBucketResult")?.0;
    let more = element(rest, "IsTruncated")?.0.trim() == "true";
    let mut entries = Vec::new();
    while let Some((object, after)) = element(rest, "Contents") {
        let stored = element(object, "LastModified")?.0.trim();
        entries.push(Entry {
            key: text(element(object, "Key")?.0)?,
            bytes: element(object, "Size")?.0.trim().parse().ok()?,
            stored: Timestamp::parse_rfc3339(stored.as_bytes()).ok()?,
        });
        rest = after;
    }
    Some(Part { entries, more })
}

/// Code and message of an error; none where the document is none.
pub(super) fn error(document: &str) -> Option<(String, String)> {
    let (error, _) = element(document, "Error")?;
    let message = element(error, "Message").and_then(|(message, _)| text(message)).unwrap_or_default();
    Some((text(element(error, "Code")?.0)?, message))
}

/// Content of the first element of a name, and what follows it.
fn element<'a>(document: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    loop {
        let start = from + document.get(from..)?.find('<')? + 1;
        let rest = document.get(start..)?;
        let after = rest.strip_prefix(name).filter(|after| after.starts_with(['>', ' ', '\n', '\t', '\r', '/']));
        let Some(after) = after else {
            from = start;
            continue;
        };
        let (head, content) = after.split_once('>')?;
        if head.ends_with('/') {
            return Some(("", content));
        }
        let end = format!("</{name}>");
        return content.split_once(end.as_str());
    }
}

/// Text of an element without elements in it.
fn text(content: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = content;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, after) = after.split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let digits = number.strip_prefix('#')?;
                let code = match digits.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => digits.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    if content.contains('<') { None } else { Some(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_errors_are_read() {
        let document = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
<Contents><Key>a/b&amp;&#65;&#x42;</Key><LastModified>2026-11-29T10:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size></Contents>
<Contents><Size>0</Size><Key>c</Key><LastModified>2026-11-29T10:00:01Z</LastModified></Contents></ListBucketResult>"#;
        let part = list(document).unwrap();
        assert!(part.more && part.entries.len() == 2);
        assert_eq!((part.entries[0].key.as_str(), part.entries[0].bytes), ("a/b&AB", 7));
        assert_eq!(part.entries[1].stored.nanos() - part.entries[0].stored.nanos(), 1_000_000_000);
        let document = "<Error><Code>NoSuchKey</Code><Message>not &lt;here&gt;</Message><Key>a</Key></Error>";
        assert_eq!(error(document), Some(("NoSuchKey".to_string(), "not <here>".to_string())));
        assert_eq!(list(document), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in "[<>/&;#a-zA-Z0-9é ]{0,60}", cut in 0_usize..200) {
            let whole = format!("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{tail}</Key><Size>1</Size>\
                <LastModified>2026-11-29T10:00:00Z</LastModified></Contents></ListBucketResult>");
            let text: String = whole.chars().take(cut).collect();
            let _ = (list(&whole), list(&text), error(&tail), list(&tail));
        }
    }
}
