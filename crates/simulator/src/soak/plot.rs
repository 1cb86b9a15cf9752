//! Plots of samples as one SVG picture: a small diagram for each column, time along the x-axis.

use std::fmt::Write as _;

use super::record::{Column, Sample};

/// Size of one diagram with its title, pixels.
const WIDTH: u64 = 360;
const HEIGHT: u64 = 150;
/// Room for title and labels within it, pixels.
const TOP: u64 = 30;
const LEFT: u64 = 12;
const BOTTOM: u64 = 22;
/// Diagrams beside each other.
const ACROSS: u64 = 2;
/// Points of a line: more than that are thinned out, because nobody sees them.
const POINTS_MAX: usize = 1_000;

/// A line of a diagram with its name.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    /// Name.
    pub name: &'a str,
    /// Minutes since the beginning and the value there, in the order of time.
    pub points: Vec<(u64, u64)>,
}

/// Draws a diagram of each column, from zero to the column's largest value.
pub fn svg(title: &str, samples: &[Sample], columns: &[Column]) -> String {
    let curve = |column: &Column| Curve {
        name: column.name,
        points: samples.iter().map(|sample| (sample.minutes, (column.of)(sample))).collect(),
    };
    picture(title, &columns.iter().map(curve).collect::<Vec<_>>())
}

/// Draws a diagram of each curve, from zero to its largest value.
pub fn picture(title: &str, curves: &[Curve<'_>]) -> String {
    let rows = (curves.len() as u64).div_ceil(ACROSS);
    let (width, height) = (ACROSS * WIDTH, rows * HEIGHT + TOP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for (index, curve) in (0..).zip(curves) {
        diagram(&mut text, (index % ACROSS * WIDTH, TOP + index / ACROSS * HEIGHT), curve);
    }
    text + "</svg>\n"
}

fn diagram(text: &mut String, (x, y): (u64, u64), curve: &Curve<'_>) {
    let largest = curve.points.iter().map(|(_, value)| *value).max().unwrap_or(0);
    let (width, height) = (WIDTH - 2 * LEFT, HEIGHT - TOP - BOTTOM);
    let (left, top, bottom) = (x + LEFT, y + TOP, y + TOP + height);
    let last = curve.points.last().map_or(0, |(minutes, _)| *minutes);
    let step = curve.points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<String> = curve
        .points
        .iter()
        .step_by(step)
        .map(|(minutes, value)| {
            let across = width * minutes / last.max(1);
            let up = u128::from(height) * u128::from(*value) / u128::from(largest.max(1));
            format!("{},{}", left + across, u128::from(bottom) - up)
        })
        .collect();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "<text x=\"{left}\" y=\"{}\">{}, at most {largest}</text>\n\
         <path d=\"M{left} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#999\"/>\n\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#06c\"/>\n\
         <text x=\"{left}\" y=\"{}\" fill=\"#666\">{}</text>\n",
        top - 8,
        escaped(curve.name),
        left + width,
        points.join(" "),
        bottom + 14,
        span(last),
    );
}

/// Length of a run, for people.
fn span(minutes: u64) -> String {
    if minutes >= 2 * 1_440 { format!("{} days", minutes / 1_440) } else { format!("{} hours", minutes / 60) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_each_column_and_stays_small() {
        let samples: Vec<Sample> = (1..=5_000)
            .map(|day| Sample { minutes: day, state_bytes: day * 1_000_000_000, ..Sample::default() })
            .collect();
        let columns = [Column { name: "state & bytes", of: |s| s.state_bytes }, Column { name: "zero", of: |_| 0 }];
        let picture = svg("a <year>", &samples, &columns);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("state &amp; bytes, at most 5000000000000") && picture.contains("a &lt;year>"));
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert!(picture.len() < 50_000);
        assert!(svg("nothing", &[], &columns).contains("at most 0"));
    }
}
