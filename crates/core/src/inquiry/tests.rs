use super::*;

const MS: Duration = Duration::from_millis(1);

/// Asked once, with an answer after 3 ms, `now` being when it has come.
fn answered() -> (Inquiry, Duration) {
    let mut inquiry = Inquiry::default();
    inquiry.begins(1000 * MS);
    assert_eq!(inquiry.due(), Some(1000 * MS));
    inquiry.asked(Attention::Seldom);
    assert_eq!(inquiry.due(), None);
    inquiry.heard(3 * MS, 1003 * MS);
    (inquiry, 1003 * MS)
}

#[test]
fn one_that_says_nothing_is_asked_seldom() {
    let (inquiry, now) = answered();
    assert!(now + AT_LEAST < EVERY);
    assert_eq!(inquiry.due(), Some(EVERY));
    assert_eq!(Inquiry::default().due(), None);
}

#[test]
fn one_that_says_something_is_asked_soon_but_not_all_the_time() {
    let (mut inquiry, now) = answered();
    inquiry.said(now + 5000 * MS);
    assert_eq!(inquiry.due(), Some(now + 5000 * MS + AFTERWARDS));
    let (mut inquiry, now) = answered();
    inquiry.said(now + 10 * MS);
    assert_eq!(inquiry.due(), Some(now + AT_LEAST));
    // Whatever else it says now, it is asked then.
    assert!(!inquiry.listens());
    inquiry.said(now + 20 * MS);
    assert_eq!(inquiry.due(), Some(now + AT_LEAST));
}

#[test]
fn what_is_said_while_an_answer_is_awaited_is_asked_about_afterwards() {
    let (mut inquiry, now) = answered();
    inquiry.asked(Attention::Seldom);
    inquiry.said(now + MS);
    assert_eq!(inquiry.due(), None);
    inquiry.heard(MS, now + 2 * MS);
    assert_eq!(inquiry.due(), Some(now + 2 * MS + AT_LEAST));
    inquiry.asked(Attention::Seldom);
    assert!(inquiry.listens());
    inquiry.heard(MS, EVERY + MS);
    assert_eq!(inquiry.due(), Some(2 * EVERY));
    // What is said while nothing serves is of no interest.
    let mut nothing = Inquiry::default();
    nothing.said(MS);
    assert_eq!(nothing.due(), None);
}

#[test]
fn asking_takes_a_hundredth_of_the_time_at_most() {
    let mut inquiry = Inquiry::default();
    inquiry.begins(Duration::ZERO);
    inquiry.asked(Attention::Seldom);
    inquiry.heard(500 * MS, 500 * MS);
    assert_eq!(inquiry.due(), Some(60_000 * MS));
    inquiry.said(600 * MS);
    assert_eq!(inquiry.due(), Some(50_500 * MS));
    // Another generation is asked at once all the same.
    inquiry.begins(700 * MS);
    assert_eq!(inquiry.due(), Some(700 * MS));
}

#[test]
fn one_on_which_old_sessions_depend_is_asked_each_second() {
    let (mut inquiry, now) = answered();
    inquiry.asked(Attention::Close);
    inquiry.heard(3 * MS, now);
    assert_eq!(inquiry.due(), Some(now + AT_LEAST));
    // With very many servers more seldom, and when no such generation is left, seldom again.
    inquiry.asked(Attention::Close);
    inquiry.heard(500 * MS, now);
    assert_eq!(inquiry.due(), Some(now + 5000 * MS));
    inquiry.asked(Attention::Seldom);
    inquiry.heard(3 * MS, now);
    assert_eq!(inquiry.due(), Some(EVERY));
}

#[test]
fn what_is_done_seldom_is_done_together() {
    assert_eq!(together(Duration::ZERO), Duration::ZERO);
    assert_eq!(together(MS), EVERY);
    assert_eq!(together(EVERY), EVERY);
    assert_eq!(together(EVERY + MS), 2 * EVERY);
    // Far away is not at once.
    assert!(together(Duration::MAX) > Duration::from_hours(24));
}

#[test]
fn a_master_that_says_something_is_looked_at_closely_for_a_while() {
    let mut glances = Glances::begin();
    let mut now = Duration::ZERO;
    while !glances.listens() {
        assert_eq!(glances.next(now), now + CLOSE);
        now = glances.next(now);
        glances.looked();
    }
    assert_eq!(now, 3000 * MS);
    assert_eq!(glances.next(now), EVERY);
    glances.looked();
    assert_eq!(glances.next(EVERY), 2 * EVERY);
    glances.said();
    assert!(!glances.listens(), "it is looked at closely already");
    assert_eq!(glances.next(EVERY), EVERY + CLOSE);
}

#[test]
fn one_that_has_not_answered_is_asked_again_soon() {
    let mut inquiry = Inquiry::default();
    inquiry.begins(Duration::ZERO);
    inquiry.asked(Attention::Close);
    inquiry.unanswered(5 * AT_LEAST, 5 * AT_LEAST);
    assert_eq!(inquiry.due(), Some(10 * AT_LEAST));
    inquiry.asked(Attention::Seldom);
    inquiry.unanswered(5 * AT_LEAST, 15 * AT_LEAST);
    assert_eq!(inquiry.due(), Some(2 * EVERY));
    // Its words are followed.
    inquiry.asked(Attention::Seldom);
    inquiry.said(16 * AT_LEAST);
    inquiry.unanswered(Duration::ZERO, 20 * AT_LEAST);
    assert_eq!(inquiry.due(), Some(21 * AT_LEAST));
}
