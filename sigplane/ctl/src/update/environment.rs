//! GRUB's environment block on the ESP: which slot is booted next (image/boot/grub.cfg says what the names mean).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::slot::Slot;

/// The length of the block; GRUB takes no other.
const LENGTH: usize = 1024;
const HEADER: &str = "# GRUB Environment Block\n";

/// The variables of a block, in order. Those that we do not know stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    /// What a machine has that was never updated, and runs from this slot.
    pub(super) fn of_a_new_machine(slot: Slot) -> Self {
        let mut environment = Self(Vec::new());
        environment.prefer(slot);
        environment.good(slot);
        let other = slot.other();
        environment.set(&format!("{other}_OK"), "0");
        environment.set(&format!("{other}_TRY"), "0");
        environment.set(&format!("{other}_PROVEN"), "0");
        environment
    }

    /// Reads a block; none if GRUB would not take it.
    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(block).ok()?;
        let body = text
            .strip_prefix(HEADER)
            .filter(|_| block.len() == LENGTH)?;
        let lines = body.split('\n').take_while(|line| !line.starts_with("##"));
        let variables = lines.filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            (!name.starts_with('#')).then(|| (name.to_owned(), value.to_owned()))
        });
        let environment = Self(variables.collect());
        environment.order().first()?;
        Some(environment)
    }

    /// The block; none if it has no room for all.
    pub(super) fn block(&self) -> Option<Vec<u8>> {
        let lines = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        let mut block = (HEADER.to_owned() + &lines.collect::<String>()).into_bytes();
        (block.len() <= LENGTH).then(|| {
            block.resize(LENGTH, b'#');
            block
        })
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The slots in the order of preference.
    pub(super) fn order(&self) -> Vec<Slot> {
        let names = self.value("ORDER").split_whitespace();
        names.filter_map(Slot::parse).collect()
    }

    /// Whether it may be booted.
    pub(super) fn is_ok(&self, slot: Slot) -> bool {
        self.value(&format!("{slot}_OK")) == "1"
    }

    /// Boots since it was last marked good.
    pub(super) fn tries(&self, slot: Slot) -> u32 {
        self.value(&format!("{slot}_TRY")).parse().unwrap_or(0)
    }

    /// Whether what is in it has proven itself.
    pub(super) fn is_proven(&self, slot: Slot) -> bool {
        self.value(&format!("{slot}_PROVEN")) == "1"
    }

    /// The slot that was marked good last.
    pub(super) fn last_good(&self) -> Option<Slot> {
        Slot::parse(self.value("LAST_GOOD"))
    }

    /// This slot before the other.
    pub(super) fn prefer(&mut self, slot: Slot) {
        self.set("ORDER", &format!("{slot} {}", slot.other()));
    }

    /// It has proven itself.
    pub(super) fn good(&mut self, slot: Slot) {
        self.set(&format!("{slot}_OK"), "1");
        self.set(&format!("{slot}_TRY"), "0");
        self.set(&format!("{slot}_PROVEN"), "1");
        self.set("LAST_GOOD", slot.name());
    }

    /// It is not to be booted; the other one is preferred.
    pub(super) fn bad(&mut self, slot: Slot) {
        self.set(&format!("{slot}_OK"), "0");
        self.set(&format!("{slot}_TRY"), "0");
        self.set(&format!("{slot}_PROVEN"), "0");
        self.prefer(slot.other());
    }

    /// Something new is going to be written into the slot beside the one that runs.
    pub(super) fn prepare(&mut self, running: Slot) {
        self.bad(running.other());
        self.set("LAST_GOOD", running.name());
    }

    /// A slot with fresh tries, before the other.
    pub(super) fn choose(&mut self, slot: Slot) {
        self.set(&format!("{slot}_TRY"), "0");
        self.prefer(slot);
    }
}

/// The block's file and its copy.
pub(super) struct Blocks {
    main: PathBuf,
    copy: PathBuf,
}

impl Blocks {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            main: directory.join("grubenv"),
            copy: directory.join("grubenv.bak"),
        }
    }

    /// What GRUB reads: the file, or its copy where the file is broken; none if both are.
    pub(super) fn read(&self) -> io::Result<Option<Environment>> {
        let read = |path: &Path| match std::fs::read(path) {
            Ok(block) => Ok(Environment::parse(&block)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match read(&self.main)? {
            Some(environment) => Ok(Some(environment)),
            None => read(&self.copy),
        }
    }

    /// Writes both, one after the other: whenever the machine stops, one of them is whole.
    pub(super) fn write(&self, environment: &Environment) -> io::Result<()> {
        let full = || io::Error::other("the environment block has no room");
        let block = environment.block().ok_or_else(full)?;
        let is_whole = |path: &Path| {
            let mut block = Vec::new();
            let read = File::open(path).and_then(|mut file| file.read_to_end(&mut block));
            read.is_ok() && Environment::parse(&block).is_some()
        };
        // The one that GRUB reads is written while the other is whole.
        if !is_whole(&self.copy) {
            put(&self.copy, &block)?;
        }
        put(&self.main, &block)?;
        put(&self.copy, &block)
    }

    pub(super) fn path(&self) -> &Path {
        &self.main
    }
}

/// In place: GRUB writes to the blocks where the file lies, so it shall stay there.
fn put(path: &Path, block: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all(block)?;
    file.set_len(block.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn grub_reads_what_we_write_and_we_read_what_grub_writes() {
        let directory = tempfile::tempdir().unwrap();
        let blocks = Blocks::new(directory.path());
        blocks
            .write(&Environment::of_a_new_machine(Slot::A))
            .unwrap();
        let grub = |arguments: &[&str]| {
            let mut command = Command::new("grub-editenv");
            let output = command.arg(blocks.path()).args(arguments).output();
            output.map(|output| String::from_utf8(output.stdout).unwrap())
        };
        let Ok(listed) = grub(&["list"]) else {
            eprintln!("no grub-editenv here: .ci/setup image installs it");
            return;
        };
        assert!(
            listed.contains("ORDER=A B\n") && listed.contains("LAST_GOOD=A\n"),
            "{listed}"
        );
        // As RAUC does after an installation.
        grub(&["set", "B_OK=1", "B_TRY=0", "ORDER=B A"]).unwrap();
        let environment = blocks.read().unwrap().unwrap();
        assert_eq!(environment.order(), [Slot::B, Slot::A]);
        assert!(environment.is_ok(Slot::B) && !environment.is_proven(Slot::B));
        assert!(environment.is_ok(Slot::A) && environment.is_proven(Slot::A));
    }

    #[test]
    fn a_new_machine_is_the_same_to_all() {
        let slots = include_str!("../../../../image/boot/slots");
        let lines = slots.lines().filter(|line| !line.starts_with('#'));
        let mut theirs: Vec<_> = lines.filter_map(|line| line.split_once('=')).collect();
        let ours = Environment::of_a_new_machine(Slot::A).0;
        let mut ours: Vec<_> = ours.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_broken_block_is_made_good_by_its_copy() {
        let directory = tempfile::tempdir().unwrap();
        let blocks = Blocks::new(directory.path());
        assert_eq!(blocks.read().unwrap(), None);
        let mut environment = Environment::of_a_new_machine(Slot::B);
        blocks.write(&environment).unwrap();
        for broken in [&b""[..], &[0; 1024], HEADER.as_bytes()] {
            std::fs::write(blocks.path(), broken).unwrap();
            assert_eq!(blocks.read().unwrap().as_ref(), Some(&environment));
        }
        environment.bad(Slot::A);
        blocks.write(&environment).unwrap();
        assert_eq!(
            Environment::parse(&std::fs::read(blocks.path()).unwrap()),
            Some(environment)
        );
    }

    #[test]
    fn an_installation_leaves_the_running_slot_as_the_last_good_one() {
        let mut environment = Environment::of_a_new_machine(Slot::A);
        environment.prepare(Slot::A);
        assert!(!environment.is_ok(Slot::B) && !environment.is_proven(Slot::B));
        assert_eq!(environment.order().first(), Some(&Slot::A));
        assert_eq!(environment.last_good(), Some(Slot::A));
        environment.good(Slot::B);
        environment.prepare(Slot::B);
        assert_eq!(environment.last_good(), Some(Slot::B));
        assert!(!environment.is_ok(Slot::A));
    }
}
