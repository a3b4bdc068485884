"""What extra params do to campaigns: start one, change its settings, or nothing at all.

Label Studio repeats ``/setup`` with the same extra params whenever somebody opens the settings page, so only a *change* since the
last setup acts. The extra params as given are kept in the event they caused; settings changed elsewhere (CLI, page) stay.

Every member of Label Studio may write extra params. So they loosen nothing that guards money or the promise: that is the admin's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.campaign import events, history
from backend.campaign.earlier import refuse_beside_an_earlier_one
from backend.campaign.fitting import refuse_what_needs_classes
from backend.campaign.history import Entry
from backend.campaign_settings import as_recorded, campaign_defaults, parse_setting, refuse_to_loosen
from backend.label_studio.config import campaign_control
from backend.protocol.ports import CampaignStore, JobQueue, ParsedSettings, SettingsParser
from backend.store import Campaign, Conflict, retried, same_address
from mcal_engine.errors import HistoryError, InvalidValue

Settings = events.Requested | events.Created | events.SettingsChanged


class CampaignSetup:
    """Applies extra params of one Label Studio's projects."""

    def __init__(
        self,
        store: CampaignStore,
        queue: JobQueue,
        label_studio_url: str,
        parse_settings: SettingsParser,
    ) -> None:
        self._store = store
        self._queue = queue
        self._url = label_studio_url
        self._parse_settings = parse_settings

    def latest(self, project_id: int) -> Campaign | None:
        """The live campaign on the project, or else the one that ended last."""
        return self._store.live_campaign(self._url, project_id) or next(iter(self._campaigns(project_id)), None)

    def settings(self, campaign: Campaign) -> dict[str, Any]:
        """The campaign's settings as they are now; ``{}`` where its history has none."""
        return _settings(self._settings_of(campaign.id))

    def apply(self, project_id: int, given: dict[str, Any], label_config: str) -> Campaign:
        """Start or change a campaign if ``given`` differs from the last setup's extra params; return the one it is about now.

        An ended campaign is not started again by the same extra params: opening a page must not buy labels.

        Raises:
            InvalidValue: a setting or the label config breaks a rule; nothing has changed.
            Conflict: other writers were faster, again and again.
        """

        def judge() -> Campaign:
            campaign = self.latest(project_id)
            last_given = self._last_given(project_id)
            if campaign is not None and last_given is not None and not self._difference(given, last_given):
                return campaign
            live = self._store.live_campaign(self._url, project_id)
            return self._start(project_id, given, label_config) if live is None else self._change(live, given, last_given, label_config)

        return retried(f"the campaign of project {project_id}", judge)

    def _start(self, project_id: int, given: dict[str, Any], label_config: str) -> Campaign:
        settings = self._parse_settings(given)
        refuse_to_loosen({name: parse_setting(name, value) for name, value in campaign_defaults().items()}, settings.model_dump())
        self._check_label_config(label_config, settings)
        refuse_beside_an_earlier_one(self._store, self._url, project_id)
        request = events.Requested(settings=settings.model_dump(mode="json"), source="setup", extra_params=given)
        try:
            campaign = self._store.create_campaign(project_id, self._url, [history.new(request)])
        except InvalidValue:
            if self._store.live_campaign(self._url, project_id) is None:
                raise
            raise Conflict(f"project {project_id}: another campaign was started meanwhile") from None
        self._queue.enqueue(campaign.id, "setup")
        return campaign

    def _change(self, live: Campaign, given: dict[str, Any], last_given: dict[str, Any] | None, label_config: str) -> Campaign:
        said = self._settings_of(live.id)
        seen = said[-1].seq if said else 0
        seen = max((event.seq for event in self._store.events(live.id, after=seen)), default=seen)
        current = _settings(said)
        news = given if last_given is None else self._difference(given, last_given)
        merged = self._parse_settings(news, defaults=current)
        after = merged.model_dump(mode="json")
        refuse_to_loosen(current, after)
        changed = sorted(name for name in after if after[name] != current.get(name))
        if "label_controls" in changed:
            self._check_label_config(label_config, merged)
        # Appended even where nothing changes (the CLI was there first), so that the next setup is compared with this one.
        event = events.SettingsChanged(settings=after, changed=tuple(changed), by="setup", extra_params=given)
        self._store.append(live.id, [history.new(event)], expected_seq=seen)
        if changed:
            self._queue.enqueue(live.id, "setup")
        return live

    def _check_label_config(self, label_config: str, settings: ParsedSettings) -> None:
        if not label_config.strip():
            raise InvalidValue("schema must hold the project's label config")
        refuse_what_needs_classes(settings, campaign_control(label_config, settings.label_controls))

    def _campaigns(self, project_id: int) -> list[Campaign]:
        """This project's campaigns, newest first."""
        here = same_address(self._url)
        mine = (row for row in self._store.campaigns() if row.project_id == project_id and same_address(row.label_studio_url) == here)
        return sorted(mine, key=lambda row: row.id, reverse=True)

    def _settings_of(self, campaign_id: int) -> list[Entry[Settings]]:
        return history.read(self._store, campaign_id, events.Requested, events.Created, events.SettingsChanged)

    def _last_given(self, project_id: int) -> dict[str, Any] | None:
        for campaign in self._campaigns(project_id):
            try:
                said = history.read(self._store, campaign.id, events.Requested, events.SettingsChanged)
            except HistoryError:  # an unreadable one that has ended stands in nobody's way
                if campaign == self._store.live_campaign(self._url, project_id):
                    raise
                continue
            for entry in reversed(said):
                if entry.event.extra_params is not None:
                    return entry.event.extra_params
        return None

    def _difference(self, given: dict[str, Any], last_given: dict[str, Any]) -> dict[str, Any]:
        """Settings that today's extra params make other than the last ones did; a setting that was left out is back at its default."""
        if given == last_given:
            return {}
        wanted = self._parse_settings(given).model_dump(mode="json")
        before = self._dump(last_given)
        return {name: value for name, value in wanted.items() if name not in before or before[name] != value}

    def _dump(self, last_given: dict[str, Any]) -> dict[str, Any]:
        """The last setup's settings; ``{}`` where today's rules refuse what an older version took."""
        try:
            return self._parse_settings(last_given).model_dump(mode="json")
        except InvalidValue:
            return {}


def _settings(said: Sequence[Entry[Settings]]) -> dict[str, Any]:
    return as_recorded(said[-1].event.settings) if said else {}
