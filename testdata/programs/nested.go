// nested SECONDS: two goroutines, each of which uses the time in hotA (no frame of its own, called by middle) and hotB, sorts with a
// closure, and allocates, so that the garbage collector works too.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

//go:noinline
func hotA(turns int, x uint64) uint64 {
	for i := 0; i < turns; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func hotB(turns int, x uint64) uint64 {
	var kept [8]uint64
	for i := range kept {
		kept[i] = hotA(turns/8, x+uint64(i))
	}
	return kept[x%8]
}

//go:noinline
func middle(x uint64) uint64 {
	return hotA(60000, x) + hotB(60000, x)
}

//go:noinline
func sorts(x uint64) uint64 {
	words := make([]string, 200)
	for i := range words {
		x = x*6364136223846793005 + 1442695040888963407
		words[i] = strconv.FormatUint(x, 16)
	}
	sort.Slice(words, func(a, b int) bool { return words[a] < words[b] })
	return uint64(len(words[0])) + x
}

//go:noinline
func outer(until time.Time) uint64 {
	x := uint64(1)
	for time.Now().Before(until) {
		x = middle(x) + sorts(x)
	}
	return x
}

func main() {
	seconds := 1.0
	if len(os.Args) > 1 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var all sync.WaitGroup
	var sums [2]uint64
	for i := range sums {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			sums[i] = outer(until)
		}(i)
	}
	all.Wait()
	fmt.Fprintln(os.Stderr, sums[0]^sums[1])
}
