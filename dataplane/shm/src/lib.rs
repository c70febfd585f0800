//! tandem-shm
