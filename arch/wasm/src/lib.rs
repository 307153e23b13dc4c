//! What a program in WebAssembly needs of its host and the standard library does not offer: stacks to switch between, text in
//! and out.
//!
//! # Guarantee
//!
//! A `fiber::Fiber` is left where it pauses, and goes on from there, its locals as they were. A fiber that has used more
//! stack than it has is found at its next pause, and ends the program. What is handed to and fro is text: the request that the
//! host has (`text::request`), and what is answered (`text::answer`).
//!
//! # Mechanism
//!
//! WebAssembly keeps return addresses where no program can reach them, so that no program can switch stacks by itself.
//! Binaryen's pass `--asyncify` rewrites every function that may pause: it returns and writes down its locals, or is called
//! again and reads them. The other half is `fiber.js`, which the host loads: it tells that pass when, and puts the pointer of
//! the stack in memory where it belongs, which no stable Rust can.
//!
//! This is all the `unsafe` of the module that runs in a page, and it is in `arch/` for the same reason as the kernel's: it is
//! what the machine looks like from below.

#[cfg(target_family = "wasm")]
pub mod fiber;
#[cfg(target_family = "wasm")]
pub mod text;

/// The host's half of `fiber`, in JavaScript: a function `fibers`.
pub const FIBERS: &str = include_str!("fiber.js");
