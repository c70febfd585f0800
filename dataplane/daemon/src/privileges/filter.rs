//! Which system calls each kind of thread may make (seccomp, an allow list each).
//!
//! The first filter holds for the whole process from the end of its start on; the threads put a tighter one of their own on top.
//! What is not on the list fails with EPERM by default: nobody gets anything by it, and a call that was forgotten here, which
//! the tests have not seen, costs an error in the log and not the process.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompFilter, apply_filter, apply_filter_all_threads,
};
use tandem_config::Seccomp;

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All threads, and those that they make.
    Process,
    /// The control thread, once the others are there.
    Control,
    /// The thread that restarts ports.
    Ports,
    /// The netlink mirror.
    Mirror,
    /// The exception thread: the TAPs, and raw sockets for SIP.
    Exception,
    /// A worker: what the drivers of virtual devices need; those of NICs need nothing.
    Worker,
}

/// Memory, waiting, clocks, descriptors that are there, and the end.
const EVERYBODY: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Sockets.
const SOCKETS: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ioctl,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socket,
];

/// Files to be looked at, memory to be shared, events to be waited for.
const CONTROL: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_prctl,
    libc::SYS_readlinkat,
    libc::SYS_sched_setaffinity,
    libc::SYS_socketpair,
    libc::SYS_statx,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    // EAL's thread of interrupts makes another one whenever a device has other descriptors, as shared memory does.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// Making the threads, and what each does to itself before it puts its own filter on.
const THREADS: &[c_long] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_seccomp,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
];

/// Putting a filter on.
const CONFINING: &[c_long] = &[libc::SYS_seccomp];

impl Kind {
    fn lists(self) -> Vec<&'static [c_long]> {
        match self {
            Self::Process => vec![EVERYBODY, SOCKETS, CONTROL, THREADS],
            Self::Control => vec![EVERYBODY, SOCKETS, CONTROL, CONFINING],
            Self::Mirror | Self::Ports => vec![EVERYBODY, SOCKETS, CONTROL],
            Self::Exception => vec![EVERYBODY, SOCKETS],
            Self::Worker => vec![EVERYBODY],
        }
    }

    /// Whether it may make this call.
    #[cfg(test)]
    fn may(self, call: c_long) -> bool {
        self.lists().iter().any(|list| list.contains(&call))
    }
}

/// Why there is no filter.
pub(crate) type Unfit = Box<dyn std::error::Error + Send + Sync>;

/// Puts a filter on the calling thread, or for [`Kind::Process`] on all threads that there are.
pub(crate) fn confine(kind: Kind, mode: Seccomp) -> Result<(), Unfit> {
    let otherwise = match mode {
        Seccomp::Off => return Ok(()),
        Seccomp::Log => SeccompAction::Log,
        Seccomp::Refuse => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        Seccomp::Kill => SeccompAction::KillProcess,
    };
    let rules: BTreeMap<_, _> = kind
        .lists()
        .into_iter()
        .flatten()
        .map(|call| (*call, Vec::new()))
        .collect();
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, otherwise, SeccompAction::Allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    match kind {
        Kind::Process => apply_filter_all_threads(&program)?,
        _ => apply_filter(&program)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// On a thread of its own, which has the filter then.
    fn confined<T: Send>(kind: Kind, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                confine(kind, Seccomp::Refuse).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    fn refused<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_worker_may_wait_and_write_but_open_and_start_nothing() {
        let (reader, writer) = std::io::pipe().unwrap();
        confined(Kind::Worker, || {
            use std::io::Write as _;
            (&writer).write_all(b"bell").unwrap();
            std::thread::sleep(std::time::Duration::from_micros(10));
            assert!(vec![0_u8; 1 << 22].iter().all(|byte| *byte == 0));
            assert!(refused(std::fs::File::open("/proc/self/status")));
            assert!(refused(std::net::UdpSocket::bind("127.0.0.1:0")));
            assert!(refused(std::process::Command::new("/bin/true").status()));
            let traced = nix::sys::ptrace::traceme();
            assert_eq!(traced, Err(nix::errno::Errno::EPERM));
        });
        drop(reader);
    }

    #[test]
    fn the_exception_thread_has_sockets_but_no_files() {
        confined(Kind::Exception, || {
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(refused(std::fs::File::open("/proc/self/status")));
        });
    }

    #[test]
    fn the_control_thread_reads_files_but_starts_nothing() {
        confined(Kind::Control, || {
            std::fs::read_to_string("/proc/self/status").unwrap();
            assert!(refused(std::process::Command::new("/bin/true").status()));
            assert!(std::thread::Builder::new().spawn(|| ()).is_err());
        });
    }

    #[test]
    fn nobody_may_what_only_harms() {
        let kinds = [
            Kind::Process,
            Kind::Control,
            Kind::Ports,
            Kind::Mirror,
            Kind::Exception,
            Kind::Worker,
        ];
        for kind in kinds {
            for call in [
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_ptrace,
                libc::SYS_mount,
                libc::SYS_init_module,
                libc::SYS_finit_module,
                libc::SYS_bpf,
                libc::SYS_kexec_load,
                libc::SYS_setns,
                libc::SYS_unshare,
                libc::SYS_process_vm_writev,
                libc::SYS_setuid,
                libc::SYS_chmod,
                libc::SYS_kill,
            ] {
                assert!(!kind.may(call), "{kind:?} {call}");
            }
            assert!(Kind::Process.may(libc::SYS_poll) && kind.may(libc::SYS_poll));
        }
    }

    #[test]
    fn off_confines_nobody() {
        std::thread::spawn(|| {
            confine(Kind::Worker, Seccomp::Off).unwrap();
            std::fs::read_to_string("/proc/self/status").unwrap();
        })
        .join()
        .unwrap();
    }
}
