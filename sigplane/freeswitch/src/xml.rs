//! Writing XML: elements with attributes, escaped by the library; nothing else is needed here.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// A document that is being written.
pub(crate) struct Document {
    writer: Writer<Vec<u8>>,
    open: Vec<&'static str>,
}

impl Document {
    /// A whole document, with its declaration.
    pub(crate) fn new() -> Self {
        let mut document = Self::fragment();
        document.put(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        document
    }

    /// To be included in another one: no declaration.
    pub(crate) fn fragment() -> Self {
        Self {
            writer: Writer::new_with_indent(Vec::new(), b' ', 2),
            open: Vec::new(),
        }
    }

    /// Begins an element; what is written until [`Self::end`] is in it.
    pub(crate) fn begin(&mut self, name: &'static str, attributes: &[(&str, &str)]) -> &mut Self {
        self.put(Event::Start(element(name, attributes)));
        self.open.push(name);
        self
    }

    /// Ends the element that was begun last.
    pub(crate) fn end(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.put(Event::End(BytesEnd::new(name)));
        }
        self
    }

    /// An element with nothing in it.
    pub(crate) fn empty(&mut self, name: &'static str, attributes: &[(&str, &str)]) -> &mut Self {
        self.put(Event::Empty(element(name, attributes)));
        self
    }

    /// `<param name="…" value="…"/>`, of which FreeSWITCH has many.
    pub(crate) fn param(&mut self, name: &str, value: &str) -> &mut Self {
        self.empty("param", &[("name", name), ("value", value)])
    }

    /// A remark for people.
    pub(crate) fn comment(&mut self, text: &str) -> &mut Self {
        // `--` may not be in one.
        let text = text.replace("--", "- -");
        self.put(Event::Comment(BytesText::from_escaped(format!(" {text} "))));
        self
    }

    /// The text; what is still open is ended.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        let mut text = String::from_utf8(self.writer.into_inner()).unwrap_or_default();
        text.push('\n');
        text
    }

    fn put(&mut self, event: Event<'_>) {
        // Into memory: there is nothing that could fail.
        let _ = self.writer.write_event(event);
    }
}

fn element<'a>(name: &'a str, attributes: &[(&str, &str)]) -> BytesStart<'a> {
    BytesStart::new(name).with_attributes(attributes.iter().copied())
}

/// Whether a text can stand in an attribute and come back as it was: no control characters, and none that XML 1.0 does not
/// have (section 2.2).
pub(crate) fn is_plain(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{fffd}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_xml_is_escaped() {
        let mut document = Document::fragment();
        document
            .begin("a", &[])
            .param("x", "<&>\"'")
            .comment("a--b");
        let text = document.finish();
        assert!(
            text.contains("value=\"&lt;&amp;&gt;&quot;&apos;\""),
            "{text}"
        );
        assert!(text.contains("<!-- a- -b -->"), "{text}");
        assert!(text.ends_with("</a>\n"), "{text}");
        assert!(is_plain("Zoë <x>") && !is_plain("a\0b") && !is_plain("a\nb"));
    }
}
