//! Differences of two generations as text.

use std::collections::BTreeMap;
use std::fmt;

use crate::generation::Generation;

/// A difference at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path: `portable.applications.web.variables.MODE`.
    pub path: String,
    /// Value before; `None` where there was none.
    pub before: Option<String>,
    /// Value after; `None` where there is none.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {}: {before} -> {after}", self.path),
            (Some(before), None) => write!(f, "- {}: {before}", self.path),
            (None, Some(after)) => write!(f, "+ {}: {after}", self.path),
            (None, None) => Ok(()),
        }
    }
}

/// Differences of two generations, by path. Equal generations have none, whatever their numbers and causes.
pub fn diff(before: &Generation, after: &Generation) -> Vec<Change> {
    let leaves =
        |generation: &Generation| generation.write().leaves().into_iter().collect::<BTreeMap<String, String>>();
    let (mut old, mut changes) = (leaves(before), Vec::new());
    for (path, value) in leaves(after) {
        match old.remove(&path) {
            Some(same) if same == value => {}
            before => changes.push(Change { path, before, after: Some(value) }),
        }
    }
    changes.extend(old.into_iter().map(|(path, before)| Change { path, before: Some(before), after: None }));
    // An empty map that got its first key, or lost its last one, says nothing beside that key.
    let bare = |change: &Change| {
        let empty = |value: &Option<String>| value.as_deref().is_none_or(|text| text == "{}" || text == "[]");
        empty(&change.before) && empty(&change.after)
    };
    let mut changes: Vec<Change> = changes.into_iter().filter(|change| !bare(change)).collect();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}
