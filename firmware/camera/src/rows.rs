//! Sources that deliver a frame row by row.

use crate::{FitError, FrameShape, RowError, RowFit};

/// Whatever delivers frames row by row, because a whole one does not fit into memory beside the model.
pub trait RowSource {
    /// Why there is no frame.
    type Error;

    /// Size and encoding of the frames.
    fn shape(&self) -> FrameShape;

    /// Hands the next frame's rows to `each`, from the top, each [`FrameShape::row_len`] long.
    ///
    /// # Errors
    /// As the source defines them; what `each` has seen is no frame then. A later call may succeed.
    fn rows(&mut self, each: impl FnMut(&[u8])) -> Result<(), Self::Error>;

    /// Fills a model's input with the next frame, as [`RowFit`] does with the rows.
    ///
    /// # Errors
    /// As [`RowFit::new`], and then `out` is untouched; as [`rows`](Self::rows); or the rows are no frame of that
    /// shape. `out` may be half-filled after the latter two: run no model on it.
    fn capture_into(
        &mut self,
        out: &mut [u8],
        height: u32,
        width: u32,
        channels: u32,
        scratch: &mut [u32],
    ) -> Result<(), CaptureError<Self::Error>> {
        let mut fit = RowFit::new(self.shape(), out, height, width, channels, scratch)?;
        // An error stays in `fit`.
        self.rows(|row| _ = fit.push(row)).map_err(CaptureError::Source)?;
        Ok(fit.finish()?)
    }
}

/// Why an input holds no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CaptureError<E> {
    /// The source delivered none.
    #[error("no frame: {0}")]
    Source(E),
    /// The source's rows are none.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// No frame can become this input.
    #[error(transparent)]
    Fit(#[from] FitError),
}
