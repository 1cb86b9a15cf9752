//! Queues that forget their oldest item.

use std::collections::VecDeque;

/// Appends an item; beyond `max` items the oldest is dropped.
pub fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    // Before the new one, or a queue would grow to twice its room for a moment's one item more.
    while queue.len() >= max.max(1) {
        queue.pop_front();
    }
    queue.push_back(item);
}
