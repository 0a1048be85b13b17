//! What is said about generations, beside what the core reports of their lives.

use clearway_core::count::{Count, some};
use clearway_core::names::Generation;

/// How many changed files a line names.
const NAMED: usize = 3;

clearway_core::notices! {
    /// About generations, and the files that they are started from.
    pub enum FleetNotice {
        /// After a crash or for a rollback: the files are not those that served, so that a copy of these is taken, the one of `former`.
        Warn "configuration.differs" Differs { generation: Generation, former: Generation }
            => "the configuration on disk is not the one that served: generation {generation} is started from a copy of \
                that of generation {former}; reload to take what is on disk";
        /// After a crash or for a rollback: the files cannot be read, so that a copy is taken of those that `former` was started from.
        Warn "configuration.unreadable" Unreadable { generation: Generation, former: Generation, error: String }
            => "the configuration on disk cannot be read ({error}): generation {generation} is started from a copy of \
                that of generation {former}";
        /// A file was replaced where this container cannot see it, so that the former one is read again.
        Warn "configuration.not-new" NotNew { generation: Generation, detail: String }
            => "generation {generation} is started without the new file: {detail}";
        /// What HAProxy calls the copy of a file.
        Info "configuration.copy" Copy { file: String, copy: String } => "the copy of {file} is {copy}";
        /// Watched files have changed: a reload follows.
        Info "watch.changed" Changed { files: Vec<String> } => "changed: {}", some(files, NAMED);
        /// A watched file that HAProxy needs is gone: nothing is reloaded until it is back.
        Warn "watch.missing" Missing { file: String }
            => "{file} is gone, and HAProxy would not start without it; waiting until it is back";
        /// It is back.
        Info "watch.back" Back { file: String } => "{file} is back";
        /// A mounted file was replaced on the host: it will never change here again.
        Warn "watch.replaced" Replaced { detail: String } => "{detail}";
        /// The configuration names more files than are watched.
        Warn "watch.incomplete" Incomplete => "the configuration names more files than are watched: some are not";
        /// The kernel does not tell what changes: the files are looked at every `pause` seconds.
        Warn "watch.polls" Polls { error: String, pause: u64 }
            => "watching the files: {error}; they are looked at every {pause} s instead";
        /// The file systems of watched files do not answer.
        Warn "watch.hangs" Hangs
            => "the watched files, or some of them, do not answer (are they on another machine?): nothing is watched \
                until they do";
        /// They do again.
        Info "watch.answers" Answers => "the watched files answer again";
        /// What another Clearway or a holder knew of the servers is known here now.
        Info "servers.inherited" Inherited { servers: usize, age: u64 }
            => "the state of {} was handed over, as it was {age} s ago", Count(*servers, "server");
        /// Sessions of a generation are cut; unset if it does not say how many.
        Warn "generation.cut" Cut { generation: Generation, sessions: Option<u64> }
            => "{}", cut(*generation, *sessions);
        /// Sessions of a generation that drains are ended, as their server has gone down since
        /// (`on-marked-down shutdown-sessions`).
        Warn "generation.server-down" ServerDown { generation: Generation, server: String, sessions: usize }
            => "{server} is down, so generation {generation} ends {} with it (on-marked-down shutdown-sessions)",
                Count(*sessions, "session");
        /// A signal could not be sent to a process of a generation.
        Error "generation.not-signalled"
        NotSignalled { generation: Generation, signal: String, pid: u32, error: String, hints: Vec<String> }
            => "{signal} to generation {generation}, pid {pid}: {error}";
        /// A signal could not be sent to the program of a `program` section.
        Warn "program.not-signalled" ProgramNotSignalled { signal: String, pid: u32, error: String }
            => "{signal} to the program with pid {pid}: {error}";
        /// A process says that it is a worker, and is none.
        Warn "generation.wrong-worker" WrongWorker { pid: u32, master: u32 }
            => "process {pid} says that it is the worker of {master}, which is not its parent";
        /// The limit of open files could not be raised; null is "no limit".
        Warn "process.files-limited" FilesLimited { limit: Option<u64>, error: String }
            => "the limit of open files stays at {}: {error}",
                limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        /// There is no process that HAProxy is told of as its predecessor.
        Warn "process.no-stand-in" NoStandIn { error: String }
            => "starting the process that HAProxy is told of as its predecessor: {error}; stick tables are lost if \
                another reload follows within ten seconds";
        /// The memory that is left would not do for another HAProxy with the same files.
        Warn "memory.short" MemoryShort { error: String }
            => "memory is short; the same files as before would be {error}";
    }
}

fn cut(generation: Generation, sessions: Option<u64>) -> String {
    match sessions {
        Some(sessions) => format!("generation {generation}: cutting {}", Count(sessions, "session")),
        None => format!("generation {generation} does not say how many sessions are cut"),
    }
}
