//! The Xnode beside its named peers, alternating in one run: podman, runc, restic, and PostgreSQL on a bare folder. Prints one table.
//!
//! Everything that is made has a name of this run, lies below one folder or in a network namespace, and is removed at the end, whatever that end is but a kill.
//! Where other work has the machine, the table says so and nothing is judged.

mod agent;
mod backup;
mod click;
mod deploy;
mod idle;
mod lab;
mod machine;
mod podman;
mod postgres;
mod shim;
mod start;
mod table;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use lab::Lab;
pub use machine::cool;
use table::{Row, Unjudged};

use crate::network::Product;

/// Arguments of `xnode`.
#[derive(Debug, Args)]
pub struct XnodeArgs {
    /// Only these rows, with commas between them; all where not given.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    rows: Vec<Rows>,
    /// Small sizes and few rounds, to see that everything runs to its end; nothing is judged.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    product: Product,
}

/// Rows that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// Start of a container, beside podman and runc, with a warm and a cold cache.
    Start,
    /// Deployment of templates until they answer, beside podman.
    Deploy,
    /// The same by a click in Studio, in Chromium.
    Click,
    /// Memory and processor of an idle agent, and a deployment that changes nothing.
    Idle,
    /// Backup and restore, beside restic.
    Backup,
    /// PostgreSQL on a volume, beside a bare folder; snapshot and return.
    Postgres,
    /// Memory of a shim without its agent and the pace of its log, beside conmon.
    Shim,
}

impl Rows {
    fn measure(self, lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
        match self {
            Rows::Start => start::rows(lab),
            Rows::Deploy => deploy::rows(lab),
            Rows::Click => click::rows(lab),
            Rows::Idle => idle::rows(lab),
            Rows::Backup => backup::rows(lab),
            Rows::Postgres => postgres::rows(lab),
            Rows::Shim => shim::rows(lab),
        }
    }
}

/// Measures the rows that are asked for, and prints them as a table.
///
/// # Errors
/// Rows that could not be measured, bars that were not met, and what could not be removed.
pub async fn run(arguments: &XnodeArgs) -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "an agent, containers and volumes need root: sudo");
    let binary = arguments.product.path()?;
    let all = Rows::value_variants().to_vec();
    let rows = if arguments.rows.is_empty() { all } else { arguments.rows.clone() };
    let is_trial = arguments.quick;
    let mut measured = tokio::task::spawn_blocking(move || measure(&binary, &rows, is_trial));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            done = &mut measured => return done.context("the measurement has panicked")?,
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("breaking off, and removing what was made");
        machine::end();
    }
}

fn measure(binary: &Path, rows: &[Rows], is_trial: bool) -> anyhow::Result<()> {
    let mut lab = Lab::new(binary.to_path_buf(), is_trial)?;
    let mut measured = Vec::new();
    let mut faults = Vec::new();
    for which in rows {
        let name = which.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string());
        eprintln!("\x1b[1m==>\x1b[0m {name}");
        match judged(&mut lab, *which) {
            Ok(found) => measured.extend(found),
            Err(error) => faults.push(format!("{name}: {error:#}")),
        }
        if machine::go_on().is_err() {
            break;
        }
    }
    println!("{}", table::text(&measured));
    faults.extend(measured.iter().filter(|row| row.fails()).map(|row| format!("{}: its bar is not met", row.name)));
    if let Err(error) = lab.end() {
        faults.push(format!("{error:#}"));
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

/// Rows with the reason for which they are not judged, where there is one.
fn judged(lab: &mut Lab, which: Rows) -> anyhow::Result<Vec<Row>> {
    if lab.is_trial {
        let rows = which.measure(lab)?;
        return Ok(rows.into_iter().map(|row| Row { unjudged: Some(Unjudged::Trial), ..row }).collect());
    }
    let before = machine::settle()?;
    let rows = which.measure(lab)?;
    // Work that began meanwhile is still there, or the figures have had little of it.
    let busy = before.or(machine::settle()?).map(Unjudged::Busy);
    Ok(rows.into_iter().map(|row| Row { unjudged: busy.clone(), ..row }).collect())
}
