//! One operation as it happens, a lane for each CPU: run by the simulator for the page, with all that happens recorded.

use std::collections::BTreeMap;

use gupsync::event::{Cause, Event};
use gupsync::policy::{Broadcast, GatherMask, Mask, Pending};
use gupsync::types::CpuId;
use gupsync_bench::Spec;
use gupsync_bench::cast::{Cast, Role};
use gupsync_bench::record::{Recorded, What};
use gupsync_bench::spec::{List, PolicyName};
use gupsync_sim::{Band, Costs};
use maud::{Markup, html};

const CPUS: usize = 8;
/// One operation in four holds a walker inside its walk.
const OPS: usize = 4;
const POLICIES: [PolicyName; 4] = [
    PolicyName::of::<Broadcast>(),
    PolicyName::of::<Mask>(),
    PolicyName::of::<GatherMask>(),
    PolicyName::of::<Pending>(),
];
/// What is drawn: its title, and the words of its spec.
const SCENES: [(&str, &str); 4] = [
    ("One collapse, flush by interrupts", "order=9 invlpgb=off"),
    ("One collapse, flush by INVLPGB", "order=9 invlpgb=on"),
    (
        "A range of 2 MiB collapsed to mTHPs of 512 KiB, one after the other, flush by interrupts",
        "order=7 invlpgb=off",
    ),
    (
        "A range of 2 MiB collapsed to mTHPs of 512 KiB, one after the other, flush by INVLPGB",
        "order=7 invlpgb=on",
    ),
];

/// One operation under one policy.
struct Scene {
    policy: PolicyName,
    roles: Vec<Role>,
    /// When it begins and ends.
    span: [u64; 2],
    events: Vec<Recorded>,
}

impl Scene {
    /// Runs `spec` under `policy`; gives the operation with a walker held inside its walk.
    fn of(spec: &Spec, policy: PolicyName) -> Option<Self> {
        let spec = Spec { policy: List(vec![policy]), ops: OPS as u64, ..spec.clone() };
        let recorded = gupsync_sim::record(&spec, policy, CPUS, &Costs::of(Band::Mid)).ok()?.recording.recorded;
        let is = |one: &Recorded, event: Event| matches!(one.what, What::Noted(noted, ..) if noted == event);
        let unlinks: Vec<_> = recorded.iter().filter(|one| is(one, Event::Set)).map(|one| one.time).collect();
        let operations: Vec<_> = unlinks.chunks((unlinks.len() / OPS).max(1)).collect();
        let holds = |unlinks: &&[u64]| {
            recorded.iter().any(|one| is(one, Event::HeldAtUnlink) && unlinks.contains(&one.time))
        };
        let at = operations.iter().position(holds)?;
        let next = operations.get(at + 1).map_or(u64::MAX, |unlinks| unlinks[0]);
        let begin = *operations[at].first()?;
        let of_it = |one: &&Recorded| (begin..next).contains(&one.time);
        let shown = |one: &&Recorded| {
            matches!(one.what, What::Sent(..) | What::Began(_) | What::Ended(_))
                || is(one, Event::SyncSkipped)
                || is(one, Event::Invlpgb)
                || is(one, Event::Tlbsync)
        };
        let end = recorded.iter().filter(of_it).filter(shown).map(|one| one.time).max()?;
        // A little of what was before: walks begin there.
        let span = [begin.saturating_sub((end - begin) / 12), end];
        let cast = Cast::new(&spec, CPUS);
        let roles = (0..CPUS).map(|cpu| cast.role(CpuId(cpu))).collect();
        Some(Scene { policy, roles, span, events: recorded })
    }

    fn within(&self) -> impl Iterator<Item = &Recorded> {
        self.events.iter().filter(|one| (self.span[0]..=self.span[1]).contains(&one.time))
    }

    /// How often something was noted in it.
    fn noted(&self, event: Event) -> u64 {
        let noted = |one: &Recorded| match one.what {
            What::Noted(noted, _, n) if noted == event => n,
            _ => 0,
        };
        self.within().map(noted).sum()
    }

    /// The requests sent in it for `cause`.
    fn sent(&self, cause: Cause) -> usize {
        self.within().filter(|one| matches!(one.what, What::Sent(sent, ..) if sent == cause)).count()
    }

    /// What lasts, on which CPU, from when to when.
    fn lasting(&self) -> Vec<(&'static str, CpuId, [u64; 2])> {
        let mut begun: BTreeMap<(&'static str, usize), u64> = BTreeMap::new();
        let mut lasting = Vec::new();
        for one in &self.events {
            let (kind, begins) = match one.what {
                What::Began(cause) => (cause.name(), true),
                What::Ended(cause) => (cause.name(), false),
                What::Noted(Event::WalkBegin, ..) => ("walk", true),
                What::Noted(Event::WalkEnd, ..) => ("walk", false),
                _ => continue,
            };
            let key = (kind, one.cpu.0);
            if begins {
                begun.insert(key, one.time);
            } else if let Some(since) = begun.remove(&key) {
                let [first, last] = self.span;
                if one.time > since.max(first) && since < last {
                    lasting.push((kind, one.cpu, [since.max(first), one.time.min(last)]));
                }
            }
        }
        lasting
    }

    /// Each request: its sender, its target, when it was sent and when its handler began.
    fn flights(&self) -> Vec<(Cause, [(CpuId, u64); 2])> {
        let flight = |one: &Recorded| {
            let What::Sent(cause, to, _) = one.what else { return None };
            let taken = |other: &&Recorded| {
                other.cpu == to && other.time >= one.time && other.what == What::Began(cause)
            };
            let taken = self.events.iter().find(taken)?;
            Some((cause, [(one.cpu, one.time), (to, taken.time)]))
        };
        self.within().filter_map(flight).collect()
    }
}

const LEFT: f64 = 74.0;
const RIGHT: f64 = 356.0;
const TOP: f64 = 10.0;
const LANE: f64 = 16.0;

/// All scenes.
pub fn timelines() -> Markup {
    html! {
        p {
            "The simulator ran these for this page, on 8 CPUs of which 4 run the mm, with a walker held inside GUP-fast when "
            "the table was unlinked. Counts are exact; times are modelled, and the same scale holds within each group. How "
            "long the walker stays inside is the bench's doing: no policy makes a walk longer or shorter."
        }
        ul.legend.row {
            (key("unlink", &html! { path.unlink d="M12 1L16 9H8Z" {} }))
            @for cause in [Cause::Flush, Cause::Sync] {
                (key(&format!("{}: sent, handled", cause.name()), &html! {
                    path.flight.(cause.name()) d="M1 8L14 2" {}
                    rect.(cause.name()) x="14" y="1" width="9" height="8" {}
                }))
            }
            (key("walk, interrupts off", &html! { rect.walk x="2" y="2" width="20" height="6" {} }))
            (key("INVLPGB", &html! { path.invlpgb d="M12 1L17 5L12 9L7 5Z" {} }))
            (key("sync skipped", &html! { circle.skip cx="12" cy="5" r="3.4" {} }))
        }
        @for (title, words) in SCENES { (scenes(title, words)) }
        p.note {
            "A range holds 4 mTHPs of 512 KiB, 32 of 64 KiB and 128 of 16 KiB: for these, what is drawn here once for each "
            "unlink happens 32 and 128 times."
        }
    }
}

/// What a sign stands for.
fn key(what: &str, sign: &Markup) -> Markup {
    html! { li { svg.key viewBox="0 0 24 10" aria-hidden="true" { (sign) } " " (what) } }
}

fn scenes(title: &str, words: &str) -> Markup {
    let spec: Spec = words.parse().expect("these are words of a spec");
    let scenes: Vec<_> = POLICIES.iter().filter_map(|policy| Scene::of(&spec, *policy)).collect();
    let longest = scenes.iter().map(|scene| scene.span[1] - scene.span[0]).max().unwrap_or(1).max(1);
    html! {
        h3 { (title) }
        div.pair { @for scene in &scenes { figure {
            figcaption { code { (scene.policy) } ": " (scene.noted(Event::Set)) " unlinked, "
                (scene.sent(Cause::Flush)) " flush IPIs, " b { (scene.sent(Cause::Sync)) " sync IPIs" } ", "
                (scene.noted(Event::SyncSkipped)) " skipped" }
            (drawn(scene, longest))
        } } }
    }
}

fn drawn(scene: &Scene, longest: u64) -> Markup {
    let x = |time: u64| LEFT + (RIGHT - LEFT) * (time - scene.span[0]) as f64 / longest as f64;
    let y = |cpu: CpuId| TOP + LANE * (cpu.0 as f64 + 0.5);
    let bottom = TOP + LANE * CPUS as f64;
    let role = |role: &Role| match role {
        Role::Mutator(_) => "unlinks",
        Role::Worker(_) => "the mm",
        _ => "",
    };
    html! {
        svg.timeline viewBox=(format!("0 0 360 {}", bottom + 18.0)) role="img"
            aria-label=(format!("one operation under {}", scene.policy)) {
            @for (cpu, is) in scene.roles.iter().enumerate() {
                path.grid d=(format!("M{LEFT} {:.1}H{RIGHT}", y(CpuId(cpu)))) {}
                text.small x="1" y=(format!("{:.1}", y(CpuId(cpu)) + 3.0)) { "CPU " (cpu) " " (role(is)) }
            }
            @for (cause, [(from, sent), (to, taken)]) in scene.flights() {
                path.flight.(cause.name()) d=(format!("M{:.1} {:.1}L{:.1} {:.1}", x(sent), y(from), x(taken), y(to))) {}
            }
            @for (kind, cpu, [since, until]) in scene.lasting() {
                rect.(kind) x=(format!("{:.1}", x(since))) y=(format!("{:.1}", y(cpu) - 4.5)) height="9"
                    width=(format!("{:.1}", (x(until) - x(since)).max(0.8))) {}
            }
            @for one in scene.within() {
                @let (x, y) = (x(one.time), y(one.cpu));
                @match one.what {
                    What::Noted(Event::Set, ..) => path.unlink d=(format!("M{x:.1} {:.1}l4 8h-8Z", y - 9.0)) {},
                    What::Noted(Event::Invlpgb, ..) => {
                        path.invlpgb d=(format!("M{x:.1} {:.1}l4 3.5l-4 3.5l-4 -3.5Z", y + 1.0)) {}
                    },
                    What::Noted(Event::SyncSkipped, ..) => circle.skip cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3.4" {},
                    _ => {},
                }
            }
            text.small x=(LEFT) y=(bottom + 13.0) { "0" }
            text.small.end x=(RIGHT) y=(bottom + 13.0) { (format!("{:.1} us, modelled", longest as f64 / 1000.0)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_has_the_requests_of_one_operation_and_a_walker_inside() {
        for (words, expected) in [
            ("order=9 invlpgb=off", [(3, 7), (3, 3), (3, 0), (3, 0)]),
            ("order=9 invlpgb=on", [(0, 7), (0, 3), (0, 3), (0, 3)]),
            ("order=7 invlpgb=on", [(0, 28), (0, 12), (0, 12), (0, 12)]),
        ] {
            let spec: Spec = words.parse().expect("a spec");
            let scenes = POLICIES.map(|policy| Scene::of(&spec, policy).expect("one has a walker held"));
            let sent = scenes.each_ref().map(|scene| (scene.sent(Cause::Flush), scene.sent(Cause::Sync)));
            assert_eq!(sent, expected, "{words}");
            for scene in &scenes {
                assert!(scene.lasting().iter().any(|(kind, ..)| *kind == "walk"), "{words} {}", scene.policy);
                assert_eq!(
                    scene.flights().len(),
                    scene.sent(Cause::Flush) + scene.sent(Cause::Sync),
                    "{words}"
                );
            }
        }
    }
}
