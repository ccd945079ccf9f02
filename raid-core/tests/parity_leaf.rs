//! The ISA files compiled apart from the crate, as a kernel with soft-float Rust has to link them.
//!
//! Three promises are looked up in the object code: nothing is left to be linked (no panic, no `memcpy`, no part of `core`),
//! the loops really use the registers they are named after, and there are about as many such instructions as there were when the
//! code was last looked at (a loop that the compiler has quietly made scalar, or no longer unrolls, loses most of them). Needs
//! `rustc`, `nm` and `objdump`.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// An ISA file.
struct Form {
    name: &'static str,
    /// An instruction that its multiplication consists of, and the registers it should use.
    multiply: &'static str,
    register: &'static str,
    /// For each of [`ENTRIES`]: how many lines multiply, how many use the registers. Made by this test's own counting, with rustc 1.95.
    golden: [(usize, usize); 6],
}

const FORMS: [Form; 5] = [
    Form {
        name: "ssse3",
        multiply: "pshufb",
        register: "%xmm",
        golden: [(0, 925), (455, 3897), (150, 1049), (200, 1368), (30, 281), (65, 556)],
    },
    Form {
        name: "avx2",
        multiply: "vpshufb",
        register: "%ymm",
        golden: [(0, 482), (385, 2806), (138, 697), (184, 956), (30, 199), (65, 412)],
    },
    Form {
        name: "avx2_gfni",
        multiply: "vgf2p8affineqb",
        register: "%ymm",
        golden: [(0, 386), (273, 1399), (255, 1191), (270, 1235), (9, 70), (30, 159)],
    },
    Form {
        name: "avx512",
        multiply: "vpshufb",
        register: "%zmm",
        golden: [(0, 962), (770, 4426), (228, 1022), (304, 1346), (54, 315), (117, 597)],
    },
    Form {
        name: "avx512_gfni",
        multiply: "vgf2p8affineqb",
        register: "%zmm",
        golden: [(0, 874), (658, 2652), (266, 951), (288, 1071), (15, 108), (50, 199)],
    },
];

/// The entry points.
const ENTRIES: [&str; 6] = ["xor", "pq", "dot", "solve", "update", "check"];

/// How far from the golden number a count may be, in percent: another compiler schedules and unrolls a little differently.
const TOLERANCE_PERCENT: usize = 30;

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

/// A crate of the ISA files and what they stand on, with their tables exported.
fn leaf_crate() -> String {
    let parity = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parity");
    let module = |folder: &str, name: &str| {
        format!("#[path = {:?}] pub mod {name};\n", parity.join(folder).join(name).with_extension("rs"))
    };
    let shared: String = ["gf", "lanes", "loops", "kernel"].map(|name| module("", name)).concat();
    let forms = module("x86", "cache") + &FORMS.map(|form| module("x86", form.name)).concat();
    let exports: String = FORMS
        .map(|form| format!("#[unsafe(no_mangle)] pub static PARITY_{0}: Kernels = {0}::KERNELS;\n", form.name))
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
    let mut others = String::new();
    for form in FORMS {
        for (entry, (multiplying, wide)) in ENTRIES.into_iter().zip(form.golden) {
            let name = form.name;
            let body = body(&code, name, entry).ok_or_else(|| format!("{name} has no {entry}"))?;
            let uses = |line: &&str| line.contains(form.register);
            let multiplies = |line: &&str| uses(line) && line.contains(form.multiply);
            for (what, golden, count) in [
                (form.multiply, multiplying, body.lines().filter(multiplies).count()),
                (form.register, wide, body.lines().filter(uses).count()),
            ] {
                if count.abs_diff(golden) * 100 > golden * TOLERANCE_PERCENT {
                    writeln!(others, "{name} {entry}: {count} lines with {what} where there were {golden}")?;
                }
            }
            assert!(!body.contains("call"), "{name} {entry} calls functions");
        }
    }
    assert!(others.is_empty(), "look at the code, then here:\n{others}");
    Ok(())
}
