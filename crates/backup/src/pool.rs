//! Buffers that are used again: a fresh one costs the kernel a fault and a cleared page for every 4 KiB, and an allocator that gives memory back costs them each time.

use std::sync::Mutex;

use crate::crew::lock;

/// A pool of buffers, of which it keeps only so many.
#[derive(Debug)]
pub(crate) struct Pool {
    spare: Mutex<Vec<Vec<u8>>>,
    most: usize,
}

impl Pool {
    /// An empty pool that keeps at most so many buffers.
    pub(crate) fn new(most: usize) -> Pool {
        Pool { spare: Mutex::default(), most }
    }

    /// An empty buffer, with room where there was one.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Takes a buffer back. Its content is gone.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = lock(&self.spare);
        if spare.len() < self.most {
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_no_more_than_are_kept() {
        let pool = Pool::new(1);
        let mut buffer = pool.take();
        buffer.extend([1; 1000]);
        let room = buffer.capacity();
        pool.give(buffer);
        pool.give(vec![2; 5000]);
        let buffer = pool.take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, room));
        assert_eq!(pool.take().capacity(), 0);
    }
}
