package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGroupDoesNotSleepBeforeAllAreAdmitted has a member come back without memory while the leadership is being
// handed over, so that nobody can admit it: it is admitted when that has ended, before the group sleeps.
func TestGroupDoesNotSleepBeforeAllAreAdmitted(t *testing.T) {
	w := newWorld(1)
	w.hosted = true
	w.tune = func(o *Options) { o.HostHeartbeats = true }
	w.bootstrap(3, 1)
	w.passHosted(200 * time.Millisecond)
	l := w.node(1)
	require.Equal(t, Leader, l.c.Role())

	n := w.node(3)
	n.crash(0)
	w.judge.tainted = true
	n.disk = disk{forgot: true}
	n.machine = machine{}
	l.c.transferTo, l.c.transferSent, l.c.transferAt = 2, true, w.now+time.Second // as if to one that does nothing
	n.start()
	l.c.PeerDown(3) // its process is another one
	l.c.PeerUp(3)
	l.pump()
	w.passHosted(900 * time.Millisecond)
	require.Equal(t, n.c.Hard().Life, l.c.find(3).life)
	require.False(t, l.c.Config().Names(3, n.c.Hard().Life), "not while the leadership is handed over")
	slept := false
	for range 100 {
		w.passHosted(20 * time.Millisecond)
		if l.c.Role() == Leader && l.c.Sleep() {
			l.pump()
			slept = true
			break
		}
	}
	require.True(t, slept)
	require.True(t, l.c.Config().Names(3, n.c.Hard().Life), "everybody is admitted before the group sleeps")
	require.Empty(t, w.judge.broken)
}
