//! Lists: limits and cursors.

use serde::Deserialize;

use crate::error::Refusal;

/// Items of a page where none are asked for.
const ITEMS_DEFAULT: usize = 50;
/// Most items of a page: enough for a screen, little enough to be cheap.
pub const ITEMS_MAX: usize = 500;

/// `?limit=&cursor=`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PageQuery {
    /// Items wanted.
    pub limit: Option<usize>,
    /// From the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Number of items.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(ITEMS_DEFAULT).clamp(1, ITEMS_MAX)
    }

    /// The cursor as a number: the last item of the page before.
    pub fn after(&self) -> Result<Option<u64>, Refusal> {
        self.cursor.as_deref().map(str::parse).transpose().map_err(|_| {
            Refusal::bad("bad_cursor", "the cursor is not one that this API gave out")
                .hint("leave cursor away for the first page, then pass each page's next")
        })
    }
}
