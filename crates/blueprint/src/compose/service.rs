//! One service into one application.

use super::capabilities;
use super::context::{Context, entries, one_or_more};
use super::deploy::{deploy, limit, replicas, restart, usual};
use super::environment::Environment;
use super::files::files;
use super::finding::Findings;
use super::health::health;
use super::interpolate::Uses;
use super::labels::labels;
use super::networks::Ties;
use super::ports;
use super::shared::Shared;
use super::storage::{Mounts, tmpfs};
use super::values::{duration, words};
use crate::document::{Application, ImageReference, Name, Restart, Root, StopSignal, User};
use crate::text::{Entry, Node, Problems, Shape, Value};

/// Keys that have no effect on what a service does, each with the reason.
const IGNORED: [(&str, &str); 14] = [
    ("container_name", "applications are known by their name"),
    ("hostname", "applications are known by their name"),
    ("annotations", "nothing reads them"),
    ("logging", "logs are kept with a bound of their own"),
    ("pull_policy", "an image is fetched once, by its digest"),
    ("stdin_open", "nothing is typed into an application"),
    ("tty", "nothing is typed into an application"),
    ("init", "a shim waits for processes that were left"),
    ("attach", "logs are followed by `openmesh app logs`"),
    ("cpu_shares", "a limit on processors is always set"),
    ("cpuset", "a limit on processors is always set"),
    ("mem_reservation", "a limit on memory is always set"),
    ("develop", "nothing is built here"),
    ("profiles", "it is asked for"),
];

/// Keys without which a service would behave otherwise, each with the reason.
const UNSUPPORTED: [(&str, &str); 29] = [
    ("privileged", "no application has rights on the host"),
    ("devices", "devices of the host are not given"),
    ("device_cgroup_rules", "devices of the host are not given"),
    ("network_mode", "each application has a network of its own"),
    ("mac_address", "the address follows from the application's place"),
    ("pid", "each application has processes of its own"),
    ("ipc", "each application has its own"),
    ("uts", "each application has its own"),
    ("userns_mode", "each application has users of its own"),
    ("cgroup", "control groups are the agent's"),
    ("cgroup_parent", "control groups are the agent's"),
    ("sysctls", "kernel settings are not changed"),
    ("ulimits", "the limits are those of `limits`"),
    ("extra_hosts", "names are those of the applications"),
    ("dns", "names are resolved by the machine"),
    ("dns_opt", "names are resolved by the machine"),
    ("dns_search", "names are resolved by the machine"),
    ("domainname", "names are resolved by the machine"),
    ("volumes_from", "two applications do not share a volume"),
    ("external_links", "only applications of this document are linked"),
    ("group_add", "the groups are those of the image"),
    ("gpus", "devices of the host are not given"),
    ("runtime", "the runtime is the machine's"),
    ("shm_size", "the memory of /dev/shm has a bound of its own"),
    ("memswap_limit", "applications are not swapped out by a limit of their own"),
    ("oom_kill_disable", "what takes more memory than its limit is killed"),
    ("post_start", "nothing runs beside the first process; write a job"),
    ("pre_stop", "nothing runs beside the first process; write a job"),
    ("provider", "nothing is asked of another program"),
];

/// Keys that are taken elsewhere.
const ELSEWHERE: [&str; 4] = ["depends_on", "links", "extends", "labels"];

/// A service on its way.
pub(super) struct Service<'a, 'b> {
    pub(super) name: &'a Name,
    pub(super) entry: &'a Entry,
    pub(super) context: &'a Context,
    pub(super) shared: &'a mut Shared,
    pub(super) uses: &'a mut Uses,
    pub(super) findings: Findings<'b>,
}

impl Service<'_, '_> {
    /// The application of a service; `None` when it has no image.
    pub(super) fn translate(mut self, ties: Ties, problems: &mut Problems) -> Option<Application> {
        let mut application = Application::absent()?;
        let node = &self.entry.value;
        let Value::Map(entries) = &node.value else {
            problems.add(node.place, format!("is {}, but a service is expected", node.kind()));
            return None;
        };
        application.root = root(node);
        application.restart = Restart::Never;
        application.capabilities = capabilities::capabilities(node);
        application.links = ties.links;
        application.after = ties.after.difference(&application.links).cloned().collect();
        // Files of variables come first: what stands in the compose file counts more.
        let files_first = entries.iter().filter(|entry| entry.key == "env_file");
        let others = entries.iter().filter(|entry| entry.key != "env_file");
        for entry in files_first.chain(others).filter(|entry| !entry.value.is_null()) {
            problems.below(&entry.key, |problems| self.take(entry, &mut application, problems));
        }
        self.image(node, &mut application, problems);
        self.command(node, &mut application);
        self.passwords(node);
        if let Some(entry) = entries.iter().find(|entry| entry.key == "labels" && !entry.value.is_null()) {
            labels(entry, &mut application, &mut self.findings);
        }
        usual(self.entry, &application, &mut self.findings);
        Some(application)
    }

    fn take(&mut self, entry: &Entry, application: &mut Application, problems: &mut Problems) {
        let findings = &mut self.findings;
        match entry.key.as_str() {
            "image" | "build" | "command" | "entrypoint" | "read_only" => {}
            key if ELSEWHERE.contains(&key) => {}
            "environment" | "env_file" => self.environment(entry, application, problems),
            "user" => user(entry, application, findings),
            "working_dir" => match entry.value.as_text().and_then(|text| text.parse().ok()) {
                Some(path) => application.workdir = Some(path),
                None => findings.unsupported(entry, "is not a path"),
            },
            "restart" => restart(entry, application, findings),
            "ports" => ports::published(entry, application, findings),
            "expose" => ports::exposed(entry, application, findings),
            "volumes" => {
                let mut mounts = Mounts { owner: self.name, context: self.context, shared: &mut *self.shared };
                mounts.take(entry, application, findings);
            }
            "tmpfs" => tmpfs(entry, application.root, findings),
            "secrets" | "configs" => files(entry, application, self.shared, findings),
            "networks" => networks(entry, findings),
            "healthcheck" => health(entry, application, findings),
            "deploy" => deploy(entry, &self.entry.value, application, findings),
            "cap_add" => capabilities::added(entry, findings),
            "cap_drop" => capabilities::dropped(entry, findings),
            "scale" => replicas(entry, application, findings),
            "stop_signal" => stop_signal(entry, application, findings),
            "stop_grace_period" => match entry.value.as_text().and_then(duration) {
                Some(period) => application.stop_after = period,
                None => findings.unsupported(entry, "is not a duration as 1m30s"),
            },
            "mem_limit" | "cpus" | "pids_limit" => limit(entry, application, findings),
            "security_opt" => security(entry, findings),
            "platform" => findings.changed(entry, "the image for the machine's own architecture is taken"),
            "privileged" | "oom_kill_disable" if entry.value.as_text() == Some("false") => {}
            key => other(key, entry, findings),
        }
    }

    fn environment(&mut self, entry: &Entry, application: &mut Application, problems: &mut Problems) {
        let mut environment = Environment {
            service: self.name,
            context: self.context,
            uses: &mut *self.uses,
            proposed: &mut self.shared.proposed,
            taken: &mut self.shared.taken,
        };
        match entry.key.as_str() {
            "env_file" => environment.files(entry, application, &mut self.findings, problems),
            _ => environment.variables(entry, application, &mut self.findings, problems),
        }
    }

    /// Takes `image`, or the one that was named for a service that is built.
    fn image(&mut self, node: &Node, application: &mut Application, problems: &mut Problems) {
        let build = node.get("build").filter(|build| !build.is_null());
        if let Some(named) = self.context.images.get(&self.entry.key) {
            match named.parse::<ImageReference>() {
                Ok(image) => application.image = Some(image),
                Err(error) => problems.below("image", |problems| problems.add(node.place, error.to_string())),
            }
            if let Some(build) = build {
                let why = format!("the image {named} was named in its place");
                self.findings.ignored_at("build", build.place, why);
            }
            return;
        }
        if let Some(image) = node.get("image").filter(|image| !image.is_null()) {
            // A variable without a value is told by itself.
            let is_whole = self.uses.get(&image.place).is_none_or(|used| used.missing.is_none());
            if is_whole {
                application.image = problems.below("image", |problems| Shape::read(image, problems));
            }
            if let Some(build) = build {
                let why = "images are not built from a folder: what a registry has under `image` is taken, \
                    or name another with `--image SERVICE=IMAGE`";
                self.findings.unsupported_at("build", build.place, why);
            }
            return;
        }
        let (place, what) = match build {
            Some(build) => (build.place, "has no image: it is built from a folder, and nothing is built here"),
            None => (node.place, "has no image"),
        };
        let hint = format!(
            "build it, push it to a registry, and give it an `image`, or name it with `--image {}=IMAGE`",
            self.entry.key
        );
        problems.add_with_hint(place, what, hint);
    }

    /// Notes passwords of variables in what can be no secret.
    fn passwords(&mut self, node: &Node) {
        let test = node.get("healthcheck").and_then(|health| health.get("test"));
        let keys = [("command", node.get("command")), ("entrypoint", node.get("entrypoint")), ("healthcheck", test)];
        for (key, value) in keys {
            for item in one_or_more(value) {
                let Some(used) = self.uses.get(&item.place) else { continue };
                let named: Vec<String> = used
                    .names
                    .iter()
                    .filter(|name| self.context.is_secret(name))
                    .map(|name| format!("${{{name}}}"))
                    .collect();
                if !named.is_empty() {
                    let why = format!(
                        "{} stands in the clear in document, plan and history; let the program read a variable or a file",
                        named.join(", ")
                    );
                    self.findings.changed_at(key, item.place, why);
                }
            }
        }
    }

    /// Takes `entrypoint` and `command` by Docker's rule: an entry point takes the image's arguments away, and an empty one is none at all.
    fn command(&mut self, node: &Node, application: &mut Application) {
        let findings = &mut self.findings;
        let place = |key: &str| node.get(key).map_or(node.place, |node| node.place);
        let entrypoint = line("entrypoint", node, findings);
        let command = line("command", node, findings);
        match (entrypoint, command) {
            (None, None) => {}
            (Some(entrypoint), command) if !entrypoint.is_empty() => {
                application.command = entrypoint;
                application.arguments = command.unwrap_or_default();
            }
            // The image's entry point is taken away, so that the command begins with the program.
            (Some(_), Some(command)) if !command.is_empty() => application.command = command,
            (Some(_), _) => {
                let why = "takes the image's entry point away and gives no command, so nothing would run";
                findings.unsupported_at("entrypoint", place("entrypoint"), why);
            }
            (None, Some(command)) if command.is_empty() => {
                let why = "an empty command takes the image's arguments away, which stay here; write `entrypoint` too";
                findings.unsupported_at("command", place("command"), why);
            }
            (None, Some(command)) => application.arguments = command,
        }
    }
}

fn root(node: &Node) -> Root {
    match node.get("read_only").and_then(Node::as_text) {
        Some("true") => Root::ReadOnly,
        _ => Root::Writable,
    }
}

/// A command as a list, or as a line that is split as a shell does; `None` where there is none.
fn line(key: &str, node: &Node, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let node = node.get(key).filter(|node| !node.is_null())?;
    match (&node.value, node.as_text()) {
        (Value::List(items), _) => Some(items.iter().filter_map(Node::as_text).map(str::to_string).collect()),
        (_, Some(text)) => match words(text) {
            Some(words) => Some(words),
            None => {
                findings.unsupported_at(key, node.place, "has a quote that is not closed");
                None
            }
        },
        _ => {
            findings.unsupported_at(key, node.place, "is neither a list nor a line");
            None
        }
    }
}

/// Takes `user`. Names and groups that stand in the image are not known here.
fn user(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let text = entry.value.as_text().unwrap_or_default();
    let Ok(user) = text.parse::<User>() else {
        let why = "must be numbers below 65536 here, as 1000:1000: names stand in the image's /etc/passwd";
        return findings.unsupported(entry, why);
    };
    application.user = Some(user);
    if !text.contains(':') {
        let why = format!(
            "its group is {}; in Docker it is that of the image's /etc/passwd, else 0: write `{text}:GROUP`",
            user.gid
        );
        findings.changed(entry, why);
    }
}

/// Takes `networks`: reach is done elsewhere, what else a service says of them is not.
fn networks(entry: &Entry, findings: &mut Findings<'_>) {
    for (network, node) in entries(Some(&entry.value)) {
        for (key, value) in entries(Some(node)) {
            match key {
                "aliases" => findings.changed_at(
                    "networks",
                    value.place,
                    format!("{network}.aliases: an application is reached by its own name alone"),
                ),
                "priority" | "gw_priority" => {}
                key if key.starts_with("x-") => {}
                key => findings.unsupported_at(
                    "networks",
                    value.place,
                    format!("{network}.{key}: addresses are chosen from the machine's `subnet`"),
                ),
            }
        }
    }
}

fn stop_signal(entry: &Entry, application: &mut Application, findings: &mut Findings<'_>) {
    let text = entry.value.as_text().unwrap_or_default();
    let upper = text.to_ascii_uppercase();
    let signal = match upper.as_str() {
        "1" => Some(StopSignal::Hup),
        "2" => Some(StopSignal::Int),
        "3" => Some(StopSignal::Quit),
        "15" => Some(StopSignal::Term),
        word => word.strip_prefix("SIG").unwrap_or(word).parse().ok(),
    };
    match signal {
        Some(signal) => application.stop_signal = signal,
        None => findings.unsupported(entry, format!("`{text}` is not among TERM, INT, QUIT, HUP")),
    }
}

/// Takes `security_opt`: what is so for all applications is nothing to tell.
fn security(entry: &Entry, findings: &mut Findings<'_>) {
    for item in one_or_more(Some(&entry.value)) {
        let text = item.as_text().unwrap_or_default();
        match text.replace('=', ":").as_str() {
            "no-new-privileges" | "no-new-privileges:true" => {
                findings.ignored_at("security_opt", item.place, "so it is for all applications");
            }
            _ => findings.unsupported_at("security_opt", item.place, "the confinement is the same for all"),
        }
    }
}

fn other(key: &str, entry: &Entry, findings: &mut Findings<'_>) {
    let why = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == key).map(|(_, why)| *why);
    match (why(&IGNORED), why(&UNSUPPORTED)) {
        (Some(why), _) => findings.ignored(entry, why),
        (None, Some(why)) => findings.unsupported(entry, why),
        (None, None) if key.starts_with("x-") => findings.ignored(entry, "an extension of another program"),
        (None, None) => findings.unsupported(entry, "is not known here"),
    }
}
