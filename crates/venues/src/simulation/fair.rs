//! Fair prices: one process that moves all assets together, a little of each one's own, and small offsets of venues.

use openmesh_primitives::SplitMix64;

use super::listing::Asset;

/// Deviation of the common move, in parts per thousand million over the root of a microsecond: one basis point in a
/// second, which is 56 % in a year.
const COMMON_PPB: i64 = 100;

/// Deviation of each asset's own move, in the same unit.
const OWN_PPB: i64 = 45;

/// Deviation of an offset's move, in the same unit.
const OFFSET_PPB: i64 = 20;

/// Time in which an offset falls back to a third, in microseconds.
const OFFSET_RETURN_US: i64 = 60_000_000;

/// Share of the common move that each asset makes, in thousandths.
const fn beta(asset: Asset) -> i64 {
    match asset {
        Asset::Btc => 1_000,
        Asset::Eth => 1_250,
        Asset::Sol => 1_600,
    }
}

/// The fair prices of the assets, in millionths of a dollar.
#[derive(Clone, Debug)]
pub(super) struct Fair {
    prices: [i64; Asset::ALL.len()],
}

fn moved(price: i64, ppb: i64) -> i64 {
    let change = i128::from(price) * i128::from(ppb) / 1_000_000_000;
    price.saturating_add(i64::try_from(change).unwrap_or(0))
}

/// Root of the time that a deviation grows with. At most a minute counts: a generator that slept does not jump.
fn root(dt_us: i64) -> i64 {
    dt_us.clamp(0, 60_000_000).isqrt()
}

impl Fair {
    pub(super) fn new() -> Fair {
        Fair { prices: Asset::ALL.map(Asset::start) }
    }

    pub(super) fn price(&self, asset: Asset) -> i64 {
        self.prices[asset as usize]
    }

    /// Time goes on.
    pub(super) fn step(&mut self, rng: &mut SplitMix64, dt_us: i64) {
        let root = root(dt_us);
        let common = rng.bell() * COMMON_PPB * root / 1_000;
        for asset in Asset::ALL {
            let own = rng.bell() * OWN_PPB * root / 1_000;
            let price = moved(self.prices[asset as usize], common * beta(asset) / 1_000 + own);
            // Years of luck in one direction would leave the digits that the instruments are listed with.
            self.prices[asset as usize] = price.clamp(asset.start() / 4, asset.start() * 4);
        }
    }
}

/// Distance of a book's price from the fair one, in parts per thousand million.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset(i64);

impl Offset {
    pub(super) fn step(&mut self, rng: &mut SplitMix64, dt_us: i64) {
        let back = i128::from(self.0) * i128::from(dt_us.clamp(0, OFFSET_RETURN_US)) / i128::from(OFFSET_RETURN_US);
        self.0 += rng.bell() * OFFSET_PPB * root(dt_us) / 1_000 - i64::try_from(back).unwrap_or(0);
    }

    pub(super) fn of(self, price: i64) -> i64 {
        moved(price, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Assets move together, offsets stay small.
    #[test]
    fn correlated_and_bounded() {
        let (mut rng, mut fair, mut offset) = (SplitMix64::new(3), Fair::new(), Offset::default());
        let (mut same, mut widest) = (0, 0);
        for _ in 0..5_000 {
            let before = Asset::ALL.map(|a| fair.price(a));
            fair.step(&mut rng, 100_000);
            offset.step(&mut rng, 100_000);
            let up = Asset::ALL.map(|a| fair.price(a) > before[a as usize]);
            same += i32::from(up[0] == up[1]);
            widest = widest.max(offset.0.abs());
        }
        assert!(same > 3_700, "BTC and ETH moved the same way {same} times of 5000");
        // 20 basis points.
        assert!(widest > 10_000 && widest < 2_000_000, "{widest}");
        let move_ppm = (fair.price(Asset::Btc) - Asset::Btc.start()).abs() * 1_000_000 / Asset::Btc.start();
        assert!(move_ppm < 15_000, "{move_ppm} ppm in 500 s");
    }
}
