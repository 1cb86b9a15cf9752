//! A composition held against a machine, before anything is fetched.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::{Application, Domain, HostAddress, Name, Protocol, Size};
use openmesh_blueprint::template::{Card, OptionKind};

use crate::compose::{Composition, Fault};

/// Memory of an application whose template names none, in bytes. Source: clause X-42.
const MEMORY_BYTES: u64 = 512 << 20;

/// A port of a machine that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPort {
    /// Address of the machine.
    pub address: HostAddress,
    /// Number.
    pub port: u16,
    /// Of UDP.
    pub is_udp: bool,
    /// Holder, in words.
    pub holder: String,
}

/// Facts of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Memory that no application has been promised, bytes.
    pub memory_free: u64,
    /// Free disk, bytes.
    pub disk_free: u64,
    /// Architecture, in the words of images: `amd64`.
    pub architecture: String,
    /// Release of Debian that images are made of.
    pub release: String,
    /// Applications that are wanted.
    pub applications: BTreeSet<Name>,
    /// Ports that somebody has.
    pub ports: Vec<HeldPort>,
    /// Domains of applications.
    pub domains: BTreeMap<Domain, Name>,
}

/// Memory of an application as it is limited, bytes.
pub(crate) fn memory(application: &Application) -> u64 {
    application.limits.memory.map_or(MEMORY_BYTES, |memory| memory.0).saturating_mul(u64::from(application.instances))
}

/// Disk of an application, bytes: its volumes, and its image as its template says.
pub(crate) fn disk(application: &Application, card: Option<&Card>) -> u64 {
    let volumes: u64 = application.volumes.values().map(|volume| volume.size.0).sum();
    volumes.saturating_add(card.map_or(0, |card| card.needs.image.0))
}

/// Every reason for which a machine cannot take a composition, with the option that would change it where there is one.
pub fn preflight(composition: &Composition, facts: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, application) in &composition.rendered {
        let template = composition.templates.get(name);
        if facts.applications.contains(name) {
            faults.push(Fault::of("name", format!("`{name}` is an application already; take another name")));
        }
        if let Some(card) = template.and_then(|template| template.card.as_ref()) {
            faults.extend(machine(card, facts));
        }
        let option = |kind: OptionKind| {
            let mut options = template.into_iter().flat_map(|template| &template.options);
            options.find(|(_, option)| option.kind == kind).map(|(name, _)| name.to_string())
        };
        for port in application.ports.values() {
            let Some(publish) = &port.publish else { continue };
            let Some(number) = publish.port else { continue };
            let is_udp = port.protocol == Protocol::Udp;
            let held = facts
                .ports
                .iter()
                .find(|held| (held.port, held.is_udp) == (number, is_udp) && held.address.overlaps(publish.address));
            if let Some(held) = held {
                let message = format!("{number} is taken by {}; `auto` takes a free one", held.holder);
                faults.push(Fault { option: option(OptionKind::Port), message });
            }
        }
        for domain in application.domains.keys() {
            if let Some(holder) = facts.domains.get(domain) {
                let message = format!("`{domain}` leads to the application {holder} already");
                faults.push(Fault { option: option(OptionKind::Domain), message });
            }
        }
    }
    faults.extend(room(composition, facts));
    faults.sort();
    faults.dedup();
    faults
}

fn machine(card: &Card, facts: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    let known: Vec<&str> = card.needs.architectures.iter().map(|architecture| architecture.word()).collect();
    if !known.is_empty() && !known.contains(&facts.architecture.as_str()) {
        let message =
            format!("{} is made for {}, and this machine is {}", card.title, known.join(", "), facts.architecture);
        faults.push(Fault { option: None, message });
    }
    if let Some(release) = card.needs.release.as_ref().filter(|release| **release != facts.release) {
        let message = format!(
            "{} is made of packages of Debian {release}, and this machine makes images of {}",
            card.title, facts.release
        );
        faults.push(Fault { option: None, message });
    }
    faults
}

fn room(composition: &Composition, facts: &Facts) -> Vec<Fault> {
    let memory = composition.rendered.values().map(memory).fold(0, u64::saturating_add);
    let card = |name: &Name| composition.templates.get(name).and_then(|template| template.card.as_ref());
    let disks = composition.rendered.iter().map(|(name, application)| disk(application, card(name)));
    let disk = disks.fold(0, u64::saturating_add);
    let bounds = [("memory", "memory", memory, facts.memory_free), ("disk", "size", disk, facts.disk_free)];
    let short = bounds.into_iter().filter(|(_, _, needed, free)| needed > free);
    short
        .map(|(what, option, needed, free)| {
            let mut names = composition.templates.values().flat_map(|template| template.options.keys());
            let is_option = names.any(|name| name.as_str() == option);
            let message = format!("needs {} of {what}, and {} are free", Size(needed).human(), Size(free).human());
            Fault { option: is_option.then(|| option.to_string()), message }
        })
        .collect()
}
