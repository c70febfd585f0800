//! Registrar and location service (RFC 3261 section 10.3): which contacts an address of record has.
//!
//! Pure: the time is given, in Unix milliseconds. [`update`] says what a REGISTER makes of an address of record's bindings, [`Location`]
//! keeps them, packed: an address of record with its bindings is one block of bytes, and the same bytes are its record in
//! the journal. What a URI means is the caller's to say: contacts are compared by a function that it gives.

mod binding;
mod location;
mod update;

pub use binding::{Binding, Record};
pub use location::{BadRecord, Location, decode};
pub use update::{Contact, Contacts, Refused, Registration, Settings, update};

#[cfg(test)]
mod tests;
