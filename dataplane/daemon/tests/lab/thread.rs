//! The daemon's threads, one by one.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The thread of this name.
pub(crate) fn thread(process: Pid, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let found = tasks
        .map(|task| task.unwrap().path())
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == name);
    let task = found.expect("a thread of this name");
    Pid::from_raw(task.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

/// Stops one thread alone, as a debugger does.
pub(crate) fn halt(thread: Pid) {
    ptrace::seize(thread, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(thread).unwrap();
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
}

/// Lets it go on.
pub(crate) fn release(thread: Pid) {
    ptrace::detach(thread, None).unwrap();
}
