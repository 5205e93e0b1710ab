//! The host's end of compiling: starts the child, waits for it no longer than allowed, and says why it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::aot::{Cache, Key};
use crate::child;
use crate::config::{CompileLimits, CompilerCommand};
use crate::error::LoadError;

/// Bytes of the child's words that are kept.
const MAX_MESSAGE: u64 = 16 << 10;

/// Threads of the child's compiler at most, so that it shares the machine with the steps that run.
const MAX_THREADS: usize = 4;

/// Compile a component and keep the code in the cache.
///
/// # Errors
/// When a limit was reached, the compiler refused the component, or a file or process could not be made.
pub(crate) async fn compile(
    cache: &Cache,
    key: &Key,
    component: &[u8],
    command: &CompilerCommand,
    limits: CompileLimits,
) -> Result<(), LoadError> {
    let (input, output) = match (cache.temporary(), cache.temporary()) {
        (Ok(input), Ok(output)) => (input, output),
        (Err(error), _) | (_, Err(error)) => {
            return Err(LoadError::io("cannot write to the folder for compiled code", error));
        }
    };
    tokio::fs::write(input.path(), component)
        .await
        .map_err(|error| LoadError::io("cannot write the component for the compiler", error))?;

    let program = match &command.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| {
            LoadError::io("cannot find the running program, which is the compiler too", error)
        })?,
    };
    // One thread less than there are cores, so that the machine keeps serving.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores.saturating_sub(1).clamp(1, MAX_THREADS);
    let mut child = Command::new(&program)
        .args(&command.arguments)
        // Nothing of the host's environment: it holds secrets.
        .env_clear()
        .env(child::INPUT, input.path())
        .env(child::OUTPUT, output.path())
        .env(child::CPU_SECONDS, limits.cpu_seconds.to_string())
        .env(child::MEMORY_BYTES, limits.memory_bytes.to_string())
        .env("RAYON_NUM_THREADS", threads.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| LoadError::io(&format!("cannot start the compiler {}", program.display()), error))?;

    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(limits.wall, async {
        if let Some(stderr) = stderr {
            // Reads to the bound and closes: a child that says more finds nobody listening and does not wait for it.
            let mut bounded = stderr.take(MAX_MESSAGE);
            let _ = bounded.read_to_end(&mut said).await;
        }
        child.wait().await
    })
    .await;
    let status = match ended {
        Err(_) => {
            let _ = child.kill().await;
            return Err(LoadError::CompileTime { limit: format!("{} s of time", limits.wall.as_secs()) });
        }
        Ok(Err(error)) => return Err(LoadError::io("cannot wait for the compiler", error)),
        Ok(Ok(status)) => status,
    };
    outcome(status, &String::from_utf8_lossy(&said), limits)?;
    let size = output.as_file().metadata().map_or(0, |about| about.len());
    if size == 0 {
        return Err(LoadError::Io {
            message: format!(
                "the compiler {} ended without a result; does it know the command?",
                program.display()
            ),
        });
    }
    cache.store(key, output).map_err(|error| LoadError::io("cannot keep the compiled code", error))
}

/// Why the child ended.
fn outcome(status: ExitStatus, said: &str, limits: CompileLimits) -> Result<(), LoadError> {
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    const SIGSEGV: i32 = 11;
    const SIGXCPU: i32 = 24;
    if status.success() {
        return Ok(());
    }
    let said = said.trim();
    let message = if said.is_empty() { status.to_string() } else { said.to_owned() };
    let memory = LoadError::CompileMemory { limit: limits.memory_bytes };
    Err(match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(child::REFUSED) => refused(message),
        (Some(code), _) if code == i32::from(child::NO_MEMORY) => memory,
        (_, Some(SIGXCPU)) => {
            LoadError::CompileTime { limit: format!("{} s of CPU time", limits.cpu_seconds) }
        }
        // Rust's allocator says so and aborts; a thread whose stack cannot be had panics; the system's killer of
        // processes that take too much says nothing.
        (_, Some(SIGABRT)) if said.contains("memory allocation") => memory,
        (Some(_), _)
            if said.contains("Resource temporarily unavailable")
                || said.contains("Cannot allocate memory") =>
        {
            memory
        }
        (_, Some(SIGKILL)) => memory,
        (_, Some(SIGSEGV | SIGABRT))
            if said.contains("stack overflow") || said.contains("overflowed its stack") =>
        {
            LoadError::CompileFailed {
                message: "the component is nested too deeply for the compiler".to_owned(),
            }
        }
        _ => LoadError::CompileFailed { message },
    })
}

/// The compiler's words: those about a damaged file are of another kind than those about what it does not compile.
fn refused(message: String) -> LoadError {
    // The validator names the offset; whatever else the compiler says is about code that is valid.
    if message.contains("at offset ") {
        LoadError::Malformed { message }
    } else {
        LoadError::CompileFailed { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompileLimits =
        CompileLimits { cpu_seconds: 7, memory_bytes: 1000, wall: std::time::Duration::from_secs(9) };

    #[test]
    fn each_end_has_its_name() {
        let signal = ExitStatus::from_raw;
        let code = |code: u8| ExitStatus::from_raw(i32::from(code) << 8);
        assert_eq!(outcome(code(0), "", LIMITS), Ok(()));
        assert_eq!(
            outcome(signal(24), "", LIMITS),
            Err(LoadError::CompileTime { limit: "7 s of CPU time".to_owned() })
        );
        assert_eq!(outcome(signal(9), "", LIMITS), Err(LoadError::CompileMemory { limit: 1000 }));
        assert_eq!(
            outcome(signal(6), "memory allocation of 123 bytes failed", LIMITS),
            Err(LoadError::CompileMemory { limit: 1000 })
        );
        assert_eq!(
            outcome(code(child::NO_MEMORY), "x", LIMITS),
            Err(LoadError::CompileMemory { limit: 1000 })
        );
        assert!(matches!(
            outcome(code(child::REFUSED), "unknown type (at offset 0x1f)", LIMITS),
            Err(LoadError::Malformed { .. })
        ));
        assert!(matches!(
            outcome(code(child::REFUSED), "function too large", LIMITS),
            Err(LoadError::CompileFailed { .. })
        ));
        assert!(
            matches!(outcome(code(1), "boom", LIMITS), Err(LoadError::CompileFailed { message }) if message == "boom")
        );
    }
}
