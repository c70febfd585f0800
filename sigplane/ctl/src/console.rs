//! `tandemctl console`: becomes the console, a program of its own.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::client::Failure;

/// Its program's name.
const PROGRAM: &str = "tandem-console";

/// Becomes the console. Comes back only with why it could not.
pub(crate) fn run(
    socket: Option<&Path>,
    config: Option<&Path>,
    arguments: &[String],
) -> Result<ExitCode, Failure> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(PROGRAM)))
        .filter(|path| path.exists());
    let program = beside.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let mut command = Command::new(&program);
    if socket.is_some() || config.is_some() {
        let socket = crate::socket(socket.map(Path::to_path_buf), config)?;
        command.arg("--socket").arg(socket);
    }
    if let Some(config) = config {
        command.arg("--configuration").arg(config);
    }
    let error = command.args(arguments).exec();
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => Failure::Usage(format!(
            "{PROGRAM} is not installed: it is in the image, and `cargo build -p {PROGRAM}` makes it"
        )),
        _ => Failure::File {
            path: program,
            error,
        },
    })
}
