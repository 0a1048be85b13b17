//! `clearway diff`: how the files on disk differ from those that a generation was started from.

use std::fmt::Write;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::command::print::code;
use crate::front::api::{ConfigurationDiff, Refused};
use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};

const PATH: &str = "/v1/config/diff";

/// Shows the lines that are different, from what runs to what is on disk.
pub async fn diff(target: Target, generation: Option<u32>) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    let path = generation.map_or_else(|| PATH.to_owned(), |number| format!("{PATH}?generation={number}"));
    let (status, body) = client::request(found.stream, Method::GET, &path, Wait::Briefly).await?;
    if status != StatusCode::OK {
        return Err(match client::understand::<Refused>(&body) {
            Ok(Refused { code: number, message, hints, .. }) => {
                hints.into_iter().fold(Failure::new(code(number), message), Failure::hint)
            }
            Err(_) if status == StatusCode::NOT_FOUND => client::too_early(&name, PATH),
            Err(_) => client::refused(&path, status, &body),
        });
    }
    let answer: ConfigurationDiff = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else if !answer.same {
        crate::say!("{}", in_words(&answer).trim_end_matches('\n'));
    }
    Ok(if answer.same { ExitCode::Done } else { ExitCode::Different })
}

/// What patch(1) takes, and lines that it passes over.
fn in_words(answer: &ConfigurationDiff) -> String {
    let mut text = String::new();
    for file in &answer.files {
        text += &file.diff;
        if file.left_out > 0 {
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "# {}: {} more, which are not shown", file.path, Count(file.left_out, "line"));
        }
    }
    for what in &answer.named {
        let _ = writeln!(text, "# {what} (what it was is not kept)");
    }
    for what in &answer.replaced {
        let _ = writeln!(text, "# {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_difference_are_comments() {
        let answer: ConfigurationDiff = serde_json::from_value(serde_json::json!({
            "generation": 1, "same": false, "named": ["a.pem has changed"], "replaced": ["it was replaced"],
            "files": [{"path": "/h.cfg", "change": "changed", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n", "left_out": 2}],
        }))
        .unwrap();
        assert_eq!(
            in_words(&answer),
            "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n# /h.cfg: 2 lines more, which are not shown\n# a.pem has changed (what it was is \
             not kept)\n# it was replaced\n"
        );
    }
}
