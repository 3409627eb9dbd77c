from __future__ import annotations

import json
import signal
import subprocess
import sys

CALL = [sys.executable, "-c", "from agent.cli import main; main()", "run", "--memory-only"]


def test_logs_json_where_no_terminal_looks_and_ends_at_sigterm() -> None:
    with subprocess.Popen(CALL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:  # noqa: S603
        try:
            assert agent.stderr is not None
            first = json.loads(agent.stderr.readline())
            agent.send_signal(signal.SIGTERM)
            _, rest = agent.communicate(timeout=10)
        finally:
            agent.kill()
    assert first["event"] == "starting"
    assert [json.loads(line)["event"] for line in rest.splitlines()][-1] == "stopped"
    assert agent.returncode == 0


def test_loads_nothing_heavy_that_it_does_not_use() -> None:
    """Each of these costs megabytes on every node."""
    program = (
        "import sys; from agent.cli.run import import_structlog_alone; import_structlog_alone(); import agent.daemon;"
        "heavy = {'asyncio', 'ssl', '_hashlib', 'rich.console', 'docker', 'pyroute2', 'kubernetes'};"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)  # noqa: S603
    assert ran.stdout.split() == []
