//! The entries of stick tables, copied from the generation that serves to one that does not accept clients yet. Tables with `peers`
//! are left alone: HAProxy passes them itself.
//!
//! One is read line by line while the other is given what comes of it, so that nothing is kept but a line of commands.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::supervisor::Carried;
use clearway_haproxy::carry::tables::{TableEntry, TableHeading, Unsettable, same_numbers};
use clearway_haproxy::configuration::{Configuration, StickTable};

use super::private_socket::PrivateSocket;
use crate::fleet::worker_cli::WorkerCli;

/// How long all of it may take.
pub const COPYING: Duration = Duration::from_secs(10);

/// How long a line of commands becomes.
const LINE: usize = 3 << 10;

/// The number of the server that a client sticks to.
const SERVER: &str = "server_id";

/// Both generations.
pub struct Tables<'a> {
    /// The one that serves, and its files.
    pub from: (&'a WorkerCli, &'a Configuration),
    /// The one that is new, and its files.
    pub to: (&'a PrivateSocket, &'a Configuration),
    /// How many entries may be copied.
    pub most: usize,
    /// When it has to be over.
    until: Instant,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    set: Vec<String>,
    left: Vec<String>,
    entries: usize,
}

impl<'a> Tables<'a> {
    /// It begins now.
    pub fn new(
        from: (&'a WorkerCli, &'a Configuration),
        to: (&'a PrivateSocket, &'a Configuration),
        most: usize,
    ) -> Self {
        Self { from, to, most, until: Instant::now() + COPYING }
    }

    fn time(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Copies what can be, and says what was and what was not.
    pub fn carry(&self) -> Carried {
        let mut outcome = Outcome::default();
        match self.headings() {
            Ok((old, new)) => old.iter().for_each(|table| self.table(table, &new, &mut outcome)),
            Err(error) => outcome.left.push(format!("stick tables: {error}")),
        }
        Carried { set: outcome.set, left: outcome.left, age_seconds: None }
    }

    /// The tables of both.
    fn headings(&self) -> Result<(Vec<TableHeading>, Vec<TableHeading>), String> {
        let old = self.from.0.tables(self.time()).ok_or("the former HAProxy does not answer")?;
        let new = self.to.0.tables(self.time()).map_err(|error| error.to_string())?;
        Ok((TableHeading::all(&old.text), TableHeading::all(&new.text)))
    }

    fn table(&self, old: &TableHeading, new: &[TableHeading], outcome: &mut Outcome) {
        let [was, is] = [self.from.1, self.to.1].map(|files| files.tables.find(&old.name));
        let shared = |table: Option<&StickTable>| table.is_some_and(|table| table.is_shared);
        if old.used == 0 || shared(is) || (is.is_none() && shared(was)) {
            return;
        }
        let new = new.iter().find(|new| new.name == old.name);
        let longer = || "the longest key is another one now".to_owned();
        let length = was.zip(is).filter(|(was, is)| was.length != is.length).map(|_| longer());
        match (old.cannot_become(new).or(length), new) {
            (None, Some(new)) => self.copy(old, new.size, outcome),
            (why, _) => outcome.left.push(left(&old.name, old.used, &why.unwrap_or_default())),
        }
    }

    fn copy(&self, table: &TableHeading, size: usize, outcome: &mut Outcome) {
        let most = size.min(self.most.saturating_sub(outcome.entries));
        let mut copying = Copying::of(self, &table.name, most);
        let read = self.from.0.table(&table.name, self.time(), |line| copying.take(line));
        if copying.broken.is_none() {
            let _ = copying.flush();
        }
        let Copying { set, failed, refused, broken, .. } = copying;
        outcome.entries += set;
        if set > 0 {
            outcome.set.push(format!("table {}: {}", table.name, Count(set, "entry")));
        }
        let refused = refused.unwrap_or_default();
        outcome.left.extend(refused.iter().map(|data| refused_data(&table.name, data)));
        if let Some((failed, why)) = &failed {
            outcome.left.push(left(&table.name, *failed, why));
        }
        let rest = table.used.saturating_sub(set + failed.map_or(0, |(failed, _)| failed));
        let limit = (set >= most).then(|| {
            if most < size {
                format!("CLEARWAY_CARRY has `tables={}`", self.most)
            } else {
                "the table has no more room".to_owned()
            }
        });
        let why = broken.or_else(|| read.err().map(|error| self.why(&error))).or(limit);
        outcome.left.extend(why.filter(|_| rest > 0).map(|why| left(&table.name, rest, &why)));
    }

    /// Why something was in vain.
    fn why(&self, error: &dyn fmt::Display) -> String {
        if self.time().is_zero() {
            format!("{} s were not enough", COPYING.as_secs())
        } else {
            error.to_string()
        }
    }

    /// Whether a number of a server means the same one in both.
    fn has_same_numbers(&self) -> bool {
        let old = self.from.0.servers_state(self.time());
        let new = self.to.0.servers_state(self.time()).ok();
        let (old, new) = (old.as_ref(), new.as_ref());
        old.and_then(|old| old.servers_state().ok())
            .zip(new.and_then(|new| new.servers_state().ok()))
            .is_some_and(|(old, new)| same_numbers(old, new))
    }
}

/// One table, while it is copied.
struct Copying<'a> {
    tables: &'a Tables<'a>,
    name: &'a str,
    /// How many entries may be set.
    most: usize,
    /// The data that the new HAProxy does not take. Unset until one entry was tried.
    refused: Option<BTreeSet<String>>,
    /// Commands that are not given yet.
    line: Vec<String>,
    length: usize,
    /// How many entries are set.
    set: usize,
    /// How many are not, and why one of them.
    failed: Option<(usize, String)>,
    /// Why nothing more can be set.
    broken: Option<String>,
}

impl<'a> Copying<'a> {
    fn of(tables: &'a Tables<'a>, name: &'a str, most: usize) -> Self {
        let (line, failed, broken) = (Vec::new(), None, None);
        Self { tables, name, most, refused: None, line, length: 0, set: 0, failed, broken }
    }

    /// Takes a line of the former HAProxy.
    fn take(&mut self, line: &str) -> ControlFlow<()> {
        let Some(entry) = TableEntry::of(line) else { return ControlFlow::Continue(()) };
        if self.set + self.line.len() >= self.most {
            return ControlFlow::Break(());
        }
        match self.command(&entry) {
            Ok(command) => {
                self.length += command.len() + 1;
                self.line.push(command);
            }
            Err(error) => self.fail(error.to_string()),
        }
        if self.length < LINE { ControlFlow::Continue(()) } else { self.flush() }
    }

    fn command(&mut self, entry: &TableEntry<'_>) -> Result<String, Unsettable> {
        let refused = match self.refused.take() {
            Some(refused) => refused,
            None => self.try_each(entry)?,
        };
        let command = entry.command(self.name, &refused);
        self.refused = Some(refused);
        command
    }

    /// Sets each value of an entry by itself: gives those that are refused.
    fn try_each(&self, entry: &TableEntry<'_>) -> Result<BTreeSet<String>, Unsettable> {
        let mut refused = BTreeSet::new();
        let mut each = entry.each(self.name)?;
        if each.iter().any(|(name, _)| *name == SERVER) && !self.tables.has_same_numbers() {
            each.retain(|(name, _)| *name != SERVER);
            refused.insert(SERVER.to_owned());
        }
        let commands: Vec<&str> = each.iter().map(|(_, command)| command.as_str()).collect();
        // That it does not answer shows at the next command as well.
        let answers = self.tables.to.0.give_all(&commands, self.tables.time()).unwrap_or_default();
        let names = each.iter().zip(answers).filter(|(_, answer)| !answer.trim().is_empty());
        refused.extend(names.map(|((name, _), _)| (*name).to_owned()));
        Ok(refused)
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert((0, why)).0 += 1;
    }

    /// Gives the commands that wait.
    fn flush(&mut self) -> ControlFlow<()> {
        let commands: Vec<&str> = self.line.iter().map(String::as_str).collect();
        let answers = self.tables.to.0.give_all(&commands, self.tables.time());
        self.line.clear();
        self.length = 0;
        match answers {
            Ok(answers) => {
                for answer in answers {
                    match answer.trim() {
                        "" => self.set += 1,
                        said => {
                            self.fail(format!("HAProxy said `{}`", said.lines().next().unwrap_or_default()));
                        }
                    }
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.broken = Some(self.tables.why(&error));
                ControlFlow::Break(())
            }
        }
    }
}

fn refused_data(table: &str, data: &str) -> String {
    let why = match data {
        SERVER => "servers have other numbers now, or do not tell them",
        _ => "HAProxy does not take it there",
    };
    format!("table {table}: {data}: {why}")
}

fn left(table: &str, number: usize, why: &str) -> String {
    format!("table {table}: {}: {why}", Count(number, "entry"))
}
