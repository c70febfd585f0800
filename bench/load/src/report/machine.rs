//! Where a generator runs.

use serde::{Deserialize, Serialize};

/// A machine, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many processors the system has.
    pub processors: usize,
    /// The kernel.
    pub kernel: String,
    /// Bytes of memory.
    pub memory: u64,
}

impl Machine {
    /// This one, as far as the kernel tells.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self::from_texts(
            &read("/proc/cpuinfo"),
            &read("/proc/sys/kernel/osrelease"),
            &read("/proc/meminfo"),
            processors,
        )
    }

    fn from_texts(cpu: &str, kernel: &str, memory: &str, processors: usize) -> Self {
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|l| l.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = value(memory, "MemTotal").unwrap_or_default();
        let kilobytes = kilobytes
            .split(' ')
            .next()
            .and_then(|n| n.parse::<u64>().ok());
        Self {
            processor: value(cpu, "model name").unwrap_or_else(|| "unknown".to_owned()),
            processors,
            kernel: format!("Linux {}", kernel.trim()),
            memory: kilobytes.unwrap_or(0) * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let machine = Machine::from_texts(
            "processor\t: 0\nmodel name\t: A: fast one\n",
            "6.1.0-1\n",
            "MemTotal:        2048 kB\nMemFree: 1 kB\n",
            4,
        );
        assert_eq!(machine.processor, "A: fast one");
        assert_eq!(
            (machine.kernel.as_str(), machine.memory),
            ("Linux 6.1.0-1", 2 << 20)
        );
        assert_eq!(Machine::from_texts("", "", "", 1).processor, "unknown");
        assert!(Machine::this().memory > 0);
    }
}
