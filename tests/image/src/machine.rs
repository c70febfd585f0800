//! QEMU with the appliance in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::console::{Console, patience};
use crate::disk::{Disk, folder};
use crate::{Failure, Result};

/// All that the emulator can do, as a processor that it emulates well:
/// - a model whose time stamp counters Linux trusts on all cores (Intel's), and that has nothing to be mitigated. As plain `max` (AMD's), each look at the
///   clock is one at the emulated HPET, for which all of QEMU's threads queue;
/// - without fast string instructions. Linux clears pages by `rep stosb` where it may, byte by byte here; and for each byte in a page that had code in it QEMU goes
///   through all that it has translated of that page. A processor has stood still for a minute over pages that the initramfs had left.
const EMULATED: &str = "max,vendor=GenuineIntel,family=6,model=54,stepping=10,-erms,-fsrm";

/// What starts the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, without secure boot.
    Uefi,
}

/// What the machine is.
#[derive(Clone, Debug)]
pub struct Options {
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub processors: u32,
    /// More arguments of QEMU.
    pub arguments: Vec<String>,
    /// QEMU's machine type with its options.
    pub machine: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            firmware: Firmware::Bios,
            memory_mib: 2048,
            processors: 2,
            arguments: Vec::new(),
            machine: "q35".to_owned(),
        }
    }
}

/// A machine that runs, or is switched off.
pub struct Machine {
    options: Options,
    disk: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    running: Option<Running>,
    commands: u32,
}

struct Running {
    qemu: Child,
    console: Console,
    shell: Console,
    shell_is_there: bool,
}

impl Machine {
    /// Switches a machine with this disk on.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn start(disk: &Disk, options: &Options) -> Result<Self> {
        let logs = folder().join("consoles");
        fs::create_dir_all(&logs)?;
        let test = std::thread::current()
            .name()
            .unwrap_or("test")
            .replace("::", "-");
        let log = logs.join(format!("{test}.log"));
        let _ = fs::remove_file(&log);
        let mut machine = Self {
            options: options.clone(),
            disk: disk.path().to_owned(),
            folder: disk.folder().to_owned(),
            log,
            running: None,
            commands: 0,
        };
        if options.firmware == Firmware::Uefi {
            fs::copy(
                "/usr/share/OVMF/OVMF_VARS_4M.fd",
                machine.folder.join("vars.fd"),
            )
            .map_err(|error| Failure::new(format!("no OVMF ({error}): run .ci/setup image")))?;
        }
        machine.power_on()?;
        Ok(machine)
    }

    /// Switches it on again, with the disk as it is.
    ///
    /// # Errors
    /// It is on, or QEMU does not start.
    pub fn power_on(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Err(Failure::new("the machine is on"));
        }
        let sockets = [self.folder.join("ttyS0"), self.folder.join("ttyS1")];
        for socket in &sockets {
            let _ = fs::remove_file(socket);
        }
        // The kernel ends QEMU if the test dies before it could.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        match std::env::var("TANDEM_QEMU_ACCEL").as_deref() {
            Ok("kvm") => command.args(["-accel", "kvm", "-cpu", "host"]),
            _ => command.args(["-accel", "tcg,thread=multi", "-cpu", EMULATED]),
        };
        command.args([
            "-machine",
            &self.options.machine,
            "-nodefaults",
            "-display",
            "none",
            "-no-user-config",
        ]);
        command.args([
            "-smp",
            &self.options.processors.to_string(),
            "-m",
            &self.options.memory_mib.to_string(),
        ]);
        if self.options.firmware == Firmware::Uefi {
            command.args([
                "-drive",
                "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
            ]);
            command.arg("-drive").arg(format!(
                "if=pflash,format=raw,file={}",
                self.folder.join("vars.fd").display()
            ));
        }
        command.arg("-drive").arg(format!(
            "if=virtio,format=raw,cache=writeback,file={}",
            self.disk.display()
        ));
        command.args(["-device", "virtio-rng-pci"]);
        for (number, socket) in sockets.iter().enumerate() {
            command.arg("-chardev").arg(format!(
                "socket,id=s{number},path={},server=on,wait=on",
                socket.display()
            ));
            command.arg("-serial").arg(format!("chardev:s{number}"));
        }
        command.args(&self.options.arguments);
        let errors = fs::File::create(self.folder.join("qemu.log"))?;
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                Failure::new(format!(
                    "QEMU does not start ({error}): run .ci/setup image"
                ))
            })?;
        // QEMU waits for a reader of each port before it starts, so nothing is missed.
        let consoles = Console::connect("console", &sockets[0], &self.log).and_then(|console| {
            Ok((
                console,
                Console::connect("second port", &sockets[1], Path::new("/dev/null"))?,
            ))
        });
        match consoles {
            Ok((console, shell)) => {
                self.running = Some(Running {
                    qemu,
                    console,
                    shell,
                    shell_is_there: false,
                });
                Ok(())
            }
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                let said = fs::read_to_string(self.folder.join("qemu.log")).unwrap_or_default();
                Err(Failure::new(format!("{error}; QEMU said: {said}")))
            }
        }
    }

    /// The console, ttyS0.
    ///
    /// # Panics
    /// The machine is off.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.running.as_ref().expect("the machine is on").console
    }

    /// Waits until the planted shell is there: the system is as far as that.
    ///
    /// # Errors
    /// It does not come within twice the time that a boot takes.
    pub fn wait_for_shell(&mut self) -> Result<()> {
        let running = self
            .running
            .as_mut()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        if !running.shell_is_there {
            running
                .shell
                .wait_for("TANDEM-TEST-SHELL", patience(160))
                .map_err(|error| {
                    Failure::new(format!(
                        "{error}\nThe console:\n{}",
                        last_lines(&running.console.text(), 60)
                    ))
                })?;
            running.shell_is_there = true;
        }
        Ok(())
    }

    /// Runs shell code in the appliance, as root; what it printed (both streams). Waits for the shell first.
    ///
    /// # Errors
    /// It ended with another status than 0, or not within `within`.
    pub fn run(&mut self, code: &str, within: Duration) -> Result<String> {
        let (status, text) = self.run_for_status(code, within)?;
        if status == 0 {
            Ok(text)
        } else {
            Err(Failure::new(format!(
                "in the appliance, {code:?} ended with {status}:\n{text}"
            )))
        }
    }

    /// The same, whatever its exit status, which is returned too.
    ///
    /// # Errors
    /// It did not end within `within`.
    pub fn run_for_status(&mut self, code: &str, within: Duration) -> Result<(i32, String)> {
        self.wait_for_shell()?;
        self.commands += 1;
        let (begin, end) = (
            format!("TANDEM-BEGIN-{}", self.commands),
            format!("TANDEM-END-{}-", self.commands),
        );
        let running = self
            .running
            .as_ref()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        // Quoted in two, so that an echo of the line is not taken for its result.
        running.shell.send(&format!(
            "printf 'TANDEM-%s\\n' BEGIN-{0}; (\n{code}\n) </dev/null 2>&1; printf '\\nTANDEM-%s\\n' END-{0}-$?-",
            self.commands
        ))?;
        running.shell.wait_for(&begin, within)?;
        let text = running.shell.wait_for(&end, within)?;
        let (text, status) = text
            .split_once(&end)
            .ok_or_else(|| Failure::new("no end"))?;
        // The rest of the line may not have come yet.
        let status = match status.split_once('-') {
            Some((status, _)) => status.to_owned(),
            // Waited for from the mark on, so what has come already is in it.
            None => running.shell.wait_for("-", within)?.replace('-', ""),
        };
        let status = status
            .trim()
            .parse()
            .map_err(|_| Failure::new(format!("no exit status: {status:?}")))?;
        Ok((status, text.trim_matches('\n').to_owned()))
    }

    /// Runs shell code until a word of what it prints, without signs around it, is `wanted`.
    ///
    /// # Errors
    /// It is not within `within`: with what it printed last, and the appliance's journal.
    pub fn until(&mut self, code: &str, wanted: &str, within: Duration) -> Result<()> {
        let short = patience(60);
        let deadline = Instant::now() + within;
        loop {
            let (_, text) = self.run_for_status(code, short)?;
            let is_wanted =
                |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()) == wanted;
            if text.split_whitespace().any(is_wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = self.run(
                    "journalctl -b --no-pager -u 'tandem-*' -n 80; ip -br addr; lspci -nnk",
                    short,
                )?;
                return Err(Failure::new(format!(
                    "{code:?} should say {wanted:?}; it says:\n{text}\n{log}"
                )));
            }
            // Asked until it changes: nothing tells of it.
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Has the appliance shut down; returns when QEMU ended.
    ///
    /// # Errors
    /// It did not.
    pub fn shut_down(&mut self) -> Result<()> {
        self.ask("systemctl --no-block poweroff")?;
        self.wait_for_end(patience(120))
    }

    /// Has the shell do what may end it before it could say that it was done.
    fn ask(&mut self, line: &str) -> Result<()> {
        self.wait_for_shell()?;
        match &self.running {
            Some(running) => running.shell.send(line),
            None => Err(Failure::new("the machine is off")),
        }
    }

    /// Waits until the machine switched itself off.
    ///
    /// # Errors
    /// It did not.
    pub fn wait_for_end(&mut self, within: Duration) -> Result<()> {
        let running = self
            .running
            .as_mut()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        let deadline = Instant::now() + within;
        while running.qemu.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "the machine does not switch itself off. The console:\n{}",
                    last_lines(&running.console.text(), 40)
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.running = None;
        Ok(())
    }

    /// Reboots, and goes on when the firmware has started the disk again (the shell must be waited for anew).
    ///
    /// # Errors
    /// It does not shut down.
    pub fn reboot(&mut self) -> Result<()> {
        self.ask("systemctl --no-block reboot")?;
        self.expect_reboot(patience(160))
    }

    /// The appliance reboots by itself: waits until its kernel starts again.
    ///
    /// # Errors
    /// It does not.
    pub fn expect_reboot(&mut self, within: Duration) -> Result<()> {
        let running = self
            .running
            .as_mut()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        running.console.skip_to_now();
        running.shell.skip_to_now();
        running.shell_is_there = false;
        running.console.wait_for("Linux version ", within)?;
        Ok(())
    }

    /// Ends QEMU at once. What the appliance had not written to its disk is lost.
    ///
    /// # Errors
    /// It was off.
    pub fn cut_power(&mut self) -> Result<()> {
        match self.running.take() {
            Some(mut running) => {
                end(&mut running.qemu);
                Ok(())
            }
            None => Err(Failure::new("the machine is off")),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            if std::thread::panicking() {
                eprintln!(
                    "the console's last lines ({} has all):\n{}",
                    self.log.display(),
                    last_lines(&running.console.text(), 60)
                );
            }
            end(&mut running.qemu);
        }
    }
}

fn end(qemu: &mut Child) {
    if let Ok(pid) = i32::try_from(qemu.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = qemu.wait();
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
