//! Faults of a connection, on demand and by a seed: what a network and a venue do on a bad day, repeatable in a test.
//!
//! Only the venue's data is touched. Acknowledgements and snapshots on subscribing are left alone, because a test that
//! loses those tests its own patience; a snapshot is delayed like the rest so that the order is kept.

use std::time::Duration;

use openmesh_primitives::SplitMix64;
use serde::{Deserialize, Serialize};

/// Faults to inject on each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The same seed makes the same faults (with the connection's number mixed in).
    pub seed: u64,
    /// Each message is held back by a random time up to this, in milliseconds; their order is kept.
    pub delay_ms_max: u64,
    /// Messages lost, of a million.
    pub drop_per_million: u32,
    /// Messages sent twice, of a million.
    pub duplicate_per_million: u32,
    /// The connection is cut after so many messages of data; 0 for never.
    pub disconnect_after_frames: u64,
}

/// Fate of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Times that it is sent: 0, 1 or 2.
    pub copies: u8,
    /// Held back by.
    pub delay: Duration,
    /// The connection ends with it.
    pub last: bool,
}

/// The faults of one connection.
#[derive(Debug)]
pub(crate) struct Weather {
    faults: Faults,
    rng: SplitMix64,
    frames: u64,
}

impl Weather {
    pub(crate) fn new(faults: Faults, connection: u64) -> Weather {
        Weather {
            faults,
            rng: SplitMix64::new(faults.seed ^ connection.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            frames: 0,
        }
    }

    fn delay(&mut self) -> Duration {
        match self.faults.delay_ms_max {
            0 => Duration::ZERO,
            max => Duration::from_micros(self.rng.below(max * 1_000 + 1)),
        }
    }

    /// An answer to the client: late at most.
    pub(crate) fn answer(&mut self) -> Fate {
        Fate { copies: 1, delay: self.delay(), last: false }
    }

    /// A message of data.
    pub(crate) fn data(&mut self) -> Fate {
        let delay = self.delay();
        let million = |rng: &mut SplitMix64, part: u32| part > 0 && rng.below(1_000_000) < u64::from(part);
        self.frames += 1;
        let last = self.faults.disconnect_after_frames > 0 && self.frames >= self.faults.disconnect_after_frames;
        let copies = if million(&mut self.rng, self.faults.drop_per_million) {
            0
        } else {
            1 + u8::from(million(&mut self.rng, self.faults.duplicate_per_million))
        };
        Fate { copies, delay, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_the_shares_are_right() {
        let faults = Faults {
            seed: 7,
            delay_ms_max: 800,
            drop_per_million: 100_000,
            duplicate_per_million: 50_000,
            disconnect_after_frames: 0,
        };
        let fates = |connection| {
            let mut weather = Weather::new(faults, connection);
            (0..20_000).map(|_| weather.data()).collect::<Vec<_>>()
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
        let fates = fates(3);
        let share = |copies: u8| fates.iter().filter(|f| f.copies == copies).count();
        assert!((1_800..2_200).contains(&share(0)), "{}", share(0));
        assert!((750..1_050).contains(&share(2)), "{}", share(2));
        assert!(fates.iter().all(|f| f.delay <= Duration::from_millis(800) && !f.last));
        assert!(fates.iter().any(|f| f.delay > Duration::from_millis(700)));
    }

    #[test]
    fn a_connection_ends_after_its_frames() {
        let mut weather = Weather::new(Faults { disconnect_after_frames: 3, ..Faults::default() }, 0);
        let last: Vec<bool> = (0..3).map(|_| weather.data().last).collect();
        assert_eq!(last, [false, false, true]);
        assert_eq!(weather.answer(), Fate { copies: 1, delay: Duration::ZERO, last: false });
    }
}
