//! Room for backups, lent or borrowed, that is nearly full or soon over.

use openmesh_primitives::Timestamp;

use crate::alerts::views::Severity;

/// Share of room that is lent which is used, thousandths, above which the next backups may not fit.
const ROOM_WARNING_PERMILLE: u64 = 900;
/// The same above which the next one does not.
const ROOM_CRITICAL_PERMILLE: u64 = 980;
/// Time before its end at which whoever lends or borrows should speak of it, seconds.
pub const LOAN_WARNING_S: u64 = 14 * 86_400;

/// Severity and words of room that is nearly full.
pub fn fullness(used_bytes: u64, all_bytes: u64) -> Option<(Severity, String)> {
    let permille = match all_bytes {
        0 => 1_000,
        all => u64::try_from(u128::from(used_bytes) * 1_000 / u128::from(all)).unwrap_or(u64::MAX),
    };
    let severity = match permille {
        ROOM_CRITICAL_PERMILLE.. => Severity::Critical,
        ROOM_WARNING_PERMILLE.. => Severity::Warning,
        _ => return None,
    };
    let left = all_bytes.saturating_sub(used_bytes) >> 20;
    Some((severity, format!("is at {}.{} %, with {left} MiB free", permille / 10, permille % 10)))
}

/// Severity and words of room whose end is near, or has passed.
pub fn ending_soon(until: Option<Timestamp>, now_s: u64) -> Option<(Severity, String)> {
    let until = until?;
    let left = u64::try_from(until.nanos().div_euclid(1_000_000_000)).unwrap_or(0).saturating_sub(now_s);
    let when = until.to_rfc3339();
    match left {
        0 => Some((Severity::Critical, format!("has ended at {when}, and takes nothing new"))),
        left if left <= LOAN_WARNING_S => Some((Severity::Warning, format!("ends at {when}"))),
        _ => None,
    }
}
