//! What goes into the core and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_link::{Command, DataplaneHello, FromDataplane};
use tandem_policy::defence::{Sight, Source};
use tandem_policy::locate::{Errand, Finding};
use tandem_policy::{AddressRow, DispatcherRow, Subscribers};

use crate::config::CoreConfig;
use crate::core::News;

/// The time of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, since an origin of the shell's choice that does not change while it runs.
    pub mono: Duration,
    /// The wall clock, Unix milliseconds.
    pub wall_ms: u64,
}

/// How a message came or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Path {
    /// Through the dataplane, in the realm with this index. (Datagrams that the kernel reassembled
    /// and received on the realm's own SIP address come as this too: the shell chooses rings or
    /// socket.)
    Realm(u16),
    /// Through the kernel socket with this index in `[[sip.kernel]]`.
    Kernel(u16),
    /// Over a connection of the stream listener with this index in `[[sip.listen]]`: TCP, TLS,
    /// WebSocket. What is sent goes over a connection with its destination.
    Stream(u16),
}

/// One input.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "passed by value once, never stored"
)]
pub enum Input<'a> {
    /// A SIP message: a datagram, or one message of a stream.
    Message {
        /// How it came.
        path: Path,
        /// Who sent it.
        source: SocketAddr,
        /// The address of ours that it came to; of a stream, the listener's.
        local: SocketAddr,
        /// How long it has waited for us since it came in.
        waited: Duration,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// A message of ours cannot be delivered (an ICMP error, no connection), or the connection that it
    /// went by is gone.
    Unreachable {
        /// How it had gone.
        path: Path,
        /// Where it had gone.
        destination: SocketAddr,
        /// What the network said.
        error: SendError,
    },
    /// The time of [`crate::Core::next_timeout`] has come.
    Timer,
    /// The dataplane accepted our hello: a session begins. Commands may be emitted from now on.
    DataplaneUp(&'a DataplaneHello),
    /// The session ended. Commands emitted until the next `DataplaneUp` are lost, and so are
    /// unanswered ones.
    DataplaneDown,
    /// An answer or event of the dataplane.
    Dataplane(FromDataplane),
    /// The database's tables were read: they replace those before.
    Tables(Arc<Tables>),
    /// Another configuration, from the next input on. One that [`crate::Core::can_take`] refuses is not taken.
    Config(Box<CoreConfig>),
    /// A database of where addresses are, in the place of the one before.
    Places(Arc<tandem_policy::routing::GeoIp>),
    /// What came of an [`Output::Locate`].
    Located(Finding),
    /// Another worker's [`Output::Registered`].
    Registered(Registered),
    /// Do not hear this source for so long.
    Block {
        /// Who.
        source: Source,
        /// For how long, from now on.
        left: Duration,
    },
    /// Hear this source again.
    Unblock(Source),
    /// Over TLS: the name in the certificate that this peer has shown and that was verified; none for one without. Said before the first message of
    /// a connection, and again when it is another's.
    Certified {
        /// The listener.
        path: Path,
        /// The far end of the connection.
        peer: SocketAddr,
        /// The name.
        name: Option<Arc<str>>,
    },
    /// What the database has of users that were asked for: see [`Output::WhoIs`].
    Newcomers(Arc<Subscribers>),
    /// Another core of this node tells something: its [`Output::Tell`].
    Told(News),
    /// An administrator ends this call: [`crate::Core::has_call`] says whether it is there.
    EndCall {
        /// Its number.
        key: u64,
    },
    /// An administrator removes this user's contacts.
    Unregister {
        /// `user@domain`, the domain in lower case.
        aor: Vec<u8>,
    },
}

/// A flow whose user agent may call, since it has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Who says so: one that takes it back takes back only what it has said itself.
    pub worker: u16,
    /// The flow.
    pub flow: crate::hiding::Flow,
    /// Until when, in Unix milliseconds; what is over is over now.
    pub until_ms: u64,
}

/// Why a datagram could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Port unreachable: nobody listens there.
    PortUnreachable,
    /// Host or network unreachable, or prohibited.
    HostUnreachable,
    /// The connection is gone; what is not answered yet may never have arrived.
    Closed,
}

/// The memory tables that decisions are taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// `dispatcher`
    pub dispatcher: Vec<DispatcherRow>,
    /// `address`
    pub address: Vec<AddressRow>,
    /// `subscriber`
    pub subscribers: Arc<Subscribers>,
    /// `did_routing`
    pub dids: Arc<tandem_policy::routing::Dids>,
    /// `trunk_routing`
    pub routes: Arc<tandem_policy::routing::TrunkRoutes>,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "passed on at once; boxing would cost an allocation"
)]
pub enum Output {
    /// Append this record (opaque to the shell; `Core::restore` reads it) to the journal. The
    /// key is the call's number: a later record with the same key replaces it, and one without
    /// a body ends it.
    Journal {
        /// The call.
        key: u64,
        /// The call's state, encoded; none when the call has ended and its CDR is in `cdr`.
        body: Option<Vec<u8>>,
        /// The call's CDR, exactly once, in the record that ends it.
        cdr: Option<Box<tandem_policy::Cdr>>,
        /// The table of the database that is to follow it: see [`crate::location_rows`] and [`crate::dialog_row`].
        follower: Option<tandem_policy::Follower>,
    },
    /// Look for this user in the database: the table in memory does not have it. If there is one, all cores of the node are to be told, by
    /// [`Input::Newcomers`]. Nobody waits for it.
    WhoIs {
        /// The user part, unescaped.
        user: Vec<u8>,
        /// The domain, in lower case.
        domain: Vec<u8>,
    },
    /// Send a SIP message.
    Send {
        /// How.
        path: Path,
        /// From which address of ours.
        local: SocketAddr,
        /// To whom. Over a stream: by the connection with this peer.
        destination: SocketAddr,
        /// Over a stream: where to connect to, if there is no such connection; none for
        /// `destination` itself.
        connect: Option<SocketAddr>,
        /// Over a stream: only by the connection that is there; none is opened.
        existing: bool,
        /// Over TLS: whose certificate a server there must show, if a name led to it; none for the
        /// address itself.
        server_name: Option<Arc<str>>,
        /// Only when what was journaled before it is on the disk: it promises that.
        durable: bool,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Give this command to the dataplane. The core numbers commands itself, from 1 in each
    /// session.
    Command {
        /// The sequence number.
        seq: u64,
        /// The command.
        command: Command,
    },
    /// Look up where this leads; the finding is an [`Input::Located`].
    Locate(Errand),
    /// Every other worker has to know: the calls of this user agent come to them as well.
    Registered(Registered),
    /// A user of our own registrar is there until then: its SIP is to be heard before that of strangers. Nothing else comes
    /// of it.
    UserAt(Registered),
    /// A source that is not trusted did something.
    Sight {
        /// Its address.
        ip: IpAddr,
        /// What.
        sight: Sight,
    },
    /// A blocked source is trusted by now.
    Pardon(Source),
    /// This message is another worker's: give it to that one, as [`Input::Message`] with what it came with.
    PassOn {
        /// Whose.
        worker: u16,
        /// How it came.
        path: Path,
        /// Who sent it.
        source: SocketAddr,
        /// The address of ours that it came to.
        local: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Give this to every other core of the node, or to the one that it is [for](News::to), as [`Input::Told`], in order. A core that has the whole
    /// share of the work tells nothing.
    Tell(News),
}
