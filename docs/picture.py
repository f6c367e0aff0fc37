"""Draws docs/architecture.svg: the rooms of the house and who imports from whom; lists the files in architecture.md.

    python docs/picture.py

Both are made from the code alone: the imports of the modules, and the first sentences of their docstrings.
tests/test_docs.py tells when they are no longer those of the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "fastbp"
PICTURE, PAGE = DOCS / "architecture.svg", DOCS / "architecture.md"
BEGIN, END = "<!-- files: written by docs/picture.py -->\n", "<!-- end of files -->\n"

# A folder is a room. Of the files that lie in no folder, these make rooms of their own; the others are parts.
PUBLIC, FACES, HOOKS, MODEL, BASICS, PARTS = "fastbp", "network", "callbacks", "model", "basics", "parts"
RATES = "schedules"
ALONE = {
    "__init__": PUBLIC,
    "__main__": "command",
    "jit": "embedding",
    "model": MODEL,
    "schedules": RATES,
    **dict.fromkeys(("network", "ensemble"), FACES),
    **dict.fromkeys(("callbacks", "augmentation", "averaging"), HOOKS),
    **dict.fromkeys(("_names", "errors", "parts"), BASICS),
}
# What is said of rooms that have no folder, whose __init__.py would say it.
ABOUT = {
    PUBLIC: "The names that users import.",
    FACES: "What users hold: Network and Ensemble.",
    HOOKS: "What runs between or within the steps of a training, because a user asks for it.",
    MODEL: "What is behind a Network: layers, memory, program, seed.",
    PARTS: "What describes a network beside its layers: losses, activations, optimizers, metrics, initial values.",
    RATES: "Learning rates that change from step to step.",
    BASICS: "Errors, checks of arguments, and what all parts have in common.",
}
# From top to bottom: what is above may import what is below.
FLOORS = (
    ("command",),
    (PUBLIC,),
    ("sklearn",),
    (FACES,),
    (HOOKS, "diagnosis", "embedding"),
    ("training",),
    ("formats",),
    ("display",),
    (MODEL,),
    ("layers",),
    (PARTS,),
    ("program",),
    (RATES,),
    ("kernels",),
    ("runtime",),
    ("simd", BASICS),
)

WIDTH, BOX_WIDTH, BOX_HEIGHT, FLOOR_HEIGHT, MARGIN = 960, 170, 40, 84, 30
STYLE = """
  .room rect { fill: #f3f6fb; stroke: #35507a; }
  .room text { font: 15px sans-serif; text-anchor: middle; fill: #10233f; }
  path { fill: none; stroke: #35507a; stroke-width: 1.4; }
  path.upwards { stroke: #c0392b; stroke-dasharray: 5 4; }
"""


def modules() -> dict[str, Path]:
    """The package's files by the names of their modules, without the package's own name: "layers.dense"."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def room_of(module: str) -> str:
    """The room that a module is in."""
    folder, dot, _ = module.partition(".")
    if dot or (PACKAGE / folder).is_dir():
        return folder
    return ALONE.get(module, PARTS)


def imports(module: str, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that one imports anywhere in it, also inside functions and for type checkers."""
    path = known[module]
    package = module.split(".") if path.stem == "__init__" and module != "__init__" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        stem = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            names = ".".join([*stem, alias.name]), ".".join(stem) or "__init__"
            yield next(name for name in names if name in known)


def rooms() -> dict[str, set[str]]:
    """Each room, and the rooms that it imports from."""
    known = modules()
    found: dict[str, set[str]] = {room_of(module): set() for module in known}
    for module in known:
        found[room_of(module)] |= {room_of(other) for other in imports(module, known)} - {room_of(module)}
    return found


def floors(found: dict[str, set[str]]) -> list[list[str]]:
    """The rooms that there are, from top to bottom; one that FLOORS doesn't have is on the floor of the parts."""
    known = {room for floor in FLOORS for room in floor}
    more = sorted(set(found) - known)
    kept = [[room for room in (*floor, *(more if PARTS in floor else ())) if room in found] for floor in FLOORS]
    return [floor for floor in kept if floor]


def picture() -> str:
    """The rooms as boxes and the imports between them as arrows, as SVG.

    What a room imports through another one as well has no arrow of its own: each room's title has all.
    An arrow that goes up, or to the same floor, is red: there should be none.
    """
    found = rooms()
    house = floors(found)
    places = {
        room: (WIDTH * (i + 1) / (len(floor) + 1), MARGIN + level * FLOOR_HEIGHT, level)
        for level, floor in enumerate(house)
        for i, room in enumerate(floor)
    }
    below = {room: {other for other in found[room] if places[other][2] > places[room][2]} for room in found}
    lines = []
    for room in places:
        for other in sorted(found[room]):
            upwards = other not in below[room]
            if upwards or not any(other in below[between] for between in below[room]):
                lines.append(_arrow(places[room], places[other], upwards))
    for room, (x, y, _) in places.items():
        left, middle = x - BOX_WIDTH / 2, y + BOX_HEIGHT / 2 + 5
        title = f"<title>{room} imports {', '.join(sorted(found[room])) or 'nothing'}</title>"
        box = f'<rect x="{left:.0f}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        label = f'<text x="{x:.0f}" y="{middle:.0f}">{room}</text>'
        lines.append(f'<g class="room">{title}{box}{label}</g>')
    height = 2 * MARGIN + (len(house) - 1) * FLOOR_HEIGHT + BOX_HEIGHT
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    marker = f'<defs>{head}<path d="M0,0 L8,4 L0,8 z" style="fill: #35507a; stroke: none"/></marker></defs>'
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", marker, *lines, "</svg>"]
    return "\n".join(parts) + "\n"


def _arrow(start: tuple[float, int, int], end: tuple[float, int, int], upwards: bool) -> str:
    (x, y, level), (to_x, to_y, to_level) = start, end
    if upwards:  # from side to side
        x, to_x, y, to_y = x + BOX_WIDTH / 2, to_x + BOX_WIDTH / 2, y + BOX_HEIGHT / 2, to_y + BOX_HEIGHT / 2
        far = max(x, to_x) + 70
        curve = f"M{x:.0f},{y:.0f} C{far:.0f},{y:.0f} {far:.0f},{to_y:.0f} {to_x:.0f},{to_y:.0f}"
        return f'<path class="upwards" marker-end="url(#head)" d="{curve}"/>'
    y, bend = y + BOX_HEIGHT, FLOOR_HEIGHT / 2
    side = 180 if x == to_x and to_level - level > 1 else 0  # past the boxes between, in a bow
    curve = f"M{x:.0f},{y} C{x + side:.0f},{y + bend:.0f} {to_x + side:.0f},{to_y - bend:.0f} {to_x:.0f},{to_y}"
    return f'<path marker-end="url(#head)" d="{curve}"/>'


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    found = re.match(r".*?\.(?= [A-Z]|$)", first)
    return found[0] if found else first.rstrip(":") + "."


def listing() -> str:
    """Each room with its files, and a sentence for each of them, as Markdown."""
    known, found = modules(), rooms()
    lines = []
    for room in (room for floor in floors(found) for room in floor):
        own = {module: path for module, path in known.items() if room_of(module) == room}
        about = ABOUT.get(room) or sentence(PACKAGE / room / "__init__.py")
        lines += [f"### {room}", "", about, ""]
        for path in own.values():
            if path.name == "__init__.py" and path.parent == PACKAGE / room:
                continue
            lines.append(f"- `{path.relative_to(PACKAGE.parent).as_posix()}`: {sentence(path)}")
        lines.append("")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the list of files that the code has now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{listing()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
