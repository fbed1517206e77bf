//! Steps → parts: follow the network from the image, and refuse the first step that is not where a ResNeXt has it.

use super::super::ImportError;
use super::super::assemble::{BlockPart, ConvPart, Parts};
use super::nodes::{Kind, Nodes, Step};

struct Walker<'a> {
    file: &'a str,
    steps: Vec<Step>,
    /// Steps that read a step; the last list is of those that read the image.
    readers: Vec<Vec<usize>>,
    used: usize,
}

pub(super) fn parts(nodes: Nodes, file: &str) -> Result<Parts, ImportError> {
    let steps = nodes.steps;
    let mut readers = vec![Vec::new(); steps.len() + 1];
    for (i, step) in steps.iter().enumerate() {
        let others = if let Kind::Add(other) = step.kind { Some(other) } else { None };
        for input in std::iter::once(step.input).chain(others) {
            readers[input.unwrap_or(steps.len())].push(i);
        }
    }
    let image = steps.len();
    let mut walker = Walker { file, steps, readers, used: 0 };

    let (at, stem) = walker.conv(image)?;
    let mut at = walker.relu(at)?;
    let mut pool = None;
    if let [next] = walker.readers[at][..]
        && let Kind::MaxPool(window) = walker.steps[next].kind
    {
        (at, pool) = (next, Some(window));
        walker.used += 1;
    }
    let mut stages: Vec<Vec<BlockPart>> = Vec::new();
    while walker.readers[at].len() == 2 {
        let (end, block) = walker.block(at)?;
        // A shortcut with a convolution changes the shape, which is what makes a new stage.
        match stages.last_mut() {
            Some(stage) if block.downsample.is_none() => stage.push(block),
            _ => stages.push(vec![block]),
        }
        at = end;
    }
    if stages.is_empty() {
        return Err(walker.refuse(at, "no residual block follows the stem"));
    }
    at = walker.only(
        at,
        |kind| matches!(kind, Kind::GlobalAvgPool(_)),
        "a residual block or the global average pool",
    )?;
    let averaged = if let Kind::GlobalAvgPool(averaged) = walker.steps[at].kind { averaged } else { None };
    at = walker.only(at, |kind| matches!(kind, Kind::Linear(_)), "the classifier")?;
    let head_origin = walker.steps[at].name.clone();
    if at != nodes.output || walker.used != walker.steps.len() {
        return Err(walker.refuse(at, "the classifier is not the end of the network"));
    }
    let Kind::Linear(head) = walker.steps.swap_remove(at).kind else {
        return Err(walker.refuse(at, "is not the classifier"));
    };
    let (file, input) = (file.into(), nodes.input);
    Ok(Parts { file, input, has_windows: true, stem, pool, stages, averaged, head, head_origin })
}

impl Walker<'_> {
    fn refuse(&self, at: usize, why: impl Into<String>) -> ImportError {
        let what = self.steps.get(at).map_or("the input".to_owned(), |step| format!("node {}", step.name));
        ImportError::Family { file: self.file.into(), what, why: why.into() }
    }

    /// The only reader of `at`, which must be of a kind.
    fn only(&mut self, at: usize, is: impl Fn(&Kind) -> bool, expected: &str) -> Result<usize, ImportError> {
        match self.readers[at][..] {
            [next] if is(&self.steps[next].kind) => {
                self.used += 1;
                Ok(next)
            }
            [next, ..] => Err(self.refuse(next, format!("{expected} is expected here"))),
            [] => Err(self.refuse(at, format!("ends the network, but {expected} is expected behind it"))),
        }
    }

    fn relu(&mut self, at: usize) -> Result<usize, ImportError> {
        self.only(at, |kind| matches!(kind, Kind::Relu), "a ReLU")
    }

    fn conv(&mut self, at: usize) -> Result<(usize, ConvPart), ImportError> {
        let next = self.only(at, |kind| matches!(kind, Kind::Conv(_)), "a convolution")?;
        Ok((next, self.part(next)?))
    }

    /// Moves a convolution's weights out of its step.
    fn part(&mut self, at: usize) -> Result<ConvPart, ImportError> {
        match std::mem::replace(&mut self.steps[at].kind, Kind::Relu) {
            Kind::Conv(part) => Ok(*part),
            _ => Err(self.refuse(at, "a convolution is expected here")),
        }
    }

    fn block(&mut self, at: usize) -> Result<(usize, BlockPart), ImportError> {
        // Two steps read the block's input: the first convolution, which a ReLU follows, and the shortcut, an Add or a
        // convolution that an Add follows.
        let is_branch = |&&i: &&usize| {
            let follows = self.readers[i].first().map(|&next| &self.steps[next].kind);
            matches!((&self.steps[i].kind, follows), (Kind::Conv(_), Some(Kind::Relu)))
        };
        let readers = self.readers[at].clone();
        let Some(&first) = readers.iter().find(is_branch) else {
            return Err(self.refuse(readers[0], "is not the start of a bottleneck block"));
        };
        let Some(&shortcut) = readers.iter().find(|&&i| i != first) else {
            return Err(self.refuse(first, "the block has no shortcut"));
        };
        self.used += 1;
        let conv1 = self.part(first)?;
        let end = self.relu(first)?;
        let (end, conv2) = self.conv(end)?;
        let end = self.relu(end)?;
        let (end, conv3) = self.conv(end)?;
        let add = self.only(end, |kind| matches!(kind, Kind::Add(_)), "the addition of the shortcut")?;
        let downsample = if shortcut == add {
            None
        } else {
            self.used += 1;
            let part = self.part(shortcut)?;
            if self.readers[shortcut] != [add] {
                return Err(self.refuse(shortcut, "the shortcut does not end in the block's addition"));
            }
            Some(part)
        };
        Ok((self.relu(add)?, BlockPart { convs: [conv1, conv2, conv3], downsample }))
    }
}
