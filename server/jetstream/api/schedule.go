package api

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// everyMin is the shortest interval of a schedule.
const everyMin = time.Second

// Schedule says when a message is due: once, at intervals, or by a calendar.
type Schedule struct {
	at    time.Time     // once
	every time.Duration // at intervals
	cron  cron.Schedule // by a calendar
	zone  *time.Location
}

// cronParser knows six fields, and names such as @daily. It knows @every too, and zones in
// front of the fields; neither gets as far as to it.
var cronParser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseSchedule reads Nats-Schedule and Nats-Schedule-Time-Zone of a message that has one of
// them. What time zones are depends on the machine: only who leads may ask, and must
// hand on what comes out. Whether a calendar ever holds, [Schedule.First] tells.
func ParseSchedule(h *PublishHeaders) (*Schedule, *Error) {
	zoned := h.Has&HasScheduleTimeZone != 0
	zone := time.UTC
	if zoned {
		var ok bool
		if zone, ok = loadZone(string(h.ScheduleTimeZone)); !ok {
			return nil, ErrMessageSchedulesTimeZoneInvalid
		}
	}
	s, ok := parsePattern(string(h.Schedule))
	if !ok || zoned && s.cron == nil {
		return nil, ErrMessageSchedulesPatternInvalid
	}
	s.zone = zone
	return s, nil
}

// CheckScheduleZone judges the time zone of a message, if it names one. As with
// [ParseSchedule], only who leads may ask.
func CheckScheduleZone(h *PublishHeaders) *Error {
	if h.Has&HasScheduleTimeZone == 0 {
		return nil
	}
	if _, ok := loadZone(string(h.ScheduleTimeZone)); !ok {
		return ErrMessageSchedulesTimeZoneInvalid
	}
	return nil
}

// loadZone finds a zone by its IANA name. "Local" is UTC: servers have no zone of their own.
func loadZone(name string) (*time.Location, bool) {
	switch name {
	case "":
		return nil, false
	case "Local":
		return time.UTC, true
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

func parsePattern(p string) (*Schedule, bool) {
	if at, ok := strings.CutPrefix(p, "@at "); ok {
		t, err := time.Parse(time.RFC3339, at)
		return &Schedule{at: t}, err == nil
	}
	if every, ok := strings.CutPrefix(p, "@every "); ok {
		d, err := time.ParseDuration(every)
		return &Schedule{every: d}, err == nil && d >= everyMin
	}
	if p == "" || strings.HasPrefix(p, "TZ=") || strings.HasPrefix(p, "CRON_TZ=") {
		return nil, false
	}
	c, err := cronParser.Parse(p)
	return &Schedule{cron: c}, err == nil
}

// Once tells whether the schedule ends when it was due.
func (s *Schedule) Once() bool { return s.every == 0 && s.cron == nil }

// First is when a new schedule is due. False is a calendar that does not hold within five
// years.
func (s *Schedule) First(now time.Time) (time.Time, bool) {
	if s.Once() {
		return s.at.UTC(), true
	}
	return s.Next(now, now)
}

// Next is when a schedule that was due is due next, which is after now: what was missed
// meanwhile is left out. False is never.
func (s *Schedule) Next(due, now time.Time) (time.Time, bool) {
	switch {
	case s.cron != nil:
		if due.Before(now) {
			due = now
		}
		next := s.cron.Next(due.In(s.zone))
		return next.UTC(), !next.IsZero()
	case s.every > 0:
		next := due.Round(time.Second).Add(s.every)
		if !next.After(now) {
			next = now.Round(time.Second).Add(s.every)
		}
		return next.UTC(), true
	}
	return time.Time{}, false
}
