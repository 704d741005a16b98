//! Makes the engine count every basic block by itself.
//!
//! The engine charges its fuel per function, loop and branch of an `if`, at their beginning, also
//! for what a `br_if` then jumps over. Compilers express most conditions by `br_if`, so that counts
//! far too much. Therefore the rest of a frame after each place where control parts or meets is
//! wrapped into a `loop` that nothing jumps back to:
//!
//! ```text
//! block                     block
//!   local.get 0               local.get 0
//!   br_if 0                   br_if 0
//!   call $rare       =>       loop
//!   call $very_rare             call $rare
//! end                           call $very_rare
//!                             end
//!                           end
//! ```
//!
//! Such a loop costs the engine one operation and the module nothing. Labels between a jump and its
//! target are counted anew. Where operands are on the stack at such a place, nothing is wrapped and
//! the engine's way stays; compilers do not leave them there.

use wasm_encoder::CodeSection;
use wasm_encoder::Encode as _;
use wasmparser::{
    BinaryReaderError, BlockType, CompositeInnerType, FrameKind, FuncToValidate, FuncValidator,
    FuncValidatorAllocations, FunctionBody, Operator, Parser, RefType, ValType, ValidPayload,
    Validator, ValidatorResources, WasmFeatures, WasmModuleResources,
};

type Result<T> = std::result::Result<T, BinaryReaderError>;

const LOOP: u8 = 0x03;
const END: u8 = 0x0b;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const NO_RESULT: u8 = 0x40;

/// A block, loop, branch or function that is being copied.
struct Frame {
    kind: FrameKind,
    /// How a block type with the results of this frame is written; `None` if one byte does not do.
    result: Option<u8>,
    /// Where the type of the wrapper stands that is open in this frame.
    wrapper: Option<usize>,
}

/// Validates a module and hands back its code section, wrapped.
///
/// # Errors
///
/// What is not valid, and where.
pub(super) fn meter(wasm: &[u8], features: WasmFeatures) -> Result<CodeSection> {
    let mut validator = Validator::new_with_features(features);
    let mut allocations = FuncValidatorAllocations::default();
    let mut code = CodeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            let (bytes, reusable) = meter_function(function, &body, allocations)?;
            allocations = reusable;
            code.raw(&bytes);
        }
    }
    Ok(code)
}

fn meter_function(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: FuncValidatorAllocations,
) -> Result<(Vec<u8>, FuncValidatorAllocations)> {
    let mut validator = function.into_validator(allocations);
    let bytes = body.as_bytes();
    let start = body.range().start;
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut copy = Copy {
        out: bytes[..reader.original_position() - start].to_vec(),
        frames: Vec::new(),
        at_boundary: false,
    };
    copy.push(FrameKind::Block, &validator);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let from = operators.original_position();
        let operator = operators.read()?;
        let to = operators.original_position();
        copy.operator(&operator, &bytes[from - start..to - start]);
        validator.op(from, &operator)?;
        copy.after(&operator, &validator);
    }
    validator.finish(operators.original_position())?;
    Ok((copy.out, validator.into_allocations()))
}

struct Copy {
    out: Vec<u8>,
    frames: Vec<Frame>,
    /// A basic block begins here, and the frame's part of the stack is empty.
    at_boundary: bool,
}

impl Copy {
    /// Copies one operator, before it is validated.
    fn operator(&mut self, operator: &Operator<'_>, bytes: &[u8]) {
        let ends_part = matches!(operator, Operator::End | Operator::Else);
        if std::mem::take(&mut self.at_boundary) && !ends_part {
            self.open_wrapper();
        }
        if ends_part {
            self.close_wrapper();
        }
        match operator {
            Operator::Br { relative_depth } => {
                self.out.push(BR);
                self.label(*relative_depth);
            }
            Operator::BrIf { relative_depth } => {
                self.out.push(BR_IF);
                self.label(*relative_depth);
            }
            Operator::BrTable { targets } => {
                self.out.push(BR_TABLE);
                targets.len().encode(&mut self.out);
                // What does not parse is refused when the operator is validated.
                for target in targets.targets().flatten() {
                    self.label(target);
                }
                self.label(targets.default());
            }
            _ => self.out.extend_from_slice(bytes),
        }
    }

    /// Follows an operator that was found valid.
    fn after(&mut self, operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>) {
        let may_part = match operator {
            Operator::Block { .. } | Operator::If { .. } => {
                self.push(FrameKind::Block, validator);
                false
            }
            Operator::Loop { .. } => {
                self.push(FrameKind::Loop, validator);
                false
            }
            // Where a block or `if` ends, those meet who jumped to its end and who walked there.
            Operator::End => matches!(
                self.frames.pop(),
                Some(Frame {
                    kind: FrameKind::Block,
                    ..
                })
            ),
            Operator::BrIf { .. } => true,
            _ => false,
        };
        self.at_boundary = may_part
            && self
                .frames
                .last()
                .is_some_and(|frame| frame.result.is_some())
            && validator.get_control_frame(0).is_some_and(|frame| {
                !frame.unreachable && frame.height == validator.operand_stack_height() as usize
            });
    }

    fn push(&mut self, kind: FrameKind, validator: &FuncValidator<ValidatorResources>) {
        let block_type = validator.get_control_frame(0).map(|frame| frame.block_type);
        self.frames.push(Frame {
            kind,
            result: block_type.and_then(|ty| result_byte(ty, validator.resources())),
            wrapper: None,
        });
    }

    fn open_wrapper(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            if frame.wrapper.is_some() {
                self.out.push(END);
            }
            self.out.push(LOOP);
            frame.wrapper = Some(self.out.len());
            self.out.push(NO_RESULT);
        }
    }

    /// Closes the wrapper at the end of its frame, whose results it hands on.
    fn close_wrapper(&mut self) {
        if let Some(frame) = self.frames.last_mut()
            && let (Some(place), Some(result)) = (frame.wrapper.take(), frame.result)
        {
            self.out[place] = result;
            self.out.push(END);
        }
    }

    /// Writes a jump's target: as many labels further out as wrappers are open up to there.
    fn label(&mut self, depth: u32) {
        let wrappers = self
            .frames
            .iter()
            .rev()
            .take(depth as usize + 1)
            .filter(|frame| frame.wrapper.is_some())
            .count();
        depth.saturating_add(wrappers as u32).encode(&mut self.out);
    }
}

fn result_byte(ty: BlockType, resources: &ValidatorResources) -> Option<u8> {
    match ty {
        BlockType::Empty => Some(NO_RESULT),
        BlockType::Type(ty) => value_byte(ty),
        BlockType::FuncType(index) => match &resources.sub_type_at(index)?.composite_type.inner {
            CompositeInnerType::Func(function) => match function.results() {
                [] => Some(NO_RESULT),
                [ty] => value_byte(*ty),
                _ => None,
            },
            _ => None,
        },
    }
}

fn value_byte(ty: ValType) -> Option<u8> {
    Some(match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        ValType::V128 => 0x7b,
        ValType::Ref(RefType::FUNCREF) => 0x70,
        ValType::Ref(RefType::EXTERNREF) => 0x6f,
        ValType::Ref(_) => return None,
    })
}
