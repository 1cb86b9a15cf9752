//! Errors as one line of text.

use std::error::Error;

/// An error and its causes, outermost first: `error: cause: cause`.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut")]
    struct Shut(#[source] std::fmt::Error);

    #[test]
    fn causes_follow_their_error() {
        assert_eq!(error_chain(&std::fmt::Error), std::fmt::Error.to_string());
        assert_eq!(error_chain(&Shut(std::fmt::Error)), format!("the door is shut: {}", std::fmt::Error));
    }
}
