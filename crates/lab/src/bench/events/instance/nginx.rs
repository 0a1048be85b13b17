//! nginx as a reverse proxy for HTTP, and its upgrade of the program file as its manual has it
//! (`Controlling nginx`, "Upgrading Executable on the Fly").

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Answer, Instance, answer};
use crate::bench::daemon::{end, pid_in, tell};
use crate::bench::events::peer::NGINX;
use crate::bench::rig::Rig;
use crate::process::{children, is_alive};
use crate::wait::eventually;

/// Long enough for a slow machine.
const SOON: Duration = Duration::from_secs(20);

/// The master. It is a daemon, no child of ours.
#[derive(Debug)]
pub(super) struct Nginx {
    master: u32,
}

pub(super) fn path(rig: &Rig) -> PathBuf {
    rig.folder().join("nginx.conf")
}

/// The file of the version that was written last.
pub(super) fn configuration(rig: &Rig) -> String {
    format!(
        "user root;\n\
         pid {folder}/nginx.pid;\n\
         error_log {folder}/nginx.log;\n\
         worker_processes auto;\n\
         events {{ worker_connections 4000; }}\n\
         http {{\n \
           access_log off;\n \
           upstream servers {{ server 10.2.0.2:80; server 10.2.0.3:80; keepalive 32; }}\n \
           server {{\n  \
             listen 80;\n  \
             listen [::]:80;\n  \
             location / {{\n   \
               proxy_pass http://servers;\n   \
               proxy_http_version 1.1;\n   \
               proxy_set_header Connection \"\";\n  \
             }}\n \
           }}\n \
           server {{ listen 81; location / {{ return 200 {version}; }} }}\n\
         }}\n",
        folder = rig.folder().display(),
        version = rig.version(),
    )
}

/// What stands before a command, so that it is this nginx that hears it.
fn words(rig: &Rig) -> [String; 4] {
    let [config, log] = [path(rig), rig.folder().join("nginx.log")].map(|path| path.display().to_string());
    ["-c".into(), config, "-e".into(), log]
}

fn pid_file(rig: &Rig) -> PathBuf {
    rig.folder().join("nginx.pid")
}

impl Nginx {
    /// Its first process ends when it listens.
    pub(super) fn launch(rig: &Rig) -> Result<Self> {
        let words = words(rig);
        rig.lab.balancer.output(NGINX, &words.each_ref().map(String::as_str))?;
        let master = eventually(SOON, "nginx to write its pid file", || pid_in(&pid_file(rig)).ok())?;
        Ok(Self { master })
    }
}

impl Instance for Nginx {
    fn reload(&mut self, rig: &Rig) -> Result<Answer> {
        let mut command = rig.lab.balancer.command(NGINX);
        command.args(words(rig)).args(["-s", "reload"]);
        Ok(answer(&command.output().context("running `nginx -s reload`")?))
    }

    fn worker(&self) -> Result<u32> {
        children(self.master).first().copied().context("nginx has no worker")
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(!is_alive(self.master))
    }

    fn replace(&mut self, rig: &Rig) -> Result<()> {
        self.stop()?;
        *self = Self::launch(rig)?;
        Ok(())
    }

    fn upgrade(&mut self, rig: &Rig) -> Result<()> {
        let old = self.master;
        tell("nginx", old, Signal::USR2)?;
        // The old one moves its own pid file out of the way first.
        let new = eventually(SOON, "the new nginx to have workers", || {
            pid_in(&pid_file(rig)).ok().filter(|pid| *pid != old && !children(*pid).is_empty())
        })?;
        tell("the old nginx", old, Signal::WINCH)?;
        eventually(SOON, "the old workers to end", || {
            children(old).iter().all(|pid| *pid == new).then_some(())
        })?;
        end("the old nginx", old, Signal::QUIT)?;
        self.master = new;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        end("nginx", self.master, Signal::QUIT)
    }
}
