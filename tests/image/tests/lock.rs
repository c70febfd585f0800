//! The build takes the packages of the lock and no others: from a mirror in a folder, without QEMU or an image.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// SHA-256 of `whatever`.
const SUM: &str = "85738f8f9a7f1b04b5329c590ebcb9e425925c6d0984089c43a022de4f19c281";

struct Build {
    folder: TempDir,
}

impl Build {
    /// The build's scripts, with a lock of one package, and a mirror that has this in its place.
    fn new(content: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image");
        let copy = folder.path().join("image");
        fs::create_dir_all(copy.join("lib")).unwrap();
        for name in ["lib/common", "lib/fetch"] {
            fs::copy(image.join(name), copy.join(name)).unwrap();
        }
        fs::write(
            folder.path().join("Cargo.toml"),
            "[workspace.package]\nversion = \"1.0.0\"\n",
        )
        .unwrap();
        let lock = format!(
            "# a lock\nhello 2.10+b1 amd64 {SUM} 8 debian pool/main/h/hello/hello_2.10+b1_amd64.deb\n"
        );
        fs::write(copy.join("packages.lock"), lock).unwrap();
        let pool = folder.path().join("mirror/pool/main/h/hello");
        fs::create_dir_all(&pool).unwrap();
        if let Some(content) = content {
            fs::write(pool.join("hello_2.10+b1_amd64.deb"), content).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fetch(&self) -> Output {
        // By its interpreter: a file that was just written cannot be started while another test's child still has it open.
        Command::new("bash")
            .arg(self.path("image/lib/fetch"))
            .env(
                "TANDEM_MIRROR",
                format!("copy://{}", self.path("mirror").display()),
            )
            .env("TANDEM_IMAGE_CACHE", self.path("cache"))
            .env("SOURCE_DATE_EPOCH", "1")
            .env_remove("TANDEM_VERSION")
            .output()
            .unwrap()
    }

    /// It refuses, and says all of this.
    fn refuses(&self, words: &[&str]) {
        let output = self.fetch();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
        assert!(!self.path("cache").join(format!("{SUM}.deb")).exists());
    }
}

#[test]
fn what_is_locked_is_fetched_once() {
    let build = Build::new(Some("whatever"));
    let output = build.fetch();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let cached = build.path("cache").join(format!("{SUM}.deb"));
    assert_eq!(fs::read(&cached).unwrap(), b"whatever");
    // From now on the mirror is not asked.
    fs::remove_dir_all(build.path("mirror")).unwrap();
    let output = build.fetch();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn another_content_is_refused() {
    Build::new(Some("something else")).refuses(&[
        "hello 2.10+b1",
        "another content",
        SUM,
        "image/build --lock",
        "TANDEM_MIRROR",
    ]);
}

#[test]
fn a_version_that_is_gone_is_refused() {
    Build::new(None).refuses(&[
        "hello 2.10+b1",
        "not on the mirror any more",
        "image/build --lock",
    ]);
}

/// A cache that somebody changed is not trusted.
#[test]
fn a_changed_cache_is_fetched_anew() {
    let build = Build::new(Some("whatever"));
    assert!(build.fetch().status.success());
    let cached = build.path("cache").join(format!("{SUM}.deb"));
    fs::write(&cached, "tampered").unwrap();
    assert!(build.fetch().status.success());
    assert_eq!(fs::read(&cached).unwrap(), b"whatever");
}

/// The bill of materials has what each program in our packages is made of.
#[test]
fn the_bill_names_the_crates_of_every_program() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let said = |command: &mut Command| {
        let output = command.current_dir(&top).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let script = "import sys; sys.path.insert(0, 'image/lib'); import sbom; print(*(p['name'] + ' v' + p['versionInfo'] for p in sbom.crates('.')), sep='\\n')";
    let bill = said(Command::new("python3").args(["-B", "-c", script]));
    let debs = fs::read_to_string(top.join("image/debs")).unwrap();
    let programs: Vec<_> = debs
        .lines()
        .filter_map(|line| line.strip_prefix("program "))
        .collect();
    assert!(programs.len() > 5, "{programs:?}");
    for program in programs {
        let tree = said(Command::new(env!("CARGO")).args([
            "tree",
            "--locked",
            "--package",
            program,
            "--edges",
            "normal",
            "--depth",
            "1",
            "--prefix",
            "none",
        ]));
        // Ours have a path.
        let crates: Vec<_> = tree.lines().filter(|line| !line.contains('/')).collect();
        assert!(!crates.is_empty(), "{tree}");
        for name in crates {
            let name = name
                .trim_end_matches(" (*)")
                .trim_end_matches(" (proc-macro)");
            assert!(bill.lines().any(|line| line == name), "{program}: {name}");
        }
    }
}
