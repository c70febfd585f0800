//! Calls, registrations and floods.
