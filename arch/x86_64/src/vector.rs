//! The interrupt vectors, highest priority last.

use gupsync::event::Cause;

/// A flush request.
pub const FLUSH: u8 = 0xf1;
/// A sync request.
pub const SYNC: u8 = 0xf2;
/// A wake-up.
pub const KICK: u8 = 0xf3;
/// A request that has nothing to do with an mm.
pub const OTHER: u8 = 0xf4;
/// The APIC's spurious interrupt.
pub const SPURIOUS: u8 = 0xff;

/// What an interrupt of this vector was sent for, if it is a request.
pub fn cause(vector: u8) -> Option<Cause> {
    Cause::ALL.into_iter().find(|cause| of(*cause) == vector)
}

/// That of a request.
pub fn of(cause: Cause) -> u8 {
    match cause {
        Cause::Flush => FLUSH,
        Cause::Sync => SYNC,
        Cause::Other => OTHER,
    }
}
