//! Liveness, checked the slow way: every byte of the arena has an owner.

use cardinal_format::write::Contents;
use cardinal_format::{Conv, File, Op, Residual, Tensor, TensorId};

use std::ops::Range;

/// Gives `each` what a file holds, as the writer takes it.
pub fn with_contents<R>(file: &File<'_>, each: impl FnOnce(&Contents<'_>) -> R) -> R {
    let tensors: Vec<Tensor> = (0..file.tensor_count()).filter_map(|i| file.tensor(TensorId(i as u16))).collect();
    let ops: Vec<(&str, Op<'_>)> = file.ops().collect();
    let labels: Vec<&str> = file.labels().collect();
    each(&Contents {
        arena_len: file.arena_len() as u32,
        logits_offset: file.logits_range().start as u32,
        classes: file.classes() as u32,
        tensors: &tensors,
        ops: &ops,
        preprocess: *file.preprocess(),
        labels: &labels,
        provenance: file.provenance(),
    })
}

/// Whether every op finds all bytes of what it reads; says where not.
pub fn check_plan(file: &File<'_>) -> Result<(), String> {
    with_contents(file, check_contents)
}

/// [`check_plan`] before there is a file.
pub fn check_contents(contents: &Contents<'_>) -> Result<(), String> {
    let tensor = |id: TensorId| contents.tensors.get(usize::from(id.0)).ok_or(format!("there is no tensor {}", id.0));
    let start = contents.logits_offset as usize;
    let logits = start..start + 4 * contents.classes as usize;
    let mut arena = Arena(vec![Owner::Nobody; contents.arena_len as usize]);
    arena.write(tensor(TensorId::IMAGE)?.range(), Owner::Tensor(0))?;
    for (name, op) in contents.ops {
        let blame = |error: String| format!("{name}: {error}");
        let (written, owner) = match op.output() {
            Some(id) => (tensor(id)?.range(), Owner::Tensor(id.0)),
            None => (logits.clone(), Owner::Logits),
        };
        let in_place = match op {
            Op::Conv(Conv { residual: Some(Residual::Identity { tensor, .. }), .. }) => Some(*tensor),
            _ => None,
        };
        for id in [Some(op.input()), op.residual()].into_iter().flatten() {
            let range = tensor(id)?.range();
            arena.read(range.clone(), Owner::Tensor(id.0)).map_err(blame)?;
            let in_place = in_place == Some(id) && range == written;
            if !in_place && range.start < written.end && written.start < range.end {
                return Err(blame(format!("writes over tensor {} while it reads it", id.0)));
            }
        }
        arena.write(written, owner).map_err(blame)?;
    }
    arena.read(logits, Owner::Logits)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Tensor(u16),
    Logits,
}

/// Whose value each byte holds.
struct Arena(Vec<Owner>);

impl Arena {
    fn write(&mut self, range: Range<usize>, owner: Owner) -> Result<(), String> {
        if !range.start.is_multiple_of(64) {
            return Err(format!("{owner:?} starts at {}, which is no multiple of 64", range.start));
        }
        let bytes = self.0.get_mut(range.clone()).ok_or(format!("{owner:?} at {range:?} leaves the arena"))?;
        bytes.fill(owner);
        Ok(())
    }

    fn read(&self, range: Range<usize>, owner: Owner) -> Result<(), String> {
        let bytes = self.0.get(range.clone()).ok_or(format!("{owner:?} at {range:?} leaves the arena"))?;
        match bytes.iter().position(|&byte| byte != owner) {
            Some(i) => Err(format!("byte {} belongs to {:?}, not to {owner:?}", range.start + i, bytes[i])),
            None => Ok(()),
        }
    }
}
