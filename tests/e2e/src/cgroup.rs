//! A share of the processor for some processes, by a control group of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Failure, Result};

/// How often the kernel counts anew. Short, so that who has used his share up does not stand still for
/// long: what waits then would look like overload.
const PERIOD: Duration = Duration::from_millis(10);

/// A control group with a share of one processor. Processes have to be gone before it is dropped.
pub struct CpuShare {
    folder: PathBuf,
}

impl CpuShare {
    /// Makes the group `name`: `percent` of one processor, at least 10, for this process and all its threads.
    ///
    /// # Errors
    /// Without the right to make control groups, or without the cpu controller.
    pub fn limit(name: &str, pid: u32, percent: u32) -> Result<Self> {
        let quota = PERIOD.as_micros() * u128::from(percent) / 100;
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(Failure::while_(format!(
                "writing {text:?} to {}: the cpu controller is needed",
                path.display()
            )))
        };
        let first = Path::new("/sys/fs/cgroup/cpu");
        let second = Path::new("/sys/fs/cgroup");
        let is_second = second.join("cgroup.controllers").exists();
        let folder = if is_second { second } else { first }.join(name);
        if is_second {
            write(&second.join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir(&folder).map_err(Failure::while_(format!("making {}", folder.display())))?;
        let share = Self { folder };
        let folder = &share.folder;
        let period = PERIOD.as_micros();
        if is_second {
            write(&folder.join("cpu.max"), &format!("{quota} {period}"))?;
        } else {
            write(&folder.join("cpu.cfs_period_us"), &period.to_string())?;
            write(&folder.join("cpu.cfs_quota_us"), &quota.to_string())?;
        }
        write(&folder.join("cgroup.procs"), &pid.to_string())?;
        Ok(share)
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

/// What takes a group away whose maker is gone, for a shell, when its processes have been killed.
pub(crate) fn sweep(name: &str) -> String {
    format!(
        "for g in /sys/fs/cgroup/{name} /sys/fs/cgroup/cpu/{name}; do \
           while [ -d $g ] && ! rmdir $g 2>/dev/null; do sleep 0.1; done; \
         done"
    )
}
