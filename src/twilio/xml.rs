//! Writing XML: elements, attributes, text, and nothing that another reader could take for something else.

use std::fmt::Write as _;

/// An element. Text stands before its children, as in Twilio's own documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    children: Vec<Self>,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            text: String::new(),
            children: Vec::new(),
        }
    }

    /// With an attribute more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// With an attribute more, if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With this text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// With a child more.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// With children more.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Writes it as a document of its own.
    #[must_use]
    pub fn document(&self) -> String {
        let mut out = String::from(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        // Writing to a `String` does not fail.
        let _ = write!(out, "<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}=\"");
            escape(value, out);
            out.push('"');
        }
        if self.text.is_empty() && self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        escape(&self.text, out);
        for child in &self.children {
            child.write(out);
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

/// Writes text so that it is text wherever it stands. What XML 1.0 §2.2 forbids is dropped; white space is written as a
/// reference, as an attribute would lose it else (§3.3.3).
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_written_with_all_that_it_has() {
        let element = Element::new("Dial")
            .with("action", "/next?a=1&b=\"2\"")
            .with_some("method", None::<String>)
            .with_some("timeout", Some("30"))
            .child(Element::new("Sip").text("sip:a@b?X-A=<1>&X-B='2'"))
            .children([Element::new("Hangup"), Element::new("Pause")]);

        assert_eq!(
            element.document(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Dial action=\"/next?a=1&amp;b=&quot;2&quot;\" timeout=\"30\">\
             <Sip>sip:a@b?X-A=&lt;1&gt;&amp;X-B=&apos;2&apos;</Sip><Hangup/><Pause/></Dial>"
        );
    }

    #[test]
    fn what_xml_forbids_is_dropped_and_white_space_is_kept() {
        let element = Element::new("Say").text("a\0b\u{7}c\u{fffe}d\te\r\nf\u{e9}\u{1f600}]]>");

        assert_eq!(
            element.document(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Say>abcd&#9;e&#13;&#10;f\u{e9}\u{1f600}]]&gt;</Say>"
        );
    }
}
