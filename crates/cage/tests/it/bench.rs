//! Time until a container's application has said its first word: ours with both drivers beside `runc run` on the same bundle and `podman run` on the same root,
//! alternating in one run, with a warm and a cold page cache.
//!
//! Run for figures on an idle machine, optimised: `cargo test --release -p openmesh-cage --test it bench -- --ignored --nocapture`, with the rounds in
//! `OPENMESH_START_ROUNDS`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_cage::bundle;
use openmesh_cage::driver;
use openmesh_cage::open_door;

use crate::world::{World, with_drivers};

/// Rounds without another word.
const ROUNDS: usize = 20;
/// The first word of the application.
const WORD: &str = "up";

/// Drops the caches of the kernel.
fn cool() {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Time from the first effect of ours to the word.
fn ours(world: &mut World) -> Duration {
    let begun = Instant::now();
    world.create().unwrap();
    driver::start(&*world.driver, &world.container, &open_door).unwrap();
    while !world.output().contains(WORD) {
        std::thread::sleep(Duration::from_micros(200));
    }
    let took = begun.elapsed();
    world.delete();
    took
}

/// Time from the start of a program to the first line that it prints.
fn program(command: &mut Command) -> Option<Duration> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    let took = begun.elapsed();
    let output = child.wait_with_output().ok()?;
    if line.trim() != WORD {
        println!("{command:?} said {line:?} and {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(took)
}

fn runc(world: &World, number: usize) -> Option<Duration> {
    bundle::write(&world.config(), &world.container.bundle, &open_door).unwrap();
    world.group.make(&open_door).unwrap();
    let id = format!("{}-peer-{number}", world.container.id);
    let took = program(Command::new("runc").arg("run").arg("--bundle").arg(&world.container.bundle).arg(&id));
    let _ = Command::new("runc").args(["delete", "--force", &id]).stderr(Stdio::null()).status();
    world.group.kill_all(&open_door).unwrap();
    world.group.remove(&open_door).unwrap();
    took
}

fn podman(world: &World) -> Option<Duration> {
    let root = world.instance.root.path.clone();
    let mut command = Command::new("podman");
    command.args(["run", "--rm", "--network=none", "--read-only", "--rootfs", &root]).args(&world.instance.command);
    program(&mut command)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[test]
#[ignore = "a measurement: run it by name on an idle machine"]
fn a_start_beside_runc_and_podman() {
    let rounds = std::env::var("OPENMESH_START_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    with_drivers(|mut world| {
        world.script(&format!("echo {WORD}"));
        for is_cold in [false, true] {
            let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
            for round in 0..rounds {
                let sides: [&str; 3] =
                    if round % 2 == 0 { ["ours", "runc", "podman"] } else { ["podman", "runc", "ours"] };
                for side in sides {
                    if is_cold {
                        cool();
                    }
                    let took = match side {
                        "ours" => Some(ours(&mut world)),
                        "runc" => runc(&world, round),
                        _ => podman(&world),
                    };
                    times.entry(side).or_default().extend(took);
                }
            }
            for (side, times) in &mut times {
                let cache = if is_cold { "cold" } else { "warm" };
                let name =
                    if *side == "ours" { format!("ours with {}", world.driver.name()) } else { side.to_string() };
                println!("{cache} {name}: median {:.1?} of {}", median(times), times.len());
            }
        }
    });
}
