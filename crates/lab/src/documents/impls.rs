//! A type of the binary has its methods in its own file, or in modules below it: nothing else reaches into it.

use std::collections::BTreeSet;

use super::source::{Crate, written};
use super::tokens::tokens;

/// The types of which a file has blocks with methods of their own (no trait), as they are written there.
fn inherent(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        // Elsewhere it is a type: `-> impl Iterator`.
        let is_item = at == 0 || ["}", ";", "]", "{", "unsafe"].contains(&tokens[at - 1].as_str());
        if token != "impl" || !is_item {
            continue;
        }
        let head: Vec<&String> =
            tokens[at + 1..].iter().take_while(|token| *token != "{" && *token != "where").collect();
        let head = without_parameters(&head);
        if !head.iter().any(|word| *word == "for") {
            found.push(head.into_iter().filter(|word| *word != "::").cloned().collect());
        }
    }
    found
}

/// Without what stands in `<...>`.
fn without_parameters<'a>(head: &[&'a String]) -> Vec<&'a String> {
    let (mut depth, mut before, mut kept) = (0, "", Vec::new());
    for word in head {
        match word.as_str() {
            "<" => depth += 1,
            ">" if before != "-" => depth -= 1,
            _ if depth == 0 => kept.push(*word),
            _ => {}
        }
        before = word;
    }
    kept
}

#[test]
fn no_type_has_methods_in_a_file_of_another() {
    let (mut count, mut elsewhere) = (0, BTreeSet::new());
    let source = Crate::read("clearway");
    for (path, module) in &source.modules {
        for words in inherent(&module.tokens) {
            count += 1;
            let home = source.home(path, &words);
            if home.is_none_or(|home| !path.starts_with(&home)) {
                elsewhere.insert((written(path), words.join("::")));
            }
        }
    }
    assert!(count > 100, "only {count} blocks were found");
    assert!(elsewhere.is_empty(), "these reach into a type of another file: {elsewhere:#?}");
}

#[test]
fn blocks_with_methods_are_told_from_traits_and_types() {
    let text = "impl<'a, F: Fn() -> u8> One<'a, F> { fn two() -> impl Iterator { } } impl Drop for Three {} \
                unsafe impl Send for Four {} impl super::Five where Five: Sized {} fn six(a: impl Seven) {}";
    assert_eq!(inherent(&tokens(text)), [vec!["One"], vec!["super", "Five"]]);
}
