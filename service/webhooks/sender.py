"""The thread of the server that sends events to other systems."""

from datetime import timedelta
from threading import Event, Thread

import httpx
import structlog

from service.db import now_of
from service.locks import try_lock
from service.scoring.resources import Resources
from service.tables import OutboxEvent
from service.webhooks import outbox
from service.webhooks.delivery import TIMEOUT_S, NotDelivered, deliver

POLL_S = 2.0
BATCH = 20
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=6)
MAX_FAILURES = 16  # about two days
KEPT_FOR = timedelta(days=7)

log = structlog.get_logger()


class WebhookSender:
    """
    A thread that posts each event to every address of the settings, until each has taken it.

    One process sends at a time. An event may arrive twice, if that process dies between the
    delivery and its note: receivers know it by its id.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start the thread, if the settings name an address."""
        if self._resources.settings.webhook_url_list:
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                with try_lock(self._resources.engine, "webhooks") as held:
                    if held:
                        send_due(self._resources)
            except Exception as error:  # the thread must outlive a database that is away
                log.error("webhooks failed, will try again", exc_info=error)


def send_due(resources: Resources) -> None:
    """Send the events that are due, each in a transaction of its own."""
    with resources.read_sessions.begin() as session:
        events = outbox.due_events(session, BATCH)
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
        for event in events:
            _send(resources, client, event)
    with resources.sessions.begin() as session:
        outbox.delete_before(session, now_of(session) - KEPT_FOR)


def _send(resources: Resources, client: httpx.Client, event: OutboxEvent) -> None:
    settings = resources.settings
    assert settings.webhook_secret is not None  # the settings require it with an address
    secret = settings.webhook_secret.get_secret_value()
    delivered, failed = list(event.delivered_to), False
    for url in settings.webhook_url_list:
        if url in delivered:
            continue
        try:
            deliver(client, event, url, secret, allows_private=settings.webhook_private_addresses)
        except NotDelivered as error:
            failed = True
            log.warning("webhook not delivered", url=url, webhook=event.id, reason=str(error))
        else:
            delivered.append(url)
    pause = _pause(event) if failed else None
    if failed and pause is None:
        log.error("webhook given up", webhook=event.id, type=event.type)
    with resources.sessions.begin() as session:
        outbox.save_try(session, event.id, delivered, pause)


def _pause(event: OutboxEvent) -> timedelta | None:
    """Return the time until the next try, twice as long each time; None after the last one."""
    if event.num_failures + 1 >= MAX_FAILURES:
        return None
    pause_s = FIRST_PAUSE.total_seconds() * 2.0**event.num_failures
    return min(LONGEST_PAUSE, timedelta(seconds=pause_s))
