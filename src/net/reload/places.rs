//! Which directories to watch, and for which names, so that no change of some files is missed however it is made.
//!
//! Takes paths, gives [`Places`]. Editors save by renaming another file over the old one, so directories are watched and not
//! files; and a name may lead through links, each of which may be turned. What does not exist yet is waited for where it will
//! appear.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many links as systems follow.
const LINKS: usize = 40;

/// What must be watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The names whose changes matter: whole paths without links, but for their last part.
    pub(super) names: BTreeSet<PathBuf>,
    /// The directories they stand in.
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Places {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut names = BTreeSet::new();
        for path in paths {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            follow(&whole, &mut names);
        }
        let directories = names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        Self { names, directories }
    }
}

/// Walks along an absolute path, and along the links on it. Names each link, the file, and the directory that it is in.
fn follow(path: &Path, names: &mut BTreeSet<PathBuf>) {
    let mut rest = parts(path);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == *".." {
            here.pop();
            continue;
        }
        let next = here.join(&part); // the root takes the place of whatever was before
        if let Ok(target) = std::fs::read_link(&next)
            && links < LINKS
        {
            links += 1;
            names.insert(next);
            let after = std::mem::replace(&mut rest, parts(&target));
            rest.extend(after);
            continue;
        }
        let missing = !next.exists();
        if missing || rest.len() <= 1 {
            names.insert(next.clone());
        }
        if missing {
            return;
        }
        here = next;
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn names(path: &Path, root: &Path) -> Vec<String> {
        let inside = |name: &PathBuf| name.strip_prefix(root).ok().map(|name| name.to_string_lossy().into_owned());
        Places::of(&[path.to_owned()]).names.iter().filter_map(inside).collect()
    }

    #[test]
    fn links_are_followed_and_what_is_missing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("v1")).unwrap();
        fs::write(root.join("v1/x.rhai"), "").unwrap();
        fs::write(root.join("a/b/plain.rhai"), "").unwrap();
        assert_eq!(names(&root.join("a/b/plain.rhai"), &root), ["a/b", "a/b/plain.rhai"]);
        assert_eq!(names(&root.join("a/./b/../b/plain.rhai"), &root), ["a/b", "a/b/plain.rhai"]);
        // As Kubernetes mounts files: the link to a directory is turned to a new one.
        symlink("v1", root.join("now")).unwrap();
        symlink("now/x.rhai", root.join("x.rhai")).unwrap();
        assert_eq!(names(&root.join("x.rhai"), &root), ["", "now", "v1", "v1/x.rhai", "x.rhai"]);
        let places = Places::of(&[root.join("x.rhai")]);
        assert!(places.directories.contains(&root) && places.directories.contains(&root.join("v1")));
        // Gone, with its directory.
        assert_eq!(names(&root.join("no/such/y.rhai"), &root), ["no"]);
        assert_eq!(names(&root.join("a/no.rhai"), &root), ["a", "a/no.rhai"]);
        // Links that go round.
        symlink("round", root.join("round")).unwrap();
        assert_eq!(names(&root.join("round"), &root), ["", "round"]);
    }
}
