//! The lines of the files that HAProxy's words name: `parsing [haproxy.cfg:5] : ...`.

use crate::configuration::{Configuration, SourceFile};

/// How many are told, those of alerts first, and how many characters of each.
const MOST: usize = 5;
const LENGTH: usize = 200;

/// A line with one of these may have a secret, which answers and pages are not to show.
const SECRETS: [&str; 7] = ["password", "passphrase", "auth", "bearer", "secret", "token", "key"];

/// The lines as they were read: `haproxy.cfg:5: bind :80 nonsense`.
pub(super) fn lines(words: &[&str], configuration: &Configuration) -> Vec<String> {
    let (alerts, others): (Vec<&str>, Vec<&str>) = words.iter().partition(|line| line.contains("[ALERT]"));
    let mut found = Vec::new();
    for line in alerts.into_iter().chain(others).flat_map(|words| cited(words, configuration)) {
        if found.len() < MOST && !found.contains(&line) {
            found.push(line);
        }
    }
    found
}

fn cited<'a>(words: &'a str, configuration: &'a Configuration) -> impl Iterator<Item = String> + 'a {
    words.split('[').skip(1).filter_map(|rest| {
        let (name, number) = rest.split_once(']')?.0.rsplit_once(':')?;
        let file = configuration.files.iter().find(|file| file.name.to_str() == Some(name))?;
        Some(format!("{name}:{number}: {}", line(file, number.parse().ok()?)?))
    })
}

/// The line with this number, counted from 1.
fn line(file: &SourceFile, number: usize) -> Option<String> {
    let bytes = file.bytes.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)?;
    let text = String::from_utf8_lossy(bytes);
    let small = text.to_ascii_lowercase();
    if SECRETS.iter().any(|word| small.contains(word)) {
        return Some("(not shown: it may have a secret)".to_owned());
    }
    let mut kept: String = text.trim().chars().take(LENGTH).collect();
    if kept.len() < text.trim().len() {
        kept += "...";
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Configuration {
        let (name, path) = ("dir/h.cfg".into(), "/etc/dir/h.cfg".into());
        Configuration {
            files: vec![SourceFile { name, path, bytes: text.as_bytes().to_vec() }],
            ..Configuration::default()
        }
    }

    #[test]
    fn the_lines_of_alerts_come_first_and_each_is_told_once() {
        let configuration = configuration("global\n  # one\n    bind :80 nonsense\nmode htttp");
        let words = [
            "[WARNING]  (7) : config : parsing [dir/h.cfg:2] : strange",
            "[ALERT]    (7) : config : parsing [dir/h.cfg:3] : 'bind' : unknown keyword 'nonsense'.",
            "[ALERT]    (7) : config : [dir/h.cfg:3] and [dir/h.cfg:4]",
        ];
        assert_eq!(
            lines(&words, &configuration),
            ["dir/h.cfg:3: bind :80 nonsense", "dir/h.cfg:4: mode htttp", "dir/h.cfg:2: # one"]
        );
    }

    #[test]
    fn what_names_no_line_of_these_files_is_left_alone() {
        let configuration = configuration("global\n");
        for words in
            ["[other.cfg:1]", "[dir/h.cfg:0]", "[dir/h.cfg:99]", "[dir/h.cfg:x]", "[", "[dir/h.cfg:1"]
        {
            assert!(lines(&[words], &configuration).is_empty(), "{words}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_long_lines_are_cut() {
        let long = format!("stats Auth admin:pw\n{}\nüser \u{fffd}", "é".repeat(300));
        let configuration = configuration(&long);
        let told = lines(&["[dir/h.cfg:1]", "[dir/h.cfg:2]"], &configuration);
        assert_eq!(told[0], "dir/h.cfg:1: (not shown: it may have a secret)");
        assert!(told[1].ends_with("é...") && told[1].chars().count() < 230, "{}", told[1]);
    }

    #[test]
    fn no_more_than_a_few_are_told() {
        let configuration = configuration(&"line\n".repeat(20));
        let words: Vec<String> = (1..20).map(|number| format!("[ALERT] [dir/h.cfg:{number}]")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(lines(&words, &configuration).len(), MOST);
    }
}
