//! One service into one application.

use std::collections::BTreeMap;

use super::finding::Findings;
use super::storage::{Shared, files, name_of, tmpfs, volumes};
use super::values::{ServicePort, bytes, duration, ports, protocol, words};
use crate::document::{Application, Capability, Content, Health, Name, Period, Port, Publish, Restart, Root};
use crate::text::{Entry, Node, Problems, Shape, Value};

/// Keys that have no effect on what a service does, each with the reason.
const IGNORED: [(&str, &str); 16] = [
    ("container_name", "applications are known by their name"),
    ("hostname", "applications are known by their name"),
    ("labels", "nothing reads them"),
    ("annotations", "nothing reads them"),
    ("logging", "logs are kept with a bound of their own"),
    ("networks", "an application reaches those that it depends on, by their name"),
    ("pull_policy", "an image is fetched once, by its digest"),
    ("platform", "the machine's architecture is chosen"),
    ("stdin_open", "`openmesh app exec` gives a terminal"),
    ("tty", "`openmesh app exec` gives a terminal"),
    ("init", "a shim waits for processes that were left"),
    ("cap_drop", "done where it names one; the others are not given"),
    ("attach", "logs are followed by `openmesh app logs`"),
    ("cpu_shares", "a limit on processors is always set"),
    ("mem_reservation", "a limit on memory is always set"),
    ("develop", "nothing is built here"),
];

/// Keys without which a service would behave otherwise, each with the reason.
const UNSUPPORTED: [(&str, &str); 24] = [
    ("build", "images are not built from a folder; name an image, or write a recipe"),
    ("env_file", "the file is not here; write its lines under `environment`"),
    ("extends", "the other file is not here"),
    ("privileged", "no application has rights on the host"),
    ("devices", "devices of the host are not given"),
    ("device_cgroup_rules", "devices of the host are not given"),
    ("network_mode", "each application has a network of its own"),
    ("pid", "each application has processes of its own"),
    ("ipc", "each application has its own"),
    ("userns_mode", "each application has users of its own"),
    ("cgroup_parent", "control groups are the agent's"),
    ("security_opt", "the confinement is the same for all"),
    ("sysctls", "kernel settings are not changed"),
    ("ulimits", "the limits are those of `limits`"),
    ("extra_hosts", "names are those of the applications"),
    ("dns", "names are resolved by the machine"),
    ("dns_search", "names are resolved by the machine"),
    ("volumes_from", "two applications do not share a volume"),
    ("external_links", "only applications of this document are linked"),
    ("profiles", "a service of a profile would always run"),
    ("group_add", "the groups are those of the image"),
    ("gpus", "devices are given by the machine's own description"),
    ("runtime", "the runtime is the machine's"),
    ("shm_size", "the memory of /dev/shm has a bound of its own"),
];

/// A service on its way.
pub(super) struct Service<'a, 'b> {
    pub(super) name: &'a Name,
    pub(super) names: &'a BTreeMap<String, Name>,
    pub(super) shared: &'a mut Shared,
    pub(super) findings: Findings<'b>,
}

impl Service<'_, '_> {
    /// The application of a service; `None` when it has no image.
    pub(super) fn translate(mut self, node: &Node, problems: &mut Problems) -> Option<Application> {
        let mut application = Application::absent()?;
        let Value::Map(entries) = &node.value else {
            problems.add(node.place, format!("is {}, but a service is expected", node.kind()));
            return None;
        };
        application.root = Root::Writable;
        application.restart = Restart::Never;
        application.capabilities = capabilities(node);
        for entry in entries.iter().filter(|entry| !entry.value.is_null()) {
            problems.below(&entry.key, |problems| self.take(entry, &mut application, problems));
        }
        if application.image.is_none() && node.get("image").is_none() {
            problems.add_with_hint(
                node.place,
                "has no image",
                "give it an `image`; nothing is built from a folder here",
            );
        }
        Some(application)
    }

    fn take(&mut self, entry: &Entry, application: &mut Application, problems: &mut Problems) {
        match entry.key.as_str() {
            "image" => application.image = Shape::read(&entry.value, problems),
            "command" => application.arguments = self.command(entry, false),
            "entrypoint" => application.command = self.command(entry, false),
            "environment" => self.environment(entry, application, problems),
            "user" => self.parsed(entry, &mut application.user, "must be numbers here, as 1000:1000"),
            "working_dir" => self.parsed(entry, &mut application.workdir, "is not a path"),
            "read_only" if entry.value.as_text() == Some("true") => application.root = Root::ReadOnly,
            "read_only" => {}
            "restart" => self.restart(entry, application),
            "ports" => self.ports(entry, application),
            "expose" => self.expose(entry, application),
            "volumes" => volumes(entry, self.name, application, self.shared, &mut self.findings),
            "tmpfs" => tmpfs(entry, &mut self.findings),
            "secrets" | "configs" => files(entry, application, self.shared, &mut self.findings),
            "depends_on" | "links" => self.links(entry, application),
            "healthcheck" => self.health(entry, application),
            "deploy" => self.deploy(entry, application),
            "cap_add" => self.cap_add(entry),
            "scale" => self.number(entry, &mut application.instances),
            "stop_signal" => self.stop_signal(entry, application),
            "stop_grace_period" => match entry.value.as_text().and_then(duration) {
                Some(period) => application.stop_after = period,
                None => self.findings.unsupported(entry, "is not a duration as 1m30s"),
            },
            "mem_limit" | "cpus" | "pids_limit" => self.limit(entry, application),
            key => self.other(key, entry),
        }
    }

    fn other(&mut self, key: &str, entry: &Entry) {
        let why = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == key).map(|(_, why)| *why);
        match (why(&IGNORED), why(&UNSUPPORTED)) {
            (Some(why), _) => self.findings.ignored(entry, why),
            (None, Some(why)) => self.findings.unsupported(entry, why),
            (None, None) if key.starts_with("x-") => self.findings.ignored(entry, "an extension of another program"),
            (None, None) => self.findings.unsupported(entry, "is not known here"),
        }
    }

    /// A value of one word, parsed.
    fn parsed<T: std::str::FromStr>(&mut self, entry: &Entry, into: &mut Option<T>, why: &str) {
        match entry.value.as_text().and_then(|text| text.parse().ok()) {
            Some(value) => *into = Some(value),
            None => self.findings.unsupported(entry, why),
        }
    }

    fn number(&mut self, entry: &Entry, into: &mut u32) {
        match entry.value.as_text().and_then(|text| text.parse().ok()) {
            Some(number) => *into = number,
            None => self.findings.unsupported(entry, "is not a number"),
        }
    }

    /// A command as a list, or as a line that is split as a shell does.
    fn command(&mut self, entry: &Entry, shell: bool) -> Vec<String> {
        match (&entry.value.value, entry.value.as_text()) {
            (Value::List(items), _) => items.iter().filter_map(Node::as_text).map(str::to_string).collect(),
            (_, Some(text)) if shell => ["/bin/sh", "-c", text].map(str::to_string).to_vec(),
            (_, Some(text)) => words(text).unwrap_or_else(|| {
                self.findings.unsupported(entry, "has a quote that is not closed");
                Vec::new()
            }),
            _ => Vec::new(),
        }
    }

    fn environment(&mut self, entry: &Entry, application: &mut Application, problems: &mut Problems) {
        let mut set =
            |findings: &mut Findings<'_>, key: &str, value: Option<&str>, node: &Node| match (key.parse(), value) {
                (Ok(name), Some(value)) => drop(application.variables.insert(name, Content::Text(value.to_string()))),
                (Ok(_), None) => findings.unsupported_at(
                    "environment",
                    node.place,
                    format!("{key} takes its value from the shell; write it here"),
                ),
                (Err(error), _) => problems.add(node.place, format!("{error}")),
            };
        match &entry.value.value {
            Value::List(items) => {
                for item in items {
                    let text = item.as_text().unwrap_or_default();
                    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
                    set(&mut self.findings, key, value, item);
                }
            }
            Value::Map(entries) => {
                for Entry { key, value, .. } in entries {
                    set(&mut self.findings, key, value.as_text(), value);
                }
            }
            Value::Scalar { .. } => self.findings.unsupported(entry, "is neither a list nor a map"),
        }
    }

    fn restart(&mut self, entry: &Entry, application: &mut Application) {
        let text = entry.value.as_text().unwrap_or_default();
        application.restart = match text.split(':').next().unwrap_or_default() {
            "always" | "unless-stopped" => Restart::Always,
            "on-failure" => Restart::OnFailure,
            "no" => Restart::Never,
            _ => return self.findings.unsupported(entry, format!("`{text}` is not a policy")),
        };
    }

    fn ports(&mut self, entry: &Entry, application: &mut Application) {
        let Value::List(items) = &entry.value.value else {
            return self.findings.unsupported(entry, "is not a list");
        };
        for item in items {
            let found = match item.as_text() {
                Some(text) => ports(text),
                None => long_port(item),
            };
            match found {
                Some(ports) => {
                    for port in ports {
                        self.port(port, item, application);
                    }
                }
                None => self.findings.unsupported_at("ports", item.place, "is not a port as 8080:80"),
            }
        }
    }

    fn port(&mut self, port: ServicePort, item: &Node, application: &mut Application) {
        let Some(name) = name_of(&format!("{}-{}", port.protocol, port.target)) else { return };
        let publish = port.published.map(|(address, port)| Publish { port, address });
        let known =
            application.ports.entry(name).or_insert(Port { port: port.target, protocol: port.protocol, publish: None });
        match (&known.publish, publish) {
            (Some(before), Some(after)) if *before != after => {
                let why = format!("port {} is published a second time", port.target);
                self.findings.unsupported_at("ports", item.place, why);
            }
            (None, publish) => known.publish = publish,
            _ => {}
        }
    }

    fn expose(&mut self, entry: &Entry, application: &mut Application) {
        let Value::List(items) = &entry.value.value else { return };
        for item in items {
            match item.as_text().and_then(ports) {
                Some(ports) => {
                    for port in ports {
                        self.port(ServicePort { published: None, ..port }, item, application);
                    }
                }
                None => self.findings.unsupported_at("expose", item.place, "is not a port"),
            }
        }
    }

    fn links(&mut self, entry: &Entry, application: &mut Application) {
        let mut wanted: Vec<(&str, &Node)> = Vec::new();
        match &entry.value.value {
            Value::List(items) => wanted.extend(items.iter().filter_map(|item| Some((item.as_text()?, item)))),
            Value::Map(entries) => wanted.extend(entries.iter().map(|entry| (entry.key.as_str(), &entry.value))),
            Value::Scalar { .. } => {}
        }
        for (text, node) in wanted {
            let (service, alias) = text.split_once(':').map_or((text, None), |(service, alias)| (service, Some(alias)));
            if alias.is_some_and(|alias| alias != service) {
                self.findings.unsupported_at(&entry.key, node.place, "a second name is not given");
            }
            if node.get("condition").and_then(Node::as_text) == Some("service_completed_successfully") {
                self.findings.unsupported_at(&entry.key, node.place, "nothing waits for an end; make it a job");
            }
            match self.names.get(service) {
                Some(name) => drop(application.links.insert(name.clone())),
                None => {
                    self.findings.unsupported_at(&entry.key, node.place, format!("there is no service `{service}`"))
                }
            }
        }
    }

    fn health(&mut self, entry: &Entry, application: &mut Application) {
        let node = &entry.value;
        let Some(test) = node.get("test").filter(|_| node.get("disable").and_then(Node::as_text) != Some("true"))
        else {
            return;
        };
        let asked = Entry { key: entry.key.clone(), place: entry.place, value: test.clone() };
        let mut command = self.command(&asked, true);
        match command.first().map(String::as_str) {
            Some("NONE") | None => return,
            Some("CMD") => drop(command.remove(0)),
            Some("CMD-SHELL") => command.splice(0..1, ["/bin/sh", "-c"].map(str::to_string)).for_each(drop),
            Some(_) => {}
        }
        let period = |key: &str| node.get(key).and_then(Node::as_text).and_then(duration).filter(|period| period.0 > 0);
        let interval = period("interval").unwrap_or(Period(5_000));
        let timeout = period("timeout").unwrap_or(Period(3_000));
        let failures = node.get("retries").and_then(Node::as_text).and_then(|text| text.parse().ok()).unwrap_or(3);
        if let Some(start) = period("start_period") {
            application.switch.gate = Period(application.switch.gate.0.max(start.0));
        }
        application.health = Some(Health { http: None, tcp: None, command, interval, timeout, failures });
    }

    fn deploy(&mut self, entry: &Entry, application: &mut Application) {
        let Value::Map(entries) = &entry.value.value else { return };
        for part in entries {
            match part.key.as_str() {
                "replicas" => self.number(part, &mut application.instances),
                "resources" => {
                    let limits = part.value.get("limits").map(|limits| &limits.value);
                    let Some(Value::Map(limits)) = limits else { continue };
                    limits.iter().for_each(|limit| self.limit(limit, application));
                }
                "restart_policy" => {
                    application.restart = match part.value.get("condition").and_then(Node::as_text) {
                        Some("none") => Restart::Never,
                        Some("on-failure") => Restart::OnFailure,
                        _ => Restart::Always,
                    };
                }
                "labels" | "mode" | "placement" | "update_config" | "rollback_config" => {
                    self.findings.ignored(part, "switches follow the document's own rules");
                }
                _ => self.findings.unsupported(part, "is not known here"),
            }
        }
    }

    fn limit(&mut self, entry: &Entry, application: &mut Application) {
        let text = entry.value.as_text().unwrap_or_default();
        let limits = &mut application.limits;
        let done = match entry.key.as_str() {
            "memory" | "mem_limit" => bytes(text).map(|size| limits.memory = Some(size)).is_some(),
            "cpus" => text.parse().ok().map(|processors| limits.processors = Some(processors)).is_some(),
            "pids" | "pids_limit" => text.parse().ok().map(|number| limits.processes = Some(number)).is_some(),
            _ => false,
        };
        if !done {
            self.findings.unsupported(entry, format!("`{text}` is not a limit here"));
        }
    }

    fn cap_add(&mut self, entry: &Entry) {
        let Value::List(items) = &entry.value.value else { return };
        for item in items.iter().filter(|item| item.as_text().and_then(capability).is_none()) {
            let text = item.as_text().unwrap_or_default();
            self.findings.unsupported_at("cap_add", item.place, format!("`{text}` is not given to any application"));
        }
    }

    fn stop_signal(&mut self, entry: &Entry, application: &mut Application) {
        let text = entry.value.as_text().unwrap_or_default();
        match text.strip_prefix("SIG").unwrap_or(text).parse() {
            Ok(signal) => application.stop_signal = signal,
            Err(_) => self.findings.unsupported(entry, format!("`{text}` is not among TERM, INT, QUIT, HUP")),
        }
    }
}

fn capability(text: &str) -> Option<Capability> {
    text.strip_prefix("CAP_").unwrap_or(text).parse().ok()
}

/// Capabilities of a service: those that Docker gives without being asked and that exist here, without those that it drops.
fn capabilities(node: &Node) -> std::collections::BTreeSet<Capability> {
    let list = |key: &str| -> Vec<&str> {
        match node.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().filter_map(Node::as_text).collect(),
            _ => Vec::new(),
        }
    };
    let (dropped, added) = (list("cap_drop"), list("cap_add"));
    let all = Capability::WORDS.iter().filter_map(|word| capability(word));
    let named = |words: &[&str], wanted: Capability| words.iter().any(|word| capability(word) == Some(wanted));
    all.filter(|c| named(&added, *c) || !(dropped.contains(&"ALL") || named(&dropped, *c))).collect()
}

/// A port of the long form.
fn long_port(item: &Node) -> Option<Vec<ServicePort>> {
    let text = |key: &str| item.get(key).and_then(Node::as_text);
    let target = text("target")?.parse().ok().filter(|port| *port > 0)?;
    let protocol = protocol(text("protocol").unwrap_or("tcp"))?;
    let address = text("host_ip").unwrap_or("0.0.0.0").parse().ok()?;
    let port = match text("published") {
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    Some(vec![ServicePort { target, protocol, published: Some((address, port)) }])
}
