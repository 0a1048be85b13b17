//! A line that HAProxy writes on standard error, taken apart: `[ALERT]    (4711) : config : ...`.
//!
//! Collected with 2.6.12, 3.0.11 and 3.2.26; before 2.5 a date stands before the process, which is stepped over. What is not
//! of this form (a second line of an alert, a Lua program, the dynamic linker) is text without anything else.

/// How urgent HAProxy calls a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Alert,
    /// Something may not, also by `-dD`.
    Warning,
    /// It is worth knowing.
    Notice,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How urgent it is, if it says so.
    pub level: Option<Level>,
    /// The process, if it says so.
    pub pid: Option<u32>,
    /// What is said.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart.
    pub fn of(line: &'a str) -> Self {
        Self::parse(line).unwrap_or(Self { level: None, pid: None, text: line })
    }

    fn parse(line: &'a str) -> Option<Self> {
        let (level, rest) = line.strip_prefix('[')?.split_once(']')?;
        let level = match level {
            "ALERT" => Level::Alert,
            "WARNING" | "DIAG" => Level::Warning,
            "NOTICE" => Level::Notice,
            _ => return None,
        };
        let (before, rest) = rest.split_once('(')?;
        let is_date = |c: char| c.is_ascii_digit() || c == '/' || c == ' ';
        let (pid, text) = rest.split_once(") : ").filter(|_| before.chars().all(is_date))?;
        Some(Self { level: Some(level), pid: Some(pid.parse().ok()?), text })
    }

    /// Whether it says nothing beside what Clearway says itself of every start and every end that go as they should: that a
    /// worker was started, has ended with 0, or stopped a proxy without connections, and which HAProxy this is.
    pub fn is_routine(&self) -> bool {
        let text = self.text;
        let begins = |all: &[&str]| all.iter().any(|begin| text.starts_with(begin));
        match self.level {
            Some(Level::Notice) => {
                text == "Loading success."
                    || begins(&["Initializing new worker (", "haproxy version is ", "path to executable is "])
                    || (begins(&["New worker "]) && text.ends_with(" forked"))
            }
            Some(Level::Warning) => {
                text == "Exiting Master process..."
                    || text == "All workers exited. Exiting... (0)"
                    || (begins(&["Current worker (", "Former worker ("])
                        && text.ends_with(" exited with code 0 (Exit)"))
                    || (begins(&["Proxy "]) && text.ends_with(" stopped (cumulated conns: FE: 0, BE: 0)."))
            }
            // Clearway writes the pid file, and tells HAProxy to write another one.
            Some(Level::Alert) => text.ends_with("'pidfile' already specified. Continuing."),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_version_are_taken_apart() {
        let line =
            Line::of("[ALERT]    (4711) : config : parsing [h.cfg:5] : unknown (1) : proxy mode 'htttp'.");
        let text = "config : parsing [h.cfg:5] : unknown (1) : proxy mode 'htttp'.";
        assert_eq!(line, Line { level: Some(Level::Alert), pid: Some(4711), text });
        let dated = Line::of("[WARNING] 333/122458 (12) : Exiting Master process...");
        assert_eq!((dated.level, dated.pid), (Some(Level::Warning), Some(12)));
        for other in
            ["", "[", "[ALERT]", "[ALERT] (x) : y", "[NOTICE] see (1) : y", "[news] (1) : y", "it (1) : y"]
        {
            assert_eq!(Line::of(other), Line { level: None, pid: None, text: other });
        }
    }

    #[test]
    fn only_what_is_known_to_say_nothing_is_routine() {
        let routine = [
            "[NOTICE]   (7) : New worker (8) forked",
            "[NOTICE]   (7) : Initializing new worker (8)",
            "[NOTICE]   (7) : Loading success.",
            "[NOTICE]   (7) : haproxy version is 2.6.12-1+deb12u4",
            "[NOTICE]   (7) : path to executable is /usr/sbin/haproxy",
            "[WARNING]  (8) : Proxy a stopped (cumulated conns: FE: 0, BE: 0).",
            "[WARNING]  (7) : Exiting Master process...",
            "[WARNING]  (7) : Current worker (8) exited with code 0 (Exit)",
            "[WARNING]  (7) : All workers exited. Exiting... (0)",
            "[ALERT]    (7) : config : parsing [h.cfg:2] : 'pidfile' already specified. Continuing.",
        ];
        for line in routine {
            assert!(Line::of(line).is_routine(), "{line}");
        }
        let telling = [
            "[WARNING]  (8) : Proxy a stopped (cumulated conns: FE: 3, BE: 3).",
            "[WARNING]  (7) : Current worker (8) exited with code 1 (Exit)",
            "[WARNING]  (7) : All workers exited. Exiting... (137)",
            "[ALERT]    (7) : Current worker (8) exited with code 137 (Killed)",
            "[ALERT]    (7) : Loading success.",
            "[WARNING]  (7) : parsing [h.cfg:5] : 'bind' : Loading success.",
            "[NOTICE]   (7) : Automatically setting global.maxconn to 9.",
            "Loading success.",
            "",
        ];
        for line in telling {
            assert!(!Line::of(line).is_routine(), "{line}");
        }
    }
}
