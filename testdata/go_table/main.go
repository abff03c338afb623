package main

import (
	"fmt"
	"sort"
	"strings"
)

func work(n int) int {
	words := strings.Fields(strings.Repeat("some words to sort ", n))
	sort.Strings(words)
	return len(words)
}

func main() {
	done := make(chan int)
	go func() { done <- work(100) }()
	fmt.Println(<-done)
}
