//! Failing on purpose, to test that the failure is reported.

use core::arch::asm;
use core::hint::black_box;

use gupsync_bench::spec::Fail;

/// Fails in the way that was asked for at the start.
pub fn at_start(fail: Option<Fail>) {
    match fail {
        None | Some(Fail::HangLate | Fail::NoFlush) => {}
        Some(Fail::Hang) => hang(),
        Some(Fail::Panic) => panic!("as asked"),
        Some(Fail::Fault) => fault(),
        Some(Fail::Overflow) => {
            overflow(&[0; 64]);
        }
    }
}

/// Fails in the way that was asked for in the last row.
pub fn at_last_row(fail: Option<Fail>) {
    if fail == Some(Fail::HangLate) {
        hang();
    }
}

/// Does nothing, for ever.
fn hang() -> ! {
    log::info!("hanging, as asked");
    loop {
        x86_64::instructions::hlt();
    }
}

fn fault() {
    // SAFETY: the lower half of the kernel's tables maps nothing, so this faults and does not return.
    unsafe { asm!("mov {}, [{}]", out(reg) _, in(reg) 0x1000_u64, options(nostack, readonly)) };
}

#[expect(unconditional_recursion, reason = "that is the point")]
#[inline(never)]
fn overflow(above: &[u64; 64]) -> u64 {
    let here = black_box([above[0] + 1; 64]);
    overflow(&here) + here[1]
}
