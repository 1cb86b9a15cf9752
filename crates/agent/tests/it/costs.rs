//! Costs by an operator's prices: in a plan before anything is done, and in the list afterwards.

use openmesh_agent::views::Costs;
use reqwest::Method;

use crate::pantry::server;
use crate::world::{World, free_port, plain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_it_costs_before_anything_is_done() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let unpriced = world.document(&plain(&world.image(&server("one")), free_port()));
    let prices = "machine: {prices: {currency: EUR, processor: 0.01, memory: 0.004, disk: 0.001}, ";
    let priced = unpriced.replacen("machine: {", prices, 1);
    // One processor, 128 MiB of memory, 16 MiB of disk.
    let planned = world.send(Method::POST, "/applications?plan=true", priced.clone()).await.unwrap();
    let cost = planned.cost.unwrap();
    assert_eq!((cost.hour.as_str(), cost.month.as_str()), ("0.010515625", "7.67640625"));
    assert_eq!((cost.before, cost.changed.len()), (None, 1));
    assert_eq!(planned.plan.lines().nth(1), Some("cost: 7.68 EUR a month (web 7.68)"), "{}", planned.plan);
    // Nothing was done for it, and without prices nothing is said.
    let costs: Costs = world.get("/costs").await.unwrap();
    assert_eq!((costs.prices, costs.applications.len()), (None, 0));
    let silent = world.send(Method::POST, "/applications?plan=true", unpriced).await.unwrap();
    assert!(silent.cost.is_none() && !silent.plan.contains("cost:"), "{}", silent.plan);
    world.deploy(priced.clone()).await;
    let costs: Costs = world.get("/costs").await.unwrap();
    let one = &costs.applications[0];
    assert_eq!((one.name.as_str(), one.runs, one.month.as_str()), ("web", true, "7.67640625"));
    assert_eq!((one.processors.as_str(), one.memory.as_str(), one.disk.as_str()), ("7.3", "0.365", "0.01140625"));
    assert_eq!(costs.prices.unwrap().currency, "EUR");
    // Stopped, it keeps its volume, and the plan says what that saves.
    let stopped = priced.replace("    health:", "    wish: stopped\n    health:");
    let planned = world.send(Method::POST, "/applications?plan=true", stopped).await.unwrap();
    let line = "cost: 0.0114 EUR a month instead of 7.68 (web 0.0114 instead of 7.68)";
    assert_eq!(planned.plan.lines().nth(1), Some(line), "{}", planned.plan);
    world.stop().await;
}
