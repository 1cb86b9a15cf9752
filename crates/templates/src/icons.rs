//! Icons of templates of other publishers: plain shapes and nothing else (X-125).
//!
//! Studio shows an icon as an image, which runs and fetches nothing; what is left out here would be taken amiss elsewhere.

use crate::index::ICON_BYTES_MAX;

/// Icon of a template that has none.
pub(crate) const PLAIN: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="14" fill="#5f6673"/><path d="M18 22h28v20H18z" fill="none" stroke="#fff" stroke-width="3"/></svg>"##;
/// Elements that an icon may have.
const ELEMENTS: [&str; 10] = ["svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "title"];
/// Parts of a text that no plain shape needs: references, events, styles.
const REFUSED: [&str; 8] = ["&", "href", "url(", "style", "@", "javascript", "data:", "\\"];

/// The fault of an icon as a half sentence; none where it is one.
pub fn icon_fault(bytes: &[u8]) -> Option<&'static str> {
    if bytes.len() > ICON_BYTES_MAX {
        return Some("has more than 8 KiB");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("is no text") };
    let text = text.trim().to_ascii_lowercase();
    if !text.starts_with("<svg ") || !text.ends_with("</svg>") || text.contains(|c: char| c.is_control() && c != '\n') {
        return Some("is no SVG that begins with `<svg ` and ends with `</svg>`");
    }
    let name = |part: &str| -> String {
        part.trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == ':' || *c == '-')
            .collect()
    };
    if text.split('<').skip(1).any(|part| !ELEMENTS.contains(&name(part).as_str())) {
        return Some("has an element that is no plain shape");
    }
    let is_event = |part: &str| part.starts_with("on") && part.len() > 2;
    let has_event = text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).any(is_event);
    if has_event || REFUSED.iter().any(|word| text.contains(word)) {
        return Some("has a reference, an event or a style");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_shapes_are_icons_and_nothing_else_is() {
        assert_eq!(icon_fault(PLAIN.as_bytes()), None);
        let svg = |inner: &str| format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\">{inner}</svg>");
        assert_eq!(icon_fault(svg("<g>\n<circle cx=\"4\" cy=\"4\" r=\"4\"/></g>").as_bytes()), None);
        for wrong in [
            "<script>alert(1)</script>",
            "<SCRIPT/>",
            "<a xlink:href=\"https://a.example\"/>",
            "<image href=\"https://a.example/pixel\"/>",
            "<foreignObject/>",
            "<rect onload=\"alert(1)\"/>",
            "<rect\nonload = \"alert(1)\"/>",
            "<rect/onload=\"alert(1)\"/>",
            "<rect fill=\"url(https://a.example)\"/>",
            "<rect style=\"x\"/>",
            "<!ENTITY a \"b\">",
            "<?xml version=\"1.0\"?>",
            "&lol;",
            "<svg:rect/>",
            "<animate attributeName=\"x\"/>",
        ] {
            assert!(icon_fault(svg(wrong).as_bytes()).is_some(), "{wrong}");
        }
        assert!(icon_fault(b"<html></html>").is_some());
        assert!(icon_fault(&[0xff, 0xfe]).is_some());
        assert!(icon_fault(svg(&"<g/>".repeat(4_000)).as_bytes()).is_some_and(|words| words.contains("8 KiB")));
    }
}
