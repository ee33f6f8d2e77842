//! The store: names, ids, what is shared, what goes, and what a crash leaves.

use crate::support::Place;
use coracle::engine::image::{
    ImageUser, Removed, RmiOptions, Users, images, inspect_image, rmi, tag,
};
use coracle::error::{Cause, Result};
use coracle::image::Store;

fn nobody() -> Result<Users> {
    Ok(Users::new())
}

#[test]
fn an_image_goes_with_its_last_name_and_nothing_of_it_stays() {
    let place = Place::new();
    let store = &place.store;
    let empty = place.listing();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'x')"), "one:1");
    let id = image.id;
    tag(store, "one:1", "one:2".parse().unwrap()).unwrap();
    tag(store, &id.short(), "two".parse().unwrap()).unwrap();
    assert_eq!(images(store, true, &[]).unwrap().len(), 3);

    let by_id = rmi(store, &id.hex(), Default::default(), &nobody).unwrap_err();
    assert!(by_id.to_string().contains("several repositories"), "{by_id}");
    let removed = rmi(store, "two", Default::default(), &nobody).unwrap();
    assert_eq!(removed, [Removed::Untagged("two".parse().unwrap())]);
    let removed = rmi(store, &id.hex()[..7], Default::default(), &nobody).unwrap();
    assert_eq!(removed.len(), 3);
    assert!(matches!(removed[2], Removed::Image(gone) if gone == id));
    assert!(store.resolve("one:1").unwrap_err().is_not_found());
    store.sweep().unwrap();
    let rest = place.listing().replace("./refs.json\n", "");
    assert_eq!(rest, empty);
}

#[test]
fn a_name_moves_and_the_image_that_lost_it_stays_unnamed() {
    let place = Place::new();
    let old = place.import(&place.python_tar("a.tar", "add('f', b'1')"), "x");
    let new = place.import(&place.python_tar("b.tar", "add('f', b'2')"), "x");
    assert_eq!(place.store.resolve("x").unwrap(), new.id);
    let rows = images(&place.store, true, &[]).unwrap();
    assert!(rows.iter().any(|row| row.id == old.id && row.name.is_none() && row.size == Some(1)));
    let removed = rmi(&place.store, &old.id.hex(), Default::default(), &nobody).unwrap();
    assert_eq!(removed, [Removed::Image(old.id)]);
}

#[test]
fn an_image_that_containers_use_stays() {
    let place = Place::new();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'x')"), "x");
    let user = |running| {
        move || -> Result<_> {
            let user = ImageUser { container: "web".to_string(), running };
            Ok(Users::from([(image.id, vec![user])]))
        }
    };
    let force = RmiOptions { force: true, ..RmiOptions::default() };
    let id = image.id.hex();
    for (name, options, running) in
        [("x", Default::default(), true), ("x", Default::default(), false), (&id, force, true)]
    {
        let e = rmi(&place.store, name, options, &user(running)).unwrap_err();
        assert!(matches!(e.root(), Cause::Conflict(text) if text.contains("web")), "{e}");
    }
    for (name, running) in [("x", true), ("x", false), (&id, false)] {
        tag(&place.store, &id, "x".parse().unwrap()).unwrap();
        let removed = rmi(&place.store, name, force, &user(running)).unwrap();
        assert_eq!(removed, [Removed::Untagged("x:latest".parse().unwrap())]);
        assert!(place.tree(&image).join("f").exists());
    }
}

#[test]
fn a_layer_lies_in_the_store_once() {
    let place = Place::new();
    let tar = place.python_tar("t.tar", "add('f', b'x')");
    let a = place.import(&tar, "a");
    let b = place.import(&tar, "b");
    assert_ne!(a.id, b.id, "they were imported at different times");
    assert_eq!(place.trees(&a), place.trees(&b));
    rmi(&place.store, "a", Default::default(), &nobody).unwrap();
    assert!(place.tree(&b).join("f").exists());
}

#[test]
fn what_a_killed_import_left_is_swept_and_nothing_else() {
    let place = Place::new();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'x')"), "x");
    let before = place.listing();
    place.sh("cd root/images; mkdir -p tmp/999-1/0/fs/a tmp/999-1/0/aside trash/7-7/0/fs
        mkdir -p layers/$(printf 0%.0s {1..64})/fs; echo torn > .refs.json.999-0.new
        echo orphan > blobs/sha256/$(printf 1%.0s {1..64})");
    assert!(Store::open(&place.path("root")).unwrap().image(&image.id).is_ok());
    let in_use = place.store.scratch().unwrap();
    let kept = in_use.fresh_directory().unwrap();
    place.store.sweep().unwrap();
    assert!(kept.is_dir());
    drop(in_use);
    assert_eq!(place.listing(), before);
}

#[test]
fn while_an_image_cannot_be_read_nothing_is_swept_away() {
    let place = Place::new();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'x')"), "x");
    let tree = place.tree(&image);
    let blob = place.path(&format!("root/images/blobs/sha256/{}", image.id.hex()));
    std::fs::write(&blob, "{}").unwrap();
    place.store.sweep().unwrap();
    assert!(tree.join("f").exists());
    let e = place.store.image(&image.id).unwrap_err();
    assert!(matches!(e.root(), Cause::Damaged(_)), "{e}");
    let rows = images(&place.store, true, &[]).unwrap();
    assert_eq!((rows.len(), rows[0].size), (1, None));
}

#[test]
fn a_changed_layer_is_named_when_it_is_read() {
    let place = Place::new();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'x')"), "x");
    std::fs::write(place.tree(&image).join("f"), "y").unwrap();
    let layer = &place.store.layers(&image).unwrap()[0];
    let e = place.store.emit(layer, &mut Vec::new()).unwrap_err();
    assert!(e.to_string().contains(&layer.diff_id.to_string()), "{e}");
}

#[test]
fn inspect_tells_what_docker_tells() {
    let place = Place::new();
    let image = place.import(&place.python_tar("t.tar", "add('f', b'xyz')"), "x:1");
    let told = inspect_image(&place.store, "overlay", "x:1").unwrap();
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["Id"], image.id.to_string());
    assert_eq!(json["RepoTags"][0], "x:1");
    assert_eq!(json["Comment"], "Imported from -");
    assert_eq!((&json["Os"], &json["Size"]), (&"linux".into(), &3.into()));
    assert_eq!(json["RootFS"]["Layers"][0], image.config.rootfs.diff_ids[0].to_string());
    let upper = json["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap();
    assert_eq!(std::path::Path::new(upper), place.tree(&image));
}
