//! `clearway status --watch`: the status again and again, in place on a terminal. Ctrl-C ends it.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use rustix::termios::tcgetwinsize;

use crate::command::status::asked::text;
use crate::front::find::Target;

/// From the upper left corner on, over what is there.
const HOME: &str = "\x1b[H";

/// Nothing is left of the line.
const TO_THE_END_OF_THE_LINE: &str = "\x1b[K";

/// Nor below it.
const TO_THE_END: &str = "\x1b[J";

/// An empty terminal.
const CLEAR: &str = "\x1b[2J";

/// Shows the status until its reader is gone. What cannot be asked for the first time is a failure; later it may be a Clearway
/// that is replaced, and is asked again.
pub async fn watch(target: &Target, pause: Duration) -> Result<ExitCode, Failure> {
    let mut output = std::io::stdout();
    let in_place = output.is_terminal() && !target.json;
    let clear = if in_place { CLEAR } else { "" };
    let mut shown = clear.to_owned() + &page(text(target).await?, in_place);
    while output.write_all(shown.as_bytes()).and_then(|()| output.flush()).is_ok() {
        tokio::time::sleep(pause).await;
        let told = match text(target).await {
            Ok(told) => told,
            Err(failure) if target.json => {
                crate::complain!("clearway: {}", failure.message);
                String::new()
            }
            Err(failure) => format!("clearway: {}", failure.message),
        };
        shown = page(told, in_place);
    }
    Ok(ExitCode::Done)
}

/// One showing: of a terminal as much as it has lines for, elsewhere all of it with an empty line behind; JSON is one line.
fn page(told: String, in_place: bool) -> String {
    if !in_place {
        return if told.is_empty() || told.starts_with('{') { told + "\n" } else { told + "\n\n" };
    }
    // Some terminals do not say their size.
    let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let (lines, columns) = size.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
    fitted(&told, lines, columns)
}

/// As many lines, and as much of each, as there is room for.
fn fitted(told: &str, lines: usize, columns: usize) -> String {
    let all = told.lines().count();
    // The last one is left to the cursor.
    let room = lines.saturating_sub(1).max(1);
    let mut shown: Vec<String> =
        told.lines().take(room).map(|line| line.chars().take(columns.max(1)).collect()).collect();
    if all > room
        && let Some(last) = shown.last_mut()
    {
        *last = format!("... {} more lines", all - room + 1);
    }
    let lines: Vec<String> = shown.iter().map(|line| format!("{line}{TO_THE_END_OF_THE_LINE}\n")).collect();
    format!("{HOME}{}{TO_THE_END}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_shown_than_there_is_room_for() {
        assert_eq!(fitted("a\nbcd\n", 24, 2), "\x1b[Ha\x1b[K\nbc\x1b[K\n\x1b[J");
        assert_eq!(fitted("a\nb\nc\nd", 3, 80), "\x1b[Ha\x1b[K\n... 3 more lines\x1b[K\n\x1b[J");
        assert_eq!(fitted("a\nb", 1, 1).matches('\n').count(), 1, "the smallest terminal");
    }

    #[test]
    fn what_is_no_terminal_gets_plain_text() {
        assert_eq!(page("serving\nmore".to_owned(), false), "serving\nmore\n\n");
        assert_eq!(page("{}".to_owned(), false), "{}\n");
    }
}
