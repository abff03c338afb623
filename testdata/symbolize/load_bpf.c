/* Loads the programs of an object and keeps them, attached to nothing, until its input ends. */
#include <bpf/libbpf.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct bpf_object *object = argc > 1 ? bpf_object__open(argv[1]) : NULL;
    if (!object || bpf_object__load(object))
        return 1;
    puts("loaded");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
