//! Copies a module section by section, with more exports and without a start section.
//!
//! The export section is built anew, the code is made countable by [`super::metering`], everything
//! else that executes is copied as it is. Custom sections are dropped after the published ones have
//! been read.

use super::metering::meter;
use super::{MAX_MODULE_BYTES, Metadata};
use wasm_encoder::{ExportKind, ExportSection, RawSection};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef, ValType, WasmFeatures};

/// The export name of memory 0.
pub(crate) const MEMORY: &str = "local-ic memory";
/// The export name of table 0.
pub(crate) const TABLE: &str = "local-ic table";
/// The export name of the former start function.
pub(crate) const START: &str = "local-ic start";

/// The export name of the `index`-th mutable global.
pub(crate) fn global_export(index: usize) -> String {
    format!("local-ic global {index}")
}

/// The rewritten module and what was read on the way.
pub(super) struct Parts {
    pub(super) wasm: Vec<u8>,
    /// The names the module itself exports.
    pub(super) exports: Vec<String>,
    pub(super) metadata: Vec<Metadata>,
    pub(super) mutable_globals: usize,
    pub(super) has_start: bool,
}

#[derive(Default)]
struct Found {
    exports: Vec<(String, ExportKind, u32)>,
    metadata: Vec<Metadata>,
    mutable_globals: Vec<u32>,
    imported_globals: u32,
    globals: u32,
    has_memory: bool,
    has_table: bool,
    start: Option<u32>,
}

pub(super) fn rewrite(wasm: &[u8]) -> Result<Parts, String> {
    if wasm.len() as u64 > MAX_MODULE_BYTES {
        return Err(format!("larger than {MAX_MODULE_BYTES} bytes"));
    }
    let found = read(wasm)?;
    let code = meter(wasm, features()).map_err(malformed)?;
    let mut module = wasm_encoder::Module::new();
    let mut exports_written = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(malformed)?;
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        const CUSTOM: u8 = 0;
        const EXPORT: u8 = 7;
        const START_SECTION: u8 = 8;
        const CODE: u8 = 10;
        // Code (10), data (11) and data count (12) and elements (9) follow the exports.
        let follows_exports = (START_SECTION..=12).contains(&id);
        if (id == EXPORT || follows_exports) && !exports_written {
            module.section(&export_section(&found));
            exports_written = true;
        }
        if id == CODE {
            module.section(&code);
        } else if !matches!(id, CUSTOM | EXPORT | START_SECTION) {
            let data = wasm.get(range).ok_or("a section reaches beyond the end")?;
            module.section(&RawSection { id, data });
        }
    }
    if !exports_written {
        module.section(&export_section(&found));
    }
    Ok(Parts {
        wasm: module.finish(),
        exports: found.exports.into_iter().map(|(name, ..)| name).collect(),
        metadata: found.metadata,
        mutable_globals: found.mutable_globals.len(),
        has_start: found.start.is_some(),
    })
}

fn read(wasm: &[u8]) -> Result<Found, String> {
    let mut found = Found::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } if encoding != wasmparser::Encoding::Module => {
                return Err("not a core WebAssembly module but a component".into());
            }
            Payload::ImportSection(imports) => {
                for import in imports {
                    let import = import.map_err(malformed)?;
                    if let TypeRef::Global(_) = import.ty {
                        found.imported_globals += 1;
                    }
                }
            }
            Payload::TableSection(tables) => found.has_table = tables.count() > 0,
            Payload::MemorySection(memories) => {
                for memory in memories {
                    if memory.map_err(malformed)?.memory64 {
                        return Err("64-bit memory is not supported here".into());
                    }
                    found.has_memory = true;
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global.map_err(malformed)?.ty;
                    let number = matches!(
                        ty.content_type,
                        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64
                    );
                    if ty.mutable && number {
                        found
                            .mutable_globals
                            .push(found.imported_globals + found.globals);
                    }
                    found.globals += 1;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    let kind = match export.kind {
                        ExternalKind::Func => ExportKind::Func,
                        ExternalKind::Table => ExportKind::Table,
                        ExternalKind::Memory => ExportKind::Memory,
                        ExternalKind::Global => ExportKind::Global,
                        ExternalKind::Tag => return Err("exports a tag".into()),
                    };
                    if export.name.starts_with("local-ic ") {
                        return Err(format!(
                            "the export `{}` uses a name reserved here",
                            export.name
                        ));
                    }
                    found
                        .exports
                        .push((export.name.to_owned(), kind, export.index));
                }
            }
            Payload::StartSection { func, .. } => found.start = Some(func),
            Payload::CustomSection(section) => {
                let (public, name) = match section.name().split_once(' ') {
                    Some(("icp:public", name)) => (true, name),
                    Some(("icp:private", name)) => (false, name),
                    _ => continue,
                };
                if found.metadata.iter().any(|known| known.name == name) {
                    return Err(format!("the metadata section `{name}` is there twice"));
                }
                found.metadata.push(Metadata {
                    name: name.to_owned(),
                    public,
                    content: section.data().to_vec(),
                });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What a module may use: the engine's own set. Vectors and 64-bit memories are not in it.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::GC_TYPES
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::FLOATS
}

fn export_section(found: &Found) -> ExportSection {
    let mut section = ExportSection::new();
    for (name, kind, index) in &found.exports {
        section.export(name, *kind, *index);
    }
    if found.has_memory {
        section.export(MEMORY, ExportKind::Memory, 0);
    }
    if found.has_table {
        section.export(TABLE, ExportKind::Table, 0);
    }
    if let Some(start) = found.start {
        section.export(START, ExportKind::Func, start);
    }
    for (number, index) in found.mutable_globals.iter().enumerate() {
        section.export(&global_export(number), ExportKind::Global, *index);
    }
    section
}

fn malformed(error: wasmparser::BinaryReaderError) -> String {
    format!("malformed: {error}")
}
