//! Forms, as mod_xml_curl posts them: `application/x-www-form-urlencoded` in a body or a query.

use std::borrow::Cow;

use thiserror::Error;

/// Fields at most. FreeSWITCH sends some forty, and a channel's variables for a dialplan.
const FIELDS: usize = 2_048;

/// Why a form is not read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FormError {
    /// It has too many fields.
    #[error("more than {FIELDS} fields")]
    Fields,
}

/// The fields, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads several texts as one, such as a query and a body; of two fields of a name the first one counts. What is not UTF-8
    /// has U+FFFD in its place.
    ///
    /// # Errors
    /// When there are too many fields.
    pub fn read(texts: &[&'a [u8]]) -> Result<Self, FormError> {
        let mut fields = Vec::new();
        for text in texts {
            // Some versions of mod_xml_curl end the body with a line.
            for field in form_urlencoded::parse(text.trim_ascii_end()) {
                if fields.len() == FIELDS {
                    return Err(FormError::Fields);
                }
                fields.push(field);
            }
        }
        Ok(Self(fields))
    }

    /// A field's value; none when it is absent or empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_ref()).filter(|v| !v.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_and_empty_is_absent() {
        let form = Form::read(&[b"a=1&b=", b"a=2&c=x%20y+z&b=3\n"]).unwrap();
        assert_eq!(form.value("a"), Some("1"));
        assert_eq!(form.value("b"), None);
        assert_eq!(form.value("c"), Some("x y z"));
        let many = "x=1&".repeat(FIELDS + 1);
        assert_eq!(Form::read(&[many.as_bytes()]), Err(FormError::Fields));
    }
}
