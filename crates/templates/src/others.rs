//! Templates of other publishers' catalogues, read from an index and the texts that it names.

use std::collections::BTreeMap;

use openmesh_blueprint::document::{Name, PackageVersion};
use openmesh_blueprint::template::Template;
use openmesh_primitives::Digest;

use crate::icons::{PLAIN, icon_fault};
use crate::index::{Entry, Index, WORDS_CHARS_MAX, shown};

/// Templates of one catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Publisher, for people.
    pub publisher: String,
    templates: BTreeMap<Name, Vec<Template>>,
    icons: BTreeMap<Name, String>,
    problems: Vec<String>,
}

impl Others {
    /// The templates of an index, by the machine's name for the catalogue. `text` has the bytes of a hash; `is_taken` says which names are those of built-in
    /// templates. What cannot be used is left out, and said among [`Others::problems`].
    pub fn of(
        catalogue: &Name,
        index: &Index,
        text: &dyn Fn(&Digest) -> Option<Vec<u8>>,
        is_taken: &dyn Fn(&Name) -> bool,
    ) -> Others {
        let mut others = Others { publisher: index.publisher.clone(), ..Others::default() };
        for entry in &index.templates {
            let found = text(&entry.text.sha256).ok_or("its text is not here".to_string());
            match found.and_then(|bytes| read(catalogue, entry, &bytes, is_taken)) {
                Ok(template) => {
                    others.icons.entry(template.name.clone()).or_insert_with(|| icon(entry, text));
                    others.templates.entry(template.name.clone()).or_default().push(template);
                }
                Err(words) => others.problems.push(format!("{} {}: {words}", entry.name, entry.version)),
            }
        }
        others
    }

    /// Templates that were left out, each with the reason.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Its templates by name, from the oldest version to the newest.
    pub fn templates(&self) -> &BTreeMap<Name, Vec<Template>> {
        &self.templates
    }

    /// The template of a name, the newest without a version.
    pub(crate) fn find(&self, name: &Name, version: Option<&PackageVersion>) -> Option<&Template> {
        let versions = self.templates.get(name)?;
        match version {
            Some(version) => versions.iter().find(|template| &template.version == version),
            None => versions.last(),
        }
    }

    /// The icon of a template.
    pub(crate) fn icon(&self, name: &Name) -> &str {
        self.icons.get(name).map_or(PLAIN, String::as_str)
    }
}

/// The template of an entry, out of its text. Fails with words where it is another one, may not be what it is, or has the name of a built-in template.
pub fn read(
    catalogue: &Name,
    entry: &Entry,
    bytes: &[u8],
    is_taken: &dyn Fn(&Name) -> bool,
) -> Result<Template, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "its text is none".to_string())?;
    let parsed = Template::parse_of_others(text, catalogue);
    let template = parsed.map_err(|problems| {
        let first = problems.first().map(|problem| shown(&problem.to_string(), WORDS_CHARS_MAX)).unwrap_or_default();
        let more = if problems.len() > 1 { format!(" (and {} more)", problems.len() - 1) } else { String::new() };
        format!("{first}{more}")
    })?;
    if template.name.as_str() != entry.name || template.version.as_str() != entry.version.to_string() {
        return Err(format!("its text is that of {} {}", template.name, template.version));
    }
    if is_taken(&template.name) {
        return Err("has the name of a built-in template, which none of others takes".to_string());
    }
    Ok(template)
}

/// The icon of an entry; a plain one where it has none, or one that is none.
fn icon(entry: &Entry, text: &dyn Fn(&Digest) -> Option<Vec<u8>>) -> String {
    let bytes = entry.icon.and_then(|icon| text(&icon.sha256)).filter(|bytes| icon_fault(bytes).is_none());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| PLAIN.to_string())
}
