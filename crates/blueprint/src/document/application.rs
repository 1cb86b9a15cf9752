//! Applications as a person writes them.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Address;

use super::names::{
    AppPath, Domain, HostAddress, ImageReference, Mode, Name, PackageName, PackageVersion, User, VariableName,
};
use super::schedule::Schedule;
use super::units::{Period, Processors, Rate, Size};
use crate::text::{Definitions, Fields, Node, Out, Problems, Shape, Value, record, scalar, words};

/// Text, or the name of a secret of which the value is never in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Content {
    /// The text itself.
    Text(String),
    /// Name of a secret.
    Secret(Name),
}

impl Shape for Content {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Map(_) => {
                let fields = Fields::of(node, &["secret"], problems)?;
                fields.read("secret", None, problems).map(Content::Secret)
            }
            _ => String::read(node, problems).map(Content::Text),
        }
    }
    fn write(&self) -> Out {
        match self {
            Content::Text(text) => Out::text(text),
            Content::Secret(name) => Out::map([("secret", Out::text(name.as_str()))]),
        }
    }
    fn schema(definitions: &mut Definitions) -> Out {
        let secret = Out::map([
            ("type", Out::text("object")),
            ("additionalProperties", Out::Bool(false)),
            ("required", Out::List(vec![Out::text("secret")])),
            ("properties", Out::map([("secret", Name::schema(definitions))])),
        ]);
        Out::map([("anyOf", Out::List(vec![String::schema(definitions), secret]))])
    }
}

scalar! {
    Address: "an address of a wallet", "^0x[0-9a-fA-F]{40}$";
}

words! {
    /// Protocol of a port.
    Protocol {
        /// Bytes over TCP, led by the kernel: a switch of a single writer cuts them once.
        Tcp = "tcp",
        /// UDP, led by the kernel.
        Udp = "udp",
        /// HTTP/1.1 over TCP, carried by the door: a switch holds and drains it.
        Http = "http",
    }
}

impl Protocol {
    /// The protocol below it, which a port of the host has: `tcp` or `udp`.
    pub fn transport(self) -> Protocol {
        match self {
            Protocol::Tcp | Protocol::Http => Protocol::Tcp,
            Protocol::Udp => Protocol::Udp,
        }
    }
}

words! {
    /// Root file system of an application.
    Root {
        /// Nothing can be written outside of volumes and `/tmp`, `/run`, `/dev/shm`.
        ReadOnly = "read-only",
        /// An overlay of the size of `limits.disk`, lost with the instance.
        Writable = "writable",
    }
}

words! {
    /// Policy for a first process that has ended.
    Restart {
        /// Started again.
        Always = "always",
        /// Started again unless it ended with 0.
        OnFailure = "on-failure",
        /// Left as it is.
        Never = "never",
    }
}

words! {
    /// Wish for an application's being.
    Wish {
        /// It runs.
        Running = "running",
        /// It does not run; its ports are closed.
        Stopped = "stopped",
        /// It does not run; the door answers with a maintenance page.
        Paused = "paused",
    }
}

words! {
    /// Way from one version to the next.
    SwitchKind {
        /// `hold` for a single instance with a volume that it writes to, else `overlap`.
        Auto = "auto",
        /// The new version starts beside the old one.
        Overlap = "overlap",
        /// Requests wait while the old version stops and the new one starts.
        Hold = "hold",
    }
}

words! {
    /// People who may come in by a domain.
    Audience {
        /// Everybody.
        Everybody = "everybody",
        /// The wallets of the list.
        Wallets = "wallets",
        /// Whoever has a role on the machine.
        Members = "members",
        /// Owners and admins of the machine.
        Owner = "owner",
    }
}

words! {
    /// Capabilities that an application may have in its own user namespace.
    Capability {
        /// Change owners of files.
        Chown = "CHOWN",
        /// Pass over permissions of files.
        DacOverride = "DAC_OVERRIDE",
        /// Act as the owner of any file.
        Fowner = "FOWNER",
        /// Change groups.
        Setgid = "SETGID",
        /// Change users.
        Setuid = "SETUID",
        /// Signal processes of other users.
        Kill = "KILL",
        /// Listen below port 1024.
        NetBindService = "NET_BIND_SERVICE",
    }
}

words! {
    /// Vendor of a GPU.
    GpuVendor {
        /// NVIDIA, with its own driver.
        Nvidia = "nvidia",
        /// AMD.
        Amd = "amd",
        /// Intel.
        Intel = "intel",
    }
}

words! {
    /// Signal that asks the first process to end.
    StopSignal {
        /// SIGTERM.
        Term = "TERM",
        /// SIGINT.
        Int = "INT",
        /// SIGQUIT.
        Quit = "QUIT",
        /// SIGHUP.
        Hup = "HUP",
    }
}

words! {
    /// Occasion on which a job without a schedule runs.
    Occasion {
        /// A person asks for it.
        Demand = "demand",
        /// Each switch, on the data of the new version and before it starts.
        Switch = "switch",
    }
}

record! {
    /// Steps to an image that is built here.
    Recipe {
        /// Image to begin with; without one the packages are all there is.
        base: Option<ImageReference>,
        /// Packages of Debian with their versions.
        debian: BTreeMap<PackageName, PackageVersion>,
        /// Packages of npm with their versions.
        npm: BTreeMap<PackageName, PackageVersion>,
        /// Packages of PyPI with their versions.
        pypi: BTreeMap<PackageName, PackageVersion>,
        /// Files by their path.
        files: BTreeMap<AppPath, File>,
        /// Start command.
        command: Vec<String>,
    }
}

record! {
    /// A template with answers to its options.
    TemplateUse {
        /// Name in its catalogue.
        name: Name,
        /// Catalogue of another publisher, by its name in `machine.catalogues`; a built-in template without it.
        catalogue: Option<Name>,
        /// Version; the newest one of a built-in template without it.
        version: Option<PackageVersion>,
        /// Answers by option; those left out have the template's default.
        answers: BTreeMap<Name, Content>,
    }
}

record! {
    /// A file that the application finds.
    File {
        /// Its text, or a secret.
        content: Content,
        /// Permission bits.
        mode: Mode = Mode(0o644),
        /// Owner; the application's user without it.
        owner: Option<User>,
    }
}

record! {
    /// Storage that outlives instances.
    Volume {
        /// Place in the application.
        path: AppPath,
        /// Its limit; it can grow and not shrink.
        size: Size,
        /// The application cannot write to it.
        read_only: bool = false,
        /// It is in the application's backups.
        backup: bool = true,
    }
}

record! {
    /// A port of the host that leads to a port of the application.
    Publish {
        /// Port of the host; a free one is chosen without it.
        port: Option<u16>,
        /// Address of the host.
        address: HostAddress = HostAddress::ANY,
    }
}

record! {
    /// A port on which the application listens.
    Port {
        /// Its number.
        port: u16,
        /// Its protocol; the door carries `http`, so that a switch holds and drains it.
        protocol: Protocol = Protocol::Tcp,
        /// Publication on the host; `{}` chooses a free port.
        publish: Option<Publish>,
    }
}

record! {
    /// A domain that leads to a port of the application by HTTP.
    Route {
        /// Name of the port.
        port: Name,
        /// People who may come in.
        audience: Audience = Audience::Everybody,
        /// The wallets of the audience `wallets`.
        wallets: BTreeSet<Address>,
    }
}

record! {
    /// A request by HTTP that must be answered with 200 to 399.
    HttpCheck {
        /// Name of the port.
        port: Name,
        /// Path with its query.
        path: String = "/".to_string(),
    }
}

record! {
    /// A connection by TCP that must be taken.
    TcpCheck {
        /// Name of the port.
        port: Name,
    }
}

record! {
    /// Test of an application's health: exactly one of `http`, `tcp` and `command`.
    Health {
        /// A request by HTTP.
        http: Option<HttpCheck>,
        /// A connection by TCP.
        tcp: Option<TcpCheck>,
        /// A command in the application that must end with 0.
        command: Vec<String>,
        /// Time between two tests.
        interval: Period = Period(5_000),
        /// Time for one test.
        timeout: Period = Period(3_000),
        /// Failures in a row that make it unhealthy.
        failures: u32 = 3,
    }
}

record! {
    /// Limits; those left out are the template's, else X-42's.
    Limits {
        /// Processors; 1 without it.
        processors: Option<Processors>,
        /// Memory; 512 MiB without it.
        memory: Option<Size>,
        /// Processes and threads; 512 without it.
        processes: Option<u32>,
        /// A writable root; 1 GiB without it.
        disk: Option<Size>,
        /// Rate of the network in each direction; no limit without it.
        rate: Option<Rate>,
    }
}

record! {
    /// GPUs of each instance, which are its alone.
    Gpus {
        /// Their number.
        count: u32 = 1,
        /// Their vendor; any one of those that the machine has without it.
        vendor: Option<GpuVendor>,
    }
}

record! {
    /// Way and times of a switch.
    Switch {
        /// Its way.
        kind: SwitchKind = SwitchKind::Auto,
        /// Time within which a new version must be healthy.
        gate: Period = Period(60_000),
        /// Time with traffic in which a failure returns the old version.
        probation: Period = Period(60_000),
        /// Time for open connections to end.
        drain: Period = Period(30_000),
        /// Longest time that requests wait.
        hold: Period = Period(30_000),
        /// The version before can read what this one writes.
        compatible: bool = false,
    }
}

record! {
    /// Backups that are kept, the newest of each span.
    Keep {
        /// The last ones.
        last: u32 = 3,
        /// One for each of so many days.
        daily: u32 = 7,
        /// One for each of so many weeks.
        weekly: u32 = 4,
        /// One for each of so many months.
        monthly: u32 = 6,
    }
}

record! {
    /// Backups of the application's volumes.
    Backup {
        /// Name of a target of the machine.
        to: Name,
        /// Their moments, UTC.
        schedule: Schedule,
        /// Those that are kept.
        keep: Keep = Keep { last: 3, daily: 7, weekly: 4, monthly: 6 },
        /// Moments at which one is restored and tried.
        drill: Option<Schedule>,
    }
}

record! {
    /// A command that runs to its end with the application's image and data.
    Job {
        /// The command.
        command: Vec<String>,
        /// Its moments, UTC.
        schedule: Option<Schedule>,
        /// Its occasion without a schedule.
        occasion: Occasion = Occasion::Demand,
        /// Time after which it is ended.
        timeout: Period = Period(3_600_000),
    }
}

record! {
    /// An application.
    Application {
        /// A line for people.
        description: Option<String>,
        /// Origin: an image of a registry.
        image: Option<ImageReference>,
        /// Origin: an image that is built here.
        recipe: Option<Recipe>,
        /// Origin: a template of the catalogue.
        template: Option<TemplateUse>,
        /// Replaces the image's entry point.
        command: Vec<String>,
        /// Replaces the image's arguments.
        arguments: Vec<String>,
        /// Replaces the image's user.
        user: Option<User>,
        /// Replaces the image's working directory.
        workdir: Option<AppPath>,
        /// Environment variables.
        variables: BTreeMap<VariableName, Content>,
        /// Files by their path.
        files: BTreeMap<AppPath, File>,
        /// Volumes by their name.
        volumes: BTreeMap<Name, Volume>,
        /// Ports by their name.
        ports: BTreeMap<Name, Port>,
        /// Domains.
        domains: BTreeMap<Domain, Route>,
        /// Applications that it reaches by their name; they are started before it.
        links: BTreeSet<Name>,
        /// Applications that are started before it.
        after: BTreeSet<Name>,
        /// Test of its health.
        health: Option<Health>,
        /// Limits.
        limits: Limits,
        /// GPUs of each instance; none without it.
        #[borsh(skip)]
        gpus: Option<Gpus>,
        /// Capabilities in its own namespace.
        capabilities: BTreeSet<Capability>,
        /// Its root file system.
        root: Root = Root::ReadOnly,
        /// Policy for a process that has ended.
        restart: Restart = Restart::Always,
        /// Number of instances.
        instances: u32 = 1,
        /// Way from one version to the next.
        switch: Switch = Switch {
            kind: SwitchKind::Auto,
            gate: Period(60_000),
            probation: Period(60_000),
            drain: Period(30_000),
            hold: Period(30_000),
            compatible: false,
        },
        /// Backups.
        backup: Option<Backup>,
        /// Jobs by their name.
        jobs: BTreeMap<Name, Job>,
        /// Signal that asks it to end.
        stop_signal: StopSignal = StopSignal::Term,
        /// Time after which it is killed.
        stop_after: Period = Period(10_000),
        /// Wish for its being.
        wish: Wish = Wish::Running,
    }
}

/// The one origin of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// An image of a registry.
    Image(&'a ImageReference),
    /// An image that is built here.
    Recipe(&'a Recipe),
    /// A template with answers.
    Template(&'a TemplateUse),
}

impl TemplateUse {
    /// Words for the template: `redis 1`, `acme/shop 3`.
    pub fn words(&self) -> String {
        let catalogue = self.catalogue.as_ref().map(|catalogue| format!("{catalogue}/")).unwrap_or_default();
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("{catalogue}{}{version}", self.name)
    }
}

impl Application {
    /// The one origin; `None` where there is none or more than one.
    pub fn origin(&self) -> Option<Origin<'_>> {
        match (&self.image, &self.recipe, &self.template) {
            (Some(image), None, None) => Some(Origin::Image(image)),
            (None, Some(recipe), None) => Some(Origin::Recipe(recipe)),
            (None, None, Some(template)) => Some(Origin::Template(template)),
            _ => None,
        }
    }

    /// Returns true when an instance writes to a volume.
    pub fn writes(&self) -> bool {
        self.volumes.values().any(|volume| !volume.read_only)
    }

    /// The way from one version to the next with `auto` decided: never `Auto`.
    pub fn switch_kind(&self) -> SwitchKind {
        match self.switch.kind {
            SwitchKind::Auto if (self.writes() || self.gpus.is_some()) && self.instances == 1 => SwitchKind::Hold,
            SwitchKind::Auto => SwitchKind::Overlap,
            kind => kind,
        }
    }

    /// Names of the secrets that it is given.
    pub fn secrets(&self) -> BTreeSet<&Name> {
        let contents = self.variables.values().chain(self.files.values().map(|file| &file.content));
        let answers = self.template.iter().flat_map(|template| template.answers.values());
        contents.chain(answers).filter_map(name_of).collect()
    }
}

fn name_of(content: &Content) -> Option<&Name> {
    match content {
        Content::Secret(name) => Some(name),
        Content::Text(_) => None,
    }
}
