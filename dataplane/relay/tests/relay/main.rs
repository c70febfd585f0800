//! The relay as a worker uses it: frames in, verdicts and frames out, and every counter compared.

#[cfg(test)]
mod any_bytes;
#[cfg(test)]
mod checksums;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod hairpin;
#[cfg(test)]
mod independent;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod not_media;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod policing;
mod proof;
#[cfg(test)]
mod quality;
#[cfg(test)]
mod relaying;
