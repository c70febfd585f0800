//! The netlink mirror: what an administrator sets with `ip` on the realms' TAPs (addresses,
//! routes, neighbours) reaches the workers as a whole new snapshot.
//!
//! A change makes its table dirty; the dirty tables are read again in full, at once but not much more often than
//! every [`COLLECT`], and a snapshot is handed out. So there is one path for a start, a change, and a resynchronisation
//! after the kernel had to drop notifications (ENOBUFS), and no half-known state.

mod kernel;

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
pub(crate) use kernel::Tables;
#[cfg(test)]
pub(crate) use kernel::{Address, Hop, Neighbour, Route};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourState,
};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{
    Error, Handle, LinkUnspec, MulticastGroup, new_connection, new_multicast_connection,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::counters::Counter;

/// How long after the tables were read changes are collected before they are read again: an administrator's
/// command makes several, a routing daemon thousands. The first is not kept waiting: packets to a neighbour that
/// was just resolved are lost until the workers know it.
const COLLECT: Duration = Duration::from_millis(5);

/// How long to wait before netlink is tried again after it failed.
const RETRY: Duration = Duration::from_millis(500);

/// A neighbour that the workers want to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// The TAP's number in the kernel.
    pub(crate) device: u32,
    pub(crate) ip: IpAddr,
}

/// What the mirror is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Resolve a neighbour, and keep it so.
    Resolve(Wanted),
    /// A realm's port has a link now, or none: so has its TAP, and routing daemons see it.
    Carrier { device: u32, is_up: bool },
}

/// What the mirror needs and where its snapshots go.
pub(crate) struct Mirror<F> {
    /// The realms' TAPs.
    pub(crate) devices: Vec<u32>,
    /// Next hops that workers lack, and links.
    pub(crate) requests: UnboundedReceiver<Request>,
    /// Takes every new snapshot.
    pub(crate) deliver: F,
    /// Full resynchronisations.
    pub(crate) resyncs: Arc<Counter>,
}

/// Which tables must be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dirty {
    addresses: bool,
    routes: bool,
    neighbours: bool,
}

impl Dirty {
    const ALL: Self = Self {
        addresses: true,
        routes: true,
        neighbours: true,
    };

    fn any(self) -> bool {
        self != Self::default()
    }
}

impl<F: FnMut(&Tables)> Mirror<F> {
    /// Runs until the other end of `requests` is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            while let Err(error) = self.session().await {
                warn!("netlink: {error}; trying again");
                self.resyncs.add(1);
                tokio::time::sleep(RETRY).await;
            }
        });
        Ok(())
    }

    /// One netlink session; returns without error when the daemon ends.
    async fn session(&mut self) -> Result<(), SessionError> {
        let (connection, _, mut events) = new_multicast_connection(&[
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])?;
        tokio::spawn(connection);
        // Requests have a socket of their own: a flood of notifications never swallows an answer.
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        let mut tables = Tables::default();
        let mut kept = HashSet::new();
        let mut dirty = Dirty::ALL;
        let mut next_read = Instant::now();
        loop {
            if dirty.any() {
                tokio::time::sleep_until(next_read).await;
                while let Ok(event) = events.try_recv() {
                    self.mark(&event.0, &tables, &mut dirty);
                }
                let before = tables.clone();
                self.read(&handle, std::mem::take(&mut dirty), &mut tables)
                    .await?;
                next_read = Instant::now() + COLLECT;
                self.keep_gateways(&handle, &tables, &mut kept).await;
                if before != tables || before == Tables::default() {
                    (self.deliver)(&tables);
                }
            }
            tokio::select! {
                event = events.next() => match event {
                    Some((event, _)) => self.mark(&event, &tables, &mut dirty),
                    None => return Err(SessionError::Closed),
                },
                request = self.requests.recv() => match request {
                    // To ask for it would make the kernel forget what the administrator said.
                    Some(Request::Resolve(wanted)) if tables.is_fixed(wanted.device, wanted.ip) => {}
                    Some(Request::Resolve(wanted)) => keep(&handle, wanted).await,
                    Some(Request::Carrier { device, is_up }) => {
                        set_carrier(&handle, device, is_up).await;
                        // A device without a carrier loses its neighbours: gateways are resolved again.
                        dirty.neighbours |= is_up;
                        dirty.routes |= is_up;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Marks what an event made dirty of the tables.
    fn mark(
        &self,
        event: &NetlinkMessage<RouteNetlinkMessage>,
        tables: &Tables,
        dirty: &mut Dirty,
    ) {
        use RouteNetlinkMessage as M;
        let ours = |device: u32| self.devices.contains(&device);
        match &event.payload {
            NetlinkPayload::InnerMessage(M::NewNeighbour(m)) => {
                dirty.neighbours |= ours(m.header.ifindex) && tables.is_news(m, false);
            }
            NetlinkPayload::InnerMessage(M::DelNeighbour(m)) => {
                dirty.neighbours |= ours(m.header.ifindex) && tables.is_news(m, true);
            }
            NetlinkPayload::InnerMessage(M::NewAddress(m) | M::DelAddress(m)) => {
                // The kernel adds and removes routes with an address, not all with a message.
                let here = ours(m.header.index);
                dirty.addresses |= here;
                dirty.routes |= here;
            }
            NetlinkPayload::InnerMessage(M::NewRoute(_) | M::DelRoute(_)) => dirty.routes = true,
            NetlinkPayload::Overrun(_) => {
                warn!("netlink dropped notifications: reading everything again");
                self.resyncs.add(1);
                *dirty = Dirty::ALL;
            }
            _ => {}
        }
    }

    /// Reads the dirty tables, keeping what is on our devices.
    async fn read(&self, handle: &Handle, dirty: Dirty, tables: &mut Tables) -> Result<(), Error> {
        let ours = |device: u32| self.devices.contains(&device);
        if dirty.addresses {
            let all = handle.address().get().execute();
            tables.addresses =
                collect(all, |m| kernel::address(m).filter(|a| ours(a.device))).await?;
        }
        if dirty.routes {
            tables.routes.clear();
            for family in [AddressFamily::Inet, AddressFamily::Inet6] {
                let mut request = RouteMessage::default();
                request.header.address_family = family;
                let all = handle.route().get(request).execute();
                let routes = collect(all, |m| {
                    let mut route = kernel::route(m)?;
                    route.hops.retain(|h| ours(h.device));
                    (!route.hops.is_empty()).then_some(route)
                });
                tables.routes.extend(routes.await?);
            }
        }
        if dirty.neighbours {
            let all = handle.neighbours().get().execute();
            tables.neighbours =
                collect(all, |m| kernel::neighbour(m).filter(|n| ours(n.device))).await?;
        }
        Ok(())
    }

    /// Keeps every gateway of our routes resolved, before the first packet needs it.
    async fn keep_gateways(&self, handle: &Handle, tables: &Tables, kept: &mut HashSet<Wanted>) {
        for hop in tables.routes.iter().flat_map(|r| &r.hops) {
            let Some(ip) = hop.gateway else { continue };
            let wanted = Wanted {
                device: hop.device,
                ip,
            };
            // Also when it was lost: a device that goes down loses its neighbours.
            let resolved = tables
                .neighbours
                .iter()
                .any(|n| n.device == hop.device && n.ip == ip);
            if tables.is_fixed(hop.device, ip) {
                continue;
            }
            if kept.insert(wanted) || !resolved {
                keep(handle, wanted).await;
            }
        }
    }
}

async fn collect<M, T>(
    messages: impl Stream<Item = Result<M, Error>>,
    read: impl Fn(&M) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let messages = std::pin::pin!(messages);
    messages
        .try_filter_map(|m| std::future::ready(Ok(read(&m))))
        .try_collect()
        .await
}

/// Asks the kernel to resolve a neighbour and to keep it so (`NTF_EXT_MANAGED`, Linux 5.16); a
/// kernel that does not know that resolves it once (`NTF_USE`) and is asked again when it is lost.
async fn keep(handle: &Handle, wanted: Wanted) {
    let request = || {
        handle
            .neighbours()
            .add(wanted.device, wanted.ip)
            .state(NeighbourState::None)
            .replace()
    };
    let mut managed = request();
    managed
        .message_mut()
        .attributes
        .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    if let Err(error) = managed.execute().await {
        debug!("netlink: {} cannot be kept resolved: {error}", wanted.ip);
        if let Err(error) = request().flags(NeighbourFlags::Use).execute().await {
            warn!("netlink: {} cannot be resolved: {error}", wanted.ip);
        }
    }
}

/// Gives a TAP a carrier, or takes it (Linux 5.0). Best effort: media does not depend on it.
async fn set_carrier(handle: &Handle, device: u32, is_up: bool) {
    let change = LinkUnspec::new_with_index(device).carrier(is_up).build();
    if let Err(error) = handle.link().set(change).execute().await {
        warn!("netlink: the carrier of device {device} cannot be set: {error}");
    }
}

/// Why a netlink session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the socket: {0}")]
    Socket(#[from] io::Error),
    #[error("a request: {0}")]
    Request(#[from] Error),
    #[error("the notifications ended")]
    Closed,
}
