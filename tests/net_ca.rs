//! The certificate authority on disk: made once, private, the same for everybody who comes at the same time.

use iqtap::net::ca::{Authority, CaError};

#[test]
fn it_is_made_once_and_kept_private() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    let first = Authority::open(&directory).unwrap();
    let again = Authority::open(&directory).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_eq!(first.fingerprint().len(), 32 * 3 - 1);
    let public = std::fs::read_to_string(first.certificate_path()).unwrap();
    assert!(public.starts_with("-----BEGIN CERTIFICATE-----\n") && !public.contains("KEY"), "{public}");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "nothing is left lying about");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("ca.pem")), 0o600);
        // Given away by accident, taken back at the next start.
        std::fs::set_permissions(directory.join("ca.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
        Authority::open(&directory).unwrap();
        assert_eq!(mode(&directory.join("ca.pem")), 0o600);
    }
}

#[test]
fn the_public_part_comes_back_when_lost() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path()).unwrap();
    let public = std::fs::read(authority.certificate_path()).unwrap();
    std::fs::remove_file(authority.certificate_path()).unwrap();
    Authority::open(directory.path()).unwrap();
    assert_eq!(std::fs::read(authority.certificate_path()).unwrap(), public);
}

#[test]
fn many_at_once_get_the_same_one() {
    for _ in 0..8 {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        let fingerprints: Vec<String> = std::thread::scope(|scope| {
            let open = || Authority::open(&directory).unwrap().fingerprint();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(fingerprints.windows(2).all(|pair| pair[0] == pair[1]), "{fingerprints:?}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
    }
}

#[test]
fn a_broken_one_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        let error = Authority::open(directory.path()).unwrap_err();
        assert!(matches!(error, CaError::Broken { .. }) && error.to_string().contains("move it away"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}
