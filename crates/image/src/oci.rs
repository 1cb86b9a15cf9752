//! Documents of the OCI image format and their older forms of Docker: index, manifest, configuration (pure).
//!
//! Sources: OCI image specification 1.1 (`descriptor.md`, `manifest.md`, `image-index.md`, `config.md`) and Docker's image manifest
//! version 2, schema 2. A document that could be read both as an index and as a manifest is refused (CVE-2021-41190).

use std::collections::BTreeMap;
use std::fmt;

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

use crate::limits::{BLOB_BYTES_MAX, IMAGE_BYTES_MAX, INDEX_ENTRIES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX};

/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer that is not compressed.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Docker's name of an index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's name of a manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A document that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OciError {
    /// Longer than [`MANIFEST_BYTES_MAX`].
    #[error("the document has {bytes} bytes, but {MANIFEST_BYTES_MAX} are the most")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// Not JSON of the right form.
    #[error("the document cannot be read: {0}")]
    Form(String),
    /// Both an index and a manifest, or neither.
    #[error("the document is not clearly an index or a manifest; ask its publisher to build the image again")]
    Ambiguous,
    /// A media type that has no meaning here.
    #[error("media type `{found}` cannot be used as {wanted}")]
    MediaType {
        /// The type found.
        found: String,
        /// The role in which it was found.
        wanted: &'static str,
    },
    /// The document says another media type than its server.
    #[error("the registry says media type `{served}`, the document says `{written}`")]
    MediaTypeDiffers {
        /// Type in the answer's header.
        served: String,
        /// Type in the document.
        written: String,
    },
    /// A digest that is not SHA-256.
    #[error("`{0}` is no digest of the form sha256: and 64 digits of lower case")]
    Digest(String),
    /// A size that cannot be.
    #[error("blob {digest} is said to have {size} bytes, but at most {BLOB_BYTES_MAX} are possible")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size it is said to have.
        size: i64,
    },
    /// More layers than [`LAYERS_MAX`].
    #[error("the image has {0} layers, but {LAYERS_MAX} are the most; build it with fewer steps")]
    TooManyLayers(usize),
    /// More than [`INDEX_ENTRIES_MAX`] manifests.
    #[error("the index names {0} manifests, but {INDEX_ENTRIES_MAX} are the most")]
    TooManyManifests(usize),
    /// All blobs together are larger than [`IMAGE_BYTES_MAX`].
    #[error("the image has {0} bytes, but {IMAGE_BYTES_MAX} are the most")]
    TooLarge(u64),
    /// An index within an index.
    #[error("the index names another index, which could go on for ever; name the inner one")]
    Nested,
    /// None for the platform.
    #[error("there is no image for {wanted}; there is one for: {there}")]
    Platform {
        /// The platform asked for.
        wanted: Platform,
        /// Platforms that the index names.
        there: String,
    },
    /// The manifest and the configuration name different numbers of layers.
    #[error("the manifest names {layers} layers, the configuration {diffs}")]
    Layers {
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diffs: usize,
    },
}

/// The digest of `sha256:` and 64 digits of lower case.
///
/// # Errors
/// [`OciError::Digest`] for anything else.
pub fn parse_digest(text: &str) -> Result<Digest, OciError> {
    let wrong = || OciError::Digest(text.chars().take(100).collect());
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(wrong)?;
    let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex.parse().ok().filter(|_| lower).ok_or_else(wrong)
}

/// A digest as `sha256:` and its digits.
pub fn print_digest(digest: &Digest) -> String {
    format!("sha256:{digest}")
}

/// A kind of machine that an image is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system: `linux`.
    pub os: String,
    /// Architecture in the names of Go: `amd64`, `arm64`.
    pub architecture: String,
    /// Variant of the architecture: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this program.
    pub fn here() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            other => (other, None),
        };
        Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.map(str::to_string) }
    }

    /// Returns how well something for `other` runs here: `None` for not at all, lower is better.
    fn distance(&self, other: &Platform) -> Option<u16> {
        if (&self.os, &self.architecture) != (&other.os, &other.architecture) {
            return None;
        }
        match (level(self.variant.as_deref()), level(other.variant.as_deref())) {
            (mine, theirs) if mine == theirs => Some(0),
            (_, None) => Some(1),
            (None, Some(theirs)) => Some(1 + u16::from(theirs)),
            (Some(mine), Some(theirs)) => mine.checked_sub(theirs).map(|below| 1 + u16::from(below)),
        }
    }
}

/// Number of a variant.
fn level(variant: Option<&str>) -> Option<u8> {
    variant?.strip_prefix('v')?.parse().ok()
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// A blob as a document names it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// Compression of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Descriptor {
    /// Compression of a layer by its media type.
    ///
    /// # Errors
    /// [`OciError::MediaType`] for what is no layer, and for layers that may not be distributed.
    pub fn compression(&self) -> Result<Compression, OciError> {
        match self.media_type.as_str() {
            LAYER => Ok(Compression::Plain),
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Ok(Compression::Gzip)
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" => Ok(Compression::Zstd),
            "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::Plain),
            other => Err(OciError::MediaType { found: short(other), wanted: "a layer" }),
        }
    }
}

/// A text cut to what an error should show of a stranger's words.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// A manifest: a configuration and layers, from the lowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, from the lowest.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Bytes of configuration and layers together; a blob that is named twice counts once.
    pub fn bytes(&self) -> u64 {
        let blobs: BTreeMap<Digest, u64> = self.blobs().map(|blob| (blob.digest, blob.size)).collect();
        blobs.values().sum()
    }

    /// Configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// An index: manifests by platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Manifests with their platforms, in the order of the document.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
}

impl Index {
    /// The manifest for a platform: the nearest variant that runs there, the first among equals.
    ///
    /// # Errors
    /// [`OciError::Platform`] with what there is, [`OciError::Nested`] where the choice is another index.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, OciError> {
        let fits = self.manifests.iter().filter_map(|(descriptor, platform)| {
            platform.as_ref().and_then(|platform| wanted.distance(platform)).map(|distance| (distance, descriptor))
        });
        // `min_by_key` gives the first of several.
        let (_, chosen) = fits.min_by_key(|(distance, _)| *distance).ok_or_else(|| {
            let there: Vec<String> =
                self.manifests.iter().filter_map(|(_, p)| p.as_ref()).take(20).map(|p| short(&p.to_string())).collect();
            OciError::Platform { wanted: wanted.clone(), there: there.join(", ") }
        })?;
        match chosen.media_type.as_str() {
            MANIFEST | DOCKER_MANIFEST => Ok(chosen),
            INDEX | DOCKER_INDEX => Err(OciError::Nested),
            other => Err(OciError::MediaType { found: short(other), wanted: "a manifest" }),
        }
    }
}

/// The document behind a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Several platforms.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u8,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde_json::Value>,
}

fn descriptor(raw: &RawDescriptor, size_max: u64) -> Result<Descriptor, OciError> {
    let digest = parse_digest(&raw.digest)?;
    let size = u64::try_from(raw.size).ok().filter(|size| *size <= size_max);
    let size = size.ok_or(OciError::Size { digest, size: raw.size })?;
    Ok(Descriptor { media_type: raw.media_type.clone(), digest, size })
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, OciError> {
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(OciError::TooLong { bytes: bytes.len() as u64 });
    }
    serde_json::from_slice(bytes).map_err(|cause| OciError::Form(short(&cause.to_string())))
}

impl Document {
    /// Reads an index or a manifest; `served` is the media type that the registry gave with it.
    ///
    /// # Errors
    /// See [`OciError`].
    pub fn parse(bytes: &[u8], served: Option<&str>) -> Result<Document, OciError> {
        let raw: RawDocument = parse(bytes)?;
        if raw.schema_version != 2 || raw.fs_layers.is_some() {
            return Err(OciError::MediaType {
                found: format!("schema version {}", raw.schema_version),
                wanted: "a manifest",
            });
        }
        let served = served.map(|text| text.split(';').next().unwrap_or(text).trim());
        let written = raw.media_type.as_deref();
        if let (Some(served), Some(written)) = (served, written)
            && served != written
        {
            return Err(OciError::MediaTypeDiffers { served: short(served), written: short(written) });
        }
        let kind = written.or(served);
        match (&raw.manifests, &raw.config, &raw.layers) {
            (Some(manifests), None, None) => {
                kind_is(kind, [INDEX, DOCKER_INDEX], "an index")?;
                index(manifests).map(Document::Index)
            }
            (None, Some(config), Some(layers)) => {
                kind_is(kind, [MANIFEST, DOCKER_MANIFEST], "a manifest")?;
                manifest(config, layers).map(Document::Manifest)
            }
            _ => Err(OciError::Ambiguous),
        }
    }
}

fn kind_is(kind: Option<&str>, possible: [&str; 2], wanted: &'static str) -> Result<(), OciError> {
    match kind {
        Some(kind) if !possible.contains(&kind) => Err(OciError::MediaType { found: short(kind), wanted }),
        _ => Ok(()),
    }
}

fn index(raw: &[RawDescriptor]) -> Result<Index, OciError> {
    if raw.len() > INDEX_ENTRIES_MAX {
        return Err(OciError::TooManyManifests(raw.len()));
    }
    let manifests = raw.iter().map(|raw| Ok((descriptor(raw, MANIFEST_BYTES_MAX)?, raw.platform.clone())));
    Ok(Index { manifests: manifests.collect::<Result<_, OciError>>()? })
}

fn manifest(config: &RawDescriptor, layers: &[RawDescriptor]) -> Result<Manifest, OciError> {
    if layers.len() > LAYERS_MAX {
        return Err(OciError::TooManyLayers(layers.len()));
    }
    let config = descriptor(config, MANIFEST_BYTES_MAX)?;
    if ![CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(OciError::MediaType { found: short(&config.media_type), wanted: "an image's configuration" });
    }
    let layers = layers.iter().map(|raw| descriptor(raw, BLOB_BYTES_MAX)).collect::<Result<Vec<_>, _>>()?;
    layers.iter().try_for_each(|layer| layer.compression().map(drop))?;
    let manifest = Manifest { config, layers };
    match manifest.bytes() {
        bytes if bytes > IMAGE_BYTES_MAX => Err(OciError::TooLarge(bytes)),
        _ => Ok(manifest),
    }
}

/// Configuration of an image: its processes, and the layers it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Digests of the layers' unpacked archives, from the lowest.
    pub diff_ids: Vec<Digest>,
    /// Variables, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// First words of the command.
    pub entrypoint: Vec<String>,
    /// Words that follow, unless others are given.
    pub command: Vec<String>,
    /// Folder to begin in.
    pub working_dir: Option<String>,
    /// User, as the image writes it.
    pub user: Option<String>,
    /// Signal that asks it to end.
    pub stop_signal: Option<String>,
    /// Ports, as `80/tcp`.
    pub exposed: Vec<String>,
    /// Paths of volumes.
    pub volumes: Vec<String>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    config: Option<RawRun>,
    rootfs: RawRoot,
}

#[derive(Deserialize)]
struct RawRoot {
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawRun {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// See [`OciError`].
    pub fn parse(bytes: &[u8]) -> Result<Config, OciError> {
        let raw: RawConfig = parse(bytes)?;
        if raw.rootfs.diff_ids.len() > LAYERS_MAX {
            return Err(OciError::TooManyLayers(raw.rootfs.diff_ids.len()));
        }
        let run = raw.config.unwrap_or_default();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let keys = |map: Option<BTreeMap<String, serde_json::Value>>| map.unwrap_or_default().into_keys().collect();
        Ok(Config {
            diff_ids: raw.rootfs.diff_ids.iter().map(|text| parse_digest(text)).collect::<Result<_, _>>()?,
            env: run.env.unwrap_or_default(),
            entrypoint: run.entrypoint.unwrap_or_default(),
            command: run.cmd.unwrap_or_default(),
            working_dir: some(run.working_dir),
            user: some(run.user),
            stop_signal: some(run.stop_signal),
            exposed: keys(run.exposed_ports),
            volumes: keys(run.volumes),
        })
    }
}

/// Bytes of a manifest, the same for the same input.
///
/// Keys are written in the order of their letters, which is also what a sorting map of JSON makes of them.
pub fn write_manifest(config: &Descriptor, layers: &[Descriptor]) -> Vec<u8> {
    let blob = |d: &Descriptor| serde_json::json!({ "digest": print_digest(&d.digest), "mediaType": d.media_type, "size": d.size });
    let layers: Vec<_> = layers.iter().map(blob).collect();
    let whole =
        serde_json::json!({ "config": blob(config), "layers": layers, "mediaType": MANIFEST, "schemaVersion": 2 });
    whole.to_string().into_bytes()
}

/// Bytes of a configuration, the same for the same input: no time and no host in it.
pub fn write_config(config: &Config, platform: &Platform) -> Vec<u8> {
    let diff_ids: Vec<String> = config.diff_ids.iter().map(print_digest).collect();
    let keys = |names: &[String]| {
        let sorted: std::collections::BTreeSet<&String> = names.iter().collect();
        sorted.into_iter().map(|name| (name.clone(), serde_json::json!({}))).collect::<serde_json::Map<_, _>>()
    };
    let mut run = serde_json::Map::new();
    let mut say = |key: &str, value: serde_json::Value, there: bool| {
        if there {
            run.insert(key.to_string(), value);
        }
    };
    say("Cmd", config.command.clone().into(), !config.command.is_empty());
    say("Entrypoint", config.entrypoint.clone().into(), !config.entrypoint.is_empty());
    say("Env", config.env.clone().into(), !config.env.is_empty());
    say("ExposedPorts", keys(&config.exposed).into(), !config.exposed.is_empty());
    say("StopSignal", config.stop_signal.clone().into(), config.stop_signal.is_some());
    say("User", config.user.clone().into(), config.user.is_some());
    say("Volumes", keys(&config.volumes).into(), !config.volumes.is_empty());
    say("WorkingDir", config.working_dir.clone().into(), config.working_dir.is_some());
    let mut whole = serde_json::json!({
        "architecture": platform.architecture,
        "config": run,
        "os": platform.os,
        "rootfs": { "diff_ids": diff_ids, "type": "layers" },
    });
    if let Some(variant) = &platform.variant {
        whole["variant"] = variant.clone().into();
    }
    whole.to_string().into_bytes()
}
