//! What the program in the guest says at its marks.

use anyhow::{Context, Result};
use gupsync_guest::oracle::Mark;

use crate::linux::gdb::Gdb;

/// The longest reason of a fault.
const REASON: usize = 4096;

/// The mark that a CPU has come to, and its two values.
///
/// # Errors
///
/// If it is none.
pub fn at(gdb: &mut Gdb, cpu: usize) -> Result<(Mark, u64, u64)> {
    let number = gdb.register(cpu, "rdi")?;
    let mark = Mark::of(number).with_context(|| format!("the program for Linux has no mark {number}"))?;
    Ok((mark, gdb.register(cpu, "rsi")?, gdb.register(cpu, "rdx")?))
}

/// A mark that hands over a text, and the text.
///
/// # Errors
///
/// If it cannot be read.
pub fn text(gdb: &mut Gdb, cpu: usize) -> Result<(Mark, String)> {
    let (mark, address, len) = at(gdb, cpu)?;
    let len = usize::try_from(len)?;
    let text = gdb.read(cpu, address, if mark == Mark::Symbols { len } else { len.min(REASON) })?;
    Ok((mark, String::from_utf8_lossy(&text).into_owned()))
}
