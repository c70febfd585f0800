//! The escapes of /etc/issue, as agetty(8) has them: pure, what they stand for is asked for.

/// A text with its escapes expanded. `fact` says what an escape stands for, with its argument in braces if it has one; what it
/// does not know is left out, as are colours: the screen has its own.
pub(crate) fn expand(text: &str, fact: impl Fn(char, Option<&str>) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = behind.chars();
        let Some(letter) = chars.next() else {
            rest = "";
            break;
        };
        rest = chars.as_str();
        if !"bdeslmnoOrStuUv46".contains(letter) {
            // agetty prints the letter itself: `\\` is a backslash.
            out.push(letter);
            continue;
        }
        let argument = match letter {
            'e' | 'S' | '4' | '6' => rest
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}')),
            _ => None,
        };
        if let Some((_, behind)) = argument {
            rest = behind;
        }
        out.extend(fact(letter, argument.map(|(inside, _)| inside)));
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, |letter, argument| match (letter, argument) {
            ('n', _) => Some("edge-1".to_owned()),
            ('l', _) => Some("tty1".to_owned()),
            ('S', Some("VERSION_ID")) => Some("12".to_owned()),
            ('S', None) => Some("Debian".to_owned()),
            ('4', Some("eno1")) => Some("192.0.2.10".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn escapes_are_expanded_or_left_out_as_by_agetty() {
        for (text, wanted) in [
            ("Tandem \\n \\l\n", "Tandem edge-1 tty1\n"),
            ("\\S \\S{VERSION_ID}|\\S{NAME}|", "Debian 12||"),
            ("\\4{eno1} \\4 \\6{eno1}.", "192.0.2.10  ."),
            ("\\e{red}red\\e{reset} \\e[1m", "red [1m"),
            ("a\\\\b \\x", "a\\b x"),
            ("\\d \\t \\u \\U \\b \\o \\O", "      "),
            ("the end \\", "the end "),
            ("open \\S{VERSION", "open Debian{VERSION"),
            ("password  abcde-fghjk", "password  abcde-fghjk"),
        ] {
            assert_eq!(expanded(text), wanted, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_without_escapes_stays_and_any_text_has_an_end(text in any::<String>()) {
            if !text.contains('\\') {
                prop_assert_eq!(expanded(&text), text.clone());
            }
            prop_assert!(expanded(&text).len() <= text.len() * 6);
        }
    }
}
