//! Problems with their place in a tree.

use crate::text::{Node, Place, Problems, Value};

/// The place of a path in a tree, or of the nearest thing above it.
fn place_of(tree: &Node, path: &[&str]) -> Place {
    let mut node = tree;
    for key in path {
        let next = match &node.value {
            Value::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => node.get(key),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.place
}

/// A tree, where in it one looks, and the problems.
pub(super) struct Checker<'a> {
    pub tree: &'a Node,
    pub base: Vec<String>,
    pub problems: &'a mut Problems,
}

impl Checker<'_> {
    /// Notes a problem at a path below the base, with words that help.
    pub fn add(&mut self, path: &[&str], what: impl Into<String>, hint: Option<&str>) {
        if self.problems.is_full() {
            // Counted alone: a place is not looked for where it is not shown.
            return self.problems.add(Place::default(), String::new());
        }
        let place = place_of(self.tree, path);
        let whole: Vec<&str> = self.base.iter().map(String::as_str).chain(path.iter().copied()).collect();
        let what = what.into();
        self.problems.below(whole.join("."), |problems| match hint {
            Some(hint) => problems.add_with_hint(place, what, hint),
            None => problems.add(place, what),
        });
    }
}
