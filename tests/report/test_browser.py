"""The page in a browser: narrow and wide it fits, its pictures load, its tables sort, methods hide, figures enlarge."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from assignbench.report import build_report
from tests.conftest import ROOT
from tests.report.test_hostile import CHROMIUM, FLAGS
from tests.report.written import METHODS, write_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
# Looks at the page from outside, through a frame of the width that is asked for, and leaves what it saw in its own.
LOOKS = """<!doctype html><body><iframe id="frame" width="%d" height="900"></iframe><pre id="seen"></pre><script>
const frame = document.getElementById("frame");
frame.onload = () => {
  const page = frame.contentDocument, all = (s, d = page) => Array.from(d.querySelectorAll(s));
  const column = (table, k) => Array.from(table.tBodies[0].rows).map((r) => r.cells[k].textContent);
  const seen = { width: page.documentElement.clientWidth, needs: page.documentElement.scrollWidth };
  seen.unloaded = all("img").filter((i) => i.getAttribute("src") && !(i.complete && i.naturalWidth)).length;
  seen.unnamed = all("img").filter((i) => i.getAttribute("src") && !i.alt).length;
  seen.ids = all("[id]").map((e) => e.id);
  seen.links = all(".contents a").map((a) => a.hash.slice(1));
  seen.mute = all("button, input, summary, a").filter((e) => !(e.textContent.trim() || e.title || e.labels?.length
    || e.querySelector("img[alt]"))).length;
  seen.levels = all("h1, h2, h3").map((h) => Number(h.tagName[1]));
  const table = all("table.data").find((t) => t.tHead.textContent.includes("AP75"));
  const head = all("th button", table)[1];
  head.click(); seen.falling = column(table, 1); seen.sort = head.closest("th").getAttribute("aria-sort");
  head.click(); seen.rising = column(table, 1);
  const box = all(".toggles input")[1];
  box.click(); seen.hidden = all("tr[data-m]").filter((r) => r.offsetParent === null && r.dataset.m === "1").length;
  seen.uncovered = all(".data [data-m='1'], figure[data-m='1']").filter((e) => e.offsetParent !== null).length;
  seen.captions = all(".caption").filter((c) => c.offsetParent && c.scrollWidth > c.parentElement.clientWidth).length;
  seen.cut = all(".scroll").filter((b) => b.offsetParent && b.scrollWidth > b.clientWidth + 2
    && !b.classList.contains("cut")).length;
  const owned = all("section:not(#runs) tr[data-m]");
  seen.firsts = owned.filter((row) => !row.cells[0].querySelector(".dot")).length;
  seen.kept = all("table.data tr[data-m='0']").filter((r) => r.offsetParent !== null).length;
  box.click(); seen.back = all("#runs tr[data-m='1']").filter((r) => r.offsetParent === null).length;
  all("figure .frame button")[0].click();
  seen.open = page.querySelector("dialog").open;
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
frame.src = "%s";
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report with long names: what is too wide for a phone must scroll in its own place."""
    methods = {k: m for k, m in METHODS.items() if k != "paa"}
    long = METHODS["paa"].model_copy(update={"name": "a_name_of_" + "x" * 110})
    folder = write_study(
        tmp_path_factory.mktemp("browser"), seeds=1, images=6, methods={**methods, long.name: long},
        analyses=["averages", "differences", "size"], title="A title of " + "y" * 289,
    )  # fmt: skip
    return build_report(folder)


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_works(page, tmp_path, width) -> None:
    outside = tmp_path / "outside.html"
    outside.write_text(LOOKS % (width, page.as_uri()))
    flags = [*FLAGS, "--allow-file-access-from-files", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'p'}"]
    command = [str(CHROMIUM), *flags, "--window-size=1600,1000", outside.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    seen = json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert seen["needs"] <= seen["width"] and width - 20 <= seen["width"] <= width
    assert seen["unloaded"] == seen["unnamed"] == seen["mute"] == 0
    assert set(seen["links"]) <= set(seen["ids"]) and len(set(seen["ids"])) == len(seen["ids"])
    assert seen["levels"][0] == 1 and max(b - a for a, b in zip(seen["levels"], seen["levels"][1:], strict=False)) <= 1
    numbers = [float(re.match(r"[\d.]+", text)[0]) for text in seen["falling"]]
    assert numbers == sorted(numbers, reverse=True) and seen["sort"] == "descending"
    assert seen["rising"] == seen["falling"][::-1]
    assert seen["hidden"] > 0 and seen["kept"] > 0 and seen["back"] == 0
    assert seen["uncovered"] == seen["captions"] == seen["cut"] == seen["firsts"] == 0
    assert seen["open"]


# The page's own rules forbid foreign scripts, so a copy without them is looked at.
AUDIT = """<pre id="audit"></pre><script>%s</script><script>addEventListener("load", () => axe.run().then((found) => {
  const told = (rule) => [rule.impact, rule.id, rule.nodes.length, rule.nodes[0].html.slice(0, 200)];
  const seen = { passes: found.passes.length, violations: found.violations.map(told) };
  document.getElementById("audit").textContent = JSON.stringify(seen);
}));</script></body>"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, tmp_path, scheme) -> None:
    """axe-core's rules: contrast, names, roles, order of headings, tables."""
    axe = Path(pytest.importorskip("axe_core_python").__file__).with_name("axe.min.js").read_text()
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy[^>]*>", "", page.read_text())
    copied = page.with_name("audited.html")
    copied.write_text(text.replace("</body>", AUDIT % axe.replace("</script", "<\\/script")))
    flags = [flag for flag in FLAGS if "time-budget" not in flag]
    dark = ["--blink-settings=preferredColorScheme=0"] * (scheme == "dark")
    command = [
        str(CHROMIUM),
        *flags,
        *dark,
        "--virtual-time-budget=60000",
        f"--user-data-dir={tmp_path}",
        copied.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    seen = json.loads(html.unescape(re.search(r'<pre id="audit">(.*?)</pre>', done.stdout, re.DOTALL)[1]))
    assert seen["passes"] >= 30 and seen["violations"] == []


CSS = (ROOT / "assignbench" / "report" / "templates" / "page.css").read_text()


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "up", "down", "open", "warn"])
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_every_ground(scheme, ink) -> None:
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[scheme]))
    own = [f"{ink}-tint"] if f"{ink}-tint" in colours else ["up-tint", "down-tint", "warn-tint"][: 3 * (ink == "ink")]
    for ground in ("paper", "card", "tint", *own):
        low, high = sorted((luminance(colours[ink]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, ground
