//! `clearway apply`: what is on disk is changed in the HAProxy that serves where that can be, else there is a reload; waits until it is
//! done, and says what came of it.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;

use crate::command::reload;
use crate::front::find::Target;

/// Applies, or reloads, the running instance.
pub async fn apply(target: Target) -> Result<ExitCode, Failure> {
    reload::ask(target, "/v1/apply", "nothing was applied").await
}
