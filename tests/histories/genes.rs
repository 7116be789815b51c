//! Choices read off a string of bytes.

/// Reads bytes in order; past the end every byte is 0.
pub struct Genes<'a> {
    bytes: &'a [u8],
}

impl<'a> Genes<'a> {
    pub fn new(bytes: &'a [u8]) -> Genes<'a> {
        Genes { bytes }
    }

    pub fn byte(&mut self) -> usize {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                usize::from(*first)
            }
            None => 0,
        }
    }

    /// 0..=65,535.
    pub fn wide(&mut self) -> i64 {
        (self.byte() * 256 + self.byte()) as i64
    }

    /// 0..`end`, small ones for small genes.
    pub fn below(&mut self, end: usize) -> usize {
        self.byte() % end
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True for about so many in a hundred; never for a gene of 0.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.byte() * 100 >= (100 - percent) * 256
    }

    /// Of each choice, whether it is among the chosen; empty for a gene of 0.
    pub fn some_of<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        let mask = self.byte();
        (0..choices.len()).filter(|i| mask >> i & 1 == 1).map(|i| choices[i]).collect()
    }
}
