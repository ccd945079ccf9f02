//! The ISA files compiled apart from the crate, as a kernel with soft-float Rust has to link them.
//!
//! Two promises are looked up in the object code: nothing is left to be linked (no panic, no `memcpy`, no part of `core`),
//! and the loops really use the registers they are named after. Needs `rustc`, `nm` and `objdump`.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::error::Error;
use std::path::Path;
use std::process::Command;

/// Every ISA file, and an instruction that its multiplication consists of, on the registers it should use.
const FORMS: [(&str, &str, &str); 5] = [
    ("ssse3", "pshufb", "%xmm"),
    ("avx2", "vpshufb", "%ymm"),
    ("avx2_gfni", "vgf2p8affineqb", "%ymm"),
    ("avx512", "vpshufb", "%zmm"),
    ("avx512_gfni", "vgf2p8affineqb", "%zmm"),
];

/// What a kernel's build passes for its x86-64 objects.
const FLAGS: [&str; 12] = [
    "--edition=2024",
    "--crate-type=lib",
    "--crate-name=parity_leaf",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Cforce-unwind-tables=no",
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Cno-redzone=y",
    "-Cforce-frame-pointers=y",
    "--emit=obj",
];

/// The entry points that multiply by any constant.
const ENTRIES: [&str; 3] = ["dot", "solve", "update"];

/// A crate of the ISA files and what they stand on, with their tables exported.
fn leaf_crate() -> String {
    let parity = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parity");
    let module = |folder: &str, name: &str| {
        format!("#[path = {:?}] pub mod {name};\n", parity.join(folder).join(name).with_extension("rs"))
    };
    let shared: String = ["gf", "lanes", "kernel"].map(|name| module("", name)).concat();
    let forms: String = FORMS.map(|(form, ..)| module("x86", form)).concat();
    let exports: String = FORMS
        .map(|(form, ..)| format!("#[unsafe(no_mangle)] pub static PARITY_{form}: Kernels = {form}::KERNELS;\n"))
        .concat();
    format!(
        "#![no_std]\n#![allow(warnings)]\nmod parity {{\n{shared}pub mod x86 {{\nuse super::kernel::Kernels;\n{forms}{exports}}}\n}}\n"
    )
}

/// What a command prints; an error if it fails.
fn run(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The disassembly of an entry point. Mangled names, old and new, hold the path as lengths and words.
fn body<'a>(code: &'a str, form: &str, entry: &str) -> Option<&'a str> {
    let path = format!("3x86{}{form}{}{entry}", form.len(), entry.len());
    code.split("\n\n")
        .find(|block| block.lines().next().is_some_and(|name| name.ends_with(">:") && name.contains(&path)))
}

#[test]
fn isa_files_compile_to_an_object_that_needs_nothing() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, object) = (folder.join("parity_leaf.rs"), folder.join("parity_leaf.o"));
    std::fs::write(&source, leaf_crate())?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    run(Command::new(rustc).args(FLAGS).arg(&source).arg("-o").arg(&object))?;

    assert_eq!(run(Command::new("nm").arg("--undefined-only").arg(&object))?.trim(), "", "this is no leaf");

    let code = run(Command::new("objdump").args(["--disassemble", "--no-show-raw-insn"]).arg(&object))?;
    for (form, instruction, register) in FORMS {
        for entry in ENTRIES {
            let body = body(&code, form, entry).ok_or_else(|| format!("{form} has no {entry}"))?;
            let multiplies = |line: &str| line.contains(instruction) && line.contains(register);
            assert!(body.lines().any(multiplies), "{form} {entry} has no {instruction} on {register}");
            assert!(!body.contains("call"), "{form} {entry} calls functions");
        }
    }
    Ok(())
}
