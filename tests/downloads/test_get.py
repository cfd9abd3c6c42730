"""What `data get` brings, from a server of one's own: checksums, archives that somebody brought, and the command."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assignbench.cli import main
from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.presence import absent
from assignbench.downloads import OFFERS, Offer, offer_of, offers_of
from assignbench.downloads.get import COMING, _alone, get
from assignbench.downloads.ledger import FILE
from assignbench.downloads.offers import Archive
from assignbench.errors import InputError
from tests.conftest import XML, write_voc_xml
from tests.downloads.conftest import packed

FILES = {"top/lists/all.txt": b"1\n2\n", "top/pictures/1.png": bytes(range(256)) * 100}


def offer_at(served, content: bytes, *, checksum: str = "", name: str = "x.zip") -> Offer:
    """An offer of one archive that the server has."""
    served.files[f"/{name}"] = content
    archive = Archive(f"{served.address}/{name}", len(content), ("lists/all.txt", "pictures"), checksum, strip=1)
    return Offer("x", "x-set", (archive,), "nobody's")


def bring(offer: Offer, folder: Path) -> list[str]:
    told: list[str] = []
    get(offer, folder, told.append, lambda *_: None, pause=lambda _: None)
    return told


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_a_data_set_comes_once(served, tmp_path, name) -> None:
    content = packed(name.partition(".")[2], FILES)
    offer = offer_at(served, content, checksum=md5(content), name=name)
    told = bring(offer, tmp_path)
    assert any("its md5 is the published one" in line for line in told)
    assert (tmp_path / "x-set/pictures/1.png").read_bytes() == FILES["top/pictures/1.png"]
    assert not any((tmp_path / COMING).iterdir()) and not offer.lacks(tmp_path)
    assert bring(offer, tmp_path) == [] and len(served.asked) == 1
    shutil.rmtree(tmp_path / "x-set/pictures")
    assert offer.lacks(tmp_path) == [tmp_path / "x-set/pictures"]
    bring(offer, tmp_path)
    assert not offer.lacks(tmp_path) and len(served.asked) == 2


def test_a_wrong_checksum_leaves_nothing_and_says_so(served, tmp_path) -> None:
    content = packed("zip", FILES)
    for wrong in (md5(b"another"), "sha256:" + "0" * 8):
        with pytest.raises(InputError, match=r"published is .*it was removed.*put it there"):
            bring(offer_at(served, content, checksum=wrong), tmp_path)
        assert not (tmp_path / "x-set").exists() and not list((tmp_path / COMING).iterdir())
    bring(offer_at(served, content, checksum="sha256:" + hashlib.sha256(content).hexdigest()[:8]), tmp_path)


def test_a_continued_file_that_is_wrong_is_fetched_anew_once(served, tmp_path) -> None:
    """As from a server that calls two files by one ETag."""
    content = packed("zip", FILES)
    offer = offer_at(served, b"another beginning".ljust(len(content)), checksum=md5(content))
    served.cuts = [50, *([0] * 9)]
    with pytest.raises(InputError, match="what came is kept and the same command goes on"):
        bring(offer, tmp_path)
    served.files["/x.zip"], served.cuts = content, []
    bring(offer, tmp_path)
    assert not offer.lacks(tmp_path)
    assert [wanted for _, wanted in served.asked[-2:]] == ["bytes=50-", ""]


def test_without_a_published_checksum_that_of_first_use_counts(served, tmp_path) -> None:
    content = packed("zip", FILES)
    told = bring(offer_at(served, content), tmp_path)
    assert any("no checksum is published" in t and hashlib.sha256(content).hexdigest() in t for t in told)
    kept = json.loads((tmp_path / FILE).read_text())
    assert [v["sha256"] for v in kept.values()] == [hashlib.sha256(content).hexdigest()]
    shutil.rmtree(tmp_path / "x-set")
    assert any("that of the first download" in t for t in bring(offer_at(served, content), tmp_path))
    shutil.rmtree(tmp_path / "x-set")
    other = packed("zip", {**FILES, "top/more": b"1"})
    with pytest.raises(InputError, match=f"remove its entry from .*{FILE}"):
        bring(offer_at(served, other), tmp_path)
    assert json.loads((tmp_path / FILE).read_text()) == kept
    (tmp_path / FILE).write_text("{}")
    bring(offer_at(served, other), tmp_path)


def test_an_archive_that_somebody_brought_is_used_and_kept(served, tmp_path) -> None:
    content = packed("zip", FILES)
    offer = offer_at(served, content, checksum=md5(content))
    (tmp_path / "x.zip").write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"x\.zip: its md5 is"):
        bring(offer, tmp_path)
    assert (tmp_path / "x.zip").exists()
    (tmp_path / "x.zip").write_bytes(content)
    bring(offer, tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == content and not served.asked and not offer.lacks(tmp_path)


def test_an_archive_that_leads_out(served, tmp_path) -> None:
    offer = offer_at(served, packed("tar", {**FILES, "top/../../out.txt": b""}), name="x.tar")
    with pytest.raises(InputError, match="leads out of its folder"):
        bring(offer, tmp_path / "data")
    assert not (tmp_path / "out.txt").exists() and offer.lacks(tmp_path / "data")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_half_an_archive_of_which_nothing_is_known_is_not_kept(served, tmp_path, kind) -> None:
    """A server that neither says how long a file is nor what its checksum is, and is cut."""
    content = packed(kind, FILES)
    offer = offer_at(served, content, name=f"x.{kind}")
    served.length, served.cuts = False, [len(content) // 2]
    with pytest.raises(InputError, match=r"cannot be unpacked .* it was removed, and the same command"):
        bring(offer, tmp_path)
    assert not (tmp_path / FILE).exists() and not list((tmp_path / COMING).iterdir())
    bring(offer, tmp_path)
    assert not offer.lacks(tmp_path) and hashlib.sha256(content).hexdigest() in (tmp_path / FILE).read_text()


def test_an_archive_that_is_another_one(served, tmp_path) -> None:
    with pytest.raises(InputError, match="no longer the one that is known here"):
        bring(offer_at(served, packed("zip", {"top/lists/all.txt": b""})), tmp_path)


def test_killed_anywhere_the_same_call_goes_on(served, tmp_path, monkeypatch) -> None:
    """An exception at every file operation stands for the kill: the next call ends with the whole set."""
    content = packed("zip", FILES)
    done = 0
    for number in range(100):
        folder = tmp_path / str(number)
        offer = offer_at(served, content, checksum=md5(content))
        left = [number]
        with monkeypatch.context() as patch:
            for name in ("replace", "mkdir", "unlink", "touch"):
                patch.setattr(Path, name, _failing(getattr(Path, name), left))
            try:
                bring(offer, folder)
                done += 1
            except KeyboardInterrupt:
                pass
        bring(offer, folder)
        found = {p.relative_to(folder / "x-set").as_posix() for p in (folder / "x-set").rglob("*") if p.is_file()}
        assert found == {"lists/all.txt", "pictures/1.png"}, number
        if done:
            break
    assert done == 1 and number > 8


def _failing(operation, left):
    def attempt(*given, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return operation(*given, **options)

    return attempt


def test_a_full_disk(served, tmp_path, monkeypatch, capsys) -> None:
    """Told before where it is known; met on the way, it leaves what came, and the command exits with 1."""
    content = packed("tar", {**FILES, "top/pictures/2.png": os.urandom(3 << 20)})
    offer = offer_at(served, content, checksum=md5(content), name="x.tar")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(InputError, match=r"are needed and 0\.0 GB are free; make room"):
            bring(offer, tmp_path)
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path))
    monkeypatch.setitem(OFFERS, "x", offer)
    opened, room = Path.open, [2 << 20]

    def small(path, mode="r", *given, **options):
        file = opened(path, mode, *given, **options)
        if ("w" not in mode and "a" not in mode) or "b" not in mode:
            return file
        write = file.write

        class Disk:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, block):
                room[0] -= len(block)
                if room[0] < 0:
                    raise OSError(errno.ENOSPC, "No space left on device", str(path))
                return write(block)

        return Disk()

    monkeypatch.setattr(Path, "open", small)
    assert main(["data", "get", "x"]) == 1
    assert "make room on that disk, then give the same command again" in capsys.readouterr().err
    room[0] = len(content) + 1000  # enough for the rest, not for what it unpacks to
    assert main(["data", "get", "x"]) == 1
    assert not (tmp_path / "x-set/pictures").exists()
    room[0] = 1 << 30
    assert main(["data", "get", "x"]) == 0
    assert not offer.lacks(tmp_path)
    assert any(wanted for _, wanted in served.asked)


def test_two_at_once(served, tmp_path) -> None:
    content = packed("zip", FILES)
    offer = offer_at(served, content)
    with _alone(tmp_path), pytest.raises(InputError, match="another process downloads into it"):
        bring(offer, tmp_path)


def test_the_command(served, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path / "mine"))
    monkeypatch.setitem(OFFERS, "x", offer_at(served, packed("zip", FILES)))
    assert main(["data", "get", "x", "x"]) == 0
    assert f"x: {tmp_path / 'mine' / 'x-set'} (nobody's)" in capsys.readouterr().out
    assert main(["data", "list", "x", "y"]) == 2
    assert "data list x y: lists all there is and takes no name" in capsys.readouterr().err
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    assert "voc2007      missing" in told and "x            there" in told
    for names, text in (
        (["voc_mini"], f"--data voc2007 .*put it at {tmp_path / 'mine' / 'voc-mini'}"),
        (["voc207"], "did you mean 'voc2007'"),
        ([], "name what to get"),
    ):
        assert main(["data", "get", *names]) == 2
        assert re.search(text, capsys.readouterr().err.replace("\n", " "))


# -- the offers themselves


def test_every_offer_belongs_to_data_that_studies_name() -> None:
    folders = {c["root"] for c in CATALOG.values() if c.get("root")}
    for name, offer in OFFERS.items():
        assert offer.name == name and offer.archives and offer.terms
        assert offer.folder in folders | {"squeezenet-weights"}
        for archive in offer.archives:
            assert archive.address.startswith(("http://", "https://")) and archive.size and archive.holds
            kind, _, digest = archive.checksum.partition(":")
            assert not archive.checksum or (kind in ("md5", "sha256") and len(digest) in (8, 32, 64))
    assert len({a.file for o in OFFERS.values() for a in o.archives}) == sum(len(o.archives) for o in OFFERS.values())
    assert [o.name for o in offers_of("voc0712")] == ["voc2007", "voc2012"]
    found = offer_of(Path("anywhere/squeezenet-weights/squeezenet1_1_imagenet_features_rgb.npz"))
    assert found is OFFERS["squeezenet"] and offer_of(Path("squeezenet-weights/other.npz")) is None


def test_what_a_data_set_reads_is_what_its_offer_brings(tmp_path) -> None:
    """A folder with what the offers hold lacks nothing that the catalogue's entry names."""
    for offer in OFFERS.values():
        for part in offer.holds:
            path = tmp_path / offer.folder / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    for name, entry in CATALOG.items():
        if "data get" in entry.get("obtain", "") and not name.endswith("_mini"):
            spec = DataSpec.model_validate({"name": name, **entry})
            assert absent(spec, ["train", "test"], tmp_path / spec.root) == [], name
            assert offers_of(name)


def image(folder: Path, name: str, side: int = 40) -> bytes:
    path = folder / "one"
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(path, Path(name).suffix[1:].replace("jpg", "jpeg"))
    return path.read_bytes()


def test_cplid_becomes_a_voc_folder_with_our_split(served, tmp_path) -> None:
    names = [f"{n:04d}" for n in range(40, 72)]
    (tmp_path / "xml/Annotations").mkdir(parents=True)
    files = {"r/Defective_Insulators/images/000.jpg": b"no", "r/README.md": b"read me"}
    for name in names:
        write_voc_xml(tmp_path / "xml", name, [("insulator", 3, 3, 30, 12)], (40, 40))
        files[f"r/Normal_Insulators/labels/{name}.xml"] = (tmp_path / f"xml/Annotations/{name}.xml").read_bytes()
        files[f"r/Normal_Insulators/images/{name}.jpg"] = image(tmp_path, "x.jpg")
    data = brought("cplid", served, tmp_path, packed("zip", files))
    assert (len(data["train"]), len(data["test"])) == (24, 8)
    again = brought("cplid", served, tmp_path / "again", packed("zip", files))
    assert [i.name for i in again["test"].images] == [i.name for i in data["test"].images]
    assert not (tmp_path / "data/cplid-insulators/Normal_Insulators").exists()


def test_the_split_of_cplid_is_that_of_the_smaller_copy(shared_data, tmp_path) -> None:
    lists = shared_data / "cplid-insulators/VOCdevkit/VOC2007/ImageSets/Main"
    ours = {name: (lists / f"{name}.txt").read_text() for name in ("train", "test")}
    (tmp_path / "Normal_Insulators/images").mkdir(parents=True)
    (tmp_path / "Normal_Insulators/labels").mkdir()
    for name in "".join(ours.values()).split():
        (tmp_path / f"Normal_Insulators/labels/{name}.xml").touch()
    OFFERS["cplid"].arrange(tmp_path)
    made = tmp_path / "VOCdevkit/VOC2007/ImageSets/Main"
    assert {name: (made / f"{name}.txt").read_text() for name in ours} == ours


def brought(name: str, served, tmp_path: Path, content: bytes) -> dict:
    """The splits of a data set that came from the server."""
    offer = OFFERS[name]
    (archive,) = offer.archives
    served.files["/x"] = content
    local = Archive(
        f"{served.address}/x",
        len(content),
        archive.holds,
        name=archive.file,
        strip=archive.strip,
        only=archive.only,
    )
    folder = tmp_path / "data"
    bring(Offer(name, offer.folder, (local,), offer.terms, offer.arrange), folder)
    assert not offer.lacks(folder)
    if name not in CATALOG:
        return {}
    spec = DataSpec.model_validate({"name": name, **CATALOG[name]})
    return {split: load(spec, split, folder / spec.root) for split in ("train", "test")}


PENN = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/{name}.png"
Image size (X x Y x C) : 50 x 40 x 3
Objects with ground truth : 2 {{ "PASpersonWalking" "PASpersonStanding" }}
# Top left pixel co-ordinates : (1, 1)
# Details for pedestrian 1 ("PASpersonWalking")
Original label for object 1 "PASpersonWalking" : "PennFudanPed"
Bounding box for object 1 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (1, 1) - (20, 40)
Pixel mask for object 1 "PASpersonWalking" : "PennFudanPed/PedMasks/{name}_mask.png"
Bounding box for object 2 "PASpersonStanding" (Xmin, Ymin) - (Xmax, Ymax) : (31, 11) - (50, 30)
"""


def test_penn_fudan_becomes_coco(served, tmp_path) -> None:
    picture = tmp_path / "one.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(picture)
    files = {}
    for name in [f"FudanPed{n:05d}" for n in range(1, 7)] + [f"PennPed{n:05d}" for n in range(1, 7)]:
        files[f"PennFudanPed/Annotation/{name}.txt"] = PENN.format(name=name).encode()
        files[f"PennFudanPed/PNGImages/{name}.png"] = picture.read_bytes()
        files[f"PennFudanPed/PedMasks/{name}_mask.png"] = b"mask"
    data = brought("pennfudan", served, tmp_path, packed("zip", files))
    assert (len(data["train"]), len(data["test"])) == (9, 3)
    assert [i.name for i in data["test"].images] == ["FudanPed00004.png", "PennPed00002.png", "PennPed00006.png"]
    assert data["train"].classes == ("person",) and not data["train"].skipped
    assert data["train"].images[0].boxes.tolist() == [[0, 0, 20, 40], [30, 10, 50, 30]]
    assert data["train"].images[0].areas.tolist() == [800, 400]


def test_squeezenet_becomes_the_file_that_studies_name(served, tmp_path) -> None:
    """Its features alone, under torchvision's names, which are those of the file that the reports were made with."""
    import io

    import torch

    state = {"features.0.weight": torch.ones(64, 3, 3, 3), "classifier.1.bias": torch.zeros(1000)}
    content = io.BytesIO()
    torch.save(state, content)
    brought("squeezenet", served, tmp_path, content.getvalue())
    path = tmp_path / "data/squeezenet-weights/squeezenet1_1_imagenet_features_rgb.npz"
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays.files == ["features.0.weight"] and arrays["features.0.weight"].sum() == 64 * 27
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_bccd_and_voc_as_their_archives_have_them(served, tmp_path) -> None:
    xml = XML.format(w=40, h=40, objects="").replace("</annotation>", _cell() + "</annotation>").encode()
    files: dict[str, bytes] = {"BCCD_Dataset-master/LICENSE": b"MIT", "BCCD_Dataset-master/dataset.zip": b"no"}
    for split, names in (("trainval", ("a", "b")), ("test", ("c",))):
        files[f"BCCD_Dataset-master/BCCD/ImageSets/Main/{split}.txt"] = "\n".join(names).encode()
        for name in names:
            files[f"BCCD_Dataset-master/BCCD/Annotations/{name}.xml"] = xml
            files[f"BCCD_Dataset-master/BCCD/JPEGImages/{name}.jpg"] = image(tmp_path, "x.jpg")
    data = brought("bccd", served, tmp_path, packed("zip", files))
    assert (len(data["train"]), len(data["test"])) == (2, 1)
    assert not (tmp_path / "data/bccd-cells/dataset.zip").exists()


def _cell() -> str:
    return (
        "<object><name>RBC</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>20</xmax>"
        "<ymax>20</ymax></bndbox></object>"
    )
