"""``python -m tests.backend.campaign.golden record [NAME …]``, ``… demo NAME [OPTION …]`` or ``… expect [NAME …]``; see README.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.backend.campaign.golden.recording import HERE


def main(what: str, *names: str) -> None:
    if what == "record":
        from tests.backend.campaign.golden.scenarios import SCENARIOS

        for name in names or SCENARIOS:
            with tempfile.TemporaryDirectory() as directory:
                play = SCENARIOS[name]
                recorder = play(Path(directory))
                recorder.write(name, play.__doc__ or "")
                kinds = dict.fromkeys(event.kind for event in recorder.events)
                print(f"{name}: {len(recorder.events)} events, {len(recorder.checkpoints)} checkpoints: {' '.join(kinds)}")
                recorder.world.store.close()
    elif what == "demo":
        from tests.backend.campaign.golden.recording import demo

        with tempfile.TemporaryDirectory() as directory:
            demo(Path(directory), names[1:]).write(names[0], "mcal demo " + " ".join(names[1:]))
    elif what == "expect":
        from tests.backend.campaign.golden.replay import expect

        for name in names or sorted(path.name.removesuffix(".json.gz") for path in HERE.glob("*.json.gz")):
            expect(name)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [""]))
