//! The highest rate without loss: binary search as in RFC 2544 section 26.1.
