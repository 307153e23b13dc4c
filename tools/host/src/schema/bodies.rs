//! The bodies of functions in a file, as text, and what is around them.
//!
//! # Guarantee
//!
//! Where [`Bodies::replaced_in`] says that one file differs from another in some bodies, the two differ in nothing else but
//! comments, and each of these bodies can stand in an arm of a `match` in the other's place.

use std::ops::Range;

use proc_macro2::TokenStream;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A file.
pub struct Bodies {
    text: String,
    all: Vec<Body>,
    /// The file with empty bodies, as tokens.
    rest: String,
}

struct Body {
    at: Range<usize>,
    tokens: String,
    can_choose: bool,
}

impl Bodies {
    /// Finds them; nothing if `text` is no file of Rust.
    pub fn of(text: &str) -> Option<Self> {
        let mut finder = Finder(Vec::new());
        finder.visit_file(&syn::parse_file(text).ok()?);
        let mut all = finder.0;
        all.sort_by_key(|body| body.at.start);
        for body in &mut all {
            body.tokens = tokens(&text[body.at.clone()])?;
        }
        let rest = tokens(&rewrite(text, &all, |_| "{}".to_owned()))?;
        Some(Bodies { text: text.to_owned(), all, rest })
    }

    /// The bodies of `self` that `mutated` has another text for, by their place; nothing if that is not all that it changes,
    /// or a body cannot be chosen when the program runs.
    pub fn replaced_in(&self, mutated: &Self) -> Option<Vec<(usize, String)>> {
        if self.rest != mutated.rest || self.all.len() != mutated.all.len() {
            return None;
        }
        let mut replaced = Vec::new();
        for (place, (own, other)) in self.all.iter().zip(&mutated.all).enumerate() {
            if own.tokens != other.tokens {
                own.can_choose.then_some(())?;
                replaced.push((place, mutated.text[other.at.clone()].to_owned()));
            }
        }
        Some(replaced)
    }

    /// The file in which each body may be one of several: `arms` gives the number and the text of those for a place.
    pub fn with_arms(&self, arms: impl Fn(usize) -> Vec<(u32, String)>) -> String {
        let mut place = 0;
        rewrite(&self.text, &self.all, |body| {
            let arms = arms(place);
            place += 1;
            if arms.is_empty() {
                return body.to_owned();
            }
            let arm = |(number, text)| format!("{number} => {{ ::gupsync_mutant::enter(); {text} }}\n");
            let arms: String = arms.into_iter().map(arm).collect();
            format!("{{ match ::gupsync_mutant::chosen() {{ {arms}_ => {body} }} }}")
        })
    }
}

fn tokens(text: &str) -> Option<String> {
    Some(text.parse::<TokenStream>().ok()?.to_string())
}

fn rewrite(text: &str, bodies: &[Body], mut new: impl FnMut(&str) -> String) -> String {
    let (mut written, mut upto) = (String::new(), 0);
    for body in bodies {
        written += &text[upto..body.at.start];
        written += &new(&text[body.at.clone()]);
        upto = body.at.end;
    }
    written + &text[upto..]
}

/// Does not look into bodies: a function in another is a part of it.
struct Finder(Vec<Body>);

impl Finder {
    fn add(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &syn::Block) {
        let mut returns = Opaque(false);
        returns.visit_return_type(&signature.output);
        let is_naked = attributes
            .iter()
            .any(|one| one.meta.span().source_text().is_some_and(|text| text.contains("naked")));
        // A constant cannot read a number that is chosen later; two bodies of one `impl Trait` are of two types.
        let can_choose = signature.constness.is_none() && !returns.0 && !is_naked;
        self.0.push(Body { at: block.span().byte_range(), tokens: String::new(), can_choose });
    }
}

impl Visit<'_> for Finder {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.add(&function.attrs, &function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.add(&function.attrs, &function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.attrs, &function.sig, block);
        }
    }
}

/// Whether there is an `impl Trait` in a type.
struct Opaque(bool);

impl Visit<'_> for Opaque {
    fn visit_type_impl_trait(&mut self, opaque: &syn::TypeImplTrait) {
        self.0 = true;
        visit::visit_type_impl_trait(self, opaque);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
use core::fmt;
fn free(a: u32) -> u32 {
    a + 1 // one
}
struct S(u32);
impl S {
    fn method(&self) -> u32 { self.0 }
    const fn constant() -> u32 { 7 }
    fn all(&self) -> impl Iterator<Item = u32> { 0..self.0 }
}
impl fmt::Display for S {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, \"ä\") }
}
trait T {
    fn provided(&self) -> u32 { fn inner() -> u32 { 3 } inner() }
    fn required(&self);
}
mod nested {
    pub fn deep() { loop { break; } }
}
macro_rules! m { () => { fn made() -> u32 { 5 } } }
";

    /// The places of the bodies that differ once `from` is `to`.
    fn replaced(from: &str, to: &str) -> Option<Vec<usize>> {
        assert!(FILE.contains(from), "{from}");
        let [own, mutated] =
            [FILE.to_owned(), FILE.replace(from, to)].map(|text| Bodies::of(&text).expect("Rust"));
        Some(own.replaced_in(&mutated)?.into_iter().map(|(place, _)| place).collect())
    }

    #[test]
    fn a_body_of_any_kind_of_function_can_be_chosen() {
        for (from, to, place) in [
            ("a + 1", "a + 2", 0),
            ("{ self.0 }", "{ self.0 + 1 }", 1),
            ("\"ä\"", "\"ö\"", 4),
            // A function in a body is a part of it.
            ("{ 3 }", "{ 4 }", 5),
            ("loop { break; }", "", 6),
        ] {
            assert_eq!(replaced(from, to), Some(vec![place]), "{from}");
        }
    }

    #[test]
    fn what_is_more_than_a_body_cannot() {
        for (from, to) in [
            ("fn free(a: u32)", "fn free(a: u64)"),
            ("use core::fmt;", "use core::fmt; use core::mem;"),
            ("struct S(u32);", "struct S(u32, u32);"),
            ("fn required(&self);", "fn required(&self) {}"),
            // It is compiled before there is a number.
            ("{ 7 }", "{ 8 }"),
            // Another type.
            ("0..self.0", "(0..self.0).take(1)"),
            // Not known to be a function.
            ("{ 5 }", "{ 6 }"),
        ] {
            assert_eq!(replaced(from, to), None, "{from}");
        }
        // Comments make no difference.
        assert_eq!(replaced("// one", "// two"), Some(Vec::new()));
    }

    #[test]
    fn several_mutants_of_one_function_are_arms_of_one_match() {
        let own = Bodies::of("fn f(a: u32) -> u32 {\n    a\n}\nfn g() {}\n").expect("Rust");
        let arms = |place| match place {
            0 => vec![(3, "{ return 1; }".to_owned()), (17, "{ a + 2 }".to_owned())],
            _ => Vec::new(),
        };
        let file = own.with_arms(arms);
        let same = "fn f(a: u32) -> u32 { match ::gupsync_mutant::chosen() {
            3 => { ::gupsync_mutant::enter(); { return 1; } }
            17 => { ::gupsync_mutant::enter(); { a + 2 } }
            _ => { a } } }
            fn g() {}";
        assert_eq!(tokens(&file), tokens(same));
    }
}
