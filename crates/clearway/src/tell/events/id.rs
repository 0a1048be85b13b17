//! What events are called: `5f3a9c1e-42` is the 42nd of the Clearway that drew `5f3a9c1e` when it began.

use std::fmt;
use std::str::FromStr;

/// The name of an event, or of the place before the first one (number 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// What tells one Clearway from the next: it was drawn at random when that began.
    pub epoch: u32,
    /// Counted from 1.
    pub number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.number)
    }
}

/// The event that a client has had last: a whole name, or the number alone, which is one of the Clearway that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHad {
    /// Unset: of the Clearway that is asked.
    pub epoch: Option<u32>,
    /// 0: none.
    pub number: u64,
}

impl fmt::Display for LastHad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { epoch: Some(epoch), number } => EventId { epoch, number }.fmt(f),
            Self { epoch: None, number } => number.fmt(f),
        }
    }
}

impl FromStr for LastHad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = match text.split_once('-') {
            Some((epoch, number)) => {
                epoch_of(epoch).zip(number_of(number)).map(|(epoch, number)| (Some(epoch), number))
            }
            None => number_of(text).map(|number| (None, number)),
        };
        let (epoch, number) = read.ok_or_else(|| {
            let beginning: String = text.escape_debug().take(40).collect();
            format!("`{beginning}` is no event: its id is like `5f3a9c1e-42`, or a number")
        })?;
        Ok(Self { epoch, number })
    }
}

fn epoch_of(text: &str) -> Option<u32> {
    let is_written_so = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_written_so.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Digits only: `parse` alone would take a `+`.
fn number_of(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for id in [EventId { epoch: 0x5f3a_9c1e, number: 42 }, EventId { epoch: 7, number: u64::MAX }] {
            let read: LastHad = id.to_string().parse().unwrap();
            assert_eq!(read, LastHad { epoch: Some(id.epoch), number: id.number }, "{id}");
            assert_eq!(read.to_string(), id.to_string());
        }
        let none = LastHad { epoch: None, number: 0 };
        assert_eq!(("0".parse(), none.to_string()), (Ok(none), "0".to_owned()));
    }

    #[test]
    fn what_is_no_id_is_refused_with_its_beginning() {
        let long = "9".repeat(5000);
        for text in [
            "abc",
            "-1",
            "+1",
            "",
            "-",
            "5f3a9c1e-",
            "5f3a9c1e-+1",
            "5F3A9C1E-1",
            "5f3a9c1-1",
            "1.5",
            "1 ",
            &long,
        ] {
            let refused = text.parse::<LastHad>().unwrap_err();
            assert!(refused.contains("is no event") && refused.len() < 120, "{text}: {refused}");
        }
        let control = "\u{1b}[2J\n".parse::<LastHad>().unwrap_err();
        assert!(!control.contains(['\u{1b}', '\n']), "{control}");
    }
}
