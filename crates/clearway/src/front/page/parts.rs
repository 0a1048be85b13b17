//! What several sections of the page are made of: sections, tables, marks, times.

use std::time::{Duration, SystemTime};

use super::html::Html;
use crate::tell::history::Excerpt;

/// A section with its heading, which is its name for a screen reader. `class`: how urgent it is, if at all.
pub fn section(id: &'static str, class: &'static str, heading: &str, inside: Html) -> Html {
    let label = format!("{id}-heading");
    let heading = Html::tag("h2", &[("id", &label)], heading);
    Html::tag("section", &[("id", id), ("class", class), ("aria-labelledby", &label)], heading.then(inside))
}

/// A table in a box of its own, which scrolls where it is too wide, also by the keyboard. A heading that begins with `~` is left out
/// on a narrow screen.
pub fn table(label: &str, headings: &[&'static str], bodies: Html) -> Html {
    let cells = headings.iter().map(|heading| match heading.strip_prefix('~') {
        Some(heading) => Html::tag("th", &[("scope", "col"), ("class", "wide")], heading),
        None => Html::tag("th", &[("scope", "col")], *heading),
    });
    let head = Html::of("thead", Html::of("tr", cells.collect::<Html>()));
    let whole = Html::tag("table", &[("aria-label", label)], head.then(bodies));
    scrolls(label, whole)
}

/// A box that scrolls, also by the keyboard.
pub fn scrolls(label: &str, inside: Html) -> Html {
    let label = format!("{label} (scrolls)");
    let attributes =
        [("class", "scroll"), ("role", "region"), ("tabindex", "0"), ("aria-label", label.as_str())];
    Html::tag("div", &attributes, inside)
}

/// The cell that names a row.
pub fn row_heading(inside: impl Into<Html>) -> Html {
    Html::tag("th", &[("scope", "row")], inside)
}

/// Another one.
pub fn cell(class: &'static str, inside: impl Into<Html>) -> Html {
    if class.is_empty() { Html::of("td", inside) } else { Html::tag("td", &[("class", class)], inside) }
}

/// A list, or nothing.
pub fn list(items: &[String]) -> Html {
    if items.is_empty() {
        return Html::default();
    }
    Html::of("ul", items.iter().map(|item| Html::of("li", item)).collect::<Html>())
}

/// What something came to: a shape, a colour, and always the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultMark {
    /// The id of its shape in the template.
    pub shape: &'static str,
    /// The name of its colour.
    pub class: &'static str,
}

impl ResultMark {
    /// It went well.
    pub const TOOK: Self = Self { shape: "#m-took", class: "good" };
    /// It failed.
    pub const REFUSED: Self = Self { shape: "#m-refused", class: "bad" };
    /// HAProxy has died.
    pub const CRASH: Self = Self { shape: "#m-crash", class: "bad" };
    /// It should be looked at.
    pub const LOOK: Self = Self { shape: "#m-look", class: "warn" };
    /// Between two Clearways.
    pub const TAKEOVER: Self = Self { shape: "#m-takeover", class: "news" };
    /// HAProxy was started.
    pub const START: Self = Self { shape: "#m-start", class: "news" };
    /// There is no more to say.
    pub const UNKNOWN: Self = Self { shape: "#m-unknown", class: "faint" };

    /// With its word.
    pub fn with(self, word: &str) -> Html {
        let shape = Html::tag("use", &[("href", self.shape)], "");
        let shape = Html::tag("svg", &[("class", "mark"), ("aria-hidden", "true")], shape);
        Html::tag("span", &[("class", &format!("tag {}", self.class))], shape.then(" ").then(word))
    }
}

/// `2026-11-29T12:24:58.123456Z` as `12:24:58`; what is of another form, as it is.
pub fn time_of_day(at: &str) -> &str {
    at.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or(at)
}

/// The day of it, if it is of that form.
pub fn day(at: &str) -> &str {
    at.split_once('T').map_or("", |(day, _)| day)
}

/// A moment: the day, the time, and how long ago it was.
pub fn moment(at: &str, now: SystemTime) -> Html {
    let words = format!("{} {}", day(at), time_of_day(at));
    let time = Html::tag("time", &[("datetime", at), ("class", "time")], words.trim());
    match ago(at, now) {
        Some(ago) => {
            time.then(" ").then(Html::tag("span", &[("class", "faint small")], format!("({ago} ago)")))
        }
        None => time,
    }
}

fn ago(at: &str, now: SystemTime) -> Option<String> {
    let then = humantime::parse_rfc3339(at).ok()?;
    Some(roughly(now.duration_since(then).unwrap_or_default().as_secs()))
}

/// The moment itself, if it is one.
pub fn instant(at: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(at).ok()
}

/// So many seconds, as a person says it.
pub fn roughly(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A duration of an attempt or of one of its steps, in seconds; one of a later version may be anything.
pub fn took(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match duration.as_millis() {
        short @ 0..10_000 => format!("{short} ms"),
        _ => format!("{} s", duration.as_secs()),
    }
}

/// A list of which not all may be kept, in one line; nothing if it is empty.
pub fn excerpt(items: &Excerpt) -> Option<String> {
    let more = match items.left_out() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (items.number > 0).then(|| format!("{}{more}", items.first.join(", ")))
}

/// How many of them are not shown, and where they are; nothing if all are.
pub fn and_more(all: usize, shown: usize, place: &'static str) -> Option<Html> {
    let more = all.checked_sub(shown).filter(|more| *more > 0)?;
    let link = Html::tag("a", &[("href", place)], format!("/{place}"));
    let words = Html::from(format!("And {more} more: "));
    Some(Html::tag("p", &[("class", "faint small")], words.then(link)))
}
