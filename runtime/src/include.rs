//! A model inside a program.

/// The bytes of a model file as a `&'static [u8]`, aligned as the file's blobs want to be: `include_bytes!` alone promises no
/// alignment, and kernels that load whole words would have to leave the weights to the portable ones.
///
/// ```no_run
/// static MODEL: &[u8] = cardinal_runtime::include_model!("../../tests/fixtures/fmnist.cardinal");
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &FILE.0
    }};
}
