//! Namespaces and roots that are there before a container: made, joined, removed, with deaths in between.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openmesh_cage::instance::{IdRange, Joined};
use openmesh_cage::space::{Namespaces, RootFolders, SpaceError, remove_root};
use openmesh_cage::{open_door, readback};

use crate::world::{World, helper, lacking, populate, until, with_drivers};

/// The helper; none, with the reason in the output, where it cannot be had.
fn program() -> Option<PathBuf> {
    if let Some(lacking) = lacking() {
        println!("skipped: {lacking}");
        return None;
    }
    helper().map_err(|text| println!("skipped: {text}")).ok()
}

/// Namespaces and root of one test, removed with it.
struct Space {
    folder: PathBuf,
    ids: IdRange,
    helper: PathBuf,
}

impl Space {
    fn new(folder: &Path, ids: IdRange, helper: PathBuf) -> Space {
        let folder = folder.join("space");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).unwrap();
        Space { folder, ids, helper }
    }

    /// The space of a container's test; none where the helper cannot be had.
    fn of(world: &World) -> Option<Space> {
        Some(Space::new(world.folder.path(), world.instance.ids, program()?))
    }

    fn namespaces(&self) -> Namespaces {
        Namespaces { user: self.folder.join("ns/user"), network: self.folder.join("ns/net") }
    }

    fn make(&self) -> Namespaces {
        let namespaces = self.namespaces();
        namespaces.make(&self.helper, self.ids, &open_door).unwrap();
        namespaces
    }

    fn at(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Mounts and files of it that are still there.
    fn left(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut left: Vec<String> = mounts.lines().filter(|line| line.contains(&folder)).map(str::to_string).collect();
        for file in [self.namespaces().user, self.namespaces().network, self.at(), self.folder.join("root.layers")] {
            left.extend(file.exists().then(|| file.display().to_string()));
        }
        left
    }

    fn clear(&self) -> Result<(), SpaceError> {
        remove_root(&self.at(), &self.helper, &open_door)?;
        self.namespaces().remove(&self.helper, &open_door)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.clear();
        let bounded = self.folder.join("bounded");
        if bounded.exists() {
            let _ = Command::new("umount").arg(bounded).stderr(Stdio::null()).status();
        }
    }
}

fn number(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().ino()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A layer with files of uid 0 of an image.
fn layer(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    folder.to_path_buf()
}

/// Hides a path of the layers below, as overlayfs reads it.
fn whiteout(file: &Path) {
    let made = Command::new("mknod").arg(file).args(["c", "0", "0"]).status().unwrap();
    assert!(made.success());
}

#[test]
fn namespaces_are_made_once_joined_by_either_driver_and_gone_with_the_last_process() {
    with_drivers(|mut world| {
        let Some(space) = Space::of(&world) else { return };
        let namespaces = space.make();
        let numbers = (number(&namespaces.user), number(&namespaces.network));
        assert_eq!(space.make(), namespaces);
        assert_eq!((number(&namespaces.user), number(&namespaces.network)), numbers, "they are the same");
        world.instance.namespaces =
            Joined { user: Some(text(&namespaces.user)), network: Some(text(&namespaces.network)) };
        world.script("cat /proc/self/uid_map /proc/self/gid_map; echo up; exec sleep 1000");
        // Two runs, as restarts do.
        for _ in 0..2 {
            let pid = world.start();
            world.wait_output("up");
            let map = format!("         0 {:>10}      65536\n", space.ids.first);
            assert_eq!(world.output(), format!("{map}{map}up\n"), "{}", world.driver.name());
            let own = |kind: &str| number(Path::new(&format!("/proc/{pid}/ns/{kind}")));
            assert_eq!((own("user"), own("net")), numbers);
            assert_eq!(readback::check(&world.config(), pid, &world.group).unwrap(), []);
            world.delete();
        }
        // Removed while an instance still runs: the files go, it keeps what it has.
        let pid = world.start();
        world.wait_output("up");
        namespaces.remove(&space.helper, &open_door).unwrap();
        namespaces.remove(&space.helper, &open_door).unwrap();
        assert!(!namespaces.are_there());
        assert_eq!(number(Path::new(&format!("/proc/{pid}/ns/net"))), numbers.1);
        world.delete();
        assert_eq!(space.left(), Vec::<String>::new());
        world.assert_gone();
    });
}

#[test]
fn one_instance_does_not_use_up_what_the_kernel_counts_by_user() {
    with_drivers(|mut world| {
        let Some(space) = Space::of(&world) else { return };
        let namespaces = space.make();
        world.instance.namespaces =
            Joined { user: Some(text(&namespaces.user)), network: Some(text(&namespaces.network)) };
        let call = if cfg!(target_arch = "aarch64") { "26, 0" } else { "253" };
        // inotify_init of one process after another until there is no more.
        let script =
            format!("$| = 1; my $n = 0; $n++ while syscall({call}) >= 0; print $!+0, qq( after $n\n); sleep 1000");
        world.perl(&script);
        world.start();
        world.wait_output("\n");
        println!("{}: {}", world.driver.name(), world.output().trim());
        assert!(world.output().starts_with("24 after "), "{}", world.output());
        let own = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC);
        assert!(own.is_ok(), "the host's root has its own: {own:?}");
        world.delete();
    });
}

#[test]
fn layers_show_their_owners_as_the_instances_and_whiteouts_hide() {
    with_drivers(|mut world| {
        let Some(space) = Space::of(&world) else { return };
        let namespaces = space.make();
        let base = world.folder.path().join("base");
        populate(&base, 0);
        layer(&base, &[("etc/of-root", "base\n"), ("etc/hidden", "base\n"), ("etc/of-app", "base\n")]);
        std::os::unix::fs::chown(base.join("etc/of-app"), Some(1_000), Some(1_000)).unwrap();
        let middle = layer(&world.folder.path().join("middle"), &[("etc/of-root", "middle\n")]);
        whiteout(&middle.join("etc/hidden"));
        let top = layer(&world.folder.path().join("top"), &[("etc/new", "top\n")]);
        world.instance.root.path = text(&space.at());
        world.instance.namespaces =
            Joined { user: Some(text(&namespaces.user)), network: Some(text(&namespaces.network)) };
        world.script(
            "cd /etc; cat of-root; ls; for f in of-root of-app; do ls -n $f; done; echo x > /etc/other; echo end",
        );
        for lowers in [vec![base.clone()], vec![top, middle, base]] {
            let layers = lowers.len();
            let root = RootFolders { at: space.at(), lowers, upper: None };
            if let Err(error) = root.make(&space.helper, &namespaces.user, &open_door) {
                assert!(error.to_string().contains("its file system has no shifted owners"), "{error}");
                println!("skipped: {error}");
                return;
            }
            // Once more than needed: nothing is mounted twice.
            root.make(&space.helper, &namespaces.user, &open_door).unwrap();
            assert_eq!(space.left().iter().filter(|line| line.contains(" - ")).count(), 3, "{:#?}", space.left());
            let first = world.instance.ids.first;
            let owner = |file: &str| std::fs::metadata(space.at().join(file)).unwrap().uid();
            assert_eq!((owner("etc/of-root"), owner("etc/of-app")), (first, first + 1_000));
            world.start();
            world.wait_output("end");
            world.wait();
            let said = world.output();
            println!("{} with {layers}: {said:?}", world.driver.name());
            assert!(said.starts_with(if layers == 1 { "base\n" } else { "middle\n" }));
            assert_eq!((said.contains("hidden"), said.contains("new")), (layers == 1, layers == 3));
            assert!(said.contains(" 0 0 ") && said.contains(" 1000 1000 "), "owners as the instance sees them: {said}");
            assert!(said.contains("Read-only file system"), "{said}");
            world.delete();
            remove_root(&space.at(), &space.helper, &open_door).unwrap();
            remove_root(&space.at(), &space.helper, &open_door).unwrap();
        }
        space.clear().unwrap();
        assert_eq!(space.left(), Vec::<String>::new());
        world.assert_gone();
    });
}

#[test]
fn a_writable_root_is_bounded_and_its_files_belong_to_the_instance() {
    with_drivers(|mut world| {
        let Some(space) = Space::of(&world) else { return };
        let namespaces = space.make();
        let base = world.folder.path().join("base");
        populate(&base, 0);
        layer(&base, &[("etc/of-root", "base\n")]);
        // A file system of 2 MiB, in the place of a volume.
        let bounded = space.folder.join("bounded");
        std::fs::create_dir(&bounded).unwrap();
        let mount = |command: &str| {
            let done = Command::new("sh").args(["-c", command]).stderr(Stdio::null()).status().unwrap();
            assert!(done.success(), "{command}");
        };
        mount(&format!("mount -t tmpfs -o size=2m,mode=711 tmpfs {}", bounded.display()));
        let (upper, work) = (bounded.join("upper"), bounded.join("work"));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&work).unwrap();
        let root = RootFolders { at: space.at(), lowers: vec![base], upper: Some((upper.clone(), work)) };
        let made = root.make(&space.helper, &namespaces.user, &open_door);
        if made.as_ref().is_err_and(|error| error.to_string().contains("its file system has no shifted owners")) {
            mount(&format!("umount {}", bounded.display()));
            return println!("skipped: {made:?}");
        }
        made.unwrap();
        world.instance.root = openmesh_cage::instance::Root { path: text(&space.at()), writable: true };
        world.instance.namespaces =
            Joined { user: Some(text(&namespaces.user)), network: Some(text(&namespaces.network)) };
        world.perl(
            "open(my $f, '>>', '/etc/of-root') or die; print $f qq(more\n); close $f; open($f, '>', '/made') or die qq(/: $!); close $f; \
             open($f, '>', '/big') or die; my $n = 0; while (my $more = syswrite($f, 'x' x 65536)) { $n += $more; last if $n > 4 << 20 } \
             print $!+0, ' ', ($n > 1 << 20 && $n < 2 << 20 ? 'bounded' : $n), qq(\n)",
        );
        let (_, said) = world.run();
        assert_eq!(said, "28 bounded\n", "{}: no space is left", world.driver.name());
        let first = space.ids.first;
        for file in ["", "made", "etc/of-root"] {
            let is = std::fs::metadata(upper.join(file)).unwrap();
            assert_eq!((is.uid(), is.gid()), (first, first), "{file}");
        }
        assert_eq!(std::fs::read_to_string(upper.join("etc/of-root")).unwrap(), "base\nmore\n");
        world.delete();
        // It is there again after a removal: the upper folder holds it.
        remove_root(&space.at(), &space.helper, &open_door).unwrap();
        root.make(&space.helper, &namespaces.user, &open_door).unwrap();
        assert!(space.at().join("made").exists());
        space.clear().unwrap();
        mount(&format!("umount {}", bounded.display()));
        assert_eq!(space.left(), Vec::<String>::new());
        world.assert_gone();
    });
}

/// A death anywhere in the helper, by its killing at a random moment, and at both sides of each door.
#[test]
fn a_death_between_the_steps_leaves_nothing_that_a_second_call_does_not_take_away() {
    let Some(helper) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let space = Space::new(folder.path(), IdRange { first: 0x5000_0000, count: 65_536 }, helper);
    let layers = ["c", "b", "a"].map(|name| layer(&folder.path().join(name), &[(name, "text")]));
    let root = RootFolders { at: space.at(), lowers: layers.into(), upper: None };
    let namespaces = space.namespaces();
    let killed = |arguments: &[&str], pause_us: u64| {
        let mut child = Command::new(&space.helper).args(arguments).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(pause_us));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let (user, network, at) = (text(&namespaces.user), text(&namespaces.network), text(&space.at()));
    let lowers: Vec<String> = root.lowers.iter().map(|lower| text(lower)).collect();
    for pause_us in [0, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 13_000, 20_000, 40_000] {
        killed(&["namespaces", "--ids", "1342177280:65536", "--user", &user, "--net", &network], pause_us);
        let made = namespaces.make(&space.helper, space.ids, &open_door);
        made.unwrap_or_else(|error| panic!("after {pause_us} us: {error}"));
        assert!(namespaces.are_there());
        let mut arguments = vec!["root", "--user", &user, "--at", &at];
        arguments.extend(lowers.iter().map(String::as_str));
        killed(&arguments, pause_us);
        match root.make(&space.helper, &namespaces.user, &open_door) {
            Err(error) if error.to_string().contains("its file system has no shifted owners") => {
                return println!("skipped: {error}");
            }
            made => made.unwrap_or_else(|error| panic!("after {pause_us} us: {error}")),
        }
        assert!(space.at().join("a").exists() && space.at().join("c").exists());
        killed(&["root-remove", "--at", &at], pause_us);
        killed(&["namespaces-remove", "--user", &user, "--net", &network], pause_us);
        space.clear().unwrap();
        assert_eq!(space.left(), Vec::<String>::new(), "after {pause_us} us");
    }
    until("no holder of namespaces", || {
        let lines = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut all = std::fs::read_dir("/proc").unwrap().flatten().map(lines);
        !all.any(|line| line.windows(16).any(|part| part == b"1342177280:65536"))
    });
    for failing in 0..2 {
        let passed = std::cell::Cell::new(0);
        let door = |_: &str| {
            passed.set(passed.get() + 1);
            if passed.get() - 1 == failing { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
        };
        let refused = namespaces.make(&space.helper, space.ids, &door).unwrap_err();
        assert!(refused.to_string().contains("No space left on device"), "{refused}");
        space.make();
        passed.set(0);
        assert!(root.make(&space.helper, &namespaces.user, &door).is_err());
        root.make(&space.helper, &namespaces.user, &open_door).unwrap();
        passed.set(0);
        assert!(remove_root(&space.at(), &space.helper, &door).is_err());
        passed.set(0);
        assert!(namespaces.remove(&space.helper, &door).is_err());
        space.clear().unwrap();
        assert_eq!(space.left(), Vec::<String>::new());
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason_and_leaves_nothing() {
    let Some(helper) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let space = Space::new(folder.path(), IdRange { first: 0x5100_0000, count: 65_536 }, helper);
    let namespaces = space.make();
    let of_the_host = Namespaces { user: space.folder.join("other/user"), network: space.folder.join("other/net") };
    let refused = of_the_host.make(&space.helper, IdRange { first: 0, count: 65_536 }, &open_door).unwrap_err();
    assert!(refused.to_string().contains("0:65536 is no FIRST:COUNT of ids above 65535"), "{refused}");
    let root = RootFolders { at: space.at(), lowers: vec![folder.path().join("nowhere")], upper: None };
    let refused = root.make(&space.helper, &namespaces.user, &open_door).unwrap_err();
    assert!(refused.to_string().contains("nowhere cannot be used: No such file or directory"), "{refused}");
    assert!(!space.at().exists());
    let nobody = RootFolders { lowers: vec![folder.path().join("space")], ..root };
    let refused = nobody.make(&space.helper, &folder.path().join("no-user"), &open_door).unwrap_err();
    assert!(refused.to_string().contains("no-user cannot be used"), "{refused}");
    let silent = of_the_host.make(Path::new("/bin/no-such-helper"), space.ids, &open_door).unwrap_err();
    assert!(matches!(silent, SpaceError::Program { .. }), "{silent}");
    space.clear().unwrap();
    assert_eq!(space.left(), Vec::<String>::new());
}
