//! Costs of applications as answers tell them. The arithmetic is that of `openmesh_blueprint::cost`.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::cost::{Cost, Money, costs, total};
use openmesh_blueprint::document::{Name, Prices, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Prices of an hour by the operator of the machine. Amounts here and below are decimal numbers as text, in this currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceList {
    /// Currency or another unit of account.
    pub currency: String,
    /// A processor.
    pub processor: String,
    /// A GiB of memory.
    pub memory: String,
    /// A GiB of disk.
    pub disk: String,
    /// A GPU.
    pub gpu: String,
}

/// Cost of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationCost {
    /// Name.
    pub name: String,
    /// It is wished to run; else its volumes alone cost something.
    pub runs: bool,
    /// Cost of an hour.
    pub hour: String,
    /// Cost of a month of 730 hours.
    pub month: String,
    /// Part of the month's that is for processors.
    pub processors: String,
    /// The same for memory.
    pub memory: String,
    /// The same for volumes and writable roots.
    pub disk: String,
    /// The same for GPUs.
    pub gpus: String,
}

/// Costs of the machine's applications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Costs {
    /// Prices; none where the document names none, and then nothing is said of costs.
    pub prices: Option<PriceList>,
    /// Applications of the wanted generation, by name.
    pub applications: Vec<ApplicationCost>,
    /// Cost of an hour of all of them.
    pub hour: String,
    /// Cost of a month of all of them.
    pub month: String,
}

/// Change of the cost of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedCost {
    /// Name.
    pub name: String,
    /// Cost of a month before; none where it was not there, or its cost is not known.
    pub before: Option<String>,
    /// Cost of a month after; none where it is removed.
    pub after: Option<String>,
}

/// Costs that a deployment comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentCost {
    /// Currency.
    pub currency: String,
    /// Cost of an hour of all applications after it.
    pub hour: String,
    /// Cost of a month of all applications after it.
    pub month: String,
    /// Cost of a month before it; none where there were no prices in this currency.
    pub before: Option<String>,
    /// Applications whose costs it changes.
    pub changed: Vec<ChangedCost>,
}

fn price_list(prices: &Prices) -> PriceList {
    PriceList {
        currency: prices.currency.to_string(),
        processor: prices.processor.to_string(),
        memory: prices.memory.to_string(),
        disk: prices.disk.to_string(),
        gpu: prices.gpu.to_string(),
    }
}

/// Costs of a generation's applications by prices. Pure.
pub(crate) fn of(generation: Option<&Generation>, prices: Option<&Prices>) -> Costs {
    let zero = Money::default();
    let none = Costs { hour: zero.to_string(), month: zero.to_string(), ..Costs::default() };
    let Some(prices) = prices else { return none };
    let all = generation.map(|generation| costs(&generation.portable, prices)).unwrap_or_default();
    let hour = total(all.values());
    let runs = |name: &Name| {
        let resolved = generation.and_then(|generation| generation.portable.applications.get(name));
        resolved.is_some_and(|resolved| resolved.application.wish == Wish::Running)
    };
    let applications = all.iter().map(|(name, cost)| application(name, cost, runs(name)));
    Costs {
        applications: applications.collect(),
        prices: Some(price_list(prices)),
        hour: hour.to_string(),
        month: hour.month().to_string(),
    }
}

fn application(name: &Name, cost: &Cost, runs: bool) -> ApplicationCost {
    let month = |money: Money| money.month().to_string();
    ApplicationCost {
        name: name.to_string(),
        runs,
        hour: cost.total().to_string(),
        month: month(cost.total()),
        processors: month(cost.processors),
        memory: month(cost.memory),
        disk: month(cost.disk),
        gpus: month(cost.gpus),
    }
}

/// Costs that the way from one generation to the next comes to, with the line of its plan. Pure.
pub(crate) fn change(
    before: Option<(&Generation, &Prices)>,
    (after, prices): (&Generation, &Prices),
) -> (DeploymentCost, String) {
    let known = before.filter(|(_, old)| old.currency == prices.currency);
    let old = known.map(|(generation, old)| costs(&generation.portable, old));
    let new = costs(&after.portable, prices);
    let sum = |all: &BTreeMap<Name, Cost>| total(all.values());
    let month = |all: &BTreeMap<Name, Cost>, name: &Name| all.get(name).map(|cost| cost.total().month());
    let names: BTreeSet<&Name> = old.iter().flat_map(BTreeMap::keys).chain(new.keys()).collect();
    let changes = names.into_iter().filter_map(|name| {
        let (was, is) = (old.as_ref().and_then(|old| month(old, name)), month(&new, name));
        (was != is).then_some((name, was, is))
    });
    let changes: Vec<(&Name, Option<Money>, Option<Money>)> = changes.collect();
    let (was, is) = (old.as_ref().map(|old| sum(old).month()), sum(&new).month());
    let line = line(prices, (was, is), &changes);
    let text = |money: Option<Money>| money.map(|money| money.to_string());
    let changed = changes.into_iter().map(|(name, was, is)| ChangedCost {
        name: name.to_string(),
        before: text(was),
        after: text(is),
    });
    let cost = DeploymentCost {
        currency: prices.currency.to_string(),
        hour: sum(&new).to_string(),
        month: is.to_string(),
        before: text(was),
        changed: changed.collect(),
    };
    (cost, line)
}

/// The line of a plan about costs.
fn line(
    prices: &Prices,
    (was, is): (Option<Money>, Money),
    changes: &[(&Name, Option<Money>, Option<Money>)],
) -> String {
    let all = format!("cost: {} {} a month", is.human(), prices.currency);
    let of = |(name, was, is): &(&Name, Option<Money>, Option<Money>)| match (was, is) {
        (Some(was), Some(is)) => format!("{name} {} instead of {}", is.human(), was.human()),
        (None, Some(is)) => format!("{name} {}", is.human()),
        (_, None) => format!("nothing for {name}"),
    };
    let words: Vec<String> = changes.iter().map(of).collect();
    match was {
        Some(_) if words.is_empty() => format!("{all}, as before"),
        Some(was) => format!("{all} instead of {} ({})", was.human(), words.join(", ")),
        None if words.is_empty() => all,
        None => format!("{all} ({})", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::Document;
    use openmesh_blueprint::document::Size;
    use openmesh_blueprint::generation::{Cause, ImageSource, Placement, Portable, Resolved, ResolvedImage};
    use openmesh_primitives::{Digest, Timestamp};

    use super::*;

    fn prices(currency: &str) -> Prices {
        let text = format!(
            "version: 1\nmachine: {{prices: {{currency: {currency}, processor: 0.01, memory: 0.004}}}}\napplications: {{}}\n"
        );
        Document::parse(&text).unwrap().machine.prices.unwrap()
    }

    /// A generation of applications with so many processors and a GiB of memory each.
    fn generation(applications: &[(&str, u32)]) -> Generation {
        let one = |(name, processors): &(&str, u32)| {
            let text = format!(
                "version: 1\napplications: {{{name}: {{image: \"web:1\", limits: {{processors: {processors}, memory: 1GiB}}}}}}\n"
            );
            let (name, application) = Document::parse(&text).unwrap().applications.into_iter().next().unwrap();
            let source = ImageSource::Recipe(Digest::ZERO);
            let image = ResolvedImage { digest: Digest::ZERO, packed: Size(0), unpacked: Size(0), source };
            (name, Resolved { image, application })
        };
        let portable = Portable { applications: applications.iter().map(one).collect(), ..Portable::default() };
        let machine = Document::parse("version: 1\n").unwrap().machine;
        let placement = Placement {
            node: "attic".parse().unwrap(),
            subnet: machine.subnet,
            reserve: machine.reserve,
            applications: BTreeMap::new(),
            retired: BTreeMap::new(),
            freed: BTreeMap::new(),
        };
        let cause = Cause { by: "ann".into(), reason: String::new(), at: Timestamp(0) };
        Generation { number: 1, parent: 0, cause, portable, placement }
    }

    #[test]
    fn costs_are_told_by_application_and_part() {
        let generation = generation(&[("db", 1), ("web", 2)]);
        let told = of(Some(&generation), Some(&prices("EUR")));
        let rows: Vec<(&str, &str, &str, &str)> = told
            .applications
            .iter()
            .map(|one| (one.name.as_str(), one.hour.as_str(), one.month.as_str(), one.memory.as_str()))
            .collect();
        assert_eq!(rows, [("db", "0.014", "10.22", "2.92"), ("web", "0.024", "17.52", "2.92")]);
        assert_eq!((told.hour.as_str(), told.month.as_str()), ("0.038", "27.74"));
        assert!(told.applications[0].runs);
        let silent = of(Some(&generation), None);
        assert!(silent.prices.is_none() && silent.applications.is_empty() && silent.month == "0");
        assert!(of(None, Some(&prices("EUR"))).applications.is_empty());
    }

    #[test]
    fn a_plan_says_what_it_comes_to() {
        let (eur, old, new) =
            (prices("EUR"), generation(&[("db", 1), ("web", 1)]), generation(&[("db", 1), ("shop", 2)]));
        let (cost, line) = change(Some((&old, &eur)), (&new, &eur));
        assert_eq!(line, "cost: 27.74 EUR a month instead of 20.44 (shop 17.52, nothing for web)");
        assert_eq!((cost.month.as_str(), cost.before.as_deref()), ("27.74", Some("20.44")));
        let names: Vec<&str> = cost.changed.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["shop", "web"]);
        let more = generation(&[("db", 2), ("web", 1)]);
        assert_eq!(
            change(Some((&old, &eur)), (&more, &eur)).1,
            "cost: 27.74 EUR a month instead of 20.44 (db 17.52 instead of 10.22)"
        );
        assert_eq!(change(Some((&old, &eur)), (&old, &eur)).1, "cost: 20.44 EUR a month, as before");
        // Amounts of another currency are compared with nothing.
        let (cost, line) = change(Some((&old, &prices("USD"))), (&old, &eur));
        assert_eq!(line, "cost: 20.44 EUR a month (db 10.22, web 10.22)");
        assert_eq!(cost.before, None);
        assert_eq!(change(None, (&generation(&[]), &eur)).1, "cost: 0.0000 EUR a month");
    }
}
