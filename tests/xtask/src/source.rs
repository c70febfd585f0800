//! What the sources of a room must and must not say.

use std::fs;
use std::path::{Path, PathBuf};

use crate::house::{self, Kind};
use crate::layers::Package;

/// Every fault in the sources of a package.
pub(crate) fn check(package: &Package) -> Vec<String> {
    let Some(room) = house::find(&package.name) else {
        return Vec::new();
    };
    let Some(folder) = package.manifest_path.parent() else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    if room.kind == Kind::Pure {
        faults.extend(pure(&package.name, folder));
    }
    if !matches!(room.kind, Kind::Unsafe | Kind::Counting) {
        for file in rust_files(folder) {
            let Ok(text) = fs::read_to_string(&file) else {
                continue;
            };
            if let Some(line) = unsafe_line(&text) {
                faults.push(format!(
                    "{}:{line}: unsafe outside of shm, dpdk-sys and dpdk",
                    file.display()
                ));
            }
        }
    }
    faults
}

/// A pure room says so itself, and has clippy ban the clock.
fn pure(name: &str, folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
    if !library
        .lines()
        .any(|l| l.trim() == "#![forbid(unsafe_code)]")
    {
        faults.push(format!(
            "{name} is pure: put `#![forbid(unsafe_code)]` into its lib.rs"
        ));
    }
    let clippy = fs::read_to_string(folder.join("clippy.toml")).unwrap_or_default();
    for clock in ["std::time::Instant::now", "std::time::SystemTime::now"] {
        if !clippy.contains(clock) {
            faults.push(format!("{name} is pure: ban `{clock}` in its clippy.toml"));
        }
    }
    faults
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The first line, from 1, with the keyword `unsafe` outside of comments and string literals.
fn unsafe_line(text: &str) -> Option<usize> {
    let code = code_only(text);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| line.split(|c| !word(c)).any(|w| w == "unsafe");
    code.lines().position(has).map(|index| index + 1)
}

/// The text with comments and the insides of string literals blanked out, line by line.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = token_len(rest);
        let (head, tail) = rest.split_at(token);
        if token == first.len_utf8() {
            code.push(first);
        } else {
            code.extend(head.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = tail;
    }
    code
}

/// The length in bytes of the comment or literal that the text begins with; of its first
/// character if it is neither.
fn token_len(text: &str) -> usize {
    let one = text.chars().next().map_or(0, char::len_utf8);
    let until = |end: &str, from: usize| {
        let found = text.get(from..).and_then(|t| t.find(end));
        found.map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return until("*/", 2);
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.trim_start_matches('#').starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    if let Some(string) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, c) in string.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return at + 2,
                _ => {}
            }
        }
        return text.len();
    }
    // The quote as a character, which would open a string that does not end.
    for quote in ["'\"'", "'\\\"'"] {
        if text.starts_with(quote) {
            return quote.len();
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_is_found_and_talk_of_it_is_not() {
        assert_eq!(unsafe_line("fn a() {\n    unsafe { b() }\n}"), Some(2));
        assert_eq!(unsafe_line("let q = '\"';\nunsafe fn f() {}"), Some(2));
        assert_eq!(
            unsafe_line("let q = r#\"a \" b\"#;\nunsafe impl Send for X {}"),
            Some(2)
        );
        for quiet in [
            "// unsafe is not used here",
            "/* unsafe\n */",
            "#![forbid(unsafe_code)]",
            "let s = \"unsafe \\\" unsafe\";",
            "let s = r#\"unsafe\"#;",
            "unsafely()",
        ] {
            assert_eq!(unsafe_line(quiet), None, "{quiet}");
        }
    }

    #[test]
    fn a_pure_room_without_its_marks_fails() {
        let folder = std::env::temp_dir().join(format!("xtask-pure-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "//! Nothing.\n").unwrap();
        let faults = pure("tandem-sip", &folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
