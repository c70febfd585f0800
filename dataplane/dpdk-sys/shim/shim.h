/* What Tandem binds of DPDK: the headers, the constants that bindgen cannot
 * read out of macros, and the shim's own functions. */
#ifndef TANDEM_DPDK_SHIM_H
#define TANDEM_DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* Where an mbuf's fields are. The structure nests them differently from one
 * release to the next; their names and widths have stayed. */
enum tnd_mbuf_layout {
    TND_MBUF_SIZE = sizeof(struct rte_mbuf),
    TND_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
    TND_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
    TND_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
    TND_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
    TND_MBUF_PORT = offsetof(struct rte_mbuf, port),
    TND_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
    TND_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
    TND_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
    TND_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
    TND_MBUF_RSS_HASH = offsetof(struct rte_mbuf, hash.rss),
    TND_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
    TND_MBUF_POOL = offsetof(struct rte_mbuf, pool),
    TND_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
};

/* tx_offload is a bit field: l2_len in the lowest bits, l3_len above. */
static const uint32_t TND_L2_LEN_BITS = RTE_MBUF_L2_LEN_BITS;
static const uint32_t TND_L3_LEN_BITS = RTE_MBUF_L3_LEN_BITS;

static const uint16_t TND_HEADROOM = RTE_PKTMBUF_HEADROOM;
static const uint16_t TND_MAX_ETHPORTS = RTE_MAX_ETHPORTS;
static const uint16_t TND_QUEUES_COUNTED = RTE_ETHDEV_QUEUE_STAT_CNTRS;

/* What the device says of a received packet. */
static const uint64_t TND_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t TND_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t TND_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t TND_RX_IP_CKSUM_NONE = RTE_MBUF_F_RX_IP_CKSUM_NONE;
static const uint64_t TND_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t TND_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t TND_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t TND_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE;
static const uint64_t TND_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t TND_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;

/* What the device shall do to a packet sent. */
static const uint64_t TND_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t TND_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t TND_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t TND_TX_IPV6 = RTE_MBUF_F_TX_IPV6;

/* Whose memory the buffer is: kept whatever else is set. */
static const uint64_t TND_BUFFER_FLAGS = RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;

/* What ports can do. */
static const uint64_t TND_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t TND_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t TND_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t TND_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t TND_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint32_t TND_MQ_RX_NONE = RTE_ETH_MQ_RX_NONE;
static const uint32_t TND_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;
static const uint64_t TND_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t TND_RSS_L4_DST_ONLY = RTE_ETH_RSS_L4_DST_ONLY;

static const uint16_t TND_RETA_GROUP_SIZE = RTE_ETH_RETA_GROUP_SIZE;

/* A port's link: the structure behind it is a bit field in one release and a
 * union in the next. */
struct tnd_link {
    uint32_t speed_mbps;
    uint8_t up;
    uint8_t full_duplex;
};

/* One fact about a layout, as the C compiler has it. */
struct tnd_layout {
    const char *name;
    size_t value;
};

/* rte_errno is thread-local behind a macro. */
int tnd_errno(void);
/* DPDK's messages go to the standard error output alone: its default is syslog, too. */
int tnd_log_to_stderr(void);
uint32_t tnd_lcore_id(void);

uint16_t tnd_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t tnd_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

struct rte_mbuf *tnd_mbuf_alloc(struct rte_mempool *pool);
int tnd_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t count);
void tnd_mbuf_free(struct rte_mbuf *packet);
void tnd_mbuf_free_bulk(struct rte_mbuf **packets, uint32_t count);

int tnd_link_nowait(uint16_t port, struct tnd_link *link);

/* Has `conf` ask for an interrupt when the port's link changes, if the device has one. */
void tnd_link_interrupt(uint16_t port, struct rte_eth_conf *conf);
/* Has `fd`, an eventfd, written when the link of a port changes that was configured so. 1 if it will be, 0 if the
 * device has no interrupt for it, or a negative errno. */
int tnd_link_events(uint16_t port, int fd);

/* A flow rule: UDP over IPv4 or IPv6, with a VLAN tag or without, whose destination port is `value` under
 * `mask`, comes to `queue`. Validated, or created too. 0, or a negative errno. */
int tnd_flow_udp_port(uint16_t port, int ipv6, int tagged, uint16_t value, uint16_t mask, uint16_t queue, int create);
/* Takes all flow rules of a port away. */
int tnd_flow_flush(uint16_t port);

/* Facts for the layout test; ends with a NULL name. */
const struct tnd_layout *tnd_layouts(void);

#endif
