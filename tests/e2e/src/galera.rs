//! A Galera cluster of three of Debian's MariaDB servers, each in a namespace of its own behind a bridge in the appliance's.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::namespace::run;
use crate::{Failure, Namespace, Process, Result, wait};

/// How many nodes.
pub const NODES: usize = 3;
const PASSWORD: &str = "geheim";
const BRIDGE: &str = "db0";
/// A node copies everything from another one when it joins.
const JOINED: Duration = Duration::from_secs(90);
/// Nodes that hear nothing of another one give it up soon.
const PROVIDER: &str = "gcache.size=16M;pc.recovery=false;evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;\
                        evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S";

/// The cluster. Dropping it removes its namespaces; so does the end of this process in any other way.
pub struct Galera {
    dir: PathBuf,
    nodes: Vec<Node>,
    // The last to be dropped.
    _janitor: Janitor,
}

struct Node {
    namespace: Namespace,
    process: Option<Process>,
}

impl Galera {
    /// Three nodes that are synchronised, with a database and a user called `tandem`; everything is under `dir`.
    ///
    /// # Errors
    /// With what a server said.
    pub fn start(appliance: &Namespace, dir: &Path) -> Result<Self> {
        let dir = dir.join("galera");
        std::fs::create_dir_all(&dir).map_err(Failure::while_("making a folder"))?;
        owned(&dir)?;
        let names: Vec<String> = (0..NODES)
            .map(|node| format!("{}-db{node}", appliance.name()))
            .collect();
        let janitor = Janitor::start(&names)?;
        appliance.run(&format!("ip link add {BRIDGE} type bridge"))?;
        appliance.run(&format!("ip addr add {}/24 dev {BRIDGE}", address(None)))?;
        appliance.run(&format!("ip link set {BRIDGE} up"))?;
        let mut nodes = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let namespace = Namespace::create(name.clone())?;
            let port = format!("db{}", number + 1);
            appliance.run(&format!(
                "ip link add {port} type veth peer name eth0 netns {name}"
            ))?;
            appliance.run(&format!("ip link set {port} master {BRIDGE} up"))?;
            namespace.run(&format!(
                "ip addr add {}/24 dev eth0",
                address(Some(number))
            ))?;
            namespace.run("ip link set eth0 up")?;
            nodes.push(Node {
                namespace,
                process: None,
            });
        }
        let mut cluster = Self {
            dir,
            nodes,
            _janitor: janitor,
        };
        run(Command::new("mariadb-install-db").args([
            "--no-defaults",
            "--user=mysql",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
            &format!("--datadir={}", cluster.path(0, "data").display()),
        ]))?;
        cluster.launch(0, true)?;
        cluster.sql(
            0,
            &format!(
                "CREATE DATABASE tandem; CREATE USER tandem@'%' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON tandem.* TO tandem@'%'"
            ),
        )?;
        for node in 1..NODES {
            std::fs::create_dir_all(cluster.path(node, "data"))
                .map_err(Failure::while_("making a folder"))?;
            owned(&cluster.path(node, "data"))?;
            cluster.launch(node, false)?;
        }
        std::fs::write(cluster.dir.join("password"), PASSWORD)
            .map_err(Failure::while_("writing a password"))?;
        Ok(cluster)
    }

    /// `[database]` of a configuration whose files are under `dir`.
    #[must_use]
    pub fn config(dir: &Path) -> String {
        let hosts: Vec<_> = (0..NODES).map(|node| address(Some(node))).collect();
        format!(
            "[database]\nurl = \"mysql://tandem@{}/tandem\"\npassword_file = \"{}\"\ntimeout = 2000\ndialog = true\n",
            hosts.join(","),
            dir.join("galera/password").display()
        )
    }

    fn path(&self, node: usize, what: &str) -> PathBuf {
        self.dir.join(format!("{what}{node}"))
    }

    /// Starts a node and waits until it has what the others have.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn launch(&mut self, node: usize, is_first: bool) -> Result<()> {
        let own = address(Some(node));
        let all: Vec<_> = (0..NODES).map(|node| address(Some(node))).collect();
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            "--user=mysql".to_owned(),
            format!("--datadir={}", self.path(node, "data").display()),
            format!("--socket={}", self.path(node, "sock").display()),
            format!("--pid-file={}", self.path(node, "pid").display()),
            format!("--bind-address={own}"),
            "--innodb-buffer-pool-size=64M".to_owned(),
            "--innodb-flush-log-at-trx-commit=1".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--wsrep-on=ON".to_owned(),
            "--wsrep-provider=/usr/lib/galera/libgalera_smm.so".to_owned(),
            "--wsrep-cluster-name=tandem".to_owned(),
            format!("--wsrep-cluster-address=gcomm://{}", all.join(",")),
            format!("--wsrep-node-address={own}"),
            "--wsrep-sst-method=rsync".to_owned(),
            format!("--wsrep-provider-options={PROVIDER}"),
        ];
        if is_first {
            arguments.push("--wsrep-new-cluster".to_owned());
        }
        let log = self.path(node, "log");
        let Some(it) = self.nodes.get_mut(node) else {
            return Err(Failure::new("no such node"));
        };
        let mut command = it.namespace.command("mariadbd");
        command.args(arguments);
        let name = format!("mariadbd-{node}");
        it.process = Some(Process::start(name, command, log.clone())?);
        self.wait_until_synced(node).map_err(|failure| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = said.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(30)..);
            Failure::new(format!(
                "{failure}\n{}",
                tail.unwrap_or_default().join("\n")
            ))
        })
    }

    /// Waits until a node has what the others have.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait_until_synced(&self, node: usize) -> Result<()> {
        let synced = || (self.status(node, "wsrep_local_state_comment")? == "Synced").then_some(());
        wait::until(format!("node {node} synchronised"), JOINED, synced)
    }

    /// A variable of a node's status; none when it does not answer.
    #[must_use]
    pub fn status(&self, node: usize, name: &str) -> Option<String> {
        let said = self
            .sql(node, &format!("SHOW GLOBAL STATUS LIKE '{name}'"))
            .ok()?;
        said.trim()
            .split_once('|')
            .map(|(_, value)| value.to_owned())
    }

    /// SIGKILL to a node.
    pub fn kill(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.process.take().iter_mut().for_each(Process::kill);
        }
    }

    /// Cuts a node off from the other ones, or joins it again. The appliance reaches it all the same.
    ///
    /// # Errors
    /// When the routes cannot be changed.
    pub fn cut_off(&self, node: usize, cut: bool) -> Result<()> {
        let change = if cut { "add" } else { "del" };
        let Some(it) = self.nodes.get(node) else {
            return Err(Failure::new("no such node"));
        };
        for other in (0..NODES).filter(|other| *other != node) {
            let route = format!("ip route {change} blackhole {}/32", address(Some(other)));
            it.namespace.run(&route)?;
        }
        Ok(())
    }

    /// The node that the appliance is connected to.
    #[must_use]
    pub fn used(&self) -> Option<usize> {
        let asked = "SELECT count(*) FROM information_schema.processlist WHERE user = 'tandem'";
        (0..NODES).find(|node| self.sql(*node, asked).is_ok_and(|said| said.trim() != "0"))
    }

    /// Asks a node, as root. Columns come separated by `|`, rows by lines.
    ///
    /// # Errors
    /// With what it said.
    pub fn sql(&self, node: usize, statement: &str) -> Result<String> {
        let mut command = Command::new("timeout");
        command
            .args([
                "10",
                "mariadb",
                "--no-defaults",
                "-u",
                "root",
                "-N",
                "-B",
                "-S",
            ])
            .arg(self.path(node, "sock"));
        let exists = !statement.contains("CREATE DATABASE") && !statement.starts_with("SHOW");
        command.args(exists.then_some("tandem"));
        run(command.args(["-e", statement])).map(|said| said.replace('\t', "|"))
    }
}

/// Of a node, or of the appliance on their bridge.
fn address(node: Option<usize>) -> String {
    format!("10.77.0.{}", node.map_or(1, |node| 11 + node))
}

/// The servers run as Debian's user for them: rsync, with which they copy, gives up root's rights.
fn owned(path: &Path) -> Result<()> {
    let user = run(Command::new("id").args(["-u", "mysql"]))?;
    let user = user
        .trim()
        .parse()
        .map_err(Failure::while_("the user mysql"))?;
    chown(path, Some(user), None).map_err(Failure::while_("giving a folder to mysql"))
}

/// A shell that outlives this process for a moment and removes the namespaces with what runs in them.
struct Janitor {
    shell: Child,
}

impl Janitor {
    fn start(names: &[String]) -> Result<Self> {
        let script = format!(
            "trap '' INT TERM HUP; cat; for n in {}; do ip netns pids $n 2>/dev/null | xargs -r kill -9; \
             ip netns del $n 2>/dev/null; done",
            names.join(" ")
        );
        let shell = Command::new("setsid")
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::while_("starting the janitor"))?;
        Ok(Self { shell })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
