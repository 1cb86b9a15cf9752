"""Measures how fast cryptofeed (PyPI) decodes a Kraken recording and applies it to its books, on one core.

Usage: python cryptofeed_normalise.py RECORDING [REPEAT] [checksums]. Prints one JSON object, of the same shape as
`openmesh-bench normalise`. As there, reading and splitting the file is not measured, nor is what comes before the
first frame (lists of instruments), and every repetition begins with a new feed. Everything is as cryptofeed has it by
default, so the venue's checksums are not held against its books; with `checksums` they are, which is what ours does always.
"""

import asyncio
import gzip
import json
import sys
import time

from cryptofeed.defines import L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import Kraken
from cryptofeed.symbols import Symbols


def read(path):
    with gzip.open(f"{path}/frames.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


async def nothing(_data, _receipt):
    pass


def feed_of(header, instruments, checksums):
    normalized, info = Kraken._parse_symbol_data(json.loads(instruments))
    Symbols.set(Kraken.id, normalized, info)
    channels = {"l2_book": L2_BOOK, "ticker": TICKER, "trades": TRADES}
    subscription = {channels[name]: symbols for name, symbols in header["config"].items() if name in channels}
    callbacks = {channel: nothing for channel in subscription}
    options = {"checksum_validation": True} if checksums else {}
    return Kraken(subscription=subscription, callbacks=callbacks, **options)


async def play(feed, frames):
    class Connection:
        uuid = "recorded"

    events = 0
    started = time.perf_counter()
    for frame, at in frames:
        await feed.message_handler(frame, Connection, at)
        events += 1
    return time.perf_counter() - started


def main():
    path, repeat = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    checksums = "checksums" in sys.argv[3:]
    lines = read(path)
    header = lines[0]
    instruments = next(line["data"] for line in lines if line["t"] == "http")
    frames = [(line["data"], line["ts"]) for line in lines if line["t"] == "recv"]
    took = []
    for _ in range(repeat):
        feed = feed_of(header, instruments, checksums)
        took.append(asyncio.run(play(feed, frames)))
    print(
        json.dumps(
            {
                "recording": path,
                "exchange": header["exchange"],
                "checksums": checksums,
                "repeat": repeat,
                "frames": len(frames) * repeat,
                "seconds": sum(took),
                "frames_per_second": round(len(frames) * repeat / sum(took)),
                "frames_per_second_best": round(len(frames) / min(took)),
            }
        )
    )


if __name__ == "__main__":
    main()
