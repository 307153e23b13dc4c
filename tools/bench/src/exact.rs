//! Where a count of [`Class::Exact`](crate::counts::Class::Exact) is exact.
//!
//! # Guarantee
//!
//! Two rows of the same settings, each [exact](Row::is_exact), that one thread for all CPUs has made, have the same exact
//! counts, whatever machine and whatever day it was.

use crate::choice::Status;
use crate::row::Row;

impl Row {
    /// Whether nothing races in it, if one thread serves all its CPUs, and all its operations were done.
    pub fn is_exact(&self) -> bool {
        // A walker that naps, or was offline, may be back or not when a sender looks at it.
        let comes_and_goes = self.naps.is_on() || self.hotplug > 0;
        self.status == Status::Ok && !self.policy.is_linux() && !self.races() && !comes_and_goes
    }
}
