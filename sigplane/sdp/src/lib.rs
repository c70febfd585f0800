//! tandem-sdp
#![forbid(unsafe_code)]
