"""Looks at everything a campaign depends on and says, for each thing that is wrong, exactly what to do. Changes nothing.

One check is one function that returns findings; what a check needs and is not there is a finding too, never an exception.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from backend.campaign.state import SMALLEST, State
from backend.label_studio.config import campaign_control, controls_beside, parse_label_config, warn_of, warn_of_nothing
from backend.label_studio.inspection import ConnectedModel, TokenSettings
from backend.label_studio.port import LabelControl, LabelStudioError, LabelStudioPort, MediaError, Project, User
from backend.setup.findings import Finding, Status
from backend.setup.models import Models, ask_models
from backend.steps.open import HOW_TO_MAKE_A_USER
from backend.steps.reconcile import check_project
from mcal_engine.classifiers.base import UnreadableImage
from mcal_engine.classifiers.images.decoding import decode, image_size
from mcal_engine.errors import InvalidValue, MCALError
from mcal_engine.words import counted, counted_of

SUPPORTED = "1.23"  # the release that every behaviour was measured on
SAMPLED = 40  # images that are looked at: one in ten damaged ones is found in 98 of 100 cases
LITTLE_DISK, NO_DISK = 2 * 1024**3, 200 * 1024**2  # bytes
LET_US_IN = (
    "Start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false and USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16 (plus every network that "
    "it must not reach), or with both ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false"
)


class Inspection(Protocol):
    """Questions beyond the port; :class:`backend.label_studio.inspection.Inspector`."""

    def models(self, project_id: int) -> list[ConnectedModel]: ...

    def token_settings(self) -> TokenSettings: ...

    def may_change(self, project_id: int) -> bool | None: ...

    def labelled_by_hand(self, project_id: int, user_id: int) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Patient:
    """What the doctor looks at.

    Attributes:
        label_studio, inspection: ``None`` where the settings do not allow to ask; then ``settings_error`` says why.
        label_studio_url, public_url: where Label Studio is, and where it is told to find us.
        legacy_token: whether the token is of the legacy kind.
        probe_ourselves: asks our own web server for its health; raises MCALError.
        checks: name of a dependency of ours (store, queue) → a call that raises MCALError.
        device: says what trainings run on; raises MCALError.
        max_image_bytes, max_image_pixels: the limits that images are read with.
        models: from outside, which each project's tasks are shown to.
    """

    settings_error: str
    label_studio: LabelStudioPort | None
    inspection: Inspection | None
    label_studio_url: str
    public_url: str
    legacy_token: bool
    slips: Sequence[str]
    probe_ourselves: Callable[[], object]
    checks: dict[str, Callable[[], object]]
    device: Callable[[], str]
    data_dir: Path
    max_image_bytes: int
    max_image_pixels: int
    models: Models = field(default_factory=dict)


def examine(
    patient: Patient,
    project_ids: Sequence[int],
    label_controls: str | None = None,
    *,
    campaigns: Mapping[int, State] = MappingProxyType({}),
) -> Iterator[Finding]:
    """Look at the machine, then at Label Studio, then at each project; findings come as they are made.

    Args:
        label_controls: names of the controls that a campaign which has not begun would label with, comma separated.
        campaigns: project → its live campaign, which is examined with its own settings, as the worker does.
    """
    yield from _machine(patient)
    if patient.label_studio is None or patient.inspection is None:
        yield Finding("settings", "fail", patient.settings_error, "Set it in the environment or in .env, then run mcal doctor again.")
        return
    user = yield from _access(patient, patient.label_studio, patient.inspection)
    if user is None:
        return
    if not project_ids:
        fix = "Name one: mcal doctor --project ID."
        yield Finding("project", "warn", "no project was looked at: none has a campaign here", fix)
    for project_id in project_ids:
        campaign = campaigns.get(project_id)
        for finding in _project(patient, patient.label_studio, patient.inspection, user, project_id, label_controls, campaign):
            yield Finding(f"project {project_id}: {finding.name}", finding.status, finding.detail, finding.fix)
        if campaign is not None and campaign.wanted.overlap_share > 0:
            found = _people(patient.label_studio, user)
            yield Finding(f"project {project_id}: {found.name}", found.status, found.detail, found.fix)


def _machine(patient: Patient) -> Iterator[Finding]:
    for slip in patient.slips:
        yield Finding("environment", "warn", slip, "Correct the name, or remove the variable.")
    for name, check in patient.checks.items():
        yield _tried(name, check, "reachable", f"Check the address of the {name} and that this user may write there.")
    yield _disk(patient.data_dir)
    try:
        yield Finding("device", "ok", f"trainings run on {patient.device()}")
    except MCALError as error:
        yield Finding("device", "fail", str(error), "Set MCAL_DEVICE=auto, or install a torch that has this device.")
    fix = f"Start it with mcal serve; MCAL_PUBLIC_URL is the address under which Label Studio reaches it (now {patient.public_url})."
    yield _tried("web server", patient.probe_ourselves, f"answers at {patient.public_url}", fix)


def _disk(data_dir: Path) -> Finding:
    there = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(there).free
    status: Status = "fail" if free < NO_DISK else "warn" if free < LITTLE_DISK else "ok"
    fix = "" if status == "ok" else f"Make room, or set MCAL_DATA_DIR to a folder on a larger disk; now it is {data_dir}."
    return Finding("disk", status, f"{free / 1024**3:.1f} GB free for {data_dir}", fix)


def _access(patient: Patient, label_studio: LabelStudioPort, inspection: Inspection) -> Generator[Finding, None, User | None]:
    """Address, version, token; returns the user whose token it is, or ``None`` where nothing more can be asked."""
    try:
        version = label_studio.version()
    except LabelStudioError as error:
        yield Finding(
            "Label Studio", "fail", str(error), "Set MCAL_LABEL_STUDIO_URL to the address that opens Label Studio from this machine."
        )
        return None
    known = version.startswith(SUPPORTED)
    fix = "" if known else f"Use Label Studio {SUPPORTED}.x, or watch the first campaign closely."
    yield Finding("Label Studio", "ok" if known else "warn", f"version {version or 'unknown'} at {patient.label_studio_url}", fix)
    kind = "legacy token" if patient.legacy_token else "personal access token"
    try:
        user = label_studio.current_user()
    except LabelStudioError as error:
        fix = "As the backend's own user, open Account & Settings → Personal Access Token, create one, set MCAL_LABEL_STUDIO_TOKEN to it."
        if patient.legacy_token:
            fix += " A legacy token works only where Organization → API Tokens Settings allows them."
        yield Finding("token", "fail", f"{kind}: {error}", fix)
        return None
    yield Finding("token", "ok", f"{kind} of {user.email}")
    yield from _token_kinds(patient, inspection)
    return user


def _token_kinds(patient: Patient, inspection: Inspection) -> Iterator[Finding]:
    try:
        allowed = inspection.token_settings()
    except LabelStudioError as error:
        yield Finding("tokens allowed", "warn", f"cannot be read: {error}", "Ask the owner of the organisation.")
        return
    mine = allowed.legacy_tokens if patient.legacy_token else allowed.personal_access_tokens
    detail = f"personal access tokens: {_yes(allowed.personal_access_tokens)}, legacy tokens: {_yes(allowed.legacy_tokens)}"
    fix = "" if mine is not False else "Allow this kind under Organization → API Tokens Settings, or use the other."
    yield Finding("tokens allowed", "ok" if mine is not False else "fail", detail, fix)


def _project(
    patient: Patient,
    label_studio: LabelStudioPort,
    inspection: Inspection,
    user: User,
    project_id: int,
    control_names: str | None,
    campaign: State | None,
) -> Iterator[Finding]:
    try:
        project = label_studio.project(project_id)
    except LabelStudioError as error:
        fix = f"Check the id in the project's address, and that {user.email} is a member of its organisation."
        yield Finding("access", "fail", str(error), fix)
        return
    yield Finding("access", "ok", f"{user.email} sees {project.title!r}")
    control = yield from _labelling(project, control_names, campaign)
    try:
        yield _rights(inspection, project)
        yield _by_hand(inspection, user, project_id)
        yield from _connection(patient, inspection, label_studio, project_id)
    except LabelStudioError as error:
        yield Finding("connection", "fail", str(error), "Label Studio's log says more.")
    if control is not None:
        yield _media(patient, label_studio, project_id, control)
    if control is not None and control.plain:  # a model from outside answers one control that takes one choice
        yield from ask_models(patient.models, label_studio, project, control, patient.label_studio_url)


def _labelling(project: Project, control_names: str | None, campaign: State | None) -> Generator[Finding, None, LabelControl | None]:
    once = project.maximum_annotations == 1
    fix = (
        ""
        if once
        else "Set Settings → Quality → Annotations per task to 1: Label Studio would ask people about machine-labelled tasks first."
    )
    yield Finding("annotators per task", "ok" if once else "fail", f"{project.maximum_annotations}", fix)
    many = project.n_tasks >= SMALLEST
    yield Finding("tasks", "ok" if many else "fail", f"{project.n_tasks}", "" if many else f"Import at least {SMALLEST}.")
    if campaign is not None and campaign.created is not None:
        trouble = check_project(project, campaign)
        if trouble is not None:
            yield Finding("labelling interface", "fail", trouble.reason, trouble.fix)
            return None
        control_names = campaign.control.from_name
    elif campaign is not None:
        control_names = control_names or campaign.wanted.label_controls
    try:
        control = (campaign_control if campaign is None else parse_label_config)(project.label_config, control_names)
    except InvalidValue as error:
        yield Finding(
            "labelling interface",
            "fail",
            str(error),
            "It needs Choices, a Taxonomy or a Rating on an <Image> or <Text> (--label-controls).",
        )
        return None
    n = sum(len(question.choices) for question in control.questions)
    yield Finding("labelling interface", "ok", f"{n} choices under {control.from_name!r} on {control.reads} ${control.data_key}")
    beside = warn_of(controls_beside(project.label_config, control))
    if beside:
        yield Finding("other questions", "warn", beside, "Ask for these in a project of its own if every task needs them.")
    nothing = warn_of_nothing(control)
    if nothing:
        yield Finding("empty answers", "warn", nothing, "Nothing to do if every item has something to choose.")
    return control


def _rights(inspection: Inspection, project: Project) -> Finding:
    may = inspection.may_change(project.id)
    if may is None:
        detail = "Label Studio does not tell whether this user may change the project, and trying it would change it"
        return Finding("rights", "warn", detail, "See that the backend's user may change the project's settings.")
    if not may:
        return Finding("rights", "fail", "may not change the project", "Give the backend's user the right to change the project.")
    return Finding("rights", "ok", "may change the project")


def _people(label_studio: LabelStudioPort, user: User) -> Finding:
    """Second labels need a second person."""
    try:
        n = sum(each.id != user.id for each in label_studio.users())
    except LabelStudioError as error:
        return Finding("second labels", "warn", f"the people cannot be counted: {error}", "See that at least two of them label.")
    if n >= 2:
        return Finding("second labels", "ok", f"{counted(n, 'person')} besides {user.email}; overlap_share needs two who label")
    detail = f"overlap_share asks two people about some items, and besides {user.email} there {'is one' if n else 'is nobody'}"
    fix = "Invite one more, or set overlap_share to 0. The campaign goes on either way: it does not wait for what nobody can give."
    return Finding("second labels", "warn", detail, fix)


def _by_hand(inspection: Inspection, user: User, project_id: int) -> Finding:
    task = inspection.labelled_by_hand(project_id, user.id)
    if task is None:
        return Finding("service user", "ok", f"{user.email} has labelled nothing by hand")
    detail = f"{user.email} has labelled task {task} by hand: its annotations could not be told from the machine's"
    return Finding("service user", "fail", detail, HOW_TO_MAKE_A_USER)


def _connection(patient: Patient, inspection: Inspection, label_studio: LabelStudioPort, project_id: int) -> Iterator[Finding]:
    ours = [model for model in inspection.models(project_id) if model.url == patient.public_url]
    if not ours:
        fix = f"Connect {patient.public_url} under Settings → Model; campaigns of mcal campaign create do without."
        yield Finding("model", "warn", "this backend is not connected", f"{fix} If Label Studio refuses the address: {LET_US_IN}.")
        return
    if ours[0].state == "Connected":
        yield Finding("model", "ok", f"Label Studio reaches {patient.public_url}")
    else:
        detail = f"{ours[0].state or 'not connected'}: {ours[0].error or 'Label Studio does not reach us'}"
        fix = f"Seen from Label Studio, {patient.public_url}/health must answer within a second. If it is refused as reserved: {LET_US_IN}."
        yield Finding("model", "fail", detail[:300], fix)
    wanted = f"{patient.public_url}/webhook"
    active = any(
        str(hook.get("url", "")).rstrip("/") == wanted and hook.get("is_active", True) for hook in label_studio.webhooks(project_id)
    )
    if active:
        yield Finding("webhook", "ok", wanted)
    else:
        fix = f"Nothing is lost, labels are noticed later. If Label Studio refuses private addresses: {LET_US_IN}, then connect again."
        yield Finding("webhook", "warn", "none is registered: the worker only visits now and then", fix)


def _media(patient: Patient, label_studio: LabelStudioPort, project_id: int, control: LabelControl) -> Finding:
    """A random sample of the images, read as the worker reads them."""
    fix = "Open such a task in Label Studio. If the image shows there, check allowed_private_hosts, max_image_bytes and the storage."
    try:
        ids = label_studio.task_ids(project_id)
        drawn = random.Random(project_id).sample(ids, min(SAMPLED, len(ids)))  # noqa: S311 (the same ones each time, so that a cure shows)
        tasks = sorted(label_studio.tasks_by_id(project_id, control, drawn), key=lambda task: task.id)
    except LabelStudioError as error:
        return Finding("images", "fail", f"the tasks cannot be read: {error}", fix)
    if not tasks:
        return Finding("images", "warn", "there is no task to look at")
    if control.reads == "text":
        empty = [task.id for task in tasks if not task.image]
        if not empty:
            return Finding("texts", "ok", f"all of {len(tasks)} drawn at random can be read")
        detail = f"{len(empty)} of {len(tasks)} texts drawn at random are empty, such as that of task {empty[0]}"
        look = f"Compare ${control.data_key} with the data of such a task."
        return Finding("texts", "fail" if len(empty) == len(tasks) else "warn", detail, look)
    sizes, bad = [], []
    for task in tasks:
        try:
            content = label_studio.fetch_media(task.image, task_id=task.id, max_bytes=patient.max_image_bytes)
            decode(content, 32, max_pixels=patient.max_image_pixels)
            sizes.append(image_size(content, max_pixels=patient.max_image_pixels))
        except (LabelStudioError, MediaError) as error:
            bad.append(f"task {task.id}: {error}")
        except UnreadableImage as error:
            bad.append(f"task {task.id}: {error.reason}")
    if not bad:
        small, large = min(sizes), max(sizes)
        shown = f"{small[0]} × {small[1]}" + ("" if small == large else f" to {large[0]} × {large[1]}")
        return Finding("images", "ok", f"all of {len(tasks)} drawn at random can be read, {shown} pixels")
    aside = "" if len(bad) == len(tasks) else " A campaign leaves such tasks to people."
    detail = f"{counted_of(len(bad), len(tasks), 'image')} drawn at random cannot be read, such as {bad[0]}"
    return Finding("images", "fail" if len(bad) == len(tasks) else "warn", detail, fix + aside)


def _tried(name: str, call: Callable[[], object], good: str, fix: str) -> Finding:
    try:
        call()
    except MCALError as error:
        return Finding(name, "fail", str(error), fix)
    return Finding(name, "ok", good)


def _yes(value: bool | None) -> str:
    return {True: "allowed", False: "not allowed", None: "unknown"}[value]
