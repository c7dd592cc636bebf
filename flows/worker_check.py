"""What a Dask worker does before it gets nights of a run: it looks whether it has that run's home, addresses and code.

Imported within the workers and where they are started; imports distributed.
"""

from distributed import Worker, WorkerPlugin
from distributed.core import Status

from stockml.home import home
from tasks.workplace import Workplace, check


class SameWorkplace(WorkerPlugin):
    """Refuses a worker that is unlike the run. `marker` is a key that the scheduler knows while the run lasts, and the
    topic under which the run is told of a refusal.

    One that was there before the run is left alone, and the error ends the run. One that joins later (`late`) hears of
    no task before its setup has ended: refused, it takes none and leaves, and the run goes on without it.
    """

    def __init__(self, expected: Workplace, marker: str, *, late: bool) -> None:
        self.expected, self.marker, self.late = expected, marker, late

    async def setup(self, worker: Worker) -> None:
        """Raises UnlikeWorker, and InvalidSetting where the worker's environment names no possible home."""
        try:
            check(self.expected, home(), worker.address)
        except Exception as refused:
            if self.late and await self._lasts(worker):
                worker.log_event(self.marker, str(refused))
                worker.status = Status.paused
                worker.loop.add_callback(worker.close_gracefully, restart=False, reason=str(refused))
            raise

    async def _lasts(self, worker: Worker) -> bool:
        """Whether the run is still there: a run that was killed leaves its check with the scheduler."""
        states = await worker.scheduler.get_task_status(keys=[self.marker])
        return states.get(self.marker) is not None
