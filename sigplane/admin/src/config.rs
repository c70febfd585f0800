//! The methods that change the configuration while it runs, and what they take and return. All of them need the role
//! of an administrator, but for those that only look.

use serde::{Deserialize, Serialize};

/// The methods' names.
pub mod method {
    /// Takes [`super::ConfigText`], returns [`super::ConfigChecked`]. Changes nothing.
    pub const CONFIG_CHECK: &str = "tandem.config.check";
    /// Takes [`super::ConfigText`], returns [`super::ConfigDiff`]: from what runs to the text. Changes nothing.
    pub const CONFIG_DIFF: &str = "tandem.config.diff";
    /// Takes [`super::ConfigApply`], returns [`super::ConfigApplied`].
    pub const CONFIG_APPLY: &str = "tandem.config.apply";
    /// Takes [`super::ConfigWhich`], returns [`super::ConfigStatus`].
    pub const CONFIG_CONFIRM: &str = "tandem.config.confirm";
    /// Takes [`super::ConfigWhich`], returns [`super::ConfigStatus`].
    pub const CONFIG_REVERT: &str = "tandem.config.revert";
    /// Takes [`super::ConfigRollback`], returns [`super::ConfigApplied`].
    pub const CONFIG_ROLLBACK: &str = "tandem.config.rollback";
    /// Returns [`super::ConfigStatus`].
    pub const CONFIG_STATUS: &str = "tandem.config.status";
    /// Returns a list of [`super::ConfigRevision`], the oldest first.
    pub const CONFIG_HISTORY: &str = "tandem.config.history";
    /// Takes [`super::ConfigShow`], returns [`super::ConfigText`] with passwords masked.
    pub const CONFIG_SHOW: &str = "tandem.config.show";
}

/// How long an applied configuration waits for its confirmation where nobody says, in seconds.
pub const CONFIRM_WITHIN: u32 = 120;
/// The longest that it may wait: a day, in seconds.
pub const CONFIRM_WITHIN_MOST: u32 = 86_400;

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigText {
    /// Its text, as in the file.
    pub text: String,
}

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMistake {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The key with its section; empty for text that is not TOML.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// `tandem.config.check`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    /// Whether it could be used here.
    pub ok: bool,
    /// Why not.
    pub mistakes: Vec<ConfigMistake>,
    /// The text's SHA-256.
    pub digest: String,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The key, with the names of list elements: `realm[carrier].media_ports`.
    pub key: String,
    /// What is there; none for an element of a list that is new. No secrets.
    pub old: Option<String>,
    /// What would be; none for an element that would be gone.
    pub new: Option<String>,
    /// `live`, `sigplane restart`, `dataplane restart` or `sigplane and dataplane restart`.
    pub needs: String,
}

/// `tandem.config.diff`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDiff {
    /// The digest of what runs.
    pub running: String,
    /// The text's.
    pub digest: String,
    /// Every difference, in the order of the example file.
    pub changes: Vec<ConfigChange>,
}

/// `tandem.config.apply`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigApply {
    /// The whole new text.
    pub text: String,
    /// Seconds after which it goes back by itself unless it is confirmed; 0 for good at once. Default 120.
    #[serde(default)]
    pub confirm_within: Option<u32>,
    /// The digest of what has to run for this to be applied, or its first 12 digits or more: somebody else may have changed it since
    /// it was looked at.
    #[serde(default)]
    pub expected: Option<String>,
    /// For the history.
    #[serde(default)]
    pub comment: Option<String>,
}

/// `tandem.config.rollback`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRollback {
    /// The revision that is to run again.
    pub revision: u64,
    /// As in [`ConfigApply`].
    #[serde(default)]
    pub confirm_within: Option<u32>,
    /// As in [`ConfigApply`].
    #[serde(default)]
    pub expected: Option<String>,
    /// As in [`ConfigApply`].
    #[serde(default)]
    pub comment: Option<String>,
}

/// `tandem.config.confirm`, `tandem.config.revert`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigWhich {
    /// The digest of what is pending, or its first 12 digits or more, so that nobody confirms what he does not know.
    #[serde(default)]
    pub digest: Option<String>,
}

/// `tandem.config.show`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigShow {
    /// A revision of the history; none for what runs.
    #[serde(default)]
    pub revision: Option<u64>,
}

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigApplied {
    /// The digest of what runs now.
    pub digest: String,
    /// What has changed.
    pub changes: Vec<ConfigChange>,
    /// Seconds until it goes back by itself; 0 when it does not.
    pub confirm_within: u32,
    /// The file had the new text already; it has the one from before until this is confirmed.
    pub put_back: bool,
    /// Its number in the history; none until it is confirmed.
    pub revision: Option<u64>,
}

/// A configuration that is to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPending {
    /// Its digest.
    pub digest: String,
    /// Who applied it.
    pub who: String,
    /// When, in Unix milliseconds.
    pub applied_ms: u64,
    /// What he said of it.
    pub comment: String,
    /// Seconds until it goes back by itself.
    pub seconds_left: u64,
    /// The digest of what it goes back to.
    pub base: String,
}

/// How the last change ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigOutcome {
    /// `applied`, `confirmed`, `reverted`, `went back`, `reloaded` or `reload refused`.
    pub outcome: String,
    /// The digest of what it was about.
    pub digest: String,
    /// Who.
    pub who: String,
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// More of it; may be empty.
    pub note: String,
}

/// `tandem.config.status`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The configuration file.
    pub file: String,
    /// The digest of what runs.
    pub digest: String,
    /// Its number in the history; none while it is pending.
    pub revision: Option<u64>,
    /// Since when it runs, in Unix milliseconds.
    pub since_ms: u64,
    /// Who made it so.
    pub who: String,
    /// `same`: the file has what runs; `base`: it has what was before, until this is confirmed; `other`: somebody has changed it;
    /// `unreadable`.
    pub file_has: String,
    /// What is to be confirmed.
    pub pending: Option<ConfigPending>,
    /// How the last change ended; none since the start.
    pub last: Option<ConfigOutcome>,
}

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevision {
    /// Its number.
    pub revision: u64,
    /// Its digest.
    pub digest: String,
    /// Since when, in Unix milliseconds.
    pub time_ms: u64,
    /// Who.
    pub who: String,
    /// `start`, `apply`, `rollback N` or `reload`.
    pub how: String,
    /// What he said of it.
    pub comment: String,
}
