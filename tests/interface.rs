//! The public interface of the library, as a list: loader/interface.txt. A change of the list affects the library's users.
//!
//! It is read from the source: the names that lib.rs exports, with their public functions, wherever these are written.
//! Items that are hidden from the documentation are not part of it. `BLESS=1 cargo test --test interface` rewrites the
//! list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Type, UseTree, Visibility};

#[test]
fn the_public_interface_is_as_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (found, path) = (list(root), root.join("loader/interface.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).expect("the list can be written");
    }
    let listed = fs::read_to_string(&path).expect("the list is there");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (found, listed) = (lines(&found), lines(&listed));
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the public interface has changed. New: {new:#?}, gone: {gone:#?}. If that is meant: CHANGELOG.md, and \
         `BLESS=1 cargo test --test interface`"
    );
}

fn list(root: &Path) -> String {
    let sources = ["loader/src", "loader/model/src"].map(|folder| root.join(folder));
    let files: Vec<_> = sources
        .iter()
        .flat_map(|folder| rust_files(folder))
        .collect();
    let names = names(&parsed(&sources[0].join("lib.rs")));
    let search = parsed(&sources[0].join("open/search.rs"));
    let mut lines = BTreeSet::new();
    for file in &files {
        let items = parsed(file);
        // Another module may have an item of the same name.
        let here = names
            .iter()
            .filter(|(name, module)| is_in(file, module) || imports(&items, module, name));
        let here = here.map(|(name, _)| name.clone()).collect();
        for item in &items {
            declaration(item, &here, &mut lines);
        }
    }
    for item in &search {
        if let Item::Fn(function) = item
            && is_public(&function.vis)
        {
            lines.insert(format!("search::{}", text(&function.sig)));
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn parsed(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).expect("a source file");
    syn::parse_file(&text).expect("it compiles").items
}

/// The names that lib.rs makes public, each with the module that it comes from.
fn names(items: &[Item]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for item in items {
        if let Item::Use(item) = item
            && let UseTree::Path(path) = &item.tree
            && is_public(&item.vis)
        {
            let mut last = BTreeSet::new();
            last_names(&path.tree, &mut last);
            let module = path.ident.to_string();
            names.extend(last.into_iter().map(|name| (name, module.clone())));
        }
    }
    names
}

/// Whether the file belongs to the module.
fn is_in(file: &Path, module: &str) -> bool {
    let file = file.strip_prefix(env!("CARGO_MANIFEST_DIR"));
    let file = file.expect("it is one of ours").with_extension("");
    file.components().any(|part| part.as_os_str() == module)
}

/// Whether the file imports the name from the module.
fn imports(items: &[Item], module: &str, name: &str) -> bool {
    items.iter().any(|item| {
        let Item::Use(item) = item else { return false };
        let mut last = BTreeSet::new();
        if let UseTree::Path(path) = &item.tree
            && let UseTree::Path(within) = &*path.tree
            && path.ident == "crate"
            && within.ident == module
        {
            last_names(&within.tree, &mut last);
        }
        last.contains(name)
    })
}

fn last_names(tree: &UseTree, names: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => last_names(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| last_names(tree, names)),
        UseTree::Name(name) => drop(names.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(names.insert(rename.rename.to_string())),
        UseTree::Glob(_) => panic!("a star in lib.rs"),
    }
}

/// The lines for an item, if it has one of these names or implements something for one of them.
fn declaration(item: &Item, names: &BTreeSet<String>, lines: &mut BTreeSet<String>) {
    match item {
        Item::Struct(item) if names.contains(&item.ident.to_string()) => {
            let (name, generics) = (&item.ident, text(&item.generics));
            let derived = derived(&item.attrs);
            lines.insert(format!("struct {name}{generics}{derived}"));
            if let Fields::Named(fields) = &item.fields {
                let public = fields.named.iter().filter(|field| is_public(&field.vis));
                lines.extend(public.map(|field| {
                    let (field, kind) = (text(&field.ident), text(&field.ty));
                    format!("{name}.{field}: {kind}")
                }));
            }
        }
        Item::Enum(item) if names.contains(&item.ident.to_string()) => {
            let grows = item
                .attrs
                .iter()
                .any(|attribute| is(attribute, "non_exhaustive"));
            let more = if grows { ", and more may come" } else { "" };
            let derived = derived(&item.attrs);
            lines.insert(format!("enum {}{derived}{more}", item.ident));
            for variant in &item.variants {
                let fields = text(&variant.fields);
                lines.insert(format!("{}::{}{fields}", item.ident, variant.ident));
            }
        }
        Item::Trait(item) if names.contains(&item.ident.to_string()) => {
            lines.insert(format!("trait {}", item.ident));
            for item_of_it in &item.items {
                if let syn::TraitItem::Fn(function) = item_of_it {
                    lines.insert(format!("{}::{}", item.ident, text(&function.sig)));
                }
            }
        }
        Item::Fn(item) if is_public(&item.vis) && names.contains(&item.sig.ident.to_string()) => {
            lines.insert(text(&item.sig));
        }
        Item::Impl(item) => functions(item, names, lines),
        _ => (),
    }
}

fn functions(item: &ItemImpl, names: &BTreeSet<String>, lines: &mut BTreeSet<String>) {
    let Type::Path(path) = &*item.self_ty else {
        return;
    };
    let Some(name) = path
        .path
        .segments
        .last()
        .map(|segment| segment.ident.to_string())
    else {
        return;
    };
    if !names.contains(&name) || is_hidden(&item.attrs) {
        return;
    }
    if let Some((_, implemented, _)) = &item.trait_ {
        lines.insert(format!(
            "impl {} for {}",
            text(implemented),
            text(&item.self_ty)
        ));
        return;
    }
    for item in &item.items {
        if let ImplItem::Fn(function) = item
            && is_public(&function.vis)
            && !is_hidden(&function.attrs)
        {
            lines.insert(format!("{name}::{}", text(&function.sig)));
        }
    }
}

fn derived(attributes: &[Attribute]) -> String {
    let derives = attributes
        .iter()
        .filter(|attribute| is(attribute, "derive"));
    derives
        .map(|attribute| format!(", {}", text(&attribute.meta)))
        .collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is(attribute: &Attribute, name: &str) -> bool {
    attribute.path().is_ident(name)
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    let hidden = |attribute: &Attribute| {
        is(attribute, "doc") && text(&attribute.meta).contains("hidden")
            || is(attribute, "cfg") && text(&attribute.meta).contains("internals")
    };
    attributes.iter().any(hidden)
}

/// As Rust source, without the blanks that printing puts between tokens.
fn text(tokens: &impl quote::ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (blank, tight) in [
        (" :: ", "::"),
        (" : ", ": "),
        (" , ", ", "),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        ("# [", "#["),
        ("* ", "*"),
    ] {
        text = text.replace(blank, tight);
    }
    text
}
