"""A model server that costs as little as possible: it streams so many pieces, with so long between them.

    python benchmarks/broker_server.py --pieces 8 --gap-ms 0 --first-ms 0

It prints its port. Prompts are read and thrown away; "max_tokens" of a call sets its number of pieces.
"""

from __future__ import annotations

import argparse
import asyncio
import json

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**fields: object) -> bytes:
    base = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "bench", "choices": []}
    return chunk(b"data: " + json.dumps(base | fields).encode() + b"\n\n")


def piece(text: str, finish: str | None = None) -> bytes:
    delta = {"content": text} if text else {}
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self._first_s, self._gap_s = options.first_ms / 1000, options.gap_ms / 1000

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                if head.startswith(b"GET"):
                    listed = {
                        "object": "list",
                        "data": [{"id": "bench", "object": "model", "created": 0, "owned_by": "x"}],
                    }
                    writer.write(HEAD % b"application/json" + chunk(json.dumps(listed).encode()) + chunk(b""))
                else:
                    await self._stream(writer, json.loads(body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter, asked: dict[str, object]) -> None:
        count = int(str(asked.get("max_tokens") or 8))
        await asyncio.sleep(self._first_s)
        writer.write(HEAD % b"text/event-stream")
        for number in range(count):
            writer.write(piece(f"{number} "))
            if self._gap_s:
                await writer.drain()
                await asyncio.sleep(self._gap_s)
        usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count}
        writer.write(piece("", "stop") + event(usage=usage) + chunk(b"data: [DONE]\n\n") + chunk(b""))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first-ms", type=float, default=0.0, help="before the first piece")
    parser.add_argument("--gap-ms", type=float, default=0.0, help="after each piece")
    server = Server(parser.parse_args())
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
