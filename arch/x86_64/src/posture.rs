//! Boot posture: before the first row the kernel walks its own tables.
//!
//! # Guarantee
//!
//! After [`check`], in the tables that every CPU runs on, and that every mm copies its upper half from:
//!
//! - nothing is mapped in the lower half, and nothing by large pages;
//! - no page is writable and executable, and none but the kernel's code is executable;
//! - the kernel's code and read-only data are writable nowhere, under whatever address;
//! - each stack of each CPU, as its TSS has it, is mapped page by page to memory of its own, and the page below it is not
//!   mapped; the first CPU runs on its own;
//! - to map what is mapped is refused, and changes nothing.
//!
//! A breach ends the boot, with a line that names page and rule.

use alloc::collections::BTreeSet;
use core::fmt;
use core::sync::atomic::Ordering;

use gupsync::mm::page_table::index;
use gupsync::types::{self, CpuId, ENTRIES, Frame, PAGE_SIZE};
use x86_64::VirtAddr;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::paging::{self, ADDRESS, STACK_BYTES};
use crate::{frames, percpu};

/// What was looked at, and holds.
pub struct Posture {
    pages: usize,
    stacks: usize,
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot posture: {} pages and {} stacks are as they must be", self.pages, self.stacks)
    }
}

/// A page that is not as it must be, and what is wrong with it.
pub struct Breach {
    page: u64,
    stack: Option<(CpuId, &'static str)>,
    rule: &'static str,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {:#x}: {}", self.page, self.rule)?;
        self.stack.map_or(Ok(()), |(cpu, what)| write!(f, ": the stack of {cpu}{what}"))
    }
}

fn breach(page: u64, rule: &'static str) -> Breach {
    Breach { page, stack: None, rule }
}

/// Where an entry leads, and what may be done there: what it and every entry above it allow.
#[derive(Clone, Copy)]
struct Entry {
    /// The first address that it is for.
    at: u64,
    /// 4 in the root, 1 for a page of 4 KiB.
    level: u32,
    physical: u64,
    is_large: bool,
    is_writable: bool,
    is_executable: bool,
}

/// Entry number `index` of the table that `above` leads to, which is for a level less; if it is present.
fn below(above: &Entry, index: usize) -> Option<Entry> {
    // Relaxed: written by this CPU.
    let word = frames::words(Frame(above.physical))[index].load(Ordering::Relaxed);
    let (flags, level) = (Flags::from_bits_truncate(word), above.level - 1);
    let at = above.at | (index as u64) << (3 + 9 * level);
    flags.contains(Flags::PRESENT).then(|| Entry {
        // The upper bits repeat bit 47.
        at: VirtAddr::new_truncate(at).as_u64(),
        level,
        physical: word & ADDRESS,
        is_large: level > 1 && flags.contains(Flags::HUGE_PAGE),
        is_writable: above.is_writable && flags.contains(Flags::WRITABLE),
        is_executable: above.is_executable && !flags.contains(Flags::NO_EXECUTE),
    })
}

/// What leads to all.
fn top() -> Entry {
    let physical = paging::root().0;
    Entry { at: 0, level: 5, physical, is_large: false, is_writable: true, is_executable: true }
}

/// The page at `at`, if one is mapped there.
fn look_up(at: u64) -> Option<Entry> {
    (1..=4).rev().try_fold(top(), |above, level| below(&above, index(types::VirtAddr(at), level)))
}

/// Visits every page below `above`.
fn walk(above: &Entry, visit: &mut impl FnMut(&Entry) -> Result<(), Breach>) -> Result<(), Breach> {
    for entry in (0..ENTRIES).filter_map(|index| below(above, index)) {
        if entry.level == 4 && entry.at < 1 << 47 {
            return Err(breach(entry.at, "mapped in the lower half, which is the mms'"));
        }
        if entry.level == 1 || entry.is_large {
            visit(&entry)?;
        } else {
            walk(&entry, visit)?;
        }
    }
    Ok(())
}

/// Looks at all of it. The other CPUs are set up, and no mm is made yet.
///
/// # Errors
///
/// The first page that is not as it must be.
pub fn check() -> Result<Posture, Breach> {
    let pages = check_pages()?;
    let stacks = check_stacks()?;
    check_mapping_twice()?;
    Ok(Posture { pages, stacks })
}

fn check_pages() -> Result<usize, Breach> {
    // The parts are loaded as they are linked, in one piece.
    let [text, rodata] = paging::read_only_parts().map(|(start, end)| {
        let physical = look_up(start).map_or(0, |page| page.physical);
        physical..physical + (end - start)
    });
    let mut pages = 0;
    walk(&top(), &mut |page| {
        pages += 1;
        let Entry { at, is_large, is_writable, is_executable, .. } = *page;
        let is_text = text.contains(&page.physical);
        let rules = [
            (is_large, "mapped by a large page"),
            (is_writable && is_executable, "writable and executable"),
            (is_writable && is_text, "the kernel's code, and writable"),
            (is_writable && rodata.contains(&page.physical), "the kernel's read-only data, and writable"),
            (is_executable && !is_text, "executable, and not the kernel's code"),
        ];
        rules.iter().find(|(is_broken, _)| *is_broken).map_or(Ok(()), |(_, rule)| Err(breach(at, rule)))
    })?;
    Ok(pages)
}

fn check_stacks() -> Result<usize, Breach> {
    let local = 0_u8;
    let here = &raw const local as u64;
    let stacks = percpu::stacks();
    let own = percpu::stack_top(CpuId(0));
    if !(own - STACK_BYTES..own).contains(&here) {
        return Err(breach(here & !(PAGE_SIZE - 1), "the first CPU runs here, and it is not its stack"));
    }
    // Whose page it is, by address and by memory.
    let mut taken = BTreeSet::new();
    for (cpu, what, top) in &stacks {
        // Not below zero: a TSS may hold a zero.
        let bottom = top.saturating_sub(STACK_BYTES);
        let on_stack = |page, rule| Breach { stack: Some((*cpu, *what)), ..breach(page, rule) };
        for at in (bottom..bottom + STACK_BYTES).step_by(PAGE_SIZE as usize) {
            let page = look_up(at).ok_or_else(|| on_stack(at, "not mapped"))?;
            if !page.is_writable {
                return Err(on_stack(at, "not writable"));
            }
            if !taken.insert(page.physical) {
                return Err(on_stack(at, "shared with another stack"));
            }
        }
        let guard = bottom.wrapping_sub(PAGE_SIZE);
        if look_up(guard).is_some() {
            return Err(on_stack(guard, "mapped, and to be the guard below a stack"));
        }
    }
    Ok(stacks.len())
}

/// Maps a page of the running stack once more: to the memory that it has, so that nothing breaks if that is done.
fn check_mapping_twice() -> Result<(), Breach> {
    let at = percpu::stack_top(CpuId(0)) - PAGE_SIZE;
    let physical = look_up(at).map_or(0, |page| page.physical);
    match paging::map(paging::root(), at, physical, Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE) {
        Ok(()) => Err(breach(at, "mapped, and was mapped once more")),
        Err(_) => Ok(()),
    }
}
