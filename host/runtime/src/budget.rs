//! How much memory there is: the container's limit where there is one, else the machine's memory.

use std::fs;
use std::path::Path;

/// Assumed where neither a container limit nor the machine's memory can be read.
const FALLBACK: u64 = 2 << 30;

/// Bytes of memory that this process may use.
pub(crate) fn detect() -> u64 {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text));
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = container_limit(Path::new("/sys/fs/cgroup"), &membership);
    match (limit, system) {
        (Some(limit), Some(system)) => limit.min(system),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => FALLBACK,
    }
}

/// The smallest limit of the control groups that the process is in, by version 2 and 1 of the interface. `membership` is
/// the text of `/proc/self/cgroup`: lines of `id:controllers:path`.
fn container_limit(root: &Path, membership: &str) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (base, file) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // A parent's limit binds its children too; inside a container the path may be the host's and not exist, while
        // the root shows the container's own group.
        let mut group = base.join(path.trim_start_matches('/'));
        loop {
            if let Some(limit) = fs::read_to_string(group.join(file)).ok().and_then(|text| limit_value(&text))
            {
                smallest = Some(smallest.map_or(limit, |known| known.min(limit)));
            }
            if group == base || !group.pop() || !group.starts_with(&base) {
                break;
            }
        }
    }
    smallest
}

/// `max` and the huge number by which version 1 says "no limit" are none.
fn limit_value(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("kubepods/pod7/plugin");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("kubepods/pod7/memory.max"), "536870912\n").unwrap();
        fs::write(root.path().join("kubepods/memory.max"), "1073741824\n").unwrap();
        assert_eq!(container_limit(root.path(), "0::/kubepods/pod7/plugin\n"), Some(536_870_912));
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_root_of_the_container() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("memory.max"), "268435456\n").unwrap();
        assert_eq!(container_limit(root.path(), "0::/somewhere/else\n"), Some(268_435_456));
    }

    #[test]
    fn version_one_is_read_and_its_no_limit_is_none() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("memory/docker/abc");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(container_limit(root.path(), "4:cpu,memory:/docker/abc\n"), None);
        fs::write(group.join("memory.limit_in_bytes"), "104857600\n").unwrap();
        assert_eq!(container_limit(root.path(), "4:cpu,memory:/docker/abc\n"), Some(104_857_600));
    }

    #[test]
    fn the_machines_memory_is_read_in_kibibytes() {
        assert_eq!(meminfo_total("MemTotal:       24737900 kB\nMemFree: 1 kB\n"), Some(24_737_900 * 1024));
        assert_eq!(meminfo_total("nothing"), None);
    }
}
