//! Nothing makes a token but what the proof allows.
//!
//! A token is a value that stands for a fact, and its maker must have seen the fact. Listed here, with the reason, is every
//! `pub fn` of `src/` that hands one out, and no token has a `pub` field, so none can be written out either. Not looked at:
//! methods of traits (`Clone`, `From`), closures' arguments, and `pub` functions that callers cannot reach.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{ImplItemFn, ItemFn, ItemImpl, ItemStruct, ReturnType, Type, Visibility};

use crate::tree::{self, Files};

const TOKENS: &[&str] = &["Ticket", "Snapshot", "Begun", "Targets", "Seen", "AckedByAll", "Acks", "Covered"];

/// Who may hand one out, and why that forges nothing.
const ALLOWED: &[(&str, &str)] = &[
    ("PendingGupSync::redeem", "gives back the ticket it was shown"),
    ("begin", "takes the snapshot itself"),
    ("possible_walkers", "has a snapshot, and reads the cpumask and the CPUs itself"),
    ("Targets::issue", "sends to whom it is told: what is missing is missed in the end"),
    ("start", "begins, looks and sends itself"),
    ("AckedByAll::cover", "moves the counter"),
    ("Ticket::keep_only", "the same number for fewer tables"),
    ("Unlinked::into_ticket", "unwraps the ticket that `unlink` made"),
];

#[derive(Default)]
struct Makers {
    /// The type that the functions at hand belong to.
    of: Option<String>,
    /// Each maker, with what it returns.
    found: BTreeMap<String, String>,
    declared: Vec<String>,
    open: Vec<String>,
}

impl Makers {
    fn of_tree(files: &Files) -> Self {
        let mut makers = Makers::default();
        for (file, text) in files {
            let ast =
                syn::parse_file(text).unwrap_or_else(|error| panic!("src/{file}: cannot be parsed: {error}"));
            makers.visit_file(&ast);
        }
        makers
    }

    fn look_at(&mut self, visibility: &Visibility, signature: &syn::Signature) {
        let ReturnType::Type(_, returned) = &signature.output else { return };
        let names = names_in(returned).into_iter().map(|name| match &self.of {
            Some(of) if name == "Self" => of.clone(),
            _ => name,
        });
        let token = names.into_iter().find(|name| TOKENS.contains(&name.as_str()));
        if let (Visibility::Public(_), Some(token)) = (visibility, token) {
            let of = self.of.as_ref().map_or(String::new(), |of| format!("{of}::"));
            self.found.insert(format!("{of}{}", signature.ident), token);
        }
    }
}

impl<'ast> Visit<'ast> for Makers {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.of = names_in(&item.self_ty).into_iter().next();
        visit::visit_item_impl(self, item);
        self.of = None;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.look_at(&function.vis, &function.sig);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.look_at(&function.vis, &function.sig);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let name = item.ident.to_string();
        if TOKENS.contains(&name.as_str()) {
            let is_pub = |field: &syn::Field| matches!(field.vis, Visibility::Public(_));
            if item.fields.is_empty() || item.fields.iter().any(is_pub) {
                self.open.push(name.clone());
            }
            self.declared.push(name);
        }
    }
}

/// The names in a type.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.extend(path.segments.last().map(|segment| segment.ident.to_string()));
        visit::visit_path(self, path);
    }
}

fn names_in(ty: &Type) -> Vec<String> {
    let mut names = Names::default();
    names.visit_type(ty);
    names.0
}

#[test]
fn tokens_come_from_their_makers_only() {
    let makers = Makers::of_tree(&tree::read(&tree::root().join("src")).unwrap());
    for token in TOKENS {
        assert!(makers.declared.iter().any(|name| name == token), "src/ has no `struct {token}`: mend TOKENS");
    }
    assert!(
        makers.open.is_empty(),
        "{:?}: give a token private fields, or any code can write it out",
        makers.open
    );
    let is_allowed = |maker: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == maker);
    let unlisted: Vec<_> = makers.found.iter().filter(|(maker, _)| !is_allowed(maker)).collect();
    assert!(
        unlisted.is_empty(),
        "`pub` makers of tokens: {unlisted:?}\n\
         Make each pub(crate), or list it in ALLOWED with the reason why it forges nothing.",
    );
    for (allowed, _) in ALLOWED {
        assert!(
            makers.found.contains_key(*allowed),
            "`{allowed}` makes no token any more: take it off ALLOWED"
        );
    }
}

#[test]
fn public_makers_and_public_fields_are_found() {
    let text = "\
pub struct Ticket<T> { number: u64, pub tables: T }
pub struct Acks(CpuSet);
impl<T> Ticket<T> {
    pub fn forged(number: u64) -> Self { todo!() }
    pub(crate) fn inner() -> Self { todo!() }
    pub fn number(&self) -> u64 { self.number }
}
impl Clone for Acks { fn clone(&self) -> Self { todo!() } }
pub fn all() -> Option<super::Acks> { None }
fn private() -> Acks { todo!() }
";
    let makers = Makers::of_tree(&tree::made_up(&[("a.rs", text)]));
    let found: Vec<_> = makers.found.iter().map(|(maker, token)| (maker.as_str(), token.as_str())).collect();
    assert_eq!(found, [("Ticket::forged", "Ticket"), ("all", "Acks")]);
    assert_eq!(makers.open, ["Ticket"]);
}
