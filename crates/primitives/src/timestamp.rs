//! Points in time as nanoseconds since 1970-01-01 UTC.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// Nanoseconds since the Unix epoch, UTC, without leap seconds. Prints and serialises as decimal seconds in a
/// string (`"1618678142.557535"`), exact and short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Timestamp(pub i64);

/// Error of parsing a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time")]
pub struct TimestampError;

impl Timestamp {
    /// Returns the wall clock's time: the only place that reads it, for the edges of the system. Rules take the time handed in.
    #[allow(clippy::disallowed_types, reason = "the one place that reads the wall clock")]
    pub fn now() -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// From whole milliseconds, the unit most venues use.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000_000))
    }

    /// From whole microseconds.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros.saturating_mul(1_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole microseconds since the epoch, rounded down.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// From decimal seconds, as Kraken v1 and recordings write them. Digits below a nanosecond are refused.
    pub fn parse_seconds(text: &[u8]) -> Result<Timestamp, TimestampError> {
        let decimal = crate::Decimal::parse(text).map_err(|_| TimestampError)?;
        let nanos = decimal.normalized().mantissa_at(9).ok_or(TimestampError)?;
        i64::try_from(nanos).map(Timestamp).map_err(|_| TimestampError)
    }

    /// From RFC 3339 in UTC (`2026-08-09T21:05:48.228568804Z`), as Coinbase and Kraken v2 write it.
    pub fn parse_rfc3339(text: &[u8]) -> Result<Timestamp, TimestampError> {
        let number = |from: usize, to: usize| -> Result<i64, TimestampError> {
            let part = text.get(from..to).ok_or(TimestampError)?;
            part.iter().try_fold(0i64, |sum, byte| match byte {
                b'0'..=b'9' => Ok(sum * 10 + i64::from(byte - b'0')),
                _ => Err(TimestampError),
            })
        };
        let mark =
            |at: usize, allowed: &[u8]| text.get(at).filter(|b| allowed.contains(b)).map(|_| ()).ok_or(TimestampError);
        mark(4, b"-")?;
        mark(7, b"-")?;
        mark(10, b"Tt ")?;
        mark(13, b":")?;
        mark(16, b":")?;
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return Err(TimestampError);
        }
        let mut at = 19;
        let mut fraction = 0i64;
        if text.get(at) == Some(&b'.') {
            at += 1;
            let start = at;
            while text.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            let digits = at - start;
            if digits == 0 || digits > 9 {
                return Err(TimestampError);
            }
            fraction = number(start, at)? * 10i64.pow((9 - digits) as u32);
        }
        match &text[at..] {
            b"Z" | b"z" | b"+00:00" => {}
            _ => return Err(TimestampError),
        }
        let days = days_from_civil(year, month, day);
        // The 30th of February is no day, and must not become the 2nd of March.
        if civil_from_days(days) != (year, month, day) {
            return Err(TimestampError);
        }
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        seconds.checked_mul(1_000_000_000).and_then(|n| n.checked_add(fraction)).map(Timestamp).ok_or(TimestampError)
    }

    /// RFC 3339 in UTC with as many fraction digits as needed (0, 3, 6 or 9).
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = self.date();
        let seconds = self.0.div_euclid(1_000_000_000).rem_euclid(86_400);
        let nanos = self.0.rem_euclid(1_000_000_000);
        let fraction = match nanos {
            0 => String::new(),
            n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
            n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
            n => format!(".{n:09}"),
        };
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    /// Year, month (1-12) and day (1-31) in UTC.
    pub fn date(self) -> (i64, i64, i64) {
        civil_from_days(self.0.div_euclid(86_400_000_000_000))
    }

    /// Hour of the day in UTC, 0-23.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000_000_000).rem_euclid(24)
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::Decimal::new(i128::from(self.0), 9).normalized(), f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        Timestamp::parse_seconds(text.as_bytes())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        let t = Timestamp::parse_rfc3339(b"2026-08-09T21:05:48.228568804Z").unwrap();
        assert_eq!(t, Timestamp(1_786_309_548_228_568_804));
        assert_eq!(t.to_string(), "1786309548.228568804");
        assert_eq!(t.to_rfc3339(), "2026-08-09T21:05:48.228568804Z");
        assert_eq!("1618678142.557535".parse::<Timestamp>().unwrap().micros(), 1_618_678_142_557_535);
        assert_eq!(Timestamp::parse_rfc3339(b"1970-01-01T00:00:00Z"), Ok(Timestamp(0)));
        assert_eq!(Timestamp(0).to_rfc3339(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2026-08-09",
            "2026-13-09T21:05:48Z",
            "2026-08-09T21:05:48",
            "2026-08-09T21:05:48.Z",
            "20260809T210548Z",
            "2026-02-29T21:05:48Z",
            "2026-04-31T21:05:48Z",
        ] {
            assert!(Timestamp::parse_rfc3339(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Timestamp::parse_rfc3339(b"2024-02-29T21:05:48Z").is_ok());
        assert!("1.0000000001".parse::<Timestamp>().is_err());
    }

    proptest! {
        #[test]
        fn rfc3339_round_trip(nanos in 0i64..4_000_000_000_000_000_000) {
            let t = Timestamp(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(t.to_rfc3339().as_bytes()), Ok(t));
            prop_assert_eq!(t.to_string().parse::<Timestamp>(), Ok(t));
        }
    }
}
