//! Figures for people and programs.
//!
//! - [`Progress`]: what happens, while it happens.
//! - [`Report`]: all that is known of a run when it is over: JSON (its own serialization), [`Report::page`], one HTML page that needs
//!   no network, and [`Report::summary`] for a terminal.
//! - [`Criteria`]: what a profile asks for, and [`Verdict`], whether it was reached.

mod criteria;
mod machine;
mod numbers;
mod page;
mod plot;
mod progress;
mod summary;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use criteria::{Criteria, Criterion, Verdict};
pub use machine::Machine;
pub use progress::{Display, Progress};

use crate::figures::Figures;

/// The schema's name and version. It changes when a field changes its meaning or is taken away; new fields do not change it.
pub const SCHEMA: &str = "tandem-load/1";

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of tandem-load.
    pub version: String,
    /// The profile's file.
    pub file: String,
    /// What the profile is for.
    pub about: String,
    /// The profile as it was written.
    pub profile: String,
    /// What the person who ran it says of the appliance: its version, its hardware.
    pub appliance: Option<String>,
    /// Where the generator ran.
    pub machine: Machine,
    /// Whether it was what the profile asks for.
    pub verdict: Verdict,
    /// Trials of a search, in order; the figures are those of the last one that carried.
    pub trials: Vec<Trial>,
    /// What was measured.
    pub figures: Figures,
}

/// One trial of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The rate that was tried, in the search's unit.
    pub rate: f64,
    /// Whether it was carried.
    pub carried: bool,
    /// Why not, or what else is to be said.
    pub note: String,
}

/// Where a run came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The profile's file.
    pub file: String,
    /// What it is for.
    pub about: String,
    /// Its text.
    pub text: String,
    /// What is said of the appliance.
    pub appliance: Option<String>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {error}")]
pub struct WriteError {
    file: String,
    error: std::io::Error,
}

impl Report {
    /// What is to be said of a run.
    #[must_use]
    pub fn new(
        origin: Origin,
        machine: Machine,
        criteria: &Criteria,
        trials: Vec<Trial>,
        figures: Figures,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: origin.file,
            about: origin.about,
            profile: origin.text,
            appliance: origin.appliance,
            machine,
            verdict: criteria.judge(&figures),
            trials,
            figures,
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// With the file.
    pub fn write_json(&self, path: &Path) -> Result<(), WriteError> {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        write(path, &text)
    }

    /// Writes the page.
    ///
    /// # Errors
    /// With the file.
    pub fn write_page(&self, path: &Path) -> Result<(), WriteError> {
        write(path, &self.page())
    }

    /// One HTML page with plots that loads nothing.
    #[must_use]
    pub fn page(&self) -> String {
        page::page(self)
    }

    /// Some lines for a terminal.
    #[must_use]
    pub fn summary(&self) -> String {
        summary::summary(self)
    }
}

fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    std::fs::write(path, text).map_err(|error| WriteError {
        file: path.display().to_string(),
        error,
    })
}
