//! The outcomes of a stream's windows: those closed and not yet reported, and those reported with a chunk, which can still
//! be withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::{Chunk, Reason, Stream, WindowIndex, Withdrawn};

/// Reported windows that can still be withdrawn: at ten seconds each more than forty minutes.
const VOUCHED_WINDOWS_MAX: usize = 256;

/// The windows of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes {
    /// First window that is not closed; `None` before the source's first clock event.
    next: Option<WindowIndex>,
    closed: BTreeMap<WindowIndex, Result<Chunk, Reason>>,
    vouched: BTreeSet<WindowIndex>,
}

impl Outcomes {
    /// Returns the first window that is not closed.
    pub(super) const fn next(&self) -> Option<WindowIndex> {
        self.next
    }

    /// Closes a window.
    pub(super) fn close(&mut self, index: WindowIndex, outcome: Result<Chunk, Reason>) {
        self.closed.insert(index, outcome);
        self.next = Some(index.next());
    }

    /// Returns true where a window is closed and not yet reported.
    pub(super) fn has(&self, index: WindowIndex) -> bool {
        self.closed.contains_key(&index)
    }

    /// Takes the outcome of a window out, to be reported.
    pub(super) fn take(&mut self, index: WindowIndex) -> Option<Result<Chunk, Reason>> {
        let outcome = self.closed.remove(&index)?;
        if outcome.is_ok() {
            self.vouched.insert(index);
            while self.vouched.len() > VOUCHED_WINDOWS_MAX {
                self.vouched.pop_first();
            }
        }
        Some(outcome)
    }

    /// Begins at a window.
    pub(super) fn begin(&mut self, next: WindowIndex) {
        self.next = Some(next);
    }

    /// Leaves windows before `to` out. Returns true where the stream had not come so far.
    pub(super) fn skip_to(&mut self, to: WindowIndex) -> bool {
        self.closed = self.closed.split_off(&to);
        if self.next.is_none_or(|next| next >= to) {
            return false;
        }
        self.next = Some(to);
        true
    }

    /// Forgets everything and begins at a window: the venue's clock was set back.
    pub(super) fn restart(&mut self, next: WindowIndex) {
        *self = Outcomes { next: Some(next), ..Outcomes::default() };
    }

    /// Takes chunks back, reported or not.
    pub(super) fn withdraw(
        &mut self,
        stream: &Stream,
        windows: Range<WindowIndex>,
        reason: Reason,
        withdrawn: &mut VecDeque<Withdrawn>,
    ) {
        for (_, outcome) in self.closed.range_mut(windows.clone()) {
            if outcome.is_ok() {
                *outcome = Err(reason);
            }
        }
        let taken: Vec<WindowIndex> = self.vouched.range(windows).copied().collect();
        for index in taken {
            self.vouched.remove(&index);
            withdrawn.push_back(Withdrawn { stream: stream.clone(), index, reason });
        }
    }
}
