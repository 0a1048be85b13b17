//! `clearway status`: for people, or as JSON.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;

use crate::cli::Depth;
use crate::front::find::Target;

mod asked;
mod findings;
#[cfg(any(test, feature = "fuzz"))]
pub(super) mod fuzz;
mod watch;
mod words;

use asked::Told;

/// Asks the running Clearway and prints what it says, or only whether anything is wrong.
pub async fn status(target: Target, depth: Depth) -> Result<ExitCode, Failure> {
    match depth {
        Depth::Watch(pause) => watch::watch(&target, pause).await,
        Depth::All => {
            crate::say!("{}", asked::text(&target).await?);
            Ok(ExitCode::Done)
        }
        Depth::Check => Ok(match asked::ask(&target).await?.0 {
            Told::Balancer(status) => findings::say(&status, target.json),
            Told::Holder(holding) => findings::say_of_a_holder(&holding, target.json),
        }),
    }
}
