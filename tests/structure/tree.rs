//! The modules of a crate, as its `mod` lines declare them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::slice;

use anyhow::{Context, Result, bail, ensure};
use syn::Item;
use walkdir::WalkDir;

/// Rust files by their paths below a folder, with `/` between the parts.
pub type Files = BTreeMap<String, String>;

/// A module that is a file.
pub struct Module {
    /// Its names, from the crate's root down; the root has none.
    pub path: Vec<String>,
    pub file: String,
    pub ast: syn::File,
}

/// All modules, lowest first: each after those declared before it, a parent after its children, the root last.
pub struct Crate {
    pub modules: Vec<Module>,
    by_path: HashMap<Vec<String>, usize>,
}

/// The top of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`.
pub fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.insert(name, text);
        }
    }
    ensure!(!files.is_empty(), "{}: no Rust file here; has the folder moved?", folder.display());
    Ok(files)
}

/// A tree made up by a test.
#[cfg(test)]
pub fn made_up(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

impl Crate {
    /// The crate whose root is the file `root` of `files`.
    pub fn load(files: &Files, root: &str) -> Result<Self> {
        let mut modules = Vec::new();
        add(files, &mut modules, Vec::new(), root.to_owned(), Path::new(""))?;
        let by_path = modules.iter().enumerate().map(|(index, module)| (module.path.clone(), index)).collect();
        Ok(Crate { modules, by_path })
    }

    /// The file that a path from the crate's root leads to: the deepest module on it that is a file.
    pub fn file_of(&self, path: &[String]) -> usize {
        let lengths = (0..=path.len()).rev();
        lengths
            .filter_map(|length| self.by_path.get(&path[..length]))
            .copied()
            .next()
            .expect("the root has the empty path")
    }

    /// Whether a path is that of a file.
    pub fn is_file(&self, path: &[String]) -> bool {
        self.by_path.contains_key(path)
    }
}

/// Adds the module of `file`, whose children lie in `folder`, after its children.
fn add(files: &Files, modules: &mut Vec<Module>, path: Vec<String>, file: String, folder: &Path) -> Result<()> {
    let text = files.get(&file).with_context(|| format!("{file}: no such file"))?;
    let ast = syn::parse_file(text).with_context(|| format!("{file}: cannot be parsed"))?;
    add_children(files, modules, &path, &file, &ast.items, folder)?;
    modules.push(Module { path, file, ast });
    Ok(())
}

fn add_children(
    files: &Files,
    modules: &mut Vec<Module>,
    path: &[String],
    file: &str,
    items: &[Item],
    folder: &Path,
) -> Result<()> {
    for item in items {
        let Item::Mod(child) = item else { continue };
        let name = child.ident.to_string();
        let path = [path, slice::from_ref(&name)].concat();
        let folder = folder.join(&name);
        if let Some((_, items)) = &child.content {
            add_children(files, modules, &path, file, items, &folder)?;
            continue;
        }
        if child.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            bail!("{file}: `mod {name}` has a #[path]; put the file where its name says");
        }
        let places = [folder.with_extension("rs"), folder.join("mod.rs")];
        let Some(child) = places.iter().map(|place| slashed(place)).find(|place| files.contains_key(place))
        else {
            bail!(
                "{file}: `mod {name}` has no file; looked for {} and {}",
                slashed(&places[0]),
                slashed(&places[1])
            );
        };
        add(files, modules, path, child, &folder)?;
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
