//! The few calls of a pickle that are given a meaning, and the globals that are refused.
//!
//! A call is interpreted only if it is one of those that state dicts are made of; what any other would have made is
//! [`Value::Object`]. None is executed.

use super::super::limits;
use super::value::{Arena, Global, Id, Storage, TensorRef, Value};

/// Modules that run programs or reach outside the process, with all their submodules.
const FORBIDDEN_MODULES: &[&str] = &[
    "_pickle",
    "_posixsubprocess",
    "_socket",
    "asyncio",
    "cPickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "ftplib",
    "http",
    "httplib",
    "importlib",
    "marshal",
    "multiprocessing",
    "nt",
    "os",
    "pdb",
    "pickle",
    "pip",
    "posix",
    "pty",
    "pydoc",
    "requests",
    "runpy",
    "shutil",
    "smtplib",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "urllib",
    "urllib2",
    "webbrowser",
];

/// The builtins that only make plain values. Every other one is refused: `eval`, `exec`, `getattr`, `__import__`,
/// `open` and the like.
const PLAIN_BUILTINS: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Whether a pickle that only mentions `global` has to be refused.
///
/// Looking at the mention rather than the call also finds a function that is handed to another one to be called.
pub(super) fn is_forbidden(global: Global<'_>) -> bool {
    match global.module.split('.').next().unwrap_or_default() {
        "builtins" | "__builtin__" => !PLAIN_BUILTINS.contains(&global.name),
        root => FORBIDDEN_MODULES.contains(&root),
    }
}

/// The value of calling `callee` with the tuple `arguments`, and the number of items that were copied for it.
///
/// `budget` bounds that number. The error says what is wrong with the arguments of an interpreted call.
pub(super) fn call<'a>(
    arena: &mut Arena<'a>,
    mut callee: Id,
    mut arguments: Id,
    budget: usize,
) -> Result<(Id, usize), &'static str> {
    // A tensor subclass of a subclass is deep enough; each level costs time but no step.
    for _ in 0..4 {
        let Value::Tuple(args) = &arena[arguments] else {
            return Err("the arguments of a call are not a tuple");
        };
        let Value::Global(global) = arena[callee] else {
            return Ok((arena.push(Value::Opaque), 0));
        };
        let value = match (global.module, global.name) {
            ("torch._tensor", "_rebuild_from_type_v2") => {
                // A tensor subclass: (function, class, arguments, state).
                let &[function, _, inner, ..] = args.as_slice() else {
                    return Err("_rebuild_from_type_v2 has too few arguments");
                };
                (callee, arguments) = (function, inner);
                continue;
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                let &tensor = args.first().ok_or("a parameter has no tensor")?;
                return Ok((tensor, 0));
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => tensor(arena, args)?,
            ("torch", "Size") => match args.first() {
                Some(&sizes) => return Ok((sizes, 0)),
                None => Value::Tuple(Vec::new()),
            },
            ("collections", "OrderedDict") => match args.first() {
                Some(&pairs) => {
                    let entries = dict_of_pairs(arena, pairs, budget)?;
                    let copied = entries.len();
                    return Ok((arena.push(Value::Dict(entries)), copied));
                }
                None => Value::Dict(Vec::new()),
            },
            ("collections", "defaultdict") => Value::Dict(Vec::new()),
            ("_codecs", "encode") => latin1(arena, args).unwrap_or(Value::Opaque),
            ("numpy", "dtype") => match args.first().and_then(|&code| arena.text(code)) {
                Some(code) => Value::NumpyDtype(code),
                None => Value::Opaque,
            },
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
                numpy_scalar(arena, args).unwrap_or(Value::Opaque)
            }
            _ => Value::Object(global),
        };
        return Ok((arena.push(value), 0));
    }
    Err("_rebuild_from_type_v2 is nested too deep")
}

/// The value of a persistent id: `("storage", class, key, location, elements, view)`, where `view` may be missing,
/// `None` or `(key, first element, elements)`. Streams also have `("module", class, file, source)`.
pub(super) fn persistent<'a>(arena: &Arena<'a>, id: Id) -> Result<Value<'a>, &'static str> {
    let Value::Tuple(parts) = &arena[id] else {
        return Err("a persistent id is not a tuple");
    };
    match (parts.first().and_then(|&kind| arena.text(kind)), parts.as_slice()) {
        (Some("storage"), &[_, class, key, _location, len, ref view @ ..]) => {
            let (Value::Global(class), Some(key), Some(len)) = (&arena[class], arena.text(key), arena.size(len)) else {
                return Err("a storage has no class, no key or no number of elements");
            };
            if key.len() > limits::NAME_BYTES {
                return Err("a storage key is longer than 512 bytes");
            }
            let view = match view.first().map(|&view| &arena[view]) {
                None | Some(Value::None) => (0, len),
                Some(Value::Tuple(view)) => match view.as_slice() {
                    &[_, first, len] => arena.size(first).zip(arena.size(len)).ok_or("a storage view has no range")?,
                    _ => return Err("a storage view is not a key and a range"),
                },
                Some(_) => return Err("a storage view is not a tuple"),
            };
            Ok(Value::Storage(Box::new(Storage { class: class.name, key, len, view })))
        }
        (Some("module"), &[_, class, ..]) => Ok(match arena[class] {
            Value::Global(class) => Value::Global(class),
            _ => Value::Opaque,
        }),
        _ => Err("a persistent id is neither a storage nor a module"),
    }
}

/// What `BUILD` does to `object`: the type of a big-endian NumPy scalar becomes opaque, everything else stays.
pub(super) fn build(arena: &mut Arena<'_>, object: Id, state: Id) {
    let big_endian = |state: &[Id]| state.get(1).is_some_and(|&order| arena.text(order) == Some(">"));
    if matches!(arena[object], Value::NumpyDtype(_)) && arena.sequence(state).is_some_and(big_endian) {
        *arena.get_mut(object) = Value::Opaque;
    }
}

/// `(storage, offset, sizes, strides, ...)`.
fn tensor<'a>(arena: &Arena<'a>, args: &[Id]) -> Result<Value<'a>, &'static str> {
    let &[storage, offset, shape, strides, ..] = args else {
        return Err("a tensor has too few arguments");
    };
    if !matches!(arena[storage], Value::Storage(_)) {
        return Err("a tensor has no storage");
    }
    let offset = arena.size(offset).ok_or("a tensor's storage offset is not a non-negative integer")?;
    let shape = sizes(arena, shape)?;
    let strides = sizes(arena, strides)?;
    if shape.len() != strides.len() {
        return Err("a tensor has not as many strides as dimensions");
    }
    Ok(Value::Tensor(Box::new(TensorRef { storage, offset, shape, strides })))
}

fn sizes(arena: &Arena<'_>, id: Id) -> Result<Vec<usize>, &'static str> {
    let sizes = arena.sequence(id).ok_or("a tensor's sizes or strides are not a tuple")?;
    if sizes.len() > limits::DIMENSIONS {
        return Err("a tensor has more than 16 dimensions");
    }
    let size = |&id| arena.size(id).ok_or("a tensor's size or stride is not a non-negative integer");
    sizes.iter().map(size).collect()
}

/// The entries of `OrderedDict([[key, value], ...])`, the form written by Python 2.
fn dict_of_pairs(arena: &Arena<'_>, pairs: Id, budget: usize) -> Result<Vec<(Id, Id)>, &'static str> {
    const MALFORMED: &str = "an OrderedDict is not made of pairs";
    let pairs = arena.sequence(pairs).ok_or(MALFORMED)?;
    if pairs.len() > budget {
        return Err("there are more dictionary entries than any checkpoint needs");
    }
    let pair = |&pair| match arena.sequence(pair) {
        Some(&[key, value]) => Ok((key, value)),
        _ => Err(MALFORMED),
    };
    pairs.iter().map(pair).collect()
}

/// `encode(text, "latin1")`.
fn latin1<'a>(arena: &Arena<'a>, args: &[Id]) -> Option<Value<'a>> {
    let &[text, encoding] = args else { return None };
    matches!(arena.text(encoding)?, "latin1" | "latin-1").then_some(Value::Latin1(arena.text(text)?))
}

/// `scalar(dtype, bytes)`.
fn numpy_scalar<'a>(arena: &Arena<'a>, args: &[Id]) -> Option<Value<'a>> {
    let &[dtype, data] = args else { return None };
    let Value::NumpyDtype(code) = arena[dtype] else { return None };
    let mut bytes = [0; 8];
    let mut len = 0;
    let mut store = |byte| {
        *bytes.get_mut(len)? = byte;
        len += 1;
        Some(())
    };
    match arena[data] {
        Value::Bytes(data) => data.iter().try_for_each(|&byte| store(byte))?,
        Value::Latin1(text) => text.chars().try_for_each(|char| store(u8::try_from(char).ok()?))?,
        _ => return None,
    }
    // Unused high bytes are zero, which is right for unsigned integers and is shifted out for signed ones.
    let unsigned = u64::from_le_bytes(bytes);
    let signed = |bits: u32| (unsigned << (64 - bits)) as i64 >> (64 - bits);
    Some(match (code, len) {
        ("f8", 8) => Value::Float(f64::from_bits(unsigned)),
        ("f4", 4) => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
        ("i8", 8) => Value::Int(signed(64)),
        ("i4", 4) => Value::Int(signed(32)),
        ("i2", 2) => Value::Int(signed(16)),
        ("i1", 1) => Value::Int(signed(8)),
        ("u8", 8) => Value::Int(i64::try_from(unsigned).ok()?),
        ("u4", 4) | ("u2", 2) | ("u1", 1) => Value::Int(unsigned as i64),
        ("b1", 1) => Value::Bool(unsigned != 0),
        _ => return None,
    })
}
