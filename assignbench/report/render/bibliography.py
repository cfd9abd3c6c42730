"""cite.bib: the papers of the rules, detectors and measures that a study uses, and AssignBench itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assignbench.analysis import StudyRecord
from assignbench.config.cell import CellConfig
from assignbench.config.detector import DetectorConfig
from assignbench.report.render.latex import escaped


@dataclass(frozen=True)
class Entry:
    """A paper; `where` is its proceedings or journal."""

    key: str
    kind: str
    authors: str
    title: str
    where: str
    year: int

    def text(self) -> str:
        """As BibTeX."""
        field = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}[self.kind]
        lines = [
            ("title", f"{{{self.title}}}"),
            ("author", self.authors),
            (field, self.where),
            ("year", str(self.year)),
        ]
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in lines)
        return f"@{self.kind}{{{self.key},\n{body}\n}}\n"


# By the registered name of the assigner.
ASSIGNERS = {
    "mutual_guidance": Entry(
        "zhang2020mutualguidance",
        "inproceedings",
        r"Zhang, Heng and Fromont, Elisa and Lef{\`e}vre, S{\'e}bastien and Avignon, Bruno",
        "Localize to Classify and Classify to Localize: Mutual Guidance in Object Detection",
        "Asian Conference on Computer Vision (ACCV)",
        2020,
    ),
    "mlc": Entry(
        "zhang2021mlc",
        "inproceedings",
        "Zhang, Taiheng and Zhong, Qiaoyong and Pu, Shiliang and Xie, Di",
        "Modulating Localization and Classification for Harmonized Object Detection",
        "IEEE International Conference on Multimedia and Expo (ICME)",
        2021,
    ),
    "musu": Entry(
        "gao2021musu",
        "inproceedings",
        "Gao, Ziteng and Wang, Limin and Wu, Gangshan",
        "Mutual Supervision for Dense Object Detection",
        "IEEE/CVF International Conference on Computer Vision (ICCV)",
        2021,
    ),
    "ltm": Entry(
        "zhang2021ltm",
        "article",
        "Zhang, Xiaosong and Wan, Fang and Liu, Chang and Ji, Xiangyang and Ye, Qixiang",
        "Learning to Match Anchors for Visual Object Detection",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence",
        2021,
    ),
    "paa": Entry(
        "kim2020paa",
        "inproceedings",
        "Kim, Kang and Lee, Hee Seok",
        "Probabilistic Anchor Assignment with {IoU} Prediction for Object Detection",
        "European Conference on Computer Vision (ECCV)",
        2020,
    ),
    "atss": Entry(
        "zhang2020atss",
        "inproceedings",
        "Zhang, Shifeng and Chi, Cheng and Yao, Yongqiang and Lei, Zhen and Li, Stan Z.",
        "Bridging the Gap Between Anchor-based and Anchor-free Detection via Adaptive Training Sample Selection",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)",
        2020,
    ),
    "fcos": Entry(
        "tian2019fcos",
        "inproceedings",
        "Tian, Zhi and Shen, Chunhua and Chen, Hao and He, Tong",
        "{FCOS}: Fully Convolutional One-Stage Object Detection",
        "IEEE/CVF International Conference on Computer Vision (ICCV)",
        2019,
    ),
    "simota": Entry(
        "ge2021yolox",
        "misc",
        "Ge, Zheng and Liu, Songtao and Wang, Feng and Li, Zeming and Sun, Jian",
        "{YOLOX}: Exceeding {YOLO} Series in 2021",
        "arXiv:2107.08430",
        2021,
    ),
    "tal": Entry(
        "feng2021tood",
        "inproceedings",
        "Feng, Chengjian and Zhong, Yujie and Gao, Yu and Scott, Matthew R. and Huang, Weilin",
        "{TOOD}: Task-aligned One-stage Object Detection",
        "IEEE/CVF International Conference on Computer Vision (ICCV)",
        2021,
    ),
    "autoassign": Entry(
        "zhu2020autoassign",
        "misc",
        "Zhu, Benjin and Wang, Jianfeng and Jiang, Zhengkai and Zong, Fuhang and Liu, Songtao and Li, Zeming "
        "and Sun, Jian",
        "{AutoAssign}: Differentiable Label Assignment for Dense Object Detection",
        "arXiv:2007.03496",
        2020,
    ),
    "hungarian": Entry(
        "carion2020detr",
        "inproceedings",
        "Carion, Nicolas and Massa, Francisco and Synnaeve, Gabriel and Usunier, Nicolas and Kirillov, Alexander "
        "and Zagoruyko, Sergey",
        "End-to-End Object Detection with Transformers",
        "European Conference on Computer Vision (ECCV)",
        2020,
    ),
}
# By the detector's family.
_RETINANET = Entry(
    "lin2017focal",
    "inproceedings",
    r"Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\'a}r, Piotr",
    "Focal Loss for Dense Object Detection",
    "IEEE International Conference on Computer Vision (ICCV)",
    2017,
)
FAMILIES = {
    "retinanet": _RETINANET,
    "mg-retinanet": _RETINANET,
    "fcos": ASSIGNERS["fcos"],
    "fssd": Entry(
        "li2017fssd",
        "misc",
        "Li, Zuoxin and Zhou, Fuqiang",
        "{FSSD}: Feature Fusion Single Shot Multibox Detector",
        "arXiv:1712.00960",
        2017,
    ),
    "rfbnet": Entry(
        "liu2018rfbnet",
        "inproceedings",
        "Liu, Songtao and Huang, Di and Wang, Yunhong",
        "Receptive Field Block Net for Accurate and Fast Object Detection",
        "European Conference on Computer Vision (ECCV)",
        2018,
    ),
    "rpn": Entry(
        "ren2015faster",
        "inproceedings",
        "Ren, Shaoqing and He, Kaiming and Girshick, Ross and Sun, Jian",
        "Faster {R-CNN}: Towards Real-Time Object Detection with Region Proposal Networks",
        "Advances in Neural Information Processing Systems (NeurIPS)",
        2015,
    ),
}
COCO = Entry(
    "lin2014coco",
    "inproceedings",
    r"Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva "
    r"and Doll{\'a}r, Piotr and Zitnick, C. Lawrence",
    "Microsoft {COCO}: Common Objects in Context",
    "European Conference on Computer Vision (ECCV)",
    2014,
)


def to_bibliography(study: StudyRecord) -> str:
    """The entries in the order in which the study uses them; a rule of somebody else's has none."""
    version = escaped(study.about.get("version", ""))
    own = f"@software{{assignbench,\n  title = {{{{AssignBench}}}},\n  version = {{{version}}}\n}}\n"
    return "\n".join([own, *dict.fromkeys(entry.text() for entry in _used(study)), COCO.text()])


def _used(study: StudyRecord) -> Iterator[Entry]:
    for cell in study.cells:
        config = cell.config
        if not isinstance(config, CellConfig):
            continue
        if isinstance(config.detector, DetectorConfig) and config.detector.spec.family in FAMILIES:
            yield FAMILIES[config.detector.spec.family]
        if config.method.assigner.name in ASSIGNERS:
            yield ASSIGNERS[config.method.assigner.name]
