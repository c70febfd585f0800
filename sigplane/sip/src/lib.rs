//! SIP values over the wire room's header index, an edit list that splices the original bytes, and messages
//! that we originate (RFC 3261).
//!
//! A message from a peer is never built anew: what is not edited passes byte for byte.
#![forbid(unsafe_code)]

mod build;
mod edit;
mod framer;
mod list;
mod message;
mod reason;
mod uri;
mod validate;
mod value;

pub use build::{RequestBuilder, Template, ack_for_failure, cancel_for, reason_phrase, response};
pub use edit::{EditError, EditList};
pub use framer::{Frame, FrameError, FrameLimits, Framer};
pub use list::{split_list, unfold};
pub use message::Message;
pub use reason::Reason;
pub use tandem_wire::sip::{
    Error as FramingError, Field, Index, Name, SHARDS, ShardTable, Start, TOKEN_PREFIX,
    parse as index, shard, shard_text, token_shard,
};
pub use uri::{Host, Scheme, Uri};
pub use validate::{Essentials, Invalid, essentials, validate};
pub use value::{CSeq, NameAddr, RAck, Via};
