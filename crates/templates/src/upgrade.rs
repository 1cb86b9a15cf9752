//! An application brought to a newer version of its template.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::{Application, Content, Name, PackageVersion, Port, TemplateUse};
use openmesh_blueprint::template::{OptionKind, Template};
use openmesh_blueprint::text::Shape as _;

use crate::compose::{Composer, Composition, Fault};
use crate::library::Library;

/// An application that is brought to another version of its template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// The application as it stands in a document then, with the companions that the other version brings.
    pub composition: Composition,
    /// Answers that the other version does not ask for.
    pub left_out: BTreeSet<Name>,
}

/// Versions that may take the place of the one that an application is made of, from the oldest: newer ones that name it. None where the application names no version.
pub fn upgrades<'a>(library: &'a Library, using: &TemplateUse) -> Vec<&'a Template> {
    let Some(present) = &using.version else { return Vec::new() };
    let all = library.all(using.catalogue.as_ref(), &using.name);
    let at = all.iter().position(|template| template.version == *present);
    let number = |version: &PackageVersion| version.as_str().parse::<u32>().ok();
    let takes = |template: &&Template| {
        // A catalogue may have left the present one out since: then their numbers tell which is newer.
        let is_newer = at.is_some() || number(&template.version) > number(present);
        is_newer && template.card.as_ref().is_some_and(|card| card.upgrades.contains(present))
    };
    all[at.map_or(0, |at| at + 1)..].iter().filter(takes).collect()
}

/// Brings an application from a version of its template to another one. What a person has answered and written beside the template stays; secrets and companions
/// that the other version asks for and nobody has answered are made, as those of an order are.
///
/// # Errors
/// Every fault, with its option.
pub fn upgrade(
    library: &Library,
    (from, to): (&Template, &Template),
    name: &Name,
    own: &Application,
) -> Result<Upgrade, Vec<Fault>> {
    let Some(using) = &own.template else {
        return Err(vec![Fault { option: None, message: format!("{name} is not made of a template") }]);
    };
    let backup = own.backup.as_ref().map(|backup| (backup.to.clone(), to.backup.clone()));
    // New companions reach what a person has answered, and nothing that is only linked beside the template.
    let mut composer = Composer::new(library, to, backup, named(from, &using.answers));
    let (mut answers, left_out) = carried(using, to);
    composer.make_secrets(name, to, &mut answers);
    composer.make_companions(name, to, &mut answers, 0);
    let mut next = own.clone();
    let new = answers.iter().filter(|(option, _)| !using.answers.contains_key(*option));
    next.links.extend(named(to, new));
    composer.faults.extend(renumber((from, to), (&using.answers, &answers), &mut next.ports));
    next.template = Some(TemplateUse { version: Some(to.version.clone()), answers, ..using.clone() });
    match to.render(&next) {
        Ok(rendered) => {
            composer.done.applications.insert(name.clone(), next);
            composer.done.rendered.insert(name.clone(), rendered);
            composer.done.templates.insert(name.clone(), to.clone());
        }
        Err(problems) => composer.refuse(0, name, &problems),
    }
    let composition = composer.end()?;
    Ok(Upgrade { composition, left_out })
}

/// Answers that a version asks for, and the options of those that it does not.
fn carried(using: &TemplateUse, to: &Template) -> (BTreeMap<Name, Content>, BTreeSet<Name>) {
    let (asked, other): (Vec<_>, Vec<_>) =
        using.answers.iter().partition(|(option, _)| to.options.contains_key(*option));
    let asked = asked.into_iter().map(|(option, answer)| (option.clone(), answer.clone()));
    (asked.collect(), other.into_iter().map(|(option, _)| option.clone()).collect())
}

/// Applications that answers to a template name.
fn named<'a>(template: &Template, answers: impl IntoIterator<Item = (&'a Name, &'a Content)>) -> BTreeSet<Name> {
    let is_asked =
        |name: &Name| template.options.get(name).is_some_and(|option| option.kind == OptionKind::Application);
    let names = answers.into_iter().filter(|(option, _)| is_asked(option)).filter_map(|(_, answer)| match answer {
        Content::Text(text) => text.parse().ok(),
        Content::Secret(_) => None,
    });
    names.collect()
}

/// Gives ports that stand beside a template with its numbers those of the other version. One that has another number is a person's own, and stays.
fn renumber(
    (from, to): (&Template, &Template),
    (before, after): (&BTreeMap<Name, Content>, &BTreeMap<Name, Content>),
    beside: &mut BTreeMap<Name, Port>,
) -> Vec<Fault> {
    let (Some(before), Some(after)) = (ports(from, before), ports(to, after)) else { return Vec::new() };
    let mut faults = Vec::new();
    for (name, port) in beside {
        let is_its = |was: &&Port| (was.port, was.protocol) == (port.port, port.protocol);
        if before.get(name).filter(is_its).is_none() {
            continue;
        }
        match after.get(name) {
            Some(now) => (port.port, port.protocol) = (now.port, now.protocol),
            None => {
                let words = format!("version {} has no port `{name}`; take it out of `ports` first", to.version);
                faults.push(Fault { option: None, message: words });
            }
        }
    }
    faults
}

/// Ports of a template with answers alone; none where it cannot be filled in with them.
fn ports(template: &Template, answers: &BTreeMap<Name, Content>) -> Option<BTreeMap<Name, Port>> {
    let mut bare = Application::absent()?;
    bare.template = Some(TemplateUse {
        name: template.name.clone(),
        catalogue: template.catalogue.clone(),
        version: Some(template.version.clone()),
        answers: answers.clone(),
    });
    template.render(&bare).ok().map(|application| application.ports)
}
