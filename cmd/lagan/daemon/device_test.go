package daemon

import (
	"errors"
	"testing"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/plugin/device"
)

func TestOutcomesAreTheDriversOwn(t *testing.T) {
	other := errors.New("something else")
	for _, c := range []struct{ from, want error }{
		{nil, nil}, {host.ErrNoSpace, device.ErrNoSpace}, {host.ErrGone, device.ErrGone}, {other, other},
	} {
		var got error
		calls := 0
		o := &operation{}
		o.request = &device.Request{Done: func(_ *device.Request, err error) { got = err; calls++ }}
		o.done(&o.Operation, c.from)
		if calls != 1 || !errors.Is(got, c.want) || o.request != nil {
			t.Errorf("%v became %v after %d calls, want %v after one", c.from, got, calls, c.want)
		}
	}
}
