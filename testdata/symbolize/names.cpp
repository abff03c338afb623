// Templates, a constructor, a lambda, an anonymous namespace, and inlining across them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <vector>

namespace shapes {
struct Circle {
    explicit Circle(double r);
    double area() const;
    double radius;
};
__attribute__((noinline)) Circle::Circle(double r) : radius(r * 1.5) { std::puts("circle"); }
__attribute__((noinline)) double Circle::area() const { return 3.14159 * radius * radius; }
}

namespace {
template <typename T> __attribute__((noinline)) T total(const std::vector<T> &values)
{
    return std::accumulate(values.begin(), values.end(), T{}, [](T a, T b) { return a + b * b; });
}
}

int main(int argc, char **argv)
{
    std::vector<int> numbers(argc > 1 ? std::atoi(argv[1]) : 1000);
    for (std::size_t i = 0; i < numbers.size(); i++)
        numbers[i] = static_cast<int>((i * 7919) % 1009);
    std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a > b; });
    std::map<std::string, int> counts;
    for (int number : numbers)
        counts[std::to_string(number % 10)] += number;
    shapes::Circle circle(counts.size());
    std::printf("%d %f %zu\n", total(numbers), circle.area(), counts.size());
    return 0;
}
