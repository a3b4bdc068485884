"""The HTML report: one file that needs no network, with the figures and the numbers they come from."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcal_engine.simulator import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from mcal_engine.simulator.session import Played

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"  # nothing is ever fetched
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #e2e8f0; white-space: nowrap; }
th:last-child, td:last-child { white-space: normal; }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: .8rem; }
dt { color: #475569; font-size: .85rem; } dd { margin: 0; font-size: 1.2rem; font-weight: 600; } .wide { overflow-x: auto; }
"""


def page_of(played: Played) -> str:
    """The page of one finished campaign."""
    report, campaign = played.report, played.campaign
    classifier = report["classifier"] or campaign.spec.classifiers[0]
    plots = [
        figures.parts(report),
        figures.cost_forecast(report),
        figures.error_curves(campaign, classifier),
        figures.accuracy_by_margin(played.wrong, played.n_ranked),
    ]
    return page(report, plots)


def page(report: dict[str, Any], plots: Sequence[Figure]) -> str:
    """The whole page; plotly's script is inside it once."""
    drawn = "".join(
        figure.to_html(full_html=False, include_plotlyjs=index == 0, config={"displaylogo": False, "responsive": True})
        for index, figure in enumerate(plots)
    )
    title = f"Simulated campaign on {report['data']['name']}"
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{html.escape(title)}</h1><p>{html.escape(_sentence(report))}</p>",
            _facts(report),
            *(f"<p>{html.escape(note)}.</p>" for note in report["data"]["notes"]),
            drawn,
            _table("Compared with", BASELINE_COLUMNS, report["baselines"]) if report.get("baselines") else "",
            _table("Rounds", ROUND_COLUMNS, report["rounds"]),
            f"<p>{html.escape(_made_with(report))}</p></main></body></html>",
        ]
    )


def _sentence(report: dict[str, Any]) -> str:
    promise = (
        f"certified: at most {report['error_upper_bound']:.2%} of all labels are wrong, with {report['confidence_level']:.0%} confidence"
        if report["certified"]
        else f"estimated, not certified: {report['error_estimate']:.2%} of all labels are wrong"
    )
    if not report["n_machine"]:
        promise = "people labelled everything"
    return f"{report['sentence']} {promise[0].upper()}{promise[1:]}; in truth {report['true_overall_error']:.2%}."


def _facts(report: dict[str, Any]) -> str:
    money = report["currency"]
    facts = {
        "Items": f"{report['n_items']:,}",
        "Labelled by people": f"{report['human_items']:,} ({report['human_items'] / report['n_items']:.1%})",
        "Labelled by the machine": f"{report['n_machine']:,} ({report['n_machine'] / report['n_items']:.1%})",
        "Total cost": f"{report['total_cost']:,.2f} {money}",
        "People alone": f"{report['human_only_cost']:,.2f} {money}",
        "Savings": f"{report['savings']:.1%}",
        "Training": f"{report['training_seconds']:,.0f} s, {report['training_cost']:,.2f} {money}",
        "Classifier": report["classifier"] or "none",
    }
    return (
        "<dl>" + "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items()) + "</dl>"
    )


Column = tuple[str, str, str]  # heading, path of the value, format
ROUND_COLUMNS: tuple[Column, ...] = (
    ("round", "round", "d"),
    ("|B|", "n_train", ",d"),
    ("|U|", "n_pool", ",d"),
    ("survivors", "n_survivors", ",d"),
    ("stop now", "plan.total_cost_now", ",.2f"),
    ("C*", "plan.total_cost", ",.2f"),
    ("at |B|", "plan.n_train", ",d"),
    ("θ", "plan.theta", ".2f"),
    ("training s", "training_seconds", ",.1f"),
    ("classifier", "plan.classifier", "s"),
    ("what was decided", "sentence", "s"),
)
BASELINE_COLUMNS: tuple[Column, ...] = (
    ("strategy", "name", "s"),
    ("total cost", "total_cost", ",.2f"),
    ("savings", "savings", ".1%"),
    ("|B|/|X|", "train_share", ".1%"),
    ("|S|/|X|", "machine_share", ".1%"),
    ("true error", "true_overall_error", ".2%"),
    ("training", "training_cost", ",.2f"),
    ("note", "note", "s"),
)


def _table(title: str, columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading, _, _ in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(row, path, form))}</td>" for _, path, form in columns) + "</tr>" for row in rows
    )
    return f'<h2>{html.escape(title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(row: dict[str, Any], path: str, form: str) -> str:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else format(value, form)


def _made_with(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return f"Seed {report['seed']}; {report['wall_seconds']:,.0f} s here, without embeddings kept from earlier runs; {versions}."
