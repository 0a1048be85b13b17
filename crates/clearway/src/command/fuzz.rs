//! Any bytes as what a running Clearway answers, which may be of another version.

use crate::front::api::{EndOf, Ended, Holding, Reloaded, Reloads, Sessions, Status};
use crate::front::client;

/// An answer, taken for each of those that there are.
pub(crate) fn admin_answers(data: &[u8]) {
    if let Ok(status) = client::understand::<Status>(data) {
        let text = [super::status::fuzz::in_words(&status), super::drain::in_words(&status)];
        assert!(text.iter().all(|text| !text.is_empty()));
        assert!(is_understood_again(&status), "{status:?}");
    }
    if let Ok(reloads) = client::understand::<Reloads>(data) {
        assert!(super::history::in_words(&reloads).starts_with("WHEN"));
        // The last digit of a fraction of a second may be another one.
        assert!(client::understand::<Reloads>(&serde_json::to_vec(&reloads).unwrap_or_default()).is_ok());
    }
    if let Ok(sessions) = client::understand::<Sessions>(data) {
        assert!(super::sessions::in_words(&sessions).lines().count() >= sessions.generations.len());
        assert!(is_understood_again(&sessions));
    }
    if let Ok(answer) = client::understand::<Reloaded>(data) {
        let _ = super::print::code(answer.exit_code());
        assert!(is_understood_again(&answer));
    }
    if let Ok(answer) = client::understand::<Ended>(data) {
        let _ = super::print::code(answer.code);
    }
    if let Ok(answer) = client::understand::<EndOf>(data) {
        assert!(is_understood_again(&answer));
    }
    match client::understand::<Holding>(data) {
        Ok(holding) => assert!(!holding.to_string().is_empty() && is_understood_again(&holding)),
        Err(failure) => assert!(failure.message.chars().count() < 500, "{failure:?}"),
    }
}

/// What is written of it is read as the same.
fn is_understood_again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq>(answer: &T) -> bool {
    let written = serde_json::to_vec(answer).unwrap_or_default();
    client::understand::<T>(&written).is_ok_and(|again| again == *answer)
}
