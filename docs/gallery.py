"""Make a page of pictures: what each stage of a dub looks like, drawn from a dub of the example.

python docs/gallery.py FOLDER        makes FOLDER/gallery.md and its pictures

Nothing of it is kept in the repository: it shows what this version makes.
"""

import argparse
import sys
from pathlib import Path

from flows.dub import dub
from flows.runtime.environment import quiet_and_private
from flows.settings import read_settings
from stores.artifacts.artifact import Artifact
from stores.artifacts.settings import default_store
from stores.artifacts.store import Store
from stores.runs import find_run
from stores.shipped import shipped_file
from viewer.drawings.draw import draw, is_drawn
from viewer.drawings.run_sheet import draw_run

SECONDS = 3.0


def make_gallery(folder: Path, *, store: str, seconds: float = SECONDS) -> Path:
    """Dub the first seconds of the example and draw everything; gives the page.

    Args:
        folder: Where page and pictures go; made if need be.
        store: Where artifacts are kept.
        seconds: Of the example.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "video": shipped_file("examples/cap13.mp4"),
        "audio": shipped_file("examples/jfk.wav"),
        "output": folder / "example.mp4",
        "store": store,
        "sync": {"end_seconds": seconds},
    }
    report = dub(read_settings(None, [], given))
    opened = Store(store)
    run = find_run(opened, report.run)
    draw_run(opened, run, folder / "run.png")
    made = (opened.get(stage.name, stage.key) for stage in report.stages)
    drawn = {artifact.kind: artifact for artifact in made if is_drawn(artifact)}
    lines = [
        "# Gallery\n",
        f"A dub of the first {seconds:g} seconds of the example, stage by stage, as "
        "`dubflow artifacts show KEY --preview FILE` draws each.\n",
        "## The whole run\n",
        "`dubflow artifacts show RUN --sheet run.png`\n",
        "![The whole run](run.png)\n",
    ]
    for artifact in drawn.values():
        draw(opened, artifact, folder / f"{artifact.kind}.png")
        lines += _section(artifact)
    page = folder / "gallery.md"
    page.write_text("\n".join(lines))
    return page


def _section(artifact: Artifact) -> list[str]:
    doc = str(artifact.group.attrs.get("doc", ""))
    return [f"## {artifact.kind}\n", f"{doc}\n", f"![{artifact.kind}]({artifact.kind}.png)\n"]


if __name__ == "__main__":
    quiet_and_private()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the page and its pictures; made if need be")
    page = make_gallery(parser.parse_args().folder, store=default_store())
    sys.stdout.write(f"{page}\n")
