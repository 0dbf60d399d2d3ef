package machine

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// JudgeSchedule judges the pattern and time zone of a message's Nats-Schedule at now, nanoseconds
// since 1970. Only a leader may: time zones are what its machine knows of them.
func JudgeSchedule(h *api.PublishHeaders, now int64) ScheduleVerdict {
	if h.Has&api.HasSchedule == 0 {
		return ScheduleVerdict{}
	}
	p, err := parseSchedule(h)
	if err != nil {
		return ScheduleVerdict{Err: err}
	}
	due, ok := p.first(now)
	if !ok {
		return ScheduleVerdict{Err: api.ErrMessageSchedulesPatternInvalid}
	}
	return ScheduleVerdict{Due: max(due, 1)}
}

// nextDue is when a schedule that was due is due next, after now; 0 for never. What was missed meanwhile is
// left out.
func nextDue(h *api.PublishHeaders, due, now int64) int64 {
	p, err := parseSchedule(h)
	if err != nil || p.once {
		return 0
	}
	next, ok := p.after(due, now)
	if !ok {
		return 0
	}
	return next
}

// pattern is a schedule: a moment, an interval, or a calendar rule.
type pattern struct {
	once  bool
	at    int64 // of once
	every time.Duration
	cron  *cron
	zone  *time.Location
}

const (
	patternAt    = "@at "
	patternEvery = "@every "
)

// intervalMin is the shortest interval of a schedule.
const intervalMin = time.Second

// parseSchedule reads Nats-Schedule and Nats-Schedule-Time-Zone.
func parseSchedule(h *api.PublishHeaders) (p pattern, err *api.Error) {
	text := string(h.Schedule)
	zoned := h.Has&api.HasScheduleTimeZone != 0
	switch {
	case strings.HasPrefix(text, patternAt):
		t, bad := time.Parse(time.RFC3339, strings.TrimPrefix(text, patternAt))
		if bad != nil || zoned {
			return p, api.ErrMessageSchedulesPatternInvalid
		}
		return pattern{once: true, at: t.UnixNano()}, nil
	case strings.HasPrefix(text, patternEvery):
		d, bad := time.ParseDuration(strings.TrimPrefix(text, patternEvery))
		if bad != nil || d < intervalMin || zoned {
			return p, api.ErrMessageSchedulesPatternInvalid
		}
		return pattern{every: d}, nil
	}
	p.zone = time.UTC
	if zoned {
		zone, bad := loadZone(string(h.ScheduleTimeZone))
		if bad {
			return p, api.ErrMessageSchedulesTimeZoneInvalid
		}
		p.zone = zone
	}
	var ok bool
	if p.cron, ok = parseCron(text); !ok {
		return p, api.ErrMessageSchedulesPatternInvalid
	}
	return p, nil
}

// loadZone gives a time zone. "Local" is taken as well, for UTC: a schedule must not depend on which server
// leads.
func loadZone(name string) (zone *time.Location, bad bool) {
	switch name {
	case "":
		return nil, true
	case "Local":
		return time.UTC, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err != nil
}

// first is when a new schedule is due.
func (p *pattern) first(now int64) (int64, bool) {
	if p.once {
		return p.at, true
	}
	return p.after(now, now)
}

// after is the first time behind due that is also behind now.
func (p *pattern) after(due, now int64) (int64, bool) {
	if p.cron != nil {
		t, ok := p.cron.next(time.Unix(0, max(due, now)).In(p.zone))
		return t.UnixNano(), ok
	}
	next := roundSecond(due) + int64(p.every)
	if next <= now {
		next = roundSecond(now) + int64(p.every)
	}
	return next, next > 0
}

func roundSecond(ns int64) int64 { return time.Unix(0, ns).Round(time.Second).UnixNano() }

// cron is a calendar rule: the set of seconds, minutes, hours, days, months and weekdays that it holds on, a bit
// each.
type cron struct {
	second, minute, hour, day, month, weekday uint64
	anyDay, anyWeekday                        bool // "*": the other one decides alone
}

var cronNames = map[string]string{
	"@yearly": "0 0 0 1 1 *", "@annually": "0 0 0 1 1 *", "@monthly": "0 0 0 1 * *", "@weekly": "0 0 0 * * 0",
	"@daily": "0 0 0 * * *", "@midnight": "0 0 0 * * *", "@hourly": "0 0 * * * *",
}

const (
	monthNames   = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	weekdayNames = "SUNMONTUEWEDTHUFRISAT"
)

// parseCron reads six fields: second, minute, hour, day of the month, month, day of the week.
func parseCron(text string) (*cron, bool) {
	if full, ok := cronNames[text]; ok {
		text = full
	}
	fields := strings.Fields(text)
	if len(fields) != 6 {
		return nil, false
	}
	c := &cron{anyDay: isAny(fields[3]), anyWeekday: isAny(fields[5])}
	for i, f := range [...]struct {
		set    *uint64
		lo, hi int
		names  string
	}{
		{&c.second, 0, 59, ""}, {&c.minute, 0, 59, ""}, {&c.hour, 0, 23, ""},
		{&c.day, 1, 31, ""}, {&c.month, 1, 12, monthNames}, {&c.weekday, 0, 6, weekdayNames},
	} {
		set, ok := parseField(fields[i], f.lo, f.hi, f.names)
		if !ok {
			return nil, false
		}
		*f.set = set
	}
	return c, true
}

func isAny(field string) bool { return field[0] == '*' || field[0] == '?' }

// parseField reads a list of values, ranges and steps.
func parseField(field string, lo, hi int, names string) (set uint64, ok bool) {
	for part := range strings.SplitSeq(field, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		from, to, single := lo, hi, false
		if span != "*" && span != "?" {
			a, b, ranged := strings.Cut(span, "-")
			if from, ok = cronValue(a, lo, names); !ok {
				return 0, false
			}
			if to = from; ranged {
				if to, ok = cronValue(b, lo, names); !ok {
					return 0, false
				}
			}
			single = !ranged
		}
		step := 1
		if stepped {
			n, err := strconv.ParseUint(stepText, 10, 16)
			if err != nil || n == 0 {
				return 0, false
			}
			if step = int(n); single {
				to = hi
			}
		}
		if from < lo || to > hi || from > to {
			return 0, false
		}
		for v := from; v <= to; v += step {
			set |= 1 << v
		}
	}
	return set, true
}

// cronValue reads a number, or a name of three letters; the first name stands for lo.
func cronValue(text string, lo int, names string) (int, bool) {
	if len(text) == 3 && names != "" {
		if i := strings.Index(names, strings.ToUpper(text)); i >= 0 && i%3 == 0 {
			return lo + i/3, true
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil
}

// yearsMax is how far ahead a rule must hold.
const yearsMax = 5

// next is the first second after t that the rule holds on.
func (c *cron) next(t time.Time) (time.Time, bool) {
	end := t.Year() + yearsMax
	t = t.Truncate(time.Second).Add(time.Second)
	for t.Year() <= end {
		switch {
		case c.month&(1<<uint(t.Month())) == 0:
			t = time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
		case !c.holdsOn(t):
			t = startOfNextDay(t)
		case c.hour&(1<<uint(t.Hour())) == 0:
			t = t.Add(time.Hour - time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second)
		case c.minute&(1<<uint(t.Minute())) == 0:
			t = t.Add(time.Minute - time.Duration(t.Second())*time.Second)
		case c.second&(1<<uint(t.Second())) == 0:
			t = t.Add(time.Duration(bits.TrailingZeros64(c.second>>uint(t.Second())&^1|1<<(60-uint(t.Second())))) * time.Second)
		default:
			return t, true
		}
	}
	return time.Time{}, false
}

// startOfNextDay is the first second of the next day, also where clocks are changed at midnight.
func startOfNextDay(t time.Time) time.Time {
	next := time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location())
	if !next.After(t) || next.Day() == t.Day() {
		next = next.Add(time.Hour)
	}
	return next
}

// holdsOn tells whether the rule holds on a day. Where both kinds of days are named, either will do.
func (c *cron) holdsOn(t time.Time) bool {
	day, weekday := c.day&(1<<uint(t.Day())) != 0, c.weekday&(1<<uint(t.Weekday())) != 0
	if c.anyDay || c.anyWeekday {
		return day && weekday
	}
	return day || weekday
}
