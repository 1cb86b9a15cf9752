//! GPUs as the kernel shows them: those of NVIDIA's driver in `/proc/driver/nvidia`, those of AMD and Intel by their render nodes.
//!
//! Numbers of device nodes are taken from the kernel's texts and not from nodes in `/dev`: a program of the host makes NVIDIA's when somebody first uses them, and
//! a made-up tree has none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// Largest file that is read, bytes: the kernel's texts are far shorter.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// GPUs that are looked at: no machine has more.
const GPUS_MAX: usize = 64;
/// Major number of NVIDIA's nodes where `/proc/devices` does not say it. Source: `Documentation/admin-guide/devices.txt` of the kernel.
const NVIDIA_MAJOR: u32 = 195;
/// Minor number of `/dev/nvidiactl`. Source: the driver's `nv.h`.
const NVIDIA_CONTROL_MINOR: u32 = 255;

/// Vendor of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vendor {
    /// NVIDIA, with its own driver.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Vendor; 3] = [Vendor::Nvidia, Vendor::Amd, Vendor::Intel];

    /// Its word in documents and descriptions.
    pub fn word(self) -> &'static str {
        match self {
            Vendor::Nvidia => "nvidia",
            Vendor::Amd => "amd",
            Vendor::Intel => "intel",
        }
    }

    /// The vendor with a number on the PCI bus.
    fn numbered(text: &str) -> Option<Vendor> {
        match text {
            "0x10de" => Some(Vendor::Nvidia),
            "0x1002" => Some(Vendor::Amd),
            "0x8086" => Some(Vendor::Intel),
            _ => None,
        }
    }
}

/// A device node of characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its path.
    pub path: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its address on the PCI bus, as `0000:01:00.0`.
    pub address: String,
    /// Its vendor.
    pub vendor: Vendor,
    /// Its name for people.
    pub model: String,
    /// Its own nodes.
    pub nodes: Vec<Node>,
}

/// GPUs of the machine whose files are below a root, sorted by address. One without an address on the PCI bus, or without its driver, is none.
pub fn find(root: &Path) -> Vec<Gpu> {
    let mut found: BTreeMap<String, Gpu> = nvidia(root).into_iter().map(|gpu| (gpu.address.clone(), gpu)).collect();
    for (address, vendor, model, node) in render_nodes(root) {
        if let Some(gpu) = found.get_mut(&address) {
            gpu.nodes.push(node);
        } else if vendor != Vendor::Nvidia {
            // Without NVIDIA's own driver there is nothing to compute with.
            found.insert(address.clone(), Gpu { address, vendor, model, nodes: vec![node] });
        }
    }
    found.into_values().take(GPUS_MAX).collect()
}

/// Nodes that all GPUs of a vendor share.
pub fn common(root: &Path, vendor: Vendor) -> Vec<Node> {
    let node = |path: &str, major, minor| Node { path: path.into(), major, minor };
    match vendor {
        Vendor::Nvidia => {
            let devices = text(root, "proc/devices").unwrap_or_default();
            let mut nodes = vec![node("/dev/nvidiactl", nvidia_major(&devices), NVIDIA_CONTROL_MINOR)];
            if let Some(major) = major(&devices, "nvidia-uvm") {
                nodes.extend([node("/dev/nvidia-uvm", major, 0), node("/dev/nvidia-uvm-tools", major, 1)]);
            }
            nodes
        }
        Vendor::Amd => {
            let numbers = text(root, "sys/class/kfd/kfd/dev").as_deref().and_then(numbers);
            numbers.map(|(major, minor)| node("/dev/kfd", major, minor)).into_iter().collect()
        }
        Vendor::Intel => Vec::new(),
    }
}

fn nvidia(root: &Path) -> Vec<Gpu> {
    let devices = text(root, "proc/devices").unwrap_or_default();
    let gpu = |address: String| {
        let about = text(root, &format!("proc/driver/nvidia/gpus/{address}/information"))?;
        let value = |key: &str| {
            let pair = about.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == key);
            pair.map(|(_, value)| value.trim())
        };
        let minor: u32 = value("Device Minor")?.parse().ok()?;
        let node = Node { path: format!("/dev/nvidia{minor}"), major: nvidia_major(&devices), minor };
        let model = plain(value("Model").unwrap_or("NVIDIA GPU"));
        Some(Gpu { address, vendor: Vendor::Nvidia, model, nodes: vec![node] })
    };
    let names = names(root, "proc/driver/nvidia/gpus").into_iter();
    names.map(|name| name.to_lowercase()).filter(|name| is_address(name)).filter_map(gpu).collect()
}

/// Render nodes: address and vendor of their GPU, its name for people, the node.
fn render_nodes(root: &Path) -> Vec<(String, Vendor, String, Node)> {
    let render = |name: String| {
        let folder = format!("sys/class/drm/{name}");
        let (major, minor) = numbers(&text(root, &format!("{folder}/dev"))?)?;
        let about = text(root, &format!("{folder}/device/uevent"))?;
        let address = about.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="))?.trim().to_lowercase();
        let vendor = Vendor::numbered(text(root, &format!("{folder}/device/vendor"))?.trim())?;
        let known = text(root, &format!("{folder}/device/product_name")).map(|text| plain(text.trim()));
        let number = text(root, &format!("{folder}/device/device")).unwrap_or_default();
        let number = plain(number.trim().trim_start_matches("0x"));
        let model = known.filter(|known| !known.is_empty()).unwrap_or_else(|| match vendor {
            Vendor::Nvidia => format!("NVIDIA GPU {number}"),
            Vendor::Amd => format!("AMD GPU {number}"),
            Vendor::Intel => format!("Intel GPU {number}"),
        });
        let node = Node { path: format!("/dev/dri/{name}"), major, minor };
        is_address(&address).then_some((address, vendor, model, node))
    };
    let is_render = |name: &String| {
        let number = name.strip_prefix("renderD");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    names(root, "sys/class/drm").into_iter().filter(is_render).filter_map(render).collect()
}

fn nvidia_major(devices: &str) -> u32 {
    // Its name was another one before version 530 of the driver.
    ["nvidia", "nvidia-frontend"].into_iter().find_map(|name| major(devices, name)).unwrap_or(NVIDIA_MAJOR)
}

/// Major number of a driver of character devices in the text of `/proc/devices`.
fn major(devices: &str, name: &str) -> Option<u32> {
    let characters = devices.split("Block devices:").next()?;
    let pair = |line: &str| {
        let (number, found) = line.trim().split_once(' ')?;
        (found == name).then(|| number.parse().ok())?
    };
    characters.lines().find_map(pair)
}

/// Reads `226:128`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns true for an address on the PCI bus, as `0000:01:00.0`.
fn is_address(text: &str) -> bool {
    let hex = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = text.split_once(':').and_then(|(domain, rest)| Some((domain, rest.split_once(':')?)));
    let Some((domain, (bus, rest))) = parts else { return false };
    let Some((device, function)) = rest.split_once('.') else { return false };
    hex(domain, 4..=8) && hex(bus, 2..=2) && hex(device, 2..=2) && hex(function, 1..=1)
}

/// Words that change nothing of a screen.
fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(80).collect()
}

/// Names in a folder, sorted.
fn names(root: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Text of a file below the root; none where it is not there.
fn text(root: &Path, file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(root.join(file)).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel_are_read() {
        let devices = "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n 9 nvidia-uvm\n";
        assert_eq!((nvidia_major(devices), major(devices, "nvidia-uvm"), major(devices, "sd")), (195, Some(510), None));
        assert_eq!(nvidia_major("Character devices:\n196 nvidia-frontend\n"), 196);
        assert_eq!(nvidia_major(""), NVIDIA_MAJOR);
        assert_eq!((numbers("226:128\n"), numbers("226"), numbers("a:1")), (Some((226, 128)), None, None));
        assert!(is_address("0000:c1:00.0") && is_address("00010000:00:02.0"));
        for wrong in ["", "card0", "0000:c1:00", "0000:c1:00.0.0", "../:c1:00.0", "0000:c1:zz.0"] {
            assert!(!is_address(wrong), "{wrong}");
        }
        assert_eq!(plain("A\u{1b}[2J card"), "A[2J card");
    }
}
