"""Turns rounds into figures: medians, ratios to the floor or to nginx in the same round, and tables."""

from statistics import median

# What other servers are divided by: the floor, and nginx where the floor cannot do the work.
BASES = ("floor", "nginx")
COLUMNS = ["server", "req/s", "of {}", "CPU us", "of {}", "busy", "instructions", "p50 ms", "p99 ms", "faults"]
WIDTHS = [18, 8, 8, 8, 8, 6, 16, 8, 8, 7]


def summed_up(rounds):
    """Returns the medians of each server; `rounds` has a mapping from server to figures for each round."""
    names = list(dict.fromkeys(name for each in rounds for name in each))
    return {name: figures([each for each in rounds if name in each], name) for name in names}


def figures(rounds, name):
    own = [each[name] for each in rounds]
    base = base_of(rounds[0])
    pairs = [(each[name], each[base]) for each in rounds if base in each]
    total = {key: median(each[key] for each in own) for key in own[0] if isinstance(own[0][key], (int, float))}
    total["faults"] = sum(each["faults"] for each in own)
    if own[0].get("instructions"):
        total["instructions"] = [median(each["instructions"][mode] for each in own) for mode in (0, 1)]
    for key in ("requests_per_second", "cpu_us"):
        if pairs:
            total[f"{key}_of_{base}"] = median(mine[key] / other[key] for mine, other in pairs)
    return {key: rounded(value) for key, value in total.items()}


def base_of(servers):
    return next((base for base in BASES if base in servers), BASES[0])


def rounded(value):
    """Rounds to four significant digits, which is more than can be measured."""
    return [rounded(each) for each in value] if isinstance(value, list) else float(f"{value:.4g}")


def row(name, one, base):
    counted = one.get("instructions")
    return [
        name,
        f"{one['requests_per_second']:.0f}",
        share(one, f"requests_per_second_of_{base}"),
        f"{one['cpu_us']:.2f}",
        share(one, f"cpu_us_of_{base}"),
        f"{one['busy_percent']:.0f} %" if "busy_percent" in one else "-",
        f"{counted[0]:.0f}+{counted[1]:.0f}" if counted else "-",
        f"{one['p50_ms']:.2f}" if one["p50_ms"] else "-",
        # wrk does not measure this for pipelined requests, and openssl neither.
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


def show_work(title, work):
    base = base_of(work["servers"])
    rows = [row(name, one, base) for name, one in work["servers"].items()]
    show(title, rows, [column.format(base) for column in COLUMNS])


def show_memory(title, servers):
    rows = [[name, f"{one['start_ms']:.1f}", f"{one['rest'] / 1024:.0f}", f"{one['per_connection']:.0f}"]
            for name, one in servers.items()]
    if rows:
        show(title, rows, ["server", "start ms", "KiB at rest", "bytes each"], [18, 12, 12, 12])


def show_all(found):
    for work in found["works"].values():
        show_work(titled(work), work)
    for work in found["oha"].values():
        show_work(f"{titled(work)}, by oha", work)
    title = "time from start to first reply, and memory (Pss) with {} idle connections"
    show_memory(title.format(found["idle"]), found["memory"])
    show_memory(title.format(found["idle_tls"]) + " over TLS", found["memory_tls"])
    for name, protocol in found["tls"].items():
        print(f"TLS of {name}: {protocol}")
    for fault in found["left_out"]:
        print(f"left out: {fault}")
