//! DPDK's environment: memory, devices, threads.

use std::{
    ffi::{CStr, CString, c_char, c_int},
    marker::PhantomData,
    sync::atomic::{AtomicBool, Ordering},
};

use tandem_dpdk_sys as sys;

use crate::{Device, DpdkErrno, Error};

/// The proof that DPDK is running in this process. It stays so until the process ends: buffers
/// may be in flight in devices and on other threads, and their memory is EAL's.
#[derive(Clone, Copy, Debug)]
pub struct Eal {
    /// Made by [`Eal::init`] only.
    made: PhantomData<()>,
}

/// What EAL is told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalSettings {
    /// The core that the calling thread is pinned to. Workers are threads of our own
    /// ([`crate::Registration`]), so it is the only one that EAL is told of.
    pub main_core: u16,
    /// Megabytes of ordinary memory; none to use huge pages.
    pub memory_mb: Option<u32>,
    /// The devices of all ports.
    pub devices: Vec<Device>,
    /// Further arguments, put last.
    pub further: Vec<String>,
}

impl EalSettings {
    /// The arguments for [`Eal::init`].
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut all = vec![format!("-l{}", self.main_core), "--no-telemetry".to_owned()];
        match self.memory_mb {
            // Nothing on disk, and no second process: both are what threads of our own need, and
            // what lets several dataplanes run on one machine. DPDK refuses --in-memory without
            // huge pages, where memory is anonymous anyway.
            None => all.push("--in-memory".to_owned()),
            Some(megabytes) => {
                all.extend(["--no-shconf", "--no-huge"].map(str::to_owned));
                all.extend(["-m".to_owned(), megabytes.to_string()]);
            }
        }
        if !self.devices.iter().any(Device::is_pci) {
            all.push("--no-pci".to_owned());
        }
        all.extend(self.devices.iter().map(Device::eal_argument));
        all.extend(self.further.iter().cloned());
        all
    }
}

impl Eal {
    /// Starts DPDK with `arguments` (without the program's name), on the calling thread, which
    /// EAL pins to its main core (`-l`, `--lcores`).
    ///
    /// Devices may be named here ([`Device::eal_argument`]); those that are not are taken by
    /// [`crate::Port::start`].
    ///
    /// # Errors
    /// If DPDK runs already, or does not start: no memory, no permission, an unknown argument.
    pub fn init<S: AsRef<str>>(arguments: &[S]) -> Result<Self, Error> {
        static STARTED: AtomicBool = AtomicBool::new(false);

        let mut owned = vec![c_string("tandem")?];
        for argument in arguments {
            owned.push(c_string(argument.as_ref())?);
        }
        // A failed start cannot be tried again either: EAL has taken memory and threads.
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::Initialised);
        }
        let count = c_int::try_from(owned.len())
            .map_err(|_| Error::Argument(format!("{} arguments", owned.len())))?;
        // EAL keeps pointers into the arguments and permutes the array: both stay for good.
        let mut argv: Vec<*mut c_char> = owned.into_iter().map(CString::into_raw).collect();
        argv.push(std::ptr::null_mut());
        let argv = argv.leak();
        // SAFETY: keeps the address of C's own `stderr`; nothing of DPDK runs yet. Needed: by default each message is in the journal twice.
        unsafe { sys::tnd_log_to_stderr() };
        // SAFETY: an array of `count` strings and a null, all of them writable and never freed;
        // called once per process. Needed: this is how DPDK starts.
        let result = unsafe { sys::rte_eal_init(count, argv.as_mut_ptr()) };
        if result < 0 {
            let errno = DpdkErrno::last();
            return Err(Error::Init {
                errno,
                remedy: remedy(errno),
            });
        }
        Ok(Self { made: PhantomData })
    }

    /// The library's release, such as `DPDK 22.11.11`.
    #[must_use]
    pub fn version(&self) -> String {
        // SAFETY: returns a static string. Needed: only the library knows.
        unsafe { CStr::from_ptr(sys::rte_version()) }
            .to_string_lossy()
            .into_owned()
    }

    /// The port number of a device: of one that EAL has already, or else of one attached now.
    pub(crate) fn attach(self, device: &Device) -> Result<u16, Error> {
        if let Some(port) = find(device)? {
            return Ok(port);
        }
        let devargs = c_string(device.devargs())?;
        // SAFETY: a string that lives over the call; EAL is initialised (`self`). Needed: devices
        // are attached by DPDK only.
        let attached = DpdkErrno::check(unsafe { sys::rte_dev_probe(devargs.as_ptr()) });
        let refused = |errno| Error::Device {
            device: device.to_string(),
            errno,
            remedy: if device.is_pci() {
                "Is it on this machine (lspci), and bound to vfio-pci (dpdk-devbind.py --status)?"
            } else {
                "Is its driver's name right (net_af_packet, net_memif, net_tap), does its \
                 interface exist in this network namespace, and may this process open it?"
            },
        };
        attached.map_err(refused)?;
        find(device)?.ok_or_else(|| refused(NO_DEVICE))
    }
}

/// ENODEV.
const NO_DEVICE: DpdkErrno = DpdkErrno::of(19);

/// The port number of a device that EAL has.
fn find(device: &Device) -> Result<Option<u16>, Error> {
    let name = c_string(device.name())?;
    let mut port = 0;
    // SAFETY: a string and a place for the number, both alive over the call. Needed: only DPDK
    // knows its ports.
    let found = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut port) };
    Ok((found == 0).then_some(port))
}

/// A C string; no empty one, and no zero byte inside.
pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    match CString::new(text) {
        Ok(string) if !text.is_empty() => Ok(string),
        _ => Err(Error::Argument(text.to_owned())),
    }
}

/// What helps when EAL does not start.
fn remedy(errno: DpdkErrno) -> &'static str {
    match errno.number() {
        12 => "Set huge pages aside (hugepages= on the kernel's command line), or set memory_mb.",
        13 | 1 => "It needs root, or the capabilities that its service unit gives it.",
        22 => "Look at the arguments in `eal`: one of them is not known or has a bad value.",
        _ => "Are huge pages set aside and mounted? Without them, set memory_mb.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_memory_and_the_devices() {
        let mut settings = EalSettings {
            main_core: 1,
            memory_mb: Some(256),
            devices: vec!["net_af_packet0,iface=veth1".parse().unwrap()],
            further: vec!["--log-level=lib.eal:debug".to_owned()],
        };
        let lab = "-l1 --no-telemetry --no-shconf --no-huge -m 256 --no-pci \
                   --vdev=net_af_packet0,iface=veth1 --log-level=lib.eal:debug";
        assert_eq!(settings.arguments().join(" "), lab);

        settings.memory_mb = None;
        settings.devices = vec!["41:00.0".parse().unwrap()];
        settings.further.clear();
        let metal = "-l1 --no-telemetry --in-memory --allow=0000:41:00.0";
        assert_eq!(settings.arguments().join(" "), metal);
    }
}
