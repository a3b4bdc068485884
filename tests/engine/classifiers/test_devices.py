"""What devices are asked for besides computing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="NOT RUN: only glibc gives memory back at once")
def test_a_process_keeps_the_memory_of_one_batch_for_the_next():
    code = textwrap.dedent(
        """
        import resource
        import numpy as np
        from mcal_engine.classifiers import devices

        def faults(batches):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(batches):
                np.ones(2**26, dtype=np.uint8)  # 64 MB
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        devices.keep_memory()
        print(faults(1), faults(8))
        """
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    first, later = map(int, found.stdout.split())
    assert later < max(first, 100)
