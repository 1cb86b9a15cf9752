//! Templates with their icons, found by name, words and category.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use openmesh_blueprint::document::{Name, PackageVersion};
use openmesh_blueprint::template::{Card, Category, Template};

use crate::built_in::{FILES, File};

/// Templates by name, from the oldest version to the newest, with their icons.
#[derive(Clone, Debug, Default)]
pub struct Library {
    templates: BTreeMap<Name, Vec<Template>>,
    icons: BTreeMap<Name, &'static str>,
    problems: Vec<String>,
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

    /// Problems of files that were left out; none in a program that passed its tests.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All templates, by name and from the oldest version to the newest.
    pub fn templates(&self) -> &BTreeMap<Name, Vec<Template>> {
        &self.templates
    }

    /// The template of a name, the newest without a version.
    pub fn find(&self, name: &Name, version: Option<&PackageVersion>) -> Option<&Template> {
        let versions = self.templates.get(name)?;
        match version {
            Some(version) => versions.iter().find(|template| &template.version == version),
            None => versions.last(),
        }
    }

    /// The icon of a template, as SVG.
    pub fn icon(&self, name: &Name) -> &'static str {
        self.icons.get(name).copied().unwrap_or_default()
    }

    /// The newest version of each template in a category that has all words of a search in its name, title, summary or description: those with a word in
    /// name or title come first, else by title.
    pub fn search(&self, words: &str, category: Option<Category>) -> Vec<(&Template, &Card)> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let newest = self.templates.values().filter_map(|versions| versions.last());
        let mut found: Vec<(bool, &Template, &Card)> = newest
            .filter_map(|template| {
                let card =
                    template.card.as_ref().filter(|card| category.is_none_or(|wanted| card.category == wanted))?;
                let head = format!("{} {}", template.name, card.title).to_lowercase();
                let text = format!("{head} {} {} {}", card.category, card.summary, card.description).to_lowercase();
                let all = words.iter().all(|word| text.contains(word.as_str()));
                all.then(|| (!words.iter().any(|word| head.contains(word.as_str())), template, card))
            })
            .collect();
        found.sort_by(|(late, _, one), (other_late, _, other)| {
            (late, one.title.to_lowercase()).cmp(&(other_late, other.title.to_lowercase()))
        });
        found.into_iter().map(|(_, template, card)| (template, card)).collect()
    }
}
