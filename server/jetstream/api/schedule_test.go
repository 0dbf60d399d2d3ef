package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func schedule(t *testing.T, lines ...string) (*Schedule, *Error) {
	t.Helper()
	var h PublishHeaders
	h.Parse(block(lines...))
	s, err := ParseSchedule(&h)
	if err == nil {
		if _, ok := s.First(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)); !ok {
			err = ErrMessageSchedulesPatternInvalid
		}
	}
	return s, err
}

// TestSchedulePatternsAsRecorded is what an official server takes, and what it refuses.
func TestSchedulePatternsAsRecorded(t *testing.T) {
	for _, p := range []string{
		"@at 2030-01-01T00:00:00Z", "@at 2030-01-01T00:00:00+02:00", "@at 2030-01-01T00:00:00.5Z", "@at 1990-01-01T00:00:00Z",
		"@every 1s", "@every 1.5s", "@every 1h", "@every 1000000h", "* * * * * *", "0 0 0 1 1 *", "0 0 0 29 2 *", "0 0 0 * * 6",
		"0 0 0 * * SUN", "0 0 0 * * sun", "0 0 0 * JAN *", "0 0 0 * jan-mar MON-FRI", "0 0 0 ? * ?", "*/5 * * * * *",
		"0/5 * * * * *", "1-5/2 * * * * *", "1,2,3 * * * * *", "1,,3 * * * * *", "@yearly", "@annually", "@monthly", "@weekly",
		"@daily", "@midnight", "@hourly", "  * * * * * *  ", "*  *  * * * *", "*\t* * * * *", "*/60 * * * * *", "*/100 * * * * *",
		"0 0 0 1-31/2 * *", "0 0 0 * * MON,WED", "+1 * * * * *", "01 * * * * *", "*-5 * * * * *", "? ? ? ? ? ?",
	} {
		_, err := schedule(t, "Nats-Schedule: "+p)
		require.Nil(t, err, p)
	}
	for _, p := range []string{
		"@at 2030-01-01 00:00:00", "@at", "@at x", "@AT 2030-01-01T00:00:00Z", "@at  2030-01-01T00:00:00Z", "@at 2030-01-01T00:00:00Z ",
		"@every 999ms", "@every", "@every x", "@every -1s", "@every 0s", "@every 10", "@every  5s", "@EVERY 5s", "@every 9999999999h",
		"* * * * *", "* * * * * * *", "0 0 0 30 2 *", "0 0 0 31 4 *", "60 * * * * *", "0 60 * * * *", "0 0 24 * * *", "0 0 0 0 * *",
		"0 0 0 32 * *", "0 0 0 * 0 *", "0 0 0 * 13 *", "0 0 0 * * 7", "5/0 * * * * *", "5-1 * * * * *", "a * * * * *", "0 0 0 L * *",
		"0 0 0 * * 1#2", "0 0 0 * * 1L", "0 0 0 15W * *", "@Yearly", "@secondly", "@reboot", "TZ=UTC * * * * * *",
		"CRON_TZ=UTC * * * * * *", "@daily ", "H * * * * *", "* * * * * MON#1", "1-70 * * * * *", "0 0 0 * * SUNDAY", "-1 * * * * *",
		"*/ * * * * *", "1- * * * * *", "*/-1 * * * * *", "1/2/3 * * * * *", "0 0 0 1 1 * 2030", "99999999999999999999 * * * * *",
		"@at 2030-13-01T00:00:00Z", "TZ=", "TZ=UTC", "CRON_TZ=",
	} {
		_, err := schedule(t, "Nats-Schedule: "+p)
		require.ErrorIs(t, err, ErrMessageSchedulesPatternInvalid, p)
	}
}

func TestScheduleZones(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Amsterdam", "Local", "EST"} {
		for _, p := range []string{"* * * * * *", "@daily"} {
			_, err := schedule(t, "Nats-Schedule: "+p, "Nats-Schedule-Time-Zone: "+zone)
			require.Nil(t, err, "%s in %s", p, zone)
		}
		for _, p := range []string{"@at 2030-01-01T00:00:00Z", "@every 5s", "x", ""} {
			_, err := schedule(t, "Nats-Schedule: "+p, "Nats-Schedule-Time-Zone: "+zone)
			require.ErrorIs(t, err, ErrMessageSchedulesPatternInvalid, "%s in %s", p, zone)
		}
	}
	for _, zone := range []string{"", "x", "+02:00", "../UTC"} {
		for _, p := range []string{"* * * * * *", "@at 2030-01-01T00:00:00Z", "x", ""} {
			_, err := schedule(t, "Nats-Schedule: "+p, "Nats-Schedule-Time-Zone: "+zone)
			require.ErrorIs(t, err, ErrMessageSchedulesTimeZoneInvalid, "%s in %q", p, zone)
		}
	}
}

func TestScheduleTimes(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return v
	}
	for _, tc := range []struct {
		name, pattern, zone, due, now, want string
	}{
		{"rounded down", "@every 2s", "", "2026-11-24T10:14:48.1Z", "2026-11-24T10:14:48.1Z", "2026-11-24T10:14:50Z"},
		{"rounded up", "@every 2s", "", "2026-11-24T10:14:48.6Z", "2026-11-24T10:14:48.6Z", "2026-11-24T10:14:51Z"},
		{"half seconds", "@every 1.5s", "", "2026-11-24T10:14:50.5Z", "2026-11-24T10:14:50.51Z", "2026-11-24T10:14:52.5Z"},
		{"in time", "@every 2s", "", "2026-11-24T10:14:50Z", "2026-11-24T10:14:50.003Z", "2026-11-24T10:14:52Z"},
		{"missed", "@every 2s", "", "2026-11-24T10:14:50Z", "2026-11-24T11:00:00.4Z", "2026-11-24T11:00:02Z"},
		{"calendar", "*/2 * * * * *", "", "2026-11-24T10:14:50Z", "2026-11-24T10:14:50.007Z", "2026-11-24T10:14:52Z"},
		{"calendar, missed", "*/2 * * * * *", "", "2026-11-24T10:14:50Z", "2026-11-24T11:00:01Z", "2026-11-24T11:00:02Z"},
		{"calendar, early", "*/2 * * * * *", "", "2026-11-24T10:14:50Z", "2026-11-24T10:14:49.999Z", "2026-11-24T10:14:52Z"},
		{"zone", "@daily", "Europe/Amsterdam", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T23:00:00Z"},
		{"summer", "@daily", "Europe/Amsterdam", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z", "2026-07-01T22:00:00Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := []string{"Nats-Schedule: " + tc.pattern}
			if tc.zone != "" {
				lines = append(lines, "Nats-Schedule-Time-Zone: "+tc.zone)
			}
			s, err := schedule(t, lines...)
			require.Nil(t, err)
			require.False(t, s.Once())
			next, ok := s.Next(at(tc.due), at(tc.now))
			require.True(t, ok)
			require.Equal(t, at(tc.want), next)
		})
	}
	s, err := schedule(t, "Nats-Schedule: @at 1990-01-01T02:00:00+02:00")
	require.Nil(t, err)
	first, ok := s.First(at("2026-11-24T10:00:00Z"))
	require.True(t, ok && s.Once())
	require.Equal(t, at("1990-01-01T00:00:00Z"), first, "what is past is due at once")
	_, ok = s.Next(first, first)
	require.False(t, ok)
}
