//! `clearway cleanup`: removes what dead instances left behind, from a cold start. What a living instance
//! uses, and what others made, is not touched.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_kernel::capabilities::{self, Capability};

use crate::front::find::Target;
use crate::peers::admin_socket;

/// Sweeps the kernel and the run directory.
pub fn cleanup(target: &Target) -> Result<ExitCode, Failure> {
    let held =
        capabilities::effective().map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
    if !held.has(Capability::NetAdmin) {
        let message = "cleaning up needs NET_ADMIN, which this process does not have";
        return Err(Failure::new(ExitCode::Rights, message)
            .hint("run it as root, or with --cap-add=NET_ADMIN and --network=host in a container"));
    }
    let mut removed = Vec::new();
    let result = clearway_kernel::plumbing::sweep();
    if let Ok(swept) = &result {
        removed.extend(swept.removed.iter().cloned());
    }
    removed.extend(admin_socket::remove_dead(&target.settings.run_directory));
    if target.json {
        crate::say!("{}", serde_json::json!({ "removed": removed }));
    } else if removed.is_empty() {
        crate::say!("nothing was left behind");
    } else {
        for one in &removed {
            crate::say!("removed: {one}");
        }
    }
    match result {
        Ok(_) => Ok(ExitCode::Done),
        Err(errors) => Err(Failure::new(ExitCode::Residue, errors.to_string())),
    }
}
