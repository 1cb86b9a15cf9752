//! Namespaces and root file systems of instances: what is there before a container and outlives its runs.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libcontainer::syscall::linux::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr};
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, move_mount, open_tree, unmount,
};

use crate::HelperError;

/// Attribute of a mount that shows owners through a user namespace. Source: `mount_setattr(2)`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// Flag of `*at` calls that means the descriptor itself. Source: `openat(2)`.
const AT_EMPTY_PATH: u32 = 0x1000;
/// Magic number of the file system of namespaces. Source: `statfs(2)`.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// Ids of an instance at most: those of an image are below.
const IDS_MAX: u32 = 65_536;
/// Word of the process whose namespaces are kept, once it has them.
const READY: &str = "ready";
/// This program, also where its file was replaced by another version meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Longest options of a mount, bytes: one page of the smallest kind, less its end. Source: `mount(2)`.
const OPTIONS_BYTES_MAX: usize = 4_095;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HelperError {
    let path = path.to_path_buf();
    move |cause| HelperError::Io { path, cause }
}

/// Ids of an instance on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// First of them.
    pub first: u32,
    /// Their number.
    pub count: u32,
}

impl Ids {
    /// Reads `FIRST:COUNT`; none where the instance would have an id of the host's own, or more than there are.
    pub fn parse(text: &str) -> Option<Ids> {
        let (first, count) = text.split_once(':')?;
        let ids = Ids { first: first.parse().ok()?, count: count.parse().ok()? };
        let fits = (1..=IDS_MAX).contains(&ids.count) && ids.first >= IDS_MAX;
        (fits && ids.first.checked_add(ids.count).is_some()).then_some(ids)
    }
}

/// Makes a user namespace with the id maps and a network namespace that belongs to it, and keeps each under a file. Done already: nothing changes.
///
/// # Errors
/// The kernel's word; then neither file is a namespace.
pub fn make_namespaces(ids: Ids, user: &Path, network: &Path) -> Result<(), HelperError> {
    if is_namespace(user) && is_namespace(network) {
        return Ok(());
    }
    remove_namespaces(user, network)?;
    let mut holder = hold(ids)?;
    let kept = keep(ids, holder.id(), user, network);
    // What it holds is kept by the files by now, or not wanted.
    drop(holder.stdin.take());
    let _ = holder.wait();
    if kept.is_err() {
        remove_namespaces(user, network)?;
    }
    kept
}

/// Starts a process in namespaces of its own, and waits until it has them.
fn hold(ids: Ids) -> Result<Child, HelperError> {
    let program = Path::new(OWN_PROGRAM);
    let mut command = Command::new(program);
    command.args(["hold", "--ids", &format!("{}:{}", ids.first, ids.count)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut holder = command.spawn().map_err(failed(program))?;
    let mut word = String::new();
    let read = holder.stdout.take().map(|output| BufReader::new(output).read_line(&mut word));
    if word.trim() == READY {
        return Ok(holder);
    }
    drop(holder.stdin.take());
    let _ = holder.wait();
    let cause = read.and_then(Result::err);
    let cause =
        cause.unwrap_or_else(|| io::Error::other("no namespaces can be made: look at user.max_user_namespaces"));
    Err(failed(program)(cause))
}

/// Enters namespaces of its own, says so, and stays until its input ends.
///
/// The user namespace is made by the instance's own first id: the kernel counts whatever is used in it (inotify instances, watches, namespaces) against its
/// maker, which would be the host's root, and one instance could use all of it up.
///
/// # Errors
/// The kernel refuses.
pub fn stay(ids: Ids) -> Result<(), HelperError> {
    let refused = |error| failed(Path::new("/proc/self/ns/user"))(io::Error::other(error));
    let system = create_syscall();
    system.set_groups(&[]).map_err(refused)?;
    // Capabilities stay: some machines let nobody else make user namespaces.
    system.set_id(Uid::from_raw(ids.first), Gid::from_raw(ids.first)).map_err(refused)?;
    system.unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refused)?;
    let mut output = io::stdout();
    writeln!(output, "{READY}").and_then(|()| output.flush()).map_err(failed(Path::new("/dev/stdout")))?;
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).map(drop).map_err(failed(Path::new("/dev/stdin")))
}

/// Writes the id maps of a process that waits, and binds its namespaces to files.
fn keep(ids: Ids, pid: u32, user: &Path, network: &Path) -> Result<(), HelperError> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    for map in ["uid_map", "gid_map"] {
        let path = process.join(map);
        std::fs::write(&path, format!("0 {} {}\n", ids.first, ids.count)).map_err(failed(&path))?;
    }
    for (name, file) in [("user", user), ("net", network)] {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        File::create(file).map_err(failed(file))?;
        mount_bind(process.join("ns").join(name), file).map_err(|errno| failed(file)(errno.into()))?;
    }
    Ok(())
}

/// Lets go of both namespaces, which end with their last process. Done already: nothing changes.
///
/// # Errors
/// The kernel's word.
pub fn remove_namespaces(user: &Path, network: &Path) -> Result<(), HelperError> {
    for file in [network, user] {
        while is_namespace(file) {
            unmount(file, UnmountFlags::DETACH).map_err(|errno| failed(file)(errno.into()))?;
        }
        match std::fs::remove_file(file) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(failed(file)(cause)),
            _ => {}
        }
    }
    Ok(())
}

fn is_namespace(file: &Path) -> bool {
    rustix::fs::statfs(file).is_ok_and(|about| u64::try_from(about.f_type) == Ok(NSFS_MAGIC))
}

/// Folders of a root file system.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// File of the user namespace through which owners are shown.
    pub user: PathBuf,
    /// Place of the root.
    pub at: PathBuf,
    /// Folders of layers, the uppermost first.
    pub lowers: Vec<PathBuf>,
    /// Folder for what is written and folder for work, on one file system, where the root can be written.
    pub upper: Option<(PathBuf, PathBuf)>,
}

impl Root {
    /// Mounts the root: layers with owners shifted into the user namespace, over one another. Layers themselves cannot be written to. What was mounted at
    /// its place before is unmounted first, so that a second call ends where one would have.
    ///
    /// # Errors
    /// The kernel's word; then nothing is mounted. Somebody uses what was mounted before.
    pub fn make(&self) -> Result<(), HelperError> {
        remove_root(&self.at)?;
        let user = File::open(&self.user).map_err(failed(&self.user))?;
        let shifted: Vec<OwnedFd> = self.lowers.iter().map(|lower| shift(lower, &user)).collect::<Result<_, _>>()?;
        std::fs::create_dir_all(&self.at).map_err(failed(&self.at))?;
        let made = match (shifted.as_slice(), &self.upper) {
            ([only], None) => place(only, &self.at),
            (layers, _) => self.overlay(layers),
        };
        if made.is_err() {
            remove_root(&self.at)?;
        }
        made
    }

    /// Mounts the layers over one another. They need places of their own meanwhile; the overlay holds them from then on.
    fn overlay(&self, layers: &[OwnedFd]) -> Result<(), HelperError> {
        let places = Places::new(&self.at)?;
        for (index, layer) in layers.iter().enumerate() {
            places.add(index, layer)?;
        }
        // Names relative to their folder, so that as many as an image may have fit into the options.
        std::env::set_current_dir(&places.folder).map_err(failed(&places.folder))?;
        let names: Vec<String> = (0..layers.len()).map(|index| index.to_string()).collect();
        let mut options = format!("lowerdir={}", names.join(":")).into_bytes();
        let mut flags = MountFlags::NODEV | MountFlags::NOSUID;
        match &self.upper {
            None => flags |= MountFlags::RDONLY,
            Some((upper, work)) => {
                adopt(upper, &places.folder.join("0"))?;
                for (key, folder) in [(&b",upperdir="[..], upper), (b",workdir=", work)] {
                    options.extend(key);
                    options.extend(escaped(folder));
                }
            }
        }
        let mounted = if options.len() > OPTIONS_BYTES_MAX {
            Err(io::Error::other("its layers and folders have names that are too long for the kernel"))
        } else {
            CString::new(options).map_err(io::Error::other).and_then(|options| {
                mount("openmesh", &self.at, "overlay", flags, options.as_c_str()).map_err(io::Error::from)
            })
        };
        // The places cannot be unmounted from within.
        let left = std::env::set_current_dir("/").map_err(failed(Path::new("/")));
        mounted.map_err(failed(&self.at)).and(left)
    }
}

/// Gives a new upper folder, which belongs to the host's root, owner and permissions of the folder that it covers: the instance's `/` is its own.
fn adopt(upper: &Path, covered: &Path) -> Result<(), HelperError> {
    let is = std::fs::metadata(upper).map_err(failed(upper))?;
    if is.uid() != 0 {
        return Ok(());
    }
    let wanted = std::fs::metadata(covered).map_err(failed(covered))?;
    // The owner comes last: it says that all of this is done.
    std::fs::set_permissions(upper, wanted.permissions()).map_err(failed(upper))?;
    std::os::unix::fs::chown(upper, Some(wanted.uid()), Some(wanted.gid())).map_err(failed(upper))
}

/// A path as overlayfs reads it in its options.
fn escaped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b',' | b':') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    bytes
}

/// A clone of a layer's folder that shows its owners through a user namespace.
fn shift(lower: &Path, user: &File) -> Result<OwnedFd, HelperError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, lower, flags).map_err(|errno| failed(lower)(errno.into()))?;
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(user.as_raw_fd()).unwrap_or_default(),
    };
    let set = create_syscall().mount_setattr(
        tree.as_fd(),
        Path::new(""),
        AT_EMPTY_PATH,
        &attributes,
        std::mem::size_of::<MountAttr>(),
    );
    set.map_err(|error| failed(lower)(io::Error::other(format!("its file system has no shifted owners: {error}"))))?;
    Ok(tree)
}

/// Gives a mount its place.
fn place(mount: &OwnedFd, at: &Path) -> Result<(), HelperError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, "", CWD, at, flags).map_err(|errno| failed(at)(errno.into()))
}

/// Places of layers while an overlay is made, gone with this value.
struct Places {
    folder: PathBuf,
}

impl Places {
    /// Places beside a root.
    fn beside(at: &Path) -> Places {
        let mut name = at.file_name().unwrap_or_default().to_os_string();
        name.push(".layers");
        Places { folder: at.with_file_name(name) }
    }

    fn new(at: &Path) -> Result<Places, HelperError> {
        let places = Places::beside(at);
        // What a death left.
        places.clear();
        std::fs::create_dir(&places.folder).map_err(failed(&places.folder))?;
        Ok(places)
    }

    fn add(&self, index: usize, layer: &OwnedFd) -> Result<(), HelperError> {
        let at = self.folder.join(index.to_string());
        std::fs::create_dir(&at).map_err(failed(&at))?;
        place(layer, &at)
    }

    fn clear(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            while unmount(entry.path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
            // A folder that is still a mount is not removed, and neither is what lies in it.
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Unmounts a root and removes its folder. Done already: nothing changes.
///
/// # Errors
/// Somebody uses it.
pub fn remove_root(at: &Path) -> Result<(), HelperError> {
    Places::beside(at).clear();
    while let Err(cause) = std::fs::remove_dir(at) {
        if cause.kind() == ErrorKind::NotFound {
            return Ok(());
        }
        unmount(at, UnmountFlags::NOFOLLOW).map_err(|errno| failed(at)(errno.into()))?;
    }
    Ok(())
}
