package volume

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// scheduledMax is how many snapshots the rules of one schedule keep together:
	// the rest of SnapshotsMax is for those that people take.
	scheduledMax = 240
	// everyMin is the shortest pause of a schedule: each snapshot is two writes of
	// the metadata store.
	everyMin = 10 * time.Second
	everyMax = 24 * time.Hour // longer ones are what daily, weekly and monthly are for
	rulesMax = 16
)

// NoSchedule takes a schedule away.
const NoSchedule = "none"

// Schedule says when snapshots of a volume are taken, and how many are kept of
// each rule. All times are UTC.
//
//	daily=12:00/7+every=60m/24+weekly=sun@12:00/5+monthly=15@12:00/12
type Schedule []Rule

// Rule is one part of a schedule.
type Rule struct {
	Keep int // newest snapshots of the rule that are kept

	kind  string
	every time.Duration // of every
	day   int           // of weekly: 0 is Sunday; of monthly: from 1 on
	at    time.Duration // of the day, for all but every
}

// weekdays returns their short names, as time.Weekday counts them.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// ParseSchedule reads a schedule whose rules are joined by '+'. What is not
// understood whole is refused.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	kept := 0
	for _, part := range readList(text) {
		r, err := parseRule(part)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s, func(o Rule) bool { return o.Name() == r.Name() }) {
			return nil, invalidSchedule(part, "each rule once")
		}
		s = append(s, r)
		kept += r.Keep
	}
	switch {
	case len(s) > rulesMax:
		return nil, invalidSchedule(text, fmt.Sprintf("%d rules at most", rulesMax))
	case kept > scheduledMax:
		return nil, invalidSchedule(text, fmt.Sprintf("rules that keep %d snapshots together at most", scheduledMax))
	}
	return s, nil
}

func invalidSchedule(value, want string) error {
	return invalidOption("snapshot_schedule", value, want)
}

func parseRule(text string) (r Rule, err error) {
	kind, rest, found := strings.Cut(text, "=")
	when, keep, counted := strings.Cut(rest, "/")
	if !found || !counted || !slices.Contains([]string{"every", "daily", "weekly", "monthly"}, kind) {
		return r, invalidSchedule(text, "a rule as in every=60m/24, daily=12:00/7, weekly=sun@12:00/5 or monthly=15@12:00/12")
	}
	r.kind = kind
	n, err := strconv.ParseUint(keep, 10, 16)
	if err != nil || n == 0 || n > scheduledMax {
		return r, invalidSchedule(text, fmt.Sprintf("a rule that keeps a number of snapshots from 1 to %d", scheduledMax))
	}
	r.Keep = int(n)
	if kind == "every" {
		return r, r.parseEvery(text, when)
	}
	day, clock := "", when
	if kind != "daily" {
		if day, clock, found = strings.Cut(when, "@"); !found {
			return r, invalidSchedule(text, "a rule with a day and a time, as in weekly=sun@12:00/5 or monthly=15@12:00/12")
		}
	}
	at, err := time.Parse("15:04", clock)
	if err != nil || len(clock) != len("15:04") {
		return r, invalidSchedule(text, "a rule with a time of the day from 00:00 to 23:59, in UTC")
	}
	r.at = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	switch kind {
	case "weekly":
		if r.day = slices.Index(weekdays(), day); r.day < 0 {
			return r, invalidSchedule(text, "a rule with a day of the week: "+strings.Join(weekdays(), ", "))
		}
	case "monthly":
		n, err := strconv.ParseUint(day, 10, 8)
		if err != nil || n == 0 || n > 31 || day != strconv.Itoa(int(n)) {
			return r, invalidSchedule(text, "a rule with a day of the month from 1 to 31; a month that has no such day has its last")
		}
		r.day = int(n)
	}
	return r, nil
}

// parseEvery reads a whole number of seconds, minutes or hours.
func (r *Rule) parseEvery(text, when string) error {
	digits, unit := strings.TrimRight(when, "smh"), time.Duration(0)
	switch strings.TrimPrefix(when, digits) {
	case "s":
		unit = time.Second
	case "m":
		unit = time.Minute
	case "h":
		unit = time.Hour
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	r.every = time.Duration(n) * unit
	if err != nil || digits != strconv.FormatUint(n, 10) || r.every < everyMin || r.every > everyMax {
		return invalidSchedule(text, fmt.Sprintf("a rule with a pause from %s to %s, as in every=60m/24", formatPause(everyMin), formatPause(everyMax)))
	}
	return nil
}

// formatPause writes a pause in the largest unit that has no remainder.
func formatPause(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// String writes the schedule as ParseSchedule reads it; equal ones alike.
func (s Schedule) String() string {
	var parts []string
	for i := range s {
		parts = append(parts, fmt.Sprintf("%s/%d", s[i].Name(), s[i].Keep))
	}
	return strings.Join(parts, listSeparator)
}

// Name is the rule without what it keeps: what its snapshots are known by, so
// that they stay its own when it is to keep more or fewer.
func (r *Rule) Name() string {
	clock := fmt.Sprintf("%02d:%02d", r.at/time.Hour, r.at%time.Hour/time.Minute)
	switch r.kind {
	case "every":
		return "every=" + formatPause(r.every)
	case "weekly":
		return "weekly=" + weekdays()[r.day] + "@" + clock
	case "monthly":
		return "monthly=" + strconv.Itoa(r.day) + "@" + clock
	}
	return "daily=" + clock
}

// Due returns the last time up to now at which the rule asks for a snapshot.
// Those of every are the multiples of its pause since 1970.
func (r *Rule) Due(now time.Time) time.Time {
	now = now.UTC()
	if r.every > 0 {
		seconds := int64(r.every / time.Second)
		return time.Unix(now.Unix()-(now.Unix()%seconds+seconds)%seconds, 0).UTC()
	}
	year, month, day := now.Date()
	at := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Add(r.at)
	switch r.kind {
	case "weekly":
		at = at.AddDate(0, 0, -(int(at.Weekday())-r.day+7)%7)
		if at.After(now) {
			at = at.AddDate(0, 0, -7)
		}
	case "monthly":
		if at = r.inMonth(year, month); at.After(now) {
			at = r.inMonth(year, month-1)
		}
	default:
		if at.After(now) {
			at = at.AddDate(0, 0, -1)
		}
	}
	return at
}

// inMonth is the rule's time of one month, whose last day stands for those that
// it does not have.
func (r *Rule) inMonth(year int, month time.Month) time.Time {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC)
	return time.Date(last.Year(), last.Month(), min(r.day, last.Day()), 0, 0, 0, 0, time.UTC).Add(r.at)
}

// Call names the snapshot that the rule asks for at a time.
func (r *Rule) Call(due time.Time) string {
	kind, _, _ := strings.Cut(strings.Replace(r.Name(), "=", "-", 1), "@")
	if r.kind == "daily" {
		kind = r.kind
	}
	return NameAt(kind, due)
}

// timeForm is how a time is part of a snapshot's name.
const timeForm = "20060102T150405Z"

// NameAt makes a name of a prefix and a time, shortening the prefix if it must.
func NameAt(prefix string, at time.Time) string {
	return prefix[:min(len(prefix), nameBytesMax-len(timeForm)-1)] + "-" + at.UTC().Format(timeForm)
}
