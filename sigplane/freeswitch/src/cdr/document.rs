//! From a document to the texts in it that matter.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{CdrError, Limits};

/// What a CDR says. Of several elements of a name the first one counts: in FreeSWITCH's callflow that is the latest.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Attributes of the root.
    pub(super) root: HashMap<String, String>,
    /// `variables`, as they stand there: percent-encoded.
    pub(super) variables: HashMap<String, String>,
    /// `callflow/caller_profile`, plain.
    pub(super) profile: HashMap<String, String>,
}

/// Text of a field that is kept: enough for each column, in whatever encoding.
const FIELD: usize = 4_096;

/// Which of the document's elements a text is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Variable,
    Profile,
}

pub(super) fn read(text: &str, limits: &Limits) -> Result<Document, CdrError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut document = Document::default();
    let mut path: Vec<String> = Vec::new();
    let mut elements = 0;
    let mut is_over = false;
    let mut value = String::new();
    loop {
        let event = reader
            .read_event()
            .map_err(|e| CdrError::Malformed(e.to_string()))?;
        if let Event::Start(start) | Event::Empty(start) = &event {
            elements += 1;
            if elements > limits.elements {
                return Err(CdrError::Elements);
            }
            if is_over {
                return Err(CdrError::Malformed("there is a second root".into()));
            }
            if path.is_empty() {
                document.root = root(start)?;
            }
            path.push(start.name().as_ref().to_owned());
            if path.len() > limits.depth {
                return Err(CdrError::Depth);
            }
            value.clear();
        }
        match event {
            Event::Start(_) => {}
            Event::Empty(_) | Event::End(_) => {
                document.note(&path, &value);
                value.clear();
                path.pop();
                is_over = path.is_empty();
            }
            Event::Text(text) => add(&mut value, &path, &text.xml10_content())?,
            Event::CData(text) => add(&mut value, &path, &text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let malformed = |e: quick_xml::Error| CdrError::Malformed(e.to_string());
                let text = match reference.resolve_char_ref().map_err(malformed)? {
                    Some(c) => c.to_string(),
                    None => predefined(&reference.xml10_content())?.to_owned(),
                };
                add(&mut value, &path, &text)?;
            }
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose();
                let encoding = encoding.map_err(|e| CdrError::Malformed(e.to_string()))?;
                let is_ours = |e: &str| {
                    ["utf-8", "utf8", "us-ascii"]
                        .iter()
                        .any(|known| e.eq_ignore_ascii_case(known))
                };
                if encoding.is_some_and(|e| !is_ours(&e)) {
                    return Err(CdrError::Charset);
                }
            }
            Event::DocType(_) => return Err(CdrError::DocumentType),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if is_over {
        Ok(document)
    } else if path.is_empty() {
        Err(CdrError::NotACdr)
    } else {
        Err(CdrError::Malformed("it ends in the middle".into()))
    }
}

fn root(start: &BytesStart<'_>) -> Result<HashMap<String, String>, CdrError> {
    if start.name().as_ref() != "cdr" {
        return Err(CdrError::NotACdr);
    }
    let mut attributes = HashMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| CdrError::Malformed(e.to_string()))?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| CdrError::Entity)?;
        let name = attribute.key.as_ref().to_owned();
        attributes.insert(name, short(&value).to_owned());
    }
    Ok(attributes)
}

fn add(value: &mut String, path: &[String], text: &str) -> Result<(), CdrError> {
    if path.is_empty() {
        let is_blank = text.bytes().all(|b| b.is_ascii_whitespace());
        return match is_blank {
            true => Ok(()),
            false => Err(CdrError::Malformed(
                "there is text outside of the root".into(),
            )),
        };
    }
    let room = FIELD.saturating_sub(value.len());
    value.push_str(
        text.get(..text.floor_char_boundary(room))
            .unwrap_or_default(),
    );
    Ok(())
}

fn predefined(name: &str) -> Result<&'static str, CdrError> {
    Ok(match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        _ => return Err(CdrError::Entity),
    })
}

fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(FIELD))
        .unwrap_or_default()
}

impl Document {
    fn note(&mut self, path: &[String], value: &str) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let (place, name) = match names.as_slice() {
            ["cdr", "variables", name] => (Place::Variable, *name),
            ["cdr", "callflow", "caller_profile", name] => (Place::Profile, *name),
            _ => return,
        };
        let texts = match place {
            Place::Variable => &mut self.variables,
            Place::Profile => &mut self.profile,
        };
        let known = match place {
            Place::Variable => super::row::VARIABLES,
            Place::Profile => super::row::PROFILE,
        };
        if known.contains(&name) && !texts.contains_key(name) {
            texts.insert(name.to_owned(), value.trim().to_owned());
        }
    }
}
