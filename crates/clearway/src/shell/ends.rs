//! What all rooms do at the beginning and at the end of a Clearway.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::{Action, Report};

use crate::custody::KeptBy;
use crate::ground::notice::tell;
use crate::peers;
use crate::peers::beginning::Newcomer;
use crate::peers::given::Given;
use crate::shell::Shell;

impl Shell {
    /// Begins with what a predecessor, a holder or systemd gave; says whether that is a predecessor that serves.
    pub fn begin(&mut self, mut newcomer: Newcomer) -> Result<bool, Failure> {
        let mut inherited = 0;
        if let Some(Given { sockets, servers }) = newcomer.inherited.take() {
            self.fleet.inherit_state(servers);
            inherited = self.custody.inherit(sockets).map_err(|why| peers::unusable(&why))?;
        }
        if let Some(Given { sockets, servers }) = newcomer.kept.take() {
            self.fleet.inherit_state(servers);
            self.custody.begin_with(sockets, KeptBy::Holder);
        }
        self.custody.begin_with(self.tell.kept(), KeptBy::Systemd);
        self.cutover.inherit();
        let succeeds = self.peers.begin(newcomer, inherited)?;
        if succeeds {
            self.tell.succeed();
        }
        self.front.begin(succeeds)?;
        Ok(succeeds)
    }

    /// The loop is over: the last answers, and the last words to other Clearways. Does not wait for long.
    pub async fn finish(&mut self, code: ExitCode) {
        self.front.end(code);
        tokio::join!(self.peers.finish(), self.front.let_go());
        self.fleet.hear_programs_out().await;
    }

    pub(super) fn leave(&mut self, code: ExitCode) -> ExitCode {
        self.peers.leave();
        self.fleet.leave();
        let mut residue = !self.cutover.leave();
        residue |= self.path.leave(code);
        let code = if residue && code.is_done() { ExitCode::Residue } else { code };
        self.tell.hear(&Action::Report(Report::Leaving { exit_code: code }));
        tell(&Report::Leaving { exit_code: code });
        code
    }
}
