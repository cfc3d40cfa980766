"""The report of a search: one HTML file that needs nothing else."""

from collections import Counter
from html import escape
from statistics import mean

from trainer.search.plots import history, importances, slices
from trainer.search.results import SearchResults, TrialResult

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #67707d; --line: #e3e6ea; --paper: #fff; --blue: #2f6fb7;
  --orange: #d9730d; --green: #3b8a4f; --red: #c2352b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa3af; --line: #333a44; --paper: #14181e;
  --blue: #6aa7ea; --orange: #f0963c; --green: #6cc083; --red: #ef6a60; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 760px;
  margin: 24px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 32px; }
svg { width: 100%; height: auto; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); }
.wide { overflow-x: auto; } .wide svg { min-width: 600px; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th, td { text-align: right; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; } tr.chosen td { font-weight: 600; color: var(--orange); }
text { font: 12px system-ui, sans-serif; fill: var(--ink); } .tick { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); } .level { stroke-width: 1.5; stroke-dasharray: 6 4; stroke: var(--blue); }
.level.real { stroke: var(--green); } .best { fill: none; stroke: var(--orange); stroke-width: 1.5; opacity: .7; }
.complete { fill: var(--blue); } .chosen { fill: var(--orange); } .bar { fill: var(--blue); }
.pruned { fill: var(--paper); stroke: var(--soft); stroke-width: 1.5; } .failed { stroke: var(--red); stroke-width: 2; }
.note { color: var(--soft); font-size: 13px; }
"""

_STATES = {
    "complete": "complete",
    "pruned": "stopped early",
    "collapsed": "collapsed",
    "fail": "failed",
}


def render(results: SearchResults) -> str:
    """The whole page."""
    recipe, objective = str(results.config["recipe"]), str(results.config["objective"])
    ended = [trial for trial in results.trials if trial.state not in ("running", "waiting")]
    title = f"Search for better settings of {recipe}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_summary(results, ended)}</p>",
        _confirmation(results),
        "<h2>History</h2>",
        f'<div class="wide">{history(results)}</div>',
        '<p class="note">Filled: trials that got to their end; hollow: stopped early, with the value they had then; '
        f"crosses: collapsed or failed. The {escape(objective)} is that of generated images against held-out ones; "
        "hover for settings.</p>",
    ]
    if results.importances:
        parts += [
            "<h2>What mattered</h2>",
            f'<div class="wide">{importances(results)}</div>',
            '<p class="note">Share of each field in how the finished trials differ (fANOVA). With few trials it is a '
            "hint, not a finding.</p>",
        ]
    parts += ["<h2>Field by field</h2>", f'<div class="slices">{"".join(slices(results))}</div>']
    parts += ["<h2>Trials</h2>", f'<div class="wide">{_table(results)}</div>']
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _summary(results: SearchResults, ended: list[TrialResult]) -> str:
    if not ended:
        return "No trial has ended yet."
    counts = Counter(_STATES[trial.state] for trial in ended)
    text = f"{len(ended)} trials: {', '.join(f'{counts[name]} {name}' for name in _STATES.values() if counts[name])}. "
    if results.best is None:
        return text
    best, default = results.trials[results.best], results.trials[0]
    text += f"Best: trial {best.number} with {results.config['objective']} <b>{best.value:.4g}</b>"
    if default.state == "complete" and default.number != best.number:
        text += f", the recipe's own settings {default.value:.4g}"
    text += f", real images {results.real:.4g}."
    return text + (f" Published as <b>{escape(results.package)}</b>." if results.package else "")


def _confirmation(results: SearchResults) -> str:
    found = results.confirmation
    if found is None:
        return '<p class="note">The best of many trials owes part of its value to luck.</p>'
    rows = [("trial " + str(found.trial), found.best), ("default", found.default)]
    cells = "".join(
        f"<tr><td>{name}</td><td>{f'{mean(values):.4g}' if values else 'failed'}</td>"
        f"<td>{', '.join(f'{value:.4g}' for value in values)}</td></tr>"
        for name, values in rows
    )
    doubt = " The difference is within two standard errors." if found.within_noise else ""
    return (
        "<h2>With fresh seeds</h2><table><tr><th></th><th>mean</th><th>seed by seed</th></tr>"
        f'{cells}</table><p class="note">Both trained anew on equal terms: other weights, order of images and '
        f"latents.{doubt}</p>"
    )


def _table(results: SearchResults) -> str:
    paths = list(results.defaults)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", "state", str(results.config["objective"]), *paths))
    rows = []
    for trial in results.trials:
        cells = [str(trial.number), trial.state, "" if trial.value is None else f"{trial.value:.4g}"]
        cells += [_cell(trial.parameters.get(path, "")) for path in paths]
        note = f' title="{escape(trial.verdict)}"' if trial.verdict else ""
        kind = ' class="chosen"' if trial.number == results.best else ""
        rows.append(f"<tr{kind}{note}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
