//! Plots as SVG: lines over time, and a histogram. Colours are classes, so that the page's style decides; a plot is as wide as a
//! phone, so that its words can be read there.

use std::fmt::Write as _;

use super::numbers::brief;

/// The whole picture.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 200.0;
/// What surrounds the plot itself.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// Points of a line at most: more than pixels would show nothing more.
const POINTS: usize = 300;

/// A line of a plot.
pub(super) struct Line {
    /// What the legend calls it.
    pub(super) name: &'static str,
    /// A class from 1 to 4.
    pub(super) class: u8,
    /// In the order of the first coordinate.
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over seconds.
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// What the vertical axis is in.
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
    /// Whether the vertical axis is logarithmic.
    pub(super) log: bool,
}

/// How a value becomes a place.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    log: bool,
    /// Where `from` and `to` are.
    begin: f64,
    end: f64,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        let of = |v: f64| if self.log { v.max(1e-9).log10() } else { v };
        let (from, to) = (of(self.from), of(self.to));
        let share = (of(value) - from) / (to - from).max(1e-12);
        self.begin + share.clamp(0.0, 1.0) * (self.end - self.begin)
    }
}

impl Plot {
    /// A figure with its legend; nothing when all there is is zero or nothing.
    pub(super) fn figure(mut self) -> String {
        for line in &mut self.lines {
            line.points = thin(std::mem::take(&mut line.points));
        }
        let all = || self.lines.iter().flat_map(|l| l.points.iter().copied());
        let most = all().map(|p| p.1).fold(0.0, f64::max);
        let last = all().map(|p| p.0).fold(0.0, f64::max);
        if most <= 0.0 || all().count() < 2 {
            return String::new();
        }
        let y = self.vertical(most);
        let x = Scale {
            from: 0.0,
            to: last,
            log: false,
            begin: LEFT,
            end: WIDTH - RIGHT,
        };
        let mut svg = open(self.title);
        grid(&mut svg, y);
        for tick in ticks(x.to, 5).into_iter().filter(|t| *t <= x.to) {
            mark(&mut svg, x.place(tick), &format!("{} s", brief(tick)));
        }
        for line in &self.lines {
            let _ = write!(svg, "<polyline class=\"l l{}\" points=\"", line.class);
            for (at, value) in &line.points {
                let _ = write!(svg, "{:.1},{:.1} ", x.place(*at), y.place(*value));
            }
            svg.push_str("\"/>");
        }
        hover(&mut svg, &self.lines, x, self.unit);
        svg.push_str("</svg>");
        let names: Vec<_> = self.lines.iter().map(|l| (l.name, l.class)).collect();
        figure(self.title, self.unit, &names, &svg)
    }

    fn vertical(&self, most: f64) -> Scale {
        let values = self.lines.iter().flat_map(|l| &l.points).map(|p| p.1);
        let (from, to) = if self.log {
            let least = values.filter(|v| *v > 0.0).fold(most, f64::min);
            let from = 10_f64.powf(least.log10().floor());
            (from, 10_f64.powf(most.log10().ceil()).max(from * 10.0))
        } else {
            (
                0.0,
                ticks(most, 4).last().copied().unwrap_or(most).max(most),
            )
        };
        Scale {
            from,
            to,
            log: self.log,
            begin: HEIGHT - BOTTOM,
            end: TOP,
        }
    }
}

/// A histogram: for each bar its upper bound and how many, both axes logarithmic. Marks are values with their names.
pub(super) fn histogram(
    title: &'static str,
    unit: &'static str,
    buckets: &[(f64, u64)],
    marks: &[(&str, f64)],
) -> String {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return String::new();
    };
    let most = buckets.iter().map(|b| b.1).max().unwrap_or(1).max(1);
    let from = (first.0 / 1.05).max(1e-3);
    let x = Scale {
        from,
        to: (last.0 * 1.05).max(from * 2.0),
        log: true,
        begin: LEFT,
        end: WIDTH - RIGHT,
    };
    let y = Scale {
        from: 0.5,
        to: 10_f64.powf((most as f64).log10().ceil()).max(10.0),
        log: true,
        begin: HEIGHT - BOTTOM,
        end: TOP,
    };
    // As many bars as can be told from each other.
    let bars = 70.0;
    let width = (x.end - x.begin) / bars;
    let mut sums = std::collections::BTreeMap::<u64, u64>::new();
    for (value, count) in buckets {
        let bar = ((x.place(*value) - x.begin) / width)
            .floor()
            .clamp(0.0, bars - 1.0);
        *sums.entry(bar as u64).or_default() += count;
    }
    let mut svg = open(title);
    grid(&mut svg, y);
    for tick in decades(x.from, x.to) {
        mark(&mut svg, x.place(tick), &brief(tick));
    }
    for (bar, count) in &sums {
        let (left, top) = (x.begin + *bar as f64 * width, y.place(*count as f64));
        let _ = write!(
            svg,
            "<rect class=\"b\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{count}</title></rect>",
            width - 0.5,
            (y.begin - top).max(0.5)
        );
    }
    let mut free = [0.0; 3];
    for (name, value) in marks {
        let at = x.place(*value);
        let row = free.iter().position(|end| at > *end).unwrap_or(0);
        if let Some(end) = free.get_mut(row) {
            *end = at + name.len() as f64 * 6.5;
        }
        let _ = write!(
            svg,
            "<line class=\"m\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"mt\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{}</text>",
            y.begin,
            if at > WIDTH - 60.0 {
                at - 3.0
            } else {
                at + 3.0
            },
            TOP + 9.0 + row as f64 * 11.0,
            if at > WIDTH - 60.0 { "end" } else { "start" },
            super::page::escape(name)
        );
    }
    svg.push_str("</svg>");
    figure(title, unit, &[], &svg)
}

fn open(title: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        super::page::escape(title)
    )
}

fn figure(title: &str, unit: &str, names: &[(&str, u8)], svg: &str) -> String {
    let mut legend = String::new();
    for (name, class) in names {
        let _ = write!(
            legend,
            "<span class=\"k k{class}\">{}</span> ",
            super::page::escape(name)
        );
    }
    format!(
        "<figure><figcaption><b>{}</b> <span class=\"u\">{}</span></figcaption>{svg}<div class=\"legend\">{legend}</div></figure>\n",
        super::page::escape(title),
        super::page::escape(unit)
    )
}

/// Horizontal lines with their values.
fn grid(svg: &mut String, y: Scale) {
    let all = if y.log {
        decades(y.from, y.to)
    } else {
        ticks(y.to, 4)
    };
    for tick in all {
        let at = y.place(tick);
        let _ = write!(
            svg,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 3.5,
            brief(tick)
        );
    }
}

fn mark(svg: &mut String, at: f64, text: &str) {
    let anchor = if at > WIDTH - 24.0 { "end" } else { "middle" };
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
        at.min(WIDTH - 2.0),
        HEIGHT - 8.0
    );
}

/// What a pointer is shown: an invisible bar for each point.
fn hover(svg: &mut String, lines: &[Line], x: Scale, unit: &str) {
    let Some(first) = lines.first() else { return };
    let width = (x.end - x.begin) / first.points.len().max(1) as f64;
    for (n, (at, _)) in first.points.iter().enumerate() {
        let _ = write!(
            svg,
            "<rect class=\"h\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"><title>{} s",
            x.place(*at) - width / 2.0,
            HEIGHT - TOP - BOTTOM,
            brief(*at)
        );
        for line in lines {
            if let Some((_, value)) = line.points.get(n) {
                let _ = write!(svg, "\n{}: {} {}", line.name, brief(*value), unit);
            }
        }
        svg.push_str("</title></rect>");
    }
}

/// Round values from 0 up to at least `most`, about so many.
fn ticks(most: f64, about: usize) -> Vec<f64> {
    let rough = (most / about as f64).max(1e-9);
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * decade)
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(decade * 10.0);
    let count = (most / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|n| n as f64 * step).collect()
}

/// Powers of ten within a range; with their halves when there are few.
fn decades(from: f64, to: f64) -> Vec<f64> {
    let (first, last) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let steps: &[f64] = if last - first <= 2 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let all = (first..=last).flat_map(|n| steps.iter().map(move |s| s * 10_f64.powi(n)));
    all.filter(|v| *v >= from * 0.999 && *v <= to * 1.001)
        .collect()
}

/// At most [`POINTS`]: of neighbours the greatest value stays, so that no peak is hidden.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points;
    }
    let size = points.len().div_ceil(POINTS);
    let peak = |part: &[(f64, f64)]| part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(size).filter_map(peak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_values_that_reach_the_greatest() {
        assert_eq!(ticks(97.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(ticks(1.0, 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(100.0, 5).last(), Some(&100.0));
        assert_eq!(
            decades(1.0, 10_000.0),
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0]
        );
        assert_eq!(decades(10.0, 100.0), [10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn a_peak_stays_when_points_are_left_out() {
        let mut points: Vec<_> = (0..10_000).map(|n| (f64::from(n), 1.0)).collect();
        points[7_777].1 = 99.0;
        let thin = thin(points);
        assert!(thin.len() <= POINTS);
        assert!(thin.contains(&(7_777.0, 99.0)));
    }

    #[test]
    fn there_is_no_plot_of_nothing() {
        let plot = Plot {
            title: "x",
            unit: "",
            lines: vec![Line {
                name: "a",
                class: 1,
                points: vec![(0.0, 0.0), (1.0, 0.0)],
            }],
            log: false,
        };
        assert_eq!(plot.figure(), "");
        assert_eq!(histogram("x", "", &[], &[]), "");
    }
}
