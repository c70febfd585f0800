//! A real MariaDB server of the tests' own: Debian's, in a temporary directory, on a unix socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::*;

/// Those of Kamailio's schema files that have tables of ours.
pub(super) const SCHEMAS: [&str; 7] = [
    "standard",
    "acc",
    "dispatcher",
    "permissions",
    "auth_db",
    "usrloc",
    "dialog",
];

/// For tables that Kamailio's files have made.
pub(super) const ROWS: &str = "
    insert into dispatcher (setid, destination, flags, priority, attrs, description)
        values (1, 'sip:10.0.0.1:5060', 8, -3, 'weight=50', 'one'), (-1, 'sip:10.0.0.2', 0, 0, '', '');
    insert into address (grp, ip_addr, mask, port, tag) values (2, '192.0.2.0', 24, 65535, 'a');
    insert into address (ip_addr) values ('192.0.2.1');
    insert into address (ip_addr, mask) values ('192.0.2.1', 300);";

pub(super) fn check_rows(rows: &TableRows) {
    assert_eq!(rows.dispatcher.len(), 1);
    let target = &rows.dispatcher[0];
    assert_eq!((target.flags, target.priority), (8, -3));
    assert_eq!(target.attrs, "weight=50");
    assert_eq!(rows.address.len(), 2);
    assert_eq!((rows.address[0].grp, rows.address[0].port), (2, 65_535));
    assert_eq!(
        (rows.address[1].mask, rows.address[1].tag.as_str()),
        (32, "")
    );
    let bad: Vec<_> = rows.bad.iter().map(ToString::to_string).collect();
    assert_eq!(
        bad,
        [
            "table dispatcher, id 2: setid cannot be -1",
            "table address, id 3: mask cannot be 300",
        ]
    );
}

/// A running server. A shell around it ends it and removes its directory, also when this process
/// is killed.
pub(super) struct Server {
    shell: Child,
    dir: PathBuf,
}

/// The one that all tests share that do not stop theirs.
pub(super) fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    })
}

impl Server {
    pub(super) fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("tnd-db-")
            .tempdir()
            .unwrap()
            .keep();
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout);
        // Small and in a hurry: what it holds is worth nothing.
        let options = format!(
            "--no-defaults --datadir={0}/data --user={1} --innodb-buffer-pool-size=32M \
             --innodb-flush-log-at-trx-commit=0",
            dir.display(),
            user.unwrap().trim()
        );
        let script = format!(
            "trap '' INT TERM HUP
             mariadb-install-db {options} --skip-test-db --auth-root-authentication-method=normal
             mariadbd {options} --socket={0}/sock --pid-file={0}/pid --skip-networking &
             cat >&2; kill -9 $!; wait; rm -rf {0}",
            dir.display()
        );
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { shell, dir };
        let begin = Instant::now();
        while !server.mysql("", "select 1").status.success() {
            let log = || std::fs::read_to_string(server.dir.join("log")).unwrap_or_default();
            assert!(begin.elapsed() < Duration::from_secs(120), "{}", log());
        }
        server
    }

    fn mysql(&self, database: &str, sql: &str) -> std::process::Output {
        Command::new("mariadb")
            .args(["--no-defaults", "-u", "root", "-N", "-B", "-e", sql, "-S"])
            .arg(self.dir.join("sock"))
            .args((!database.is_empty()).then_some(database))
            .output()
            .unwrap()
    }

    /// Asks with the plain tool that an administrator has; columns come separated by `|`.
    pub(super) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.mysql(database, sql);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8(output.stdout).unwrap().replace('\t', "|")
    }

    /// A new database with a user of the same name, whose password is `geheim`.
    pub(super) fn database(&self, name: &str) -> MariaDbOptions {
        self.sql(
            "",
            &format!(
                "create database {name}; create user {name}@localhost identified by 'geheim';
                 grant all on {name}.* to {name}@localhost"
            ),
        );
        MariaDbOptions {
            hosts: vec![MariaDbHost::Socket(self.dir.join("sock"))],
            user: name.into(),
            password: Some("geheim".into()),
            database: name.into(),
            tls: MariaDbTls::Off,
            deadline: Duration::from_secs(10),
        }
    }

    /// Sends the server itself a signal.
    /// All its threads stand still when this returns.
    pub(super) fn freeze(&self) {
        let pid = self.signal("-STOP");
        let tasks = format!("/proc/{pid}/task");
        let runs = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") T ")
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_dir(&tasks)
            .unwrap()
            .any(|task| runs(task.unwrap()))
        {
            assert!(Instant::now() < deadline, "it does not stand still");
            std::thread::yield_now();
        }
    }

    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) -> String {
        let pid = std::fs::read_to_string(self.dir.join("pid")).unwrap();
        let pid = pid.trim().to_owned();
        let done = Command::new("kill").args([signal, &pid]).status();
        assert!(done.unwrap().success());
        pid
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
