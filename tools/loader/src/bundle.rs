//! The one file that is handed over where there is no volume: the configuration, a zero byte, and from the next page on the
//! kernel that the configuration names.

use crate::PAGE;

/// The configuration, and the kernel.
///
/// # Errors
///
/// One line, if no kernel follows.
pub fn split(file: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let end = file.iter().position(|byte| *byte == 0);
    let kernel = end.map(|end| (end + 1).next_multiple_of(PAGE as usize)).and_then(|start| file.get(start..));
    let kernel = kernel.filter(|kernel| !kernel.is_empty());
    let missing = "no kernel follows the configuration; it begins on the page after the text's zero byte";
    Ok((&file[..end.unwrap_or_default()], kernel.ok_or(missing)?))
}
