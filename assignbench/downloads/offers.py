"""What can be downloaded: the archives of each data set, where they belong, and what they must contain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assignbench.downloads.arrange import cplid, pennfudan, squeezenet
from assignbench.errors import InputError, nearest

_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_COCO = "http://images.cocodataset.org"


@dataclass(frozen=True)
class Archive:
    """A file at a public address. `checksum` is "md5:..." or "sha256:...", whole or its beginning, as it was published;
    empty where none was.

    `size` is about how many bytes it has. It is unpacked into the offer's folder without the first `strip` folders of
    its members' names; of its members only those count whose names then begin with one of `only`, if it names any.
    `holds` are paths in the offer's folder that are there when this archive is done with.
    """

    address: str
    size: int
    holds: tuple[str, ...]
    checksum: str = ""
    name: str = ""
    strip: int = 0
    only: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The name under which it is kept, and looked for where somebody brought it."""
        return self.name or self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Offer:
    """What `assignbench data get NAME` brings: archives, unpacked in `folder` below the data folder.

    `arrange(folder)` makes of what was unpacked what a reader reads, or nothing where that was done. `terms` says whose
    it is and what it may be used for.
    """

    name: str
    folder: str
    archives: tuple[Archive, ...]
    terms: str
    arrange: Callable[[Path], None] | None = None

    @property
    def size(self) -> int:
        """Bytes to download, about."""
        return sum(a.size for a in self.archives)

    @property
    def holds(self) -> tuple[str, ...]:
        """Paths in its folder that are there when all of it is."""
        return tuple(part for archive in self.archives for part in archive.holds)

    def lacks(self, data_folder: Path) -> list[Path]:
        """What of it is not in the data folder."""
        return [path for part in self.holds if not (path := data_folder / self.folder / part).exists()]


_VOC_TERMS = "PASCAL VOC; its pictures are from Flickr, whose terms hold"
_COCO_TERMS = "COCO; annotations CC BY 4.0, its pictures are from Flickr, whose terms hold"

_ALL = (
    Offer(
        "voc2007",
        "VOCdevkit",
        (
            Archive(
                f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar",
                460_000_000,
                ("VOC2007/ImageSets/Main/trainval.txt",),
                "md5:c52e279531787c972589f7e41ab4ae64",
                strip=1,
            ),
            Archive(
                f"{_VOC}/voc2007/VOCtest_06-Nov-2007.tar",
                451_000_000,
                ("VOC2007/ImageSets/Main/test.txt",),
                "md5:b6e924de25625d8de591ea690078ad9f",
                strip=1,
            ),
        ),
        _VOC_TERMS,
    ),
    Offer(
        "voc2012",
        "VOCdevkit",
        (
            Archive(
                f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar",
                2_000_000_000,
                ("VOC2012/ImageSets/Main/trainval.txt",),
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
                strip=1,
            ),
        ),
        _VOC_TERMS,
    ),
    Offer(
        "coco2017",
        "coco",
        (
            Archive(
                f"{_COCO}/annotations/annotations_trainval2017.zip",
                253_000_000,
                ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
                "md5:f4bbac642086de4f52a3fdda2de5fa2c",
                only=("annotations/instances_",),
            ),
            Archive(f"{_COCO}/zips/val2017.zip", 816_000_000, ("val2017",), "md5:442b8da7639aecaf257c1dceb8ba8c80"),
            Archive(
                f"{_COCO}/zips/train2017.zip", 19_400_000_000, ("train2017",), "md5:cced6f7f71b7629ddf16f17bbcfab6b2"
            ),
        ),
        _COCO_TERMS,
    ),
    # Beside coco2017, of which it has the training split.
    Offer(
        "coco_testdev",
        "coco",
        (
            Archive(
                f"{_COCO}/annotations/image_info_test2017.zip",
                1_200_000,
                ("annotations/image_info_test-dev2017.json",),
                "md5:85da7065e5e600ebfee8af1edb634eb5",
            ),
            Archive(f"{_COCO}/zips/test2017.zip", 6_700_000_000, ("test2017",), "md5:77ad2c53ac5d0aea611d422c0938fb35"),
        ),
        _COCO_TERMS,
    ),
    Offer(
        "sku110k",
        "SKU110K_fixed",
        (
            Archive(
                "http://trax-geometry.s3.amazonaws.com/cvpr_challenge/SKU110K_fixed.tar.gz",
                12_200_000_000,
                ("annotations/annotations_train.csv", "annotations/annotations_test.csv", "images"),
                strip=1,
            ),
        ),
        "SKU-110K (Goldman et al., CVPR 2019); for academic, non-commercial use alone",
    ),
    Offer(
        "bccd",
        "bccd-cells",
        (
            Archive(
                "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip",
                8_000_000,
                ("BCCD/ImageSets/Main/trainval.txt", "BCCD/ImageSets/Main/test.txt", "BCCD/JPEGImages"),
                name="BCCD_Dataset-master.zip",
                strip=1,
                only=("BCCD/", "LICENSE"),
            ),
        ),
        "BCCD (Shenggan); MIT licence",
    ),
    Offer(
        "cplid",
        "cplid-insulators",
        (
            Archive(
                "https://github.com/InsulatorData/InsulatorDataSet/archive/b9591e8a23cd8c393ef7efa54cc316aca7ee26da.zip",
                400_000_000,
                ("VOCdevkit/VOC2007/ImageSets/Main/trainval.txt", "VOCdevkit/VOC2007/ImageSets/Main/test.txt"),
                name="InsulatorDataSet-b9591e8.zip",
                strip=1,
                only=("Normal_Insulators/", "README.md"),
            ),
        ),
        "CPLID (Tao et al., IEEE Trans. Systems, Man, and Cybernetics: Systems, 2018); cite it where you use it",
        cplid,
    ),
    Offer(
        "pennfudan",
        "pennfudan",
        (
            Archive(
                "https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip",
                54_000_000,
                ("annotations/train.json", "annotations/test.json", "PNGImages"),
                "md5:5aaa3dee905cef73325923716e38fc6d",
                strip=1,
            ),
        ),
        "Penn-Fudan pedestrians (Wang et al., ACCV 2007)",
        pennfudan,
    ),
    Offer(
        "squeezenet",
        "squeezenet-weights",
        (
            Archive(
                "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
                5_000_000,
                ("squeezenet1_1_imagenet_features_rgb.npz",),
                "sha256:b8a52dc0",
            ),
        ),
        "torchvision's SqueezeNet 1.1 for ImageNet, BSD-3; our reports were made with keras-squeezenet's weights of"
        " that network, so numbers differ a little",
        squeezenet,
    ),
)
OFFERS: dict[str, Offer] = {offer.name: offer for offer in _ALL}

# Data sets that are made of several offers.
_MADE_OF = {"voc0712": ("voc2007", "voc2012")}


def offers_of(name: str) -> list[Offer]:
    """The offers that a name asks for. Raises InputError for one that cannot be downloaded."""
    names = _MADE_OF.get(name, (name,))
    if names[0] not in OFFERS:
        raise InputError(f"'{name:.60}' cannot be downloaded{nearest(name, [*OFFERS, *_MADE_OF])}")
    return [OFFERS[n] for n in names]


def offer_of(path: Path) -> Offer | None:
    """The offer that brings a file or folder of this name, e.g. of weights that a study starts from."""
    tail = path.parts[-2:]
    return next((o for o in OFFERS.values() for part in o.holds if tail == Path(o.folder, part).parts[-2:]), None)


# Weights that nobody publishes in a form that is read here, by folder and file: where they are, and what makes them so.
_BY_HAND = {
    ("resnext152-weights", "resnext152_32x8d_imagenet5k.pth"): (
        "it is made by hand from Detectron's X-152-32x8d-IN5k.pkl, from which PAA's authors started "
        "(https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/25093814/X-152-32x8d-IN5k.pkl): its tensors "
        "under torchvision's names (conv1.weight, bn1.weight, layer1.0.conv1.weight, ...), each norm's scale and bias "
        "with running_mean 0 and running_var 1, the first convolution for RGB pixels scaled as torchvision's, and the "
        "dictionary written by torch.save"
    ),
}


def brought(path: Path) -> str:
    """How a file is made that the user has to bring; "" for any other one."""
    return _BY_HAND.get((path.parent.name, path.name), "")
