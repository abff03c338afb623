/* Functions that are inlined two deep, one of them in pieces; see README.md. */
volatile int sink;

static inline __attribute__((always_inline)) int innermost(int x)
{
	return x * sink + 3;
}

static inline __attribute__((always_inline)) int middle(int x)
{
	int sum = innermost(x);
	if (sum > 5)
		sum += innermost(sum);
	return sum;
}

__attribute__((noinline)) int outer(int x)
{
	sink = middle(x);
	return middle(sink) + 1;
}

void _start(void)
{
	sink = outer(middle(7));
	for (;;)
		;
}
