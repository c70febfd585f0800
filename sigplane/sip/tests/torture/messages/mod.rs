//! Messages that torture a parser: one of our own for each that RFC 4475 and RFC 5118 describe, under the
//! name that the RFC gives it. The tests of the message crate and those of the call core share them.
#![allow(unreachable_pub, reason = "shared by the tests of two crates")]

pub mod application;
pub mod backward;
pub mod invalid;
pub mod ipv6;
pub mod syntax;
pub mod transaction;
pub mod valid;

/// The headers and the body of a plain offer, with the empty line between.
macro_rules! offer {
    () => {
        "Content-Type: application/sdp\r\nContent-Length: 110\r\n\r\n\
         v=0\r\n\
         o=- 2201 2201 IN IP4 192.0.2.61\r\n\
         s=-\r\n\
         c=IN IP4 192.0.2.61\r\n\
         t=0 0\r\n\
         m=audio 41000 RTP/AVP 8 0\r\n\
         a=ptime:20\r\n"
    };
}
use offer;
