// Functions of this file alone in namespaces and classes, inlined: GCC gives them no linkage names.
#include <cstdio>
#include <cstdlib>

namespace app {
namespace {
struct Box {
    unsigned value;
    unsigned step(unsigned n)
    {
        for (unsigned i = 0; i < n; i++)
            value = value * 1664525u + 1013904223u;
        return value;
    }
};
unsigned hidden(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        n = n * 22695477u + 1u;
    return n;
}
}
namespace inner {
static unsigned other(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        n = n * 1103515245u + 12345u;
    return n;
}
}
extern "C" inline unsigned of_c(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        n = n * 69069u + 3u;
    return n;
}
}

static unsigned outside(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        n = n * 134775813u + 1u;
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? std::atoi(argv[1]) : 100000;
    app::Box box{1};
    auto lambda = [n](unsigned m) {
        for (unsigned i = 0; i < n; i++)
            m = m * 214013u + 2531011u;
        return m;
    };
    std::printf("%u\n", box.step(n) + app::hidden(n) + app::inner::other(n) + app::of_c(n) + outside(n) + lambda(n));
}
