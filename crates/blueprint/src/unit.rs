//! The service of an agent: its settings as one list, from which the unit of systemd and the module of NixOS are printed both.
//!
//! None of systemd's sandboxes is among them: they would put the agent into namespaces of its own, in which no mount reaches the machine, or take rights away
//! that applications are made with.

use std::fmt::Write as _;

/// Part of a unit (systemd.unit(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `[Unit]`.
    Unit,
    /// `[Service]`.
    Service,
    /// `[Install]`.
    Install,
}

/// A setting of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its part.
    pub section: Section,
    /// Key, as systemd has it.
    pub key: &'static str,
    /// Value.
    pub value: &'static str,
    /// Reason, a sentence or two; empty where the key says it.
    pub why: &'static str,
}

const fn unit(key: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting { section: Section::Unit, key, value, why }
}

const fn service(key: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting { section: Section::Service, key, value, why }
}

/// All settings, but for the commands.
pub const SETTINGS: &[Setting] = &[
    unit("After", "network.target local-fs.target time-sync.target", ""),
    unit(
        "StartLimitIntervalSec",
        "0",
        "It is started again for ever: applications go on meanwhile, and nobody else looks after them.",
    ),
    service(
        "Type",
        "notify",
        "It says when it serves, and which process is the agent: another version takes over without an end of the service.",
    ),
    service("NotifyAccess", "all", ""),
    service("TimeoutStartSec", "300", ""),
    service("Environment", "OPENMESH_LOG=info", ""),
    service(
        "KillMode",
        "process",
        "Only the agent ends: applications, their shims and the door go on, and the next agent finds them.",
    ),
    service("TimeoutStopSec", "120", "Its present step may stop an application within the application's own grace."),
    service("Restart", "always", ""),
    service("RestartSec", "1", ""),
    service(
        "OOMPolicy",
        "continue",
        "An application that runs out of memory is the agent's to start again, and no reason to end the service.",
    ),
    service(
        "TasksMax",
        "infinity",
        "Applications have limits of their own; the usual one of a service would be one for all of them together.",
    ),
    service("LimitNOFILE", "1048576", ""),
    Setting { section: Section::Install, key: "WantedBy", value: "multi-user.target", why: "" },
];

/// Words on a service, for people.
pub fn description(name: &str) -> String {
    format!("Openmesh Xnode: agent `{name}`, which runs applications")
}

/// The settings of a part.
pub fn settings(section: Section) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.section == section)
}

/// The unit's text without its first comment: the service of an agent that begins by one command and is renewed by another.
pub fn text(name: &str, begins: &str, renews: &str) -> String {
    let mut text = format!("[Unit]\nDescription={}\n", description(name));
    lines(Section::Unit, &mut text);
    let _ = writeln!(text, "\n[Service]\nExecStart={begins}\nExecReload={renews}");
    lines(Section::Service, &mut text);
    text.push_str("\n[Install]\n");
    lines(Section::Install, &mut text);
    text
}

fn lines(section: Section, text: &mut String) {
    for Setting { key, value, why, .. } in settings(section) {
        if !why.is_empty() {
            let _ = writeln!(text, "# {why}");
        }
        let _ = writeln!(text, "{key}={value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_every_setting_in_its_part() {
        let text = text("second", "/bin/a xnode agent", "/bin/a renew");
        let parts: Vec<&str> = text.split("\n\n").collect();
        assert_eq!(parts.len(), 3, "{text}");
        for (part, (section, head)) in parts.iter().zip([
            (Section::Unit, "[Unit]\nDescription=Openmesh Xnode: agent `second`,"),
            (Section::Service, "[Service]\nExecStart=/bin/a xnode agent\nExecReload=/bin/a renew\n"),
            (Section::Install, "[Install]\n"),
        ]) {
            assert!(part.starts_with(head), "{part}");
            for Setting { key, value, .. } in settings(section) {
                assert!(part.lines().any(|line| line == format!("{key}={value}")), "{key} is not in {part}");
            }
        }
        assert!(SETTINGS.iter().any(|setting| (setting.key, setting.value) == ("KillMode", "process")));
    }
}
