package volume_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestScheduleIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"daily=12:00/7+every=60m/24+weekly=sun@12:00/5+monthly=15@12:00/12": "daily=12:00/7+every=1h/24+weekly=sun@12:00/5+monthly=15@12:00/12",
		"every=90s/1":                 "every=90s/1",
		"every=24h/240":               "every=24h/240",
		"daily=00:00/1,daily=23:59/1": "daily=00:00/1+daily=23:59/1",
		"monthly=31@00:00/1":          "monthly=31@00:00/1",
	} {
		s, err := volume.ParseSchedule(text)
		if err != nil || s.String() != want {
			t.Errorf("%s: %s, %v", text, s, err)
		}
		if again, err := volume.ParseSchedule(s.String()); err != nil || again.String() != want {
			t.Errorf("%s: read again as %s, %v", want, again, err)
		}
	}
	for text, says := range map[string]string{
		"":                           "a rule as in",
		"daily":                      "a rule as in",
		"daily=12:00":                "a rule as in",
		"hourly=12:00/3":             "a rule as in",
		"daily=12:00/0":              "from 1 to 240",
		"daily=12:00/-1":             "from 1 to 240",
		"daily=12:00/241":            "from 1 to 240",
		"daily=12:00/7/7":            "from 1 to 240",
		"daily=24:00/7":              "in UTC",
		"daily=9:00/7":               "in UTC",
		"daily=12:00:00/7":           "in UTC",
		"weekly=12:00/7":             "a day and a time",
		"weekly=Sun@12:00/7":         "sun, mon, tue",
		"monthly=0@12:00/7":          "from 1 to 31",
		"monthly=32@12:00/7":         "from 1 to 31",
		"monthly=07@12:00/7":         "from 1 to 31",
		"every=9s/7":                 "from 10s to 24h",
		"every=25h/7":                "from 10s to 24h",
		"every=60/7":                 "from 10s to 24h",
		"every=1.5h/7":               "from 10s to 24h",
		"every=1hm/7":                "from 10s to 24h",
		"every=060m/7":               "from 10s to 24h",
		"every=60m/7+every=1h/2":     "each rule once",
		"every=60m/120+every=2h/121": "240 snapshots together",
		"every=60m/7+":               "a rule as in",
	} {
		_, err := volume.ParseSchedule(text)
		if !errors.Is(err, volume.ErrInvalidOption) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestRuleIsDueAtItsTimes(t *testing.T) {
	for _, c := range []struct{ rule, now, due, name string }{
		{"every=15m/1", "2026-01-02T03:04:05Z", "2026-01-02T03:00:00Z", "every-15m-20260102T030000Z"},
		{"every=15m/1", "2026-01-02T03:15:00Z", "2026-01-02T03:15:00Z", "every-15m-20260102T031500Z"},
		{"daily=12:00/1", "2026-01-02T11:59:59Z", "2026-01-01T12:00:00Z", "daily-20260101T120000Z"},
		{"daily=12:00/1", "2026-01-02T12:00:00Z", "2026-01-02T12:00:00Z", "daily-20260102T120000Z"},
		{"daily=01:00/1", "2026-01-02T00:30:00+02:00", "2026-01-01T01:00:00Z", "daily-20260101T010000Z"},
		{"weekly=sun@12:00/1", "2026-01-04T11:00:00Z", "2025-12-28T12:00:00Z", "weekly-sun-20251228T120000Z"}, // a Sunday
		{"weekly=sun@12:00/1", "2026-01-04T12:00:00Z", "2026-01-04T12:00:00Z", "weekly-sun-20260104T120000Z"},
		{"weekly=mon@12:00/1", "2026-01-04T12:00:00Z", "2025-12-29T12:00:00Z", "weekly-mon-20251229T120000Z"},
		{"monthly=15@12:00/1", "2026-01-02T03:04:05Z", "2025-12-15T12:00:00Z", "monthly-15-20251215T120000Z"},
		{"monthly=31@12:00/1", "2026-03-01T00:00:00Z", "2026-02-28T12:00:00Z", "monthly-31-20260228T120000Z"},
		{"monthly=31@12:00/1", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z", "monthly-31-20240229T120000Z"},
	} {
		s, err := volume.ParseSchedule(c.rule)
		now, timeErr := time.Parse(time.RFC3339, c.now)
		if err := errors.Join(err, timeErr); err != nil {
			t.Fatal(err)
		}
		due := s[0].Due(now)
		if got := due.Format(time.RFC3339); got != c.due || s[0].Call(due) != c.name {
			t.Errorf("%s at %s: due at %s as %s, want %s as %s", c.rule, c.now, got, s[0].Call(due), c.due, c.name)
		}
	}
}

func TestNamesMadeOfATimeAreNames(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := volume.NameAt("before-restore-of-monday", at); got != "before-restore-of-monday-20260102T030405Z" {
		t.Error(got)
	}
	if err := volume.CheckSnapshotName(volume.NameAt(strings.Repeat("x", 500), at)); err != nil {
		t.Error(err)
	}
}
