//! The plain values that a checkpoint holds beside its tensors.

use std::collections::BTreeMap;

use super::limits;
use super::pickle::{Arena, Id, Value};
use super::state_dict::named_entries;

/// The numbers, booleans and strings of the dictionary `root` and of its `meta` entry, as
/// [`Checkpoint::meta`](super::Checkpoint::meta) describes them.
pub(super) fn collect(values: &Arena<'_>, root: Id) -> BTreeMap<String, String> {
    let mut collector =
        Collector { values, meta: BTreeMap::new(), work_left: limits::META_WORK, bytes_left: limits::META_BYTES };
    for (key, id) in named_entries(values, root) {
        match values[id] {
            Value::Dict(_) if key == "meta" => collector.dict(key, id, limits::META_DEPTH),
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) => {}
            _ => collector.value(key.to_owned(), id),
        }
    }
    collector.meta
}

struct Collector<'p, 'a> {
    values: &'p Arena<'a>,
    meta: BTreeMap<String, String>,
    work_left: usize,
    bytes_left: usize,
}

impl Collector<'_, '_> {
    /// Everything in the dictionary `id`, which may contain itself: depth and work are limited.
    fn dict(&mut self, path: &str, id: Id, depth_left: usize) {
        let Value::Dict(entries) = &self.values[id] else { return };
        if depth_left == 0 || !self.work(entries.len() + 1) {
            return;
        }
        for (key, id) in named_entries(self.values, id) {
            let path = format!("{path}.{key}");
            if path.len() > limits::NAME_BYTES {
                continue;
            }
            match self.values[id] {
                Value::Dict(_) => self.dict(&path, id, depth_left - 1),
                _ => self.value(path, id),
            }
        }
    }

    fn value(&mut self, path: String, id: Id) {
        if !self.work(1) {
            return;
        }
        let text = match (self.scalar(id), self.values.sequence(id)) {
            (Some(serde_json::Value::String(text)), _) => Some(text),
            (Some(scalar), _) => Some(scalar.to_string()),
            (None, Some(items)) => self.list(items),
            (None, None) => None,
        };
        let Some(text) = text else { return };
        let len = path.len() + text.len();
        match self.bytes_left.checked_sub(len) {
            Some(left) => {
                self.bytes_left = left;
                self.meta.insert(path, text);
            }
            // One long text can have a million keys.
            None => {
                self.work(len);
            }
        }
    }

    /// A list of scalars as JSON; `None` if it holds anything else, or is longer than what may still be kept.
    fn list(&mut self, items: &[Id]) -> Option<String> {
        if !self.work(items.len() + 1) {
            return None;
        }
        let mut json = String::from("[");
        for &id in items {
            if json.len() > 1 {
                json.push(',');
            }
            match self.scalar(id) {
                Some(scalar) if json.len() <= self.bytes_left => json.push_str(&scalar.to_string()),
                _ => {
                    self.work(json.len());
                    return None;
                }
            }
        }
        json.push(']');
        Some(json)
    }

    /// A scalar as JSON; `None` for any other value, and for text longer than what may still be kept.
    fn scalar(&self, id: Id) -> Option<serde_json::Value> {
        match self.values[id] {
            Value::Bool(value) => Some(value.into()),
            Value::Int(value) => Some(value.into()),
            Value::Float(value) => Some(value.into()),
            Value::Str(text) if text.len() <= self.bytes_left => Some(text.into()),
            _ => None,
        }
    }

    /// Whether so much more work may be done.
    fn work(&mut self, amount: usize) -> bool {
        let left = self.work_left.checked_sub(amount);
        self.work_left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::testing::{Writer, dict};
    use super::super::pickle::{Pickle, opcode as op};
    use super::*;

    fn meta(pickle: &[u8]) -> Vec<(String, String)> {
        let pickle = Pickle::read(pickle, 0).unwrap();
        collect(&pickle.values, pickle.root).into_iter().collect()
    }

    fn pair(key: &str, text: &str) -> (String, String) {
        (key.to_owned(), text.to_owned())
    }

    #[test]
    fn plain_values_are_kept_under_dotted_keys() {
        let pickle = dict(&[
            ("epoch", &|w| w.int(12)),
            ("optimizer", &|w| w.raw(&[op::EMPTY_DICT]).text("lr").int(1).op(op::SETITEM)),
            ("meta", &|w| {
                let w = w.raw(&[op::EMPTY_DICT, op::MARK]).text("cfg").text("lr = 1\n").text("none").op(op::NONE);
                let w = w.text("classes").op(op::MARK).text("cat").text("\"dog\"").op(op::TUPLE);
                let w = w.text("nested").op(op::EMPTY_DICT).text("ok").op(op::NEWTRUE).op(op::SETITEM);
                w.text("mean")
                    .op(op::MARK)
                    .int(1)
                    .op(op::BINFLOAT)
                    .raw(&2.5f64.to_be_bytes())
                    .op(op::TUPLE)
                    .op(op::SETITEMS)
            }),
        ]);
        let expected = [
            pair("epoch", "12"),
            pair("meta.cfg", "lr = 1\n"),
            pair("meta.classes", r#"["cat","\"dog\""]"#),
            pair("meta.mean", "[1,2.5]"),
            pair("meta.nested.ok", "true"),
        ];
        assert_eq!(meta(&pickle), expected);
    }

    #[test]
    fn a_dictionary_within_itself_ends() {
        let pickle = dict(&[("meta", &|w| {
            let w = w.raw(&[op::EMPTY_DICT, op::BINPUT, 0, op::MARK]).text("self").raw(&[op::BINGET, 0]);
            w.text("x").int(1).op(op::SETITEMS)
        })]);
        assert_eq!(meta(&pickle).len(), limits::META_DEPTH);
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let long = "x".repeat(limits::META_BYTES);
        let pickle = dict(&[("a", &|w| w.int(1)), ("b", &|w| w.text(&long)), ("c", &|w| w.int(2))]);
        assert_eq!(meta(&pickle), [pair("a", "1"), pair("c", "2")]);

        // 100 times the same dictionary of 100 times the same dictionary and so on; a list of long text, many times.
        let dicts = |writer: Writer| {
            (0..8).fold(writer.op(op::NONE), |writer, _| {
                let writer = writer.raw(&[op::BINPUT, 0, op::POP, op::EMPTY_DICT, op::MARK]);
                (0..100).fold(writer, |w, i| w.text(&i.to_string()).raw(&[op::BINGET, 0])).op(op::SETITEMS)
            })
        };
        assert_eq!(meta(&dict(&[("meta", &dicts)])), []);
        let half = "x".repeat(limits::META_BYTES / 2);
        let lists = |writer: Writer| {
            let writer = writer.text(&half).raw(&[op::DUP, op::DUP, op::TUPLE3, op::BINPUT, 0, op::POP]);
            let writer = writer.raw(&[op::EMPTY_DICT, op::MARK]);
            (0..10_000).fold(writer, |w, i| w.text(&i.to_string()).raw(&[op::BINGET, 0])).op(op::SETITEMS)
        };
        assert_eq!(meta(&dict(&[("meta", &lists)])), []);
        assert_eq!(meta(&dict(&[("meta", &|w: Writer| w.bomb(100, 100))])), []);
    }
}
