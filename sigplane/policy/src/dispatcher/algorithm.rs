//! How a set shares its calls among its targets: by name, or by the number that Kamailio's dispatcher module gives it.

use std::fmt;

/// How the first target of a call is chosen. The others follow by priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By the hash of what this says of the request. Empty says nothing: such a request goes round robin.
    Hash(Expression),
    /// Each in its turn.
    RoundRobin,
    /// Drawn by lot.
    Random,
    /// The highest priority.
    Priority,
    /// As many calls as the attribute `weight` says, relative to the others'.
    Weight,
    /// The fewest calls now.
    CallLoad,
    /// The same as [`Self::Weight`], by the attribute `rweight`.
    RelativeWeight,
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Hash(Expression::of(Field::CallId))
    }
}

impl Algorithm {
    /// Reads a name, or Kamailio's number. `expression` belongs to the algorithm of that name (7), and to no other.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(name: &str, expression: &str) -> Result<Self, String> {
        let of = |field| Ok(Self::Hash(Expression::of(field)));
        let algorithm = match name {
            "call-id" | "0" => of(Field::CallId),
            "from-uri" | "1" => of(Field::FromUri),
            "to-uri" | "2" => of(Field::ToUri),
            "request-uri" | "3" => of(Field::RequestUri),
            "round-robin" | "4" => Ok(Self::RoundRobin),
            "auth-user" | "5" => of(Field::AuthUser),
            "random" | "6" => Ok(Self::Random),
            "expression" | "7" => return Expression::parse(expression).map(Self::Hash),
            "priority" | "8" => Ok(Self::Priority),
            "weight" | "9" => Ok(Self::Weight),
            "call-load" | "10" => Ok(Self::CallLoad),
            "relative-weight" | "11" => Ok(Self::RelativeWeight),
            "12" | "13" | "64" => Err(format!(
                "algorithm {name} of Kamailio's is not known here: 0 to 11 are"
            )),
            _ => Err(format!(
                "\"{name}\" is no algorithm: call-id, from-uri, to-uri, request-uri, round-robin, auth-user, random, expression, priority, \
                 weight, call-load and relative-weight are, or Kamailio's numbers 0 to 11"
            )),
        };
        if expression.is_empty() {
            algorithm
        } else {
            Err(format!(
                "an expression belongs to the algorithm \"expression\", not to \"{name}\""
            ))
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hash(expression) => match expression.parts.as_slice() {
                [Part::Field(Field::CallId)] => "call-id",
                [Part::Field(Field::FromUri)] => "from-uri",
                [Part::Field(Field::ToUri)] => "to-uri",
                [Part::Field(Field::RequestUri)] => "request-uri",
                [Part::Field(Field::AuthUser)] => "auth-user",
                _ => "expression",
            },
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::Priority => "priority",
            Self::Weight => "weight",
            Self::CallLoad => "call-load",
            Self::RelativeWeight => "relative-weight",
        })
    }
}

/// Something that a request says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `$ci`: Call-ID.
    CallId,
    /// `$fu`: the URI in From.
    FromUri,
    /// `$fU`: its user.
    FromUser,
    /// `$fd`: its host.
    FromHost,
    /// `$tu`: the URI in To.
    ToUri,
    /// `$tU`: its user.
    ToUser,
    /// `$td`: its host.
    ToHost,
    /// `$ru`: the Request-URI.
    RequestUri,
    /// `$rU`: its user.
    RequestUser,
    /// `$rd`: its host.
    RequestHost,
    /// `$au`: the user name in Proxy-Authorization, else in Authorization.
    AuthUser,
    /// `$si`: the address that the request came from.
    SourceAddress,
    /// `$ua`: User-Agent.
    UserAgent,
    /// `$hdr(Name)`: the first header field of this name.
    Header(String),
}

impl Field {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ci" => Self::CallId,
            "fu" => Self::FromUri,
            "fU" => Self::FromUser,
            "fd" => Self::FromHost,
            "tu" => Self::ToUri,
            "tU" => Self::ToUser,
            "td" => Self::ToHost,
            "ru" => Self::RequestUri,
            "rU" => Self::RequestUser,
            "rd" => Self::RequestHost,
            "au" => Self::AuthUser,
            "si" => Self::SourceAddress,
            "ua" => Self::UserAgent,
            _ => return None,
        })
    }
}

/// Text with variables in it, written as Kamailio's pseudo-variables: `$rU@$rd`, `$hdr(X-Account)`, `$(ru)`. `$$` is a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

impl Expression {
    /// One field.
    #[must_use]
    pub fn of(field: Field) -> Self {
        Self {
            parts: vec![Part::Field(field)],
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = Self::text(text)?;
        if read.parts.iter().any(|p| matches!(p, Part::Field(_))) {
            Ok(read)
        } else {
            Err(format!(
                "the expression \"{text}\" is the same for every call: write a variable, \"$rU\" for one"
            ))
        }
    }

    /// The same, which may also be the same for every call.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn text(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = behind.strip_prefix('$') {
                plain.push('$');
                rest = after;
                continue;
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let (field, after) = variable(behind)?;
            parts.push(Part::Field(field));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// Its text, with what `field` says in the place of its variables.
    pub fn render(&self, mut field: impl FnMut(&Field) -> Vec<u8>) -> Vec<u8> {
        let mut whole = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => whole.extend_from_slice(text.as_bytes()),
                Part::Field(of) => whole.extend(field(of)),
            }
        }
        whole
    }

    /// What it says of a request of which `field` is asked; empty if none of its fields says anything.
    pub(super) fn evaluate(&self, mut field: impl FnMut(&Field) -> Vec<u8>) -> Vec<u8> {
        if let [Part::Field(only)] = self.parts.as_slice() {
            return field(only);
        }
        let (mut whole, mut says) = (Vec::new(), false);
        for part in &self.parts {
            match part {
                Part::Text(text) => whole.extend_from_slice(text.as_bytes()),
                Part::Field(of) => {
                    let value = field(of);
                    says |= !value.is_empty();
                    whole.extend(value);
                }
            }
        }
        if says { whole } else { Vec::new() }
    }
}

/// Reads a variable behind its dollar, and gives what follows it.
fn variable(text: &str) -> Result<(Field, &str), String> {
    let unknown = |name: &str| {
        Err(format!(
            "\"${name}\" is not known: $ci, $fu, $fU, $fd, $tu, $tU, $td, $ru, $rU, $rd, $au, $si, $ua and $hdr(Name) are"
        ))
    };
    let no_end = || Err(format!("\"${text}\" has no closing parenthesis"));
    if let Some(behind) = text.strip_prefix("hdr(") {
        let Some((name, after)) = behind.split_once(')') else {
            return no_end();
        };
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            return Err(format!("\"{name}\" is not the name of a header field"));
        }
        return Ok((Field::Header(name.to_owned()), after));
    }
    if let Some(behind) = text.strip_prefix('(') {
        let Some((name, after)) = behind.split_once(')') else {
            return no_end();
        };
        return match Field::parse(name) {
            Some(field) => Ok((field, after)),
            None => unknown(name),
        };
    }
    // All of these names have two letters.
    let end = text.char_indices().nth(2).map_or(text.len(), |(i, _)| i);
    let (name, after) = text.split_at_checked(end).unwrap_or((text, ""));
    match Field::parse(name) {
        Some(field) => Ok((field, after)),
        None => unknown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(expression: &str) -> Vec<u8> {
        let says = |field: &Field| match field {
            Field::RequestUser => b"4711".to_vec(),
            Field::RequestHost => b"example.net".to_vec(),
            Field::Header(name) => name.clone().into_bytes(),
            _ => Vec::new(),
        };
        Expression::parse(expression).unwrap().evaluate(says)
    }

    #[test]
    fn names_and_kamailios_numbers_are_the_same() {
        let names = [
            "call-id",
            "from-uri",
            "to-uri",
            "request-uri",
            "round-robin",
            "auth-user",
            "random",
            "expression",
            "priority",
            "weight",
            "call-load",
            "relative-weight",
        ];
        for (number, name) in names.into_iter().enumerate() {
            let expression = if number == 7 { "$rU" } else { "" };
            let by_name = Algorithm::parse(name, expression).unwrap();
            let by_number = Algorithm::parse(&number.to_string(), expression);
            assert_eq!(by_number, Ok(by_name.clone()));
            assert_eq!(by_name.to_string(), name);
        }
        for (name, expression) in [("12", ""), ("fair", ""), ("random", "$rU"), ("7", "")] {
            assert!(Algorithm::parse(name, expression).is_err(), "{name}");
        }
    }

    #[test]
    fn an_expression_is_text_and_variables() {
        assert_eq!(key("$rU@$rd"), b"4711@example.net");
        assert_eq!(key("a$$b$(rU)c"), b"a$b4711c");
        assert_eq!(key("$hdr(X-Account)"), b"X-Account");
        assert_eq!(key("x$au"), b"", "nothing but text says nothing");
    }

    #[test]
    fn a_wrong_expression_says_what_is_wrong() {
        for (text, says) in [
            ("", "same for every call"),
            ("abc", "same for every call"),
            ("$", "\"$\" is not known"),
            ("$xy", "\"$xy\" is not known"),
            ("$(rU", "closing parenthesis"),
            ("$hdr(X", "closing parenthesis"),
            ("$hdr(a b)", "not the name"),
            ("$ü", "is not known"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", dollars in "[$()a-zA-Z ü]{0,20}") {
            let _ = Expression::parse(&text);
            let _ = Expression::parse(&dollars);
        }
    }
}
