//! Traffic over time, as SVG.

use std::fmt::{self, Write};

use super::FailureReport;
use crate::observer::{Bucket, Timeline};
use crate::wire::Direction;

/// Draws the traffic of both directions over time: what was sent as a line, what was delivered as
/// an area, and each failure from the fault to the takeover.
pub fn plot(timeline: &Timeline, failures: &[FailureReport]) -> String {
    let mut svg = String::new();
    // Writing into a string cannot fail.
    let _ = draw(&mut svg, &Scale::new(timeline), failures);
    svg
}

/// From packets and times to places in the picture.
struct Scale {
    points: Vec<Bucket>,
    /// Seconds between two points.
    step_s: f64,
    seconds: f64,
    /// Packets per second at the upper edge of a panel.
    peak: f64,
}

impl Scale {
    fn new(timeline: &Timeline) -> Self {
        let merge = timeline.buckets().len().div_ceil(MAX_POINTS).max(1);
        let points: Vec<Bucket> = timeline.buckets().chunks(merge).map(total).collect();
        let step_s = timeline.width_ns() as f64 * merge as f64 / 1e9;
        Self {
            seconds: (points.len() as f64 * step_s).max(1e-3),
            peak: round_up(1.1 * f64::from(usual_most(&points)) / step_s),
            points,
            step_s,
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.seconds).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, panel: usize, packets: u32) -> f64 {
        let share = (f64::from(packets) / self.step_s / self.peak).min(1.0);
        bottom(panel) - share * PANEL_HEIGHT
    }

    /// The points of a curve, each bucket at its middle.
    fn curve(&self, panel: usize, of: impl Fn(&Bucket) -> u32) -> String {
        let point = |(index, bucket): (usize, &Bucket)| {
            let x = self.x((index as f64 + 0.5) * self.step_s);
            format!("{x:.1},{:.1}", self.y(panel, of(bucket)))
        };
        let points: Vec<_> = self.points.iter().enumerate().map(point).collect();
        points.join(" ")
    }
}

fn draw(svg: &mut String, scale: &Scale, failures: &[FailureReport]) -> fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>Traffic through two gateways of \
         which one fails again and again</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         fill=\"white\"/>"
    )?;
    for failure in failures {
        draw_failure(svg, scale, failure)?;
    }
    for direction in Direction::BOTH {
        draw_panel(svg, scale, direction)?;
    }
    draw_seconds(svg, scale)?;
    writeln!(svg, "</svg>")
}

fn draw_panel(svg: &mut String, scale: &Scale, direction: Direction) -> fmt::Result {
    let panel = direction.index();
    let (top, bottom) = (bottom(panel) - PANEL_HEIGHT, bottom(panel));
    let right = WIDTH - RIGHT;
    let delivered = scale.curve(panel, |bucket| bucket.delivered[panel]);
    let sent = scale.curve(panel, |bucket| bucket.sent[panel]);
    let (first, last) = (
        scale.x(0.5 * scale.step_s),
        scale.x(scale.seconds - 0.5 * scale.step_s),
    );
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\">{direction}: sent (line), delivered (area)</text>\n\
         <polygon points=\"{first:.1},{bottom} {delivered} {last:.1},{bottom}\" fill=\"{}\" \
         fill-opacity=\"0.55\"/>\n<polyline points=\"{sent}\" fill=\"none\" stroke=\"#333\" \
         stroke-width=\"0.8\"/>\n<path d=\"M{LEFT},{top} V{bottom} H{right}\" fill=\"none\" \
         stroke=\"#333\"/>",
        top - 6.0,
        COLORS[panel],
    )?;
    for (share, y) in [(1.0, top), (0.5, (top + bottom) / 2.0), (0.0, bottom)] {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}/s</text>",
            LEFT - 6.0,
            y + 4.0,
            scale.peak * share
        )?;
    }
    Ok(())
}

fn draw_failure(svg: &mut String, scale: &Scale, failure: &FailureReport) -> fmt::Result {
    let until = failure
        .takeover_ms
        .map_or(scale.seconds, |ms| failure.at_s + ms / 1e3);
    let x = scale.x(failure.at_s);
    let width = (scale.x(until) - x).max(1.0);
    let (top, bottom) = (bottom(0) - PANEL_HEIGHT, bottom(1));
    let took = failure
        .takeover_ms
        .map_or_else(|| "never back".to_owned(), |ms| format!("{ms:.0} ms"));
    writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#d33\" \
         fill-opacity=\"0.35\"><title>{} of {}: {took}</title></rect>\n\
         <line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#d33\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#a00\" font-size=\"10\" \
         transform=\"rotate(-40 {:.1} {:.1})\">{} {}, {took}</text>",
        bottom - top,
        failure.kind,
        failure.failed_unit,
        top - 20.0,
        x + 2.0,
        top - 22.0,
        x + 2.0,
        top - 22.0,
        failure.kind,
        failure.failed_unit,
    )
}

fn draw_seconds(svg: &mut String, scale: &Scale) -> fmt::Result {
    let step = round_up(scale.seconds / 12.0);
    let mut second = 0.0;
    while second <= scale.seconds {
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>",
            scale.x(second),
            bottom(1) + 18.0
        )?;
        second += step;
    }
    Ok(())
}

fn total(buckets: &[Bucket]) -> Bucket {
    let mut total = Bucket::default();
    for bucket in buckets {
        for direction in 0..2 {
            total.sent[direction] += bucket.sent[direction];
            total.delivered[direction] += bucket.delivered[direction];
        }
    }
    total
}

/// What all but the highest twentieth of the points stay below: a burst after a delay of the
/// machine shall not flatten the rest.
fn usual_most(points: &[Bucket]) -> u32 {
    let mut counts: Vec<u32> = points.iter().flat_map(|bucket| bucket.sent).collect();
    counts.sort_unstable();
    let place = counts.len().saturating_sub(counts.len() / 20 + 1);
    counts.get(place).copied().unwrap_or(0).max(1)
}

/// The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, ...
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| *step >= value * 0.999_999);
    fits.unwrap_or(10.0 * power)
}

fn bottom(panel: usize) -> f64 {
    TOP + PANEL_HEIGHT + panel as f64 * (PANEL_HEIGHT + GAP)
}

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = TOP + 2.0 * PANEL_HEIGHT + GAP + 40.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
/// Room for the names of the failures.
const TOP: f64 = 110.0;
const PANEL_HEIGHT: f64 = 160.0;
const GAP: f64 = 40.0;
const MAX_POINTS: usize = 2400;
const COLORS: [&str; 2] = ["#2b7bba", "#3a9a5b"];
