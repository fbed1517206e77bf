//! The reader's liveness check against owners of bytes: two ways to see the same thing.

use cardinal_device_tests::model::{self, SMALL};
use cardinal_device_tests::plan::{check_contents, check_plan};
use cardinal_device_tests::random::Random;
use cardinal_device_tests::strategy::cases;
use cardinal_format::write::{Contents, to_bytes};
use cardinal_format::{File, Op, Residual, TensorId};
use proptest::prelude::*;

#[test]
fn a_good_plan() {
    let bytes = model::random_file(SMALL, 6);
    assert_eq!(check_plan(&File::new_checked(&bytes).expect("a valid model")), Ok(()));
}

proptest! {
    #![proptest_config(cases(4000))]

    /// Wherever tensors are moved, both accept or both refuse.
    #[test]
    fn both_checks_agree(moves in prop::collection::vec((0usize..=14, 0u32..10), 0..4), seed in 0u64..4) {
        model::random(SMALL, &mut Random::new(seed), |contents| {
            let (mut tensors, mut logits_offset) = (contents.tensors.to_vec(), contents.logits_offset);
            for &(which, line) in &moves {
                *tensors.get_mut(which).map_or(&mut logits_offset, |tensor| &mut tensor.offset) = 64 * line;
            }
            let moved = Contents { tensors: &tensors, logits_offset, ..*contents };
            let (read, owned) = (to_bytes(&moved).map(|_| ()), check_contents(&moved));
            assert_eq!(read.is_ok(), owned.is_ok(), "{read:?}, {owned:?}");
        });
    }

    /// Whatever is read instead, of the tensors that have the shape for it.
    #[test]
    fn both_checks_agree_on_readers(op in 2usize..13, input in 0u16..14, residual in prop::option::of(0u16..14)) {
        model::random(SMALL, &mut Random::new(7), |contents| {
            let mut ops = contents.ops.to_vec();
            let same_shape = |a: TensorId, b: TensorId| {
                contents.tensors[usize::from(a.0)].shape == contents.tensors[usize::from(b.0)].shape
            };
            match &mut ops[op].1 {
                Op::Conv(conv) => {
                    let (input, residual) = (TensorId(input), residual.map(TensorId));
                    if same_shape(conv.input, input) {
                        conv.input = input;
                    }
                    let old = match &mut conv.residual {
                        Some(Residual::Identity { tensor, .. }) => Some(tensor),
                        Some(Residual::Projection(projection)) => Some(&mut projection.input),
                        None => None,
                    };
                    if let (Some(old), Some(new)) = (old, residual)
                        && same_shape(*old, new)
                    {
                        *old = new;
                    }
                }
                Op::GlobalAvgPool(pool) if same_shape(pool.input, TensorId(input)) => pool.input = TensorId(input),
                _ => (),
            }
            let changed = Contents { ops: &ops, ..*contents };
            let (read, owned) = (to_bytes(&changed).map(|_| ()), check_contents(&changed));
            assert_eq!(read.is_ok(), owned.is_ok(), "{read:?}, {owned:?}");
        });
    }
}

/// What the owners say of each kind of fault.
#[test]
fn faults_are_named() {
    let faults = model::random(SMALL, &mut Random::new(8), |contents| {
        let place = |tensor: usize| contents.tensors[tensor].offset;
        let moves =
            [(1, place(0)), (4, place(3)), (9, place(6) - 64), (12, place(9)), (13, place(9) + 1), (13, 1 << 20)];
        let moved = moves.map(|(tensor, offset)| {
            let mut tensors = contents.tensors.to_vec();
            tensors[tensor].offset = offset;
            check_contents(&Contents { tensors: &tensors, ..*contents })
        });
        let read = [(12, 3), (12, 8), (9, 6)].map(|(op, tensor): (usize, _)| {
            let mut ops = contents.ops.to_vec();
            match &mut ops[op].1 {
                Op::Conv(conv) => conv.input = TensorId(tensor),
                Op::GlobalAvgPool(mean) => mean.input = TensorId(tensor),
                _ => panic!("op 9 is a convolution, op 12 the mean"),
            }
            check_contents(&Contents { ops: &ops, ..*contents })
        });
        let unwritten = check_contents(&Contents { ops: &contents.ops[..13], ..*contents });
        [&moved[..], &read, &[unwritten]]
            .concat()
            .into_iter()
            .map(|fault| format!("{fault:?}"))
            .collect::<Vec<_>>()
            .join("\n")
    });
    insta::assert_snapshot!(faults, @r#"
    Err("stem: writes over tensor 0 while it reads it")
    Err("expand: byte 0 belongs to Tensor(4), not to Tensor(3)")
    Err("in place: writes over tensor 6 while it reads it")
    Err("project: writes over tensor 9 while it reads it")
    Err("mean: Tensor(13) starts at 257, which is no multiple of 64")
    Err("mean: Tensor(13) at 1048576..1048612 leaves the arena")
    Err("mean: byte 0 belongs to Tensor(12), not to Tensor(3)")
    Err("mean: byte 448 belongs to Tensor(11), not to Tensor(8)")
    Err("reduce: byte 256 belongs to Tensor(9), not to Tensor(6)")
    Err("byte 0 belongs to Tensor(12), not to Logits")
    "#);
}
