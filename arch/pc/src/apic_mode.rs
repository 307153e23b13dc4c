//! From one mode of the local APIC to another, by its base register.
//!
//! # Guarantee
//!
//! No step is one that the manual forbids (SDM, volume 3, "x2APIC State Transitions"): an APIC that is off is turned on as
//! an xAPIC first, and becomes an x2APIC by a second write. In one write it faults.

/// The register says that the APIC is on.
pub const ENABLED: u64 = 1 << 11;
/// The register says that it is an x2APIC.
pub const X2APIC: u64 = 1 << 10;

/// What is written to the register, in order, while it holds `base`: on, and an x2APIC if `x2apic`. Its other bits stay.
pub fn writes(base: u64, x2apic: bool) -> impl Iterator<Item = u64> {
    let on = base | ENABLED;
    let is_off = base & ENABLED == 0;
    (is_off || !x2apic).then_some(on).into_iter().chain(x2apic.then_some(on | X2APIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The register as the manual has it: `None` if the write faults.
    fn write(from: u64, to: u64) -> Option<u64> {
        let mode = |base| (base & ENABLED != 0, base & X2APIC != 0);
        match (mode(from), mode(to)) {
            // No mode at all, or two steps at once.
            (_, (false, true)) | ((false, false), (true, true)) => None,
            // Back only by way of off.
            ((true, true), (true, false)) => None,
            _ => Some(to),
        }
    }

    #[test]
    fn item_11_no_step_is_forbidden_and_the_last_leads_to_the_mode() {
        const REST: u64 = 0xfee0_0100;
        let of_all = [(0, true), (0, false), (ENABLED, true), (ENABLED, false), (ENABLED | X2APIC, true)];
        for (mode, x2apic) in of_all {
            let step =
                |base, value| write(base, value).unwrap_or_else(|| panic!("{base:#x} to {value:#x} faults"));
            let end = writes(REST | mode, x2apic).fold(REST | mode, step);
            assert_eq!(end, REST | ENABLED | if x2apic { X2APIC } else { 0 }, "from {mode:#x}");
        }
    }
}
