//! Why no Clearway is meant: there is none, or there are several.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;

use super::found::Found;
use super::target::{Named, Target};

/// None is chosen: each is listed with what selects it.
pub(super) fn several(found: &[Found]) -> Failure {
    let one = |found: &Found| match found.pid {
        Some(pid) => format!("{} (pid {pid})", found.name),
        None => found.name.clone(),
    };
    let listed = found.iter().map(one).collect::<Vec<_>>().join(", ");
    let first = found.first();
    let name = first.map_or("NAME", |one| &*one.name);
    let pid = first.and_then(|one| one.pid).map_or_else(String::new, |pid| format!(" or `--pid {pid}`"));
    Failure::new(ExitCode::NoInstance, format!("several Clearways are running here: {listed}"))
        .hint(format!("say which, for example with `--socket {name}`{pid}"))
        .hint("give each a name with CLEARWAY_INSTANCE: then `--instance NAME` selects it")
}

/// Names for people, in one line.
pub fn names(found: &[Found]) -> String {
    found.iter().map(|one| &*one.name).collect::<Vec<_>>().join(", ")
}

pub(super) fn none(target: &Target, elsewhere: &[Found]) -> Failure {
    let settings = &target.settings;
    let nowhere = |message: String| {
        Failure::new(ExitCode::NoInstance, message)
            .hint("`clearway status` without `--socket` and `--pid` lists what can be seen from here")
    };
    match &target.named {
        Some(Named::Socket(name)) => return nowhere(format!("no Clearway answers at `{name}`")),
        Some(Named::Pid(pid)) => {
            return nowhere(format!("process {pid} is not a Clearway, or its socket is not seen from here"));
        }
        None => {}
    }
    let which = match &settings.instance {
        Some(name) => format!("no running Clearway with the instance name `{name}` was found"),
        None => "no running Clearway was found".to_owned(),
    };
    if !elsewhere.is_empty() {
        let message = format!("{which}, but in another network namespace: {}", names(elsewhere));
        return Failure::new(ExitCode::NoInstance, message).hint(
            "run this in the network namespace that is meant (`ip netns exec`, `docker exec`), or name the one that is \
             meant with `--instance NAME`, `--socket` or `--pid`",
        );
    }
    let message =
        format!("{which}, neither below {} nor as an abstract socket", settings.run_directory.display());
    Failure::new(ExitCode::NoInstance, message)
        .hint("run this where Clearway runs, for example with `docker exec CONTAINER clearway ...`")
}
