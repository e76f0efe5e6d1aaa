//! Archives that are what they should be, and archives that mean harm.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::archive::{Archive, Meta};

const LIMITS: Limits = Limits {
    entries: 50,
    bytes: 10_000,
    depth: 8,
    path: 300,
};
const SOURCE: Rules = Rules {
    form: Form::Source,
    limits: LIMITS,
};
const SLUG: Rules = Rules {
    form: Form::Slug,
    limits: LIMITS,
};
const META: Meta = Meta {
    uid: 0,
    gid: 0,
    mode: 0o4755,
    mtime: 1,
};

type Tar = Archive<Vec<u8>>;

fn tar(fill: impl FnOnce(&mut Tar)) -> Vec<u8> {
    let mut archive = Archive::new(Vec::new());
    fill(&mut archive);
    archive.finish().unwrap()
}

fn file(archive: &mut Tar, name: &str, content: &[u8]) {
    let length = content.len() as u64;
    archive
        .file(name.as_bytes(), length, &mut &*content, META)
        .unwrap();
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A header of a kind that our own writer does not write.
fn special(kind: u8, name: &str, link: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

struct Given {
    dir: tempfile::TempDir,
    file: File,
}

fn given(bytes: &[u8]) -> Given {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    fs::write(&path, bytes).unwrap();
    Given {
        file: File::open(&path).unwrap(),
        dir,
    }
}

impl Given {
    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn unpacked(&self, rules: Rules) -> Result<TreeFacts> {
        let facts = survey(&self.file, rules, &|| false)?;
        fs::create_dir(self.tree()).unwrap();
        unpack(&self.file, &self.tree(), rules, &|| false)?;
        Ok(facts)
    }
}

/// Why an archive is refused; nothing of it was written.
fn refusal(bytes: &[u8], rules: Rules) -> String {
    let given = given(bytes);
    let error = survey(&given.file, rules, &|| false).unwrap_err();
    assert!(error.is_about_the_app(), "{error:?}");
    // What the survey refuses does not get out of the tree either.
    fs::create_dir(given.tree()).unwrap();
    let _ = unpack(&given.file, &given.tree(), rules, &|| false);
    assert_eq!(fs::read_dir(given.dir.path()).unwrap().count(), 2);
    error.to_string()
}

#[test]
fn a_source_tree_comes_out_as_it_went_in_without_privileges() {
    let long = "d/".repeat(6) + &"n".repeat(120);
    let bytes = tar(|archive| {
        archive.directory(b"./bin/", META).unwrap();
        file(archive, "./bin/run", b"#!");
        let plain = Meta {
            mode: 0o640,
            ..META
        };
        archive
            .file(b"Procfile", 3, &mut &b"web"[..], plain)
            .unwrap();
        archive.symlink(b"bin/link", b"../Procfile", META).unwrap();
        archive.hard_link(b"bin/again", b"./bin/run", META).unwrap();
        file(archive, &long, b"x");
    });
    for bytes in [
        bytes.clone(),
        gz(&bytes),
        [gz(&bytes[..700]), gz(&bytes[700..])].concat(),
    ] {
        let given = given(&bytes);
        let facts = given.unpacked(SOURCE).unwrap();
        assert_eq!((facts.files, facts.bytes), (4, 2 + 3 + 2 + 1));
        let tree = given.tree();
        let mode = |name: &str| {
            let meta = fs::metadata(tree.join(name)).unwrap();
            meta.permissions().mode() & 0o7777
        };
        assert_eq!(
            (mode("bin/run"), mode("Procfile"), mode("bin")),
            (0o755, 0o644, 0o755)
        );
        assert_eq!(fs::read(tree.join("bin/link")).unwrap(), b"web");
        assert_eq!(fs::metadata(tree.join("bin/again")).unwrap().nlink(), 2);
        assert_eq!(fs::read(tree.join(&long)).unwrap(), b"x");
    }
}

#[test]
fn a_slug_is_what_lies_below_app_and_may_link_anywhere() {
    let given = given(&gz(&tar(|archive| {
        archive.directory(b"./", META).unwrap();
        archive.directory(b"./app/", META).unwrap();
        archive
            .symlink(b"./app/python", b"/usr/bin/python3", META)
            .unwrap();
        file(archive, "app/run", b"#!");
    })));
    assert_eq!(given.unpacked(SLUG).unwrap().entries, 2);
    assert_eq!(
        fs::read_link(given.tree().join("python")).unwrap(),
        Path::new("/usr/bin/python3")
    );
    let mode = fs::metadata(given.tree().join("run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    let outside = tar(|archive| file(archive, "./etc/passwd", b"x"));
    assert!(refusal(&outside, SLUG).contains("does not lie below ./app"));
}

#[test]
fn what_our_own_export_writes_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/c"), "content").unwrap();
    std::os::unix::fs::symlink("/app/a", tree.join("link")).unwrap();
    let out = folder.path().join("slug.tgz");
    let travel = crate::write_tgz(&tree, &out).unwrap();
    let given = given(&fs::read(&out).unwrap());
    given.unpacked(SLUG).unwrap();
    let again = crate::write_tgz(&given.tree(), &folder.path().join("again.tgz")).unwrap();
    assert_eq!(again, travel);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, why) in [
        ("../evil", "leads out of the tree"),
        ("a/../../evil", "leads out of the tree"),
        ("/etc/evil", "absolute"),
        ("a/..", "leads out of the tree"),
    ] {
        let bytes = tar(|archive| file(archive, name, b"x"));
        assert!(refusal(&bytes, SOURCE).contains(why), "{name}");
        assert!(refusal(&gz(&bytes), SOURCE).contains(why), "{name}");
        let linked = tar(|archive| {
            file(archive, "a", b"x");
            archive.hard_link(b"b", name.as_bytes(), META).unwrap();
        });
        assert!(refusal(&linked, SOURCE).contains(why), "{name}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let bytes = tar(|archive| {
        archive.symlink(b"a", b"b", META).unwrap();
        file(archive, "a/x", b"x");
    });
    assert!(refusal(&bytes, SOURCE).contains("no folder"));
    let bytes = tar(|archive| {
        archive.symlink(b"app/a", b"/tmp", META).unwrap();
        file(archive, "app/a/x", b"x");
    });
    assert!(refusal(&bytes, SLUG).contains("no folder"));
    let bytes = tar(|archive| {
        archive.symlink(b"a", b"b", META).unwrap();
        file(archive, "a", b"x");
    });
    assert!(refusal(&bytes, SOURCE).contains("twice"));
    for target in ["/etc/passwd", "..", "x/../../y"] {
        let bytes = tar(|archive| archive.symlink(b"a", target.as_bytes(), META).unwrap());
        assert!(refusal(&bytes, SOURCE).contains("leads out"), "{target}");
    }
    // A link to a link is a link to no file.
    let bytes = tar(|archive| {
        archive.symlink(b"a", b"b", META).unwrap();
        archive.hard_link(b"c", b"a", META).unwrap();
    });
    assert!(refusal(&bytes, SOURCE).contains("no earlier file"));
}

#[test]
fn devices_pipes_and_oddities_are_refused() {
    for (kind, what) in [
        (b'3', "character device"),
        (b'4', "block device"),
        (b'6', "named pipe"),
        (b'S', "holes"),
        (b'Z', "unknown"),
    ] {
        let bytes = [special(kind, "x", "", 0), vec![0; 1024]].concat();
        assert!(refusal(&bytes, SOURCE).contains(what), "{what}");
    }
    let bytes = [special(b'2', "x", "y", 512), vec![b'x'; 512], vec![0; 1024]].concat();
    assert!(refusal(&bytes, SOURCE).contains("has content"));
    // A name of a gigabyte is not read into memory.
    let bytes = [special(b'L', "x", "", 1 << 30), vec![b'x'; 2048]].concat();
    assert!(refusal(&bytes, SOURCE).contains("too long"));
}

#[test]
fn limits_hold() {
    let many = tar(|archive| (0..60).for_each(|n| file(archive, &format!("f{n}"), b"")));
    assert!(refusal(&many, SOURCE).contains("more than 50"));
    let large = tar(|archive| file(archive, "f", &[0; 10_001]));
    assert!(refusal(&large, SOURCE).contains("10000 bytes"));
    // Folders that are only implied count too.
    let implied = tar(|archive| (0..15).for_each(|n| file(archive, &format!("{n}/b/c/f"), b"")));
    assert!(refusal(&implied, SOURCE).contains("more than 50"));
    let deep = tar(|archive| file(archive, "a/a/a/a/a/a/a/a/a", b""));
    assert!(refusal(&deep, SOURCE).contains("deep"));
    let long = tar(|archive| {
        file(
            archive,
            &"nn/".repeat(4).replace("nn", &"n".repeat(100)),
            b"",
        )
    });
    assert!(refusal(&long, SOURCE).contains("longer than 300"));
    // Links count what they link to each time: a file system that knows no links would hold it.
    let linked = tar(|archive| {
        file(archive, "f", &[0; 3_000]);
        (0..4).for_each(|n| {
            archive
                .hard_link(format!("l{n}").as_bytes(), b"f", META)
                .unwrap()
        });
    });
    assert!(refusal(&linked, SOURCE).contains("10000 bytes"));
}

#[test]
fn bombs_are_refused() {
    let limits = Limits {
        bytes: u64::MAX,
        ..LIMITS
    };
    let rules = Rules { limits, ..SOURCE };
    let zeros = 4 << 20;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(&special(b'0', "zeros", "", zeros))
        .unwrap();
    io::copy(&mut io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.write_all(&[0; 2048]).unwrap();
    let given = given(&encoder.finish().unwrap());
    let survey = |free| survey_with(&given.file, rules, &|| false, free);
    let error = survey(zeros - 1).unwrap_err();
    assert!(error.to_string().contains("200 times"), "{error}");
    assert_eq!(survey(zeros).unwrap().bytes, zeros, "small ones may");
}

#[test]
fn what_is_no_archive_is_named() {
    for (bytes, what) in [
        (b"PK\x03\x04".to_vec(), "zip"),
        (b"\xfd7zXZ\0".to_vec(), "gzip"),
        (b"<html>".to_vec(), "page"),
        (Vec::new(), "no tar"),
        (gz(b""), "no files"),
        (vec![0; 10_240], "no files"),
        (vec![7; 2_000], "damaged"),
    ] {
        assert!(refusal(&bytes, SOURCE).contains(what), "{what}");
    }
    let whole = gz(&tar(|archive| file(archive, "f", &[7; 5_000])));
    assert!(refusal(&whole[..whole.len() / 2], SOURCE).contains("damaged"));
}

#[test]
fn it_stops_when_it_is_asked_to() {
    let given = given(&gz(&tar(|archive| file(archive, "f", &[7; 5_000]))));
    let stopped = survey(&given.file, SOURCE, &|| true);
    assert!(matches!(stopped, Err(Error::Stopped)));
}
