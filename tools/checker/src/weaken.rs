//! One ordering weakened, or one fence left out, without building anything anew.
//!
//! `GUPSYNC_WEAKEN=src/sync_round.rs:23:17:0:Relaxed` makes the atomic operation that is called there use Relaxed for its first
//! ordering; `:1:` is the second, of an operation that may fail. For a fence, `Relaxed` leaves it out. The place is the
//! one that the compiler knows as the caller's: the name of the method, or the beginning of the call of a function.

use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// The variable.
pub const VARIABLE: &str = "GUPSYNC_WEAKEN";

struct Weakening {
    file: String,
    line: u32,
    column: u32,
    index: usize,
    to: Ordering,
}

fn weakening() -> Option<&'static Weakening> {
    static WEAKENING: OnceLock<Option<Weakening>> = OnceLock::new();
    WEAKENING
        .get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let parsed = parse(&text);
            assert!(parsed.is_some(), "{VARIABLE}={text}: not file:line:column:index:ordering");
            parsed
        })
        .as_ref()
}

fn parse(text: &str) -> Option<Weakening> {
    let mut parts = text.split(':');
    let mut next = || parts.next();
    let weakening = Weakening {
        file: next()?.to_owned(),
        line: next()?.parse().ok()?,
        column: next()?.parse().ok()?,
        index: next()?.parse().ok()?,
        to: match next()? {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            "AcqRel" => Ordering::AcqRel,
            _ => return None,
        },
    };
    next().is_none().then_some(weakening)
}

/// The ordering to use at `site`, where the code says `order` as its `index`-th.
#[must_use]
pub fn weakened(site: &Location<'_>, index: usize, order: Ordering) -> Ordering {
    match weakening() {
        Some(w)
            if (site.line(), site.column(), index) == (w.line, w.column, w.index) && site.file() == w.file =>
        {
            w.to
        }
        _ => order,
    }
}
