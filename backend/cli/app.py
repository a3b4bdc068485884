"""The root of the command line: its commands, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Sequence

import click

from backend.cli.lazy import SHARED_CORES, Lazy, LazyGroup
from mcal_engine import __version__
from mcal_engine.errors import MCALError

BAD_INPUT = 2
NO_LABEL_STUDIO = 3
INTERRUPTED = 130

EPILOG = """Settings come from the environment (MCAL_LABEL_STUDIO_URL, MCAL_LABEL_STUDIO_TOKEN, ...), from a file .env in the current
directory, and from options; each has one name everywhere: target_error is --target-error and MCAL_TARGET_ERROR. Secrets have no option,
since every user of a machine can read its command lines. Exit codes: 0 done, 1 something failed, 2 bad input, 3 Label Studio said no or
nothing."""


@click.group(
    cls=LazyGroup,
    lazy={
        "serve": Lazy("backend.cli.serve:serve", "Serve Label Studio's ML-backend protocol and the admin's page."),
        "worker": Lazy("backend.cli.worker:worker", "Do the work: read labels, train, decide, write back."),
        "campaign": Lazy("backend.cli.campaign:campaign", "Start, watch, steer and undo campaigns."),
        "notify": Lazy("backend.cli.notify:notify", "Try the channels that people are told through."),
        "doctor": Lazy("backend.cli.doctor:doctor", "Check Label Studio, token, webhook, images and machine; print each fix."),
        "bootstrap": Lazy("backend.cli.bootstrap:bootstrap", "Make the backend's own user in Label Studio; connect a project."),
        "health": Lazy("backend.cli.health:health", "Say whether the web server or the worker here is well."),
        "migrate": Lazy("backend.cli.migrate:migrate", "Bring the database's tables to this version."),
        "backup": Lazy("backend.cli.backup:backup", "Write all campaigns, their histories and ledgers to one file."),
        "restore": Lazy("backend.cli.backup:restore", "Put such a file into a database, of either kind."),
        "simulate": Lazy("backend.cli.simulate:simulate", "Say what a campaign would cost on data that is already labelled.", SHARED_CORES),
        "bench": Lazy("backend.cli.bench:bench", "Measure against the paper and against what the guarantee promises.", SHARED_CORES),
        "encoders": Lazy("backend.cli.encoders:encoders", "List the pretrained encoders and where their weights are; fetch one."),
        "simtest": Lazy("backend.cli.simtest:simtest", "Live simulated campaigns, with faults at any call.", SHARED_CORES),
        "docs": Lazy("backend.cli.docs:docs", "Print the documents."),
        "demo": Lazy("backend.cli.demo:demo", "Run the whole product on real digits, with a real Label Studio."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="mcal")
def mcal() -> None:
    """Finish a labelled data set at the lowest total cost, with a guarantee: an ML backend for Label Studio."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``mcal`` and return its exit code; errors that are meant for people become one line on standard error."""
    try:
        result = mcal.main(args=None if arguments is None else list(arguments), prog_name="mcal", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except MCALError as error:
        click.echo(f"mcal: {error}{_more(str(error))}", err=True)
        return exit_code(error)
    return result if isinstance(result, int) else 0


def _more(text: str) -> str:
    """Where the documents say more about an error, if they do: on its line, for who reads logs line by line."""
    from backend.docs.messages import help_for

    found = help_for(text)
    return "" if found is None else f" (mcal docs {found[0]} says more)"


def exit_code(error: MCALError) -> int:
    """3 where Label Studio said no or nothing, else 2."""
    from backend.label_studio.port import LabelStudioError

    return NO_LABEL_STUDIO if isinstance(error, LabelStudioError) else BAD_INPUT
