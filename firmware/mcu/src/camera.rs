//! Cameras of boards.

use core::fmt::Display;

use cardinal_camera::RowSource;

/// A camera that can be started, and started anew when it does not recover.
pub trait Camera: RowSource<Error: Display> {
    /// Resets it and lets it run.
    ///
    /// # Errors
    /// As the camera defines them; it delivers no frames until another call succeeds.
    fn start(&mut self) -> Result<(), Self::Error>;
}
