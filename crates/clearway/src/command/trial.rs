//! `clearway reload --dry-run`: whether a reload would take, and what it would change.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::Bound;
use hyper::{Method, StatusCode};

use crate::command::print::{code, list, refused};
use crate::front::client::{self, Wait};
use crate::front::find::Target;
use crate::front::{api, find};

/// Asks, and waits until the generation that was tried has shown what it can.
pub async fn dry_run(target: Target) -> Result<ExitCode, Failure> {
    let (status, _) = client::status(find::find(&target).await?.stream).await?;
    let found = find::find(&target).await?;
    let (answered, body) = client::request(found.stream, Method::POST, "/try", Wait::AsLongAsItTakes).await?;
    if answered == StatusCode::NOT_FOUND {
        let message = format!("the Clearway that runs, {}, cannot try a reload", status.version);
        return Err(Failure::new(ExitCode::Usage, message).hint("`clearway check` looks at its files"));
    }
    if !matches!(answered, StatusCode::OK | StatusCode::CONFLICT) {
        return Err(client::refused("/try", answered, &body));
    }
    let answer: api::Reloaded = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
        return Ok(code(answer.exit_code()));
    }
    match &answer {
        api::Reloaded::Tried { adopted, fresh, unclaimed, changes } => {
            crate::say!("a reload would take; nothing was changed");
            if let Some(configuration) = &status.configuration {
                crate::say!("files: {}", configuration.words);
            }
            let Bound { new, gone, twice } = Bound::of(fresh, unclaimed);
            crate::say!("listening sockets that it would take over: {adopted}");
            list("it would listen on", &new);
            list("it would no longer listen on", &gone);
            list("it would bind a second socket, and clients would be brought there", &twice);
            for change in changes {
                crate::say!("{change}");
            }
        }
        api::Reloaded::Refused(why) => refused("a reload would fail", why),
        api::Reloaded::Serving { .. } | api::Reloaded::Applied { .. } | api::Reloaded::Stopping => {
            crate::complain!("clearway: it is stopping and reloads no more");
        }
    }
    Ok(code(answer.exit_code()))
}
