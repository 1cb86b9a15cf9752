//! The figures of one run, for programs and for people.

use super::load::{Outcome, Plan};
use super::net::Net;

/// Bars for the time from submit to commit at no more than half of the saturated rate, milliseconds: of the middle transfer, and of 99 in a hundred.
const LATENCY_MS_MAX: (u128, u128) = (300, 800);

/// One JSON object a line for programs; the same words for people on standard error.
pub fn report(net: &Net, plan: &Plan, outcome: &Outcome) {
    let ms = |percent| outcome.latency(percent).map_or(0, |l| l.as_millis());
    let kind = plan.rate.map_or_else(|| "saturation".to_string(), |rate| format!("{rate} transfers a second offered"));
    eprintln!(
        "{}, {kind}: {} of {} committed, {:.0} a second; submit to commit p50 {} ms, p99 {} ms; {} blocks, highest round {}; \
         refused {}, asked to come again {}, not committed {}; processors: validators {:.2} ({:.0} us a \
         transfer and validator), this generator {:.2}",
        net.name,
        outcome.committed(),
        outcome.offered,
        outcome.per_second(),
        ms(50),
        ms(99),
        outcome.blocks,
        outcome.round,
        outcome.refused_text(),
        outcome.busy,
        outcome.lost,
        outcome.cores_nodes,
        outcome.cpu_us_each(net.len()),
        outcome.cores_own,
    );
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "transfers",
            "side": net.name,
            "validators": net.len(),
            "processes": net.len(),
            "offered_per_second": plan.rate,
            "transfers": outcome.offered,
            "committed": outcome.committed(),
            "committed_per_second": outcome.per_second().round(),
            "p50_ms": ms(50),
            "p99_ms": ms(99),
            "max_ms": ms(100),
            "latency_bars_ms": [LATENCY_MS_MAX.0 as u64, LATENCY_MS_MAX.1 as u64],
            "latency_met": ms(50) < LATENCY_MS_MAX.0 && ms(99) < LATENCY_MS_MAX.1,
            "blocks": outcome.blocks,
            "highest_round": outcome.round,
            "refused": outcome.refused,
            "busy_answers": outcome.busy,
            "not_committed": outcome.lost,
            "signatures_verified_least": outcome.verified,
            "seconds": outcome.elapsed.as_secs_f64(),
            "cores_validators": outcome.cores_nodes,
            "cpu_us_a_transfer_and_validator": outcome.cpu_us_each(net.len()).round(),
            "cores_generator": outcome.cores_own,
        })
    );
}
