//! safetensors: the length of a JSON header, the header, the elements.

use serde_json::{Map, Value, json};

use crate::harness::{Bench, Row, fixture, patched, row};
use crate::network::{self, Tensors};

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn network(tensors: &Tensors) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (shape, values)) in tensors {
        let start = data.len();
        data.extend(network::bytes(values));
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    file(&Value::from(header).to_string(), &data)
}

/// One tensor of eight bytes.
fn one(dtype: &str, shape: &str, offsets: &str) -> Vec<u8> {
    file(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), &[0; 8])
}

/// Two tensors in eight bytes.
fn two(first: &str, second: &str) -> Vec<u8> {
    let tensor = |offsets: &str| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
    file(&format!(r#"{{"a":{},"b":{}}}"#, tensor(first), tensor(second)), &[0; 8])
}

fn headers() -> Vec<Row> {
    const INVALID: &str = "not a valid safetensors file";
    let whole = fixture("tiny.safetensors");
    let length = |len: u64| patched(&whole, 0, &len.to_le_bytes());
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(1 << 20), close.repeat(1 << 20));
        file(&format!(r#"{{"w":{open}1{close}}}"#), &[])
    };
    let overlap = r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#;
    vec![
        row("a header of 2^64 bytes", length(u64::MAX), "not a PyTorch or safetensors checkpoint"),
        row("a header of 4 GiB", length(u64::from(u32::MAX)), "its header declares 4294967295 bytes"),
        row("a header longer than the file", length(1 << 20), INVALID),
        row("a header cut short", length(100), INVALID),
        row("a header of no bytes", file("", b"{}"), INVALID),
        row("a header that is no JSON", file("{]", &[]), INVALID),
        row("a header with a control character", file("{\"w\u{0}", &[]), INVALID),
        row("arrays a million deep", deep("[", "]"), INVALID),
        row("objects a million deep", deep("{\"x\":", "}"), INVALID),
        row(
            "metadata that is deep",
            file(&format!(r#"{{"__metadata__":{{"a":{}1{}}}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20)), &[]),
            INVALID,
        ),
        row("no tensors", file("{}", &[]), "no tensor"),
        row("a tensor without a shape", file(r#"{"w":{"dtype":"F32","data_offsets":[0,8]}}"#, &[0; 8]), INVALID),
        row("a type that lies", one("F64", "[2]", "[0,8]"), INVALID),
        row("an unknown type", one("F1", "[2]", "[0,8]"), INVALID),
        row("a type of eight bits", one("F8_E4M3", "[8]", "[0,8]"), "tensor `w`: elements of type F8_E4M3"),
        row("a shape that lies", one("F32", "[3]", "[0,8]"), INVALID),
        row("a shape that overflows", one("F32", "[4611686018427387904,4]", "[0,8]"), INVALID),
        row("a negative shape", one("F32", "[-2]", "[0,8]"), INVALID),
        row("a shape of fractions", one("F32", "[2.0]", "[0,8]"), INVALID),
        row("17 dimensions", one("F64", &format!("{:?}", [1; 17]), "[0,8]"), "17 dimensions"),
        row("offsets behind the file", one("F32", "[2]", "[8,16]"), INVALID),
        row("offsets that go backwards", one("F32", "[2]", "[8,0]"), INVALID),
        row("offsets of 2^64", one("F32", "[2]", "[18446744073709551608,18446744073709551615]"), INVALID),
        row("negative offsets", one("F32", "[2]", "[-8,0]"), INVALID),
        row("tensors that overlap", two("[0,4]", "[2,6]"), INVALID),
        row("tensors that share their bytes", two("[0,4]", "[0,4]"), INVALID),
        row("a gap between tensors", two("[0,4]", "[5,9]"), INVALID),
        row("bytes of no tensor", two("[0,4]", "[4,8]").into_iter().chain([0]).collect::<Vec<u8>>(), INVALID),
        row(
            "a name twice",
            {
                let other = r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#;
                file(&format!(r#"{{"w":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}},"w":{{{other}}}}}"#), &[0; 8])
            },
            INVALID,
        ),
        row(
            "a name twice, with the same bytes",
            file(&format!(r#"{{"w":{{{overlap}}},"w":{{{overlap}}}}}"#), &[0; 8]),
            "w: no tensor is named",
        ),
        row(
            "a name of 10 MB",
            file(&format!(r#"{{"{}":{{{overlap}}}}}"#, "layer".repeat(2 << 20)), &[0; 8]),
            "layerlayerlayer",
        ),
    ]
}

/// NaN in the types that are widened.
fn widened() -> impl Iterator<Item = Row> {
    [("F16", vec![0x00, 0x7e]), ("BF16", vec![0xc0, 0x7f]), ("F64", f64::NAN.to_le_bytes().to_vec())]
        .map(|(dtype, nan)| {
            let mut tensors = network::tiny();
            let (shape, values) = tensors.remove("backbone.conv1.weight").expect("the network has it");
            let rest = network(&tensors);
            let (len, body) = rest.split_first_chunk::<8>().expect("a length");
            let (header, data) = body.split_at(u64::from_le_bytes(*len) as usize);
            let mut header: Map<String, Value> = serde_json::from_slice(header).expect("a header");
            let offsets = [data.len(), data.len() + nan.len() * values.len()];
            let about = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
            header.insert("backbone.conv1.weight".to_owned(), about);
            let data = [data, &nan.repeat(values.len())].concat();
            row(format!("NaN as {dtype}"), file(&Value::from(header).to_string(), &data), "conv1.weight: has NaN")
        })
        .into_iter()
}

#[test]
fn are_refused() {
    let rows = headers().into_iter().chain(widened()).chain(network::rows(network)).collect();
    let good = network(&network::tiny());
    let args = ["convert", "hostile.safetensors", "--calib", "../images"];
    Bench::new().refuse("hostile.safetensors", &args, &good, rows);
}
