//! The comparison of an instance with its bundle. Pure.

use super::{Difference, MountLine, NAMESPACES, Observed, PROCESS_LIMITS};
use crate::cgroup::files;
use crate::config::{Config, Mount};
use crate::instance::Capability;

/// Size of a page, bytes: the kernel rounds sizes of memory to it.
const PAGE_BYTES: u64 = 4_096;
/// Devices that the drivers allow beyond the bundle: the console, and tunnels, which want a capability that no instance has.
const DRIVER_DEVICES: [&str; 2] = ["c 5:1 rwm", "c 10:200 rwm"];
/// Options of a mount that take something away from the instance.
const STRICT: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];
/// Nodes that both drivers bind into `/dev`.
const NODES: [&str; 8] =
    ["/dev/console", "/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// Differences between an instance and its bundle, in a fixed order; none is as it should be.
pub fn compare(config: &Config, observed: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    if !observed.processes.contains_key(&observed.first) {
        found.push(Difference::Outside { pid: observed.first });
    }
    processes(config, observed, &mut found);
    let maps = [
        ("uid_map", &config.linux.uid_mappings, &observed.uid_map),
        ("gid_map", &config.linux.gid_mappings, &observed.gid_map),
    ];
    for (file, expected, is) in maps {
        if expected != is {
            found.push(Difference::IdMap { file, expected: expected.clone(), found: is.clone() });
        }
    }
    for (kind, _) in NAMESPACES {
        let (is, own, wanted) =
            (observed.namespaces.get(kind), observed.own_namespaces.get(kind), observed.joined.get(kind));
        if is == own {
            found.push(Difference::SharedNamespace { kind });
        } else if wanted.is_some() && wanted != is {
            found.push(Difference::OtherNamespace { kind });
        }
    }
    mounts(config, observed, &mut found);
    limits(config, observed, &mut found);
    for (name, allowed) in PROCESS_LIMITS {
        let is = observed.process_limits.get(name).copied().flatten();
        if is.is_none_or(|is| is > allowed) {
            found.push(Difference::ProcessLimit { name, allowed, found: is });
        }
    }
    found
}

fn bits(names: &[String]) -> u64 {
    let capabilities = Capability::ALL.iter().filter(|capability| names.iter().any(|name| name == capability.name()));
    capabilities.map(|capability| 1_u64 << capability.bit()).sum()
}

fn processes(config: &Config, observed: &Observed, found: &mut Vec<Difference>) {
    let sets = &config.process.capabilities;
    for (&pid, has) in &observed.processes {
        if has.seccomp != 2 {
            found.push(Difference::NoSeccomp { pid, mode: has.seccomp });
        }
        if !has.no_new_privileges {
            found.push(Difference::NewPrivileges { pid });
        }
        let sets = [
            ("CapInh", bits(&sets.inheritable), has.inheritable),
            ("CapPrm", bits(&sets.permitted), has.permitted),
            ("CapEff", bits(&sets.effective), has.effective),
            ("CapBnd", bits(&sets.bounding), has.bounding),
            ("CapAmb", bits(&sets.ambient), has.ambient),
        ];
        for (set, allowed, is) in sets {
            if is & !allowed != 0 {
                found.push(Difference::Capabilities { pid, set, allowed, found: is });
            }
        }
    }
}

/// The last mount at a path is the one that is seen.
fn at<'a>(observed: &'a Observed, target: &str) -> Option<&'a MountLine> {
    observed.mounts.iter().rev().find(|line| line.target == target)
}

fn mounts(config: &Config, observed: &Observed, found: &mut Vec<Difference>) {
    let read_only = |line: &MountLine| line.options.iter().any(|option| option == "ro");
    match at(observed, "/") {
        None => found.push(Difference::MountMissing { target: "/".into() }),
        Some(line) if config.root.readonly && !read_only(line) => {
            found.push(Difference::MountDiffers { target: "/".into(), lacks: "ro".into() });
        }
        Some(_) => {}
    }
    for mount in &config.mounts {
        match at(observed, &mount.destination) {
            None => found.push(Difference::MountMissing { target: mount.destination.clone() }),
            Some(line) => found.extend(lacks(mount, line).into_iter().map(|lacks| {
                let target = mount.destination.clone();
                Difference::MountDiffers { target, lacks }
            })),
        }
    }
    let (masked, guarded) = (&config.linux.masked_paths, &config.linux.readonly_paths);
    for path in &observed.system_paths {
        let line = at(observed, path);
        let safe = if guarded.contains(path) { line.is_some_and(read_only) } else { line.is_some() };
        if !safe {
            found.push(Difference::Exposed { path: path.clone() });
        }
    }
    for line in &observed.mounts {
        let target = &line.target;
        let asked = config.mounts.iter().any(|mount| mount.destination == *target);
        let system = masked.contains(target) || guarded.contains(target) || NODES.contains(&target.as_str());
        if target != "/" && !asked && !system {
            found.push(Difference::MountUnknown { target: target.clone() });
        }
    }
}

/// Options, kind and bound that a mount lacks of those in its bundle.
fn lacks(mount: &Mount, line: &MountLine) -> Vec<String> {
    let mut lacks = Vec::new();
    if mount.kind != "bind" && mount.kind != line.kind {
        lacks.push(format!("its kind {} (it is {})", mount.kind, line.kind));
    }
    let strict = mount.options.iter().filter(|option| STRICT.contains(&option.as_str()));
    lacks.extend(strict.filter(|option| !line.options.contains(option)).cloned());
    let wanted = mount.options.iter().find_map(|option| option.strip_prefix("size=")?.parse::<u64>().ok());
    if let Some(wanted) = wanted {
        let shown = line.super_options.iter().find_map(|option| option.strip_prefix("size=")?.strip_suffix('k'));
        let is = shown.and_then(|text| text.parse::<u64>().ok()).map(|kib| kib.saturating_mul(1_024));
        if is.is_none_or(|is| is > wanted.next_multiple_of(PAGE_BYTES)) {
            lacks.push(format!("its bound of {wanted} bytes"));
        }
    }
    lacks
}

fn limits(config: &Config, observed: &Observed, found: &mut Vec<Difference>) {
    for (write, text) in &observed.limits {
        let Some(text) = text else {
            if !write.optional {
                found.push(Difference::Limit {
                    file: write.file,
                    expected: write.text.clone(),
                    found: "absent".into(),
                });
            }
            continue;
        };
        let expected = if write.file.starts_with("memory.") { to_pages(&write.text) } else { write.text.clone() };
        let difference = Difference::Limit { file: write.file, expected, found: text.clone() };
        let differs = matches!(&difference, Difference::Limit { expected, found, .. } if expected != found);
        if differs && !found.contains(&difference) {
            found.push(difference);
        }
    }
    let Some(devices) = &observed.devices else { return };
    let allowed: Vec<String> =
        config.linux.resources.devices.iter().filter(|rule| rule.allow).map(files::device).collect();
    let beyond = devices.iter().filter(|line| !allowed.contains(line) && !DRIVER_DEVICES.contains(&line.as_str()));
    found.extend(beyond.map(|line| Difference::Device { line: line.clone() }));
}

/// A number of bytes as the kernel keeps it: whole pages.
fn to_pages(text: &str) -> String {
    text.parse::<u64>().map_or_else(|_| text.to_string(), |bytes| (bytes / PAGE_BYTES * PAGE_BYTES).to_string())
}
