//! The state dict within whatever a training program saved.

use std::collections::BTreeMap;

use super::error::{CheckpointError, quoted};
use super::pickle::{Arena, Global, Id, Pickle, Value};
use super::storage::{self, Storages};
use super::{Checkpoint, Weights, limits, meta};

/// Where training programs keep a state dict beside other things, best first: mmpretrain and Lightning, plain
/// PyTorch, torchvision.
const TRAINED: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Where they keep averaged weights: timm, torchvision.
const AVERAGED: [&str; 2] = ["state_dict_ema", "model_ema"];

/// Where mmengine keeps what `state_dict` was averaged from.
const BEFORE_AVERAGING: &str = "ema_state_dict";

/// Reads the state dict and metadata of a pickled checkpoint.
pub(super) fn read(
    file: &str,
    file_len: usize,
    pickle: &Pickle<'_>,
    weights: Weights,
    storages: &mut impl Storages,
) -> Result<Checkpoint, CheckpointError> {
    let values = &pickle.values;
    let file_name = || file.to_owned();
    let top = named_entries(values, pickle.root);
    let among = |names: &[&str]| {
        let inner = names.iter().filter_map(|&name| Some(named_entries(values, *top.get(name)?)));
        inner.into_iter().find(|entries| holds_tensors(values, entries))
    };
    let averaged = match among(&[BEFORE_AVERAGING]) {
        Some(_) => among(&TRAINED),
        None => among(&AVERAGED),
    };
    let mut entries = match weights {
        Weights::Averaged => averaged.clone().ok_or_else(|| CheckpointError::NotAveraged { file: file_name() })?,
        Weights::Trained => {
            find(values, pickle.root).map_err(|found| CheckpointError::NoStateDict { file: file_name(), found })?
        }
    };
    let leaves_averaged = averaged.is_some_and(|averaged| averaged != entries);
    for (&key, &id) in &entries {
        if let Value::Object(class) = values[id]
            && is_special_tensor(class)
        {
            let class = quoted(&class.to_string());
            let reason = format!("it is made by {class}, not a plain dense tensor; save the float model's state dict");
            return Err(CheckpointError::Tensor { file: file_name(), key: quoted(key), reason });
        }
    }
    entries.retain(|_, id| matches!(values[*id], Value::Tensor(_)));
    let tensors = storage::read_tensors(file, file_len, values, &entries, storages)?;
    Ok(Checkpoint { tensors, meta: meta::collect(values, pickle.root), leaves_averaged })
}

/// The entries of the state dict under `root`; the error says what there is instead.
fn find<'a>(values: &Arena<'a>, root: Id) -> Result<BTreeMap<&'a str, Id>, String> {
    let top = match &values[root] {
        Value::Dict(_) => named_entries(values, root),
        Value::Object(class) => return Err(object("the file", *class)),
        Value::Tensor(_) => return Err("the file holds a single tensor".to_owned()),
        Value::Tuple(_) | Value::List(_) => return Err("the file holds a list".to_owned()),
        _ => return Err("the file holds no dictionary".to_owned()),
    };
    let containers = || TRAINED.iter().chain(&AVERAGED).chain([&BEFORE_AVERAGING]);
    let inner = || containers().filter_map(|name| Some((*name, *top.get(name)?)));
    if let Some(found) = inner().map(|(_, id)| named_entries(values, id)).find(|e| holds_tensors(values, e)) {
        return Ok(found);
    }
    for (name, id) in inner() {
        if let Value::Object(class) = values[id] {
            return Err(object(&format!("its entry `{name}`"), class));
        }
    }
    if holds_tensors(values, &top) {
        return Ok(top);
    }
    let keys: Vec<String> = top.keys().take(8).map(|key| quoted(key)).collect();
    Err(match keys.as_slice() {
        [] => "the file holds an empty dictionary".to_owned(),
        keys => format!("the file holds a dictionary with {} keys ({})", top.len(), keys.join(", ")),
    })
}

fn holds_tensors(values: &Arena<'_>, entries: &BTreeMap<&str, Id>) -> bool {
    entries.values().any(|&id| match values[id] {
        Value::Tensor(_) => true,
        Value::Object(class) => is_special_tensor(class),
        _ => false,
    })
}

fn object(what: &str, class: Global<'_>) -> String {
    format!("{what} is an object of class {}, which only its Python program can use", quoted(&class.to_string()))
}

/// Whether `class` makes tensors other than dense ones: quantized, sparse, on a missing device.
fn is_special_tensor(class: Global<'_>) -> bool {
    let by_torch = class.module == "torch" || class.module.starts_with("torch.");
    by_torch && (class.name.starts_with("_rebuild") || class.name.ends_with("Tensor"))
}

/// The entries of a dictionary whose keys are text of at most [`limits::NAME_BYTES`]; none of anything else.
pub(super) fn named_entries<'a>(values: &Arena<'a>, id: Id) -> BTreeMap<&'a str, Id> {
    let Value::Dict(entries) = &values[id] else {
        return BTreeMap::new();
    };
    let named = entries.iter().filter_map(|&(key, value)| Some((values.text(key)?, value)));
    named.filter(|(key, _)| key.len() <= limits::NAME_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::pickle::testing::{Writer, dict};
    use super::super::pickle::{Storage, opcode as op};
    use super::*;

    struct Ones;

    impl Storages for Ones {
        fn read(&mut self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, CheckpointError> {
            Ok(1f32.to_le_bytes().repeat(storage.len).into())
        }
    }

    fn load(pickle: &[u8]) -> Result<Checkpoint, String> {
        load_weights(pickle, Weights::Trained)
    }

    fn load_weights(pickle: &[u8], weights: Weights) -> Result<Checkpoint, String> {
        let pickle = Pickle::read(pickle, 0).unwrap();
        read("model.pth", 0, &pickle, weights, &mut Ones).map_err(|error| error.to_string())
    }

    fn tensor(writer: Writer) -> Writer {
        writer.tensor("0", 1, 0, &[1], &[1])
    }

    fn nothing(writer: Writer) -> Writer {
        writer.op(op::NONE)
    }

    /// A value that is a dictionary of one tensor under `key`.
    fn holding(key: &str) -> impl Fn(Writer) -> Writer {
        move |writer| tensor(writer.op(op::EMPTY_DICT).text(key)).op(op::SETITEM)
    }

    fn object(writer: Writer) -> Writer {
        writer.global("my.models", "Net").op(op::EMPTY_TUPLE).op(op::NEWOBJ)
    }

    fn quantized(writer: Writer) -> Writer {
        writer.global("torch._utils", "_rebuild_qtensor").op(op::EMPTY_TUPLE).op(op::REDUCE)
    }

    #[test]
    fn the_state_dict_is_found() {
        let (a, b) = (holding("a"), holding("b"));
        let cases = [
            (dict(&[("a", &tensor)]), "a"),
            (dict(&[("state_dict", &a), ("optimizer", &b)]), "a"),
            (dict(&[("model", &b), ("state_dict", &a)]), "a"),
            (dict(&[("state_dict", &nothing), ("model", &a)]), "a"),
            (dict(&[("state_dict_ema", &a)]), "a"),
            (dict(&[("b", &nothing), ("a", &tensor)]), "a"),
        ];
        for (pickle, expected) in cases {
            let checkpoint = load(&pickle).unwrap();
            assert_eq!(checkpoint.keys().collect::<Vec<_>>(), [expected]);
            assert_eq!(checkpoint.get(expected).unwrap().data, [1.0]);
        }
    }

    #[test]
    fn averaged_weights_are_read_when_asked_for() {
        let (a, b) = (holding("a"), holding("b"));
        let cases = [
            (dict(&[("state_dict", &a), ("state_dict_ema", &b)]), Ok("b"), true),
            (dict(&[("model", &a), ("model_ema", &b)]), Ok("b"), true),
            // mmengine swaps them.
            (dict(&[("state_dict", &a), ("ema_state_dict", &b)]), Ok("a"), false),
            (dict(&[("state_dict", &a)]), Err("model.pth: holds no averaged weights"), false),
        ];
        for (pickle, expected, left) in cases {
            assert_eq!(load(&pickle).unwrap().leaves_averaged(), left);
            match (load_weights(&pickle, Weights::Averaged), expected) {
                (Ok(checkpoint), Ok(key)) => assert!(checkpoint.keys().eq([key]) && !checkpoint.leaves_averaged()),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let pickle = dict(&[("a", &nothing), ("a", &tensor)]);
        assert_eq!(load(&pickle).unwrap().len(), 1);
    }

    #[test]
    fn what_is_there_instead_is_named() {
        let cases = [
            (dict(&[]), "an empty dictionary"),
            (dict(&[("epoch", &nothing), ("lr", &nothing)]), "a dictionary with 2 keys (`epoch`, `lr`)"),
            (dict(&[("model", &object)]), "its entry `model` is an object of class `my.models.Net`"),
            (object(Writer::new()).stop(), "the file is an object of class `my.models.Net`"),
            (tensor(Writer::new()).stop(), "a single tensor"),
            (tensor(Writer::new()).op(op::TUPLE1).stop(), "a list"),
            (dict(&[("a", &tensor), ("q", &quantized)]), "tensor `q`: it is made by `torch._utils._rebuild_qtensor`"),
        ];
        for (pickle, expected) in cases {
            let error = load(&pickle).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
