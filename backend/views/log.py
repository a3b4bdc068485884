"""The history in sentences, for people; long lists are counted instead of shown. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

from backend.store import Event
from mcal_engine import codec
from mcal_engine.types import Acquire, HumanLabelAll

LONG = 12  # elements from which on a list is counted
QUEUES = {
    "start": "first queue",
    "train": "training batch",
    "certificate": "blind certificate sample",
    "residual": "rest",
    "audit": "blind audit",
}
NOTICES = {
    "ready": "queue ready",
    "low": "queue nearly empty",
    "empty": "queue empty",
    "due": "decision due",
    "audit": "audit decided",
    "aside": "items set aside",
}  # by the key's first part


class LogRow(TypedDict):
    """One event. ``payload`` is what was recorded, with long lists as ``{"count": n}``."""

    seq: int
    at: str
    kind: str
    sentence: str
    payload: dict[str, Any]


def log_row(event: Event) -> LogRow:
    return LogRow(seq=event.seq, at=event.created_at.isoformat(), kind=event.kind, sentence=sentence(event), payload=_short(event.payload))


def sentence(event: Event) -> str:
    """What happened, without the reasons (those are the decision's own)."""
    payload = event.payload
    match event.kind:
        case "requested":
            return f"Campaign requested ({payload['source']})"
        case "created":
            return f"Project read: {payload['n_items']:,} items, {payload['n_preexisting']:,} labelled before"
        case "settings" if "measured" in payload:
            seen = payload["measured"]
            price = payload["settings"]["price_per_label"]
            return f"Price per label measured: {price:g}, {seen['seconds_per_label']:.1f} s of work ({seen['n']:,} lead times)"
        case "settings":
            return f"Settings changed: {', '.join(payload['changed'])} (by {payload['by']})"
        case "decision":
            return f"Decision: {decision_title(payload['decision'])}"
        case "observation":
            return f"Round {payload['observation']['round']} measured, trained on {payload['n_train']:,} labels"
        case "outcome":
            missing = payload.get("n_without_label", 0)
            return "Certificate sample read" + (f"; {missing:,} items without a label count as errors" if missing else "")
        case "queue_opened":
            asked = f": {_items(payload['n_asked'])} asked for" if payload["n_asked"] else ""
            twice = f", {len(payload['twice']):,} of them of two people" if payload.get("twice") else ""
            return f"Queue opened, {QUEUES[payload['queue']]}{asked}{twice}"
        case "queue_closed":
            return f"Queue closed: {payload['reason']}"
        case "published":
            return "Label Studio serves the queue"
        case "frozen":
            return f"{payload['n']:,} predictions frozen, look {payload['look']}, SHA-256 {payload['digest'][:12]}…"
        case "write_back_started":
            return f"Writing {payload['n']:,} machine labels began"
        case "write_back_approved":
            return f"Writing back approved (by {payload['by']})"
        case "names":
            return f"Names read from Label Studio: {payload['title']}"
        case "write_back_done":
            return f"{payload['n_written']:,} machine labels written, {_items(payload['n_left_to_people'])} left to people"
        case "audit_requested":
            return f"Audit {payload['audit']} of {_items(payload['size'])} requested (by {payload['by']})"
        case "audit_opened":
            drawn = f"{len(payload['ids']):,} of {payload['n_written']:,} machine labels drawn"
            return f"Audit {payload['audit']}: {drawn}, SHA-256 {payload['digest'][:12]}…"
        case "audit_decided":
            result = payload["result"]
            most = f"at most {result['max_errors']:,} were wrong"
            return f"Audit {payload['audit']} read: {_items(result['errors'])} of {len(payload['labels']):,} count as wrong, {most}"
        case "audit_cancel_requested":
            return f"Audit {payload['audit']} called off (by {payload['by']})"
        case "audit_cancelled":
            return f"Audit {payload['audit']} ended: {payload['reason']}; {payload['n_restored']:,} machine labels written again"
        case "take_back_started":
            return f"Audit {payload['audit']}: taking back the {payload['n']:,} least sure machine labels (by {payload['by']})"
        case "take_back_done":
            return f"Audit {payload['audit']}: {payload['n_removed']:,} machine labels taken back, {payload['n_kept']:,} kept"
        case "paused":
            return f"Paused (by {payload.get('by', 'the admin')})"
        case "resumed":
            return f"Resumed (by {payload.get('by', 'the admin')})"
        case "halted":
            return f"Halted: {payload['reason']}"
        case "stop_requested":
            return f"Stop requested (by {payload['by']})"
        case "rolled_back":
            return f"Rolled back: {payload['n_removed']:,} machine labels removed, {payload['n_kept']:,} kept"
        case "finished":
            return "Finished"
        case "notified":
            what = ", ".join(dict.fromkeys(NOTICES.get(key.split("/")[0], key.split("/")[0]) for key in payload["keys"]))
            channel = f"channel {payload['channel']}"
            return f"Told {channel}: {what}" if payload["ok"] else f"Could not tell {channel}: {what}; {payload['why']}"
        case "cancelled":
            return f"Cancelled: {payload['reason']}"
        case _:
            return event.kind.replace("_", " ").capitalize()


def decision_title(encoded: dict[str, Any]) -> str:
    """What was decided, in a few words, from the recorded row."""
    row = codec.from_json(encoded)
    if isinstance(row, Acquire):
        parts = [f"{row.n_test:,} test" if row.n_test else "", f"{row.n_train:,} training" if row.n_train else ""]
        return f"ask for {' and '.join(part for part in parts if part)} items"
    if isinstance(row, HumanLabelAll):
        return "people label everything that is left"
    if hasattr(row, "n_certificate"):
        return f"draw a blind certificate sample of {_items(row.n_certificate)}"
    return f"the machine labels {_items(getattr(row, 'n_machine', 0))}"


def _items(n: int) -> str:
    return f"{n:,} item{'' if n == 1 else 's'}"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list):
        return {"count": len(value)} if len(value) > LONG else [_short(part) for part in value]
    return {"count": len(value)} if isinstance(value, str) and len(value) > 2000 else value
