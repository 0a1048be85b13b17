//! The page `GET /` in a real browser: what a person sees with and without JavaScript, by day and at night, on a telephone, by
//! keyboard, and where a token is needed.
//!
//! With `CLEARWAY_PICTURES=DIRECTORY` (`make pictures`) the pictures of docs/how-to/page.md are made anew.

mod browser;
mod reading;

use std::fs;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::Session;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code};
use browser::{Browser, Look};

crate::tests![
    without_javascript_the_page_shows_the_state,
    a_reload_a_refused_one_and_a_crash_appear_by_themselves,
    it_can_be_read_by_day_at_night_on_a_telephone_and_by_keyboard,
    where_a_token_is_needed_the_browser_asks_for_it,
];

const ADMIN: (&str, &str) = ("CLEARWAY_ADMIN", "127.0.0.1:9180");
const PAGE: &str = "http://127.0.0.1:9180/";
const TOKEN: &str = "a-token-of-this-test-0123456789";

/// Has the next reload refused, for a line of the file.
fn break_it(stage: &Stage) -> Result<()> {
    stage.write(&(stage.plain() + "    nonsense <b>here</b>\n"))?;
    assert_code(stage.clearway(&["reload"])?.status, 65)
}

fn reload(stage: &Stage) -> Result<()> {
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)
}

/// Kills the worker that serves, and waits for the next generation.
fn crash(balancer: &Balancer, generation: u32) -> Result<()> {
    let serving = balancer.wait_for_event(0, "generation.serving", &[("generation", &generation)], SOON)?;
    let worker = serving["worker"].as_u64().context("a worker")?;
    let position = balancer.log_position()?;
    balancer.kill_descendant(u32::try_from(worker)?)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON).map(drop)
}

/// A stage on which something of each kind has happened, with a session in an old generation.
fn eventful(stage: &Stage) -> Result<(Balancer, Session)> {
    stage.write(&stage.plain())?;
    let balancer = stage.start_with(&[], &[ADMIN])?;
    reload(stage)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    reload(stage)?;
    crash(&balancer, 3)?;
    break_it(stage)?;
    Ok((balancer, session))
}

fn without_javascript_the_page_shows_the_state() -> Result<()> {
    let stage = Stage::new("pagestatic")?;
    let browser = Browser::start(&stage.hosts.balancer)?;
    let (mut balancer, session) = eventful(&stage)?;
    browser.look(Look { scripts: false, ..Look::DESK })?;
    browser.open(PAGE)?;
    browser
        .wait_for("#now", &["serving", "HAProxy refused the last reload (generation 5)", "exit code 1"])?;
    let failure = browser.text("#failure")?;
    for words in
        ["Why", "(exit code 65)", ": nonsense <b>here</b>", "unknown keyword 'nonsense'", "What it cost"]
    {
        ensure!(failure.contains(words), "no `{words}` in: {failure}");
    }
    let rows = browser.run(
        "return [...document.querySelectorAll('#reloads tbody tr:first-child')].map(row => row.innerText)",
    )?;
    let rows: Vec<&str> = rows.as_array().context("no rows")?.iter().filter_map(|row| row.as_str()).collect();
    ensure!(rows.len() == 6, "{rows:?}");
    let wanted = [
        ["reload", "refused"],
        ["restart", "took"],
        ["crash", "crashed"],
        ["reload", "took"],
        ["reload", "took"],
        ["start", "took"],
    ];
    for (row, words) in rows.iter().zip(wanted) {
        ensure!(words.iter().all(|word| row.contains(word)), "{words:?} is not in {row}");
    }
    let generations = browser.text("#generations tbody")?;
    ensure!(generations.contains("serving") && generations.contains("draining"), "{generations}");
    let front = stage.fronts()[0].to_string();
    ensure!(browser.text("#sockets")?.contains(&front), "{front}");
    ensure!(browser.text("#servers")?.contains("f0/s"), "{}", browser.text("#servers")?);
    ensure!(browser.text("header")?.contains("load the page again"), "{}", browser.text("header")?);
    drop(session);
    browser.quit()?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_reload_a_refused_one_and_a_crash_appear_by_themselves() -> Result<()> {
    let stage = Stage::new("pagelive")?;
    let browser = Browser::start(&stage.hosts.balancer)?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[ADMIN])?;
    browser.look(Look::DESK)?;
    browser.open(PAGE)?;
    browser.wait_for("#live", &["live"])?;
    browser.wait_for("#failure", &["No start, reload or restart has failed"])?;
    // What a person has opened, and where the focus is, stays as it is.
    browser.run("document.querySelector('#event-1 details').open = true; document.querySelector('#event-1 summary').focus()")?;
    reload(&stage)?;
    browser.wait_for("#now", &["The last reload took (generation 2)"])?;
    browser.wait_for("#event-2", &["reload", "took"])?;
    break_it(&stage)?;
    browser
        .wait_for("#failure", &["nonsense", ": nonsense <b>here</b>", "What it cost", "went on serving"])?;
    browser.wait_for("#said", &["HAProxy refused the last reload (generation 3)"])?;
    ensure!(
        browser
            .run("return document.title")?
            .as_str()
            .is_some_and(|title| title.starts_with("serving, the last reload failed"))
    );
    stage.write(&stage.plain())?;
    crash(&balancer, 2)?;
    browser.wait_for("#reloads", &["crash", "crashed", "restart"])?;
    browser.wait_for("#now", &["The last restart took (generation 4)"])?;
    browser.wait_for("#failure", &["It is over: ", "restart took"])?;
    let kept = browser.run("return [document.querySelector('#event-1 details').open, document.activeElement.closest('tbody')?.id]")?;
    ensure!(kept == serde_json::json!([true, "event-1"]), "{kept}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    browser.wait_for("#live", &["not reached; what is shown is as of "])?;
    browser.quit()?;
    stage.assert_clean()
}

fn it_can_be_read_by_day_at_night_on_a_telephone_and_by_keyboard() -> Result<()> {
    let stage = Stage::new("pageread")?;
    let browser = Browser::start(&stage.hosts.balancer)?;
    let (mut balancer, session) = eventful(&stage)?;
    for (look, name) in [(Look::DESK, "page-light"), (Look::PHONE, "page-phone-dark")] {
        browser.look(look)?;
        browser.open(PAGE)?;
        browser.wait_for("#live", &["live"])?;
        // Also what is folded away.
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")?;
        reading::assert_contrast(&browser).context(name)?;
        let widths = browser.run("return [document.documentElement.scrollWidth, innerWidth]")?;
        ensure!(widths[0].as_u64() <= widths[1].as_u64(), "{name} is wider than its screen: {widths}");
        browser.run("document.querySelectorAll('details').forEach(one => one.open = false)")?;
        if let Ok(directory) = std::env::var("CLEARWAY_PICTURES") {
            let (most, scale) = if name == "page-light" { (1450, 0.7) } else { (1500, 1.0) };
            let picture = browser.picture(most, scale)?;
            ensure!(picture.len() < 150_000, "{name} has {} bytes", picture.len());
            fs::write(format!("{directory}/{name}.png"), picture)?;
        }
    }
    browser.look(Look::DESK)?;
    browser.open(PAGE)?;
    browser.wait_for("#live", &["live"])?;
    reading::assert_names(&browser)?;
    reading::assert_keyboard(&browser)?;
    drop(session);
    browser.quit()?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn where_a_token_is_needed_the_browser_asks_for_it() -> Result<()> {
    let stage = Stage::new("pagetoken")?;
    let browser = Browser::start(&stage.hosts.balancer)?;
    stage.write(&stage.plain())?;
    fs::write(stage.path("token"), TOKEN)?;
    let file = stage.path("token").display().to_string();
    let mut balancer = stage.start_with(&[], &[ADMIN, ("CLEARWAY_ADMIN_TOKEN_FILE", &file)])?;
    browser.look(Look::DESK)?;
    // As a browser does when a person has answered its question for a name and a password: the name does not matter.
    browser.open(&PAGE.replace("://", &format!("://me:{TOKEN}@")))?;
    browser.wait_for("#live", &["live"])?;
    reload(&stage)?;
    browser.wait_for("#now", &["The last reload took (generation 2)"])?;
    browser.quit()?;
    let stranger = Browser::start(&stage.hosts.balancer)?;
    stranger.look(Look::DESK)?;
    stranger.open(&PAGE.replace("://", "://me:another@"))?;
    let seen = stranger.run("return document.documentElement.outerHTML")?.to_string();
    ensure!(!seen.contains("generation"), "{seen}");
    stranger.quit()?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
