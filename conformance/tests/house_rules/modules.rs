//! A crate's modules, and where the paths in them lead.
//!
//! A path is followed to the file that defines its item: `use crate::Store` leads past the
//! `pub use` in `lib.rs` to `store.rs`. So a re-export can't hide a circle, and it is an import of
//! its own only where the file that re-exports a name uses it too. Paths in code count like
//! `use`: `child::run()` needs `child`. Macros are not looked into, and `#[cfg(test)]` is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A module's name from the crate's root: `["requests", "send"]`; the root is empty.
type Name = Vec<String>;

/// Re-exports that lead to re-exports are followed so far; more is a circle of them.
const REEXPORTS_MAX: usize = 16;

#[derive(Default)]
struct Module {
    file: PathBuf,
    items: BTreeSet<String>,
    /// What `use` brings in under a name of its own: name → path.
    named: BTreeMap<String, Vec<String>>,
    /// What `use …::*` brings in, also `pub use …::*`: nobody knows whether the file needs it.
    globs: Vec<Vec<String>>,
    /// Paths of more than one segment in code; those that lead out of the crate too.
    qualified: Vec<Vec<String>>,
    /// The names among `named` that are re-exported.
    reexported: BTreeSet<String>,
    /// What paths in code begin with.
    words: BTreeSet<String>,
}

impl Module {
    /// The paths that its own code needs.
    fn needed(&self) -> impl Iterator<Item = &Vec<String>> {
        let named = self
            .named
            .iter()
            .filter(|(name, _)| !self.reexported.contains(*name) || self.words.contains(*name))
            .map(|(_, path)| path);
        named.chain(&self.globs).chain(&self.qualified)
    }
}

/// All modules below one root file.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<Name, Module>);

impl Tree {
    /// Reads a root file and all modules it leads to.
    pub(crate) fn load(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Tree {
        let mut tree = Tree::default();
        tree.add_file(Vec::new(), root, read);
        tree
    }

    fn add_file(&mut self, name: Name, file: &Path, read: &dyn Fn(&Path) -> Option<String>) {
        let text = read(file).unwrap_or_else(|| panic!("{} is not there", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(name, file, &parsed.items, read);
    }

    fn add(
        &mut self,
        name: Name,
        file: &Path,
        items: &[syn::Item],
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut children = Vec::new();
        for item in items {
            Reader { module: &mut module, children: &mut children }.visit_item(item);
        }
        module.items.extend(items.iter().filter_map(defined));
        self.0.insert(name.clone(), module);
        for child in children {
            let below = [&name[..], &[child.ident.to_string()]].concat();
            match &child.content {
                Some((_, items)) => self.add(below, file, items, read),
                None => {
                    let path = child_file(file, &below, &child)
                        .into_iter()
                        .find(|path| read(path).is_some())
                        .unwrap_or_else(|| panic!("{}: no file of {below:?}", file.display()));
                    self.add_file(below, &path, read);
                }
            }
        }
    }

    /// From file to file: where the paths lead that stand in a file. An edge is there once, and no
    /// file leads to itself.
    pub(crate) fn edges(&self) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
        let mut edges: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for (name, module) in &self.0 {
            let from = edges.entry(module.file.clone()).or_default();
            let targets = module.needed().filter_map(|path| self.resolve(name, path, 0));
            from.extend(targets.map(|to| self.0[&to].file.clone()).filter(|to| *to != module.file));
        }
        edges
    }

    /// The module that defines what a path in `from` names; none when it leads out of the crate.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<Name> {
        let mut at = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
            }
            first => {
                // A child, or something imported; whatever else it is leads out of the crate.
                let child = [&from[..], &[first.to_owned()]].concat();
                if self.0.contains_key(&child) {
                    return self.walk(from.clone(), path, depth);
                }
                return self.definer(from, path, depth);
            }
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        self.walk(at, rest, depth)
    }

    /// Down from a module, segment by segment, until one is no module.
    fn walk(&self, mut at: Name, path: &[String], depth: usize) -> Option<Name> {
        for (nth, segment) in path.iter().enumerate() {
            let child = [&at[..], std::slice::from_ref(segment)].concat();
            if self.0.contains_key(&child) {
                at = child;
            } else {
                return Some(self.definer(&at, &path[nth..], depth).unwrap_or(at));
            }
        }
        Some(at)
    }

    /// The module that a re-export in `at` leads to, if `path` begins with one.
    fn definer(&self, at: &Name, path: &[String], depth: usize) -> Option<Name> {
        let module = self.0.get(at)?;
        let item = path.first()?;
        if depth > REEXPORTS_MAX || module.items.contains(item) {
            return None;
        }
        if let Some(target) = module.named.get(item) {
            let longer = [target, &path[1..]].concat();
            return self.resolve(at, &longer, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let there = self.resolve(at, glob, depth + 1)?;
            let has =
                |module: &Module| module.items.contains(item) || module.named.contains_key(item);
            if self.0.get(&there).is_some_and(has) {
                self.walk(there, path, depth + 1)
            } else {
                None
            }
        })
    }
}

/// The files that a `mod name;` may mean.
fn child_file(file: &Path, below: &Name, child: &syn::ItemMod) -> Vec<PathBuf> {
    let folder = file.parent().unwrap();
    let given = child.attrs.iter().find_map(|attr| match &attr.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    });
    if let Some(given) = given {
        return vec![folder.join(given)];
    }
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let own = ["lib", "main", "mod"].contains(&stem);
    let folder = if own { folder.to_owned() } else { folder.join(stem) };
    let name = below.last().unwrap();
    vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
}

/// The name that an item gives its module, `use` aside.
fn defined(item: &syn::Item) -> Option<String> {
    Some(match item {
        syn::Item::Const(item) => item.ident.to_string(),
        syn::Item::Enum(item) => item.ident.to_string(),
        syn::Item::Fn(item) => item.sig.ident.to_string(),
        syn::Item::Macro(item) => item.ident.as_ref()?.to_string(),
        syn::Item::Static(item) => item.ident.to_string(),
        syn::Item::Struct(item) => item.ident.to_string(),
        syn::Item::Trait(item) => item.ident.to_string(),
        syn::Item::Type(item) => item.ident.to_string(),
        syn::Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Collects a module's paths, also from inside its functions, and its child modules.
struct Reader<'a> {
    module: &'a mut Module,
    children: &'a mut Vec<syn::ItemMod>,
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            self.children.push(item.clone());
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) && item.leading_colon.is_none() {
            let public = !matches!(item.vis, syn::Visibility::Inherited);
            self.flatten(public, &mut Vec::new(), &item.tree);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_test(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::a)` imports nothing.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.module.words.insert(segments[0].clone());
        if segments.len() > 1 && path.leading_colon.is_none() {
            self.module.qualified.push(segments);
        }
        visit::visit_path(self, path);
    }
}

impl Reader<'_> {
    fn flatten(&mut self, public: bool, before: &mut Vec<String>, tree: &syn::UseTree) {
        let whole = |last: &syn::Ident| match last == "self" {
            true => before.clone(),
            false => [&before[..], &[last.to_string()]].concat(),
        };
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.flatten(public, before, &path.tree);
                before.pop();
            }
            syn::UseTree::Name(name) => {
                let whole = whole(&name.ident);
                self.import(public, whole.last().cloned(), whole);
            }
            syn::UseTree::Rename(rename) => {
                self.import(public, Some(rename.rename.to_string()), whole(&rename.ident));
            }
            syn::UseTree::Glob(_) => self.module.globs.push(before.clone()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.flatten(public, before, tree);
                }
            }
        }
    }

    /// Two functions may import different things under one name; neither may be lost.
    fn import(&mut self, public: bool, name: Option<String>, path: Vec<String>) {
        let Some(name) = name else { return };
        if name == "_" || self.module.named.contains_key(&name) {
            self.module.qualified.push(path);
            return;
        }
        if public {
            self.module.reexported.insert(name.clone());
        }
        self.module.named.insert(name, path);
    }
}

/// Whether an item is there in tests only: `#[test]`, or a `#[cfg(…)]` that asks for `test`.
fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            !condition.contains("not")
                && condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        }
        _ => false,
    })
}
