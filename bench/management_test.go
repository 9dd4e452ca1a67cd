package bench

import (
	"slices"
	"testing"
)

func TestEveryMeasurementOfTheManagementHasABar(t *testing.T) {
	bars, err := Bars()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range (&management{}).measurements() {
		judged := slices.ContainsFunc(bars, func(b Bar) bool { return b.fits(x.bench, b.Metric) })
		if !judged {
			t.Errorf("%s is measured and judged by no bar", x.bench)
		}
	}
}
