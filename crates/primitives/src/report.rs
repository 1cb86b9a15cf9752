//! An error with its causes in one line, for logs and for answers.

use std::error::Error;

/// Returns an error's message and those of its sources, joined by `: `. An error's `Display` never repeats its source, so nothing is
/// said twice.
pub fn report(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        text = format!("{text}: {source}");
        at = source.source();
    }
    text
}

/// Returns the message of an error's last source: "connection refused" says more than "error sending request".
pub fn root_cause(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn causes_follow_in_order() {
        assert_eq!(report(&Outer(Inner)), "outer: inner");
        assert_eq!(root_cause(&Outer(Inner)), "inner");
    }
}
