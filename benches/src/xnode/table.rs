//! Rows of a comparison: figures of both sides, their ratio, a bar, and whether it is met.

use std::fmt;

/// Unit of a figure, with the digits after its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit(pub &'static str, pub usize);

/// Milliseconds.
pub const MILLISECONDS: Unit = Unit("ms", 1);
/// Seconds.
pub const SECONDS: Unit = Unit("s", 2);
/// Mebibytes.
pub const MEBIBYTES: Unit = Unit("MiB", 2);
/// Kibibytes.
pub const KIBIBYTES: Unit = Unit("KiB", 0);
/// Megabytes a second.
pub const MEGABYTES_A_SECOND: Unit = Unit("MB/s", 0);
/// Transactions a second.
pub const TRANSACTIONS_A_SECOND: Unit = Unit("tps", 0);
/// Hundredths of one processor.
pub const PERCENT_OF_A_CORE: Unit = Unit("% of a core", 2);

/// Least, middle and greatest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least one.
    pub least: f64,
    /// The middle one; of an even number the greater of the two.
    pub median: f64,
    /// The greatest one.
    pub greatest: f64,
}

impl Spread {
    /// The spread of figures; none where there are none.
    pub fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        Some(Spread { least, median: *sorted.get(sorted.len() / 2)?, greatest })
    }
}

/// A demand on the middle figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// Nothing: the figure is told.
    Told,
    /// Below a figure in the row's unit.
    Below(f64),
    /// Below the peer's.
    BelowPeer,
    /// At most so many times the peer's.
    TimesPeer(f64),
    /// At most so much more than the peer's, in the row's unit.
    MoreThanPeer(f64),
}

/// Reason for which bars are not held against figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Unjudged {
    /// Sizes and rounds are those of a trial.
    Trial,
    /// Other work had this share of the processors before or after the row, 0 to 1.
    Busy(f64),
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unjudged::Trial => write!(f, "not judged: a trial"),
            Unjudged::Busy(share) => write!(f, "not judged: other work has {:.0} % of the processors", share * 100.0),
        }
    }
}

/// The named peer's side of a row.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Name with version.
    pub name: String,
    /// Its figures.
    pub figures: Vec<f64>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Words for its figure.
    pub name: String,
    /// Unit of its figures.
    pub unit: Unit,
    /// Figures of ours.
    pub ours: Vec<f64>,
    /// The peer; none where the bar is a figure.
    pub peer: Option<Peer>,
    /// The bar.
    pub bar: Bar,
    /// Reason for no judgement.
    pub unjudged: Option<Unjudged>,
}

impl Row {
    /// A row without a peer and without a bar.
    pub fn new(name: impl Into<String>, unit: Unit, ours: Vec<f64>) -> Row {
        Row { name: name.into(), unit, ours, peer: None, bar: Bar::Told, unjudged: None }
    }

    /// The same beside a peer.
    pub fn beside(self, name: &str, figures: Vec<f64>) -> Row {
        Row { peer: Some(Peer { name: name.to_string(), figures }), ..self }
    }

    /// The same with a bar.
    pub fn bar(self, bar: Bar) -> Row {
        Row { bar, ..self }
    }

    fn spreads(&self) -> (Option<Spread>, Option<Spread>) {
        (Spread::of(&self.ours), self.peer.as_ref().and_then(|peer| Spread::of(&peer.figures)))
    }

    /// Returns true where the bar is met; none where there is no bar, or no figure to hold against it.
    pub fn is_met(&self) -> Option<bool> {
        let (ours, peer) = self.spreads();
        let (ours, peer) = (ours?.median, peer.map(|peer| peer.median));
        match self.bar {
            Bar::Told => None,
            Bar::Below(figure) => Some(ours < figure),
            Bar::BelowPeer => Some(ours < peer?),
            Bar::TimesPeer(times) => Some(ours <= peer? * times),
            Bar::MoreThanPeer(more) => Some(ours <= peer? + more),
        }
    }

    /// Returns true where the row is judged and fails.
    pub fn fails(&self) -> bool {
        self.unjudged.is_none() && self.is_met() == Some(false)
    }

    fn bar_text(&self) -> String {
        let Unit(word, digits) = self.unit;
        match self.bar {
            Bar::Told => "-".into(),
            Bar::Below(figure) => format!("< {figure:.digits$} {word}"),
            Bar::BelowPeer => "< peer".into(),
            Bar::TimesPeer(times) => format!("<= {times} x peer"),
            Bar::MoreThanPeer(more) => format!("<= peer + {more} {word}"),
        }
    }

    fn verdict(&self) -> String {
        match (&self.unjudged, self.is_met()) {
            (_, None) => "-".into(),
            (Some(reason), _) => reason.to_string(),
            (None, Some(true)) => "met".into(),
            (None, Some(false)) => "**not met**".into(),
        }
    }

    fn cells(&self) -> [String; 7] {
        let Unit(word, digits) = self.unit;
        let three = |spread: Option<Spread>| match spread {
            Some(s) if s.least == s.greatest => format!("{:.digits$} {word}", s.median),
            Some(s) => format!("{:.digits$} / {:.digits$} / {:.digits$} {word}", s.least, s.median, s.greatest),
            None => "-".into(),
        };
        let (ours, peer) = self.spreads();
        let ratio = ours.zip(peer).filter(|(_, peer)| peer.median > 0.0);
        let ratio = ratio.map_or("-".into(), |(ours, peer)| format!("{:.2}", ours.median / peer.median));
        let name = self.peer.as_ref().map_or("-".into(), |peer| peer.name.clone());
        [self.name.clone(), three(ours), name, three(peer), ratio, self.bar_text(), self.verdict()]
    }
}

/// Headings of the table.
const HEADINGS: [&str; 7] =
    ["row", "ours, min / median / max", "peer", "peer's, min / median / max", "ratio", "bar", "verdict"];

/// Rows as a table of Markdown, with columns that are in line where it is read as text.
pub fn text(rows: &[Row]) -> String {
    let mut lines = vec![HEADINGS.map(String::from)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
    let line = |cells: &[String; HEADINGS.len()]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule = widths.map(|width| "-".repeat(width));
    let mut text = String::new();
    for (number, cells) in lines.iter().enumerate() {
        text += &line(cells);
        if number == 0 {
            text += &line(&rule);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bar: Bar) -> Row {
        Row::new("a start", MILLISECONDS, vec![30.0, 10.0, 20.0]).beside("runc", vec![9.0, 10.0]).bar(bar)
    }

    #[test]
    fn the_median_is_held_against_the_bar() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, greatest: 3.0 }));
        assert_eq!(Spread::of(&[]), None);
        let cases = [
            (Bar::Told, None),
            (Bar::Below(20.0), Some(false)),
            (Bar::Below(20.1), Some(true)),
            (Bar::BelowPeer, Some(false)),
            (Bar::TimesPeer(2.0), Some(true)),
            (Bar::TimesPeer(1.9), Some(false)),
            (Bar::MoreThanPeer(10.0), Some(true)),
            (Bar::MoreThanPeer(9.9), Some(false)),
        ];
        for (bar, met) in cases {
            assert_eq!(row(bar).is_met(), met, "{bar:?}");
        }
        let alone = Row { peer: None, ..row(Bar::BelowPeer) };
        assert_eq!(alone.is_met(), None, "nothing is judged without its peer");
    }

    #[test]
    fn a_busy_machine_and_a_trial_are_not_judged() {
        let failing = row(Bar::BelowPeer);
        assert!(failing.fails());
        for (reason, words) in
            [(Unjudged::Busy(0.43), "other work has 43 % of the processors"), (Unjudged::Trial, "not judged: a trial")]
        {
            let row = Row { unjudged: Some(reason), ..failing.clone() };
            let text = text(std::slice::from_ref(&row));
            assert!(!row.fails() && text.contains(words), "{text}");
        }
    }

    #[test]
    fn the_table_says_all_of_a_row() {
        let text = text(&[row(Bar::TimesPeer(2.0)), Row::new("idle", KIBIBYTES, vec![236.0])]);
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = text.lines().map(cells).collect();
        let first =
            ["", "a start", "10.0 / 20.0 / 30.0 ms", "runc", "9.0 / 10.0 / 10.0 ms", "2.00", "<= 2 x peer", "met", ""];
        assert_eq!(lines[2], first);
        assert_eq!(lines[3], ["", "idle", "236 KiB", "-", "-", "-", "-", "-", ""]);
        assert!(text.lines().all(|line| line.chars().count() == text.lines().next().map_or(0, |l| l.chars().count())));
    }
}
