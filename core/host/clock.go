package host

import (
	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/step"
)

// Boottime reads CLOCK_BOOTTIME, which goes on while the machine sleeps: a
// grant given before a suspend has run out after it.
func Boottime() step.Time {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("host: CLOCK_BOOTTIME cannot be read: " + err.Error()) // since Linux 2.6.39 it can
	}
	return step.Time(t.Nano())
}
