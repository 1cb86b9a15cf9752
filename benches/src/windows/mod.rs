//! Hours of a simulated network with short windows: what grows over time, and what must not.
//!
//! Starts `openmesh up --simulate` with epochs of five minutes, unless others are asked for, so that details leave the state and blocks leave the store
//! many times within the run. Each minute leaves a line of a table: progress of agreement, processor time, and the memory and disk of the largest
//! validator. At the end, or from a table of an earlier run (`--judge`), it draws every column and holds the growth over the second half against what is
//! allowed.

mod judge;
mod sample;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::network::{Process, Product};
use sample::{Sample, VALIDATORS, Watch};

/// Time between two samples: a table of two hours has 120 lines.
const SAMPLE_PAUSE: Duration = Duration::from_secs(60);
/// Epochs of which details and blocks are kept.
const EPOCHS_KEPT: u64 = 2;
/// Room for the chunks of each validator, bytes for each second of an epoch: 200 MB with epochs of five minutes, reached within the first hour.
const CONTENT_BYTES: u64 = 700_000;
/// Room for its raw frames, of which there are less: 64 MB, reached within the first hour too, so that the second one shows what has filled.
const RAW_BYTES: u64 = 224_000;

/// Arguments of `windows`.
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// Minutes, with a sample after each.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,
    /// Length of the windows of the market's sources, as the product takes it.
    #[arg(long, default_value = "500ms")]
    window: String,
    /// Length of an epoch, seconds: details of two are kept, so that they leave the state for the first time after a quarter of an hour.
    /// With shorter ones everything that fills and leaves does so sooner.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(30..=3_600))]
    epoch_seconds: u64,
    /// Market events a second that are asked for.
    #[arg(long, default_value_t = 60)]
    rate: u32,
    /// Folder of the table and the picture.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Judge and draw the table of an earlier run, and run nothing.
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    #[command(flatten)]
    product: Product,
}

/// Runs or reads, draws, and judges; fails where something grows that must not.
pub async fn run(arguments: &WindowsArgs) -> anyhow::Result<()> {
    let samples = match &arguments.judge {
        Some(table) => {
            let text = std::fs::read_to_string(table).with_context(|| table.display().to_string())?;
            sample::read(&text).with_context(|| table.display().to_string())?
        }
        None => measure(arguments).await?,
    };
    ensure!(samples.len() >= 4, "a run of less than four minutes has no growth; ask for more --minutes");
    let minutes = samples.last().map_or(0, |sample| sample.minutes);
    let title = format!("{minutes} minutes of four validators, windows of {}", arguments.window);
    let picture = arguments.out.join("windows.svg");
    std::fs::write(&picture, judge::picture(&title, &samples)).with_context(|| picture.display().to_string())?;
    eprintln!("picture: {}", picture.display());
    let faults = judge::judge(&samples);
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("; ")) }
}

async fn measure(arguments: &WindowsArgs) -> anyhow::Result<Vec<Sample>> {
    let home = tempfile::tempdir()?;
    let binary = arguments.product.path()?;
    let rate = arguments.rate.to_string();
    let path = home.path().to_str().context("a path")?;
    let up = ["up", "--simulate", "--port", "0", "--window", &arguments.window, "--rate", &rate, "--home", path];
    let root = home.path().join("simulated");
    // Once, so that there is a genesis whose epochs can be made short.
    let mut network = Process::start(&binary, &up, home.path().join("first.log"))?;
    let ready = network.ready(&root.join("validator-0")).await;
    network.stop().await;
    ready?;
    shorten(&root, arguments.epoch_seconds)?;
    let mut network = Process::start(&binary, &up, home.path().join("up.log"))?;
    let outcome = watch(arguments, &root, &mut network).await;
    network.stop().await;
    outcome
}

/// Makes epochs and retention short, and lets the network begin anew.
fn shorten(root: &Path, epoch_s: u64) -> anyhow::Result<()> {
    for folder in [root.to_path_buf()].into_iter().chain((0..VALIDATORS).map(|index| sample::folder(root, index))) {
        let file = folder.join("genesis.json");
        let mut genesis: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let epochs = genesis.pointer_mut("/params/epochs").context("a genesis without epochs")?;
        epochs["epoch_ms"] = (epoch_s * 1_000).into();
        epochs["details_kept_epochs"] = EPOCHS_KEPT.into();
        std::fs::write(&file, serde_json::to_vec_pretty(&genesis)?)?;
    }
    for index in 0..VALIDATORS {
        let folder = sample::folder(root, index);
        let file = folder.join("node.toml");
        let mut settings: toml::Table = std::fs::read_to_string(&file)?.parse()?;
        let limits = table(&mut settings, "limits")?;
        for (key, bytes) in [("content_bytes_max", CONTENT_BYTES), ("raw_bytes_max", RAW_BYTES)] {
            limits.insert(key.to_owned(), toml::Value::Integer((bytes * epoch_s).cast_signed()));
        }
        let storage = table(&mut settings, "storage")?;
        storage.insert("retain_epochs".to_owned(), toml::Value::Integer(EPOCHS_KEPT.cast_signed()));
        storage.insert("archive".to_owned(), toml::Value::Boolean(false));
        std::fs::write(&file, settings.to_string())?;
        std::fs::remove_dir_all(folder.join("data"))?;
    }
    Ok(())
}

fn table<'a>(settings: &'a mut toml::Table, name: &str) -> anyhow::Result<&'a mut toml::Table> {
    let entry = settings.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    entry.as_table_mut().with_context(|| format!("`{name}` of node.toml is no table"))
}

async fn watch(arguments: &WindowsArgs, root: &Path, network: &mut Process) -> anyhow::Result<Vec<Sample>> {
    let mut hosts = Vec::new();
    for index in 0..VALIDATORS {
        let api = network.ready(&sample::folder(root, index)).await?;
        hosts.push(api.trim_start_matches("http://").trim_end_matches('/').to_owned());
    }
    let table = arguments.out.join("windows.csv");
    let (started, mut watch, mut samples) = (Instant::now(), Watch::new(root, hosts), Vec::new());
    for minute in 1..=arguments.minutes {
        tokio::time::sleep_until((started + SAMPLE_PAUSE * minute).into()).await;
        let sample = watch.sample(u64::from(minute)).await?;
        println!("{}", sample.json());
        samples.push(sample);
        std::fs::write(&table, sample::write(&samples)).with_context(|| table.display().to_string())?;
    }
    eprintln!("table: {}", table.display());
    Ok(samples)
}
