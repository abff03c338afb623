/* A library that exports an assembly label without a size, followed by functions that no symbol names once it is stripped. */
__asm__(".text\n.globl exported_label\n.type exported_label,@function\nexported_label:\n.cfi_startproc\n nop\n nop\n nop\n ret\n.cfi_endproc\n");

__attribute__((noinline)) static unsigned hidden(unsigned x)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < x; i++)
        sum = sum * 31 + i;
    return sum;
}

unsigned exported_last(unsigned x)
{
    return hidden(x) + 1;
}
