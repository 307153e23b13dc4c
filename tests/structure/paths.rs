//! Every path a file names, resolved to one from the crate's root: in `use` trees, in code and in macro arguments.
//!
//! Comments, documentation, attributes and `pub(in ...)` name nothing that is used, and do not count. A single name does
//! not either: the `use` that brought it in does.

use std::collections::HashMap;
use std::slice;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Macro, UseTree, VisRestricted};

use crate::tree::{Crate, Module};

/// A path from the crate's root, and the line that names it.
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// All that `module` names in its own crate, in the order of lines.
pub fn named_by(krate: &Crate, module: &Module) -> Vec<Named> {
    let mut collector = Collector { here: module.path.clone(), ..Collector::default() };
    collector.visit_file(&module.ast);
    let Collector { raw, aliases, inline, .. } = collector;
    let scope = Scope { krate, aliases, inline };
    let mut named: Vec<_> = raw
        .into_iter()
        .filter_map(|raw| Some(Named { path: scope.resolve(&raw.here, &raw.segments, 0)?, line: raw.line }))
        .collect();
    named.sort_by_key(|named| named.line);
    named
}

/// A path as it is written, in the module `here`.
struct Raw {
    here: Vec<String>,
    segments: Vec<String>,
    line: usize,
}

#[derive(Default)]
struct Collector {
    here: Vec<String>,
    raw: Vec<Raw>,
    /// What a `use` in a module calls by a name.
    aliases: HashMap<(Vec<String>, String), Vec<String>>,
    /// Modules inside this file.
    inline: Vec<Vec<String>>,
}

impl Collector {
    fn found(&mut self, segments: Vec<String>, line: usize) {
        self.raw.push(Raw { here: self.here.clone(), segments, line });
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |ident: &Ident| match ident.to_string() {
            name if name == "self" && !before.is_empty() => before.to_vec(),
            name => [before, &[name]].concat(),
        };
        let mut leaf = |segments: Vec<String>, alias: Option<String>, ident: &Ident| {
            if let Some(alias) = alias.or_else(|| segments.last().cloned()) {
                self.aliases.insert((self.here.clone(), alias), segments.clone());
            }
            self.found(segments, ident.span().start().line);
        };
        match tree {
            UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => leaf(with(&name.ident), None, &name.ident),
            UseTree::Rename(rename) => {
                leaf(with(&rename.ident), Some(rename.rename.to_string()), &rename.ident)
            }
            UseTree::Glob(glob) => self.found(before.to_vec(), glob.star_token.span.start().line),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(before, tree)),
        }
    }

    /// Paths among the arguments of a macro, which no parser knows the grammar of.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<Ident> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident);
                    colons = 0;
                }
                other => {
                    self.end_of_path(&mut path);
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.end_of_path(&mut path);
    }

    fn end_of_path(&mut self, path: &mut Vec<Ident>) {
        if let [first, _, ..] = path.as_slice() {
            let line = first.span().start().line;
            self.found(path.iter().map(Ident::to_string).collect(), line);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() {
            self.here.push(module.ident.to_string());
            self.inline.push(self.here.clone());
            visit::visit_item_mod(self, module);
            self.here.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.use_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let line = path.segments[0].ident.span().start().line;
            self.found(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

struct Scope<'c> {
    krate: &'c Crate,
    aliases: HashMap<(Vec<String>, String), Vec<String>>,
    inline: Vec<Vec<String>>,
}

impl Scope<'_> {
    /// The path from the crate's root, if it leads into the crate.
    fn resolve(&self, here: &[String], segments: &[String], depth: usize) -> Option<Vec<String>> {
        /// Deeper than any chain of aliases: `use log::log` would go on for ever.
        const DEEPEST: usize = 8;
        let (first, rest) = segments.split_first().filter(|_| depth < DEEPEST)?;
        match first.as_str() {
            "crate" => return Some(rest.to_vec()),
            "self" => return Some([here, rest].concat()),
            "super" => {
                let (_, above) = here.split_last()?;
                let is_next = rest.first().is_some_and(|next| next == "super");
                return if is_next { self.resolve(above, rest, depth) } else { Some([above, rest].concat()) };
            }
            _ => {}
        }
        let child = [here, slice::from_ref(first)].concat();
        if self.krate.is_file(&child) || self.inline.contains(&child) {
            return Some([here, segments].concat());
        }
        if let Some(alias) = self.aliases.get(&(here.to_vec(), first.clone())) {
            return Some([&self.resolve(here, alias, depth + 1)?, rest].concat());
        }
        // What `use super::*` brings into a module of the same file.
        let (_, above) = here.split_last().filter(|_| self.inline.iter().any(|inline| inline == here))?;
        self.resolve(above, segments, depth + 1)
    }
}
