"""A work session that leads in the test's own process, without a loop and with a clock for its figures."""

from datetime import datetime, timedelta

from listener.events import Event, Job, Led, RunUpload, Source
from listener.flags import Flags
from listener.metrics import Metrics
from listener.shipstation.client import ShipStation
from listener.work import WorkSession
from listener.workflows.upload_orders import UploadOrders


class Leading:
    """Runs jobs one by one. There is no ShipStation."""

    def __init__(self, url: str, now: datetime, *, dry_run: bool = False) -> None:
        self.now = now
        self.metrics = Metrics("test", "listener p work", lambda: self.now)
        upload = UploadOrders(ShipStation("http://127.0.0.1:9", "key", "secret"), self.metrics)
        self.session = WorkSession(url, "listener p work", upload, self.metrics, dry_run=dry_run)
        assert isinstance(self.run(Job.LEAD), Led)
        self.metrics.set(role="leader")

    def run(self, job: Job) -> Event:
        """Run a job, and return how it ended."""
        return self.session.run(RunUpload(job, Source.HEARTBEAT, silence=False), Flags()).event

    def pass_minutes(self, n: int) -> None:
        """Let n minutes pass, with something to be counted in each."""
        for _ in range(n):
            self.metrics.missed()
            self.now += timedelta(minutes=1)
