package volume

import (
	"cmp"
	"slices"
)

// Nearest returns the one of known that word could have been meant to be, ""
// if none is near.
func Nearest(word string, known []string) string {
	nearest := slices.MinFunc(known, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(a, word), distance(b, word)), cmp.Compare(a, b))
	})
	if distance(nearest, word) > max(2, len(nearest)/2) {
		return ""
	}
	return nearest
}

// distance is how many characters must be put in, left out or exchanged to
// make one word of the other.
func distance(a, b string) int {
	if len(b) > optionMax {
		return len(b) // no key is like that, and the table below would be large
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			exchange := diagonal
			if a[i] != b[j] {
				exchange++
			}
			diagonal = row[j+1]
			row[j+1] = min(exchange, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
