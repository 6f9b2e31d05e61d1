"""The chart: a panel for each work and for memory, with a bar for each server; light or dark as the reader's system is."""

import json
from html import escape
from os.path import splitext

WIDTH, COLUMNS, MARGIN, GAP = 940, 3, 20, 24
NAME, VALUE, LINE = 103, 88, 16
PANEL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
BAR = PANEL - NAME - VALUE
HEAD, FOOT = 66, 58
# A bar is cut at this many times the length of the shortest; the figure beside it shows its value.
CUT = 12

STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --bar: #a9b4c0; --ours: #0969da; --floor: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --bar: #525c69; --ours: #4493f8; --floor: #9198a1; --line: #3d444d; } }
text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.title { font-size: 17px; font-weight: 600; } .panel { font-size: 12.5px; font-weight: 600; }
.faint { fill: var(--faint); } .right { text-anchor: end; } .ours { font-weight: 600; }
rect { fill: var(--bar); } rect.ours { fill: var(--ours); } rect.floor { fill: none; stroke: var(--floor); stroke-dasharray: 3 2; }
rect.paper { fill: var(--paper); } path { stroke: var(--paper); stroke-width: 2.5; fill: none; } line { stroke: var(--line); }
"""


def draw_file(figures):
    """Draws OUTPUT.svg beside OUTPUT.json."""
    with open(figures) as file:
        found = json.load(file)
    with open(splitext(figures)[0] + ".svg", "w") as file:
        file.write(draw(found))


def draw(found):
    panels = [work_panel(work) for work in found["works"].values()]
    if found["memory"]:
        panels += memory_panels(found)
    # Figures of earlier versions have none of TLS.
    if found.get("memory_tls"):
        panels.append(connections_panel(found["memory_tls"], f"per idle TLS connection, {found['idle_tls']:,} open"))
    rows = [panels[at:at + COLUMNS] for at in range(0, len(panels), COLUMNS)]
    parts, top = [], HEAD
    for row in rows:
        for column, panel in enumerate(row):
            parts += draw_panel(panel, MARGIN + column * (PANEL + GAP), top)
        top += 34 + LINE * max(len(bars) for _, _, bars in row)
    height = top + FOOT
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>Requests that a second of processor time answers, by server and kind of request</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        text(MARGIN, 30, "Requests that a second of processor time answers", "title"),
        text(MARGIN, 48, "Longer is better. In percent: the share of the floor, a loop that only receives and sends "
             "(files from 100 KiB on by sendfile).", "faint"),
        *parts,
        *footer(found, top),
        "</svg>\n",
    ])


def work_panel(work):
    """Returns a title, whether less is better, and the bars: server, length, figure."""
    bars = []
    for name, one in work["servers"].items():
        rate = 1e6 / one["cpu_us"]
        share = one.get("cpu_us_of_floor")
        bars.append((name, rate, short(rate) + (f" · {100 / share:.0f} %" if share and name != "floor" else "")))
    return work["title"], False, bars


def memory_panels(found):
    rest = [(name, one["rest"], f"{one['rest'] / (1 << 20):.1f} MiB") for name, one in found["memory"].items()]
    first = next(iter(found["works"].values()))
    late = [(name, one["p99_ms"], f"{one['p99_ms']:.2f} ms") for name, one in first["servers"].items()]
    return [
        ("memory at rest (shorter is better)", True, rest),
        connections_panel(found["memory"], f"per idle connection, {found['idle']:,} open"),
        (f"{first['title']}: 99 of 100 within", True, late),
    ]


def connections_panel(servers, title):
    bars = [(name, max(0, one["per_connection"]), f"{one['per_connection']:.0f} bytes") for name, one in servers.items()]
    return title, True, bars


def draw_panel(panel, left, top):
    title, less_is_better, bars = panel
    longest = max((length for _, length, _ in bars), default=1)
    if less_is_better:
        shortest = min((length for name, length, _ in bars if name != "floor"), default=longest)
        longest = min(longest, CUT * max(1e-3, shortest))
    parts = [text(left, top + 12, title, "panel"),
             f'<line x1="{left:.0f}" x2="{left + PANEL:.0f}" y1="{top + 18}" y2="{top + 18}"/>']
    for number, (name, length, figure) in enumerate(bars):
        y = top + 22 + number * LINE
        kind = {"httpoll": "ours", "floor": "floor"}.get(name, "")
        width = BAR * min(1, length / longest)
        parts += [
            text(left + NAME - 6, y + 11, name, f"right {kind if kind == 'ours' else ''}"),
            f'<rect class="{kind}" x="{left + NAME:.1f}" y="{y + 2}" width="{max(1, width):.1f}" height="{LINE - 5}" rx="1.5"/>',
            text(left + PANEL, y + 11, figure, f"right {kind if kind == 'ours' else ''}"),
        ]
        if length > longest:
            at = left + NAME + BAR - 12
            parts.append(f'<path d="M{at:.0f} {y + LINE - 2}l5 -{LINE - 3}m4 0l-5 {LINE - 3}"/>')
    return parts


def footer(found, top):
    machine = f"{found['date']}, {found['kernel']}, {found['processors']} × {found['processor']}"
    said = "; ".join(f"{name} {version}" for name, version in found["versions"].items() if "," not in name)
    return [text(MARGIN, top + 16, f"{machine}. Drawn by {found['command']}: one loop or thread each, on one processor; "
                 "wrk on another.", "faint"),
            text(MARGIN, top + 34, said, "faint")]


def text(x, y, content, kind=""):
    return f'<text class="{kind.strip()}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def short(number):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 999.5 * size else f"{number / size:.0f} {unit}"
    return f"{number:.0f}"
