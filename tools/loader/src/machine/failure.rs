//! What each part says of itself when something is wrong.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

pub const NAME: &str = env!("CARGO_BIN_NAME");
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One line that names what is wrong and how to mend it.
pub type Failure = String;

/// Puts the name of what an error is about in front of it.
pub fn about<E: Display>(subject: &str) -> impl Fn(E) -> Failure {
    move |error| format!("{subject}: {error}")
}
