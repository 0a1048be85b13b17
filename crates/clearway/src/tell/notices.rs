//! What the observers say themselves.

use clearway_core::count::Count;
use clearway_core::settings::Stray;

clearway_core::notices! {
    /// About the log, the settings and systemd.
    pub enum TellNotice {
        /// Standard error was not read fast enough, and lines were lost at this place.
        Warn "log.lost" Lost { pieces: u64 }
            => "lost {} of the log here: standard error was not read fast enough", Count(*pieces, "piece");
        /// The pid file named another process that lives.
        Warn "pid-file.of-another" PidFileOfAnother { path: String, pid: u32, hints: Vec<String> }
            => "{path} named process {pid}, which is running; from now on it names this one";
        /// The pid file was a symbolic link to nothing.
        Info "pid-file.was-link" PidFileWasLink { path: String, target: String }
            => "{path} was a symbolic link to {target}, which is not there: it is a file now";
        /// The pid file is a device, and nothing is written there.
        Info "pid-file.device" PidFileIsDevice { path: String }
            => "{path} is a device: no pid is written there";
        /// The pid file could not be written.
        Warn "pid-file.failed" PidFileFailed { path: String, error: String }
            => "the pid could not be written to {path}: {error}";
        /// A variable looks like a setting of Clearway and is none.
        Warn "setting.unknown" UnknownSetting { stray: Stray } => "{stray}";
        /// `NOTIFY_SOCKET` cannot be used.
        Warn "systemd.no-address" NoSystemdAddress
            => "NOTIFY_SOCKET is neither a path nor an abstract name: systemd hears nothing from here";
        /// systemd cannot keep a listening socket.
        Warn "systemd.not-kept" NotKept { socket: String }
            => "systemd does not keep {socket}: its name in the store would be too long";
        /// systemd does not take messages.
        Warn "systemd.silent" SystemdSilent { error: String } => "telling systemd what happens: {error}";
    }
}
