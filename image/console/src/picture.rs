//! Pictures of screens.

use std::path::Path;

/// Why there is no picture.
#[derive(Debug)]
pub struct PictureError(String);

impl std::fmt::Display for PictureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PictureError {}

/// Draws the screens of a recorded run into a folder.
///
/// # Errors
/// When the recording cannot be read or a picture cannot be written.
pub fn pictures(_recording: &Path, _folder: &Path) -> Result<Vec<String>, PictureError> {
    Err(PictureError("later".to_owned()))
}
