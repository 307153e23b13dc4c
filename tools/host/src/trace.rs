//! What happened on a machine, as a trace that Perfetto opens: TrackEvent, protobuf.
//!
//! # Guarantee
//!
//! A run is a group of tracks, one for each CPU on which something happened, and begins at time 0: policies lie below each
//! other. Handlers and walks are slices; an arrow leads from each request to the handler that has taken it. Times are those of the
//! machine's clock: modelled, if it was simulated; under TCG mostly QEMU's.
//!
//! The numbers of fields are those of the format's own messages (`protos/perfetto/trace/` of Perfetto).

use std::collections::{BTreeMap, BTreeSet};

use std::path::Path;

use anyhow::Result;
use gupsync::types::CpuId;
use gupsync_bench::record::{Recorded, Recording, Shape, What, shown};
use prost::Message;

use crate::boot::{Outcome, Traced};
use crate::say;
use crate::sink::Sink;

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    packets: Vec<Packet>,
}

#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, tag = "10")]
    sequence: u32,
    #[prost(message, optional, tag = "11")]
    event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, tag = "1")]
    uuid: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, optional, tag = "5")]
    parent: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    annotations: Vec<Annotation>,
    /// Always there: one that is left out is none, not the first.
    #[prost(enumeration = "Kind", optional, tag = "9")]
    kind: Option<i32>,
    #[prost(uint64, tag = "11")]
    track: u64,
    #[prost(string, tag = "23")]
    name: String,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flows: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    ending_flows: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(uint64, tag = "3")]
    value: u64,
    #[prost(string, tag = "10")]
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// Where the trace that was asked for will be written, looked at before anything is run.
///
/// # Errors
///
/// If it cannot be written.
pub fn open(file: Option<&Path>) -> Result<Option<Sink>> {
    file.map(|file| Sink::open_for("--trace", file)).transpose()
}

/// Takes what `outcomes` have recorded, and writes it there.
///
/// # Errors
///
/// If it cannot be written.
pub fn hand_over(sink: Option<Sink>, outcomes: &mut [Outcome]) -> Result<()> {
    let Some(sink) = sink else { return Ok(()) };
    let mut trace = Trace::default();
    for Traced { spec, policy, cpus, recording } in
        outcomes.iter_mut().flat_map(|outcome| outcome.traces.drain(..))
    {
        let run = format!("{} {policy} invlpgb={}, {cpus} CPUs", spec.workload, spec.invlpgb);
        if recording.lost > 0 {
            say::err(format_args!(
                "--trace: {run}: {} events more were not kept; use fewer --ops",
                recording.lost
            ));
        }
        trace.add(&run, &recording);
    }
    sink.write_text(&trace.encode())
}

/// A trace of several runs.
#[derive(Default)]
pub struct Trace {
    file: File,
    /// Tracks and flows so far: each has a number of its own.
    tracks: u64,
    flows: u64,
}

/// Every packet is of the one writer that there is.
const SEQUENCE: u32 = 1;

impl Trace {
    fn packet(
        &mut self,
        timestamp: Option<u64>,
        event: Option<TrackEvent>,
        descriptor: Option<TrackDescriptor>,
    ) {
        self.file.packets.push(Packet { timestamp, sequence: SEQUENCE, event, descriptor });
    }

    fn track(&mut self, name: String, parent: Option<u64>) -> u64 {
        self.tracks += 1;
        let uuid = self.tracks;
        self.packet(None, None, Some(TrackDescriptor { uuid, name, parent }));
        uuid
    }

    /// Adds a run, by the name of `run`.
    fn add(&mut self, run: &str, Recording { recorded, ticks_per_ms, .. }: &Recording) {
        // It is in the order of time.
        let begin = recorded.first().map_or(0, |one| one.time);
        let nanoseconds = |time: u64| u128::from(time - begin) * 1_000_000 / u128::from(*ticks_per_ms).max(1);
        let group = self.track(run.to_owned(), None);
        let cpus: BTreeSet<usize> = recorded.iter().map(|one| one.cpu.0).collect();
        let tracks: BTreeMap<usize, u64> =
            cpus.into_iter().map(|cpu| (cpu, self.track(CpuId(cpu).to_string(), Some(group)))).collect();
        // The flows of the requests that no handler has taken yet, by target and cause.
        let mut under_way: BTreeMap<(usize, &str), Vec<u64>> = BTreeMap::new();
        for Recorded { time, cpu, what } in recorded {
            let mut event = TrackEvent { track: tracks[&cpu.0], ..TrackEvent::default() };
            match *what {
                What::Sent(cause, to, mm) => {
                    self.flows += 1;
                    under_way.entry((to.0, cause.name())).or_default().push(self.flows);
                    event.set_kind(Kind::Instant);
                    event.name = format!("send {}", cause.name());
                    event.flows = vec![self.flows];
                    event.annotations = vec![annotation("to", to.0 as u64), annotation("mm", mm)];
                }
                What::Began(cause) => {
                    event.set_kind(Kind::Begin);
                    event.name = format!("{} interrupt", cause.name());
                    event.ending_flows = under_way.remove(&(cpu.0, cause.name())).unwrap_or_default();
                }
                What::Ended(_) => event.set_kind(Kind::End),
                What::Noted(noted, mm, n) => {
                    let Some((shape, name)) = shown(noted) else { continue };
                    event.set_kind(match shape {
                        Shape::Begin => Kind::Begin,
                        Shape::End => Kind::End,
                        Shape::Moment => Kind::Instant,
                    });
                    event.name = name.to_owned();
                    event.annotations = vec![annotation("mm", mm)];
                    event.annotations.extend((n > 1).then(|| annotation("times", n)));
                }
            }
            self.packet(Some(nanoseconds(*time) as u64), Some(event), None);
        }
    }

    /// The file that it is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.file.encode_to_vec()
    }
}

fn annotation(name: &str, value: u64) -> Annotation {
    Annotation { value, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use gupsync_bench::Spec;
    use gupsync_sim::{Band, Costs};

    use super::*;

    #[test]
    fn a_trace_has_what_the_row_has_counted() {
        for words in
            ["policy=broadcast ops=8", "policy=pending invlpgb=on ops=8", "policy=pending sample=walk ops=8"]
        {
            let spec: Spec = words.parse().expect("a spec");
            let run =
                gupsync_sim::record(&spec, spec.policy[0], 8, &Costs::of(Band::Mid)).expect("it can be run");
            let mut trace = Trace::default();
            trace.add(words, &run.recording);
            let file = File::decode(&*trace.file.encode_to_vec()).expect("it was encoded");
            assert_eq!(file, trace.file);
            let events: Vec<_> = file.packets.iter().filter_map(|packet| packet.event.as_ref()).collect();
            let count = |name: &str| Some(events.iter().filter(|event| event.name == name).count() as u64);
            let counts = &run.rows[0].counts;
            assert_eq!(count("send sync"), counts.sync_ipis, "{words}");
            assert_eq!(count("send flush"), counts.flush_ipis, "{words}");
            assert_eq!(count("unlink"), counts.set, "{words}");
            assert_eq!(count("sync skipped"), counts.syncs_skipped, "{words}");
            assert_eq!(count("INVLPGB"), counts.invlpgb_ops, "{words}");
            // Every request is taken by one handler.
            let begun: BTreeSet<_> = events.iter().flat_map(|event| &event.flows).collect();
            let ended: Vec<_> = events.iter().flat_map(|event| &event.ending_flows).collect();
            assert_eq!(begun, ended.iter().copied().collect(), "{words}");
            assert_eq!(begun.len(), ended.len(), "{words}");
            // What begins on a track ends there, and time does not go back.
            let tracks: BTreeSet<_> = events.iter().map(|event| event.track).collect();
            for track in tracks {
                let (mut depth, mut last) = (0_i64, 0);
                for packet in file
                    .packets
                    .iter()
                    .filter(|packet| packet.event.as_ref().is_some_and(|event| event.track == track))
                {
                    let event = packet.event.as_ref().expect("it was filtered");
                    depth += match event.kind() {
                        Kind::Begin => 1,
                        Kind::End => -1,
                        Kind::Instant => 0,
                    };
                    assert!(depth >= 0 && packet.timestamp >= Some(last), "{words}");
                    last = packet.timestamp.unwrap_or(0);
                }
            }
        }
    }
}
