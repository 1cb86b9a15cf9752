//! Refusals: reasons for which there is no plan, each with its facts.

use crate::document::{Name, Size};
use crate::generation::{HostPort, VolumeId};
use crate::gpu::PciAddress;
use crate::inventory::Feature;

/// A reason for which there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// A number below the one that serves.
    #[error(
        "generation {number} is older than generation {current}, which serves; a rollback is a new generation with old content"
    )]
    OldGeneration {
        /// The number.
        number: u64,
        /// The number that serves.
        current: u64,
    },
    /// A port of the host is somebody else's.
    #[error("{application}: port {port} of the host is held by {by}; end that, or publish another port")]
    PortTaken {
        /// The application that wants it.
        application: Name,
        /// The port.
        port: HostPort,
        /// Its holder.
        by: String,
    },
    /// Not enough disk.
    #[error("{}the disk is short of {}: {} are needed for {for_what}, and {} are free beside the reserve{}", of(application), short_of(need, have), need.human(), have.human(), largest_words(largest))]
    DiskShort {
        /// The application that needs bytes for its repair; none where a new generation needs them as a whole.
        application: Option<Name>,
        /// Bytes that the steps need.
        need: Size,
        /// Bytes that are free beside the reserve.
        have: Size,
        /// Largest needs, in words.
        for_what: String,
        /// Largest things on the disk that are ours.
        largest: Vec<(String, Size)>,
    },
    /// Not enough memory.
    #[error("memory is short of {}: {} are promised to applications, and {} are there beside the reserve{}", short_of(need, have), need.human(), have.human(), largest_words(largest))]
    MemoryShort {
        /// Limits of all applications together, with what runs beside during a switch.
        need: Size,
        /// Memory beside the reserve.
        have: Size,
        /// Applications with the largest limits.
        largest: Vec<(String, Size)>,
    },
    /// The kernel lacks something.
    #[error("{}the kernel lacks {feature}: {}", of(application), feature.remedy())]
    KernelLacks {
        /// The application that needs it for its repair; none where a new generation needs it as a whole.
        application: Option<Name>,
        /// The feature.
        feature: Feature,
    },
    /// This machine gives no new instance a GPU.
    #[error("{application}: its GPUs cannot be given to it: {lack}")]
    GpuUnusable {
        /// The application that asks for some.
        application: Name,
        /// The reason, with what helps.
        lack: String,
    },
    /// A GPU that an application has is not there.
    #[error(
        "{application}: its GPU {gpu} is not there; look whether it is in its slot and its driver loaded, or deploy again for another one"
    )]
    GpuMissing {
        /// The application.
        application: Name,
        /// The GPU.
        gpu: PciAddress,
    },
    /// A volume that must be there is not.
    #[error(
        "{application}: volume {volume} ({id}) is not there; mount its disk or restore a backup. It is never started empty"
    )]
    VolumeMissing {
        /// The application.
        application: Name,
        /// Name of the volume.
        volume: Name,
        /// Its id.
        id: VolumeId,
    },
    /// A file system without the marker of its volume.
    #[error(
        "{application}: what is mounted as volume {volume} does not carry the marker of {id}; another disk may be in its place"
    )]
    VolumeUnmarked {
        /// The application.
        application: Name,
        /// Name of the volume.
        volume: Name,
        /// Its id.
        id: VolumeId,
    },
    /// A volume that a machine does not touch in its condition.
    #[error("{application}: volume {volume} ({id}): {cause}. Until then nothing is started on it")]
    VolumeHeld {
        /// The application.
        application: Name,
        /// Name of the volume.
        volume: Name,
        /// Its id.
        id: VolumeId,
        /// The finding, with its remedy.
        cause: String,
    },
    /// An application that could not be looked at whole, or not be served.
    #[error("{application}: {cause}; it is left as it is until that is mended")]
    Faulty {
        /// The application.
        application: Name,
        /// The cause.
        cause: String,
    },
    /// A line of data that was chosen is gone.
    #[error("{application}: line {line} of volume {volume} is not there; choose one of {there}")]
    LineMissing {
        /// The application.
        application: Name,
        /// Name of the volume.
        volume: Name,
        /// The line.
        line: u32,
        /// Lines that are there.
        there: String,
    },
    /// A volume cannot become smaller.
    #[error("{application}: volume {volume} has {} and cannot shrink to {}; make a new volume and copy", have.human(), want.human())]
    VolumeShrinks {
        /// The application.
        application: Name,
        /// Name of the volume.
        volume: Name,
        /// Its size.
        have: Size,
        /// The wanted size.
        want: Size,
    },
    /// The new version did not become healthy.
    #[error(
        "{application}: the new version failed before it had traffic: {cause}. The line of data in use was not changed; return to the generation before"
    )]
    GateFailed {
        /// The application.
        application: Name,
        /// The cause.
        cause: String,
    },
    /// The new version failed with traffic.
    #[error("{application}: the new version failed with traffic: {cause}")]
    ProbationFailed {
        /// The application.
        application: Name,
        /// The cause.
        cause: String,
    },
    /// An instance that somebody has stopped.
    #[error(
        "{application}: instance {instance} is frozen, and not continued by itself since a person may debug it; send it SIGCONT, or stop the application"
    )]
    Frozen {
        /// The application.
        application: Name,
        /// The instance.
        instance: String,
    },
    /// An instance that is not as it was made.
    #[error(
        "{application}: instance {instance} is not as it was made: {what}; look into it, then stop and start the application"
    )]
    Altered {
        /// The application.
        application: Name,
        /// The instance.
        instance: String,
        /// The difference.
        what: String,
    },
}

impl Refusal {
    /// The application that it is about; `None` for the machine as a whole.
    pub fn application(&self) -> Option<&Name> {
        match self {
            Refusal::OldGeneration { .. } | Refusal::MemoryShort { .. } => None,
            Refusal::DiskShort { application, .. } | Refusal::KernelLacks { application, .. } => application.as_ref(),
            Refusal::PortTaken { application, .. }
            | Refusal::GpuUnusable { application, .. }
            | Refusal::GpuMissing { application, .. }
            | Refusal::VolumeMissing { application, .. }
            | Refusal::VolumeUnmarked { application, .. }
            | Refusal::VolumeHeld { application, .. }
            | Refusal::Faulty { application, .. }
            | Refusal::LineMissing { application, .. }
            | Refusal::VolumeShrinks { application, .. }
            | Refusal::GateFailed { application, .. }
            | Refusal::ProbationFailed { application, .. }
            | Refusal::Frozen { application, .. }
            | Refusal::Altered { application, .. } => Some(application),
        }
    }

    /// Stable word of the kind, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::OldGeneration { .. } => "old_generation",
            Refusal::PortTaken { .. } => "port_taken",
            Refusal::DiskShort { .. } => "disk_short",
            Refusal::MemoryShort { .. } => "memory_short",
            Refusal::KernelLacks { .. } => "kernel_lacks",
            Refusal::GpuUnusable { .. } => "gpu_unusable",
            Refusal::GpuMissing { .. } => "gpu_missing",
            Refusal::VolumeMissing { .. } => "volume_missing",
            Refusal::VolumeUnmarked { .. } => "volume_unmarked",
            Refusal::VolumeHeld { .. } => "volume_held",
            Refusal::Faulty { .. } => "faulty",
            Refusal::LineMissing { .. } => "line_missing",
            Refusal::VolumeShrinks { .. } => "volume_shrinks",
            Refusal::GateFailed { .. } => "gate_failed",
            Refusal::ProbationFailed { .. } => "probation_failed",
            Refusal::Frozen { .. } => "frozen",
            Refusal::Altered { .. } => "altered",
        }
    }
}

fn of(application: &Option<Name>) -> String {
    application.as_ref().map_or_else(String::new, |name| format!("{name}: "))
}

fn short_of(need: &Size, have: &Size) -> String {
    Size(need.0.saturating_sub(have.0)).human()
}

fn largest_words(largest: &[(String, Size)]) -> String {
    let words: Vec<String> = largest.iter().take(3).map(|(name, size)| format!("{name} {}", size.human())).collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("; the largest are {}", words.join(", ")),
    }
}
