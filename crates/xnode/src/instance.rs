//! An instance filled from its generation and its image, without a choice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Application, Capability, Content, Name, Root as RootKind, StopSignal, Subnet};
use openmesh_blueprint::generation::{IDS_OF_APPLICATION, Placed, Resolved};
use openmesh_blueprint::gpu::PciAddress;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::instance::{
    Bind, Capability as CageCapability, IdRange, Identity, Instance, Joined, Limits, Machine as Architecture,
    MemoryFiles, Root,
};
use openmesh_image::oci::Config as ImageConfig;
use openmesh_image::store::Image;
use openmesh_shim::restart::RestartRule;
use openmesh_shim::{Config as ShimConfig, Helpers, Logs, Stop};

use crate::Machine;
use crate::applications::Made;
use crate::error::XnodeError;
use crate::gpus::Given;
use crate::paths::instance_name;
use crate::texts;

/// Room of `/tmp` at most, bytes; it counts as memory of the instance, of which it is a quarter at most.
const TMP_BYTES_MAX: u64 = 256 << 20;
/// Room of `/run`, bytes: sockets, locks and process numbers.
const RUN_BYTES: u64 = 16 << 20;
/// Room of `/dev/shm`, bytes: what Docker gives.
const SHM_BYTES: u64 = 64 << 20;
/// Bound of an instance's logs, bytes: a day of a talkative service.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Largest `/etc/passwd` or `/etc/group` of an image that is read, bytes.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// Folders of every root.
const SYSTEM_FOLDERS: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "etc"];

/// An instance in its generation.
pub(crate) struct Wanted<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Name of the application.
    pub name: &'a Name,
    /// Its portable part.
    pub resolved: &'a Resolved,
    /// Its placement.
    pub placed: &'a Placed,
    /// The instance.
    pub id: &'a InstanceId,
    /// Number of the generation.
    number: u64,
    /// Its network.
    subnet: Subnet,
}

impl<'a> Wanted<'a> {
    /// The instance of a generation; an error where the generation has no such application.
    pub fn of(
        machine: &'a Machine,
        generation: &'a Generation,
        name: &Name,
        id: &'a InstanceId,
    ) -> Result<Wanted<'a>, XnodeError> {
        let missing =
            || XnodeError::Instance { application: name.clone(), words: "it is not in the generation".into() };
        let (name, resolved) = generation.portable.applications.get_key_value(name).ok_or_else(missing)?;
        let placed = generation.placement.applications.get(name).ok_or_else(missing)?;
        let (number, subnet) = (generation.number, generation.placement.subnet);
        Ok(Wanted { machine, name, resolved, placed, id, number, subnet })
    }

    /// Name on this machine.
    pub fn instance_name(&self) -> String {
        instance_name(self.name, self.id)
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        self.machine.paths.instance(self.name, self.id)
    }

    fn application(&self) -> &'a Application {
        &self.resolved.application
    }

    fn wrong(&self, words: impl Into<String>) -> XnodeError {
        XnodeError::Instance { application: self.name.clone(), words: words.into() }
    }

    /// Its address.
    pub fn address(&self) -> Result<Ipv4Addr, XnodeError> {
        let index = usize::try_from(self.id.index).unwrap_or(usize::MAX);
        let address = self.placed.addresses.get(index).copied();
        address.ok_or_else(|| self.wrong(format!("the generation has no address for instance {}", self.id)))
    }

    /// Its ids on the host.
    pub fn ids(&self) -> IdRange {
        IdRange { first: self.placed.first_id, count: IDS_OF_APPLICATION }
    }

    /// The note that is kept of it beside its container.
    pub fn made(&self) -> Result<Made, XnodeError> {
        Ok(Made {
            address: self.address()?,
            rate_bits: self.application().limits.rate.map(|rate| rate.0),
            links: self.application().links.iter().map(ToString::to_string).collect(),
            subnet: Some(self.subnet.to_string()),
            generation: self.number,
            gpus: self.gpus().iter().map(ToString::to_string).collect(),
        })
    }

    /// Its GPUs.
    pub fn gpus(&self) -> BTreeSet<PciAddress> {
        let index = usize::try_from(self.id.index).unwrap_or(usize::MAX);
        self.placed.gpus.get(index).cloned().unwrap_or_default()
    }

    /// Its image.
    pub fn image(&self) -> Result<Image, XnodeError> {
        Ok(self.machine.images.image(&self.resolved.image.digest)?)
    }

    /// User of its first process where the document names it.
    pub fn named_user(&self) -> Option<Identity> {
        let user = self.application().user?;
        Some(Identity { user: user.uid.into(), group: user.gid.into(), groups: Vec::new() })
    }

    /// User of its first process: the document's, else the image's, which may be a name of the image's own files.
    pub fn identity(&self, image: &Image) -> Result<Identity, XnodeError> {
        if let Some(named) = self.named_user() {
            return Ok(named);
        }
        let Some(text) = image.config.user.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(Identity::default());
        };
        let lowers = self.machine.images.lowers(image)?.folders;
        identity(text, &lowers).ok_or_else(|| {
            self.wrong(format!(
                "its image runs as `{text}`, which its /etc/passwd does not have; write `user: UID:GID`"
            ))
        })
    }

    fn content(&self, content: &Content) -> Result<Vec<u8>, XnodeError> {
        let secret = match content {
            Content::Text(text) => return Ok(text.clone().into_bytes()),
            Content::Secret(secret) => secret,
        };
        let version = self.placed.secrets.get(secret).copied().unwrap_or(0);
        self.machine.secrets.value(secret, version).ok_or_else(|| XnodeError::NoSecret {
            application: self.name.clone(),
            secret: secret.clone(),
            version,
        })
    }

    fn variables(&self, image: &ImageConfig) -> Result<BTreeMap<String, String>, XnodeError> {
        let pairs = image.env.iter().filter_map(|line| line.split_once('='));
        let mut variables: BTreeMap<String, String> =
            pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        for (name, content) in &self.application().variables {
            let value = String::from_utf8(self.content(content)?).map_err(|_| {
                self.wrong(format!("the secret in {} is no text, so it can only be a file", name.as_str()))
            })?;
            variables.insert(name.as_str().to_string(), value);
        }
        Ok(variables)
    }

    /// Program and arguments: the document's command replaces the image's entry point and its arguments.
    fn command(&self, image: &ImageConfig) -> Vec<String> {
        let application = self.application();
        let (first, usual) = match application.command.is_empty() {
            true => (image.entrypoint.clone(), image.command.clone()),
            false => (application.command.clone(), Vec::new()),
        };
        let rest = if application.arguments.is_empty() { usual } else { application.arguments.clone() };
        [first, rest].concat()
    }

    /// Folder of its files whose content is a secret, on the memory file system.
    pub fn sealed_files(&self) -> PathBuf {
        self.machine.paths.shim(&self.instance_name()).join("files")
    }

    /// Writes the application's files, and the texts of its network; those with a secret are in memory alone. Returns what is bound where.
    pub fn write_files(&self, hosts: &str, resolv_conf: &str, identity: &Identity) -> Result<Vec<Bind>, XnodeError> {
        let (folder, sealed) = (self.folder().join("files"), self.sealed_files());
        crate::machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        let first = self.placed.first_id;
        let root = (0, 0, 0o644);
        let mut files: Vec<(PathBuf, String, Vec<u8>, Owned)> = vec![
            (folder.join(texts::HOSTS), "/etc/hosts".into(), hosts.into(), root),
            (folder.join(texts::RESOLV_CONF), "/etc/resolv.conf".into(), resolv_conf.into(), root),
        ];
        for (index, (path, file)) in self.application().files.iter().enumerate() {
            let owner = file.owner.map(|owner| (u32::from(owner.uid), u32::from(owner.gid)));
            let (user, group) = owner.unwrap_or((identity.user, identity.group));
            // The document's own file stands in place of a text of the network.
            files.retain(|(_, other, _, _)| other != path.as_str());
            let (owned, on_disk) = ((user, group, file.mode.0.into()), folder.join(index.to_string()));
            let source = match &file.content {
                Content::Text(_) => on_disk,
                Content::Secret(_) => {
                    make_closed(&sealed, first).map_err(XnodeError::file("making", &sealed))?;
                    // An earlier version kept its value there.
                    forget(&on_disk).map_err(XnodeError::file("removing", &on_disk))?;
                    sealed.join(index.to_string())
                }
            };
            files.push((source, path.as_str().into(), self.content(&file.content)?, owned));
        }
        let mut binds = Vec::new();
        for (source, target, bytes, (user, group, mode)) in files {
            write_owned(&source, &bytes, (first + user, first + group, mode))
                .map_err(XnodeError::file("writing", &source))?;
            binds.push(Bind { source: source.display().to_string(), target, writable: false });
        }
        Ok(binds)
    }

    /// Makes a folder with every place at which something is mounted, as the lowest layer of the root: an image need not have them, and a root that
    /// cannot be written to gets them no more.
    pub fn write_places(&self, given: &Given) -> Result<PathBuf, XnodeError> {
        let folder = self.folder().join("places");
        let make = || -> std::io::Result<()> {
            for path in SYSTEM_FOLDERS {
                fs::create_dir_all(folder.join(path))?;
            }
            for volume in self.application().volumes.values() {
                fs::create_dir_all(folder.join(volume.path.as_str().trim_start_matches('/')))?;
            }
            let files = self.application().files.keys().map(|path| path.as_str());
            let driver = given.binds.iter().map(|bind| bind.target.as_str());
            for path in files.chain(["/etc/hosts", "/etc/resolv.conf"]).chain(driver) {
                let place = folder.join(path.trim_start_matches('/'));
                place.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::File::create(place)?;
            }
            Ok(())
        };
        make().map_err(XnodeError::file("making", &folder))?;
        Ok(folder)
    }

    fn volume_binds(&self) -> Result<Vec<Bind>, XnodeError> {
        let mut binds = Vec::new();
        for (name, volume) in &self.application().volumes {
            let placed =
                self.placed.volumes.get(name).ok_or_else(|| self.wrong(format!("volume {name} has no place")))?;
            let id = volume_id(&placed.id.to_string()).ok_or_else(|| self.wrong("a volume has no id"))?;
            let source = self.machine.volumes.line_folder(id, placed.line).display().to_string();
            binds.push(Bind { source, target: volume.path.as_str().into(), writable: !volume.read_only });
        }
        Ok(binds)
    }

    /// The instance for its container.
    pub fn instance(&self, image: &Image, mut binds: Vec<Bind>, given: Given) -> Result<Instance, XnodeError> {
        let application = self.application();
        let name = self.instance_name();
        let limits = &application.limits;
        let lacks = |what: &str| self.wrong(format!("the generation has no limit on {what}"));
        let memory_bytes = limits.memory.ok_or_else(|| lacks("memory"))?.0;
        let namespaces = self.machine.namespaces(&name);
        binds.extend(self.volume_binds()?);
        let mut variables = self.variables(&image.config)?;
        given.add_to(&mut variables);
        binds.extend(given.binds);
        let command = self.command(&image.config);
        if command.is_empty() {
            return Err(self.wrong("its image has no entry point; write a `command`"));
        }
        let workdir = application.workdir.as_ref().map(|path| path.as_str().to_string());
        Ok(Instance {
            hostname: self.name.to_string(),
            machine: Architecture::own()
                .ok_or_else(|| self.wrong("there is no filter of system calls for this processor"))?,
            command,
            variables,
            workdir: workdir
                .or_else(|| image.config.working_dir.clone())
                .filter(|path| !path.is_empty())
                .unwrap_or("/".into()),
            user: self.identity(image)?,
            root: Root {
                path: self.machine.paths.root(&name).display().to_string(),
                writable: application.root == RootKind::Writable,
            },
            binds,
            devices: given.devices,
            memory: MemoryFiles {
                tmp_bytes: (memory_bytes / 4).min(TMP_BYTES_MAX),
                run_bytes: RUN_BYTES.min(memory_bytes / 4),
                shm_bytes: SHM_BYTES.min(memory_bytes / 4),
            },
            limits: Limits {
                processors_milli: limits.processors.ok_or_else(|| lacks("processors"))?.0.into(),
                memory_bytes,
                processes: limits.processes.ok_or_else(|| lacks("processes"))?.into(),
            },
            capabilities: application.capabilities.iter().copied().map(capability).collect(),
            ids: self.ids(),
            namespaces: Joined {
                user: Some(namespaces.user.display().to_string()),
                network: Some(namespaces.network.display().to_string()),
            },
            group: self.machine.group_path(&name),
        })
    }

    /// Configuration of its shim.
    pub fn shim(&self) -> ShimConfig {
        let (name, folder) = (self.instance_name(), self.folder());
        let (run, container) = (self.machine.paths.shim(&name), self.machine.container(&name, &folder));
        let commands = openmesh_cage::driver::commands(&*self.machine.driver, &container);
        let application = self.application();
        let signal = match application.stop_signal {
            StopSignal::Term => "TERM",
            StopSignal::Int => "INT",
            StopSignal::Quit => "QUIT",
            StopSignal::Hup => "HUP",
        };
        ShimConfig {
            version: openmesh_shim::CONFIG_VERSION,
            name: format!("{}/{name}", self.machine.agent),
            bundle: container.bundle,
            socket: run.join("socket"),
            pid_file: container.pid_file,
            state_directory: run,
            helpers: Helpers {
                create: commands.create,
                start: Some(commands.start),
                delete: Some(commands.delete),
                environment: BTreeMap::new(),
                held: false,
                ms_max: openmesh_shim::HELPER_MS_MAX,
            },
            logs: Logs { directory: self.machine.paths.log(self.name, self.id), bytes_max: LOG_BYTES_MAX },
            restart: RestartRule::new(crate::shims::policy(application.restart)),
            stop: Stop { signal: signal.into(), grace_ms: application.stop_after.0 },
            oom_files: vec![self.machine.group(&name).oom_file()],
        }
    }
}

/// User, group and permission bits of a file.
type Owned = (u32, u32, u32);

/// Id of a volume in the words of its room.
pub(crate) fn volume_id(text: &str) -> Option<openmesh_volume::Id> {
    text.parse().ok()
}

fn capability(capability: Capability) -> CageCapability {
    match capability {
        Capability::Chown => CageCapability::Chown,
        Capability::DacOverride => CageCapability::DacOverride,
        Capability::Fowner => CageCapability::Fowner,
        Capability::Setgid => CageCapability::Setgid,
        Capability::Setuid => CageCapability::Setuid,
        Capability::Kill => CageCapability::Kill,
        Capability::NetBindService => CageCapability::NetBindService,
    }
}

/// Makes a folder through which the root of an instance, whose first id this is, finds its way alone: no other user of the host reads a file in it, whatever its mode.
fn make_closed(folder: &Path, first: u32) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    chown(folder, Some(first), Some(first))
}

/// Removes a file, where it is there.
fn forget(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Writes a file with owner and permissions, in place: what is bound to its inode sees it.
fn write_owned(path: &Path, bytes: &[u8], (user, group, mode): Owned) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Nobody else reads it before it has its owner.
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    fchown(&file, Some(user), Some(group))?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// User and group of `NAME`, `UID`, `NAME:GROUP` and the like, by the image's own files.
fn identity(text: &str, lowers: &[PathBuf]) -> Option<Identity> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let passwd = file_of(lowers, "etc/passwd");
    let known = passwd.as_deref().and_then(|passwd| line_of(passwd, user, 2));
    let uid = user.parse().ok().or_else(|| known.as_ref()?.get(2)?.parse().ok())?;
    let gid = match group {
        Some(group) => group.parse().ok().or_else(|| {
            let groups = file_of(lowers, "etc/group")?;
            line_of(&groups, group, 2)?.get(2)?.parse().ok()
        })?,
        None => known.and_then(|fields| fields.get(3)?.parse().ok()).unwrap_or(0),
    };
    let fits = |id: u32| id < IDS_OF_APPLICATION;
    (fits(uid) && fits(gid)).then_some(Identity { user: uid, group: gid, groups: Vec::new() })
}

/// Fields of the line with a name, or with a number in a field.
fn line_of<'a>(text: &'a str, wanted: &str, number_at: usize) -> Option<Vec<&'a str>> {
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields.first() == Some(&wanted) || fields.get(number_at) == Some(&wanted))
}

/// A small file of an image, read without following a link out of it.
fn file_of(lowers: &[PathBuf], path: &str) -> Option<String> {
    lowers.iter().find_map(|lower| {
        use rustix::fs::{Mode, OFlags, ResolveFlags};
        let folder = fs::File::open(lower).ok()?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(
            &folder,
            path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        );
        let file = fs::File::from(opened.ok()?);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, PASSWD_BYTES_MAX), &mut text).ok()?;
        Some(text)
    })
}
