//! Binds the part of libdpdk that Tandem uses, and compiles the shim for what C only has inline.
//!
//! The headers and flags are those of the installed `libdpdk` (pkg-config), so the bindings
//! follow a newer release without a checked-in copy going stale. What is bound is an allow-list.

use std::{env, error::Error, path::PathBuf};

/// Functions of DPDK's shared libraries, and all of the shim's own.
const FUNCTIONS: &[&str] = &[
    "rte_eal_init",
    "rte_strerror",
    "rte_version",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_dev_probe",
    "rte_pktmbuf_pool_create",
    "rte_mempool_avail_count",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_configure",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_rx_queue_setup",
    "rte_eth_tx_queue_setup",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_close",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_stats_get",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    "tnd_.*",
];

/// Structures whose fields Tandem reads or writes; what they contain comes along.
const TYPES: &[&str] = &[
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_rss_reta_entry64",
    "rte_eth_stats",
    "rte_eth_xstat",
    "rte_eth_xstat_name",
    "rte_ether_addr",
    "tnd_mbuf_layout",
    "tnd_link",
    "tnd_layout",
];

/// Structures that are only ever pointed to. An mbuf's fields are reached by the offsets that the
/// shim's header states, because their nesting differs between releases.
const OPAQUE: &[&str] = &[
    "rte_mbuf",
    "rte_mempool",
    "rte_device",
    "rte_mbuf_ext_shared_info",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-changed=build.rs");

    let dpdk = pkg_config::Config::new()
        .range_version("22.11".."26")
        .probe("libdpdk")
        .map_err(|e| format!("{e}\nremedy: apt-get install libdpdk-dev pkg-config"))?;
    // pkg-config's crate leaves out the flags that are neither -I nor -D, and DPDK's inline code
    // needs them: the build configuration by -include, the CPU baseline by -march.
    let flags = cflags()?;

    let mut shim = cc::Build::new();
    shim.file("shim/shim.c")
        .opt_level(3)
        .warnings(true)
        .flag("-Wno-unused-parameter");
    for flag in &flags {
        shim.flag(flag);
    }
    shim.try_compile("tandem_dpdk_shim")?;
    // After the shim, which needs them: the linker resolves from left to right.
    for library in &dpdk.libs {
        if LIBRARIES.contains(&library.as_str()) {
            println!("cargo::rustc-link-lib=dylib={library}");
        }
    }

    let mut bindings = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(&flags)
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .derive_default(false)
        .derive_debug(false)
        .prepend_enum_name(false)
        .allowlist_var("TND_.*");
    for function in FUNCTIONS {
        bindings = bindings.allowlist_function(function);
    }
    for structure in TYPES {
        bindings = bindings.allowlist_type(structure);
    }
    for structure in OPAQUE {
        bindings = bindings.opaque_type(structure);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    bindings
        .generate()?
        .write_to_file(out.join("bindings.rs"))?;
    Ok(())
}

/// Of libdpdk's forty libraries, the ones whose functions are bound. The drivers are not linked:
/// EAL loads them from the plugin directory that it was built with.
const LIBRARIES: &[&str] = &["rte_eal", "rte_mempool", "rte_mbuf", "rte_ethdev"];

/// All compiler flags of libdpdk.
fn cflags() -> Result<Vec<String>, Box<dyn Error>> {
    let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = std::process::Command::new(pkg_config)
        .args(["--cflags", "libdpdk"])
        .output()?;
    if !output.status.success() {
        return Err(format!("pkg-config --cflags libdpdk: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}
