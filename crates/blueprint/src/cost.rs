//! Costs of applications by the prices of a machine's operator. Pure and exact: amounts are whole billionths of the currency.
//!
//! What counts is what an application is given, used or not: nobody else can have it meanwhile. So costs are known before anything is deployed.

use std::collections::BTreeMap;
use std::fmt;

use crate::document::{Name, Price, Prices, Root, Wish};
use crate::generation::{Portable, Resolved};

/// Hours of a month: those of a twelfth of 365 days.
pub const MONTH_HOURS: u128 = 730;
/// Places of an amount behind the point.
const PLACES: u32 = 9;
/// Thousandths of a processor.
const PROCESSOR: u128 = 1_000;
/// Bytes of a GiB.
const GIB: u128 = 1 << 30;

/// Money, in billionths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub u128);

impl Money {
    /// The price of a quantity of something whose price is that of `unit`; a half is rounded up.
    fn of(price: Price, quantity: u128, unit: u128) -> Money {
        Money(u128::from(price.0).saturating_mul(quantity).saturating_add(unit / 2) / unit)
    }

    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// That of a month, where this is that of an hour.
    #[must_use]
    pub fn month(self) -> Money {
        Money(self.0.saturating_mul(MONTH_HOURS))
    }

    /// The amount for people: two places behind the point, and four below 1, of which a half is rounded up.
    pub fn human(self) -> String {
        let places = if self.0 >= 10_u128.pow(PLACES) { 2 } else { 4 };
        let step = 10_u128.pow(PLACES - places);
        let rounded = self.0.saturating_add(step / 2) / step;
        let unit = 10_u128.pow(places);
        // What is rounded up to 1 has the places of 1.
        match (rounded / unit, places) {
            (1.., 4) => format!("{}.00", rounded / unit),
            (whole, 2) => format!("{whole}.{:02}", rounded % unit),
            (whole, _) => format!("{whole}.{:04}", rounded % unit),
        }
    }
}

/// All of it, as a decimal number without zeros at its end.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(PLACES);
        match self.0 % unit {
            0 => write!(f, "{}", self.0 / unit),
            part => write!(f, "{}.{}", self.0 / unit, format!("{part:09}").trim_end_matches('0')),
        }
    }
}

/// Cost of an hour of an application, by what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Processors.
    pub processors: Money,
    /// Memory.
    pub memory: Money,
    /// Volumes, and writable roots of instances.
    pub disk: Money,
    /// GPUs.
    pub gpus: Money,
}

impl Cost {
    /// All of it.
    pub fn total(&self) -> Money {
        self.processors.plus(self.memory).plus(self.disk).plus(self.gpus)
    }
}

/// Cost of an application. One that a person wished not to run keeps its volumes, and nothing else.
pub fn cost(resolved: &Resolved, prices: &Prices) -> Cost {
    let application = &resolved.application;
    let limits = &application.limits;
    let instances = if application.wish == Wish::Running { u128::from(application.instances) } else { 0 };
    let of_all = |each: u64| u128::from(each).saturating_mul(instances);
    let volumes = application.volumes.values().map(|volume| u128::from(volume.size.0)).sum::<u128>();
    let roots = match application.root {
        Root::Writable => of_all(limits.disk.map_or(0, |disk| disk.0)),
        Root::ReadOnly => 0,
    };
    let processors = of_all(limits.processors.map_or(0, |processors| u64::from(processors.0)));
    let gpus = of_all(application.gpus.as_ref().map_or(0, |gpus| u64::from(gpus.count)));
    Cost {
        processors: Money::of(prices.processor, processors, PROCESSOR),
        memory: Money::of(prices.memory, of_all(limits.memory.map_or(0, |memory| memory.0)), GIB),
        disk: Money::of(prices.disk, volumes.saturating_add(roots), GIB),
        gpus: Money::of(prices.gpu, gpus, 1),
    }
}

/// Costs of the applications of a generation.
pub fn costs(portable: &Portable, prices: &Prices) -> BTreeMap<Name, Cost> {
    portable.applications.iter().map(|(name, resolved)| (name.clone(), cost(resolved, prices))).collect()
}

/// The sum of costs of an hour.
pub fn total<'a>(costs: impl IntoIterator<Item = &'a Cost>) -> Money {
    costs.into_iter().fold(Money::default(), |sum, cost| sum.plus(cost.total()))
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::document::{Document, Size};
    use crate::generation::{ImageSource, ResolvedImage};

    fn prices() -> Prices {
        let price = |text: &str| text.parse::<Price>().unwrap();
        Prices {
            currency: "EUR".parse().unwrap(),
            processor: price("0.01"),
            memory: price("0.004"),
            disk: price("0.0001"),
            gpu: price("0.5"),
        }
    }

    /// An application with every limit there, as a generation has it.
    fn resolved(more: &str) -> Resolved {
        let text = format!(
            "version: 1\napplications: {{web: {{image: \"web:1\", limits: {{processors: 2, memory: 512MiB, disk: 1GiB}}{more}}}}}\n"
        );
        let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        let application = document.applications.into_values().next().unwrap();
        let source = ImageSource::Recipe(Digest::ZERO);
        let image = ResolvedImage { digest: Digest::ZERO, packed: Size(0), unpacked: Size(0), source };
        Resolved { image, application }
    }

    #[test]
    fn an_application_costs_what_it_is_given() {
        let of = |more: &str| cost(&resolved(more), &prices());
        let plain = of("");
        let texts = [plain.processors, plain.memory, plain.disk, plain.gpus].map(|amount| amount.to_string());
        assert_eq!(texts, ["0.02", "0.002", "0", "0"]);
        assert_eq!((plain.total().to_string(), plain.total().month().human()), ("0.022".into(), "16.06".into()));
        let volumes = ", volumes: {data: {path: /data, size: 20GiB}}";
        assert_eq!(of(volumes).disk.to_string(), "0.002");
        // A writable root is each instance's own, a volume all of theirs.
        let two =
            of(&format!("{}, root: writable, instances: 2", volumes.replace("20GiB}", "20GiB, read_only: true}")));
        assert_eq!((two.processors.to_string(), two.disk.to_string()), ("0.04".into(), "0.0022".into()));
        assert_eq!(of(", gpus: {count: 2}").gpus.to_string(), "1");
        let stopped = of(&format!("{volumes}, wish: stopped"));
        assert_eq!((stopped.total(), stopped.disk.to_string()), (stopped.disk, "0.002".into()));
    }

    #[test]
    fn amounts_are_told_to_people_as_they_tell_them() {
        for (billionths, human) in [
            (0, "0.0000"),
            (1, "0.0000"),
            (50_000, "0.0001"),
            (4_200_000, "0.0042"),
            (999_949_999, "0.9999"),
            (999_950_000, "1.00"),
            (1_000_000_000, "1.00"),
            (1_004_999_999, "1.00"),
            (1_005_000_000, "1.01"),
            (12_345_678_900_000, "12345.68"),
        ] {
            assert_eq!(Money(billionths).human(), human, "{billionths}");
        }
        assert_eq!(Money(1_500_000_000).to_string(), "1.5");
        assert_eq!(Money(u128::MAX).month(), Money(u128::MAX), "nothing runs over");
    }

    proptest! {
        /// More of anything never costs less, and the parts are the whole.
        #[test]
        fn costs_grow_with_what_is_given(
            memory in 1u64..1 << 40, more in 0u64..1 << 40, instances in 1u32..64, price in 0u64..1_000_000_000_000,
        ) {
            let prices = Prices { memory: Price(price), ..prices() };
            let of = |memory: u64, instances: u32| {
                let mut one = resolved("");
                one.application.limits.memory = Some(Size(memory));
                one.application.instances = instances;
                cost(&one, &prices)
            };
            let (less, greater) = (of(memory, instances), of(memory + more, instances + 1));
            prop_assert!(less.total() <= greater.total());
            prop_assert_eq!(less.total().0, less.processors.0 + less.memory.0 + less.disk.0 + less.gpus.0);
            prop_assert_eq!(total([&less, &greater]), less.total().plus(greater.total()));
            let exact = u128::from(price) * u128::from(memory) * u128::from(instances);
            prop_assert!((less.memory.0 * GIB).abs_diff(exact) <= GIB / 2, "rounded once");
        }
    }
}
