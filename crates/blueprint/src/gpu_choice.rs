//! GPUs given to applications: one that an application has stays its own as long as it runs and its wish fits, and the rest is the lowest that is free.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Application, GpuVendor, Gpus, Name, Wish};
use crate::generation::{Placement, Portable};
use crate::gpu::{Gpu, PciAddress, Stock};
use crate::unresolved::Unresolved;

/// GPUs of each instance of each application.
pub(crate) type Given = BTreeMap<Name, Vec<BTreeSet<PciAddress>>>;

/// GPUs that the applications of a placement have.
pub(crate) fn given(placement: &Placement) -> Given {
    let all = placement.applications.iter().filter(|(_, placed)| !placed.gpus.is_empty());
    all.map(|(name, placed)| (name.clone(), placed.gpus.clone())).collect()
}

/// Gives each instance of an application that runs its GPUs: those that it had, as the first of some placements has them that fits. Adds a reason for each
/// application that gets too few.
pub(crate) fn give(portable: &Portable, before: &[Given], stock: &Stock, reasons: &mut Vec<Unresolved>) -> Given {
    let wanting: Vec<(&Name, &Application, &Gpus)> = portable
        .applications
        .iter()
        .filter(|(_, resolved)| resolved.application.wish == Wish::Running)
        .filter_map(|(name, resolved)| Some((name, &resolved.application, resolved.application.gpus.as_ref()?)))
        .collect();
    let mut used: BTreeMap<PciAddress, Name> = BTreeMap::new();
    let mut given = Given::new();
    // What stays comes first, so that no newcomer takes it.
    for (name, application, wish) in &wanting {
        let mut kept: Vec<BTreeSet<PciAddress>> = Vec::new();
        for index in 0..application.instances {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let mut had = before.iter().filter_map(|before| before.get(*name)?.get(index));
            let own = had.find(|had| fits(had, wish, stock) && !had.iter().any(|address| used.contains_key(address)));
            let own = own.cloned().unwrap_or_default();
            used.extend(own.iter().map(|address| (*address, (*name).clone())));
            kept.push(own);
        }
        given.insert((*name).clone(), kept);
    }
    for (name, application, wish) in &wanting {
        let places = given.get_mut(*name).into_iter().flatten();
        let mut lacks = false;
        for place in places.filter(|place| place.is_empty()) {
            match choose(name, wish, stock, &used) {
                Some(chosen) => {
                    used.extend(chosen.iter().map(|address| (*address, (*name).clone())));
                    *place = chosen;
                }
                None => lacks = true,
            }
        }
        if lacks {
            reasons.push(lack(name, application, wish, stock, &used));
        }
    }
    given
}

/// Returns true where an instance can go on with the GPUs that it had.
fn fits(had: &BTreeSet<PciAddress>, wish: &Gpus, stock: &Stock) -> bool {
    let own = |address: &PciAddress| stock.there.get(address).filter(|_| !stock.others.contains_key(address));
    let vendors: BTreeSet<Option<GpuVendor>> = had.iter().map(|address| own(address).map(|gpu| gpu.vendor)).collect();
    let is_one = matches!(vendors.first(), Some(Some(vendor)) if wish.vendor.is_none_or(|wanted| wanted == *vendor));
    vendors.len() == 1 && is_one && had.len() == count(wish)
}

fn count(wish: &Gpus) -> usize {
    usize::try_from(wish.count).unwrap_or(usize::MAX)
}

/// Lowest free GPUs that are enough for an instance, all of one vendor: of the first one of which there are enough.
fn choose(name: &Name, wish: &Gpus, stock: &Stock, used: &BTreeMap<PciAddress, Name>) -> Option<BTreeSet<PciAddress>> {
    let is_free = |address: &PciAddress| {
        let is_given = used.contains_key(address) || stock.others.contains_key(address);
        !is_given && stock.busy.get(address).is_none_or(|holder| holder == name)
    };
    let mut by_vendor: Vec<(GpuVendor, BTreeSet<PciAddress>)> = Vec::new();
    for (address, gpu) in stock.there.iter().filter(|(address, _)| is_free(address)) {
        if wish.vendor.is_some_and(|wanted| wanted != gpu.vendor) {
            continue;
        }
        let at = by_vendor.iter().position(|(vendor, _)| *vendor == gpu.vendor).unwrap_or_else(|| {
            by_vendor.push((gpu.vendor, BTreeSet::new()));
            by_vendor.len() - 1
        });
        let (_, free) = by_vendor.get_mut(at)?;
        if free.insert(*address) && free.len() == count(wish) {
            return Some(std::mem::take(free));
        }
    }
    None
}

/// Reason for which an application gets too few, with whoever holds those that would do.
fn lack(
    name: &Name,
    application: &Application,
    wish: &Gpus,
    stock: &Stock,
    used: &BTreeMap<PciAddress, Name>,
) -> Unresolved {
    let matching = stock.there.iter().filter(|(_, gpu)| wish.vendor.is_none_or(|wanted| wanted == gpu.vendor));
    let holder = |address: &PciAddress| {
        let leaving = stock.busy.get(address).filter(|holder| *holder != name);
        let leaving = leaving.map(|holder| format!("{holder} until its instance has ended"));
        used.get(address).map(Name::to_string).or(leaving).or_else(|| stock.others.get(address).cloned())
    };
    let words =
        |(address, gpu): (&PciAddress, &Gpu)| Some(format!("{address} ({}) by {}", gpu.model, holder(address)?));
    let held = matching.clone().filter_map(words);
    Unresolved::NoFreeGpu {
        application: name.clone(),
        count: wish.count,
        instances: application.instances,
        vendor: wish.vendor,
        held: held.collect(),
        there: matching.count(),
    }
}
