//! Where books stand: the only part that touches files, before anything is played.
//!
//! Takes paths, gives the books under them in order, or what is wrong with a book's text.

use super::parse::{Book, book};
use std::fs;
use std::path::{Path, PathBuf};

/// All files of an extension that a path stands for: itself if it is a file, or all in the folder and below, in order.
///
/// # Errors
/// If it is not there or cannot be read.
pub fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let wrong = |why: std::io::Error| format!("{}: {why}", path.display());
    let mut found = Vec::new();
    if fs::metadata(path).map_err(wrong)?.is_dir() {
        gather(path, extension, &mut found).map_err(wrong)?;
        found.sort();
    } else {
        found.push(path.to_owned());
    }
    Ok(found)
}

/// Whether a file only tells editors what scripts may use: `iqtap.d.rhai`.
fn is_for_editors(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".d.rhai"))
}

fn gather(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of the entry itself: a link to a folder could lead round in a circle.
        if entry.file_type()?.is_dir() {
            gather(&entry.path(), extension, found)?;
        } else if entry.path().extension().is_some_and(|e| e == extension) && !is_for_editors(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Reads a book from its file.
///
/// # Errors
/// If it cannot be read or is no book: with its path, and the line where one is at fault.
pub fn read(path: &Path) -> Result<Book, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    book(&text).map_err(|problem| format!("{}:{}: {}", path.display(), problem.line, problem.message))
}
