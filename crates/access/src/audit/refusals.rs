//! Bounds of refusals: only so many are recorded within a minute and a day.

/// Refused requests of strangers that are recorded in a minute. More are counted: whoever knocks all day must not push out the records of what was done.
pub(super) const STRANGERS_PER_MINUTE_MAX: u64 = 30;
/// Refused requests of members that are recorded in a minute, for the same reason.
pub(super) const MEMBERS_PER_MINUTE_MAX: u64 = 120;
/// Refused requests of strangers that are recorded in a day: a year of them, every day the most and each as long as can be, does not fill the files that are kept.
pub(super) const STRANGERS_PER_DAY_MAX: u64 = 150;
/// Refused requests of members that are recorded in a day: two months of them fill the files.
pub(super) const MEMBERS_PER_DAY_MAX: u64 = 1_000;
