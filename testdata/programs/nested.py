"""python nested.py SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back."""
import sys
import time


def hot(turns, x):
    for _ in range(turns):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
    return x


def middle(x):
    return sum(hot(100, x + i) for i in range(10))


def key(word):
    return word[::-1]


def sorts(x):
    return len(sorted((hex(x * 31 + i) for i in range(200)), key=key)[0])


def outer(until):
    x = 1
    while time.process_time() < until:
        x = middle(x) + sorts(x)
    return x


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(outer(seconds), file=sys.stderr)


main()
