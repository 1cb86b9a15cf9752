//! Rules of size and prose: lengths of functions and files, module docs, first words of doc comments, reasons of exceptions.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::source::{Crate, SourceFile, only_tests};

/// Longest function, lines. Source: the 99th percentile of well-kept daemons in Rust.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Longest file, lines that hold code.
pub const FILE_CODE_LINES_MAX: usize = 500;

/// A function and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `path:line name`.
    pub place: String,
    /// Lines from its signature to its closing brace.
    pub lines: usize,
}

/// Lengths of all functions outside tests.
pub fn functions(source: &Crate) -> Vec<Function> {
    let mut found = Vec::new();
    for file in source.files.values() {
        let mut lengths = Lengths { file, found: &mut found };
        lengths.visit_file(&file.tree);
    }
    found
}

struct Lengths<'a> {
    file: &'a SourceFile,
    found: &'a mut Vec<Function>,
}

impl Lengths<'_> {
    fn push(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let start = signature.span().start().line;
        let lines = block.span().end().line + 1 - start;
        let place = format!("{}:{start} {}", self.file.path.display(), signature.ident);
        self.found.push(Function { place, lines });
    }
}

impl<'ast> Visit<'ast> for Lengths<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !only_tests(&function.attrs) {
            self.push(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.push(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.push(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !only_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }
}

/// Number of lines of a file that hold code: neither blank, nor comment, nor tests inside the file.
pub fn code_lines(file: &SourceFile) -> usize {
    let tests = file.tree.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if only_tests(&module.attrs) => {
            Some(module.span().start().line..=module.span().end().line)
        }
        _ => None,
    });
    let tests: Vec<_> = tests.collect();
    let lines = file.text.lines().enumerate().filter(|(index, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !tests.iter().any(|range| range.contains(&(index + 1)))
    });
    lines.count()
}

/// Returns true when a file begins with a module's documentation.
pub fn has_module_docs(file: &SourceFile) -> bool {
    file.tree.attrs.iter().any(|attribute| attribute.path().is_ident("doc"))
}

/// Doc comments whose first word is a question word, as `path:line: text`. A comment says what an item is or does, so that a reader who
/// looks for a term finds it.
pub fn questions(path: &str, text: &str) -> Vec<String> {
    const WORDS: [&str; 10] = ["What", "How", "Who", "Whose", "Whom", "Where", "Whether", "Which", "When", "Why"];
    let mut found = Vec::new();
    let mut before_is_doc = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(comment) = doc.filter(|_| !before_is_doc) {
            let first = comment.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if WORDS.contains(&first) {
                found.push(format!("{path}:{}: {}", index + 1, line));
            }
        }
        before_is_doc = doc.is_some();
    }
    found
}

/// `allow` attributes without a reason, as `path:line: text`.
pub fn unreasoned(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        (line.starts_with("#[allow(") || line.starts_with("#![allow(") || line.starts_with("#[expect("))
            && line.ends_with(")]")
            && !line.contains("reason")
    });
    lines.map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim())).collect()
}
