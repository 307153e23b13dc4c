//! ACPI's MADT: which CPUs there are.
//!
//! # Guarantee
//!
//! A CPU that is listed more than once, as firmware may do for a local APIC and for an x2APIC, is one CPU.

use alloc::collections::BTreeSet;
use core::fmt;

/// Where the entries begin: after the header, the address of the APIC and a word of flags.
const ENTRIES: usize = 44;

/// The kinds of entries that name a CPU.
const LOCAL_APIC: u8 = 0;
const LOCAL_X2APIC: u8 = 9;

const ENABLED: u32 = 1;

/// An entry that does not lie in the table, or is too short for its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its place in the table, in bytes.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the entry at byte {} of ACPI's MADT is cut off; the firmware is at fault", self.at)
    }
}

/// The APIC IDs of the CPUs that `madt`, the whole table, lists as enabled.
///
/// # Errors
///
/// The first entry that cannot be read.
pub fn enabled_cpus(madt: &[u8]) -> Result<BTreeSet<u32>, Malformed> {
    let (mut cpus, mut at) = (BTreeSet::new(), ENTRIES);
    while at < madt.len() {
        let malformed = Malformed { at };
        let [kind, length, ..] = madt[at..] else { return Err(malformed) };
        let entry = madt.get(at..at + usize::from(length)).filter(|entry| entry.len() >= 2).ok_or(malformed)?;
        let word = |at: usize| {
            let bytes = entry.get(at..).and_then(|rest| rest.first_chunk()).ok_or(malformed)?;
            Ok(u32::from_le_bytes(*bytes))
        };
        let (id, flags) = match kind {
            LOCAL_APIC => (word(0)? >> 24, word(4)?),
            LOCAL_X2APIC => (word(4)?, word(8)?),
            _ => (0, 0),
        };
        if flags & ENABLED != 0 {
            cpus.insert(id);
        }
        at += entry.len();
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn local(id: u8, flags: u8) -> Vec<u8> {
        vec![0, 8, 0, id, flags, 0, 0, 0]
    }

    fn x2apic(id: u32, flags: u8) -> Vec<u8> {
        let [a, b, c, d] = id.to_le_bytes();
        vec![9, 16, 0, 0, a, b, c, d, flags, 0, 0, 0, 0, 0, 0, 0]
    }

    fn table(entries: &[Vec<u8>]) -> Vec<u8> {
        [vec![0xff; ENTRIES], entries.concat()].concat()
    }

    fn cpus(entries: &[Vec<u8>]) -> Vec<u32> {
        enabled_cpus(&table(entries)).expect("the table is whole").into_iter().collect()
    }

    #[test]
    fn item_11_a_cpu_that_is_listed_twice_is_one_cpu() {
        assert_eq!(cpus(&[local(0, 1), local(2, 1), local(0, 1)]), [0, 2]);
        assert_eq!(cpus(&[local(0, 1), local(1, 1), x2apic(0, 1), x2apic(1, 1), x2apic(256, 1)]), [0, 1, 256]);
    }

    #[test]
    fn item_11_only_enabled_cpus_count_and_other_entries_do_not() {
        let io_apic = vec![1, 12, 7, 0, 1, 1, 1, 1, 1, 0, 0, 0];
        assert_eq!(cpus(&[io_apic, local(0, 1), local(1, 0), local(2, 2), x2apic(300, 0)]), [0]);
        assert_eq!(cpus(&[]), []);
        // Longer than today's, as a later revision may have it.
        assert_eq!(cpus(&[[vec![0, 10], local(5, 1)[2..].to_vec(), vec![9, 9]].concat(), local(6, 1)]), [5, 6]);
    }

    #[test]
    fn item_11_an_entry_that_is_cut_off_is_named() {
        for entry in [
            vec![0],
            vec![0, 0],
            vec![0, 1],
            vec![7, 3],
            vec![0, 8, 0, 1, 1],
            vec![0, 4, 0, 1],
            vec![9, 8, 0, 0, 1, 0, 0, 0],
        ] {
            let whole = table(&[local(0, 1), entry.clone()]);
            assert_eq!(enabled_cpus(&whole), Err(Malformed { at: ENTRIES + 8 }), "{entry:?}");
        }
    }
}
