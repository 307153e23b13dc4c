//! The structure of the tree, held by tests: what may use what, which words stand where, what is depended on, what the
//! pages say.
//!
//! Each file is one check, with a small tree of its own in which the check must fail. `tree` and `arrows` are what the
//! checks of imports share: the modules of a crate in order, and which file uses which.

#![cfg(not(any(loom, tso)))]

mod arrows;
mod circles;
mod dependencies;
mod floors;
mod pages;
mod paths;
mod tokens;
mod tree;
mod words;
