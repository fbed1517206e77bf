//! A whole model in one arena, against a naive run with memory for every tensor.

use cardinal_device_tests::binary32::Exact;
use cardinal_device_tests::buffer::Aligned;
use cardinal_device_tests::model::{self, SMALL, Size};
use cardinal_device_tests::network;
use cardinal_device_tests::plan::check_plan;
use cardinal_device_tests::random::Random;
use cardinal_device_tests::strategy::{cases, sizes};
use cardinal_format::{Tensor, TensorId};
use cardinal_runtime::{Arena, Codes, Model, RuntimeError, Session, kernels};
use proptest::prelude::*;

/// On every backend, every step's codes and the logits are those of the naive run; a second run changes nothing.
fn agrees(bytes: &[u8], seed: u64, dirt: u8) {
    let model = Model::new(bytes).expect("a valid model");
    let pixels = Random::new(seed).bytes(model.image().volume());
    let naive = network::run(model.file(), &pixels);
    for kernels in kernels::available() {
        // The arena's old content must not matter, nor may the bytes behind it change.
        let mut arena = Aligned::new(model.arena_len() + 64, dirt);
        let mut session = Session::with_kernels(model, arena.bytes(), *kernels).expect("a fitting arena");
        for _ in 0..2 {
            session.image_mut().copy_from_slice(&pixels);
            let mut steps = Vec::new();
            let logits = session.run_observed(|step| {
                let codes = |(tensor, codes): (Tensor, Codes<'_>)| {
                    (0..tensor.shape.volume()).map(|i| codes.get(i).expect("a code")).collect::<Vec<_>>()
                };
                steps.push(step.output.map(codes));
            });
            let logits: Vec<Exact> = logits.iter().map(|&x| Exact::float(x)).collect();
            assert_eq!(steps, naive.codes, "{}", kernels.name);
            assert_eq!(logits, naive.logits, "{}", kernels.name);
        }
        assert!(arena.bytes()[model.arena_len()..].iter().all(|&byte| byte == dirt));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_step_is_the_naive_one(size in sizes(), seed in any::<u64>(), dirt in any::<u8>()) {
        agrees(&model::random_file(size, seed), seed ^ 1, dirt);
    }
}

/// Of a network with layers that are large enough to be divided.
#[test]
fn results_do_not_depend_on_threads() {
    let size = Size { image: [96, 80], groups: 4, body: 64, expanded: 128, projected: 160, ..SMALL };
    let bytes = model::random_file(size, 31);
    let model = Model::new(&bytes).expect("a valid model");
    let pixels = Random::new(32).bytes(model.image().volume());
    for kernels in kernels::available() {
        let run = |threads: usize| {
            let mut arena = Aligned::new(model.arena_len(), 0x5a);
            let mut session = Session::with_kernels(model, arena.bytes(), *kernels).expect("a fitting arena");
            session.set_threads(threads);
            session.image_mut().copy_from_slice(&pixels);
            session.run().to_vec()
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{} threads, {}", threads, kernels.name);
        }
    }
}

/// What the converter made of a trained network, blocks and merged groups and all.
#[test]
fn a_trained_network() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/fmnist.cardinal");
    let bytes = std::fs::read(path).expect("the fixture");
    assert_eq!(check_plan(Model::new(&bytes).expect("a valid model").file()), Ok(()));
    agrees(&bytes, 16, 0xa5);
}

#[test]
fn steps_are_named_and_in_order() {
    let bytes = model::random_file(SMALL, 4);
    let model = Model::new(&bytes).expect("a valid model");
    let mut arena = Aligned::new(model.arena_len(), 0);
    let mut session = Session::new(model, arena.bytes()).expect("a fitting arena");
    let mut names = Vec::new();
    session.run_observed(|step| {
        let tensor = step.op.output().and_then(|id: TensorId| model.file().tensor(id));
        assert_eq!(step.output.map(|(tensor, _)| tensor), tensor);
        names.push(step.name.to_owned());
    });
    let order = [
        "stem",
        "pool",
        "shortcut",
        "reduce",
        "grouped",
        "expand",
        "reduce",
        "grouped",
        "in place",
        "reduce",
        "grouped",
        "project",
        "mean",
        "classifier",
    ];
    assert_eq!(names, order);
}

#[test]
fn unfit_arenas() {
    let bytes = model::random_file(SMALL, 5);
    let model = Model::new(&bytes).expect("a valid model");
    let needed = model.arena_len();
    let mut arena = Aligned::new(needed + 64, 0);
    let arena = arena.bytes();
    let error = |arena: &mut [u8]| Session::new(model, arena).err();
    for given in [0, 1, needed - 64, needed - 1] {
        assert_eq!(error(&mut arena[..given]), Some(RuntimeError::ArenaTooSmall { given, needed }));
    }
    for start in 1..64 {
        assert_eq!(error(&mut arena[start..]), Some(RuntimeError::ArenaAlignment));
    }
    assert_eq!(error(&mut arena[..needed]), None);
    assert_eq!(error(&mut arena[64..]), None);
    assert_eq!(error(&mut Arena::<4096>::new().0), None);
}

#[test]
fn a_damaged_file_is_a_runtime_error() {
    let error = Model::new(b"no model").map(|_| ()).map_err(RuntimeError::from);
    assert_eq!(error, Err(RuntimeError::Format(cardinal_format::FormatError::Magic)));
}
