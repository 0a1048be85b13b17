//! `clearway diff`, and what generations were started from: asked on threads, as files may hang and answers may be long.

use std::sync::Arc;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::front::api::{ConfigurationDiff, ConfigurationFiles};
use crate::front::request::ConfigurationAnswer;
use crate::front::view::View;
use crate::ground::aside;

impl View<'_> {
    /// Tells what a generation was started from.
    pub fn answer_configuration(&self, number: Option<u32>, sender: oneshot::Sender<ConfigurationAnswer>) {
        let Some((generation, from)) = self.fleet.started_from(number) else {
            return drop(sender.send(Err(self.not_remembered(number).into())));
        };
        let configuration = Arc::clone(&from.configuration);
        aside::spawn("telling what a generation was started from", move || {
            let _ = sender.send(Ok(json(&ConfigurationFiles::of(generation, &configuration.files))));
        });
    }

    /// Tells what is different on disk.
    pub fn answer_difference(&self, number: Option<u32>, sender: oneshot::Sender<ConfigurationAnswer>) {
        let Some(question) = self.fleet.difference_question(number) else {
            return drop(sender.send(Err(self.not_remembered(number).into())));
        };
        aside::spawn("telling what is different on disk", move || {
            let generation = question.generation;
            let answer = match question.ask() {
                Ok(found) => Ok(json(&ConfigurationDiff::of(generation, found))),
                Err(why) => Err(Failure::new(ExitCode::ConfigurationUnreadable, why).into()),
            };
            let _ = sender.send(answer);
        });
    }

    fn not_remembered(&self, number: Option<u32>) -> Failure {
        let remembered: Vec<String> = self.fleet.remembered().iter().map(Generation::to_string).collect();
        match number {
            Some(number) if !remembered.is_empty() => Failure::new(
                ExitCode::Usage,
                format!("it is not known what generation {number} was started from"),
            )
            .hint(format!(
                "what served before is remembered as long as a rollback or a crash may need it: that is of generation {}",
                remembered.join(", ")
            )),
            _ => Failure::new(ExitCode::NotServing, "no generation has served yet")
                .hint("`clearway status` says how far the start is"),
        }
    }
}

/// What is told has nothing that cannot be written as JSON.
fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}
