//! The machine under measurement: whether it is quiet, its caches, what it has, and programs that run on it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Set once somebody asked for the end: what runs breaks off at its next step, and cleans up.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Lets everything break off.
pub fn end() {
    ENDS.store(true, Ordering::Relaxed);
}

/// Fails where somebody asked for the end.
pub fn go_on() -> anyhow::Result<()> {
    if ENDS.load(Ordering::Relaxed) {
        bail!("broken off");
    }
    Ok(())
}

/// Share of the processors that others may have for figures to be judged: what a Debian machine does by itself is far below it.
pub const QUIET_SHARE_MAX: f64 = 0.05;
/// Length of one look at the processors.
const LOOK: Duration = Duration::from_secs(2);
/// Looks before a machine counts as busy: what a row before this one left to be written takes some of them.
const LOOKS: u32 = 10;
/// Pause between two looks at something that is waited for.
pub const POLL: Duration = Duration::from_millis(2);

/// Ticks of all processors since the start: all of them, and those in which nothing was done or waited for.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // Time of guests stands in that of users already.
    let fields: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    Some((fields.iter().sum(), *fields.get(3)?))
}

/// Share of the processors that is used, or waits for a disk, over a time.
fn share(over: Duration) -> anyhow::Result<f64> {
    let read = || -> anyhow::Result<(u64, u64)> {
        ticks(&std::fs::read_to_string("/proc/stat")?).context("/proc/stat has no line of all processors")
    };
    let before = read()?;
    std::thread::sleep(over);
    let after = read()?;
    let (all, idle) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    Ok(if all == 0 { 0.0 } else { 1.0 - idle as f64 / all as f64 })
}

/// Waits until the machine is quiet; the share that others have where it does not become so.
pub fn settle() -> anyhow::Result<Option<f64>> {
    rustix::fs::sync();
    let mut least = f64::MAX;
    for _ in 0..LOOKS {
        go_on()?;
        least = least.min(share(LOOK)?);
        if least <= QUIET_SHARE_MAX {
            return Ok(None);
        }
    }
    Ok(Some(least))
}

/// Drops the kernel's caches of files.
pub fn cool() -> anyhow::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("/proc/sys/vm/drop_caches: caches are dropped by root")
}

/// Path of a program.
pub fn program(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut found = folders.map(|folder| folder.join(name)).filter(|path| path.is_file());
    found
        .next()
        .with_context(|| format!("{name} is not installed (Debian package {package}): scripts/setup.sh bench-xnode"))
}

/// Runs a program to its end, and returns what it prints.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{command:?} has failed ({}): {}{}", output.status, out.trim(), told.trim());
    }
    Ok(out.into_owned())
}

/// First line of what a program says of its version, without the words before the number.
pub fn version(command: &mut Command) -> anyhow::Result<String> {
    let text = run(command)?;
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let number = words.find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
    Ok(number.unwrap_or_default().trim_end_matches(',').to_string())
}

/// Waits until something is so, or until somebody asked for the end.
pub fn until(what: &str, patience: Duration, mut so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    wait_for(what, patience, || go_on().and_then(|()| so()))
}

/// Waits until something is so, also while everything is being removed.
pub fn wait_for(what: &str, patience: Duration, mut so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !so()? {
        if begun.elapsed() > patience {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Returns true while a process runs; one that has ended and for which nobody waits has no command line.
pub fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Processes of this machine with their command lines.
pub fn processes() -> anyhow::Result<Vec<(u32, Vec<String>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Whatever has ended meanwhile has no command line any more.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        found.push((pid, words.filter(|word| !word.is_empty()).collect()));
    }
    Ok(found)
}

/// Returns the milliseconds that something takes.
pub fn milliseconds(act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    act()?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// A way to measure one side once.
pub type Side<'a> = Box<dyn FnMut() -> anyhow::Result<f64> + 'a>;

/// Measures sides in turn, in the opposite order in every second round, so that whatever warms up or fills up meets all of them.
pub fn alternate(rounds: usize, sides: &mut [Side<'_>]) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut figures = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            go_on()?;
            figures[side].push(sides[side]()?);
        }
    }
    Ok(figures)
}

/// Fills a root file system with programs of this machine and their libraries, owned by a container's ids.
pub fn populate(root: &Path, programs: &[&str], owner: u32) -> anyhow::Result<()> {
    for folder in ["proc", "sys", "dev", "tmp", "run", "etc"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
    let libraries = run(Command::new("ldd").args(programs))?;
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    for file in programs.iter().copied().chain(libraries) {
        let target = root.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().context("a file below the root")?)?;
        std::fs::copy(file, &target).with_context(|| file.to_string())?;
    }
    run(Command::new("chown").arg("-R").arg(format!("{owner}:{owner}")).arg(root)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_ticks_are_the_fourth_and_guests_are_not_counted_twice() {
        assert_eq!(ticks("cpu  10 1 4 80 3 1 1 0 7 7\ncpu0 1 1 1 1\n"), Some((100, 80)));
        assert_eq!(ticks("intr 5"), None);
    }

    #[test]
    fn sides_take_turns_and_change_their_order() {
        let said = std::cell::RefCell::new(String::new());
        let side = |letter: char| -> Side<'_> {
            let said = &said;
            Box::new(move || {
                said.borrow_mut().push(letter);
                Ok(said.borrow().len() as f64)
            })
        };
        let figures = alternate(3, &mut [side('a'), side('b')]).expect("figures");
        assert_eq!(said.into_inner(), "abbaab");
        assert_eq!(figures, [[1.0, 4.0, 5.0], [2.0, 3.0, 6.0]]);
    }
}
