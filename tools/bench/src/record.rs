//! What happens, one thing after the other, to be drawn: as a machine records it, and as a line says it.
//!
//! # Guarantee
//!
//! What is read from a line is what was written to it. Events of which a trace says nothing have no line.

use alloc::vec::Vec;
use core::fmt::{self, Display};
use core::str::FromStr;

use gupsync::event::{Cause, Event};
use gupsync::types::CpuId;

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in ticks of the machine's clock. The clocks of two CPUs may differ, so what is recorded later may have happened
    /// earlier.
    pub time: u64,
    /// On which CPU.
    pub cpu: CpuId,
    /// What.
    pub what: What,
}

/// What was recorded of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// All of it, by time.
    pub recorded: Vec<Recorded>,
    /// How many ticks of its times are a millisecond.
    pub ticks_per_ms: u64,
    /// How much happened beyond what could be kept.
    pub lost: u64,
}

/// What can happen. An mm is given by its number, 0 for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It sent a request to that CPU, for that mm. One that finds its cause on its way to the target already takes no interrupt of
    /// its own.
    Sent(Cause, CpuId, u64),
    /// Its handler of such interrupts began.
    Began(Cause),
    /// That handler ended.
    Ended(Cause),
    /// It noted an event for an mm, so many times at once: a ticket was taken, a walk began or ended, ...
    Noted(Event, u64, u64),
}

/// What a trace shows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Something begins that goes on until it ends.
    Begin,
    /// That ends.
    End,
    /// A moment.
    Moment,
}

macro_rules! shown {
    ($($event:ident = $shape:ident $name:literal;)+) => {
        /// What a trace shows of an event, and by which name, if it does.
        pub fn shown(event: Event) -> Option<(Shape, &'static str)> {
            match event {
                $(Event::$event => Some((Shape::$shape, $name)),)+
                _ => None,
            }
        }

        /// The event that is shown so.
        fn event(shape: Shape, name: &str) -> Option<Event> {
            match (shape, name) {
                $((Shape::$shape, $name) => Some(Event::$event),)+
                _ => None,
            }
        }
    };
}

shown! {
    WalkBegin = Begin "walk";
    WalkEnd = End "walk";
    Set = Moment "unlink";
    HeldAtUnlink = Moment "a walker is held inside";
    SyncAsked = Moment "sync asked";
    SyncSkipped = Moment "sync skipped";
    SyncSent = Moment "sync sent";
    ClearedByOwnFlush = Moment "covered by its own flush";
    ClearedBySync = Moment "covered by the sync";
    ClearedByOtherFlush = Moment "covered by another flush";
    ClearedByOtherIpi = Moment "covered by another interrupt";
    FlushAcked = Moment "ack flush";
    SyncAcked = Moment "ack sync";
    OtherAcked = Moment "ack other";
    Invlpgb = Moment "INVLPGB";
    Tlbsync = Moment "TLBSYNC";
    Hypercall = Moment "left to the hypervisor";
    FreedByTicket = Moment "tables freed, ticket covered";
    FreedByGracePeriod = Moment "tables freed after a grace period";
    NmiTaken = Moment "NMI";
    Migrated = Moment "task has come";
    WentOffline = Moment "goes offline";
}

impl What {
    /// Whether it has a line.
    pub fn is_shown(&self) -> bool {
        !matches!(self, What::Noted(event, ..) if shown(*event).is_none())
    }
}

/// `TIME CPU KIND WORDS`.
impl Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.time, self.cpu.0)?;
        match self.what {
            What::Sent(cause, to, mm) => write!(f, "send {} {} {mm}", cause.name(), to.0),
            What::Began(cause) => write!(f, "enter {}", cause.name()),
            What::Ended(cause) => write!(f, "leave {}", cause.name()),
            What::Noted(event, mm, n) => {
                let (shape, name) = shown(event).ok_or(fmt::Error)?;
                write!(f, "{} {mm} {n} {name}", word(shape))
            }
        }
    }
}

fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Begin => "begin",
        Shape::End => "end",
        Shape::Moment => "at",
    }
}

impl FromStr for Recorded {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().ok_or(());
        let (time, cpu, kind, rest) = (number(next()?)?, CpuId(number(next()?)? as usize), next()?, next()?);
        let shape = [Shape::Begin, Shape::End, Shape::Moment].into_iter().find(|shape| word(*shape) == kind);
        let what = match (kind, shape) {
            ("send", _) => {
                let mut words = rest.split(' ');
                let mut next = || words.next().ok_or(());
                What::Sent(cause(next()?)?, CpuId(number(next()?)? as usize), number(next()?)?)
            }
            ("enter", _) => What::Began(cause(rest)?),
            ("leave", _) => What::Ended(cause(rest)?),
            (_, Some(shape)) => {
                let mut words = rest.splitn(3, ' ');
                let mut next = || words.next().ok_or(());
                let (mm, n) = (number(next()?)?, number(next()?)?);
                What::Noted(event(shape, next()?).ok_or(())?, mm, n)
            }
            _ => return Err(()),
        };
        Ok(Recorded { time, cpu, what })
    }
}

fn number(word: &str) -> Result<u64, ()> {
    word.parse().map_err(drop)
}

fn cause(name: &str) -> Result<Cause, ()> {
    Cause::ALL.into_iter().find(|cause| cause.name() == name).ok_or(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let mm = 3;
        for what in [
            What::Sent(Cause::Sync, CpuId(70), mm),
            What::Began(Cause::Flush),
            What::Ended(Cause::Other),
            What::Noted(Event::WalkBegin, mm, 1),
            What::Noted(Event::WalkEnd, mm, 1),
            What::Noted(Event::ClearedByOtherIpi, mm, u64::MAX),
        ] {
            let recorded = Recorded { time: 12_345, cpu: CpuId(5), what };
            assert_eq!(recorded.to_string().parse(), Ok(recorded));
        }
        assert!(!What::Noted(Event::Kick, mm, 1).is_shown());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in
            ["", "1", "1 2 send", "1 2 send sync 3", "1 2 enter page", "x 2 enter sync", "1 2 at 3 4 lunch"]
        {
            assert_eq!(line.parse::<Recorded>(), Err(()), "{line}");
        }
    }
}
