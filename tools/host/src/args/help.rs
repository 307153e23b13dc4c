//! What all help has in common.

use crate::ending::Ending;

/// Help that ends with the exit statuses.
pub fn with_statuses(help: &str) -> String {
    format!("{help}\n\n{}", Ending::table())
}
