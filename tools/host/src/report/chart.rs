//! Curves over sizes of machines, on logarithmic scales, as SVG.
//!
//! A zero has no place on a logarithmic scale: it has a line of its own below it. Units are pixels of a page 360 wide.

use maud::{Markup, PreEscaped, html};

use crate::scale::curves::MACHINES;
use crate::table::number;

/// A curve, or a band if the two values of a point differ.
pub struct Series {
    /// What the page calls it.
    pub letter: String,
    /// By number of CPUs: the least and the most.
    pub points: Vec<(usize, [f64; 2])>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 42.0;
const RIGHT: f64 = 340.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 196.0;
/// Where zero is.
const ZERO: f64 = 212.0;
/// The least distance of two letters at the ends of curves.
const APART: f64 = 11.0;
/// So many colours there are.
pub const COLOURS: usize = 8;

/// Both scales.
struct Scales {
    /// The binary logarithms of the smallest and the largest machine.
    x: [f64; 2],
    /// The decimal logarithms of the least and the most value.
    y: [f64; 2],
}

impl Scales {
    fn of(series: &[Series]) -> Self {
        let points = || series.iter().flat_map(|series| &series.points);
        let sizes = points().map(|(cpus, _)| (*cpus as f64).log2());
        let x = sizes.fold([f64::MAX, f64::MIN], |[low, high], at| [low.min(at), high.max(at)]);
        let values = points().flat_map(|(_, values)| values).filter(|value| **value > 0.0);
        let y = values.fold([0.0, 1.0], |[low, high]: [f64; 2], value| {
            [low.min(value.log10().floor()), high.max(value.log10().ceil())]
        });
        Scales { x, y }
    }

    fn x(&self, cpus: usize) -> f64 {
        let [low, high] = self.x;
        LEFT + (RIGHT - LEFT) * ((cpus as f64).log2() - low) / (high - low).max(1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let [low, high] = self.y;
        if value <= 0.0 { ZERO } else { BOTTOM - (BOTTOM - TOP) * (value.log10() - low) / (high - low) }
    }

    fn has(&self, cpus: usize) -> bool {
        let at = (cpus as f64).log2();
        self.x[0] <= at && at <= self.x[1]
    }
}

/// The value of a tick.
fn tick(decade: i32) -> String {
    if decade < 0 {
        format!("{:.*}", decade.unsigned_abs() as usize, 10f64.powi(decade))
    } else {
        number(Some(10u64.pow(decade.unsigned_abs())))
    }
}

/// The class that has a curve's colour and dashes.
pub fn class(index: usize) -> String {
    format!("c{}", index % COLOURS)
}

/// Where the letters stand at the ends of the curves, so that none covers another.
fn ends(series: &[Series], scales: &Scales) -> Vec<f64> {
    let end = |series: &Series| {
        series.points.last().map_or(ZERO, |(_, [low, high])| (scales.y(*low) + scales.y(*high)) / 2.0)
    };
    let mut places: Vec<_> = series.iter().map(end).enumerate().collect();
    // From the bottom up; each at least so far above the one before.
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    for at in 1..places.len() {
        places[at].1 = places[at].1.min(places[at - 1].1 - APART);
    }
    places.sort_by_key(|(index, _)| *index);
    places.into_iter().map(|(_, y)| y).collect()
}

/// The chart of `series`; `what` names the values, and `show` says one.
pub fn log_log(series: &[Series], what: &str, show: impl Fn([f64; 2]) -> String) -> Markup {
    let scales = Scales::of(series);
    let sizes = (0..=13).step_by(3).map(|power| 1usize << power).filter(|cpus| scales.has(*cpus));
    let decades = scales.y[0] as i32..=scales.y[1] as i32;
    let machines: Vec<_> = MACHINES.iter().map(|(cpus, _)| *cpus).filter(|cpus| scales.has(*cpus)).collect();
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{what} by number of CPUs")) {
            text x="2" y="10" { (what) }
            @for decade in decades {
                @let y = scales.y(10f64.powi(decade));
                path.grid d=(format!("M{LEFT} {y:.1}H{RIGHT}")) {}
                text.end x=(LEFT - 4.0) y=(format!("{:.1}", y + 3.5)) { (tick(decade)) }
            }
            path.grid d=(format!("M{LEFT} {ZERO}H{RIGHT}")) {}
            text.end x=(LEFT - 4.0) y=(ZERO + 3.5) { "0" }
            @for cpus in sizes {
                text.mid x=(format!("{:.1}", scales.x(cpus))) y="228" { (number(Some(cpus as u64))) }
            }
            text.mid x=((LEFT + RIGHT) / 2.0) y="245" { "CPUs" }
            @for (row, cpus) in machines.into_iter().enumerate() {
                @let x = scales.x(cpus);
                path.mark d=(format!("M{x:.1} {:.1}V{ZERO}", 17.0 + 11.0 * row as f64)) {}
                text.end.small x=(format!("{:.1}", x - 3.0)) y=(24.0 + 11.0 * row as f64) {
                    (number(Some(cpus as u64)))
                }
            }
            @for (index, (series, end)) in series.iter().zip(ends(series, &scales)).enumerate() {
                g class=(class(index)) { (curve(series, &scales, &show)) }
                text.letter x=(RIGHT + 6.0) y=(format!("{:.1}", end + 3.5)) { (series.letter) }
            }
        }
    }
}

fn curve(series: &Series, scales: &Scales, show: impl Fn([f64; 2]) -> String) -> Markup {
    let place = |cpus: usize, value: f64| format!("{:.1} {:.1}", scales.x(cpus), scales.y(value));
    let low: Vec<_> = series.points.iter().map(|(cpus, [low, _])| place(*cpus, *low)).collect();
    let high: Vec<_> = series.points.iter().rev().map(|(cpus, [_, high])| place(*cpus, *high)).collect();
    let is_band = series.points.iter().any(|(_, [low, high])| low != high);
    html! {
        @if is_band {
            path.band d=(PreEscaped(format!("M{}L{}Z", low.join("L"), high.join("L")))) {}
        } @else {
            path.line d=(PreEscaped(format!("M{}", low.join("L")))) {}
        }
        @for (cpus, values) in &series.points {
            circle cx=(format!("{:.1}", scales.x(*cpus))) cy=(format!("{:.1}", scales.y(values[1]))) r="2.2" {
                title { (series.letter) ": " (number(Some(*cpus as u64))) " CPUs: " (show(*values)) }
            }
        }
    }
}
