//! Queues that forget their oldest item.

use std::collections::VecDeque;

/// Appends an item; beyond `max` items the oldest is dropped.
pub fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    queue.push_back(item);
    if queue.len() > max {
        queue.pop_front();
    }
}
