//! `openmesh app costs`: costs of applications by the operator's prices.

use openmesh_agent::views::{ApplicationCost, Costs};

use super::super::agent::{client, columns, get, json, print};
use crate::cli::{AgentName, Output};
use crate::failure::Failure;

/// Tells costs.
pub(super) async fn run(agent: &AgentName, output: Output) -> Result<(), Failure> {
    let costs: Costs = get(&client(agent)?, "/costs").await?;
    if output.json { json(&costs) } else { print(&table(&costs)) }
}

fn table(costs: &Costs) -> String {
    let Some(prices) = &costs.prices else {
        return "the document names no prices, so that nothing is said of costs; for example:\nmachine: { prices: { currency: EUR, processor: 0.01, memory: 0.004, disk: 0.0001 } }\n".into();
    };
    let currency = &prices.currency;
    let mut text = format!(
        "an hour of a processor {}, of a GiB of memory {}, of a GiB of disk {}, of a GPU {} {currency}\n",
        prices.processor, prices.memory, prices.disk, prices.gpu
    );
    if costs.applications.is_empty() {
        return text + "there are no applications\n";
    }
    let row = |one: &ApplicationCost| {
        let state = if one.runs { "" } else { "does not run: its volumes alone" };
        let amounts = [&one.hour, &one.month, &one.processors, &one.memory, &one.disk, &one.gpus];
        let amounts = amounts.into_iter().cloned();
        std::iter::once(one.name.clone()).chain(amounts).chain([state.to_string()]).collect::<Vec<String>>()
    };
    let hour = format!("{currency} AN HOUR");
    let heads = ["NAME", hour.as_str(), "A MONTH", "PROCESSORS", "MEMORY", "DISK", "GPUS", ""];
    text += &columns(&heads, &costs.applications.iter().map(row).collect::<Vec<_>>());
    text + &format!("all of them: {} {currency} an hour, {} {currency} a month\n", costs.hour, costs.month)
}

#[cfg(test)]
mod tests {
    use openmesh_agent::views::PriceList;

    use super::*;

    #[test]
    fn costs_are_told_with_their_prices_and_none_without() {
        assert!(table(&Costs::default()).contains("names no prices"));
        let price = |text: &str| text.to_string();
        let prices = PriceList {
            currency: price("EUR"),
            processor: price("0.01"),
            memory: price("0.004"),
            disk: price("0.0001"),
            gpu: price("0"),
        };
        let one = ApplicationCost {
            name: "web".into(),
            runs: false,
            hour: price("0.002"),
            month: price("1.46"),
            processors: price("0"),
            memory: price("0"),
            disk: price("1.46"),
            gpus: price("0"),
        };
        let costs = Costs { prices: Some(prices), applications: vec![one], hour: price("0.002"), month: price("1.46") };
        let text = table(&costs);
        for part in [
            "an hour of a processor 0.01, of a GiB of memory 0.004",
            "EUR AN HOUR",
            "does not run: its volumes alone",
            "all of them: 0.002 EUR an hour, 1.46 EUR a month",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(table(&Costs { applications: Vec::new(), ..costs }).ends_with("there are no applications\n"));
    }
}
