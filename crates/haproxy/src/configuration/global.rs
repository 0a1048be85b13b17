//! The settings of `global` that concern Clearway, and those that fight with it.

use std::fmt;
use std::sync::Arc;

use super::guards::Guard;
use super::span::Span;

/// One setting with its values. Where it stands several times, the last one is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalSetting {
    /// Where it stands.
    pub span: Span,
    /// The words behind the keyword, joined by one blank.
    pub value: String,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}

/// What `global` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// `user NAME`
    pub user: Option<GlobalSetting>,
    /// `group NAME`
    pub group: Option<GlobalSetting>,
    /// `uid N`
    pub uid: Option<GlobalSetting>,
    /// `gid N`
    pub gid: Option<GlobalSetting>,
    /// `chroot DIRECTORY`: the worker needs `SYS_CHROOT`.
    pub chroot: Option<GlobalSetting>,
    /// `unix-bind [prefix PATH] [mode M] ...`, for the Unix sockets of `bind` lines.
    pub unix_bind: Option<GlobalSetting>,
    /// `pidfile FILE`, each line: the first one that counts is taken. HAProxy's master would write its pid there at each
    /// start, in spite of `-db`, and never remove the file (measured with 2.6.12, 3.0.11, 3.2.26).
    pub pid_files: Vec<GlobalSetting>,
    /// `stats-file FILE` (3.0), each line: the first one that counts is read when HAProxy starts. A relative path is relative to where
    /// that happens, whatever `default-path` says (measured with 3.0.11).
    pub stats_files: Vec<GlobalSetting>,
    /// `shm-stats-file FILE` (3.3): all processes count in shared memory.
    pub shm_stats_file: Option<GlobalSetting>,
    /// `nbproc N`: refused since 2.5. In 2.4, several processes would each have their own sockets.
    pub nbproc: Option<GlobalSetting>,
    /// `stats maxconn N`, 10 if unsaid: counts all stats sockets together, Clearway's private one too.
    pub stats_maxconn: Option<GlobalSetting>,
    /// `setcap LIST`, since 2.9. A second line is added to the first (measured with 3.0.11 and 3.2.26).
    pub setcap: Option<GlobalSetting>,
    /// `hard-stop-after TIME`
    pub hard_stop_after: Option<GlobalSetting>,
    /// `mworker-max-reloads N` (2.2): how many reloads a worker may outlive.
    pub max_reloads: Option<GlobalSetting>,
    /// `default-path`. What is read with the configuration the overlay does not disturb (measured with all four
    /// kinds); for what is read afterwards see [`crate::overlay::Overlay::default_path`].
    pub default_path: Option<GlobalSetting>,
    /// `zero-warning`
    pub zero_warning: Option<GlobalSetting>,
    /// `quiet`: HAProxy may not say why it refuses a configuration (up to 3.0 it does not, measured with 2.6.12).
    pub quiet: Option<GlobalSetting>,
    /// `maxconnrate N`
    pub max_conn_rate: Option<GlobalSetting>,
    /// `maxsessrate N`
    pub max_sess_rate: Option<GlobalSetting>,
    /// `lua-load FILE`: Lua code that all threads share.
    pub lua_load: Option<GlobalSetting>,
    /// `lua-load-per-thread FILE` (2.4): Lua code of each thread.
    pub lua_load_per_thread: Option<GlobalSetting>,
    /// `noreuseport`: no second socket can be bound to an address; `-dR` does the same.
    pub noreuseport: Option<GlobalSetting>,
}

impl Global {
    /// Whether the worker changes to another user: `user` or `uid`, other than root.
    pub fn changes_user(&self) -> bool {
        self.other_users().next().is_some()
    }

    /// The lines that make the worker change to another user, guarded or not.
    pub fn other_users(&self) -> impl Iterator<Item = &GlobalSetting> {
        let user = self.user.iter().filter(|user| user.value != "root");
        user.chain(self.uid.iter().filter(|uid| uid.value != "0"))
    }

    /// What HAProxy puts before the path of a Unix socket of a `bind` line: `unix-bind prefix PATH`.
    pub fn unix_prefix(&self) -> Option<&str> {
        let mut words = self.unix_bind.as_ref()?.value.split(' ');
        words.find(|word| *word == "prefix")?;
        words.next()
    }

    /// The value of `stats maxconn`, if it says a number.
    pub fn stats_maxconn(&self) -> Option<u32> {
        self.stats_maxconn.as_ref()?.value.parse().ok()
    }

    /// The value of `mworker-max-reloads`, if it says a number, and the conditions under which it counts.
    pub fn max_reloads(&self) -> Option<(u32, &[Guard])> {
        let setting = self.max_reloads.as_ref()?;
        Some((setting.value.split_whitespace().next()?.parse().ok()?, &setting.guards))
    }

    /// Where a keyword is kept.
    pub(super) fn slot(&mut self, keyword: &str) -> Option<&mut Option<GlobalSetting>> {
        Some(match keyword {
            "user" => &mut self.user,
            "group" => &mut self.group,
            "uid" => &mut self.uid,
            "gid" => &mut self.gid,
            "chroot" => &mut self.chroot,
            "unix-bind" => &mut self.unix_bind,
            "shm-stats-file" => &mut self.shm_stats_file,
            "nbproc" => &mut self.nbproc,
            "setcap" => &mut self.setcap,
            "hard-stop-after" => &mut self.hard_stop_after,
            "mworker-max-reloads" => &mut self.max_reloads,
            "default-path" => &mut self.default_path,
            "zero-warning" => &mut self.zero_warning,
            "quiet" => &mut self.quiet,
            "maxconnrate" => &mut self.max_conn_rate,
            "maxsessrate" => &mut self.max_sess_rate,
            "lua-load" => &mut self.lua_load,
            "lua-load-per-thread" => &mut self.lua_load_per_thread,
            "noreuseport" => &mut self.noreuseport,
            _ => return None,
        })
    }
}

/// The option of `master-worker` that is about programs.
pub(super) const TOLERANT: &str = "no-exit-on-failure";

/// A keyword that fights with supervision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FightingKeyword {
    /// `daemon`: `-db` wins (measured with 2.6.12, 3.0.11, 3.2.26).
    Daemon,
    /// `master-worker`: changes nothing (measured with 2.6.12, 3.0.11, 3.2.26; 3.5 refuses the keyword).
    MasterWorker,
    /// `master-worker no-exit-on-failure`: the same, but for the sections `program`.
    Tolerant,
}

/// A line that fights with supervision. Its `Display` is one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fighting {
    /// Where it stands.
    pub span: Span,
    /// What it says.
    pub keyword: FightingKeyword,
    /// The conditions under which it counts.
    pub guards: Arc<[Guard]>,
}

impl Fighting {
    /// The line as one that fights, if it does.
    pub(super) fn new(keyword: &str, span: &Span, value: &str, guards: &Arc<[Guard]>) -> Option<Self> {
        let keyword = match keyword {
            "daemon" => FightingKeyword::Daemon,
            "master-worker" if value.split(' ').next() == Some(TOLERANT) => FightingKeyword::Tolerant,
            "master-worker" => FightingKeyword::MasterWorker,
            _ => return None,
        };
        Some(Self { span: span.clone(), keyword, guards: Arc::clone(guards) })
    }
}

impl fmt::Display for Fighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = &self.span;
        match &self.keyword {
            FightingKeyword::Daemon => {
                write!(f, "`daemon` ({span}) has no effect: Clearway supervises HAProxy in the foreground")
            }
            FightingKeyword::MasterWorker => write!(
                f,
                "`master-worker` ({span}) has no effect: each generation is one master and one worker anyway"
            ),
            FightingKeyword::Tolerant => write!(
                f,
                "`master-worker {TOLERANT}` ({span}): the program of a `program` section that dies is not started again \
                 before the next reload; there is no other effect, each generation is one master and one worker anyway"
            ),
        }
    }
}
