"""What leaves the machine: redacted where it must be, kept always, and put right again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from swarmd.config import Settings
from swarmd.errors import ModelError
from swarmd.messages import CallContext, ChatCall, ChatReply, Usage
from swarmd.models.outgoing import Outgoing
from swarmd.models.sent import Record, about_to_send

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
REMOTE: dict[str, Any] = {
    "provider": "openai",
    "base_url": "https://models.example/v1",
    "api_key_env": "MY_KEY",
}


class Provider:
    """Sends the last message and repeats it, cut into two pieces."""

    kind = "openai"

    def __init__(self, *, local: bool) -> None:
        self.local = local
        self.seen = ""

    async def chat(self, call: ChatCall, on_piece: Any) -> ChatReply:
        self.seen = text = call.messages[-1].content
        about_to_send(text.encode())
        half = text.find("REDACTED_") + 4
        on_piece("begun wrongly")
        on_piece(None)
        on_piece(text[:half])
        on_piece(text[half:])
        return ChatReply(text=text, model="m", provider="x", finish="stop", usage=Usage(), latency_ms=1)


class Lab:
    def __init__(self, folder: Path, *, local: bool = False) -> None:
        settings = Settings.model_validate({"models": {"far": REMOTE}})
        self.folder = folder / "sent"
        self.outgoing = Outgoing(settings, self.folder, {"MY_KEY": "correct horse battery"})
        self.provider = Provider(local=local)
        self.record = Record()
        self.pieces: list[str | None] = []

    def ask(self, text: str, privacy: Any) -> str:
        call = ChatCall.model_validate(
            {"tier": "deep", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        )
        about = CallContext(workspace="/srv/acme/shop")
        asked = self.outgoing.chat(self.provider, call, self.pieces.append, about, privacy, self.record)  # type: ignore[arg-type]
        return asyncio.run(asked).text

    def kept(self) -> list[str]:
        return [path.read_text() for path in self.folder.iterdir()]


TEXT = f"key = {KEY!r} of /srv/acme/shop/cart.py, not correct horse battery"


def test_balanced_takes_secrets_and_paths_out_and_puts_them_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert lab.ask(TEXT, "balanced") == TEXT
    for secret in (KEY, "/srv/acme/shop", "correct horse battery"):
        assert secret not in lab.provider.seen
    assert "cart.py" in lab.provider.seen
    assert lab.kept() == [lab.provider.seen], "what is kept is what was sent"
    assert (lab.record.bytes, lab.record.redacted) == (len(lab.provider.seen), 3)
    begun_anew = lab.pieces.index(None)
    assert "".join(piece or "" for piece in lab.pieces[begun_anew:]) == TEXT


def test_without_privacy_it_goes_as_it_is_and_is_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert lab.ask(TEXT, "off") == TEXT
    assert lab.kept() == [TEXT]
    assert (lab.record.redacted, len(lab.record.sha256)) == (0, 1)


def test_what_stays_on_the_machine_is_neither_changed_nor_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path, local=True)
    assert lab.ask(TEXT, "balanced") == TEXT
    assert lab.provider.seen == TEXT
    assert not lab.folder.exists()
    assert lab.record.bytes == 0


def test_what_cannot_be_kept_is_not_sent(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.folder.write_text("in the way")
    with pytest.raises(ModelError) as caught:
        lab.ask(TEXT, "off")
    assert caught.value.code == "E-MODEL-SENT"
    assert not lab.pieces
