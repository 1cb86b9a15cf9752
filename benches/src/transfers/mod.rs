//! Transfers a second that four validators on this machine commit, and the time that one takes.
//!
//! The validators are processes of their own, as in `openmesh up`, and everything goes through their public door: each
//! transfer is one `POST /v1/transactions`, signed as EIP-712 typed data by an account of its own making; blocks are watched on
//! the WebSocket. Two kinds of runs: **saturation** hands in as fast as the door takes it, and the figure is transfers a
//! second from the first request to the block with the last one. **Open loop** hands in at a stated rate whatever the
//! answers (so a slow moment is not hidden by waiting for it), and the figure is the time from the moment a transfer was
//! due to the moment the watcher is told of its block. The generator's own share of the processors is told besides,
//! because it runs on the same machine.
//!
//! Before anything is measured every validator is asked whether it verifies signatures ([`verified`]): a run beside one that does
//! not is refused.
//!
//! With `--profile` the run that hands in as fast as the doors take it is followed by the processor time of a transfer by part
//! ([`profile`]), with `--one-down` by the pause between blocks while a validator is down ([`one_down`]). `--single` tells the time of single
//! transfers on the idle network ([`single`]), `--beside` measures in turns with CometBFT ([`beside`]).

mod arguments;
mod beside;
mod comet;
mod gossip;
mod load;
mod net;
mod one_down;
mod profile;
mod protocol;
mod replay;
mod report;
mod single;
mod verified;

use std::time::Duration;

pub use self::arguments::TransfersArgs;
use self::load::Plan;
use self::net::{Net, SHARES};
use self::report::report;

/// Pause between two runs, so that the tables of one are not written during the next.
const PAUSE: Duration = Duration::from_secs(3);

/// Starts the validators, runs the loads one after the other and prints each outcome.
pub async fn run(arguments: &TransfersArgs) -> anyhow::Result<()> {
    if let Some(program) = &arguments.beside {
        return beside::run(arguments, program).await;
    }
    let mut net = Net::start(arguments).await?;
    let outcome = measure(arguments, &mut net).await;
    net.stop().await;
    outcome
}

async fn measure(arguments: &TransfersArgs, net: &mut Net) -> anyhow::Result<()> {
    verified::by_everybody(net).await?;
    if let Some(times) = arguments.single {
        return single::run(net, times).await;
    }
    let plan = Plan {
        count: arguments.transfers,
        rate: None,
        connections: arguments.connections,
        batch: arguments.batch as usize,
        length: None,
    };
    if arguments.profile {
        return profile::run(net, &plan, Duration::from_secs(arguments.idle_seconds)).await;
    }
    if arguments.one_down {
        return one_down::run(net, &plan, Duration::from_secs(arguments.idle_seconds), arguments.seconds).await;
    }
    let saturated = load::run(net, &plan).await?;
    report(net, &plan, &saturated);
    let rates = match arguments.rates.as_slice() {
        [] => SHARES.iter().map(|share| saturated.per_second() as u64 * share / 100).collect(),
        given => given.to_vec(),
    };
    for rate in rates.into_iter().filter(|rate| *rate > 0) {
        tokio::time::sleep(PAUSE).await;
        let count = rate * arguments.seconds;
        let plan = Plan {
            count,
            rate: Some(rate),
            connections: arguments.connections,
            batch: arguments.batch as usize,
            length: None,
        };
        let outcome = load::run(net, &plan).await?;
        report(net, &plan, &outcome);
    }
    Ok(())
}
