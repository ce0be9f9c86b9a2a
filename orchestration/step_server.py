"""Imported only by the server from which Dagster forks step processes: they stay silent when they are stopped."""

import signal
import sys

from orchestration.cli.stop import NoiseFilter

# A Ctrl-C in the moment before Dagster handles signals in a new process would end it with a traceback; the run's own
# process hears of it, too.
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stderr = NoiseFilter(sys.stderr)
