//! Coordinates of windows as types of their own: the number of a window, its length, and the allowed lateness. With bare
//! integers a swap of two arguments would compile, and two collectors would cut different windows.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;

/// The number of a window: `floor(start / length)`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(transparent)]
pub struct WindowIndex(pub i64);

impl WindowIndex {
    /// Returns the window in which a time lies.
    pub const fn of(time: Timestamp, length: WindowLength) -> WindowIndex {
        WindowIndex(time.0.div_euclid(length.nanos()))
    }

    /// Returns the first instant of the window.
    pub const fn start(self, length: WindowLength) -> Timestamp {
        Timestamp(self.0.saturating_mul(length.nanos()))
    }

    /// Returns the first instant after the window.
    pub const fn end(self, length: WindowLength) -> Timestamp {
        Timestamp(self.start(length).0.saturating_add(length.nanos()))
    }

    /// Returns the window after this one.
    #[must_use]
    pub const fn next(self) -> WindowIndex {
        WindowIndex(self.0.saturating_add(1))
    }

    /// Returns the window that lies `windows` before this one.
    #[must_use]
    pub const fn minus(self, windows: i64) -> WindowIndex {
        WindowIndex(self.0.saturating_sub(windows))
    }
}

impl fmt::Display for WindowIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The length of a window, in milliseconds of the venue's time; a length of 0 counts as 1 ms.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(transparent)]
pub struct WindowLength(u32);

impl WindowLength {
    /// Returns the length of so many milliseconds.
    pub const fn from_ms(ms: u32) -> WindowLength {
        WindowLength(ms)
    }

    /// Returns the length in milliseconds.
    pub const fn ms(self) -> u32 {
        self.0
    }

    /// Returns the length in nanoseconds, at least one millisecond.
    pub const fn nanos(self) -> i64 {
        if self.0 == 0 { MS } else { self.0 as i64 * MS }
    }
}

/// The allowed lateness: how much later than others of its time an event may arrive, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lateness(u32);

impl Lateness {
    /// Returns the lateness of so many milliseconds.
    pub const fn from_ms(ms: u32) -> Lateness {
        Lateness(ms)
    }

    /// Returns the lateness in milliseconds.
    pub const fn ms(self) -> u32 {
        self.0
    }

    /// Returns the lateness in nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.times(1)
    }

    /// Returns a multiple of the lateness in nanoseconds; `factor` is a handful.
    pub(super) const fn times(self, factor: i64) -> i64 {
        (self.0 as i64 * MS).saturating_mul(factor)
    }
}

/// The numbers by which a source's streams are cut; the same for all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) length: WindowLength,
    pub(super) lateness: Lateness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_tile_time_on_both_sides_of_the_epoch() {
        let length = WindowLength::from_ms(10_000);
        for (nanos, index) in [(0, 0), (9_999_999_999, 0), (10_000_000_000, 1), (-1, -1), (-10_000_000_001, -2)] {
            let window = WindowIndex::of(Timestamp(nanos), length);
            assert_eq!(window, WindowIndex(index), "{nanos}");
            assert!((window.start(length).0..window.end(length).0).contains(&nanos));
            assert_eq!(window.end(length), window.next().start(length));
        }
    }

    #[test]
    fn nothing_overflows() {
        let length = WindowLength::from_ms(u32::MAX);
        assert_eq!(WindowIndex(i64::MAX).end(length), Timestamp(i64::MAX));
        assert_eq!(WindowIndex(i64::MAX).next(), WindowIndex(i64::MAX));
        assert_eq!(WindowIndex::of(Timestamp(5_000_000), WindowLength::from_ms(0)), WindowIndex(5));
    }
}
