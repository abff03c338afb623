// A function, a method and a template of D.
module names;

import core.stdc.stdio;

struct Square
{
    uint side;

    pragma(inline, false) uint area() const
    {
        return side * side + 1;
    }
}

pragma(inline, false) T twice(T)(T value)
{
    return cast(T)(value * 2 + value / 3);
}

extern (C) int main(int argc, char** argv)
{
    auto square = Square(cast(uint) argc);
    printf("%u\n", square.area() + twice!uint(square.side));
    return 0;
}
