use super::super::limits;
use super::testing::{Writer, show};
use super::{Pickle, Value, opcode as op};

fn read(pickle: &[u8]) -> Result<String, String> {
    match Pickle::read(pickle, 0) {
        Ok(pickle) => Ok(show(&pickle.values, pickle.root)),
        Err(error) => Err(error.of("model.pth", "data.pkl").to_string()),
    }
}

/// A list of one of each kind of value, written by Python with protocols 2 and 4.
const BY_PYTHON: [&[u8]; 2] = [
    b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\
      \x00N\x88K\x01\x85q\x03K\x01K\x02\x86q\x04K\x01K\x02K\x03\x87q\x05(K\x01K\x02K\x03K\x04tq\x06)eX\x01\x00\x00\x00b\
      q\x07\x8a\x06\x00\x00\x00\x00\x00\x01X\x01\x00\x00\x00eq\x0fc__builtin__\nset\nq\x10]q\x11X\x01\x00\x00\x00xq\
      \x12a\x85q\x13Rq\x14u.",
    b"\x80\x04\x95]\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00G@\
      \x04\x00\x00\x00\x00\x00\x00N\x88K\x01\x85\x94K\x01K\x02\x86\x94K\x01K\x02K\x03\x87\x94(K\x01K\x02K\x03K\x04t\x94\
      )e\x8c\x01b\x94\x8a\x06\x00\x00\x00\x00\x00\x01\x8c\x01e\x94\x8f\x94(\x8c\x01x\x94\x90u.",
];

#[test]
fn pickles_of_python_are_read() {
    let list = "[1 -2 300 70000 2.5 None Bool(true) (1) (1 2) (1 2 3) (1 2 3 4) ()]";
    assert_eq!(read(BY_PYTHON[0]).unwrap(), format!("{{a:{list} b:1099511627776 e:__builtin__.set()}}"));
    assert_eq!(read(BY_PYTHON[1]).unwrap(), format!("{{a:{list} b:1099511627776 e:Opaque}}"));
}

#[test]
fn every_truncation_is_an_error() {
    for pickle in BY_PYTHON {
        for len in 0..pickle.len() {
            assert!(read(&pickle[..len]).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn calls_of_state_dicts_are_interpreted() {
    let call = |module, name, args: fn(Writer) -> Writer| {
        args(Writer::new().global(module, name).op(op::MARK)).op(op::TUPLE).op(op::REDUCE).stop()
    };
    let tensor: fn(Writer) -> Writer = |writer| writer.tensor("0", 6, 0, &[2, 3], &[3, 1]);
    let f8: fn(Writer) -> Writer = |writer| writer.global("numpy", "dtype").text("f8").op(op::TUPLE1).op(op::REDUCE);
    let cases = [
        (call("torch", "Size", |w| w.ints(&[1, 2])), "(1 2)"),
        (tensor(Writer::new()).stop(), "tensor[2, 3]"),
        (call("torch._utils", "_rebuild_parameter", |w| w.tensor("0", 1, 0, &[1], &[1]).op(op::NEWTRUE)), "tensor[1]"),
        (call("collections", "OrderedDict", |w| w), "{}"),
        // Python 2: OrderedDict([["k", 5]])
        (
            call("collections", "OrderedDict", |w| {
                w.raw(&[op::EMPTY_LIST, op::EMPTY_LIST, op::MARK]).text("k").int(5).op(op::APPENDS).op(op::APPEND)
            }),
            "{k:5}",
        ),
        (
            call("torch._tensor", "_rebuild_from_type_v2", |w| {
                let w = w.global("torch", "Size").global("my", "Tensor").ints(&[3]).op(op::TUPLE1);
                w.op(op::EMPTY_DICT)
            }),
            "(3)",
        ),
        (call("_codecs", "encode", |w| w.text("\u{e9}").text("latin1")), "Latin1(\"\u{e9}\")"),
        (call("argparse", "Namespace", |w| w), "argparse.Namespace()"),
    ];
    for (pickle, expected) in cases {
        assert_eq!(read(&pickle).unwrap(), expected);
    }
    let scalar = |build: fn(Writer) -> Writer, data: fn(Writer) -> Writer| {
        let writer = f8(Writer::new().global("numpy.core.multiarray", "scalar"));
        data(build(writer)).op(op::TUPLE2).op(op::REDUCE).stop()
    };
    let as_bytes: fn(Writer) -> Writer = |w| w.raw(&[op::SHORT_BINBYTES, 8]).raw(&76.5f64.to_le_bytes());
    let little: fn(Writer) -> Writer = |w| w.int(3).text("<").op(op::TUPLE2).op(op::BUILD);
    let big: fn(Writer) -> Writer = |w| w.int(3).text(">").op(op::TUPLE2).op(op::BUILD);
    assert_eq!(read(&scalar(little, as_bytes)).unwrap(), "76.5");
    assert_eq!(read(&scalar(big, as_bytes)).unwrap(), "Opaque");
    assert_eq!(read(&scalar(little, |w| w.text("x"))).unwrap(), "Opaque");
}

#[test]
fn globals_that_reach_out_are_refused_even_if_only_mentioned() {
    let cases = [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "exec"),
        ("importlib.util", "find_spec"),
        ("runpy", "_run_code"),
        ("socket", "create_connection"),
    ];
    for (module, name) in cases {
        let mention = Writer::new().global(module, name);
        let called = Writer::new().global(module, name).text("id").op(op::TUPLE1).op(op::REDUCE).stop();
        let stacked = Writer::new().text(module).text(name).op(op::STACK_GLOBAL).stop();
        for pickle in [mention.stop(), called, stacked] {
            let error = read(&pickle).unwrap_err();
            assert!(error.contains(&format!("asks for `{module}.{name}`; Cardinal never executes pickles")), "{error}");
            assert!(error.starts_with("model.pth: data.pkl, byte "), "{error}");
        }
    }
    assert!(read(&Writer::new().global("builtins", "set").stop()).is_ok());
}

#[test]
fn malformed_pickles_are_refused() {
    let start = Writer::new;
    let tensor = |shape: &[i64], strides: &[i64], offset| start().tensor("0", 4, offset, shape, strides).stop();
    let long_name = "m".repeat(limits::NAME_BYTES + 1);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no bytes", vec![], "byte 0: the pickle is cut off"),
        ("protocol", vec![op::PROTO, 6], "protocol 6"),
        ("text protocol", start().raw(b"I1\n").stop(), "byte 2: opcode 0x49, which PyTorch does not write"),
        ("declared text", start().op(op::BINUNICODE).raw(&[0xff; 4]).stop(), "declares 4294967295 bytes where 1"),
        ("declared bytes", start().op(op::BINBYTES8).raw(&[0xff; 8]).stop(), "bytes where 1 are left"),
        ("declared frame", start().op(op::FRAME).raw(&[0xff; 8]).op(op::NONE).stop(), "bytes where 2 are left"),
        ("declared integer", start().op(op::LONG4).raw(&[0xff; 4]).stop(), "declares 4294967295 bytes"),
        ("nothing to stop with", start().stop(), "the stack is empty"),
        ("pop below a mark", start().op(op::NONE).op(op::MARK).op(op::TUPLE1).stop(), "the stack is empty"),
        ("stop below a mark", start().op(op::NONE).op(op::MARK).stop(), "the stack is empty"),
        ("no mark", start().op(op::TUPLE).stop(), "no mark"),
        ("nothing to remember", start().raw(&[op::BINPUT, 0]).stop(), "the stack is empty"),
        ("nothing remembered", start().raw(&[op::BINGET, 7]).stop(), "nothing is remembered as 7"),
        ("append to text", start().text("x").op(op::NONE).op(op::APPEND).stop(), "not a list"),
        ("item of text", start().text("x").op(op::NONE).op(op::NONE).op(op::SETITEM).stop(), "not a dictionary"),
        ("odd items", start().raw(&[op::EMPTY_DICT, op::MARK, op::NONE, op::SETITEMS]).stop(), "a key but no value"),
        ("global without end", start().op(op::GLOBAL).raw(b"torch").stop(), "cut off"),
        ("global of numbers", start().int(1).int(2).op(op::STACK_GLOBAL).stop(), "not both text"),
        ("long global", start().global(&long_name, "f").stop(), "longer than 512"),
        ("arguments", start().global("a", "b").op(op::NONE).op(op::REDUCE).stop(), "not a tuple"),
        ("persistent id", start().int(1).op(op::BINPERSID).stop(), "not a tuple"),
        ("negative length", start().storage("FloatStorage", "0", -1).stop(), "no number of elements"),
        ("long key", start().storage("FloatStorage", &long_name, 1).stop(), "longer than 512"),
        ("negative offset", tensor(&[1], &[1], -1), "not a non-negative integer"),
        ("negative size", tensor(&[-1], &[1], 0), "not a non-negative integer"),
        ("negative stride", tensor(&[2], &[-1], 1), "not a non-negative integer"),
        ("missing stride", tensor(&[2, 2], &[1], 0), "not as many strides"),
        ("dimensions", tensor(&[1; 17], &[1; 17], 0), "more than 16 dimensions"),
    ];
    for (what, pickle, expected) in cases {
        let error = read(&pickle).expect_err(what);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn shared_and_nested_values_take_linear_memory() {
    // 100 ^ 100 strings if it were expanded.
    let bomb = Writer::new().bomb(100, 100).stop();
    let pickle = Pickle::read(&bomb, 0).unwrap();
    assert!(matches!(&pickle.values[pickle.root], Value::List(items) if items.len() == 100));

    let nested = Writer::new().op(op::NONE).raw(&vec![op::TUPLE1; 1 << 20]).stop();
    drop(Pickle::read(&nested, 0).unwrap());

    let endless = Writer::new().raw(&vec![op::NONE; limits::PICKLE_STEPS]).stop();
    assert!(read(&endless).unwrap_err().contains("longer than any checkpoint needs"));
}

#[test]
fn copies_of_pairs_are_counted() {
    // One list of 4096 pairs, made into a dictionary again and again.
    let pairs = Writer::new().ints(&[1, 2]).raw(&[op::BINPUT, 0, op::POP, op::EMPTY_LIST, op::MARK]);
    let pairs = (0..4096).fold(pairs, |writer, _| writer.raw(&[op::BINGET, 0])).raw(&[op::APPENDS, op::TUPLE1]);
    let pairs = pairs.raw(&[op::BINPUT, 1]).global("collections", "OrderedDict").raw(&[op::BINPUT, 2]);
    let bomb = (0..2000).fold(pairs, |writer, _| writer.raw(&[op::BINGET, 2, op::BINGET, 1, op::REDUCE])).stop();
    assert!(read(&bomb).unwrap_err().contains("more dictionary entries than any checkpoint needs"));
}
