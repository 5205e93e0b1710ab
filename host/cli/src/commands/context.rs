//! `inquisitor context`: servers and keys under a name. Edits the configuration file and leaves the rest of it as it is.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use toml_edit::{DocumentMut, Item, Table as TomlTable, value};

use crate::args::Global;
use crate::args::context::{ContextCommand, ContextSet};
use crate::secret::Secret;
use crate::settings::{self, Settings};
use crate::table::Table;
use crate::{client, print};

/// Bytes of a key on standard input that are read at most.
const MAX_KEY: u64 = 4096;

pub(crate) fn run(
    global: &Global,
    settings: &Settings,
    command: &ContextCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        ContextCommand::List => list(global, settings)?,
        ContextCommand::Use { name } => {
            settings.context(name)?;
            edit(global, |document| {
                document["context"] = value(name);
                Ok(())
            })?;
            print::note(&format!("using the context {name}"));
        }
        ContextCommand::Set(args) => set(global, args)?,
        ContextCommand::Rm { name } => {
            settings.context(name)?;
            edit(global, |document| {
                remove(document, name);
                Ok(())
            })?;
            print::note(&format!("removed the context {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(global: &Global, settings: &Settings) -> anyhow::Result<()> {
    let current = settings.context.as_deref();
    let document: Vec<_> = settings
        .contexts
        .iter()
        .map(|(name, context)| {
            json!({
                "name": name,
                "current": current == Some(name),
                "server": context.server,
                "has_key": context.key.is_some() || context.key_file.is_some(),
                "key_file": context.key_file,
                "ca_file": context.ca_file,
            })
        })
        .collect();
    print::result(global.output, &document, || {
        let mut table = Table::new(&["", "name", "server", "key"]);
        for (name, context) in &settings.contexts {
            let key = match (&context.key, &context.key_file) {
                (Some(_), _) => "kept here".to_owned(),
                (None, Some(file)) => file.display().to_string(),
                (None, None) => String::new(),
            };
            let mark = if current == Some(name) { "*" } else { " " };
            table.row([mark, name, context.server.as_deref().unwrap_or_default(), &key]);
        }
        Ok(table.text("no contexts; `inquisitor context set NAME --server URL` makes one"))
    })
}

fn set(global: &Global, args: &ContextSet) -> anyhow::Result<()> {
    check_name(&args.name)?;
    if let Some(server) = &args.server {
        client::address(server)?;
    }
    let key = args.key_stdin.then(key_from_stdin).transpose()?;
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let key_file = args.key_file.as_deref().map(absolute).transpose()?;
    let ca_file = args.ca_file.as_deref().map(absolute).transpose()?;
    edit(global, |document| {
        let context = context_table(document, &args.name)?;
        if let Some(server) = &args.server {
            context["server"] = value(server);
        }
        if let Some(key) = &key {
            context.remove("key-file");
            context["key"] = value(key.expose());
        }
        if let Some(file) = &key_file {
            context.remove("key");
            context["key-file"] = value(file.to_string_lossy().as_ref());
        }
        if let Some(file) = &ca_file {
            context["ca-file"] = value(file.to_string_lossy().as_ref());
        }
        if !context.contains_key("server") {
            bail!("a context has a server; name it with --server");
        }
        if args.make_current {
            document["context"] = value(&args.name);
        }
        Ok(())
    })?;
    print::note(&format!(
        "the context {} is set{}",
        args.name,
        if args.make_current { " and in use" } else { "" }
    ));
    Ok(())
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        bail!("`{name}` is no name for a context: letters, digits, `-`, `_` and `.`, at most 63");
    }
    Ok(())
}

fn key_from_stdin() -> anyhow::Result<Secret> {
    use std::io::Read as _;
    let mut text = String::new();
    std::io::stdin().lock().take(MAX_KEY).read_to_string(&mut text).context("cannot read standard input")?;
    match text.trim() {
        "" => bail!("there is no key on standard input"),
        key => Ok(key.parse()?),
    }
}

/// The table of a context; made where it is not there yet.
fn context_table<'a>(document: &'a mut DocumentMut, name: &str) -> anyhow::Result<&'a mut TomlTable> {
    let contexts = document.entry("contexts").or_insert_with(|| {
        let mut table = TomlTable::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let contexts = contexts.as_table_mut().context("`contexts` is not a table of tables")?;
    let context = contexts.entry(name).or_insert_with(|| Item::Table(TomlTable::new()));
    context.as_table_mut().with_context(|| format!("`contexts.{name}` is not a table"))
}

fn remove(document: &mut DocumentMut, name: &str) {
    if let Some(contexts) = document.get_mut("contexts").and_then(Item::as_table_mut) {
        contexts.remove(name);
    }
    if document.get("context").and_then(Item::as_str) == Some(name) {
        document.remove("context");
    }
}

/// Change the configuration file, all of it or nothing. It may hold keys: only its owner can read it afterwards.
fn edit(global: &Global, change: impl FnOnce(&mut DocumentMut) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let path = settings::file(global.config.as_deref())?;
    let named = || format!("the configuration {}", path.display());
    // A link, as people have them who keep their configuration elsewhere, stays one.
    let path_of_file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let text = match std::fs::read_to_string(&path_of_file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", named())),
    };
    let mut document: DocumentMut =
        text.parse().map_err(|_| anyhow::anyhow!("{} is not valid TOML", named()))?;
    change(&mut document)?;
    let folder =
        path_of_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(document.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path_of_file)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", named()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_the_file_stays_as_it_is() {
        let text = "# mine\nlog-level = \"info\" # quiet\n\n[contexts.lab]\nserver = \"http://lab:8000\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        context_table(&mut document, "prod").unwrap()["server"] = value("https://prod");
        document["context"] = value("prod");
        insta::assert_snapshot!(document.to_string(), @r#"
        # mine
        log-level = "info" # quiet
        context = "prod"

        [contexts.lab]
        server = "http://lab:8000"

        [contexts.prod]
        server = "https://prod"
        "#);
        remove(&mut document, "prod");
        assert_eq!(document.to_string(), text);
    }

    #[test]
    fn a_file_without_contexts_gets_them() {
        let mut document = DocumentMut::new();
        context_table(&mut document, "lab").unwrap()["server"] = value("http://lab");
        let settings: Settings = toml::from_str(&document.to_string()).unwrap();
        assert_eq!(settings.context("lab").unwrap().server.as_deref(), Some("http://lab"));
        assert!(context_table(&mut "contexts = 3".parse().unwrap(), "lab").is_err());
    }

    #[test]
    fn names_of_contexts_are_plain() {
        assert!(check_name("prod-1.eu").is_ok());
        for bad in ["", "a b", "a/b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
