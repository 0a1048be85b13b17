//! HTML of which every text is escaped: names come from the user's file, and sentences from HAProxy.

/// A part of a page. Texts become one by `into()`, escaped; only what is in the source is markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// An element. Attributes are escaped, too.
    pub fn tag(name: &'static str, attributes: &[(&'static str, &str)], inside: impl Into<Self>) -> Self {
        let mut whole = format!("<{name}");
        for (attribute, value) in attributes {
            whole += " ";
            whole += attribute;
            whole += "=\"";
            escape(value, &mut whole);
            whole += "\"";
        }
        whole += ">";
        whole += &inside.into().0;
        whole += "</";
        whole += name;
        whole += ">";
        Self(whole)
    }

    /// An element without attributes.
    pub fn of(name: &'static str, inside: impl Into<Self>) -> Self {
        Self::tag(name, &[], inside)
    }

    /// The same followed by another one.
    #[must_use]
    pub fn then(mut self, next: impl Into<Self>) -> Self {
        self.0 += &next.into().0;
        self
    }

    /// As it goes to the browser.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl From<&str> for Html {
    fn from(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        escape(text, &mut escaped);
        Self(escaped)
    }
}

impl From<String> for Html {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Html {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Option<Html>> for Html {
    fn from(part: Option<Html>) -> Self {
        part.unwrap_or_default()
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<T: IntoIterator<Item = Html>>(parts: T) -> Self {
        parts.into_iter().fold(Self::default(), Self::then)
    }
}

/// What means anything in HTML, as an entity; what would hide or turn round other text, as a mark that it was there.
fn escape(text: &str, escaped: &mut String) {
    for character in text.chars() {
        match character {
            '&' => *escaped += "&amp;",
            '<' => *escaped += "&lt;",
            '>' => *escaped += "&gt;",
            '"' => *escaped += "&quot;",
            '\'' => *escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push(char::REPLACEMENT_CHARACTER),
            hidden if hidden.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_attributes_are_escaped_and_elements_are_not() {
        let inside = Html::of("b", "<script>&'\"").then("\u{1b}[31m\u{202e}\0é\n");
        let whole = Html::tag("p", &[("title", "\"><script>")], inside).into_string();
        assert_eq!(
            whole,
            "<p title=\"&quot;&gt;&lt;script&gt;\"><b>&lt;script&gt;&amp;&#39;&quot;</b>\u{fffd}[31m\u{fffd}\u{fffd}é\n</p>"
        );
    }
}
