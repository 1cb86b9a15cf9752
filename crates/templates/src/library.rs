//! Templates with their icons, found by name, words and category.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use openmesh_blueprint::document::{Name, PackageVersion};
use openmesh_blueprint::template::{Card, Category, Template};

use crate::built_in::{FILES, File};
use crate::others::Others;

/// Built-in templates by name, from the oldest version to the newest, with their icons; and those of other publishers by catalogue.
#[derive(Clone, Debug, Default)]
pub struct Library {
    templates: BTreeMap<Name, Vec<Template>>,
    icons: BTreeMap<Name, &'static str>,
    problems: Vec<String>,
    others: BTreeMap<Name, Arc<Others>>,
}

/// The templates that are part of this program, read at the first call.
pub fn built_in() -> &'static Library {
    static BUILT_IN: LazyLock<Library> = LazyLock::new(|| Library::of(FILES));
    &BUILT_IN
}

impl Library {
    /// The templates of files. One that cannot be read is left out, and said among [`Library::problems`].
    pub(crate) fn of(files: &[File]) -> Library {
        let mut library = Library::default();
        for file in files {
            match Template::parse(file.text) {
                Ok(template) if template.card.is_none() => {
                    library.problems.push(format!("{}.yaml: lacks `card`", file.name));
                }
                Ok(template) => {
                    library.icons.insert(template.name.clone(), file.icon);
                    library.templates.entry(template.name.clone()).or_default().push(template);
                }
                Err(problems) => {
                    library.problems.extend(problems.iter().map(|problem| format!("{}.yaml:{problem}", file.name)));
                }
            }
        }
        library
    }

    /// The same with these catalogues of other publishers.
    pub fn with(&self, others: BTreeMap<Name, Arc<Others>>) -> Library {
        Library { others, ..self.clone() }
    }

    /// Catalogues of other publishers.
    pub fn others(&self) -> &BTreeMap<Name, Arc<Others>> {
        &self.others
    }

    /// Problems of files that were left out; none in a program that passed its tests.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All built-in templates, by name and from the oldest version to the newest.
    pub fn templates(&self) -> &BTreeMap<Name, Vec<Template>> {
        &self.templates
    }

    /// The template of a name in a catalogue, the newest without a version; a built-in one where no catalogue is named.
    pub fn find_in(
        &self,
        catalogue: Option<&Name>,
        name: &Name,
        version: Option<&PackageVersion>,
    ) -> Option<&Template> {
        match catalogue {
            Some(catalogue) => self.others.get(catalogue)?.find(name, version),
            None => self.find(name, version),
        }
    }

    /// The newest template that another one names: of its own catalogue, else a built-in one. No name is in both.
    pub(crate) fn companion(&self, of: &Template, name: &Name) -> Option<&Template> {
        let own = of.catalogue.as_ref().and_then(|catalogue| self.find_in(Some(catalogue), name, None));
        own.or_else(|| self.find(name, None))
    }

    /// All versions of a template, from the oldest to the newest.
    pub(crate) fn versions(&self, template: &Template) -> &[Template] {
        self.all(template.catalogue.as_ref(), &template.name)
    }

    /// All versions of the template of a name in a catalogue, from the oldest to the newest; those of a built-in one where no catalogue is named.
    pub(crate) fn all(&self, catalogue: Option<&Name>, name: &Name) -> &[Template] {
        let all = match catalogue {
            Some(catalogue) => self.others.get(catalogue).map(|others| others.templates()),
            None => Some(&self.templates),
        };
        all.and_then(|all| all.get(name)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Publisher of a template; none of a built-in one.
    pub(crate) fn publisher(&self, template: &Template) -> Option<&str> {
        let catalogue = template.catalogue.as_ref()?;
        self.others.get(catalogue).map(|others| others.publisher.as_str())
    }

    /// The built-in template of a name, the newest without a version.
    pub fn find(&self, name: &Name, version: Option<&PackageVersion>) -> Option<&Template> {
        let versions = self.templates.get(name)?;
        match version {
            Some(version) => versions.iter().find(|template| &template.version == version),
            None => versions.last(),
        }
    }

    /// The icon of a template, as SVG.
    pub fn icon(&self, template: &Template) -> &str {
        match template.catalogue.as_ref().and_then(|catalogue| self.others.get(catalogue)) {
            Some(others) => others.icon(&template.name),
            None => self.icons.get(&template.name).copied().unwrap_or_default(),
        }
    }

    /// The newest version of each template in a category that has all words of a search in its name, title, summary or description: those with a word in
    /// name or title come first, else by title; of two titles that are the same the built-in one.
    pub fn search(&self, words: &str, category: Option<Category>) -> Vec<(&Template, &Card)> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let theirs = self.others.values().flat_map(|others| others.templates().values());
        let newest = self.templates.values().chain(theirs).filter_map(|versions| versions.last());
        let mut found: Vec<(bool, &Template, &Card)> = newest
            .filter_map(|template| {
                let card =
                    template.card.as_ref().filter(|card| category.is_none_or(|wanted| card.category == wanted))?;
                let catalogue = template.catalogue.as_ref().map_or("", Name::as_str);
                let head = format!("{} {} {catalogue}", template.name, card.title).to_lowercase();
                let text = format!("{head} {} {} {}", card.category, card.summary, card.description).to_lowercase();
                let all = words.iter().all(|word| text.contains(word.as_str()));
                all.then(|| (!words.iter().any(|word| head.contains(word.as_str())), template, card))
            })
            .collect();
        found.sort_by_key(|(late, template, card)| (*late, card.title.to_lowercase(), template.catalogue.clone()));
        found.into_iter().map(|(_, template, card)| (template, card)).collect()
    }
}
