//! Debian's MariaDB server, in the appliance's namespace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::namespace::run;
use crate::{Failure, Namespace, Process, Result, wait};

/// Until it answers: on its first start it makes its tables.
const READY: Duration = Duration::from_secs(60);
const PASSWORD: &str = "geheim";

/// A server with a database and a user, both called `tandem`.
pub struct MariaDb {
    namespace: Namespace,
    dir: PathBuf,
    process: Option<Process>,
}

impl MariaDb {
    /// A new one, with everything under `dir`.
    ///
    /// # Errors
    /// With what the server said.
    pub fn install(namespace: &Namespace, dir: &Path) -> Result<Self> {
        let dir = dir.join("mariadb");
        std::fs::create_dir_all(&dir).map_err(Failure::while_("making a folder"))?;
        let mut server = Self {
            namespace: namespace.clone(),
            dir,
            process: None,
        };
        let mut install = Command::new("mariadb-install-db");
        install
            .args(server.options())
            .args(["--skip-test-db", "--auth-root-authentication-method=normal"]);
        run(&mut install)?;
        server.start()?;
        run(server.client("").arg(format!(
            "CREATE DATABASE tandem; CREATE USER tandem@'%' IDENTIFIED BY '{PASSWORD}';
             GRANT ALL ON tandem.* TO tandem@'%'"
        )))?;
        let password = server.password_file();
        std::fs::write(&password, PASSWORD).map_err(Failure::while_("writing a password"))?;
        Ok(server)
    }

    fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// `[database]` of a configuration whose files are under `dir`.
    #[must_use]
    pub fn config(dir: &Path) -> String {
        let password = dir.join("mariadb/password");
        format!(
            "[database]\nurl = \"mysql://tandem@127.0.0.1:3306/tandem\"\npassword_file = \"{}\"\ndialog = true\n",
            password.display()
        )
    }

    // Small and in a hurry, but it keeps what it has said to keep when it is killed.
    fn options(&self) -> Vec<String> {
        let dir = self.dir.display();
        vec![
            "--no-defaults".to_owned(),
            format!("--datadir={dir}/data"),
            "--user=root".to_owned(),
            "--innodb-buffer-pool-size=64M".to_owned(),
            "--innodb-flush-log-at-trx-commit=1".to_owned(),
        ]
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.namespace.command("mariadbd");
        command.args(self.options()).args([
            format!("--socket={}/sock", self.dir.display()),
            format!("--pid-file={}/pid", self.dir.display()),
            "--bind-address=127.0.0.1".to_owned(),
        ]);
        let log = self.dir.join("log");
        let process = self
            .process
            .insert(Process::start("mariadbd", command, log)?);
        process.wait_for_words("ready for connections", 1, READY)?;
        let answers = || run(self.client("").arg("SELECT 1")).ok();
        wait::until("MariaDB's answer", READY, answers).map(drop)
    }

    /// SIGKILL to it.
    pub fn kill(&mut self) {
        self.process.take().iter_mut().for_each(Process::kill);
    }

    /// Stops it as a whole, as a machine does that hangs; [`Signal::SIGCONT`] lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), |p| p.signal(signal))
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "-u", "root", "-N", "-B", "-S"])
            .arg(self.dir.join("sock"))
            .args((!database.is_empty()).then_some(database))
            .arg("-e");
        command
    }

    /// Asks it, as root. Columns come separated by `|`, rows by lines.
    ///
    /// # Errors
    /// With what it said.
    pub fn sql(&self, statement: &str) -> Result<String> {
        run(self.client("tandem").arg(statement)).map(|said| said.replace('\t', "|"))
    }
}
