//! `clearway plan`: what `clearway apply` would do. Asked on a thread: files are read, and HAProxy is asked.

use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use tokio::sync::oneshot;

use crate::apply;
use crate::fleet::to_plan::{ReadQuestion, ServingToChange};
use crate::front::api::PlannedChange;
use crate::front::request::PlanAnswer;
use crate::front::view::View;
use crate::ground::aside;

/// How long all of it may take.
const PLANNING: Duration = Duration::from_secs(25);

/// How long the files may take.
const READING: Duration = Duration::from_secs(5);

impl View<'_> {
    /// Tells what would be changed at run time, or why it would be a reload. Nothing is changed, and no attempt begins.
    pub fn answer_plan(&self, sender: oneshot::Sender<PlanAnswer>) {
        let Some(serving) = self.fleet.to_change() else {
            let failure = Failure::new(ExitCode::NotReady, "no generation serves that could be changed")
                .hint("`clearway status` says how far the start is");
            return drop(sender.send(Err(failure.into())));
        };
        let question = self.fleet.read_question();
        aside::spawn("planning what would be changed at run time", move || {
            let planning = question.planning.clone();
            let (serving, question) = (Arc::new(serving), Arc::new(question));
            // Each costs processes of HAProxy, and anyone who may ask may ask often.
            let planned = planning.outcome_within("planning for a client", PLANNING, move || {
                plan(&serving, Arc::clone(&question))
            });
            let planned = planned.unwrap_or_else(|| {
                let message = format!("it was not planned within {} s", PLANNING.as_secs());
                Err(Failure::new(ExitCode::NotReady, message)
                    .hint("is another one being planned, or HAProxy busy?"))
            });
            let _ = sender.send(planned.map_err(Into::into));
        });
    }
}

fn plan(serving: &ServingToChange, question: Arc<ReadQuestion>) -> Result<Box<PlannedChange>, Failure> {
    let comparing = question.comparing.clone();
    let read =
        comparing.outcome_within("reading what is on disk for a plan", READING, move || question.ask());
    let read = read.unwrap_or_else(|| {
        let message = format!("its files do not answer within {} s", READING.as_secs());
        Err(Failure::new(ExitCode::ConfigurationUnreadable, message))
    });
    let planned = apply::plan(serving, &read?);
    Ok(Box::new(PlannedChange::of(serving.generation.number(), &planned.verdict)))
}
