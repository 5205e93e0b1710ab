//! The compiling child: the end that may be hurt. It binds itself to its limits before it reads a byte of the component,
//! compiles, writes the result and ends. It is told everything through its environment, so that any program, a test
//! program too, can serve as one.

use std::fs;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::engine;

/// Path of the component.
pub(crate) const INPUT: &str = "INQUISITOR_COMPILE_INPUT";
/// Path that the compiled code is written to.
pub(crate) const OUTPUT: &str = "INQUISITOR_COMPILE_OUTPUT";
/// Seconds of CPU time.
pub(crate) const CPU_SECONDS: &str = "INQUISITOR_COMPILE_CPU_SECONDS";
/// Bytes of address space.
pub(crate) const MEMORY_BYTES: &str = "INQUISITOR_COMPILE_MEMORY_BYTES";

/// The compiler refused the component; its words are on the standard error output.
pub(crate) const REFUSED: u8 = 65;
/// Memory ran out in a way that the compiler could report.
pub(crate) const NO_MEMORY: u8 = 66;
/// The child could not do its work: no environment, no limits, no files.
pub(crate) const BROKEN: u8 = 67;

/// Files that the child may have open: its three streams, the component, the result and what the system library needs.
const OPEN_FILES: u64 = 32;

/// How much the child yields to everything else on the machine (`nice`).
const NICENESS: i32 = 10;

/// Serve as the compiling child and end the process, if it was started as one; else do nothing. For test programs, which
/// have no subcommands: call it in a test of its own and name that test as the compiler's argument.
pub fn compile_child_if_requested() {
    if std::env::var_os(OUTPUT).is_some() {
        std::process::exit(i32::from(compile_and_tell()));
    }
}

/// Compile one component as a child process; what the hidden subcommand `__compile` does. The program must end with the
/// code at once.
pub fn compile_child_main() -> ExitCode {
    ExitCode::from(compile_and_tell())
}

/// The exit code; the parent reads on the standard error output why it is not zero.
fn compile_and_tell() -> u8 {
    match compile() {
        Ok(()) => 0,
        Err((code, message)) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{message}");
            code
        }
    }
}

fn compile() -> Result<(), (u8, String)> {
    let variable = |name: &str| std::env::var(name).map_err(|_| (BROKEN, format!("{name} is not set")));
    let number = |name: &str| {
        let text = variable(name)?;
        text.parse::<u64>().map_err(|error| (BROKEN, format!("{name} is not a number: {error}")))
    };
    let (input, output) = (variable(INPUT)?, variable(OUTPUT)?);
    limit(number(CPU_SECONDS)?, number(MEMORY_BYTES)?)
        .map_err(|error| (BROKEN, format!("cannot set limits: {error}")))?;
    let component =
        fs::read(&input).map_err(|error| (BROKEN, format!("cannot read the component: {error}")))?;
    let engine =
        engine::for_compiling().map_err(|error| (BROKEN, format!("cannot start the compiler: {error}")))?;
    let code = engine.precompile_component(&component).map_err(|error| {
        let message = format!("{error:#}");
        let memory = error.is::<wasmtime::OutOfMemory>() || message.contains("Cannot allocate memory");
        (if memory { NO_MEMORY } else { REFUSED }, message)
    })?;
    fs::write(&output, code).map_err(|error| (BROKEN, format!("cannot write the compiled code: {error}")))
}

fn limit(cpu_seconds: u64, memory_bytes: u64) -> rustix::io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nofile, both(OPEN_FILES))?;
    setrlimit(Resource::As, both(memory_bytes))?;
    // The soft limit sends a signal of its own, by which the parent knows why the child ended; the hard one kills.
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds + 1) })?;
    // A host that may not even be nicer still compiles.
    let _ = rustix::process::nice(NICENESS);
    Ok(())
}
