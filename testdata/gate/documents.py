"""JSON is written and read again, `documents.py [DOCUMENTS]`: half by the interpreter, half by its accelerators in C.

Prints the work done and a sum over all texts.
"""
import json
import json.encoder
import random
import sys
import zlib


def make(draw, depth):
    if depth == 0:
        return draw.choice([draw.random(), draw.randrange(10**6), "text %x" % draw.getrandbits(40), None, True])
    if draw.random() < 0.5:
        return [make(draw, depth - 1) for _ in range(4)]
    return {"key %d" % draw.randrange(100): make(draw, depth - 1) for _ in range(4)}


class Slow(json.JSONEncoder):
    """The encoder in Python: that in C does not indent."""

    def __init__(self):
        super().__init__(indent=1, sort_keys=True)


def walk(value):
    if isinstance(value, dict):
        return sum(walk(each) for each in value.values()) + len(value)
    if isinstance(value, list):
        return sum(map(walk, value)) + 1
    return len(value) if isinstance(value, str) else 1


def main():
    documents = int(sys.argv[1]) if len(sys.argv) > 1 else 680
    draw = random.Random(8)
    slow, total = Slow(), 0
    values = [make(draw, 4) for _ in range(8)]
    for number in range(documents):
        value = values[number % len(values)]
        text = json.dumps(value)
        again = json.loads(text)
        indented = slow.encode(again)
        total = zlib.crc32(indented.encode(), total) ^ walk(json.loads(indented))
    print("documents %d\nsum %08x" % (documents, total))


main()
