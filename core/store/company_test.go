package store

import (
	"testing"

	"github.com/lagan-storage/lagan/core/step"
)

func TestCompanyIsAnotherCopyThatWasUsedLately(t *testing.T) {
	s := &Store{}
	expect := func(when string, h Handle, want bool) {
		t.Helper()
		if s.Company(h) != want {
			t.Errorf("%s: copy %d has company: %v, want %v", when, h, !want, want)
		}
	}
	use := func(h uint32, at step.Time) {
		s.now = at
		s.company.note(h, at)
	}
	expect("nothing was used", 1, false)
	use(1, 10)
	use(1, 11)
	expect("only itself was used", 1, false)
	expect("the other was used", 2, true)
	use(2, 12)
	use(1, 13)
	expect("both were used", 1, true)
	expect("both were used", 2, true)
	for now := step.Time(13); now < step.Time(12).Add(companyFor); now = now.Add(companyFor / 4) {
		use(1, now)
		expect("the other has not rested for long", 1, true)
	}
	use(1, step.Time(12).Add(companyFor))
	expect("the other has rested", 1, false)
}
