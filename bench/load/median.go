package load

import "slices"

// Medians returns the median of every metric over several runs. A metric that
// is not in all of them is left out.
func Medians(runs []Figures) Figures {
	out := Figures{}
	if len(runs) == 0 {
		return out
	}
	for m := range runs[0] { // any order: each is its own
		values := make([]float64, 0, len(runs))
		for _, r := range runs {
			if v, ok := r[m]; ok {
				values = append(values, v)
			}
		}
		if len(values) == len(runs) {
			out[m] = median(values)
		}
	}
	return out
}

func median(values []float64) float64 {
	slices.Sort(values)
	if middle := len(values) / 2; len(values)%2 == 1 {
		return values[middle]
	} else {
		return (values[middle-1] + values[middle]) / 2
	}
}
