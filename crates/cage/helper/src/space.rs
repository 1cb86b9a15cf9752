//! Namespaces and root file systems of instances: what is there before a container and outlives its runs.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libcontainer::syscall::linux::{MOUNT_ATTR_RDONLY, MountAttr};
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::CloneFlags;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_bind, move_mount, open_tree, unmount,
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
    let mut holder = hold()?;
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
fn hold() -> Result<Child, HelperError> {
    let program = std::env::current_exe().map_err(failed(Path::new("/proc/self/exe")))?;
    let mut command = Command::new(&program);
    command.arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut holder = command.spawn().map_err(failed(&program))?;
    let mut word = String::new();
    let read = holder.stdout.take().map(|output| BufReader::new(output).read_line(&mut word));
    if word.trim() == READY {
        return Ok(holder);
    }
    drop(holder.stdin.take());
    let _ = holder.wait();
    let cause = read.and_then(Result::err);
    let cause = cause.unwrap_or_else(|| io::Error::other("no namespaces can be made: look at user.max_user_namespaces"));
    Err(failed(&program)(cause))
}

/// Enters namespaces of its own, says so, and stays until its input ends.
///
/// # Errors
/// The kernel refuses.
pub fn stay() -> Result<(), HelperError> {
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET;
    let unshared = create_syscall().unshare(flags);
    unshared.map_err(|error| failed(Path::new("/proc/self/ns/user"))(io::Error::other(error)))?;
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
    /// Mounts the root: layers with owners shifted into the user namespace, over one another. Layers themselves cannot be written to.
    ///
    /// # Errors
    /// The kernel's word; then nothing is mounted.
    pub fn make(&self) -> Result<(), HelperError> {
        let user = File::open(&self.user).map_err(failed(&self.user))?;
        let shifted: Vec<OwnedFd> = self.lowers.iter().map(|lower| shift(lower, &user)).collect::<Result<_, _>>()?;
        std::fs::create_dir_all(&self.at).map_err(failed(&self.at))?;
        if let ([only], None) = (shifted.as_slice(), &self.upper) {
            return place(only, &self.at);
        }
        // The layers need places of their own while the overlay is made, which holds them from then on.
        let places = Places::new(&self.at)?;
        for (index, lower) in shifted.iter().enumerate() {
            places.add(index, lower)?;
        }
        let overlay = self.overlay(&places)?;
        place(&overlay, &self.at)
    }

    fn overlay(&self, places: &Places) -> Result<OwnedFd, HelperError> {
        let wrong = |errno: rustix::io::Errno| failed(&self.at)(errno.into());
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(wrong)?;
        let folder = places.folder.display();
        let layers: Vec<String> = (0..self.lowers.len()).map(|index| format!("{folder}/{index}")).collect();
        // One by one from Linux 6.5 on, so that their number is not bounded by a page.
        let one_by_one = layers.iter().try_for_each(|layer| fsconfig_set_string(&context, "lowerdir+", layer));
        if one_by_one.is_err() {
            fsconfig_set_string(&context, "lowerdir", layers.join(":")).map_err(wrong)?;
        }
        if let Some((upper, work)) = &self.upper {
            fsconfig_set_string(&context, "upperdir", upper).map_err(wrong)?;
            fsconfig_set_string(&context, "workdir", work).map_err(wrong)?;
        }
        fsconfig_set_string(&context, "source", "openmesh").map_err(wrong)?;
        fsconfig_create(&context).map_err(wrong)?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        if self.upper.is_none() {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(wrong)
    }
}

/// A clone of a layer's folder that shows its owners through a user namespace.
fn shift(lower: &Path, user: &File) -> Result<OwnedFd, HelperError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, lower, flags).map_err(|errno| failed(lower)(errno.into()))?;
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY,
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
