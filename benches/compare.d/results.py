"""Turns rounds into figures: medians, ratios to the floor of the same round, and tables."""

from statistics import median

COLUMNS = ["server", "req/s", "of floor", "CPU us", "of floor", "busy", "instructions", "p50 ms", "p99 ms", "faults"]
WIDTHS = [18, 8, 8, 8, 8, 6, 16, 8, 8, 7]


def summed_up(rounds):
    """Returns the medians of each server; `rounds` has a mapping from server to figures for each round."""
    names = list(dict.fromkeys(name for each in rounds for name in each))
    return {name: figures([each for each in rounds if name in each], name) for name in names}


def figures(rounds, name):
    own = [each[name] for each in rounds]
    floors = [(each[name], each["floor"]) for each in rounds if "floor" in each]
    total = {key: median(each[key] for each in own) for key in own[0] if isinstance(own[0][key], (int, float))}
    total["faults"] = sum(each["faults"] for each in own)
    if own[0].get("instructions"):
        total["instructions"] = [median(each["instructions"][mode] for each in own) for mode in (0, 1)]
    for key in ("requests_per_second", "cpu_us"):
        if floors:
            total[f"{key}_of_floor"] = median(mine[key] / floor[key] for mine, floor in floors)
    return {key: rounded(value) for key, value in total.items()}


def rounded(value):
    """Rounds to four significant digits, which is more than can be measured."""
    return [rounded(each) for each in value] if isinstance(value, list) else float(f"{value:.4g}")


def row(name, one):
    counted = one.get("instructions")
    return [
        name,
        f"{one['requests_per_second']:.0f}",
        share(one, "requests_per_second_of_floor"),
        f"{one['cpu_us']:.2f}",
        share(one, "cpu_us_of_floor"),
        f"{one['busy_percent']:.0f} %" if "busy_percent" in one else "-",
        f"{counted[0]:.0f}+{counted[1]:.0f}" if counted else "-",
        f"{one['p50_ms']:.2f}" if one["p50_ms"] else "-",
        # wrk does not measure this for pipelined requests.
        f"{one['p99_ms']:.2f}" if one["p99_ms"] else "-",
        str(int(one["faults"]) or ""),
    ]


def share(one, key):
    return f"{one[key]:.2f}" if key in one else "-"


def show(title, rows, columns=COLUMNS, widths=WIDTHS):
    print(f"\n{title}")
    for cells in [columns] + rows:
        first = cells[0].ljust(widths[0])
        print("  " + first + " ".join(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])))


def titled(work):
    return work["title"] if "connections" in work["title"] else f"{work['title']}, {work['connections']} connections"


def show_all(found):
    for work in found["works"].values():
        show(titled(work), [row(*each) for each in work["servers"].items()])
    for work in found["oha"].values():
        show(f"{titled(work)}, by oha", [row(*each) for each in work["servers"].items()])
    if found["memory"]:
        rows = [[name, f"{one['start_ms']:.1f}", f"{one['rest'] / 1024:.0f}", f"{one['per_connection']:.0f}"]
                for name, one in found["memory"].items()]
        show(f"time from start to first reply, and memory (Pss) with {found['idle']} idle connections", rows,
             ["server", "start ms", "KiB at rest", "bytes each"], [18, 12, 12, 12])
    for fault in found["left_out"]:
        print(f"left out: {fault}")
