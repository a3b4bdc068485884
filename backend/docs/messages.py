"""Messages that people meet, each with why it comes and what to do: one table for the documents, the pages and the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Where = Literal["halt", "label_studio", "backend", "containers"]

PAGES: dict[Where, str] = {
    "halt": "halts",
    "label_studio": "troubleshooting",
    "backend": "troubleshooting",
    "containers": "troubleshooting",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        where: who says it.
        says: as people see it, with … for what differs each time; the heading on the page.
        pattern: a regular expression that finds it in a text, ignoring case.
        why, fix: sentences in Markdown; links are relative to ``backend/docs``.
    """

    where: Where
    says: str
    pattern: str
    why: str
    fix: str


MESSAGES: tuple[Message, ...] = (
    # --- what makes a campaign stand still
    Message(
        "halt",
        "the choices of … were … and are now …",
        r"the choices of .* were .* and are now|is asked in another way now",
        "Somebody has changed the labelling interface. Labels that were given mean something else now.",
        "Put the choices back as they were: the campaign goes on by itself. Or roll it back and start a new one.",
    ),
    Message(
        "halt",
        "… labels … from $… now; it was … from $…",
        r" labels .* from \$.* now; it was ",
        "The labelling interface shows another image, or another field of the task's data.",
        "Put the labelling interface back as it was: the campaign goes on by itself. Or roll it back and start a new one.",
    ),
    Message(
        "halt",
        "no task has an image under …",
        r"no task has an image under",
        "The value of the Image tag leads to nothing in the tasks' data: the field has another name or is empty.",
        "Compare the Image tag's value with a task's data in Label Studio; [Data that can be read](data.md#image-fields-in-label-studio) "
        "says how it is resolved. The campaign begins by itself after that.",
    ),
    Message(
        "halt",
        "no task has a text under …",
        r"no task has a text under",
        "The value of the Text or HyperText tag leads to nothing in the tasks' data: the field has another name or is empty.",
        "Compare the tag's value with a task's data in Label Studio. The campaign begins by itself after that.",
    ),
    Message(
        "halt",
        "… fetches its text from an address",
        r"fetches its text from an address|holds encoded texts",
        "The labelling interface shows texts that do not stand in the tasks' data as they are read.",
        "Import the texts themselves, and take `valueType` and `encoding` off the tag. The campaign begins by itself after that.",
    ),
    Message(
        "halt",
        "task … holds … images under …",
        r"task .* holds .* images? under|shows people all images of",
        "People are shown all images of such a task, and a label would not say which one it means.",
        'Write `value="$images[0]"` in the Image tag to ask about the first one of each task, or import one task for each image. '
        "The campaign begins by itself after that.",
    ),
    Message(
        "halt",
        "the label config has changed: …",
        r"the label config has changed",
        "The labelling interface no longer has the control that the campaign began with.",
        "Bring its choices back under the same name: the campaign goes on by itself.",
    ),
    Message(
        "halt",
        "maximum_annotations must be 1, got …",
        r"maximum_annotations must be 1",
        "With more than one annotation per task, Label Studio would ask people about machine-labelled tasks first.",
        "Set *Settings → Quality → Annotations per task* to 1. [Two people on the same items](two-people.md) are had with `overlap_share`.",
    ),
    Message(
        "halt",
        "the user whom this backend acts as has labelled … tasks by hand",
        r"whom this backend acts as,? has labelled",
        "The backend tells its own annotations from people's by their user. With labels by hand under the same user nobody could.",
        "Delete these annotations and label as another user. If the campaign has not begun, make a user for the backend alone "
        "(`mcal bootstrap` does).",
    ),
    Message(
        "halt",
        "the token is of user …, and this campaign began as user …",
        r"the token is of user .* and this campaign began as user",
        "The worker was started with another user's token.",
        "Set `MCAL_LABEL_STUDIO_TOKEN` to a token of the user that the campaign began with, and restart the worker.",
    ),
    Message(
        "halt",
        "project … was created at …, and the project that this campaign began on at …: this is another one",
        r"project .* was created at .* this is another one",
        "The address or the database is another Label Studio's, or Label Studio was set up anew: the numbers of its projects and tasks are "
        "the same, and what they stand for is not. The campaign changes nothing there.",
        "Set `MCAL_LABEL_STUDIO_URL` to the Label Studio that the campaign began on, or bring its database back, and restart the worker.",
    ),
    Message(
        "halt",
        "this campaign began on …, and MCAL_LABEL_STUDIO_URL is …",
        r"this campaign began on .* and MCAL_LABEL_STUDIO_URL is",
        "The worker is set to another Label Studio. A campaign that began with an earlier version, or that has not begun, cannot tell "
        "whether it is the same one under another address.",
        "Set `MCAL_LABEL_STUDIO_URL` to the address that the campaign began on, and restart the worker.",
    ),
    Message(
        "halt",
        "Label Studio counts no tasks in project … any more, and the campaign has …",
        r"Label Studio counts no tasks in project",
        "All tasks have disappeared at once. That is more often a database in trouble than somebody's wish, so nothing is taken "
        "for deleted.",
        "Bring the tasks back from a backup of Label Studio: the campaign goes on by itself. If they were deleted on "
        "purpose, roll the campaign back.",
    ),
    Message(
        "halt",
        "no image can be read: …",
        r"no image can be read",
        "Not a single image of the project could be fetched or decoded, so it is the access and not the images.",
        "Run `mcal doctor`, mend the access, then `mcal campaign resume`. See also "
        "[images cannot be read](troubleshooting.md#images-cannot-be-read).",
    ),
    Message(
        "halt",
        "a campaign needs at least 200 tasks, project … has …",
        r"a campaign needs at least \S+ tasks",
        "With fewer tasks the test items alone would be most of the work. Of a follow-up, the tasks that were added since count.",
        "Import the others first. The campaign begins by itself then.",
    ),
    Message(
        "halt",
        "task … carries a machine label of an earlier campaign",
        r"carries a machine label of an earlier campaign",
        "Machine labels of two campaigns in one project could not be told apart.",
        "Roll the earlier campaign back (`mcal campaign rollback`), or [follow it up](follow-up.md) for the new tasks.",
    ),
    Message(
        "halt",
        "the labelling interface also requires an answer to …, and machine labels would hold … alone",
        r"also requires an answer to ",
        "Every task would have to have that answer, and the tasks that the machine labels would lack it.",
        "Take `required=\"true\"` off that control, or ask for it in a project of its own.",
    ),
    Message(
        "halt",
        "project … holds … machine labels of campaign …, which has ended",
        r"holds .* machine labels? of campaign ",
        "They would be neither people's labels nor the new campaign's, and its guarantee would not hold for them.",
        "[Follow the ended campaign up](follow-up.md) for the tasks that were added since (`mcal campaign follow-up`), or roll it back "
        "first (`mcal campaign rollback`).",
    ),
    Message(
        "halt",
        "every task has been labelled or skipped already",
        r"every task has been labelled or skipped",
        "There is nothing left that a machine could label.",
        "Nothing is to be done.",
    ),
    Message(
        "halt",
        "label config must have Choices, a Taxonomy or a Rating on an Image",
        r"label config must|label config is not valid|label_controls must name|the controls ask about several|which has no such choice"
        r"|[A-Z0-9]\w* '.*' (must|has|asks|reads|marks|is shown)|[A-Z0-9]\w* must have a name|must have value=.\$field"
        r"|and a campaign labels|and a campaign needs|no campaign can promise|interface of its own code",
        "The labelling interface has no control that a campaign can label with, or one that it cannot. The message names the rule that is "
        "broken.",
        "Change the labelling interface: `Choices`, a `Taxonomy` or a `Rating`, two or more different choices written in each, on an "
        "`Image`, `Text` or `HyperText` that shows one field of the task's data. "
        "The setting `label_controls` names some of several controls.",
    ),
    Message(
        "halt",
        "a model from outside … answers one control that takes one choice",
        r"answers one control that takes one choice|min_class_precision promises something of each class",
        "A setting does not go with several questions per item, or with several choices at one.",
        "Take the model out of `classifiers`, or `min_class_precision` off. Or name one control with one choice in `label_controls`; "
        "[Ask several questions per item](several-questions.md) says what is different.",
    ),
    Message(
        "halt",
        "unknown classifier …",
        r"unknown classifier|classifier '.*': ",
        "The setting `classifiers` names something that there is not, or gives it an option that it does not have.",
        "Set `classifiers` to names of [Choose the classifiers](classifiers.md), or leave it at `auto`.",
    ),
    Message(
        "halt",
        "this backend may only ask the ML backends of MCAL_ML_BACKENDS",
        r"may only (ask the (ML backends|models)|load modules) of MCAL_",
        "A candidate from outside that the operator has not listed.",
        "The operator lists it and restarts; see [Bring your own model](own-models.md).",
    ),
    Message(
        "halt",
        "the ML backend … cannot be reached",
        r"the (ML backend|model) .* (cannot be reached|did not answer|answers|must answer|refuses|is not there)",
        "A candidate of the campaign is asked there, and gives no answer that can be used. What it has answered is kept.",
        "Mend it; `mcal doctor` shows it three tasks. Then `mcal campaign resume`. With `when_model_fails = people`, or with other "
        "`classifiers`, the campaign goes on without it.",
    ),
    # --- Label Studio
    Message(
        "label_studio",
        "Can't connect to ML backend http://localhost:9090",
        r"can't connect to ml backend",
        "In a container, `localhost` is that container.",
        "In our deployment the backend is `http://mcal.internal:9090`. With a backend outside Docker use "
        "`http://host.docker.internal:9090` and serve on 0.0.0.0.",
    ),
    Message(
        "label_studio",
        "URL resolves to a reserved network address",
        r"reserved network address",
        "Label Studio refuses private addresses, the model's and the webhook's.",
        "Start Label Studio with the two variables of step 5 in the [quickstart for operators](quickstart-operator.md). Without them the "
        "backend still works: it looks by itself every `MCAL_POLL_SECONDS`, and campaigns are started on the page.",
    ),
    Message(
        "label_studio",
        "The model is connected, but news arrive only every 20 s",
        r"none is registered: the worker only looks|news arrive only every",
        "There is no webhook. Label Studio was told of an address without a dot (such as `http://web:9090`), which it takes for a model "
        "and silently not for a webhook; or it blocked the address.",
        "`mcal bootstrap --project 7` registers it and says why not.",
    ),
    Message(
        "label_studio",
        "401 … authentication parameters",
        r"401.*authentication parameters|a valid user and password are needed",
        "The backend asks Label Studio for a user and a password, and got none or others.",
        "Give the model *Basic authentication* with `MCAL_BASIC_AUTH_USER` and its password, or connect with `mcal bootstrap --project 7`.",
    ),
    Message(
        "label_studio",
        "The number of files exceeded settings.DATA_UPLOAD_MAX_NUMBER_FILES",
        r"DATA_UPLOAD_MAX_NUMBER_FILES",
        "Label Studio takes 100 files in one upload.",
        "Upload in parts. Or put them into the folder that `IMAGES_DIR` names, and add *Settings → Cloud Storage → Local files* with a "
        "path such as `/label-studio/files/cats`.",
    ),
    Message(
        "label_studio",
        "No more tasks, though there are",
        r"no more tasks|all tasks in the queue have been completed",
        "The machine is thinking, or another annotator holds the last ones. Label Studio keeps a task for 24 hours for whoever opened it.",
        "Come back after a few minutes. The campaign goes on without a task that somebody holds after `patience_minutes`.",
    ),
    # --- the backend
    Message(
        "backend",
        "legacy token authentication has been disabled",
        r"legacy token authentication has been disabled",
        "The organisation allows personal access tokens only.",
        "Make one in *Account & Settings*, or let `mcal bootstrap` do it.",
    ),
    Message(
        "backend",
        "the token is an access token, which lives 5 minutes",
        r"is an access token, which lives",
        "What was pasted is the short-lived kind. It works for five minutes, then every request is a 401.",
        "Use the personal access token: the longer one that is shown once.",
    ),
    Message(
        "backend",
        "refused the Personal Access Token: it is expired, revoked or another server's",
        r"refused the personal access token",
        "Somebody made another one for that user: there is one at a time.",
        "Unset `MCAL_LABEL_STUDIO_TOKEN` and run `mcal bootstrap`, or set the new one.",
    ),
    Message(
        "backend",
        "MCAL_LABEL_STUDIO_TOKEN is not set",
        r"MCAL_LABEL_STUDIO_TOKEN is not set",
        "The backend has no token to ask Label Studio with.",
        "Run `mcal bootstrap`, or make a token as the message says. See the [quickstart for operators](quickstart-operator.md).",
    ),
    Message(
        "backend",
        "Label Studio at … cannot be reached",
        r"label studio at \S+ (cannot be reached|did not answer in time)",
        "Label Studio is down, slow, or at another address than `MCAL_LABEL_STUDIO_URL`.",
        "`mcal doctor` tries the address. A worker tries again by itself; nothing is lost meanwhile.",
    ),
    Message(
        "backend",
        "Images cannot be read",
        r"image.*(cannot|could not) be (read|fetched)|404.*(image|file)",
        "The worker does not get at the files as Label Studio does.",
        "Tasks that name Label Studio as browsers see it (`http://localhost:8080/data/…`) need `MCAL_LABEL_STUDIO_PUBLIC_URL` to be that "
        "address. Local files need a storage row on their folder in the project, and lie below `/label-studio/files` in our deployment. "
        "Cloud storage is read through Label Studio; presigned addresses must be reachable from the worker.",
    ),
    Message(
        "backend",
        "MCAL_… is no setting (did you mean …?)",
        r"mcal_\S+ is no setting",
        "A variable in the environment or in `.env` begins with `MCAL_` and is no setting.",
        "[Settings](settings.md) has the names.",
    ),
    Message(
        "backend",
        "target_error must be in (0, 1), got 5 (did you mean 0.05?)",
        r"must be in \(0, 1\)",
        "Shares lie between 0 and 1, or are given in percent.",
        "Write 0.05 or `5 %`.",
    ),
    Message(
        "backend",
        "device 'cuda' is not there",
        r"device '\w+(:\d+)?' is not there",
        "The process sees no GPU.",
        "`mcal doctor` says what torch sees. In a container, `docker compose exec worker-gpu nvidia-smi` says what the driver thinks.",
    ),
    Message(
        "backend",
        "… cannot be migrated by this version …",
        r"cannot be migrated by this version",
        "The program is older than the database; in containers a worker keeps restarting and `mcal-web-1 is unhealthy`.",
        "Take the newer version, or [go back](upgrade.md#going-back) with a backup.",
    ),
    Message(
        "backend",
        "event … has the kind …, which this version does not know",
        r"event \S+ has the kind .*, which this version does not know",
        "A newer version worked on this campaign, and something has happened to it that this version cannot read.",
        "Take the newer version, or [go back](upgrade.md#going-back) with a backup.",
    ),
    Message(
        "backend",
        "this server does not go by that host name",
        r"does not go by that host name",
        "The page was called by a name that the server was not told of.",
        "Set `MCAL_PUBLIC_URL` to the address that it is called by.",
    ),
    # --- containers
    Message(
        "containers",
        'service "preflight" didn\'t complete successfully, or "bootstrap"',
        r'service "(preflight|bootstrap)" didn',
        "A setting in `.env` is not in order, or Label Studio refuses the login or token in it.",
        "`docker compose logs preflight bootstrap` names it and its rule.",
    ),
    Message(
        "containers",
        "required variable … is missing a value",
        r"required variable .* is missing a value",
        "There is no `.env` in this folder, or the secret in it is empty.",
        "`make env`, or fill in what `.env.example` lists.",
    ),
    Message(
        "containers",
        "no service selected",
        r"no service selected",
        "`COMPOSE_PROFILES` in `.env` is none of `embedded`, `gpu`, `scale` and `scale-gpu`.",
        "Set it to one of them.",
    ),
    Message(
        "containers",
        "pool overlaps with other one on this address space",
        r"pool overlaps with other one",
        "Another deployment or a VPN uses 198.19.90.0/24.",
        "Set `FRONT_SUBNET` to another part of 198.18.0.0/15.",
    ),
    Message(
        "containers",
        'could not select device driver "nvidia" with capabilities: [[gpu]]',
        r"could not select device driver",
        "Docker has no NVIDIA runtime on this machine, and only the worker did not start.",
        "Install NVIDIA's Container Toolkit, then `nvidia-ctk runtime configure --runtime=docker`, and restart Docker; or take the profile "
        "without `gpu`.",
    ),
    Message(
        "containers",
        "port is already allocated, address already in use",
        r"port is already allocated|address already in use",
        "Another program has port 8080 or 9090.",
        "Set `LABEL_STUDIO_PORT` (and the port in `LABEL_STUDIO_PUBLIC_URL`) or `PAGE_PORT`.",
    ),
)  # fmt: skip


def explained(text: str, where: Sequence[Where] = ("halt", "label_studio", "backend", "containers")) -> Message | None:
    """The first message of the table that is found in ``text``."""
    return next((each for each in MESSAGES if each.where in where and re.search(each.pattern, text, re.IGNORECASE)), None)


def anchor(title: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def help_for(text: str) -> tuple[str, str] | None:
    """The page and the heading's anchor that explain a message, or ``None``."""
    found = explained(text)
    return None if found is None else (PAGES[found.where], anchor(found.says))
