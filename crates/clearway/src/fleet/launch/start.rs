//! A generation that is prepared gets a process.

use std::io;
use std::sync::{Arc, OnceLock};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::settings::LogFormat;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::{Event, Strictness};
use clearway_haproxy::configuration::Configuration;

use crate::debug;
use crate::fleet::Fleet;
use crate::fleet::child::{self, Forked, Streams};
use crate::fleet::deaf::Hears;
use crate::fleet::hand_over::{BindBeside, HandOver};
use crate::fleet::joined::CountsFrom;
use crate::fleet::launch::inherited::{Inherited, cannot};
use crate::fleet::launch::{Prepared, Surroundings};
use crate::fleet::memory::FirstToGo;
use crate::fleet::prove::{Candidate, Offered, tell};
use crate::fleet::running::RunningGeneration;
use crate::fleet::standard_error::StandardError;
use crate::tell::output;
use crate::tell::voice::{Speaker, Stream, Voice};

impl Fleet {
    /// Starts a prepared generation; what comes of it arrives as news.
    pub fn launch(&mut self, generation: Generation, strictness: Strictness, around: Surroundings) -> Event {
        let Some(mut prepared) = self.preparing.take(generation) else {
            let failure = Failure::new(ExitCode::Internal, "a generation was launched that was not prepared");
            return Event::Failed { generation, failure };
        };
        prepared.overlay.lenient = strictness == Strictness::Lenient;
        let stats_file = prepared.stats_file.take();
        let shares = prepared.configuration.global.shm_stats_file.is_some();
        let counts = match &stats_file {
            _ if shares => CountsFrom::Shared,
            Some(_) => CountsFrom::Others,
            None => CountsFrom::Nothing,
        };
        match self.start(generation, prepared, around) {
            Ok(mut running) => {
                running.begins_with(stats_file);
                let pid = running.pid();
                self.roster.begins(generation, running);
                self.joined.begins(generation, counts);
                Event::Started { generation, pid }
            }
            Err(failure) => Event::Failed { generation, failure },
        }
    }

    fn start(
        &mut self,
        generation: Generation,
        prepared: Prepared,
        around: Surroundings,
    ) -> Result<RunningGeneration, Failure> {
        let Surroundings { sockets, has_predecessor, publics } = around;
        let offered = Offered::of(&prepared.selection, &sockets);
        let predecessor = self.predecessor_of(&prepared, has_predecessor);
        let Inherited { descriptors, files, names, ends, to_prove, to_hand_over } =
            Inherited::make(&prepared, &self.descriptors, !offered.is_nothing(), predecessor)?;
        let arguments = self.invocation.supervised_arguments(&files);
        let program = self.executable.name();
        let shown: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        debug!("exec {} {}", program.display(), shown.join(" "));
        let (said, streams) = self
            .streams(generation, names)
            .map_err(|error| cannot("its standard output and error", &error))?;
        let Prepared { configuration, imprint, overlay, selection, rights, carries, hears, .. } = prepared;
        let limit = self.descriptors.limit;
        let Forked { pid: master, exec } =
            child::spawn(program, arguments, descriptors, streams, rights, limit, hears)
                .map_err(|error| cannot("fork", &error))?;
        // From here on there is a process, which may serve: nothing may fail until it is known.
        let first_to_go = FirstToGo::make(master, self.roster.count() == 0);
        let (asked, limit) = (Arc::new(OnceLock::new()), self.settings.ready_timeout);
        if let Some(end) = to_hand_over {
            let (beside, asked) = (self.beside(&configuration, hears), Arc::clone(&asked));
            HandOver { end, selection, sockets, beside, limit, asked }.begin();
        }
        let rate_limit = overlay.rate_limit;
        let begin = || self.begin_to_carry(generation, &ends.stats, &configuration, rate_limit);
        let carry = carries.then(begin).flatten();
        let candidate = Candidate {
            generation,
            master,
            stats: to_prove,
            offered,
            publics,
            configuration: Arc::clone(&configuration),
            frontend_maxconn: self.invocation.frontend_maxconn.filter(|number| *number > 0),
            hears,
            limit,
            asked,
        };
        // Without the thread that carries nothing would lift the limit.
        if !candidate.begin(self.news.clone()) || (carry.is_none() && rate_limit.is_some()) {
            let message = "HAProxy was started, and cannot be asked whether it is ready";
            tell(&self.news, generation, Err(Failure::new(ExitCode::Internal, message)));
        }
        let from = (configuration, imprint);
        Ok(RunningGeneration::begins((generation, master, exec), from, ends, said, carry, first_to_go))
    }

    /// What listens to a generation, and where that goes for HAProxy.
    fn streams(
        &self,
        generation: Generation,
        names: Vec<(String, String)>,
    ) -> io::Result<(StandardError, Streams)> {
        let log = self.settings.log;
        let voice = |stream| Voice::of(Speaker::Haproxy(generation), stream, log);
        let (said, stderr) = StandardError::listen(voice(Stream::Stderr), names)?;
        let stdout = match log.format {
            LogFormat::Text => None,
            LogFormat::Json => output::pass_to_stdout(voice(Stream::Stdout))?,
        };
        Ok((said, Streams { stdout, stderr }))
    }

    /// The pid that a generation is told of as its predecessor, if one drains for it that may have stick tables to pass on.
    fn predecessor_of(&mut self, prepared: &Prepared, has_predecessor: bool) -> Option<u32> {
        let drains = self.roster.serves().is_some() || has_predecessor;
        if prepared.hears == Hears::Clients && drains && prepared.configuration.has_peers() {
            self.stand_in.pid()
        } else {
            None
        }
    }

    /// What a generation from these files is to bind beside the one that serves.
    fn beside(&self, configuration: &Configuration, hears: Hears) -> BindBeside {
        let alone = configuration.global.noreuseport.is_some()
            || self.invocation.passed.iter().any(|word| word == "-dR");
        // What is only tried takes no client over, so it binds nothing beside.
        let strategy = if hears == Hears::Nothing { Strategy::Handoff } else { self.settings.strategy };
        BindBeside::of(strategy, self.roster.serves().filter(|_| !alone))
    }
}
