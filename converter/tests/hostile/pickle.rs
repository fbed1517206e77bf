//! Pickles as Python writes them, and as nobody should.
//!
//! Opcodes are written as their characters; Python's `pickletools` has the names.

use crate::network::Tensors;

/// A pickle of `body`.
pub fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(int: i64) -> Vec<u8> {
    [b"\x8a\x08", &int.to_le_bytes()[..]].concat()
}

fn ints(ints: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), ints.iter().flat_map(|&n| int(n)).collect(), b"t".to_vec()].concat()
}

/// A storage of float32 elements, or of another class.
fn storage(class: &str, key: &str, len: i64) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n");
    [b"(", &text("storage")[..], class.as_bytes(), &text(key), &text("cpu"), &int(len), b"tQ"].concat()
}

fn view(storage: &[u8], offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let arguments =
        [storage, &int(offset), &ints(shape), &ints(strides), b"\x89ccollections\nOrderedDict\n)R"].concat();
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &arguments[..], b"tR"].concat()
}

/// A dictionary of values under text keys.
pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries[..], b"u"].concat()
}

/// The state dict of a network, whose storages have the tensors' positions as keys.
pub fn state_dict(tensors: &Tensors) -> Vec<u8> {
    let entries: Vec<(&str, Vec<u8>)> = tensors
        .iter()
        .enumerate()
        .map(|(key, (name, (shape, data)))| {
            let mut strides = vec![1i64; shape.len()];
            for i in (1..shape.len()).rev() {
                strides[i - 1] = strides[i] * shape[i] as i64;
            }
            let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
            (name.as_str(), view(&storage("FloatStorage", &key.to_string(), data.len() as i64), 0, &shape, &strides))
        })
        .collect();
    dict(&entries)
}

/// Elements of the storage `0` that every container gives the pickles of [`rows`].
pub const ELEMENTS: usize = 12;

/// A tensor over all or some of those elements.
pub fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    view(&storage("FloatStorage", "0", ELEMENTS as i64), offset, shape, strides)
}

/// What is wrong with a pickle, what is said of it, and the pickle, which stands for a checkpoint.
pub fn rows() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    [programs(), sizes(), tensors(), shapes()].concat()
}

type Rows = Vec<(&'static str, &'static str, Vec<u8>)>;

/// Pickles that run programs where Python loads them.
fn programs() -> Rows {
    let argument = [&text("id > /tmp/owned")[..], b"\x85"].concat();
    let after = |global: &[u8], call: &[u8]| pickle(&[global, &argument, call].concat());
    let stacked = [&text("posix")[..], &text("system"), b"\x93"].concat();
    let wrapped =
        [b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n", &argument[..], b"}tR"].concat();
    let hook = [&dict(&[("w", tensor(0, &[1], &[1]))])[..], b"}", &text("hook"), b"csubprocess\nPopen\nsb"].concat();
    vec![
        ("os.system called", "asks for `os.system`", after(b"cos\nsystem\n", b"R")),
        ("os.system by names on the stack", "asks for `posix.system`", after(&stacked, b"R")),
        ("os.system instantiated", "asks for `os.system`", after(b"cos\nsystem\n", b"\x81")),
        ("os.system with keywords", "asks for `os.system`", after(b"cos\nsystem\n", b"}\x92")),
        ("os.system by INST", "opcode 0x69, which PyTorch does not write", pickle(b"(X\x02\0\0\0idios\nsystem\n")),
        ("os.system by OBJ", "asks for `os.system`", pickle(b"(cos\nsystem\nX\x02\0\0\0ido")),
        ("a class by OBJ", "opcode 0x6f, which PyTorch does not write", pickle(b"(ctorch\nSize\nX\x02\0\0\0ido")),
        ("os.system handed to PyTorch to call", "asks for `os.system`", pickle(&wrapped)),
        ("a program in the state of an object", "asks for `subprocess.Popen`", pickle(&hook)),
        ("eval", "asks for `builtins.eval`", after(b"cbuiltins\neval\n", b"R")),
        ("getattr", "asks for `__builtin__.getattr`", after(b"c__builtin__\ngetattr\n", b"R")),
        ("a registered extension", "opcode 0x82, which PyTorch does not write", pickle(b"\x82\x01")),
        (
            "a name of 100,000 bytes",
            "longer than 512 bytes",
            pickle(format!("c{}\nf\n", "m".repeat(100_000)).as_bytes()),
        ),
        ("a name that is a number", "not both text", pickle(b"K\x01K\x02\x93")),
    ]
}

/// Pickles that declare more than they have.
fn sizes() -> Rows {
    let huge = [0xff; 8];
    let declared = |opcode: &[u8], len: &[u8]| pickle(&[opcode, len].concat());
    vec![
        ("text of 4 GiB", "declares 4294967295 bytes", declared(b"X", &huge[..4])),
        ("text of 2^64 bytes", "declares 18446744073709551615 bytes", declared(b"\x8d", &huge)),
        ("bytes of 4 GiB", "declares 4294967295 bytes", declared(b"B", &huge[..4])),
        ("a byte array of 2^64", "declares 18446744073709551615 bytes", declared(b"\x96", &huge)),
        ("an integer of 4 GiB", "declares 4294967295 bytes", declared(b"\x8b", &huge[..4])),
        ("a frame of 2^64 bytes", "declares 18446744073709551615 bytes", declared(b"\x95", &huge)),
        ("a memo of 2^32 entries", "nothing is remembered as 4294967295", declared(b"Nr\xfe\xff\xff\xffj", &huge[..4])),
        ("more steps than any checkpoint", "longer than any checkpoint needs", pickle(&b"N0".repeat(3 << 20))),
        ("items below the stack", "the stack is empty", pickle(b"N(\x87")),
        ("a list of no mark", "no mark on the stack", pickle(b"]N\x65")),
        ("protocol 255", "pickle protocol 255", b"\x80\xff}.".to_vec()),
    ]
}

/// Tensors that do not lie in their storage.
fn tensors() -> Rows {
    const HUGE: i64 = i64::MAX;
    let one = |tensor: Vec<u8>| pickle(&dict(&[("w", tensor)]));
    let at = |offset, shape: &[i64], strides: &[i64]| one(tensor(offset, shape, strides));
    let of = |class, len| one(view(&storage(class, "0", len), 0, &[1], &[1]));
    let quantized = [b"ctorch._utils\n_rebuild_qtensor\n(", &storage("QInt8Storage", "0", 12)[..], b"tR"].concat();
    vec![
        ("an offset behind the storage", "tensor `w`: shape [1]", at(12, &[1], &[1])),
        ("an offset of 2^63", "reaches past the 12 elements", at(HUGE, &[2], &[1])),
        ("a negative offset", "not a non-negative integer", at(-1, &[1], &[1])),
        ("strides that lead out", "with strides [6, 4]", at(0, &[2, 3], &[6, 4])),
        ("strides that overflow", "larger than any memory", at(0, &[4], &[HUGE])),
        ("negative strides", "size or stride is not a non-negative integer", at(11, &[4], &[-1])),
        ("more strides than dimensions", "not as many strides as dimensions", at(0, &[4], &[1, 1])),
        ("a shape that overflows", "larger than any memory", at(0, &[HUGE, 4], &[0, 0])),
        ("one element expanded to 2^40", "more than a file of this length", at(0, &[1 << 40], &[0])),
        ("overlapping rows, 2^30 of them", "more than a file of this length", at(0, &[1 << 30, 2], &[0, 1])),
        ("a negative size", "size or stride is not a non-negative integer", at(0, &[-1], &[1])),
        ("17 dimensions", "more than 16 dimensions", at(0, &[1; 17], &[1; 17])),
        ("a negative storage", "no number of elements", of("FloatStorage", -1)),
        ("a complex storage", "ComplexFloatStorage`", of("ComplexFloatStorage", 12)),
        ("quantized", "it is made by `torch._utils._rebuild_qtensor`", {
            pickle(&dict(&[("w", tensor(0, &[1], &[1])), ("q", quantized)]))
        }),
        ("a storage that is none", "a tensor has no storage", one(view(b"N", 0, &[1], &[1]))),
    ]
}

/// Objects without end, and other things that are no state dict.
fn shapes() -> Rows {
    let nested = |opcode: &[u8]| pickle(&[b"N", &opcode.repeat(1 << 20)[..]].concat());
    // A list of 100 times a list of 100 times a list, and so on.
    let laughs = |body: &[u8]| {
        let level = [b"q\0 0](".as_slice(), &b"h\0".repeat(100), b"e"].concat();
        let level: Vec<u8> = level.into_iter().filter(|&byte| byte != b' ').collect();
        pickle(&[body, &level.repeat(100)].concat())
    };
    let itself = [b"}q\0(", &text("state_dict")[..], b"h\0", &text("meta"), b"h\0u"].concat();
    let good = dict(&[("w", tensor(0, &[1], &[1]))]);
    vec![
        ("tuples in tuples, a million deep", "the file holds a list", nested(b"\x85")),
        (
            "lists in lists, a million deep",
            "the file holds a list",
            pickle(&[b"]".repeat(1 << 20), b"a".repeat((1 << 20) - 1)].concat()),
        ),
        ("dictionaries, a million deep", "a dictionary with 1 keys (`d`)", {
            let open = [b"}", &text("d")[..]].concat();
            pickle(&[open.repeat(1 << 20), b"N".to_vec(), b"s".repeat(1 << 20)].concat())
        }),
        ("a dictionary in itself", "a dictionary with 2 keys (`meta`, `state_dict`)", pickle(&itself)),
        ("a list in itself", "the file holds a list", pickle(b"]q\0h\0a")),
        ("100 ^ 100 items", "the file holds a list", laughs(b"N")),
        ("a state dict set a second time", "1 keys (`state_dict`)", {
            pickle(&dict(&[("state_dict", good), ("state_dict", b"N".to_vec())]))
        }),
        ("an object", "object of class `my.Net`", pickle(b"cmy\nNet\n)\x81")),
        ("a single tensor", "a single tensor", pickle(&tensor(0, &[1], &[1]))),
        ("keys without values", "a key but no value", pickle(b"}(Nu")),
        ("entries of a number", "not a dictionary", pickle(b"K\x01(NNu")),
    ]
}
