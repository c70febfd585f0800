//! The layouts that the bindings have are the ones that the C compiler has.

use std::{collections::BTreeMap, ffi::CStr, mem::offset_of, mem::size_of};

use tandem_dpdk_sys as sys;

/// What the C compiler says, by name.
fn facts() -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    // SAFETY: a static table that ends with a null name; the names are literals.
    unsafe {
        let mut fact = sys::tnd_layouts();
        while !(*fact).name.is_null() {
            let name = CStr::from_ptr((*fact).name).to_string_lossy().into_owned();
            all.insert(name, (*fact).value);
            fact = fact.add(1);
        }
    }
    all
}

macro_rules! ours {
    ($($type:ident { $($($field:ident).+),* $(,)? })*) => {
        vec![$(
            (stringify!($type).to_owned(), size_of::<sys::$type>()),
            $((format!("{}.{}", stringify!($type), [$(stringify!($field)),+].join(".")),
               offset_of!(sys::$type, $($field).+)),)*
        )*]
    };
}

macro_rules! mbuf {
    ($($field:literal = $offset:ident, $width:ty;)*) => {
        vec![$(
            (format!("rte_mbuf.{}", $field), sys::$offset as usize),
            (format!("width of rte_mbuf.{}", $field), size_of::<$width>()),
        )*]
    };
}

#[test]
fn every_layout_is_the_c_compilers() {
    let mut expected = ours! {
        rte_eth_conf {
            rxmode.mq_mode, rxmode.mtu, rxmode.offloads, txmode.offloads,
            rx_adv_conf.rss_conf.rss_key, rx_adv_conf.rss_conf.rss_key_len,
            rx_adv_conf.rss_conf.rss_hf,
        }
        rte_eth_dev_info {
            driver_name, if_index, min_mtu, max_mtu, max_rx_pktlen, max_rx_queues, max_tx_queues,
            rx_offload_capa, tx_offload_capa, reta_size, hash_key_size, flow_type_rss_offloads, default_rxconf,
            default_txconf,
        }
        rte_eth_rxconf { offloads }
        rte_eth_txconf { offloads }
        rte_eth_stats {
            ipackets, opackets, ibytes, obytes, imissed, ierrors, oerrors, rx_nombuf,
            q_ipackets, q_opackets, q_ibytes, q_obytes,
        }
        rte_eth_xstat { id, value }
        rte_eth_xstat_name { name }
        rte_eth_rss_reta_entry64 { mask, reta }
        rte_ether_addr { addr_bytes }
    };
    expected.push(("rte_mbuf".to_owned(), sys::TND_MBUF_SIZE as usize));
    expected.extend(mbuf! {
        "buf_addr" = TND_MBUF_BUF_ADDR, *mut u8;
        "data_off" = TND_MBUF_DATA_OFF, u16;
        "refcnt" = TND_MBUF_REFCNT, u16;
        "nb_segs" = TND_MBUF_NB_SEGS, u16;
        "port" = TND_MBUF_PORT, u16;
        "ol_flags" = TND_MBUF_OL_FLAGS, u64;
        "pkt_len" = TND_MBUF_PKT_LEN, u32;
        "data_len" = TND_MBUF_DATA_LEN, u16;
        "vlan_tci" = TND_MBUF_VLAN_TCI, u16;
        "hash.rss" = TND_MBUF_RSS_HASH, u32;
        "buf_len" = TND_MBUF_BUF_LEN, u16;
        "pool" = TND_MBUF_POOL, *mut u8;
        "tx_offload" = TND_MBUF_TX_OFFLOAD, u64;
    });
    // Both ways: neither side may know of a field that the other does not.
    assert_eq!(expected.into_iter().collect::<BTreeMap<_, _>>(), facts());
}

#[test]
fn the_flags_are_the_headers() {
    // The checksum states are two bits each: all four values are distinct and inside the mask.
    let ip = [
        0,
        sys::TND_RX_IP_CKSUM_BAD,
        sys::TND_RX_IP_CKSUM_GOOD,
        sys::TND_RX_IP_CKSUM_NONE,
    ];
    assert_eq!(
        ip.iter().fold(0, |all, flag| all | flag),
        sys::TND_RX_IP_CKSUM_MASK
    );
    let l4 = [
        0,
        sys::TND_RX_L4_CKSUM_BAD,
        sys::TND_RX_L4_CKSUM_GOOD,
        sys::TND_RX_L4_CKSUM_NONE,
    ];
    assert_eq!(
        l4.iter().fold(0, |all, flag| all | flag),
        sys::TND_RX_L4_CKSUM_MASK
    );
    assert_eq!(sys::TND_RX_IP_CKSUM_MASK & sys::TND_RX_L4_CKSUM_MASK, 0);
    assert_eq!(sys::TND_HEADROOM, 128);
}

#[test]
fn the_library_is_a_release_that_we_know() {
    // SAFETY: returns a static string.
    let version = unsafe { CStr::from_ptr(sys::rte_version()) }.to_string_lossy();
    assert!(
        version.starts_with("DPDK 22.11") || version.starts_with("DPDK 24.11"),
        "{version}"
    );
}
