/* Out-of-line copies of what DPDK's headers only define inline or as macros.
 * Bursts and frees cross into C once a burst; nothing here has logic. */
#include "shim.h"

#include <stdio.h>
#include <unistd.h>

int tnd_errno(void)
{
    return rte_errno;
}

int tnd_log_to_stderr(void)
{
    return rte_openlog_stream(stderr);
}

uint32_t tnd_lcore_id(void)
{
    return rte_lcore_id();
}

uint16_t tnd_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
    return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t tnd_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
    return rte_eth_tx_burst(port, queue, packets, count);
}

struct rte_mbuf *tnd_mbuf_alloc(struct rte_mempool *pool)
{
    return rte_pktmbuf_alloc(pool);
}

int tnd_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t count)
{
    return rte_pktmbuf_alloc_bulk(pool, packets, count);
}

void tnd_mbuf_free(struct rte_mbuf *packet)
{
    rte_pktmbuf_free(packet);
}

void tnd_mbuf_free_bulk(struct rte_mbuf **packets, uint32_t count)
{
    rte_pktmbuf_free_bulk(packets, count);
}

int tnd_link_nowait(uint16_t port, struct tnd_link *link)
{
    struct rte_eth_link now = {0};
    int result = rte_eth_link_get_nowait(port, &now);

    link->speed_mbps = now.link_speed;
    link->up = now.link_status == RTE_ETH_LINK_UP;
    link->full_duplex = now.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
    return result;
}

static int has_link_interrupt(uint16_t port)
{
    struct rte_eth_dev_info info;

    return rte_eth_dev_info_get(port, &info) == 0 && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
}

void tnd_link_interrupt(uint16_t port, struct rte_eth_conf *conf)
{
    conf->intr_conf.lsc = has_link_interrupt(port);
}

/* On DPDK's interrupt thread. A write that finds the eventfd full changes nothing: it is readable. */
static int on_link_event(uint16_t port, enum rte_eth_event_type event, void *fd, void *ret)
{
    uint64_t one = 1;

    (void)port, (void)event, (void)ret;
    return write((int)(intptr_t)fd, &one, sizeof(one)) < 0 ? -1 : 0;
}

int tnd_link_events(uint16_t port, int fd)
{
    int result;

    if (!has_link_interrupt(port))
        return 0;
    result = rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, on_link_event, (void *)(intptr_t)fd);
    return result == 0 ? 1 : result;
}

int tnd_flow_udp_port(uint16_t port, int ipv6, int tagged, uint16_t value, uint16_t mask, uint16_t queue, int create)
{
    struct rte_flow_attr attr = {.ingress = 1};
    struct rte_flow_item_udp wanted = {.hdr.dst_port = rte_cpu_to_be_16(value)};
    struct rte_flow_item_udp masked = {.hdr.dst_port = rte_cpu_to_be_16(mask)};
    struct rte_flow_action_queue to = {.index = queue};
    struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    struct rte_flow_item pattern[5] = {{0}};
    struct rte_flow_error error = {0};
    int last = 0;

    pattern[last++].type = RTE_FLOW_ITEM_TYPE_ETH;
    if (tagged)
        pattern[last++].type = RTE_FLOW_ITEM_TYPE_VLAN;
    pattern[last++].type = ipv6 ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4;
    pattern[last].type = RTE_FLOW_ITEM_TYPE_UDP;
    pattern[last].spec = &wanted;
    pattern[last++].mask = &masked;
    pattern[last].type = RTE_FLOW_ITEM_TYPE_END;
    if (!create)
        return rte_flow_validate(port, &attr, pattern, actions, &error);
    return rte_flow_create(port, &attr, pattern, actions, &error) == NULL ? -rte_errno : 0;
}

int tnd_flow_flush(uint16_t port)
{
    struct rte_flow_error error = {0};

    return rte_flow_flush(port, &error);
}

#define SIZE(type) { #type, sizeof(struct type) }
#define FIELD(type, field) { #type "." #field, offsetof(struct type, field) }
#define WIDTH(type, field) { "width of " #type "." #field, sizeof(((struct type *)0)->field) }

const struct tnd_layout *tnd_layouts(void)
{
    static const struct tnd_layout facts[] = {
        SIZE(rte_mbuf),
        FIELD(rte_mbuf, buf_addr),
        FIELD(rte_mbuf, data_off),
        FIELD(rte_mbuf, refcnt),
        FIELD(rte_mbuf, nb_segs),
        FIELD(rte_mbuf, port),
        FIELD(rte_mbuf, ol_flags),
        FIELD(rte_mbuf, pkt_len),
        FIELD(rte_mbuf, data_len),
        FIELD(rte_mbuf, vlan_tci),
        FIELD(rte_mbuf, hash.rss),
        FIELD(rte_mbuf, buf_len),
        FIELD(rte_mbuf, pool),
        FIELD(rte_mbuf, tx_offload),
        WIDTH(rte_mbuf, buf_addr),
        WIDTH(rte_mbuf, data_off),
        WIDTH(rte_mbuf, refcnt),
        WIDTH(rte_mbuf, nb_segs),
        WIDTH(rte_mbuf, port),
        WIDTH(rte_mbuf, ol_flags),
        WIDTH(rte_mbuf, pkt_len),
        WIDTH(rte_mbuf, data_len),
        WIDTH(rte_mbuf, vlan_tci),
        WIDTH(rte_mbuf, hash.rss),
        WIDTH(rte_mbuf, buf_len),
        WIDTH(rte_mbuf, pool),
        WIDTH(rte_mbuf, tx_offload),
        SIZE(rte_eth_conf),
        FIELD(rte_eth_conf, rxmode.mq_mode),
        FIELD(rte_eth_conf, rxmode.mtu),
        FIELD(rte_eth_conf, rxmode.offloads),
        FIELD(rte_eth_conf, txmode.offloads),
        FIELD(rte_eth_conf, rx_adv_conf.rss_conf.rss_key),
        FIELD(rte_eth_conf, rx_adv_conf.rss_conf.rss_key_len),
        FIELD(rte_eth_conf, rx_adv_conf.rss_conf.rss_hf),
        SIZE(rte_eth_dev_info),
        FIELD(rte_eth_dev_info, driver_name),
        FIELD(rte_eth_dev_info, if_index),
        FIELD(rte_eth_dev_info, min_mtu),
        FIELD(rte_eth_dev_info, max_mtu),
        FIELD(rte_eth_dev_info, max_rx_pktlen),
        FIELD(rte_eth_dev_info, max_rx_queues),
        FIELD(rte_eth_dev_info, max_tx_queues),
        FIELD(rte_eth_dev_info, rx_offload_capa),
        FIELD(rte_eth_dev_info, tx_offload_capa),
        FIELD(rte_eth_dev_info, reta_size),
        FIELD(rte_eth_dev_info, hash_key_size),
        FIELD(rte_eth_dev_info, flow_type_rss_offloads),
        FIELD(rte_eth_dev_info, default_rxconf),
        FIELD(rte_eth_dev_info, default_txconf),
        SIZE(rte_eth_rxconf),
        FIELD(rte_eth_rxconf, offloads),
        SIZE(rte_eth_txconf),
        FIELD(rte_eth_txconf, offloads),
        SIZE(rte_eth_rss_reta_entry64),
        FIELD(rte_eth_rss_reta_entry64, mask),
        FIELD(rte_eth_rss_reta_entry64, reta),
        SIZE(rte_eth_stats),
        FIELD(rte_eth_stats, ipackets),
        FIELD(rte_eth_stats, opackets),
        FIELD(rte_eth_stats, ibytes),
        FIELD(rte_eth_stats, obytes),
        FIELD(rte_eth_stats, imissed),
        FIELD(rte_eth_stats, ierrors),
        FIELD(rte_eth_stats, oerrors),
        FIELD(rte_eth_stats, rx_nombuf),
        FIELD(rte_eth_stats, q_ipackets),
        FIELD(rte_eth_stats, q_opackets),
        FIELD(rte_eth_stats, q_ibytes),
        FIELD(rte_eth_stats, q_obytes),
        SIZE(rte_eth_xstat),
        FIELD(rte_eth_xstat, id),
        FIELD(rte_eth_xstat, value),
        SIZE(rte_eth_xstat_name),
        FIELD(rte_eth_xstat_name, name),
        SIZE(rte_ether_addr),
        FIELD(rte_ether_addr, addr_bytes),
        { NULL, 0 },
    };
    return facts;
}
