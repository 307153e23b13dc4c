//! What the protocol costs, to the instruction: every piece of [`gupsync_bench::cost`], on one CPU.
//!
//! # Guarantee
//!
//! A line of a piece holds the address of every instruction that it has executed, and has been executed so in every run:
//! their number, counted by the time-stamp counter of a machine that counts instructions, is the same each time, and is that
//! of the single steps in which the piece was done once more. If not, the boot ends and names the piece.
//!
//! # Mechanism
//!
//! The library runs on [`Bare`], a machine without notes, figures and detectors. The machine has one CPU. The others of a
//! world are played: what they have loaded is loaded by that CPU on their behalf, before a piece; they answer what they are
//! sent when the sender waits, and that is not counted ([`bare::answer`]). So nothing runs beside a piece, and nothing
//! interrupts it.

mod bare;
mod count;
mod measured;
mod pieces;
mod stage;

use alloc::string::{String, ToString};

use gupsync::mm::Mm;
use gupsync::pending_gup_sync::PendingGupSync;
use gupsync_bench::cost::{PIECES, Piece, Sizes};
use gupsync_bench::report::{self, ExitCode};
use gupsync_bench::spec::PolicyName;

use crate::{apic, hw, serial};

pub use count::step;

/// The most CPUs of a scene.
const MOST_CPUS: usize = 64;

/// Measures all pieces, and says what came out.
pub fn all() -> ExitCode {
    if hw::cpus() != 1 {
        return refused(&alloc::format!("cost: needs a machine of one CPU, and this has {}", hw::cpus()));
    }
    apic::name_absent(MOST_CPUS);
    if let Err(error) = count::init() {
        return refused(&error);
    }
    let apic = if apic::is_x2apic() { "x2APIC" } else { "xAPIC" }.to_string();
    let sizes = Sizes { mm: size_of::<Mm>(), pending: size_of::<PendingGupSync>(), apic };
    say(report::SIZES, &sizes);
    for &piece in PIECES {
        for policy in piece.policies() {
            match pieces::measure(piece, policy) {
                Ok(measured) => say(report::COST, &measured),
                Err(error) => return failed(piece, policy, &error),
            }
        }
    }
    ExitCode::Done
}

fn say(prefix: &str, what: &impl serde::Serialize) {
    let what = serde_json::to_string(what).expect("plain data");
    serial::line(format_args!("{prefix}{what}"));
}

fn refused(error: &str) -> ExitCode {
    serial::line(format_args!("{}{error}", report::FATAL));
    ExitCode::Refused
}

fn failed(piece: Piece, policy: Option<PolicyName>, error: &str) -> ExitCode {
    let under = policy.map_or_else(String::new, |policy| alloc::format!(" under {policy}"));
    serial::line(format_args!("{}{piece}{under}: {error}", report::FATAL));
    ExitCode::Panic
}
