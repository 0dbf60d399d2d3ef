package machine

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// JudgeSchedule judges the pattern and time zone of a message's Nats-Schedule at now, nanoseconds
// since 1970; a time zone is judged without a schedule too. Only a leader may: time zones are what its machine knows of them.
func JudgeSchedule(h *api.PublishHeaders, now int64) ScheduleVerdict {
	if h.Has&api.HasSchedule == 0 {
		return ScheduleVerdict{Err: api.CheckScheduleZone(h)}
	}
	s, err := api.ParseSchedule(h)
	if err != nil {
		return ScheduleVerdict{Err: err}
	}
	due, ok := s.First(time.Unix(0, now).UTC())
	if !ok {
		return ScheduleVerdict{Err: api.ErrMessageSchedulesPatternInvalid}
	}
	return ScheduleVerdict{Due: max(due.UnixNano(), 1)}
}

// nextDue is when a schedule that was due is due next, after now; 0 for never.
func nextDue(h *api.PublishHeaders, due, now int64) int64 {
	s, err := api.ParseSchedule(h)
	if err != nil {
		return 0
	}
	next, ok := s.Next(time.Unix(0, due).UTC(), time.Unix(0, now).UTC())
	if !ok || next.UnixNano() <= now {
		return 0
	}
	return next.UnixNano()
}
