//! The int8 kernels against the same file as tract runs it: dequantized weights, float32 sums, rounded codes. Float sums
//! are not exact, so a code may differ by one where a sum lies between two, and what follows from that.

use cardinal_calib::Sqnr;
use cardinal_converter::engine::{Network, Runner};
use cardinal_converter::{embedded, host};

const GOLDEN: &[u8] = include_bytes!("../fixtures/fmnist.cardinal");

/// Every layer and the logits of both engines, over some images.
#[test]
fn tract_vouches_for_the_kernels() {
    let images = embedded::test_images().expect("the images ship");
    let model = host::open(GOLDEN).expect("a valid file");
    let (int8, qdq) = (Network::int8(model), Network::qdq(model).expect("tract runs it"));
    assert_eq!(int8.layers(), qdq.layers());
    let [mut int8_runner, mut qdq_runner] = [int8.runner(), qdq.runner()];
    let mut sqnr = vec![Sqnr::default(); int8.layers().len() + 1];
    for index in (0..images.len()).step_by(100) {
        let pixels = images.prepare(index, &int8.preprocess, int8.input()).expect("a valid image");
        let logits = |runner: &mut Runner<'_, '_>| runner.logits(&pixels).expect("it runs");
        sqnr[int8.layers().len()].observe(&logits(&mut qdq_runner), &logits(&mut int8_runner));
        for (layer, sqnr) in int8.layers().iter().zip(&mut sqnr) {
            let map = |runner: &mut Runner<'_, '_>| runner.logits_and_map(&pixels, layer).expect("it runs").1;
            let (ours, theirs) = (map(&mut int8_runner), map(&mut qdq_runner));
            assert_eq!(ours.shape, theirs.shape, "{layer}");
            sqnr.observe(&theirs.values, &ours.values);
        }
    }
    for (layer, sqnr) in int8.layers().iter().chain(&["logits"]).zip(&sqnr) {
        // From the float network int8 has 38 dB at the logits, and less in most layers.
        assert!(sqnr.db() > 45.0, "{layer}: {:.1} dB", sqnr.db());
    }
}
