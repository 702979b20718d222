//! An assembler for eBPF (RFC 9669), as small as our one program allows: each method is one instruction.
//!
//! There is no compiler in it on purpose: the program is short, it has to be read by whoever audits it, and an object file would be
//! either a binary in the repository or a second tool chain for everybody who builds this.

use std::collections::BTreeMap;

/// A register: `R0` is for results, `R1` to `R5` are for arguments and lost with each call, `R6` to `R9` stay, `R10` is the end of the
/// stack of 512 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much is loaded or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// One byte.
    Byte = 0x10,
    /// Two.
    Half = 0x08,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

/// What is done with a register and another one, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    /// Without signs.
    Divide = 0x30,
    And = 0x50,
    ShiftLeft = 0x60,
    /// Zeros come in.
    ShiftRight = 0x70,
    Negate = 0x80,
    Remainder = 0x90,
    ExclusiveOr = 0xa0,
    Move = 0xb0,
}

/// When a jump is taken; numbers have no signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Equal = 0x10,
    Above = 0x20,
    NotEqual = 0x50,
    Below = 0xa0,
    /// Or equal, of numbers with signs.
    NotLess = 0x70,
}

/// The other operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    Of(Register),
    Number(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Of(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

/// One instruction as the kernel takes it.
pub(super) type Instruction = [u8; 8];

/// A place in the code that is jumped to.
pub(super) type Label = &'static str;

/// Code that is being written.
#[derive(Debug, Default)]
pub(super) struct Code {
    instructions: Vec<Instruction>,
    labels: BTreeMap<Label, usize>,
    jumps: Vec<(usize, Label)>,
}

impl Code {
    /// `to = operand`, and the like with what was in `to`.
    pub(super) fn compute(
        &mut self,
        operation: Operation,
        to: Register,
        operand: impl Into<Operand>,
    ) {
        self.operate(CLASS_64, operation as u8, to, operand.into());
    }

    /// The same with the low 32 bits; the others become zero.
    pub(super) fn compute_32(
        &mut self,
        operation: Operation,
        to: Register,
        operand: impl Into<Operand>,
    ) {
        self.operate(CLASS_32, operation as u8, to, operand.into());
    }

    /// `to = operand`.
    pub(super) fn set(&mut self, to: Register, operand: impl Into<Operand>) {
        self.compute(Operation::Move, to, operand);
    }

    /// `to = *(from + offset)`, the rest of it zero.
    pub(super) fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.push(0x61 | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = from`.
    pub(super) fn store(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.push(0x63 | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = number`.
    pub(super) fn store_number(&mut self, size: Size, to: Register, offset: i16, number: i32) {
        self.push(0x62 | size as u8, to, Register::R0, offset, number);
    }

    /// If `*(to + offset)` is `R0`, it becomes `from`; `R0` becomes what it was. Eight bytes, with a full barrier.
    pub(super) fn compare_and_exchange(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0xf1);
    }

    /// `*(to + offset) += from`, and `from` becomes what it was. Eight bytes, with a full barrier.
    pub(super) fn fetch_and_add(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0x01);
    }

    /// `*(to + offset) = from`, and `from` becomes what it was. Eight bytes, with a full barrier.
    pub(super) fn exchange(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0xe1);
    }

    /// Numbers of 16 bits between the machine's order and the network's.
    pub(super) fn turn_16(&mut self, register: Register) {
        self.push(0xdc, register, Register::R0, 0, 16);
    }

    /// The same of 32 bits.
    pub(super) fn turn_32(&mut self, register: Register) {
        self.push(0xdc, register, Register::R0, 0, 32);
    }

    /// `to` becomes the map with this descriptor.
    pub(super) fn load_map(&mut self, to: Register, descriptor: i32) {
        self.push(0x18, to, Register::R1, 0, descriptor);
        self.push(0, Register::R0, Register::R0, 0, 0);
    }

    /// Jumps if it is so.
    pub(super) fn jump_if(
        &mut self,
        register: Register,
        condition: Condition,
        operand: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.instructions.len(), label));
        self.operate(CLASS_JUMP, condition as u8, register, operand.into());
    }

    /// Jumps.
    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(CLASS_JUMP, Register::R0, Register::R0, 0, 0);
    }

    /// Names the place of the next instruction.
    pub(super) fn label(&mut self, label: Label) {
        self.labels.insert(label, self.instructions.len());
    }

    /// Calls a function of the kernel's.
    pub(super) fn call(&mut self, function: i32) {
        self.push(0x85, Register::R0, Register::R0, 0, function);
    }

    /// Ends the program with what is in `R0`.
    pub(super) fn exit(&mut self) {
        self.push(0x95, Register::R0, Register::R0, 0, 0);
    }

    /// The program; `None`: a label is nowhere, or too far away.
    pub(super) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (at, label) in self.jumps {
            let to = i32::try_from(*self.labels.get(label)?).ok()?;
            let distance = i16::try_from(to - i32::try_from(at).ok()? - 1).ok()?;
            let [_, _, high, low, ..] = self.instructions.get_mut(at)?;
            [*high, *low] = distance.to_ne_bytes();
        }
        Some(self.instructions)
    }

    fn operate(&mut self, class: u8, operation: u8, to: Register, operand: Operand) {
        match operand {
            Operand::Of(from) => self.push(class | operation | 0x08, to, from, 0, 0),
            Operand::Number(number) => self.push(class | operation, to, Register::R0, 0, number),
        }
    }

    fn push(&mut self, opcode: u8, to: Register, from: Register, offset: i16, number: i32) {
        let (to, from) = (to as u8, from as u8);
        let registers = if cfg!(target_endian = "little") {
            from << 4 | to
        } else {
            to << 4 | from
        };
        let [o1, o2] = offset.to_ne_bytes();
        let [n1, n2, n3, n4] = number.to_ne_bytes();
        self.instructions
            .push([opcode, registers, o1, o2, n1, n2, n3, n4]);
    }
}

const CLASS_32: u8 = 0x04;
const CLASS_JUMP: u8 = 0x05;
const CLASS_64: u8 = 0x07;

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::Register::*;
    use super::*;

    /// The bytes are worked out by hand from RFC 9669 §3 to §5; that the kernel takes them so, the tests of the program show.
    #[test]
    fn each_instruction_is_encoded_as_the_standard_says() {
        let mut code = Code::default();
        code.set(R6, R1);
        code.set(R0, -1);
        code.compute(Operation::Add, R7, 14);
        code.compute_32(Operation::Subtract, R2, R3);
        code.load(Size::Word, R7, R6, 76);
        code.load(Size::Half, R1, R7, 12);
        code.store(Size::Double, R10, -16, R1);
        code.store_number(Size::Byte, R7, 22, 64);
        code.compare_and_exchange(R9, 0, R1);
        code.fetch_and_add(R9, 8, R1);
        code.exchange(R9, 16, R1);
        code.turn_16(R1);
        code.turn_32(R1);
        code.load_map(R1, 5);
        code.call(1);
        code.exit();

        let expected: [Instruction; 17] = [
            [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
            [0xb7, 0x00, 0, 0, 0xff, 0xff, 0xff, 0xff],
            [0x07, 0x07, 0, 0, 14, 0, 0, 0],
            [0x1c, 0x32, 0, 0, 0, 0, 0, 0],
            [0x61, 0x67, 76, 0, 0, 0, 0, 0],
            [0x69, 0x71, 12, 0, 0, 0, 0, 0],
            [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0],
            [0x72, 0x07, 22, 0, 64, 0, 0, 0],
            [0xdb, 0x19, 0, 0, 0xf1, 0, 0, 0],
            [0xdb, 0x19, 8, 0, 0x01, 0, 0, 0],
            [0xdb, 0x19, 16, 0, 0xe1, 0, 0, 0],
            [0xdc, 0x01, 0, 0, 16, 0, 0, 0],
            [0xdc, 0x01, 0, 0, 32, 0, 0, 0],
            [0x18, 0x11, 0, 0, 5, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 1, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(code.finish().unwrap(), expected);
    }

    #[test]
    fn jumps_count_from_the_next_instruction_both_ways() {
        let mut code = Code::default();
        code.label("again");
        code.jump_if(R1, Condition::Equal, 7, "end");
        code.jump_if(R1, Condition::Above, R2, "again");
        code.jump("end");
        code.label("end");
        code.exit();

        let code = code.finish().unwrap();

        assert_eq!(code[0], [0x15, 0x01, 2, 0, 7, 0, 0, 0]);
        assert_eq!(code[1], [0x2d, 0x21, 0xfe, 0xff, 0, 0, 0, 0]);
        assert_eq!(code[2], [0x05, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_label_that_is_nowhere_is_no_program() {
        let mut code = Code::default();
        code.jump_if(R1, Condition::Equal, 0, "nowhere");

        assert_eq!(code.finish(), None);
    }
}
