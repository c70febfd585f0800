//! Places in a text: where a key is, and where a secret is.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::database::{DatabaseUrl, url};
use crate::mistake::position;

/// Line and column, both from 1, of a key such as `tls.certificate.chain`; of the `nth` element (from 0) where there is a list
/// of sections on the way. The place of what is above it where it is not written down, and the text's beginning for nothing of it.
#[must_use]
pub fn place(text: &str, key: &str, nth: usize) -> (usize, usize) {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut offset = 0;
    let mut table = Some(document.get_ref());
    for part in key.split('.') {
        let value = table.and_then(|table| table.get(part));
        let Some(value) = value.and_then(|value| element(value, nth)) else {
            break;
        };
        offset = value.span().start;
        table = value.get_ref().as_table();
    }
    position(text, offset)
}

/// A list of sections stands for one of them.
fn element<'a, 'd>(
    value: &'a Spanned<DeValue<'d>>,
    nth: usize,
) -> Option<&'a Spanned<DeValue<'d>>> {
    match value.get_ref().as_array() {
        Some(list) if list.iter().any(|e| e.get_ref().as_table().is_some()) => list.get(nth),
        _ => Some(value),
    }
}

/// The text with a mask in the place of the password in `database.url`.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let (document, _) = DeTable::parse_recoverable(text);
    let value = document
        .get_ref()
        .get("database")
        .and_then(|database| database.get_ref().as_table())
        .and_then(|database| database.get("url"));
    let Some(value) = value else {
        return text.to_owned();
    };
    let said = value.get_ref().as_str().unwrap_or_default();
    let has_none = match url(said) {
        Ok(DatabaseUrl::Sqlite(_)) => true,
        Ok(DatabaseUrl::MariaDb(url)) => url.password.is_none(),
        // Who knows what it is.
        Err(_) => false,
    };
    let span = value.span();
    let parts = (text.get(..span.start), text.get(span.end..));
    let (false, (Some(before), Some(after))) = (has_none, parts) else {
        return text.to_owned();
    };
    let masked = said
        .split_once("://")
        .and_then(|(scheme, rest)| {
            let (credentials, rest) = rest.rsplit_once('@')?;
            let user = credentials.split(':').next()?;
            let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != '\\');
            (is_plain(user) && is_plain(rest)).then(|| format!("\"{scheme}://{user}:***@{rest}\""))
        })
        .unwrap_or_else(|| "\"***\"".to_owned());
    format!("{before}{masked}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[node]\nid = 1\n[[tls.certificate]]\nchain = \"/a\"\n\
        [[tls.certificate]]\nchain = \"/b\"\nkey = \"/k\"\n[tls]\nca = [\"/x\"]\n";

    #[test]
    fn a_key_is_found_or_what_is_above_it() {
        assert_eq!(place(TEXT, "node.id", 0), (2, 6));
        assert_eq!(place(TEXT, "tls.certificate.chain", 0).0, 4);
        assert_eq!(place(TEXT, "tls.certificate.chain", 1).0, 6);
        assert_eq!(place(TEXT, "tls.certificate.key", 1).0, 7);
        assert_eq!(place(TEXT, "tls.certificate.key", 0).0, 3, "its section");
        assert_eq!(place(TEXT, "none.of.it", 0), (1, 1));
    }

    #[test]
    fn the_password_is_masked_and_nothing_else() {
        let masked =
            |url: &str| without_secrets(&format!("[database]\nurl = {url} # x\nacc = true\n"));
        let about = |url: &str| format!("[database]\nurl = {url} # x\nacc = true\n");
        assert_eq!(
            masked("\"mysql://u:p%40@h,h2/d\""),
            about("\"mysql://u:***@h,h2/d\"")
        );
        for same in [
            "\"mysql://u@h/d\"",
            "\"sqlite:/a:b@c\"",
            "'mariadb://u@h/d'",
        ] {
            assert_eq!(masked(same), about(same));
        }
        // What cannot be read may have one all the same.
        assert_eq!(masked("\"mysql://u:p@h\""), about("\"mysql://u:***@h\""));
        assert_eq!(masked("\"nysql:u:p\""), about("\"***\""));
        assert_eq!(without_secrets("[node]\nid = 1\n"), "[node]\nid = 1\n");
        for text in [
            "",
            "[",
            "[database]\nurl = \"mysql://u:pw@h/d",
            "database = 1",
        ] {
            assert!(!without_secrets(text).contains("pw"), "{text}");
        }
    }
}
