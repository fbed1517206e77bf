//! The convolutions that int8 and float are measured on: those of ResNeXt-50 (32×4d, 224²), one of each kind and stage.

/// Name, input side, channels in, channels out, kernel, stride, groups.
pub const SHAPES: [(&str, u32, u32, u32, u8, u8, u32); 8] = [
    ("stem 7x7 s2", 224, 3, 64, 7, 2, 1),
    ("1x1 56² 64-128", 56, 64, 128, 1, 1, 1),
    ("1x1 14² 512-1024", 14, 512, 1024, 1, 1, 1),
    ("1x1 s2 56² 256-512", 56, 256, 512, 1, 2, 1),
    ("3x3 56² 128, 4 a group", 56, 128, 128, 3, 1, 32),
    ("3x3 28² 256, 8 a group", 28, 256, 256, 3, 1, 32),
    ("3x3 14² 512, 16 a group", 14, 512, 512, 3, 1, 32),
    ("3x3 7² 1024, 32 a group", 7, 1024, 1024, 3, 1, 32),
];
