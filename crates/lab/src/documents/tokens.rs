//! The words and signs of Rust, as far as imports can be read from them.

/// The words and signs of a text; `::` and `=>` are one. Comments go, and so does what is in quotes.
pub fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if first == '"' {
            quoted(rest)
        } else if first == '\'' && is_character(rest) {
            1 + quoted_by(&rest[1..], '\'')
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
            end
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let length = if rest.starts_with("::") || rest.starts_with("=>") { 2 } else { first.len_utf8() };
            found.push(rest[..length].to_owned());
            length
        };
        rest = &rest[length..];
    }
    found
}

fn quoted(text: &str) -> usize {
    1 + quoted_by(&text[1..], '"')
}

/// How long it is to the end of the quotes, with them.
fn quoted_by(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// A lifetime has no second quote.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

fn raw_string(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("br").or(text.strip_prefix('r'))?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let begin = text.len() - inner.len() + hashes + 1;
    inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len()))
}

/// What a `use` says, after the word itself: each name, and the path that it stands for.
pub fn used(tokens: &[String]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut before: Vec<Vec<String>> = vec![Vec::new()];
    let mut path: Vec<String> = Vec::new();
    let mut name: Option<String> = None;
    let mut words = tokens.iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "::" => {}
            "{" => before.push(path.clone()),
            "as" => name = words.next().cloned(),
            "," | "}" => {
                if let Some(entry) = entry(&before, &mut path, &mut name) {
                    found.push(entry);
                }
                if word == "}" {
                    before.pop();
                }
                path = before.last().cloned().unwrap_or_default();
                // What follows is the end of an outer list, of which nothing is left to say.
                if word == "}" && words.peek().is_some_and(|next| *next == "," || *next == "}") {
                    path.clear();
                }
            }
            "self" if !path.is_empty() => name = path.last().cloned(),
            _ => path.push(word.clone()),
        }
    }
    found.extend(entry(&before, &mut path, &mut name));
    found
}

/// One name of a list, unless its place is empty (a comma before the end).
fn entry(
    before: &[Vec<String>],
    path: &mut Vec<String>,
    name: &mut Option<String>,
) -> Option<(String, Vec<String>)> {
    let path = std::mem::take(path);
    let name = name.take();
    if path.is_empty() || (name.is_none() && before.last() == Some(&path)) {
        return None;
    }
    Some((name.or_else(|| path.last().cloned())?, path))
}

/// The paths in the code: `a::b::c`.
pub fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let is_word = |token: &String| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut path = Vec::new();
        while is_word(&tokens[at]) {
            path.push(tokens[at].clone());
            if tokens.get(at + 1).is_none_or(|next| next != "::")
                || tokens.get(at + 2).is_none_or(|next| !is_word(next))
            {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            found.push(path);
        }
        at += 1;
    }
    found
}
