//! `tandemctl appliance factory-reset`: the slots stay, all else goes with the next start.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Command;

use clap::Args;
use serde_json::json;

use crate::client::Failure;
use crate::show::print;

/// What GRUB looks for on the ESP (image/boot/grub.cfg).
const FLAG: &str = "EFI/tandem/factory-reset";

#[derive(Args)]
pub(crate) struct FactoryReset {
    /// The machine's host name, for who cannot be asked
    #[arg(long, value_name = "HOSTNAME")]
    confirm: Option<String>,
    /// Do not start the machine anew now: it is reset with the next start
    #[arg(long)]
    later: bool,
    #[command(flatten)]
    place: super::Place,
}

pub(crate) fn run(command: &FactoryReset, as_json: bool) -> Result<(), Failure> {
    let root = &command.place.root;
    let name = fs::read_to_string(root.join("etc/hostname")).unwrap_or_default();
    let name = name.trim();
    let said = match &command.confirm {
        Some(said) => said.clone(),
        None => ask(name)?,
    };
    if name.is_empty() || said.trim() != name {
        return Err(Failure::Refused(format!(
            "{:?} is not this machine's name: nothing was changed",
            said.trim()
        )));
    }
    let esp = root.join(
        command
            .place
            .esp
            .strip_prefix("/")
            .unwrap_or(&command.place.esp),
    );
    let flag = esp.join(FLAG);
    // Looked at first, so that it is mounted when something is written to it.
    if !esp.join("EFI/tandem/grub.cfg").exists() {
        return Err(Failure::Refused(format!(
            "{} is not the ESP of an appliance: is it mounted? (`findmnt`)",
            esp.display()
        )));
    }
    set(&flag).map_err(|error| Failure::File { path: flag, error })?;
    print(
        as_json,
        &json!({ "reset": name, "now": !command.later }),
        |_| {
            let when = if command.later {
                "with the next start"
            } else {
                "now"
            };
            format!(
                "{name} is reset {when}: configuration, keys, calls and logs go; the slots stay\n"
            )
        },
    )?;
    if command.later {
        return Ok(());
    }
    match Command::new("systemctl").arg("reboot").status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::Refused(
            "the machine does not start anew by itself: `reboot`".into(),
        )),
    }
}

fn set(flag: &Path) -> io::Result<()> {
    File::create(flag)?.sync_all()?;
    match flag.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn ask(name: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask on: --confirm HOSTNAME".into(),
        ));
    }
    let mut out = io::stdout().lock();
    write!(out, "Configuration, keys, databases, calls and logs of {name} are erased for good.\nType its host name to go on: ")
        .and_then(|()| out.flush())
        .map_err(Failure::Output)?;
    let mut said = String::new();
    io::stdin().read_line(&mut said).map_err(Failure::Output)?;
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_name_resets_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/hostname"), "edge1\n").unwrap();
        let reset = |name: &str| {
            let place = super::super::Place {
                root: root.to_owned(),
                esp: "/boot/efi".into(),
            };
            let command = FactoryReset {
                confirm: Some(name.into()),
                later: true,
                place,
            };
            run(&command, true)
        };
        let flag = root.join("boot/efi").join(FLAG);
        for wrong in ["edge2", "", "yes"] {
            assert!(
                reset(wrong)
                    .unwrap_err()
                    .to_string()
                    .contains("nothing was changed")
            );
        }
        // Without the ESP there is nobody who would do it.
        assert!(reset("edge1").unwrap_err().to_string().contains("mounted"));
        fs::create_dir_all(flag.parent().unwrap()).unwrap();
        fs::write(root.join("boot/efi/EFI/tandem/grub.cfg"), "").unwrap();
        reset("edge1").unwrap();
        assert!(flag.exists());
    }
}
