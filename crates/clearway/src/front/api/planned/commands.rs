//! The commands of a step, as they are told: what is in files is counted, not shown. It may be a private key, or 50,000 lines.

use clearway_core::count::Count;
use clearway_haproxy::change::{PlanOrder, PlanStep, StepKind};

/// One line, for one command or for several that differ only in what they take from a file.
struct ToldCommand {
    command: String,
    /// How many lines of a file, and whether they follow the command.
    taken: Option<(usize, TakenFromFile)>,
    commands: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenFromFile {
    /// Behind `<<`.
    Behind,
    /// As the last words of the command.
    Within,
}

/// Those of this step, in their order.
pub fn told(step: &PlanStep) -> Vec<String> {
    let mut lines: Vec<ToldCommand> = Vec::new();
    for order in &step.orders {
        let line = line(step, order);
        match lines.last_mut() {
            Some(last) if last.takes_more(&line) => last.add(&line),
            _ => lines.push(line),
        }
    }
    lines.iter().map(ToldCommand::told).collect()
}

fn line(step: &PlanStep, order: &PlanOrder) -> ToldCommand {
    let command = &order.command;
    let (command, taken) = match &order.payload {
        Some(payload) => (command.as_str(), Some((payload.lines().count(), TakenFromFile::Behind))),
        None => match before_entry(step, command) {
            Some(begin) => (begin, Some((1, TakenFromFile::Within))),
            None => (command.as_str(), None),
        },
    };
    ToldCommand { command: command.to_owned(), taken, commands: 1 }
}

/// `add acl @{version} FILE` of a command that goes on with an entry of that file.
fn before_entry<'a>(step: &PlanStep, command: &'a str) -> Option<&'a str> {
    let takes = matches!(step.kind, StepKind::Map | StepKind::AclFile) && command.starts_with("add ");
    takes.then(|| {
        let name = format!(" {} ", step.object);
        let end = command.find(&name).map_or("add ".len(), |at| at.saturating_add(name.len()));
        command.get(..end).unwrap_or("add").trim_end()
    })
}

impl ToldCommand {
    /// Whether the next one is of the same kind.
    fn takes_more(&self, next: &Self) -> bool {
        let kind = |line: &Self| line.taken.map(|(_, kind)| kind);
        kind(self).is_some() && kind(self) == kind(next) && self.command == next.command
    }

    fn add(&mut self, next: &Self) {
        if let (Some((lines, _)), Some((more, _))) = (&mut self.taken, next.taken) {
            *lines = lines.saturating_add(more);
            self.commands = self.commands.saturating_add(next.commands);
        }
    }

    fn told(&self) -> String {
        let Self { command, taken, commands } = self;
        let Some((lines, kind)) = taken else { return command.clone() };
        let sign = if *kind == TakenFromFile::Behind { " <<" } else { "" };
        let lines = Count(*lines, "line");
        if *commands == 1 {
            format!("{command}{sign} ({lines} of the file)")
        } else {
            format!("{command}{sign} ({lines} of the file, in {})", Count(*commands, "command"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clearway_haproxy::change::Expect;

    use super::*;

    fn step(kind: StepKind, object: &str, orders: &[(&str, Option<&str>)]) -> PlanStep {
        let order = |&(command, payload): &(&str, Option<&str>)| PlanOrder {
            command: command.to_owned(),
            payload: payload.map(str::to_owned),
            expect: Expect::Silence,
        };
        let orders = orders.iter().map(order).collect();
        PlanStep { kind, object: object.to_owned(), why: String::new(), orders }
    }

    #[test]
    fn what_follows_a_command_is_counted() {
        let orders = [("set ssl cert /a.pem", Some("SECRET\nKEY\n")), ("commit ssl cert /a.pem", None)];
        assert_eq!(
            told(&step(StepKind::Certificate, "/a.pem", &orders)),
            ["set ssl cert /a.pem << (2 lines of the file)", "commit ssl cert /a.pem"]
        );
    }

    #[test]
    fn a_long_map_is_told_once() {
        let orders = [
            ("prepare map /a.map", None),
            ("add map @{version} /a.map", Some("a 1\nb 2\n")),
            ("add map @{version} /a.map", Some("c 3\n")),
            ("commit map @{version} /a.map", None),
        ];
        let lines = told(&step(StepKind::Map, "/a.map", &orders));
        let filled = "add map @{version} /a.map << (3 lines of the file, in 2 commands)";
        assert_eq!(lines, ["prepare map /a.map", filled, "commit map @{version} /a.map"]);
    }

    #[test]
    fn patterns_are_not_told() {
        let orders = [
            ("prepare acl /p.acl", None),
            ("add acl @{version} /p.acl TOKEN", None),
            ("add acl @{version} /p.acl OTHER", None),
            ("commit acl @{version} /p.acl", None),
        ];
        let lines = told(&step(StepKind::AclFile, "/p.acl", &orders));
        let filled = "add acl @{version} /p.acl (2 lines of the file, in 2 commands)";
        assert_eq!(lines, ["prepare acl /p.acl", filled, "commit acl @{version} /p.acl"]);
        // Even where the file is not found in its command.
        assert_eq!(
            told(&step(StepKind::AclFile, "/p.acl", &[("add acl #3 TOKEN", None)])),
            ["add (1 line of the file)"]
        );
    }

    #[test]
    fn other_commands_are_told_as_they_are_also_if_they_are_the_same() {
        let orders = [("set server b/s weight 2", None), ("set server b/s weight 2", None)];
        assert_eq!(told(&step(StepKind::ServerChanged, "b/s", &orders)).len(), 2);
    }
}
