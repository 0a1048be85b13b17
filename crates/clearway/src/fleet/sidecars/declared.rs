//! What a configuration says about programs: read, and checked, before anything is started.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::programs::{OnDeath, OnReload, ProgramSpec};
use clearway_haproxy::configuration::{Configuration, Guard, ProgramSection, ProgramSections};
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};

use crate::fleet::child::Rights;
use crate::fleet::sidecars::environment::ProgramEnvironment;
use crate::ground::accounts;

/// What a configuration says about programs.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The sections that count, in the order of the files.
    pub sections: Vec<ProgramSpec>,
    /// What follows the death of one.
    pub on_death: OnDeath,
    /// What they find in their environment.
    pub environment: ProgramEnvironment,
    /// What they may keep of the rights that Clearway has.
    pub rights: Rights,
}

impl Declared {
    /// Reads the sections that count. What HAProxy would refuse of them is refused.
    pub fn read(
        configuration: &Configuration,
        version: Version,
        counts: &mut dyn FnMut(&[Guard]) -> bool,
    ) -> Result<Option<Self>, Failure> {
        let programs = &configuration.programs;
        if programs.is_empty() || !ProgramSections::known_to(version) {
            return Ok(None);
        }
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(ExitCode::ConfigurationRefused, format!("reading the `program` sections: {error}"))
        };
        let found = programs.that_count(counts).map_err(|error| refused(&error))?;
        let sections = found.into_iter().map(section).collect::<Result<Vec<_>, String>>();
        let sections = sections.map_err(|error| refused(&error))?;
        check_signals(&sections)?;
        let on_death = if programs.may_die(counts) { OnDeath::Nothing } else { OnDeath::Restart };
        let environment = ProgramEnvironment::of(configuration);
        let rights = Rights::for_files(configuration.files.iter().map(|file| &*file.bytes));
        Ok(Some(Self { sections, on_death, environment, rights }))
    }
}

fn section(program: ProgramSection) -> Result<ProgramSpec, String> {
    let ProgramSection { name, command, user, group, starts_on_reload, .. } = program;
    let number = |what: &str, named: Option<_>, find: fn(&str) -> Option<u32>| {
        let Some((name, span)) = named else { return Ok(None) };
        let name: String = name;
        let unknown = || format!("parsing [{span}]: cannot find {what} id for '{name}'");
        find(&name).map(Some).ok_or_else(unknown)
    };
    let user = number("user", user, accounts::user)?;
    let group = number("group", group, accounts::group)?;
    let on_reload = if starts_on_reload { OnReload::Anew } else { OnReload::Keep };
    Ok(ProgramSpec { name, command, user, group, on_reload })
}

/// Without KILL a program of another user could not be told to end.
fn check_signals(sections: &[ProgramSpec]) -> Result<(), Failure> {
    let foreign = |one: &&ProgramSpec| one.user.is_some_and(|user| user != 0);
    let Some(section) = sections.iter().find(foreign) else { return Ok(()) };
    if !rustix::process::geteuid().is_root() || capabilities::has(Capability::Kill) {
        return Ok(());
    }
    let message = format!(
        "the program `{}` becomes another user, and without KILL it cannot be told to end at a reload or a stop",
        section.name
    );
    Err(Failure::new(ExitCode::Rights, message)
        .hint("add `--cap-add=KILL` to `docker run`, or leave `user` out of the section"))
}
