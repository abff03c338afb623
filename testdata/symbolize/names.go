// Functions of Go: methods, generics, closures, and calls that are inlined two deep.
package main

import (
	"fmt"
	"os"
	"sort"
)

type shape interface{ area() int }

type square struct{ side int }

type circle struct{ radius int }

func (s square) area() int { return multiply(s.side, s.side) }

func (c *circle) area() int { return multiply(multiply(c.radius, c.radius), 3) }

// Inlined, as it is small.
func multiply(a, b int) int { return add(a*b, 1) }

func add(a, b int) int { return a + b }

//go:noinline
func sum[T int | float64](values []T) T {
	var total T
	for _, value := range values {
		total += value
	}
	return total
}

// A function whose name looks as what gcc calls a part of another.
//
//go:noinline
func cold(shapes []shape) int {
	total := 0
	for _, one := range shapes {
		total += one.area()
	}
	return total
}

func main() {
	shapes := []shape{square{len(os.Args)}, &circle{2}}
	numbers := []int{3, 1, 2}
	sort.Slice(numbers, func(i, j int) bool { return multiply(numbers[i], 2) < multiply(numbers[j], 2) })
	fmt.Println(cold(shapes), sum(numbers), sum([]float64{1.5}))
}
