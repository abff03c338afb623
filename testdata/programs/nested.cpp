/*
 * nested SECONDS: main calls outer, outer calls middle through a virtual function, middle is a template that calls hot: names that
 * the compiler mangles.
 *
 * Prints: CPU <seconds>
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

static double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

namespace planted {

template <typename Number>
[[gnu::noinline]] Number hot(unsigned turns, Number x) {
    for (unsigned turn = 0; turn < turns; turn++) {
        x = x * Number(1664525) + Number(1013904223);
        asm volatile("" : "+r"(x));
    }
    return x;
}

struct Layer {
    virtual ~Layer() = default;
    virtual std::uint64_t middle(const std::vector<std::uint64_t> &values) const = 0;
};

struct Twice : Layer {
    [[gnu::noinline]] std::uint64_t middle(const std::vector<std::uint64_t> &values) const override {
        std::uint64_t sum = 0;
        for (std::uint64_t value : values) sum += hot<std::uint64_t>(3000, value);
        return sum;
    }
};

[[gnu::noinline]] std::uint64_t outer(const Layer &layer, std::uint64_t x) {
    x = layer.middle({x, x + 1, x + 2});
    asm volatile("" : "+r"(x));
    return x;
}

} // namespace planted

int main(int count, char **arguments) {
    double seconds = count > 1 ? std::atof(arguments[1]) : 1;
    planted::Twice layer;
    std::uint64_t x = 1;
    while (cpu_seconds() < seconds) x = planted::outer(layer, x);
    std::printf("CPU %f\n", cpu_seconds());
    return x == 0;
}
