"""What happens to a call that leaves this machine: its secrets are taken out, what is sent is kept, and the
reply is put right again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swarmd.config import Settings
from swarmd.messages import CallContext, ChatCall, ChatReply
from swarmd.models.privacy import Privacy
from swarmd.models.providers.base import OnPiece, Provider
from swarmd.models.redaction import Restorer, Table, redact_call
from swarmd.models.sent import Record, recording

__all__ = ["Outgoing"]


class Outgoing:
    """Asks providers. Those on this machine are simply asked."""

    def __init__(self, settings: Settings, folder: Path, env: Mapping[str, str]) -> None:
        """``folder`` is where what is sent is kept; ``env`` holds the keys, which no prompt may have."""
        names = (model.api_key_env for model in settings.models.values())
        self._keys = [env[name] for name in names if name and env.get(name)]
        self._folder = folder

    async def chat(
        self,
        provider: Provider,
        call: ChatCall,
        on_piece: OnPiece,
        about: CallContext,
        privacy: Privacy,
        record: Record,
    ) -> ChatReply:
        """The reply of ``provider``. What went out is noted in ``record``. Raises as ``Provider.chat``."""
        if provider.local:
            return await provider.chat(call, on_piece)
        if privacy != "balanced":
            with recording(record, self._folder):
                return await provider.chat(call, on_piece)
        roots = [about.workspace] if about.workspace else []
        clean, table = redact_call(call, roots, self._keys)
        record.redacted += table.found
        pieces = _Pieces(table, call, on_piece)
        with recording(record, self._folder):
            reply = await provider.chat(clean, pieces.take)
        pieces.end()
        return reply.model_copy(update={"text": table.restore(reply.text, as_json=call.schema_ is not None)})


class _Pieces:
    """Passes a reply's pieces on, restored."""

    def __init__(self, table: Table, call: ChatCall, on_piece: OnPiece) -> None:
        self._table, self._as_json, self._on_piece = table, call.schema_ is not None, on_piece
        self._restorer: Restorer = table.restorer(as_json=self._as_json)

    def take(self, piece: str | None) -> None:
        if piece is None:
            self._restorer = self._table.restorer(as_json=self._as_json)
            self._on_piece(None)
        elif text := self._restorer.feed(piece):
            self._on_piece(text)

    def end(self) -> None:
        if text := self._restorer.end():
            self._on_piece(text)
